// SPDX-License-Identifier: MPL-2.0
//! Cutting out a picture that is smaller than its place in the frame, as numbers for a network.

use std::ops::Range;

use gst_video::VideoFrameRef;
use gst_video::prelude::*;
use wide::f32x4;

use super::color::ColorMap;
use super::crop::crop_rgb;
use super::layout::Component;
use super::tile::Tile;
use super::walk::{ONE, walk};
use crate::geometry::{Affine, Rect};

/// The frame is shrunk by this at most before pixels are read from it.
const MAX_FACTOR: usize = 8;

/// What cuts pictures out of frames and keeps its memory from one to the next.
pub struct PlaneCrop {
    /// Of R, G and B: what is written is (value − mean) / std, where values are 0..255.
    mean: [f32; 3],
    std: [f32; 3],
    memory: Vec<[f32; 4]>,
}

impl PlaneCrop {
    pub fn new(mean: [f32; 3], std: [f32; 3]) -> Self {
        Self { mean, std, memory: Vec::new() }
    }

    /// Cuts `width` × `height` pixels out of `frame` and writes them to the upper left corners of the planes R, G and B, whose
    /// rows have `pitch` numbers. What the planes have no room for is left out.
    ///
    /// As [`crop_rgb`], but no sample is left out: where a pixel of the crop is two samples wide or more, the frame is shrunk
    /// by 2, 4 or 8 first, all three components to the same grid, so that one interpolation gives all of a pixel.
    pub fn cut(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        crop_to_frame: &Affine,
        [width, height]: [usize; 2],
        planes: [&mut [f32]; 3],
        pitch: usize,
    ) {
        let [red, green, blue] = planes.map(|plane| plane.chunks_mut(pitch.max(1)).take(height));
        let rows = red.zip(green).zip(blue).enumerate();
        let (mean, std) = (self.mean, self.std);
        let normal = |rgb: [f32; 3]| [0, 1, 2].map(|k| (rgb[k] - mean[k]) / std[k]);
        let Some((factor, small)) = self.shrunk(frame, crop_to_frame, [width, height]) else {
            let crop = crop_rgb(frame, crop_to_frame, width, height);
            for (j, ((red, green), blue)) in rows {
                let pixels = crop.data[j * width * 3..(j + 1) * width * 3].chunks_exact(3);
                for (((r, g), b), pixel) in red.iter_mut().zip(green).zip(blue).zip(pixels) {
                    [*r, *g, *b] = normal([pixel[0], pixel[1], pixel[2]].map(f32::from));
                }
            }
            return;
        };
        // All three of a pixel's numbers at once: an affine map is its value at 0 and what each component adds.
        let color = ColorMap::new(frame.info());
        let four = |[a, b, c]: [f32; 3]| f32x4::from([a, b, c, 0.0]);
        let zero = four(normal(color.to_rgb([0.0; 3])));
        let [first, second, third] =
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|unit| four(normal(color.to_rgb(unit))) - zero);
        let (black, white) = (four(normal([0.0; 3])), four(normal([255.0; 3])));
        let (low, high) = (black.fast_min(white), black.fast_max(white));
        let scale = 1.0 / factor as f32;
        let map = crop_to_frame.then(&Affine([scale, 0.0, -0.5, 0.0, scale, -0.5]));
        for (j, ((red, green), blue)) in rows {
            let points = walk(&map, 0.5, j as f32 + 0.5).take(width);
            for (((r, g), b), point) in red.iter_mut().zip(green).zip(blue).zip(points) {
                let [x, y] = point.map(|v| v as f32 * (1.0 / ONE as f32));
                let [p, q, s, _] = small.between(x, y);
                let value = zero + first * p + second * q + third * s;
                [*r, *g, *b, _] = value.fast_max(low).fast_min(high).to_array();
            }
        }
        self.memory = small.into_memory();
    }

    /// The part of the frame that the crop lies on, shrunk, and by how much. `None` where it need not be, or cannot.
    fn shrunk(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        crop_to_frame: &Affine,
        [width, height]: [usize; 2],
    ) -> Option<(usize, Tile<4>)> {
        let [a, b, _, d, e, _] = crop_to_frame.0;
        let step = a.hypot(d).min(b.hypot(e));
        let size = [frame.width(), frame.height()].map(|v| v as usize);
        // NaN is no number of samples either.
        let fits = |factor: usize| step >= factor as f32 && size.iter().all(|&length| length >= factor);
        let factor = [MAX_FACTOR, 4, 2].into_iter().find(|&factor| fits(factor))?;
        let [w, h] = [width as f32, height as f32];
        let corners = [[0.0, 0.0], [w, 0.0], [0.0, h], [w, h]].map(|p| crop_to_frame.apply(p));
        let Rect { x, y, w, h } = Rect::around(&corners)?;
        // Casting saturates, and NaN becomes 0. One block more on each side for the interpolation.
        let blocks = |low: f32, high: f32, length: usize| {
            let [low, high] = [low, high].map(|v| (v / factor as f32) as usize);
            let count = length / factor;
            let start = low.saturating_sub(1).min(count - 1);
            start..(high.saturating_add(2)).clamp(start + 1, count)
        };
        let (columns, rows) = (blocks(x, x + w, size[0]), blocks(y, y + h, size[1]));
        let components = Component::of(frame)?;
        Some((factor, shrink(std::mem::take(&mut self.memory), &components, factor, columns, rows)?))
    }
}

