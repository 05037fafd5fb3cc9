// SPDX-License-Identifier: MPL-2.0
//! Cutting an RGB picture out of a frame.

use std::ops::Range;

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::blend;
use super::color::ColorMap;
use super::layout::{Component, Layout, Limits};
use super::places::Places;
use super::points::{Plane, Points, before};
use super::prefetch::prefetch;
use super::walk::{Fixed, ONE, ends, fixed, walk};
use crate::face_meta::RgbImage;
use crate::geometry::Affine;

/// A picture that shrinks another more than this leaves samples out.
const MAX_TAPS: f32 = 16.0;

/// So many rows before it is its turn, a row is fetched from memory.
const AHEAD: Fixed = 4;

/// Points spread evenly over a pixel that `map` maps to samples, as offsets from the map of the pixel's upper left corner:
/// in each direction as many as whole samples fit into the pixel, at least 1. Taken between the samples around each of them,
/// no sample is left out, and down to half the size the picture is what every INTER_LINEAR resize makes of it.
pub fn taps(map: &Affine) -> Vec<[f32; 2]> {
    let [a, b, _, d, e, _] = map.0;
    // Not one less for a rounding error; NaN becomes 1.
    let count = |x: f32, y: f32| ((x.hypot(y) + 1e-3).min(MAX_TAPS) as usize).max(1);
    let (across, down) = (count(a, d), count(b, e));
    let point = |k: usize| {
        let x = ((k % across) as f32 + 0.5) / across as f32;
        let y = ((k / across) as f32 + 0.5) / down as f32;
        [a * x + b * y, d * x + e * y]
    };
    (0..across * down).map(point).collect()
}

/// Cuts `width` × `height` pixels out of `frame`, each between the four samples around its centre. Where the crop is smaller
/// than its place in the frame, samples in between are left out.
///
/// Crop point p lies at `crop_to_frame.apply(p)`; pixel (i, j)'s centre is (i + 0.5, j + 0.5) in both. Beyond its edges the
/// frame goes on with its last pixels. A map that is not finite reads the frame's first pixel; a frame in no supported
/// format gives a black picture.
pub fn crop_rgb(
    frame: &VideoFrameRef<&gst::BufferRef>,
    crop_to_frame: &Affine,
    width: usize,
    height: usize,
) -> RgbImage {
    crop_within(frame, crop_to_frame, [width, height], None)
}

/// The same within edges, as [`super::resample`] has them.
#[multiversion::multiversion(targets("x86_64+avx2+fma+bmi1+bmi2"))]
pub fn crop_within(
    frame: &VideoFrameRef<&gst::BufferRef>,
    crop_to_frame: &Affine,
    [width, height]: [usize; 2],
    edges: Option<[f32; 4]>,
) -> RgbImage {
    let mut data = vec![0; width * height * 3];
    if let Some(components) = Component::of(frame)
        && width > 0
    {
        let color = ColorMap::new(frame.info());
        let [a, b, c] = components;
        let (is_rgb, same_size) = (color.is_identity(), b.layout.sub == [1, 1]);
        let mut rows: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; width]);
        let mut bytes = vec![0; width];
        let mut room = Room { line: Vec::new(), points: Points::new(width) };
        let seen = |component: &Component| Seen::new(&component.layout, crop_to_frame, width, edges);
        let (fine, coarse) = (seen(&a), seen(&b));
        for (j, out) in data.chunks_exact_mut(width * 3).enumerate() {
            let [first, second, third] = &mut rows;
            if is_rgb {
                sample_row::<3, true>([a, b, c], &fine, j, &mut room, [first, second, third]);
            } else if same_size {
                sample_row::<3, false>([a, b, c], &fine, j, &mut room, [first, second, third]);
            } else {
                sample_row::<1, false>([a], &fine, j, &mut room, [first]);
                sample_row::<2, false>([b, c], &coarse, j, &mut room, [second, third]);
            }
            store(&color, &mut rows, &mut bytes, out);
        }
    }
    RgbImage { width, height, data }
}

