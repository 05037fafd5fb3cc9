// SPDX-License-Identifier: MPL-2.0
//! For benches/parts.rs.

use std::sync::Arc;

use super::generator;
use super::tensors::{self, FaceInput, Sizes};
use crate::face_meta::Face;
use crate::runtime::Tensor;

/// The tensors that the first graph of the face's model is fed for a batch of `count` times this face, in silence.
pub fn inputs(face: &Face, count: usize) -> Result<Vec<Tensor>, String> {
    let manifest = &face.model.manifest;
    let sizes = Sizes {
        row: manifest.audiofeatures.width(),
        crop_width: face.crop.width,
        crop_height: face.crop.height,
        color: manifest.facecrop.color,
    };
    let windows =
        generator::windows(&face.model).iter().map(|rows| vec![0.0; rows.count as usize * sizes.row]).collect();
    let input = FaceInput::new(face, Arc::new(windows), face.crop.clone(), None).ok_or("the crop maps onto nothing")?;
    let faces = vec![&input; count];
    let graph = manifest.lipsyncgen.graph.first().ok_or("no graph")?;
    graph.input.iter().map(|given| tensors::input(&given.source, 0, &sizes, &faces, |_| None)).collect()
}
