// SPDX-License-Identifier: MPL-2.0
//! Cutting an RGB picture out of a frame with the kernels of OpenCV's `resize`.
//!
//! A crop that lies upright in the frame is made one axis after the other: each column and each row of it has its samples and
//! their shares. One that does not is made pixel by pixel.

use std::f32::consts::PI;

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::color::ColorMap;
use super::crop::{crop_within, store, taps};
use super::layout::{Component, Limits};
use crate::face_meta::RgbImage;
use crate::geometry::Affine;

/// What a pixel of the crop is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The 2 × 2 samples around its centre (`INTER_LINEAR`).
    Linear,
    /// 4 × 4 samples by cubic convolution with a = −0.75 (`INTER_CUBIC`).
    Cubic,
    /// 8 × 8 samples by sinc(d) · sinc(d / 4) (`INTER_LANCZOS4`).
    Lanczos,
    /// All that it covers, each sample by its share (`INTER_AREA`). Where the crop is turned: the mean of points spread over
    /// it. Where it is larger than its place in the frame one way and smaller the other, OpenCV takes two samples each way.
    Area,
}

/// Cuts `width` × `height` pixels out of `frame`, as [`super::crop_rgb`] does, with a `kernel` of one's choice.
///
/// `edges`: left, top, right, bottom, in frame pixels; beyond them nothing is read, and what lies at them goes on instead. By
/// default, and where they leave nothing, they are the frame's own.
pub fn resample(
    frame: &VideoFrameRef<&gst::BufferRef>,
    crop_to_frame: &Affine,
    [width, height]: [usize; 2],
    kernel: Kernel,
    edges: Option<[f32; 4]>,
) -> RgbImage {
    if kernel == Kernel::Linear {
        return crop_within(frame, crop_to_frame, [width, height], edges);
    }
    let mut data = vec![0; width * height * 3];
    let Some(components) = Component::of(frame).filter(|_| width > 0) else { return RgbImage { width, height, data } };
    let color = ColorMap::new(frame.info());
    let mut rows: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; width]);
    let mut bytes = vec![0; width];
    let mut sources = components.map(|component| Source::new(component, crop_to_frame, [width, height], kernel, edges));
    for (j, out) in data.chunks_exact_mut(width * 3).enumerate() {
        sources.iter_mut().zip(&mut rows).for_each(|(source, row)| source.row(j, row));
        store(&color, &mut rows, &mut bytes, out);
    }
    RgbImage { width, height, data }
}

/// Neighbouring samples along one axis, and their shares, which sum to 1.
#[derive(Clone, Debug, PartialEq)]
struct Taps {
    first: usize,
    shares: Vec<f32>,
}

struct Source<'a> {
    component: Component<'a>,
    way: Way,
}

enum Way {
    /// The columns' and the rows' taps. One row's samples, times their shares down the columns, are summed up in `sums`, which
    /// begins at sample `start`.
    Upright { columns: Vec<Taps>, rows: Vec<Taps>, start: usize, sums: Vec<f32> },
    /// From crop pixels' corners to samples (centres at whole numbers), and the points in a pixel to take the mean of.
    Turned { map: Affine, points: Vec<[f32; 2]>, kernel: Kernel, limits: [Limits; 2] },
}

impl<'a> Source<'a> {
    fn new(
        component: Component<'a>,
        crop_to_frame: &Affine,
        [width, height]: [usize; 2],
        kernel: Kernel,
        edges: Option<[f32; 4]>,
    ) -> Self {
        let limits = component.layout.limits(edges);
        let map = crop_to_frame.then(&component.layout.frame_to_samples());
        let [a, b, c, d, e, f] = map.0;
        if b != 0.0 || d != 0.0 {
            let (points, kernel) = match kernel {
                Kernel::Area => (taps(&map), Kernel::Linear),
                _ => (vec![[(a + b) / 2.0, (d + e) / 2.0]], kernel),
            };
            return Self { component, way: Way::Turned { map, points, kernel, limits } };
        }
        let [across, down] = limits;
        let shrinks = [crop_to_frame.0[0], crop_to_frame.0[4]].map(|scale| scale.abs() >= 1.0);
        let mixed = kernel == Kernel::Area && shrinks[0] != shrinks[1];
        let axis = |scale: f32, offset: f32, count: usize, limits: Limits| -> Vec<Taps> {
            let taps = |k| match mixed && scale >= 1.0 {
                true => Taps::two(k, scale, offset, &limits),
                false => Taps::upright(k, scale, offset, kernel, &limits),
            };
            (0..count).map(taps).collect()
        };
        let (columns, rows) = (axis(a, c, width, across), axis(e, f, height, down));
        let start = columns.iter().map(|taps| taps.first).min().unwrap_or(0);
        let end = columns.iter().map(|taps| taps.first + taps.shares.len()).max().unwrap_or(0);
        Self { component, way: Way::Upright { columns, rows, start, sums: vec![0.0; end - start] } }
    }