/// Writes a row of components as R, G, B. `rows` and `bytes` are as long as it is, and are used up.
#[inline(always)]
pub fn store(color: &ColorMap, rows: &mut [Vec<f32>; 3], bytes: &mut [u8], out: &mut [u8]) {
    // One component after the other is what the compiler can vectorise.
    let [first, second, third] = rows;
    for ((a, b), c) in first.iter_mut().zip(second).zip(third) {
        [*a, *b, *c] = color.to_rgb([*a, *b, *c]);
    }
    for (c, row) in rows.iter().enumerate() {
        bytes.iter_mut().zip(row).for_each(|(byte, &value)| *byte = blend::byte(value));
        out.iter_mut().skip(c).step_by(3).zip(&*bytes).for_each(|(out, &byte)| *out = byte);
    }
}

/// A crop seen from the samples of a component.
struct Seen {
    map: Affine,
    limits: [Limits; 2],
    /// Where the crop is upright: its columns are the same for all rows.
    columns: Option<Columns>,
}

/// Where the columns of an upright crop lie.
struct Columns {
    /// The part of a row's bytes that is needed.
    used: Range<usize>,
    /// Of each column, where in `used` it lies.
    places: Places,
}

impl Seen {
    fn new(layout: &Layout, crop_to_frame: &Affine, width: usize, edges: Option<[f32; 4]>) -> Self {
        let map = crop_to_frame.then(&layout.frame_to_samples());
        let limits = layout.limits(edges);
        let within = |end: [Fixed; 2]| is_within(round(end)[0], &limits[0]);
        let all_within = ends(&map, 0.5, 0.5, width).is_some_and(|ends| ends.into_iter().all(within));
        let columns = (map.0[1] == 0.0 && map.0[3] == 0.0 && all_within).then(|| {
            let place = |[x, _]: [Fixed; 2]| ((x >> 32) as usize * layout.step, weight(x) as f32 / FULL as f32);
            let places: Vec<_> = walk(&map, 0.5, 0.5).map(round).take(width).map(place).collect();
            let first = places.iter().map(|place| place.0).min().unwrap_or(0);
            let places = Places::new(places.into_iter().map(|(at, part)| (at - first, part)), layout.step);
            Columns { used: first..first + places.line_length(), places }
        });
        Self { map, limits, columns }
    }
}

/// Half of a weight's last bit more: it is rounded, not cut off.
fn round(point: [Fixed; 2]) -> [Fixed; 2] {
    point.map(|v| v.saturating_add(1 << (31 - WEIGHT_BITS)))
}

/// Fills a row of the crop from `N` components of the same subsampling: with what is between the samples or, if it is to be
/// `WHOLE`, with the whole number that OpenCV takes for it.
#[inline(always)]
fn sample_row<const N: usize, const WHOLE: bool>(
    components: [Component; N],
    seen: &Seen,
    j: usize,
    room: &mut Room,
    rows: [&mut Vec<f32>; N],
) {
    let Seen { map, limits, columns } = seen;
    let rows = rows.map(|row| &mut row[..]);
    let length = rows[0].len();
    let (x, y) = (0.5, j as f32 + 0.5);
    let points = walk(map, x, y).map(round);
    let inside = |point: [Fixed; 2]| round(point).into_iter().zip(limits).all(|(v, limits)| is_within(v, limits));
    let step = components[0].layout.step;
    // Where a sample lies is told in 31 bits.
    let small = components.iter().all(|component| i32::try_from(component.data.len()).is_ok());
    // A line whose ends are inside is inside.
    let Some([start, _]) = ends(map, x, y, length).filter(|ends| small && ends.iter().all(|end| inside(*end))) else {
        fill(rows, points, |point| clamped::<N, WHOLE>(&components, limits, point));
        return;
    };
    if let Some(columns) = columns.as_ref().filter(|_| !WHOLE) {
        let [_, y] = round(start);
        let later = (y.saturating_add(fixed(map.0[4]).saturating_mul(AHEAD)) >> 32) as usize;
        for (component, row) in components.iter().zip(rows) {
            for y in [later, later.wrapping_add(1)].into_iter().filter(|y| *y < component.layout.height) {
                prefetch(&component.row(y)[columns.used.clone()]);
            }
            level(component, columns, y, &mut room.line, row);
        }
        return;
    }
    if WHOLE {
        let places = points.map(|[x, y]| ((x >> 32) as usize * step, (y >> 32) as usize, [x, y].map(weight)));
        // A step that the compiler knows saves the looks at each sample's bounds.
        match step {
            1 => fill(rows, places, |place| within::<N, 1>(&components, place)),
            3 => fill(rows, places, |place| within::<N, 3>(&components, place)),
            _ => fill(rows, places, |place| within::<N, 4>(&components, place)),
        }
        return;
    }
    let ([x, y], [dx, dy]) = (map.apply([x, y]), [map.0[0], map.0[3]]);
    let [left, top] = [&limits[0], &limits[1]].map(|limits| limits.start as f32);
    let [right, bottom] = [&limits[0], &limits[1]].map(|limits| limits.end as i32 - 2);
    let mut stride = None;
    for (Component { data, layout }, row) in components.iter().zip(rows) {
        // Two planes of one size may have rows of different lengths.
        if stride.replace(layout.stride) != Some(layout.stride) {
            let gaps = [step, layout.stride].map(|gap| gap as i32);
            room.points.set(length, [step, layout.stride], |k| {
                // By way of i32 because the processor has an instruction for that. A point is inside but for rounding.
                let k = k as i32 as f32;
                let (x0, across) = before((x + dx * k).max(left), right);
                let (y0, down) = before((y + dy * k).max(top), bottom);
                (y0 * gaps[1] + x0 * gaps[0], [across, down])
            });
        }
        room.points.pick(Plane::Bytes(data), row);
    }
}

