// SPDX-License-Identifier: MPL-2.0
//! A frame whose samples can be read and replaced.

use std::ops::Range;

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::blend::byte;
use super::color::ColorMap;
use super::layout::Layout;
use super::prefetch::prefetch_to_write;
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
    pub fn copy<const N: usize>(&self, first: usize, columns: Range<usize>, rows: Range<usize>) -> Option<Tile<N>> {
        let layout = self.layouts.get(first)?;
        let columns = columns.start..columns.end.min(layout.width);
        let rows = rows.start..rows.end.min(layout.height);
        Tile::new([columns.start, rows.start], columns.len(), rows.len(), |y, row| {
            self.read(first, columns.start, rows.start + y, row)
        })
    }

    /// Copies a part of row `y` of the components `first..first + N`, from column `x` on, which must lie within them.
    #[inline(always)]
    pub fn read<T: From<u8>, const N: usize>(&self, first: usize, x: usize, y: usize, row: &mut [[T; N]]) {
        if self.adjoin::<N>(first) {
            let layout = &self.layouts[first];
            let samples = &self.planes[layout.plane][layout.at(x, y)..];
            row.as_flattened_mut().iter_mut().zip(samples).for_each(|(sample, &value)| *sample = value.into());
            return;
        }
        for n in 0..N {
            let layout = &self.layouts[first + n];
            let samples = &self.planes[layout.plane][layout.at(x, y)..];
            if layout.step == 1 {
                // Apart from the general case because the compiler can vectorise it.
                for (sample, &value) in row.iter_mut().zip(samples) {
                    sample[n] = value.into();
                }
            } else {
                for (sample, &value) in row.iter_mut().zip(samples.iter().step_by(layout.step)) {
                    sample[n] = value.into();
                }
            }
        }
    }

    /// Puts back what [`Canvas::read`] read.
    #[inline(always)]
    pub fn write<const N: usize>(&mut self, first: usize, x: usize, y: usize, row: &[[u8; N]]) {
        if self.adjoin::<N>(first) {
            let layout = &self.layouts[first];
            let samples = &mut self.planes[layout.plane][layout.at(x, y)..];
            samples.iter_mut().zip(row.as_flattened()).for_each(|(sample, &value)| *sample = value);
            return;
        }
        for n in 0..N {
            let layout = &self.layouts[first + n];
            let samples = &mut self.planes[layout.plane][layout.at(x, y)..];
            if layout.step == 1 {
                for (sample, value) in row.iter().zip(samples) {
                    *value = sample[n];
                }
            } else {
                for (sample, value) in row.iter().zip(samples.iter_mut().step_by(layout.step)) {
                    *value = sample[n];
                }
            }
        }
    }

    /// Says that a part of row `y` of the components `first..first + N`, `length` samples from column `x` on, will be wanted soon;
    /// what is not within them is left out.
    #[inline(always)]
    pub fn prefetch<const N: usize>(&self, first: usize, x: usize, y: usize, length: usize) {
        let planes = if self.adjoin::<N>(first) { 1 } else { N };
        for layout in &self.layouts[first..first + planes] {
            let start = layout.at(x, y);
            if let Some(bytes) = self.planes[layout.plane].get(start..start + length * layout.step) {
                prefetch_to_write(bytes);
            }
        }
    }

    /// Whether the components `first..first + N` lie next to each other in their order, and nothing between them and the next ones.
    #[inline(always)]
    fn adjoin<const N: usize>(&self, first: usize) -> bool {
        let Layout { plane, offset, step, .. } = self.layouts[first];
        let here = |(n, layout): (usize, &Layout)| (layout.plane, layout.offset, layout.step) == (plane, offset + n, N);
        step == N && self.layouts[first..first + N].iter().enumerate().all(here)
    }

    /// Sets sample (x, y) of component `c`, rounding and clamping `value`. (x, y) must lie within the component.
    #[inline]
    pub fn set(&mut self, c: usize, x: usize, y: usize, value: f32) {
        let layout = &self.layouts[c];
        self.planes[layout.plane][layout.at(x, y)] = byte(value);
    }
}
