// SPDX-License-Identifier: MPL-2.0
//! For benches/parts.rs.

use gst_video::VideoFrameRef;

use super::Blend;
use super::blender::{self, Override};
use super::{image, warp};
use crate::face_meta::{Face, Generated};
use crate::pixels::Canvas;

/// Puts what was generated for `face` into the frame, as its model says, where that needs no files.
pub fn paste(frame: &mut VideoFrameRef<&mut gst::BufferRef>, face: &Face) -> Result<(), String> {
    let mut canvas = Canvas::new(frame).ok_or("a format that is not known")?;
    match &face.generated {
        Some(Generated::Image(patch)) => {
            let own = &face.model.manifest.facepaste;
            let cover = blender::cover(None, face, &Override { blend: Blend::Model, feather: -1.0 })?;
            let detail = blender::detail(own, Blend::Model);
            image::paste(&mut canvas, face, patch, &image::Style { cover, detail, match_color: false, opacity: 1.0 })
        }
        Some(Generated::Warp(warp)) => warp::paste(&mut canvas, face, warp, 1.0),
        None => Err("nothing was generated".into()),
    }
}
