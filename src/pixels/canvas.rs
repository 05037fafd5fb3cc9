// SPDX-License-Identifier: MPL-2.0
//! A frame whose samples can be read and replaced.

use std::ops::Range;

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::color::ColorMap;
use super::layout::Layout;
use super::tile::Tile;

/// A frame mapped for writing. Bytes that are no sample of Y, U, V or R, G, B (padding, alpha) are never touched.
pub struct Canvas<'a> {
    planes: [&'a mut [u8]; 4],
    layouts: [Layout; 3],
    color: ColorMap,
}

impl<'a> Canvas<'a> {
    /// `None` where the frame is in no supported format, is empty, or has a stride that cannot be.
    pub fn new(frame: &'a mut VideoFrameRef<&mut gst::BufferRef>) -> Option<Self> {
        let layouts = Layout::of(frame.info())?;
        let color = ColorMap::new(frame.info());
        let planes = frame.planes_data_mut();
        let whole = layouts.iter().all(|l| planes.get(l.plane).is_some_and(|plane| l.end() <= plane.len()));
        whole.then_some(Self { planes, layouts, color })
    }

    pub fn layouts(&self) -> &[Layout; 3] {
        &self.layouts
    }

    pub fn color(&self) -> &ColorMap {
        &self.color
    }

    /// Whether the second and third component have fewer samples than the first.
    pub fn subsampled(&self) -> bool {
        self.layouts[0].sub != self.layouts[1].sub
    }

    /// A copy of the samples in `columns` × `rows` of the components `first..first + N`, which must have the same
    /// subsampling. Ranges are cut to the component; `None` where nothing is left.
    pub fn copy<const N: usize>(&self, first: usize, columns: Range<usize>, rows: Range<usize>) -> Option<Tile<u8, N>> {
        let layouts: [Layout; N] = self.layouts.get(first..first + N)?.try_into().ok()?;
        let columns = columns.start..columns.end.min(layouts[0].width);
        let rows = rows.start..rows.end.min(layouts[0].height);
        let mut samples = vec![[0; N]; columns.len() * rows.len()];
        if samples.is_empty() {
            return None;
        }
        for (y, out) in rows.clone().zip(samples.chunks_exact_mut(columns.len())) {
            for (n, layout) in layouts.iter().enumerate() {
                let row = &self.planes[layout.plane][layout.at(columns.start, y)..=layout.at(columns.end - 1, y)];
                for (sample, &value) in out.iter_mut().zip(row.iter().step_by(layout.step)) {
                    sample[n] = value;
                }
            }
        }
        Tile::new([columns.start, rows.start], columns.len(), rows.len(), samples)
    }

    /// Sets sample (x, y) of component `c`, rounding and clamping `value`. (x, y) must lie within the component.
    #[inline]
    pub fn set(&mut self, c: usize, x: usize, y: usize, value: f32) {
        let layout = &self.layouts[c];
        // `as` saturates.
        self.planes[layout.plane][layout.at(x, y)] = (value + 0.5) as u8;
    }

    /// Moves sample (x, y) of component `c` by `weight` (0..1) towards `value`. (x, y) must lie within the component.
    #[inline]
    pub fn mix(&mut self, c: usize, x: usize, y: usize, value: f32, weight: f32) {
        let layout = &self.layouts[c];
        let sample = &mut self.planes[layout.plane][layout.at(x, y)];
        let old = *sample as f32;
        *sample = (old + weight * (value - old) + 0.5) as u8;
    }
}
