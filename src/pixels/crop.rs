// SPDX-License-Identifier: MPL-2.0
//! Cutting an RGB picture out of a frame.

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::color::ColorMap;
use super::layout::{Component, Layout};
use super::walk::{Fixed, fixed, walk};
use crate::face_meta::RgbImage;
use crate::geometry::Affine;

/// How the frame's samples make one pixel of the crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Between the four nearest samples. Where the crop is smaller than its place in the frame, samples in between are
    /// left out.
    Bilinear,
    /// The mean of n × n bilinear samples under the pixel, n = how many samples wide the pixel is, rounded up.
    Area,
}

/// A picture that shrinks another more than this leaves samples out.
const MAX_TAPS: f32 = 16.0;

/// Points spread evenly over a pixel that `map` maps to samples, as offsets from the map of the pixel's upper left corner:
/// in each direction as many as the pixel is samples wide, at least 1.
pub fn taps(map: &Affine) -> Vec<[f32; 2]> {
    let [a, b, _, d, e, _] = map.0;
    // Not one more for a rounding error; NaN becomes 1.
    let count = |x: f32, y: f32| ((x.hypot(y) - 1e-3).ceil().min(MAX_TAPS) as usize).max(1);
    let (across, down) = (count(a, d), count(b, e));
    let point = |k: usize| {
        let x = ((k % across) as f32 + 0.5) / across as f32;
        let y = ((k / across) as f32 + 0.5) / down as f32;
        [a * x + b * y, d * x + e * y]
    };
    (0..across * down).map(point).collect()
}

/// Cuts `width` × `height` pixels out of `frame`.
///
/// Crop point p lies at `crop_to_frame.apply(p)`; pixel (i, j)'s centre is (i + 0.5, j + 0.5) in both. Beyond its edges the
/// frame goes on with its last pixels. A map that is not finite reads the frame's first pixel; a frame in no supported
/// format gives a black picture.
pub fn crop_rgb(
    frame: &VideoFrameRef<&gst::BufferRef>,
    crop_to_frame: &Affine,
    width: usize,
    height: usize,
    sampling: Sampling,
) -> RgbImage {
    let mut data = vec![0; width * height * 3];
    if let Some(components) = Component::of(frame)
        && width > 0
    {
        let color = ColorMap::new(frame.info());
        let [a, b, c] = components;
        let whole = b.layout.sub == [1, 1];
        let mut samples = vec![[0.0f32; 3]; width];
        for (j, out) in data.chunks_exact_mut(width * 3).enumerate() {
            if whole {
                sample_row([a, b, c], crop_to_frame, j, sampling, &mut samples, 0);
            } else {
                sample_row([a], crop_to_frame, j, sampling, &mut samples, 0);
                sample_row([b, c], crop_to_frame, j, sampling, &mut samples, 1);
            }
            for (pixel, &sample) in out.chunks_exact_mut(3).zip(&samples) {
                let rgb = color.to_rgb(sample);
                // `as` saturates.
                pixel.copy_from_slice(&rgb.map(|v| (v + 0.5) as u8));
            }
        }
    }
    RgbImage { width, height, data }
}

/// Fills entries `first..first + N` of a row's samples from N components of the same subsampling.
fn sample_row<const N: usize>(
    components: [Component; N],
    crop_to_frame: &Affine,
    j: usize,
    sampling: Sampling,
    out: &mut [[f32; 3]],
    first: usize,
) {
    let map = crop_to_frame.then(&components[0].layout.frame_to_samples());
    let taps = match sampling {
        Sampling::Bilinear => vec![[0.5 * (map.0[0] + map.0[1]), 0.5 * (map.0[3] + map.0[4])]],
        Sampling::Area => taps(&map),
    };
    let taps: Vec<_> = taps.into_iter().map(|tap| tap.map(fixed)).collect();
    let scale = 1.0 / taps.len() as f32 / (1u32 << (2 * WEIGHT_BITS)) as f32;
    for (sample, [x, y]) in out.iter_mut().zip(walk(&map, 0.0, j as f32)) {
        let mut sum = [0.0; N];
        for tap in &taps {
            let values = bilinear(&components, x.wrapping_add(tap[0]), y.wrapping_add(tap[1]));
            for n in 0..N {
                // Less than 2^31, and signed because the processor has an instruction for that.
                sum[n] += values[n] as i32 as f32;
            }
        }
        for n in 0..N {
            sample[first + n] = sum[n] * scale;
        }
    }
}

