// SPDX-License-Identifier: MPL-2.0
//! Pictures whose pixels are not square are analysed in a copy whose pixels are: networks know no others, and a head that turns
//! changes its shape there.

use std::fmt;

use gst::glib;
use gst_video::{VideoFrame, VideoFrameRef, VideoInfo};

use super::analysis::Config;
use crate::face_meta::Face;
use crate::geometry::Rect;

/// Pictures that would get larger than this, px, get less of their other side instead.
const LARGEST: f64 = 4096.0;

/// Makes copies with square pixels.
pub struct Square {
    converter: gst_video::VideoConverter,
    info: VideoInfo,
    /// From the frame's columns and rows to the copy's.
    scale: [f32; 2],
}

impl Square {
    /// For frames of this kind; `None` where their pixels are square already.
    pub fn of(info: &VideoInfo) -> Result<Option<Self>, glib::BoolError> {
        let par = info.par();
        if par.numer() == par.denom() || par.numer() <= 0 || par.denom() <= 0 {
            return Ok(None);
        }
        let shape = f64::from(par.numer()) / f64::from(par.denom());
        let (width, height) = (f64::from(info.width()), f64::from(info.height()));
        let (wider, taller) = ((width * shape, height), (width, height / shape));
        let (wide, tall) = match shape > 1.0 {
            true if wider.0 <= LARGEST => wider,
            true => taller,
            false if taller.1 <= LARGEST => taller,
            false => wider,
        };
        let size = |length: f64| (length.round() as u32).max(1);
        let square = VideoInfo::builder(info.format(), size(wide), size(tall))
            .fps(info.fps())
            .colorimetry(&info.colorimetry())
            .build()?;
        let scale = [square.width() as f32 / info.width() as f32, square.height() as f32 / info.height() as f32];
        let converter = gst_video::VideoConverter::new(info, &square, None)?;
        Ok(Some(Self { converter, info: square, scale }))
    }

    /// A copy of a frame of that kind. Fails where there is no memory for it.
    pub fn copy(
        &self,
        frame: &VideoFrameRef<&gst::BufferRef>,
    ) -> Result<VideoFrame<gst_video::video_frame::Writable>, glib::BoolError> {
        let buffer = gst::Buffer::with_size(self.info.size())?;
        let mut copy = VideoFrame::from_buffer_writable(buffer, &self.info)
            .map_err(|_| glib::bool_error!("no room for a copy of the picture"))?;
        self.converter.frame_ref(frame, &mut copy.as_mut_video_frame_ref());
        Ok(copy)
    }

    /// What the user set, in the copy's pixels.
    pub fn config(&self, config: &Config) -> Config {
        let [sx, sy] = self.scale;
        let region = config.region.map(|r| Rect::new(r.x * sx, r.y * sy, r.w * sx, r.h * sy));
        let min_face_size = (config.min_face_size as f32 * sx).round() as u32;
        Config { region, min_face_size, ..*config }
    }

    /// A face of the copy, in the frame.
    pub fn back(&self, face: &Face) -> Face {
        let [sx, sy] = self.scale;
        face.scaled(1.0 / sx, 1.0 / sy)
    }
}

impl fmt::Display for Square {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a copy of {}×{} px", self.info.width(), self.info.height())
    }
}