    /// Fills row `j` of the crop.
    fn row(&mut self, j: usize, out: &mut [f32]) {
        let Self { component, way } = self;
        match way {
            Way::Upright { columns, rows, start, sums } => {
                sums.fill(0.0);
                for (k, share) in rows[j].shares.iter().enumerate() {
                    add(
                        sums,
                        &component.row(rows[j].first + k)[*start * component.layout.step..],
                        component.layout.step,
                        *share,
                    );
                }
                for (value, taps) in out.iter_mut().zip(columns) {
                    let samples = &sums[taps.first - *start..];
                    *value = taps.shares.iter().zip(samples).map(|(share, sample)| share * sample).sum();
                }
            }
            Way::Turned { map, points, kernel, limits } => {
                let part = 1.0 / points.len() as f32;
                for (i, value) in out.iter_mut().enumerate() {
                    let [x, y] = map.apply([i as f32, j as f32]);
                    let at = |p: &[f32; 2]| {
                        let [across, down] = [(x + p[0], &limits[0]), (y + p[1], &limits[1])]
                            .map(|(at, limits)| Taps::at(f64::from(at), *kernel, limits));
                        sum(component, &across, &down)
                    };
                    *value = points.iter().map(at).sum::<f32>() * part;
                }
            }
        }
    }
}

/// Adds `share` times the samples to `sums`.
fn add(sums: &mut [f32], samples: &[u8], step: usize, share: f32) {
    if step == 1 {
        // Apart from the general case because the compiler can vectorise it.
        sums.iter_mut().zip(samples).for_each(|(sum, &v)| *sum += share * f32::from(v));
    } else {
        sums.iter_mut().zip(samples.iter().step_by(step)).for_each(|(sum, &v)| *sum += share * f32::from(v));
    }
}

fn sum(component: &Component, across: &Taps, down: &Taps) -> f32 {
    let row = |(k, share): (usize, &f32)| {
        let step = component.layout.step;
        let samples = component.row(down.first + k)[across.first * step..].iter().step_by(step);
        share * across.shares.iter().zip(samples).map(|(share, &v)| share * f32::from(v)).sum::<f32>()
    };
    down.shares.iter().enumerate().map(row).sum()
}

impl Taps {
    /// Of pixel `k` of an axis along which sample = `scale` · crop + `offset`.
    fn upright(k: usize, scale: f32, offset: f32, kernel: Kernel, limits: &Limits) -> Self {
        let at = |v: f64| f64::from(scale) * v + f64::from(offset);
        match kernel {
            Kernel::Area => {
                // In terms of samples' borders.
                let (a, b) = (at(k as f64) + 0.5, at(k as f64 + 1.0) + 0.5);
                Self::covered(a.min(b), a.max(b), limits)
            }
            _ => Self::at(at(k as f64 + 0.5), kernel, limits),
        }
    }

    /// What OpenCV takes for `INTER_AREA` along the axis that shrinks while the other one grows: the sample at the pixel's
    /// start and the next one, by how much of the pixel lies behind the first one's end.
    fn two(k: usize, scale: f32, offset: f32, limits: &Limits) -> Self {
        let (k, scale, offset) = (k as f64, f64::from(scale), f64::from(offset) + 0.5);
        let start = (scale * k + offset).clamp(limits.start as f64 - 8.0, limits.end as f64 + 8.0).floor();
        let behind = (k + 1.0 - (start + 1.0 - offset) / scale).clamp(0.0, 1.0) as f32;
        Self::within(start as i64, &[1.0 - behind, behind], limits)
    }