/// Fraction bits of an interpolation weight: 255 · 2^22 fits into 32 bits.
const WEIGHT_BITS: u32 = 11;

/// The components at (x, y) (sample centres at whole numbers), times 2^(2 · WEIGHT_BITS).
#[inline(always)]
fn bilinear<const N: usize>(components: &[Component; N], x: Fixed, y: Fixed) -> [u32; N] {
    const FULL: u32 = 1 << WEIGHT_BITS;
    const SHIFT: u32 = 32 - WEIGHT_BITS;
    let Layout { width, height, .. } = components[0].layout;
    let split = |v: Fixed, length: usize| {
        let last = length as Fixed - 1;
        // Rounded to the nearest weight.
        let v = v.saturating_add(1 << (SHIFT - 1)).clamp(0, last << 32);
        let weight = (v >> SHIFT) as u32 % FULL;
        ((v >> 32) as usize, (v < last << 32) as usize, weight)
    };
    let (x, right, wx) = split(x, width);
    let (y, below, wy) = split(y, height);
    let mut values = [0; N];
    for n in 0..N {
        let Component { data, layout: Layout { step, stride, .. } } = components[n];
        let top = y * stride + x * step;
        let (right, bottom) = (right * step, top + below * stride);
        let at = |k: usize| data[k] as u32;
        let t = at(top) * (FULL - wx) + at(top + right) * wx;
        let b = at(bottom) * (FULL - wx) + at(bottom + right) * wx;
        values[n] = t * (FULL - wy) + b * wy;
    }
    values
}

#[cfg(test)]
mod tests {
    use gst_video::{VideoFormat, VideoInfo};

    use super::*;
    use crate::pixels::FORMATS;
    use crate::pixels::testing::{Picture, ramp};

    /// The crop (x, y, w, h of the frame) stretched to `width` × `height`.
    fn boxed(x: f32, y: f32, w: f32, h: f32, width: usize, height: usize) -> Affine {
        Affine([w / width as f32, 0.0, x, 0.0, h / height as f32, y])
    }

