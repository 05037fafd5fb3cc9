// SPDX-License-Identifier: MPL-2.0
//! A graph that looks at a part of a frame.

use std::path::{Path, PathBuf};

use gst_video::VideoFrameRef;

use super::recipe::Picture;
use crate::geometry::Affine;
use crate::model::manifest::Color;
use crate::pixels::PlaneCrop;
use crate::runtime::{self, Aside, Cancel, Element, Options, Outcome, RuntimeError, SharedSession, Tensor, TensorInfo};

pub struct Graph {
    /// Its input goes there and comes back.
    session: Aside<Tensor, (Tensor, Result<Vec<Tensor>, RuntimeError>)>,
    cancel: Cancel,
    pub file: PathBuf,
    picture: Picture,
    outputs: Vec<String>,
    /// Kept from frame to frame so that their memory is.
    tensor: Tensor,
    crop: PlaneCrop,
}

/// Red, green and blue of what is in the order of `color`, or the other way round.
fn in_order<T>(color: Color, [first, second, third]: [T; 3]) -> [T; 3] {
    match color {
        Color::Rgb => [first, second, third],
        Color::Bgr => [third, second, first],
    }
}

impl Graph {
    /// `wanted`: the outputs' names; where it is empty all are asked for. `cancel` ends a run that is waited for. The error is
    /// for the user.
    pub fn open(file: &Path, picture: &Picture, wanted: &[&str], cancel: &Cancel) -> Result<Self, String> {
        let options = Options { device: "cpu".into(), threads: 1, ..Options::default() };
        Self::of(runtime::open(file, &options).map_err(|e| e.to_string())?, file, picture, wanted, cancel)
    }

    /// The session of what `file` holds is open already.
    pub fn of(
        session: SharedSession,
        file: &Path,
        picture: &Picture,
        wanted: &[&str],
        cancel: &Cancel,
    ) -> Result<Self, String> {
        let (width, height) = (picture.size.width, picture.size.height);
        let fail = |what: String| format!("{}: {what}", file.display());
        let (input, outputs) = {
            let session = session.lock();
            let list = |tensors: &[TensorInfo]| tensors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let axes = [1, 3, height, width];
            let fits = |info: &&TensorInfo| {
                info.shape.len() == 4 && info.shape.iter().zip(axes).all(|(axis, n)| axis.is_none_or(|axis| axis == n))
            };
            let input = match session.inputs() {
                [input] => Some(input),
                _ => None,
            };
            let input = input.filter(fits).ok_or_else(|| {
                fail(format!("expected one input (1, 3, {height}, {width}), found {}", list(session.inputs())))
            })?;
            let names: Vec<String> = session.outputs().iter().map(|info| info.name.clone()).collect();
            if let Some(name) = wanted.iter().find(|name| names.iter().all(|known| known != *name)) {
                return Err(fail(format!("expected an output \"{name}\", found {}", list(session.outputs()))));
            }
            let outputs = if wanted.is_empty() { names } else { wanted.iter().map(|&name| name.into()).collect() };
            (input.name.clone(), outputs)
        };
        let names = outputs.clone();
        let session = Aside::start("facecrop-graph", move || {
            move |tensor: Tensor| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let answer = session.lock().run(&[(&input, &tensor)], &names);
                (tensor, answer)
            }
        });
        let session = session.map_err(|e| fail(format!("no thread to run it on: {e}")))?;
        let tensor = Tensor::new([1, 3, height, width], vec![0.0; 3 * width * height]);
        let by_color = |values: [f32; 3]| in_order(picture.color, values);
        let crop = PlaneCrop::new(by_color(picture.mean), by_color(picture.std));
        Ok(Self { session, cancel: cancel.clone(), file: file.into(), picture: picture.clone(), outputs, tensor, crop })
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
        let area = size.width * size.height;
        // It did not come back where the last run was given up.
        self.tensor.data.resize(3 * area, 0.0);
        if (width, height) != (size.width, size.height) {
            for (c, channel) in self.tensor.data.chunks_exact_mut(area).enumerate() {
                channel.fill((0.0 - mean[c]) / std[c]);
            }
        }
        let (first, rest) = self.tensor.data.split_at_mut(area);
        let (second, third) = rest.split_at_mut(area);
        let planes = in_order(*color, [first, second, third]);
        self.crop.cut(frame, to_frame, [width, height], planes, size.width);
        self.run()
    }

    fn run(&mut self) -> Result<Vec<Tensor>, RuntimeError> {
        let input = Tensor::new(self.tensor.shape.clone(), std::mem::take(&mut self.tensor.data));
        match self.session.run(input, None, || self.cancel.is_cancelled()) {
            Outcome::Done((input, answer), _) => {
                self.tensor = input;
                answer
            }
            Outcome::Failed(error) => Err(error),
            Outcome::Aborted | Outcome::Late => Err(RuntimeError("given up".into())),
        }
    }
}
