// SPDX-License-Identifier: MPL-2.0
//! A small grey picture of a whole frame.

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::blend::byte;
use super::color::ColorMap;
use super::layout::Component;

/// 8-bit grey, full range, `width * height` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrayImage {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u8>,
}

/// The luma (BT.601 weights for RGB) of `part` of the frame (x, y, width, height), reduced to `width` with its aspect kept; never enlarged, at
/// least 1 × 1. Each pixel is the mean of the frame's area under it. `part` is cut to the frame. A frame in no supported
/// format gives a black picture.
pub fn luma(frame: &VideoFrameRef<&gst::BufferRef>, part: [usize; 4], width: usize) -> GrayImage {
    let [x, y] = [part[0].min(frame.width() as usize), part[1].min(frame.height() as usize)];
    let (w, h) = (part[2].min(frame.width() as usize - x), part[3].min(frame.height() as usize - y));
    let width = width.clamp(1, w.max(1));
    let height = ((h * width + w / 2) / w.max(1)).max(1);
    let mut data = vec![0; width * height];
    let components = Component::of(frame).filter(|_| w > 0 && h > 0);
    let Some(components) = components else { return GrayImage { width, height, data } };
    let rows = spans(h, height);
    let columns = spans(w, width);
    let color = ColorMap::new(frame.info());
    let weights = if frame.info().is_rgb() { [0.299, 0.587, 0.114] } else { [1.0, 0.0, 0.0] };
    let mut sums = vec![0.0f32; w];
    for (out, span) in data.chunks_exact_mut(width).zip(&rows) {
        sums.fill(0.0);
        for (row, share) in span.samples() {
            for (component, weight) in components.iter().zip(weights) {
                if weight > 0.0 {
                    add_row(&mut sums, component, [x, y + row], weight * share);
                }
            }
        }
        for (pixel, span) in out.iter_mut().zip(&columns) {
            *pixel = byte(color.gray(span.mean(&sums)));
        }
    }
    GrayImage { width, height, data }
}

/// Adds `weight` times row y, from sample x on, to `sums`.
fn add_row(sums: &mut [f32], component: &Component, [x, y]: [usize; 2], weight: f32) {
    let row = &component.row(y)[x * component.layout.step..];
    if component.layout.step == 1 {
        // Apart from the general case because the compiler can vectorise it.
        for (sum, &v) in sums.iter_mut().zip(row) {
            *sum += weight * v as f32;
        }
    } else {
        for (sum, &v) in sums.iter_mut().zip(row.iter().step_by(component.layout.step)) {
            *sum += weight * v as f32;
        }
    }
}

/// A stretch of samples with the shares of the first, the last and each one between, which sum to 1.
struct Span {
    first: usize,
    last: usize,
    shares: [f32; 3],
}

impl Span {
    /// From `start` to `end`, at least 1 long, in samples of which there are `length`.
    fn new(start: f64, end: f64, length: usize) -> Self {
        let first = (start as usize).min(length - 1);
        let last = (end.ceil() as usize).clamp(first + 1, length) - 1;
        let covered = |k: usize| (end.min(k as f64 + 1.0) - start.max(k as f64)) / (end - start);
        let shares = if first == last { [1.0, 0.0, 0.0] } else { [covered(first), covered(last), 1.0 / (end - start)] };
        Self { first, last, shares: shares.map(|v| v as f32) }
    }

    fn samples(&self) -> impl Iterator<Item = (usize, f32)> + use<'_> {
        let [first, last, between] = self.shares;
        (self.first..=self.last).map(move |k| {
            let share = if k == self.first { first } else { between };
            (k, if k == self.last && k > self.first { last } else { share })
        })
    }

    /// The mean of the samples.
    fn mean(&self, samples: &[f32]) -> f32 {
        let mean = samples[self.first] * self.shares[0] + samples[self.last] * self.shares[1];
        let between = samples.get(self.first + 1..self.last).map_or(0.0, |s| s.iter().sum());
        mean + between * self.shares[2]
    }
}

/// Cuts `length` samples into `count` ≤ `length` equal spans.
fn spans(length: usize, count: usize) -> Vec<Span> {
    let step = length as f64 / count as f64;
    let span = |k: usize| Span::new(k as f64 * step, (k + 1) as f64 * step, length);
    (0..count).map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::testing::{Picture, ramp};

    const WHOLE: [usize; 4] = [0, 0, usize::MAX, usize::MAX];

    #[test]
    fn an_exact_reduction_is_the_mean_of_the_blocks() {
        for format in [gst_video::VideoFormat::I420, gst_video::VideoFormat::Bgrx] {
            let picture = Picture::new(format, 8, 4, "1:4:0:0", |x, y| [(x * 20 + y * 10) as u8; 3]);
            let gray = luma(&picture.frame(), WHOLE, 4);
            assert_eq!((gray.width, gray.height), (4, 2));
            // x = 0, 1 and y = 0, 1 have 0, 20, 10, 30.
            assert_eq!(gray.data, [15, 55, 95, 135, 35, 75, 115, 155], "{format}");
        }
    }

    #[test]
    fn a_part_is_what_lies_there() {
        for format in [gst_video::VideoFormat::Nv12, gst_video::VideoFormat::Rgb] {
            let picture = Picture::new(format, 9, 7, "1:4:0:0", |x, y| [(x * 20 + y * 10) as u8; 3]);
            let gray = luma(&picture.frame(), [3, 2, 4, 2], 2);
            assert_eq!((gray.width, gray.height, &gray.data[..]), (2, 1, &[95, 135][..]), "{format}");
            // What is cut off, and nothing at all.
            assert_eq!(luma(&picture.frame(), [8, 6, 5, 5], 9).data, [220]);
            assert_eq!(luma(&picture.frame(), [9, 99, 5, 5], 9).data.len(), 1);
        }
    }

    #[test]
    fn limited_range_is_stretched_and_the_aspect_kept() {
        let picture = Picture::new(gst_video::VideoFormat::Nv12, 641, 361, "bt709", |_, _| [255, 255, 255]);
        let gray = luma(&picture.frame(), WHOLE, 320);
        assert_eq!((gray.width, gray.height), (320, 180));
        assert!(gray.data.iter().all(|&v| v == 255));
    }

    #[test]
    fn never_larger_than_the_frame_and_never_empty() {
        for &format in crate::pixels::FORMATS {
            for (w, h) in [(1, 1), (1, 300), (300, 1), (5, 3)] {
                let picture = Picture::new(format, w, h, "bt601", ramp);
                let gray = luma(&picture.frame(), WHOLE, 100);
                assert!(gray.width <= w && gray.height <= h && !gray.data.is_empty());
                assert_eq!(gray.data.len(), gray.width * gray.height);
                assert_eq!(luma(&picture.frame(), WHOLE, 0).width, 1);
            }
        }
    }
}