    #[test]
    fn every_format_gives_back_what_was_put_in() {
        for &format in FORMATS {
            for colorimetry in ["bt601", "bt709", "bt2020", "1:4:0:0"] {
                let picture = Picture::new(format, 33, 17, colorimetry, |x, y| {
                    [40 + 4 * (x / 8) as u8, 90, 200 - 8 * (y / 8) as u8]
                });
                let crop = crop_rgb(&picture.frame(), &Affine::IDENTITY, 33, 17, Sampling::Bilinear);
                for (k, rgb) in crop.data.chunks_exact(3).enumerate() {
                    let (x, y) = (k % 33, k / 33);
                    let want = picture.rgb(x, y);
                    // Chroma between two blocks is interpolated.
                    let inside = x % 8 > 0 && x % 8 < 7 && y % 8 > 0 && y % 8 < 7;
                    for c in 0..3 {
                        let error = rgb[c].abs_diff(want[c]);
                        assert!(!inside || error <= 2, "{format} {colorimetry} ({x}, {y}): {rgb:?}, not {want:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn colours_are_those_of_the_reference_converter() {
        gst::init().unwrap();
        let source =
            Picture::new(VideoFormat::Rgb, 48, 32, "sRGB", |x, y| [5 * (x / 8 * 8) as u8, 7 * (y / 8 * 8) as u8, 90]);
        let rgb_caps = source.info.to_caps().unwrap();
        let sample = gst::Sample::builder().buffer(&source.buffer).caps(&rgb_caps).build();
        for &format in FORMATS.iter().filter(|f| !f.to_str().contains("RGB") && !f.to_str().contains("BGR")) {
            for colorimetry in ["bt601", "bt709", "bt2020", "1:4:0:0", "1:3:7:1"] {
                let wanted =
                    VideoInfo::builder(format, 48, 32).colorimetry(&colorimetry.parse().unwrap()).build().unwrap();
                let converted = gst_video::convert_sample(&sample, &wanted.to_caps().unwrap(), None).unwrap();
                let buffer = converted.buffer().unwrap();
                let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &wanted).unwrap();
                let crop = crop_rgb(&frame, &Affine::IDENTITY, 48, 32, Sampling::Bilinear);
                for (k, rgb) in crop.data.chunks_exact(3).enumerate() {
                    let (x, y) = (k % 48, k / 48);
                    let want = source.rgb(x, y);
                    let inside = (2..6).contains(&(x % 8)) && (2..6).contains(&(y % 8));
                    let near = (0..3).all(|c| rgb[c].abs_diff(want[c]) <= 4);
                    assert!(!inside || near, "{format} {colorimetry} ({x}, {y}): {rgb:?}, not {want:?}");
                }
            }
        }
    }

    #[test]
    fn pixel_centres_meet() {
        // Enlarging 2 pixels to 4, as every INTER_LINEAR resize does: 0, ¼, ¾, 1.
        let picture = Picture::new(gst_video::VideoFormat::Rgb, 2, 1, "sRGB", |x, _| [100 * x as u8; 3]);
        let crop = crop_rgb(&picture.frame(), &boxed(0.0, 0.0, 2.0, 1.0, 4, 1), 4, 1, Sampling::Bilinear);
        assert_eq!(crop.data, [0, 0, 0, 25, 25, 25, 75, 75, 75, 100, 100, 100]);
    }

    #[test]
    fn an_area_is_averaged() {
        let picture = Picture::new(gst_video::VideoFormat::Rgb, 64, 64, "sRGB", |x, y| [255 * ((x + y) % 2) as u8; 3]);
        let crop = crop_rgb(&picture.frame(), &boxed(8.0, 8.0, 32.0, 32.0, 8, 8), 8, 8, Sampling::Area);
        assert!(crop.data.iter().all(|v| (127..=128).contains(v)), "{:?}", &crop.data[..12]);
    }

    #[test]
    fn hostile_maps_are_clamped() {
        for &format in FORMATS {
            for (w, h) in [(1, 1), (3, 2)] {
                let picture = Picture::new(format, w, h, "bt709", ramp);
                for sampling in [Sampling::Bilinear, Sampling::Area] {
                    for v in [f32::NAN, f32::INFINITY, f32::MIN, 1e30, -1e9, 0.0] {
                        let crop = crop_rgb(&picture.frame(), &Affine([v; 6]), 3, 2, sampling);
                        assert_eq!(crop.data.len(), 18);
                        crop_rgb(&picture.frame(), &Affine([1.0, 0.0, v, 0.0, 1.0, 0.0]), 3, 2, sampling);
                    }
                    assert!(crop_rgb(&picture.frame(), &Affine::IDENTITY, 0, 5, sampling).data.is_empty());
                }
            }
        }
    }

    #[test]
    fn beyond_the_edges_the_frame_goes_on() {
        let picture = Picture::new(gst_video::VideoFormat::Rgb, 4, 4, "sRGB", |x, _| [60 * x as u8, 7, 9]);
        let far =
            |x| crop_rgb(&picture.frame(), &Affine([1.0, 0.0, x, 0.0, 1.0, -50.0]), 1, 1, Sampling::Bilinear).data;
        assert_eq!(far(-1000.0), [0, 7, 9]);
        assert_eq!(far(1000.0), [180, 7, 9]);
    }
}