/// The means of `factor` × `factor` pixels; the ranges are in such blocks and lie within the frame.
#[multiversion::multiversion(targets("x86_64+avx2+fma+bmi1+bmi2"))]
fn shrink(
    memory: Vec<[f32; 4]>,
    components: &[Component; 3],
    factor: usize,
    columns: Range<usize>,
    rows: Range<usize>,
) -> Option<Tile<4>> {
    let mut sums = vec![0u16; columns.len() * factor];
    Tile::new_in(memory, [columns.start, rows.start], columns.len(), rows.len(), |y, out| {
        for (n, component) in components.iter().enumerate() {
            let [across, down] = component.layout.sub.map(|sub| factor / sub);
            let sums = &mut sums[..out.len() * across];
            sums.fill(0);
            // Downwards first, which the compiler can vectorise: at most 8 · 255.
            for row in (rows.start + y) * down..(rows.start + y + 1) * down {
                let samples = &component.row(row)[columns.start * across * component.layout.step..];
                add(sums, samples, component.layout.step);
            }
            let share = 1.0 / (across * down) as f32;
            match across {
                1 => means::<1>(out, n, sums, share),
                2 => means::<2>(out, n, sums, share),
                4 => means::<4>(out, n, sums, share),
                _ => means::<MAX_FACTOR>(out, n, sums, share),
            }
        }
    })
}

#[inline(always)]
fn add(sums: &mut [u16], samples: &[u8], step: usize) {
    if step == 1 {
        sums.iter_mut().zip(samples).for_each(|(sum, &v)| *sum += u16::from(v));
    } else {
        sums.iter_mut().zip(samples.iter().step_by(step)).for_each(|(sum, &v)| *sum += u16::from(v));
    }
}

/// Sets value `n` of each of `out` to the sum of `K` of `sums` times `share`.
#[inline(always)]
fn means<const K: usize>(out: &mut [[f32; 4]], n: usize, sums: &[u16], share: f32) {
    let (blocks, _) = sums.as_chunks::<K>();
    for (out, block) in out.iter_mut().zip(blocks) {
        out[n] = f32::from(block.iter().sum::<u16>()) * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::FORMATS;
    use crate::pixels::testing::{Picture, ramp};

    fn cut(picture: &Picture, map: &Affine, side: usize) -> Vec<f32> {
        let mut planes = vec![-1.0; 3 * side * side];
        let [red, green, blue] = planes
            .get_disjoint_mut([0..side * side, side * side..2 * side * side, 2 * side * side..3 * side * side])
            .unwrap();
        PlaneCrop::new([0.0; 3], [1.0; 3]).cut(&picture.frame(), map, [side, side], [red, green, blue], side);
        planes
    }

    /// `side` pixels of `step` pixels of the frame, from (x, y) on.
    fn square(x: f32, y: f32, step: f32) -> Affine {
        Affine([step, 0.0, x, 0.0, step, y])
    }

    #[test]
    fn every_sample_counts() {
        for &format in FORMATS {
            // What is finer than the chroma must not be coloured.
            let picture = Picture::new(format, 64, 64, "1:4:0:0", |x, y| [255 * ((x + y) % 2) as u8; 3]);
            for step in [2.0, 3.0, 4.0, 8.0] {
                let planes = cut(&picture, &square(8.0, 8.0, step), 4);
                assert!(planes.iter().all(|v| (126.0..129.0).contains(v)), "{format} {step}: {planes:?}");
            }
        }
    }

    #[test]
    fn pixels_lie_where_the_map_says() {
        for &format in FORMATS {
            let picture = Picture::new(format, 67, 71, "1:4:0:0", |x, y| [3 * x as u8, 3 * y as u8, 50]);
            for step in [1.0, 1.5, 2.0, 2.6, 4.0, 5.0] {
                let planes = cut(&picture, &square(9.0, 14.0, step), 6);
                for k in 0..36 {
                    let center = |start: f32, k: usize| 3.0 * (start + (k as f32 + 0.5) * step - 0.5);
                    let wanted = [center(9.0, k % 6), center(14.0, k / 6), 50.0];
                    let found = [planes[k], planes[36 + k], planes[72 + k]];
                    let near = wanted.iter().zip(found).all(|(a, b)| (a - b).abs() < 4.0);
                    assert!(near, "{format} {step} {k}: {found:?}, not {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn hostile_maps_are_clamped() {
        for &format in FORMATS {
            for (w, h) in [(1, 1), (3, 2), (17, 40)] {
                let picture = Picture::new(format, w, h, "bt709", ramp);
                for v in [f32::NAN, f32::INFINITY, f32::MIN, 1e30, -1e9, 0.0, 7.0] {
                    for map in [Affine([v; 6]), square(v, v, 3.0), square(0.0, 0.0, v)] {
                        assert!(cut(&picture, &map, 3).iter().all(|v| (0.0..=255.0).contains(v)));
                    }
                }
            }
        }
    }
}