/// What the rows of a crop are made with.
struct Room {
    line: Vec<f32>,
    points: Points,
}

/// Before a point: the samples' place in their row, and the row; and the weights of the ones after it.
type Place = (usize, usize, [u32; 2]);

/// A row that lies level in the frame: first what is between its lines, which takes many samples at once, then what is between
/// the columns.
#[inline(always)]
fn level(component: &Component, columns: &Columns, y: Fixed, line: &mut Vec<f32>, row: &mut [f32]) {
    let Component { data, layout } = component;
    let start = (y >> 32) as usize * layout.stride;
    let [upper, lower] = [start, start + layout.stride].map(|start| &data[start..][columns.used.clone()]);
    let part = weight(y) as f32 / FULL as f32;
    // What is in it does not matter.
    line.resize(columns.used.len(), 0.0);
    for ((value, &upper), &lower) in line.iter_mut().zip(upper).zip(lower) {
        let (upper, lower) = (f32::from(upper), f32::from(lower));
        *value = upper + (lower - upper) * part;
    }
    columns.places.pick(line, row);
}

#[inline(always)]
fn fill<P, const N: usize>(rows: [&mut [f32]; N], places: impl Iterator<Item = P>, at: impl Fn(P) -> [u32; N]) {
    let length = rows[0].len();
    for (i, place) in places.take(length).enumerate() {
        let values = at(place);
        for n in 0..N {
            // Less than 2^31, and signed because the processor has an instruction for that.
            rows[n][i] = values[n] as i32 as f32 * (1.0 / (1u32 << (2 * WEIGHT_BITS)) as f32);
        }
    }
}

/// Fraction bits of an interpolation weight: 255 · 2^22 fits into 32 bits.
const WEIGHT_BITS: u32 = 11;

const FULL: u32 = 1 << WEIGHT_BITS;

/// Whether there is a sample before the place and one after it.
fn is_within(v: Fixed, limits: &Limits) -> bool {
    let [first, last] = ends_of(limits);
    (first..last).contains(&v)
}

/// The first and the last sample's place.
fn ends_of(limits: &Limits) -> [Fixed; 2] {
    [(limits.start as Fixed) << 32, (limits.end as Fixed - 1) << 32]
}

