// SPDX-License-Identifier: MPL-2.0
//! The landmark network: 68 points of the face at a known place.

use std::sync::Arc;

use gst_video::VideoFrameRef;

use super::shape::{Landmarks, Placement};
use crate::face_meta::LANDMARKS;
use crate::model::{ModelError, find_folder};
use crate::pixels::crop_planes;
use crate::runtime::{self, Options, RuntimeError, SharedSession, Tensor};

const FOLDER: &str = "face_landmark_68";
const FILE: &str = "face_landmark_68.onnx";
const INPUT: &str = "input";
const OUTPUT: &str = "landmarks";

/// Width and height of what the network sees.
const SIDE: usize = 112;

pub struct LandmarkNet {
    session: SharedSession,
    /// Kept from frame to frame so that its memory is.
    input: Tensor,
}

impl LandmarkNet {
    /// Opens `models/face_landmark_68`. The error is for the user.
    pub fn open() -> Result<Self, String> {
        let file = find_folder(FOLDER).map_err(|e: ModelError| format!("face landmarks: {e}"))?.join(FILE);
        let options = Options { device: "cpu".into(), threads: 1, ..Options::default() };
        let session = runtime::open(&file, &options).map_err(|e| format!("face landmarks: {e}"))?;
        let shapes = {
            let session = session.lock();
            let shape = |tensors: &[runtime::TensorInfo], name: &str| {
                tensors.iter().find(|t| t.name == name).and_then(|t| t.shape.get(1..).map(<[_]>::to_vec))
            };
            (shape(session.inputs(), INPUT), shape(session.outputs(), OUTPUT))
        };
        let expected = (Some(vec![Some(3), Some(SIDE), Some(SIDE)]), Some(vec![Some(2 * LANDMARKS)]));
        if shapes != expected {
            return Err(format!(
                "face landmarks: {}: expected {INPUT} (n, 3, {SIDE}, {SIDE}) and {OUTPUT} (n, {}), found other tensors; \
                 take the file that belongs to this version",
                file.display(),
                2 * LANDMARKS
            ));
        }
        Ok(Self { session: Arc::clone(&session), input: Tensor::new([1, 3, SIDE, SIDE], vec![0.0; 3 * SIDE * SIDE]) })
    }

    /// The landmarks, in frame pixels, of the face that lies about where `placement` says.
    pub fn run(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        placement: &Placement,
    ) -> Result<Landmarks, RuntimeError> {
        let map = placement.crop_to_frame(SIDE);
        crop_planes(frame, &map, SIDE, SIDE, &mut self.input.data);
        let outputs = self.session.lock().run(&[(INPUT, &self.input)], &[OUTPUT])?;
        let values = outputs.first().map_or(&[][..], |t| &t.data);
        if values.len() != 2 * LANDMARKS {
            return Err(RuntimeError(format!("face landmarks: the network gave {} numbers", values.len())));
        }
        let side = SIDE as f32;
        Ok(std::array::from_fn(|i| map.apply([values[2 * i] * side, values[2 * i + 1] * side])))
    }
}
