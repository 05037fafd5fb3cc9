// SPDX-License-Identifier: MPL-2.0
//! Frames made for the unit tests.

use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};

use super::color::ColorMap;
use super::layout::Layout;

/// A picture that differs everywhere.
pub fn ramp(x: usize, y: usize) -> [u8; 3] {
    [(x * 3 + y) as u8, (y * 5) as u8, 255 - (x % 256) as u8]
}

/// A frame filled from a function of RGB.
pub struct Picture {
    pub info: VideoInfo,
    pub buffer: gst::Buffer,
    rgb: Vec<[u8; 3]>,
}

impl Picture {
    pub fn new(
        format: VideoFormat,
        width: usize,
        height: usize,
        colorimetry: &str,
        rgb: impl Fn(usize, usize) -> [u8; 3],
    ) -> Self {
        gst::init().unwrap();
        let info = VideoInfo::builder(format, width as u32, height as u32)
            .colorimetry(&colorimetry.parse().unwrap())
            .build()
            .unwrap();
        let rgb: Vec<_> = (0..width * height).map(|k| rgb(k % width, k / width)).collect();
        let color = ColorMap::new(&info);
        let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
        {
            let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer.get_mut().unwrap(), &info).unwrap();
            let layouts = Layout::of(&info).unwrap();
            for (c, layout) in layouts.iter().enumerate() {
                let data = frame.plane_data_mut(layout.plane as u32).unwrap();
                for y in 0..layout.height {
                    for x in 0..layout.width {
                        // The mean of the pixels that the sample covers.
                        let (mut sum, mut count) = (0.0, 0.0);
                        for y in (y * layout.sub[1]..(y + 1) * layout.sub[1]).filter(|&y| y < height) {
                            for x in (x * layout.sub[0]..(x + 1) * layout.sub[0]).filter(|&x| x < width) {
                                sum += color.from_rgb(rgb[y * width + x].map(f32::from))[c];
                                count += 1.0;
                            }
                        }
                        data[layout.offset + y * layout.stride + x * layout.step] = (sum / count + 0.5) as u8;
                    }
                }
            }
        }
        Self { info, buffer, rgb }
    }

    pub fn frame(&self) -> VideoFrameRef<&gst::BufferRef> {
        VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info).unwrap()
    }

    /// What was asked for at (x, y).
    pub fn rgb(&self, x: usize, y: usize) -> [u8; 3] {
        self.rgb[y * self.info.width() as usize + x]
    }
}