/// The components at a point (sample centres at whole numbers) that may lie beyond the edges, times 2^(2 · WEIGHT_BITS).
#[inline(always)]
fn clamped<const N: usize, const WHOLE: bool>(
    components: &[Component; N],
    limits: &[Limits; 2],
    [x, y]: [Fixed; 2],
) -> [u32; N] {
    components.map(|Component { data, layout }| {
        // As OpenCV: across, a point beyond the edges moves there; down, the samples around it do.
        let [first, last] = ends_of(&limits[0]);
        let x = x.clamp(first, last);
        let column = (x >> 32) as usize * layout.step;
        let right = if x < last { layout.step } else { 0 };
        let [first, last] = ends_of(&limits[1]);
        let row = |v: Fixed| (v.clamp(first, last) >> 32) as usize * layout.stride;
        let (above, below) = (row(y), row(y.saturating_add(ONE)));
        let at = |row: usize, k: usize| data[row + column + k];
        between::<WHOLE>([at(above, 0), at(above, right)], [at(below, 0), at(below, right)], [x, y].map(weight))
    })
}

/// As [`clamped`] whole numbers, where all four samples around the point are there.
#[inline(always)]
fn within<const N: usize, const STEP: usize>(components: &[Component; N], (column, row, weights): Place) -> [u32; N] {
    components.map(|Component { data, layout }| {
        let start = row * layout.stride + column;
        let pair = |start: usize| {
            let samples = &data[start..start + STEP + 1];
            [samples[0], samples[STEP]]
        };
        between::<true>(pair(start), pair(start + layout.stride), weights)
    })
}

/// The weight of the sample after `v`.
#[inline(always)]
fn weight(v: Fixed) -> u32 {
    (v >> (32 - WEIGHT_BITS)) as u32 % FULL
}

/// Between four samples, by the weights of the right and the lower ones, times 2^(2 · WEIGHT_BITS).
#[inline(always)]
fn between<const WHOLE: bool>(top: [u8; 2], bottom: [u8; 2], [wx, wy]: [u32; 2]) -> u32 {
    let [top, bottom] = [top, bottom].map(|[left, right]| u32::from(left) * (FULL - wx) + u32::from(right) * wx);
    if WHOLE {
        // OpenCV keeps 16 bits of a row's sum, and of each product 2 behind the point.
        let part = |sum: u32, weight: u32| ((sum >> 4) * weight) >> 16;
        ((part(top, FULL - wy) + part(bottom, wy) + 2) >> 2) << (2 * WEIGHT_BITS)
    } else {
        top * (FULL - wy) + bottom * wy
    }
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
                let crop = crop_rgb(&picture.frame(), &Affine::IDENTITY, 33, 17);
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
                let crop = crop_rgb(&frame, &Affine::IDENTITY, 48, 32);
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
        let crop = crop_rgb(&picture.frame(), &boxed(0.0, 0.0, 2.0, 1.0, 4, 1), 4, 1);
        assert_eq!(crop.data, [0, 0, 0, 25, 25, 25, 75, 75, 75, 100, 100, 100]);
    }

    #[test]
    fn hostile_maps_are_clamped() {
        for &format in FORMATS {
            for (w, h) in [(1, 1), (3, 2)] {
                let picture = Picture::new(format, w, h, "bt709", ramp);
                for v in [f32::NAN, f32::INFINITY, f32::MIN, 1e30, -1e9, 0.0] {
                    let crop = crop_rgb(&picture.frame(), &Affine([v; 6]), 3, 2);
                    assert_eq!(crop.data.len(), 18);
                    crop_rgb(&picture.frame(), &Affine([1.0, 0.0, v, 0.0, 1.0, 0.0]), 3, 2);
                }
                assert!(crop_rgb(&picture.frame(), &Affine::IDENTITY, 0, 5).data.is_empty());
            }
        }
    }

    #[test]
    fn beyond_the_edges_the_frame_goes_on() {
        let picture = Picture::new(gst_video::VideoFormat::Rgb, 4, 4, "sRGB", |x, _| [60 * x as u8, 7, 9]);
        let far = |x| crop_rgb(&picture.frame(), &Affine([1.0, 0.0, x, 0.0, 1.0, -50.0]), 1, 1).data;
        assert_eq!(far(-1000.0), [0, 7, 9]);
        assert_eq!(far(1000.0), [180, 7, 9]);
    }
}
