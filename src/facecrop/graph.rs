// SPDX-License-Identifier: MPL-2.0
//! A graph that looks at a part of a frame.

use std::path::{Path, PathBuf};

use gst_video::VideoFrameRef;

use super::recipe::Picture;
use crate::geometry::Affine;
use crate::model::manifest::Color;
use crate::pixels::crop_planes;
use crate::runtime::{self, Element, Options, RuntimeError, SharedSession, Tensor, TensorInfo};

pub struct Graph {
    session: SharedSession,
    pub file: PathBuf,
    picture: Picture,
    input: String,
    outputs: Vec<String>,
    /// Kept from frame to frame so that their memory is.
    tensor: Tensor,
    planes: Vec<f32>,
}

impl Graph {
    /// `output`: its name; by default all are asked for. The error is for the user.
    pub fn open(file: &Path, picture: &Picture, output: Option<&str>) -> Result<Self, String> {
        let options = Options { device: "cpu".into(), threads: 1, ..Options::default() };
        let session = runtime::open(file, &options).map_err(|e| e.to_string())?;
        let (width, height) = (picture.size.width, picture.size.height);
        let fail = |what: String| format!("{}: {what}", file.display());
        let (input, outputs) = {
            let session = session.lock();
            let list = |tensors: &[TensorInfo]| tensors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let wanted = [1, 3, height, width];
            let fits = |info: &&TensorInfo| {
                info.shape.len() == 4
                    && info.shape.iter().zip(wanted).all(|(axis, n)| axis.is_none_or(|axis| axis == n))
            };
            let input = match session.inputs() {
                [input] => Some(input),
                _ => None,
            };
            let input = input.filter(fits).ok_or_else(|| {
                fail(format!("expected one input (1, 3, {height}, {width}), found {}", list(session.inputs())))
            })?;
            let names: Vec<String> = session.outputs().iter().map(|info| info.name.clone()).collect();
            let outputs = match output {
                None => names,
                Some(name) if names.iter().any(|known| known == name) => vec![name.to_owned()],
                Some(name) => {
                    return Err(fail(format!("expected an output \"{name}\", found {}", list(session.outputs()))));
                }
            };
            (input.name.clone(), outputs)
        };
        let numbers = 3 * width * height;
        let tensor = Tensor::new([1, 3, height, width], vec![0.0; numbers]);
        let planes = vec![0.0; numbers];
        Ok(Self { session, file: file.into(), picture: picture.clone(), input, outputs, tensor, planes })
    }

    /// The outputs for a black picture, as `name (axes)` too: what a check at the start looks at.
    pub fn try_out(&mut self) -> Result<(Vec<Tensor>, String), String> {
        let tensors = self.run().map_err(|e| format!("{}: {e}", self.file.display()))?;
        let describe = |(name, tensor): (&String, &Tensor)| {
            TensorInfo {
                name: name.clone(),
                shape: tensor.shape.iter().map(|&n| Some(n)).collect(),
                element: Element::F32,
            }
            .to_string()
        };
        let described = self.outputs.iter().zip(&tensors).map(describe).collect::<Vec<_>>().join(", ");
        Ok((tensors, described))
    }

    /// What the graph says of the upper left `width` × `height` pixels of its picture being cut out of the frame by
    /// `to_frame`, and the rest being black.
    pub fn look(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        to_frame: &Affine,
        [width, height]: [usize; 2],
    ) -> Result<Vec<Tensor>, RuntimeError> {
        let Picture { size, color, mean, std } = &self.picture;
        let (width, height) = (width.min(size.width), height.min(size.height));
        let planes = &mut self.planes[..3 * width * height];
        crop_planes(frame, to_frame, width, height, planes);
        for (c, channel) in self.tensor.data.chunks_exact_mut(size.width * size.height).enumerate() {
            let plane = match color {
                Color::Rgb => c,
                Color::Bgr => 2 - c,
            };
            let plane = &planes[plane * width * height..][..width * height];
            let (mean, std) = (mean[c], std[c]);
            if (width, height) != (size.width, size.height) {
                channel.fill((0.0 - mean) / std);
            }
            for (to, from) in channel.chunks_exact_mut(size.width).zip(plane.chunks_exact(width)) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = (from - mean) / std);
            }
        }
        self.run()
    }

    fn run(&mut self) -> Result<Vec<Tensor>, RuntimeError> {
        let outputs: Vec<&str> = self.outputs.iter().map(String::as_str).collect();
        self.session.lock().run(&[(&self.input, &self.tensor)], &outputs)
    }
}