    /// Around a point; sample centres are at whole numbers.
    fn at(point: f64, kernel: Kernel, limits: &Limits) -> Self {
        // In this order NaN becomes the first one. Further out nothing changes any more.
        let point = point.max(limits.start as f64 - 8.0).min(limits.end as f64 + 8.0);
        let (corner, t) = (point.floor() as i64, (point - point.floor()) as f32);
        match kernel {
            Kernel::Linear | Kernel::Area => Self::within(corner, &[1.0 - t, t], limits),
            Kernel::Cubic => Self::within(corner - 1, &cubic(t), limits),
            Kernel::Lanczos => Self::within(corner - 3, &lanczos(t), limits),
        }
    }

    /// From `start` to `end`, where sample k reaches from k to k + 1.
    fn covered(start: f64, end: f64, limits: &Limits) -> Self {
        let (low, high) = (limits.start as f64, limits.end as f64);
        let length = end - start;
        if !(length.is_finite() && length > 0.0) {
            return Self::at(start - 0.5, Kernel::Linear, limits);
        }
        let (inner, outer) = (start.clamp(low, high), end.clamp(low, high));
        let first = (inner as usize).min(limits.end - 1);
        let last = (outer.ceil() as usize).clamp(first + 1, limits.end) - 1;
        let covered = |k: usize| (outer.min(k as f64 + 1.0) - inner.max(k as f64)).max(0.0);
        let mut shares: Vec<f32> = (first..=last).map(|k| (covered(k) / length) as f32).collect();
        // What lies beyond is as the last sample.
        shares[0] += ((inner - start) / length) as f32;
        shares[last - first] += ((end - outer) / length) as f32;
        Self { first, shares }
    }

    /// `shares` of the samples from `first` on; those beyond the limits fall to the last ones within.
    fn within(first: i64, shares: &[f32], limits: &Limits) -> Self {
        let (low, high) = (limits.start as i64, limits.end as i64 - 1);
        let start = first.clamp(low, high);
        let end = (first + shares.len() as i64 - 1).clamp(low, high);
        let mut taps = Self { first: start as usize, shares: vec![0.0; (end - start) as usize + 1] };
        for (k, share) in (first..).zip(shares) {
            taps.shares[(k.clamp(low, high) - start) as usize] += share;
        }
        taps
    }
}

