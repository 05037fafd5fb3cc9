// SPDX-License-Identifier: MPL-2.0
//! Cutting the crop out and pasting the mouth back in, where the face is known: nothing is detected, no network runs.

use std::sync::Arc;

use gst_video::{VideoFormat, VideoFrameRef};
use gstlipsync::face_meta::{Face, FaceMeta};
use gstlipsync::pixels::crop_rgb;

use crate::clock;
use crate::feed::Feed;
use crate::material::Material;

/// CPU seconds of a frame with `face`.
pub struct CropPaste {
    feed: Feed,
    face: Arc<Face>,
}

impl CropPaste {
    pub fn start(material: &Material, format: VideoFormat, face: Arc<Face>) -> Result<Self, String> {
        let material = Arc::new(material.in_format(format)?);
        let feed = Feed::start("appsrc name=video format=time max-bytes=0 ! facepaste ! fakesink name=sink", material)?;
        Ok(Self { feed, face })
    }

    /// CPU seconds of `count` frames.
    pub fn run(&mut self, count: usize) -> Result<f64, String> {
        let (info, face) = (self.feed.material.info.clone(), &self.face);
        let mut cropping = 0.0;
        let pasting = self.feed.run(count, |buffer| {
            let start = clock::thread();
            let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info).map_err(|e| e.to_string())?;
            let crop = crop_rgb(&frame, &face.crop_to_frame, face.crop.width, face.crop.height);
            drop(frame);
            std::hint::black_box(crop);
            cropping += clock::thread() - start;
            FaceMeta::add(buffer, face.clone());
            Ok(())
        })?;
        Ok(cropping + pasting.cpu)
    }
}
