// SPDX-License-Identifier: MPL-2.0
//! Where the three components of a frame lie in its planes.

use std::ops::Range;

use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};

use crate::geometry::Affine;

/// The samples along one axis that may be read; there is at least one.
pub type Limits = Range<usize>;

/// One component: sample (x, y) is byte `offset + y * stride + x * step` of plane `plane`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub plane: usize,
    pub offset: usize,
    pub stride: usize,
    pub step: usize,
    pub width: usize,
    pub height: usize,
    /// Frame pixels per sample, across and down: 1 or 2.
    pub sub: [usize; 2],
}

impl Layout {
    /// The layouts of Y, U, V or of R, G, B. `info` must be a mapped frame's own, whose strides and offsets are those of the
    /// buffer. `None` where it is no supported format, is empty, or has a stride that cannot be.
    pub fn of(info: &VideoInfo) -> Option<[Self; 3]> {
        if !super::FORMATS.contains(&info.format()) {
            return None;
        }
        let format = info.format_info();
        let component = |c: usize| {
            let index = c as u8;
            let stride = usize::try_from(info.comp_stride(index)).ok()?;
            let layout = Self {
                plane: info.comp_plane(index) as usize,
                offset: info.comp_poffset(index) as usize,
                stride,
                step: usize::try_from(info.comp_pstride(index)).ok()?,
                width: info.comp_width(index) as usize,
                height: info.comp_height(index) as usize,
                sub: [1 << format.w_sub()[c], 1 << format.h_sub()[c]],
            };
            // The bindings compute a plane's size in 32 bits.
            let size = stride.checked_mul(layout.height)?;
            let row = layout.offset + layout.width.checked_sub(1)? * layout.step;
            (layout.height > 0 && row < stride && u32::try_from(size).is_ok()).then_some(layout)
        };
        Some([component(0)?, component(1)?, component(2)?])
    }

    /// Where sample (x, y) lies in the plane.
    #[inline]
    pub fn at(&self, x: usize, y: usize) -> usize {
        self.offset + y * self.stride + x * self.step
    }

    /// The samples across and down that lie within left, top, right, bottom, in frame pixels; all where there are none.
    pub fn limits(&self, edges: Option<[f32; 4]>) -> [Limits; 2] {
        let [left, top, right, bottom] = edges.unwrap_or([0.0, 0.0, f32::INFINITY, f32::INFINITY]);
        [(left, right, self.width, self.sub[0]), (top, bottom, self.height, self.sub[1])].map(
            |(low, high, length, sub)| {
                // Casting saturates, and NaN becomes 0.
                let [low, high] = [(low / sub as f32).floor() as usize, (high / sub as f32).ceil() as usize];
                let limits = low..high.min(length);
                if limits.is_empty() { 0..length } else { limits }
            },
        )
    }

    /// One past the last sample.
    pub fn end(&self) -> usize {
        self.at(self.width - 1, self.height - 1) + 1
    }

    /// From this component's samples, (0, 0) being the *centre* of the first one, to frame coordinates.
    pub fn samples_to_frame(&self) -> Affine {
        let [sx, sy] = self.sub.map(|s| s as f32);
        Affine([sx, 0.0, 0.5 * sx, 0.0, sy, 0.5 * sy])
    }

    /// From frame coordinates to this component's: (0, 0) is the *centre* of the first sample.
    pub fn frame_to_samples(&self) -> Affine {
        let [sx, sy] = self.sub;
        Affine([1.0 / sx as f32, 0.0, -0.5, 0.0, 1.0 / sy as f32, -0.5])
    }
}

/// A component that can be read.
#[derive(Clone, Copy)]
pub struct Component<'a> {
    /// Starts at the first sample and ends no earlier than the last one.
    pub data: &'a [u8],
    pub layout: Layout,
}

impl<'a> Component<'a> {
    /// The components of a mapped frame; `None` as for [`Layout::of`].
    pub fn of(frame: &'a VideoFrameRef<&gst::BufferRef>) -> Option<[Self; 3]> {
        let component = |layout: Layout| {
            let data = frame.plane_data(layout.plane as u32).ok()?.get(layout.offset..)?;
            (layout.end() - layout.offset <= data.len()).then_some(Self { data, layout })
        };
        let [a, b, c] = Layout::of(frame.info())?;
        Some([component(a)?, component(b)?, component(c)?])
    }

    /// The samples of row `y`: every `step`-th byte of the result.
    #[inline]
    pub fn row(&self, y: usize) -> &'a [u8] {
        let start = y * self.layout.stride;
        &self.data[start..start + (self.layout.width - 1) * self.layout.step + 1]
    }
}