/// Shares of four neighbours at `t` (0..1) from the second to the third: Keys' kernel (IEEE Trans. ASSP 29, 1981).
fn cubic(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let far = |d: f32| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let near = |d: f32| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

/// Shares of eight neighbours at `t` (0..1) from the fourth to the fifth: Lanczos' window of order 4.
fn lanczos(t: f32) -> [f32; 8] {
    let sinc = |x: f32| if x.abs() < 1e-6 { 1.0 } else { (PI * x).sin() / (PI * x) };
    let shares: [f32; 8] = std::array::from_fn(|k| {
        let d = t + 3.0 - k as f32;
        sinc(d) * sinc(d / 4.0)
    });
    let sum: f32 = shares.iter().sum();
    shares.map(|share| share / sum)
}

#[cfg(test)]
mod tests {
    use gst_video::VideoFormat;

    use super::*;
    use crate::pixels::FORMATS;
    use crate::pixels::testing::{Picture, ramp};

    const KERNELS: [Kernel; 4] = [Kernel::Linear, Kernel::Cubic, Kernel::Lanczos, Kernel::Area];

    fn boxed([x, y, w, h]: [f32; 4], [width, height]: [usize; 2]) -> Affine {
        Affine([w / width as f32, 0.0, x, 0.0, h / height as f32, y])
    }

    /// What `cv2.resize` makes of the rectangle x, y, w, h of a picture whose pixel (x, y) is
    /// `detailed(x, y)`: the crop's size, the interpolation's name, then red, green and blue of all pixels.
    const REFERENCE: &str = include_str!("resample.txt");

    /// Detail of all sizes, without randomness.
    fn detailed(x: usize, y: usize) -> [u8; 3] {
        let mix = |seed: usize| {
            let v = (x * 7919 + y * 104_729 + seed * 31).wrapping_mul(2_654_435_761) >> 7;
            (v % 256) as u8
        };
        let smooth = |v: usize| (if (v / 8).is_multiple_of(2) { v % 8 } else { 7 - v % 8 } * 36) as u8;
        [mix(1) / 3 + smooth(x) / 2, smooth(x + y), mix(2)]
    }

    #[test]
    fn pixels_are_those_of_opencv() {
        let picture = Picture::new(VideoFormat::Rgb, 48, 40, "sRGB", detailed);
        let mut compared = 0;
        for line in REFERENCE.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let mut number = || words.next().unwrap().parse::<usize>().unwrap();
            let [x, y, w, h, width, height] = std::array::from_fn(|_| number());
            let kernel = match words.next().unwrap() {
                "linear" => Kernel::Linear,
                "cubic" => Kernel::Cubic,
                "lanczos" => Kernel::Lanczos,
                "area" => Kernel::Area,
                other => panic!("{other}"),
            };
            let wanted: Vec<u8> = words.map(|v| v.parse().unwrap()).collect();
            let rect = [x, y, w, h].map(|v| v as f32);
            let edges = [rect[0], rect[1], rect[0] + rect[2], rect[1] + rect[3]];
            let crop = resample(&picture.frame(), &boxed(rect, [width, height]), [width, height], kernel, Some(edges));
            let errors = || crop.data.iter().zip(&wanted).map(|(a, b)| f64::from(a.abs_diff(*b)));
            let mean = errors().sum::<f64>() / wanted.len() as f64;
            let max = errors().fold(0.0, f64::max);
            println!("{kernel:?} {w} × {h} → {width} × {height}: {mean:.3} mean, {max} at most");
            let most = if kernel == Kernel::Linear { 0.0 } else { 1.0 };
            assert!(wanted.len() == crop.data.len() && mean <= 0.5 && max <= most, "{kernel:?}: {mean}, {max}");
            compared += 1;
        }
        assert_eq!(compared, 20);
    }

    #[test]
    fn every_kernel_keeps_slopes_and_flat_areas() {
        for &format in FORMATS {
            let picture = Picture::new(format, 64, 48, "1:4:0:0", |x, y| [3 * x as u8, 4 * y as u8, 77]);
            for kernel in KERNELS {
                let map = boxed([16.0, 12.0, 24.0, 24.0], [8, 16]);
                let turned = Affine([3.0, 1e-3, 16.0, 1e-3, 1.5, 12.0]);
                for map in [map, turned] {
                    let crop = resample(&picture.frame(), &map, [8, 16], kernel, None);
                    for (k, rgb) in crop.data.chunks_exact(3).enumerate() {
                        let [x, y] = map.apply([(k % 8) as f32 + 0.5, (k / 8) as f32 + 0.5]);
                        let wanted = [3.0 * (x - 0.5), 4.0 * (y - 0.5), 77.0];
                        let near = (0..3).all(|c| (f32::from(rgb[c]) - wanted[c]).abs() < 4.0);
                        assert!(near, "{format} {kernel:?} {k}: {rgb:?}, not {wanted:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_beyond_the_edges_is_seen() {
        for &format in FORMATS {
            let inside = |x: usize, y: usize| (8..24).contains(&x) && (10..30).contains(&y);
            let picture =
                Picture::new(format, 40, 40, "bt709", |x, y| if inside(x, y) { [90; 3] } else { [255, 0, 0] });
            for kernel in KERNELS {
                let map = boxed([8.0, 10.0, 16.0, 20.0], [32, 32]);
                let crop = resample(&picture.frame(), &map, [32, 32], kernel, Some([8.0, 10.0, 24.0, 30.0]));
                let flat = crop.data.iter().all(|v| v.abs_diff(90) <= 2);
                assert!(flat, "{format} {kernel:?}: {:?}", crop.data.iter().max());
            }
        }
    }

    #[test]
    fn hostile_maps_are_clamped() {
        for &format in FORMATS {
            for (w, h) in [(1, 1), (3, 2)] {
                let picture = Picture::new(format, w, h, "bt709", ramp);
                for v in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN, 1e30, -1e9, -1.0, 0.0] {
                    let maps =
                        [Affine([v; 6]), Affine([1.0, 0.0, v, 0.0, 1.0, 0.0]), Affine([v, 0.0, 1.0, 0.0, 1.0, v])];
                    for (map, kernel) in maps.iter().flat_map(|map| KERNELS.map(|kernel| (map, kernel))) {
                        for edges in [None, Some([v; 4]), Some([1.0, 1.0, 2.0, 2.0])] {
                            assert_eq!(resample(&picture.frame(), map, [3, 2], kernel, edges).data.len(), 18);
                        }
                        assert!(resample(&picture.frame(), map, [0, 5], kernel, None).data.is_empty());
                    }
                }
            }
        }
    }
}
