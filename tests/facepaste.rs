// SPDX-License-Identifier: MPL-2.0
mod blends;

use std::sync::Arc;

use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo, VideoMeta};
use gstlipsync::face_meta::{Face, FaceMeta, Generated, InnerGrid, LANDMARKS, Pose, Reason, RgbImage, Values, Warp};
use gstlipsync::geometry::{Affine, Rect};
use gstlipsync::model::Model;
use gstlipsync::model::points::PointSet;
use gstlipsync::pixels::{FORMATS, crop_rgb};

use super::common::init;

/// Side of the crop in crop pixels, and points along a side of the warp's grid.
const CROP: usize = 64;
const GRID: usize = 17;

fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
    VideoInfo::builder(format, width, height).fps(gst::Fraction::new(25, 1)).build().unwrap()
}

/// A frame full of noise, or with `stride_padding`, of noise in padded rows described by a VideoMeta.
fn frame(info: &VideoInfo, stride_padding: usize) -> gst::Buffer {
    let (mut offsets, mut strides, mut size) = (vec![], vec![], 0);
    for plane in 0..info.n_planes() {
        // Component n begins in plane n, or the plane has none of its own.
        let component = (0..info.n_components()).find(|&c| info.comp_plane(c as u8) == plane).unwrap();
        let stride = info.stride()[plane as usize] as usize + stride_padding;
        offsets.push(size);
        strides.push(stride as i32);
        size += stride * info.comp_height(component as u8) as usize;
    }
    if stride_padding == 0 {
        size = info.size();
    }
    let mut random = 12345u32;
    let noise = (0..size)
        .map(|_| {
            random = random.wrapping_mul(1664525).wrapping_add(1013904223);
            // Not near the ends of the range, where a change could be cut off.
            40 + (random >> 24) as u8 / 2
        })
        .collect::<Vec<u8>>();
    let mut buffer = gst::Buffer::from_mut_slice(noise);
    let buffer_mut = buffer.get_mut().unwrap();
    buffer_mut.set_pts(gst::ClockTime::from_mseconds(120));
    buffer_mut.set_duration(gst::ClockTime::from_mseconds(40));
    if stride_padding > 0 {
        let flags = gst_video::VideoFrameFlags::empty();
        VideoMeta::add_full(buffer_mut, flags, info.format(), info.width(), info.height(), &offsets, &strides).unwrap();
    }
    buffer
}

fn bytes(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

fn face(crop_to_frame: Affine, generated: Option<Generated>) -> Face {
    Face {
        model: Model::open("mouthwarp").unwrap(),
        track: 1,
        bbox: Rect::new(10.0, 10.0, 50.0, 60.0),
        landmarks: [[30.0, 40.0]; LANDMARKS],
        points: Arc::default(),
        point_set: PointSet::Ibug68,
        confidence: 1.0,
        pose: Pose::default(),
        crop_to_frame,
        crop: Arc::new(RgbImage { width: CROP, height: CROP, data: vec![128; CROP * CROP * 3] }),
        generated,
        weight: 1.0,
        reason: None,
    }
}

/// A warp from functions of the crop fractions; the weight is 1 but for the grid's border.
fn warp(
    displacement: impl Fn(f32, f32) -> [f32; 4],
    edges: impl Fn(f32, f32) -> [f32; 2],
    inner: impl Fn(f32, f32) -> [f32; 4],
) -> Warp {
    let at = |k: usize| ((k % GRID) as f32 / (GRID - 1) as f32, (k / GRID) as f32 / (GRID - 1) as f32);
    fn planes<const N: usize>(values: impl Fn(usize) -> [f32; N]) -> Values {
        let values: Vec<_> = (0..GRID * GRID).map(values).collect();
        (0..N).flat_map(|n| values.iter().map(move |v| v[n])).collect::<Vec<_>>().into()
    }
    let displacement = |k: usize| displacement(at(k).0, at(k).1);
    Warp {
        width: GRID,
        height: GRID,
        upper: planes(|k| [displacement(k)[0], displacement(k)[1]]),
        lower: planes(|k| [displacement(k)[2], displacement(k)[3]]),
        edges: planes(|k| edges(at(k).0, at(k).1)),
        inner: planes(|k| inner(at(k).0, at(k).1)),
        inner_grid: None,
        weight: planes(|k| {
            let (x, y) = (k % GRID, k / GRID);
            [if x == 0 || y == 0 || x == GRID - 1 || y == GRID - 1 { 0.0 } else { 1.0 }]
        }),
    }
}

/// Moves everything by (dx, dy) crop fractions; the lips are closed at half the height.
fn shift(dx: f32, dy: f32) -> Warp {
    warp(|_, _| [dx, dy, dx, dy], |_, y| [0.5 - y, y - 0.5], |_, _| [0.0; 4])
}

/// A square of `side` frame pixels, turned by `degrees` about its upper left corner (x, y).
fn square(x: f32, y: f32, side: f32, degrees: f32) -> Affine {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let s = side / CROP as f32;
    Affine([s * cos, -s * sin, x, s * sin, s * cos, y])
}

struct Paste {
    harness: Harness,
}

impl Paste {
    fn new(launch: &str, info: &VideoInfo) -> Self {
        init();
        let mut harness = Harness::new_parse(launch);
        harness.set_src_caps(info.to_caps().unwrap());
        Self { harness }
    }

    fn push(&mut self, mut buffer: gst::Buffer, faces: Vec<Face>) -> gst::Buffer {
        for face in faces {
            FaceMeta::add(buffer.make_mut(), Arc::new(face));
        }
        let out = self.harness.push_and_pull(buffer).unwrap();
        assert!(FaceMeta::faces(&out).is_empty(), "the meta goes no further");
        assert_eq!(out.pts(), Some(gst::ClockTime::from_mseconds(120)));
        assert_eq!(out.duration(), Some(gst::ClockTime::from_mseconds(40)));
        out
    }
}

/// Pastes once with default properties.
fn paste(info: &VideoInfo, buffer: gst::Buffer, faces: Vec<Face>) -> gst::Buffer {
    Paste::new("facepaste", info).push(buffer, faces)
}

/// Which bytes of the buffer are samples that a crop at `place` touches (true where any frame pixel that the sample covers
/// lies in the crop).
fn touched(info: &VideoInfo, buffer: &gst::Buffer, place: &Affine) -> Vec<bool> {
    touched_part(info, buffer, place, |p| p.iter().all(|v| (0.0..=1.0).contains(v)))
}

/// The same of a part of the crop that `shown` tells in crop fractions; written from the formats' definition, not with the
/// element's code.
fn touched_part(info: &VideoInfo, buffer: &gst::Buffer, place: &Affine, shown: impl Fn([f32; 2]) -> bool) -> Vec<bool> {
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
    let meta = buffer.meta::<VideoMeta>();
    let offsets = meta.as_ref().map_or(info.offset().to_vec(), |m| m.offset().to_vec());
    let back = place.invert().unwrap();
    let inside = |x: usize, y: usize| {
        // Any point of the pixel: its corners and its centre are enough for a convex crop much larger than a pixel.
        [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5)].iter().any(|(dx, dy)| {
            let [x, y] = back.apply([x as f32 + dx, y as f32 + dy]);
            shown([x / CROP as f32, y / CROP as f32])
        })
    };
    let mut marks = vec![false; buffer.size()];
    for c in 0..3 {
        let (sx, sy) = (1 << frame.format_info().w_sub()[c], 1 << frame.format_info().h_sub()[c]);
        let c = c as u32;
        for y in 0..frame.comp_height(c) as usize {
            for x in 0..frame.comp_width(c) as usize {
                let at = offsets[frame.comp_plane(c) as usize]
                    + frame.comp_poffset(c) as usize
                    + y * frame.comp_stride(c) as usize
                    + x * frame.comp_pstride(c) as usize;
                marks[at] = (0..sy).any(|l| (0..sx).any(|k| inside(x * sx + k, y * sy + l)));
            }
        }
    }
    marks
}

#[test]
fn bytes_outside_the_weight_are_identical_in_every_format() {
    init();
    let places =
        [square(150.0, 60.0, 121.5, 12.0), square(-40.5, 270.0, 120.0, -30.0), square(600.0, 300.0, 90.0, 5.0)];
    for &format in FORMATS {
        for (padding, place) in [0, 24].into_iter().flat_map(|p| places.map(|place| (p, place))) {
            let info = info(format, 641, 361);
            let generated: [Generated; 2] = [
                Generated::Warp(Arc::new(shift(0.1, -0.07))),
                Generated::Image(Arc::new(RgbImage { width: 32, height: 32, data: vec![250; 32 * 32 * 3] })),
            ];
            for generated in generated {
                let before = frame(&info, padding);
                let after = paste(&info, before.copy_deep().unwrap(), vec![face(place, Some(generated))]);
                let marks = touched(&info, &before, &place);
                let (old, new) = (bytes(&before), bytes(&after));
                let (mut changed, mut inside) = (0, 0);
                for k in 0..old.len() {
                    assert!(marks[k] || old[k] == new[k], "{format}, padding {padding}, {place:?}: byte {k} changed");
                    inside += marks[k] as usize;
                    changed += (old[k] != new[k]) as usize;
                }
                assert!(changed * 10 > inside * 8, "{format}: only {changed} of {inside} bytes changed");
            }
        }
    }
}

#[test]
fn where_the_weight_is_zero_nothing_changes_and_half_of_it_shows_half() {
    init();
    let info = info(VideoFormat::Rgb, 120, 120);
    // An open mouth everywhere, filled with one colour: every pixel with a weight changes. The columns of the grid have the
    // weight 0, then ½, then 1.
    let mut filled = warp(|_, _| [0.0; 4], |_, _| [-1.0; 2], |_, _| [0.9, 0.9, 0.9, 1.0]);
    let part = |(k, weight): (usize, &f32)| weight * ((k % GRID) / 6) as f32 / 2.0;
    filled.weight = filled.weight.iter().enumerate().map(part).collect::<Vec<_>>().into();
    let before = frame(&info, 0);
    let place = square(10.0, 10.0, 96.0, 0.0);
    let after = paste(&info, before.copy_deep().unwrap(), vec![face(place, Some(Generated::Warp(Arc::new(filled))))]);
    let (before, after) = (bytes(&before), bytes(&after));
    for x in 0..120 {
        let k = 60 * info.stride()[0] as usize + x * 3;
        let (old, new) = (before[k] as f32, after[k] as f32);
        let full = 0.9 * 255.0;
        // A cell of the grid is 6 pixels wide; column 5 is the last with weight 0, 6 to 11 have ½, 12 to 15 have 1.
        let wanted = match x as f32 + 0.5 - 10.0 {
            ..=30.0 | 96.0.. => old,
            36.0..=66.0 => (old + full) / 2.0,
            72.0..=90.0 => full,
            _ => continue,
        };
        assert!(
            (new - wanted).abs() <= if wanted == old { 0.0 } else { 1.0 },
            "column {x}: {old}, {new}, not {wanted}"
        );
    }
}

#[test]
fn a_warp_that_moves_nothing_changes_nothing() {
    init();
    for &format in FORMATS {
        let info = info(format, 97, 71);
        let before = frame(&info, 0);
        let still = Generated::Warp(Arc::new(shift(0.0, 0.0)));
        let after = paste(&info, before.copy_deep().unwrap(), vec![face(square(10.3, 8.7, 51.0, 20.0), Some(still))]);
        for (k, (old, new)) in bytes(&before).iter().zip(bytes(&after)).enumerate() {
            assert!(old.abs_diff(new) <= 1, "{format}: byte {k} was {old}, is {new}");
        }
    }
}

#[test]
fn a_shift_moves_the_frame_by_exactly_that() {
    init();
    for format in [VideoFormat::I420, VideoFormat::Nv12, VideoFormat::Y42b, VideoFormat::Rgba] {
        let info = info(format, 161, 121);
        let before = frame(&info, 8);
        // 8 and 6 frame pixels of a side of 80.
        let moved = Generated::Warp(Arc::new(shift(8.0 / 80.0, -6.0 / 80.0)));
        let after = paste(&info, before.copy_deep().unwrap(), vec![face(square(40.0, 20.0, 80.0, 0.0), Some(moved))]);
        let before = VideoFrameRef::from_buffer_ref_readable(&before, &info).unwrap();
        let after = VideoFrameRef::from_buffer_ref_readable(&after, &info).unwrap();
        for c in 0..3u32 {
            let (sx, sy) = (1 << info.format_info().w_sub()[c as usize], 1 << info.format_info().h_sub()[c as usize]);
            let at = |frame: &VideoFrameRef<&gst::BufferRef>, x: usize, y: usize| {
                let step = frame.comp_pstride(c) as usize;
                frame.comp_data(c).unwrap()[y * frame.comp_stride(c) as usize + x * step]
            };
            // Well inside: the weight is 1.
            for y in 30 / sy..90 / sy {
                for x in 50 / sx..110 / sx {
                    let (new, old) = (at(&after, x, y), at(&before, x + 8 / sx, y - 6 / sy));
                    assert!(new.abs_diff(old) <= 1, "{format} component {c} ({x}, {y}): {new}, not {old}");
                }
            }
        }
    }
}

#[test]
fn between_the_lips_the_inside_shows() {
    init();
    let info = info(VideoFormat::Rgb, 100, 100);
    let before = frame(&info, 0);
    // The mouth is open from 0.4 to 0.6 of the height, filled half with red; beside it the sides do not move.
    let open = warp(|_, _| [0.0; 4], |_, y| [0.4 - y, y - 0.6], |_, _| [0.5, 0.0, 0.0, 0.5]);
    let after = paste(
        &info,
        before.copy_deep().unwrap(),
        vec![face(square(0.0, 0.0, 100.0, 0.0), Some(Generated::Warp(Arc::new(open))))],
    );
    let (before, after) = (bytes(&before), bytes(&after));
    for y in 10..90 {
        let k = y * info.stride()[0] as usize + 50 * 3;
        let (old, new) = (&before[k..k + 3], &after[k..k + 3]);
        match y {
            ..39 | 61.. => assert_eq!(old, new, "row {y}"),
            41..59 => {
                assert!(
                    new[0].abs_diff(128 + old[0] / 2) <= 1 && new[1].abs_diff(old[1] / 2) <= 1,
                    "row {y}: {old:?} {new:?}"
                )
            }
            _ => {}
        }
    }
}

/// An inside that is the same function of the place, on a grid of its own.
fn inside(width: usize, height: usize, area: [f32; 4], value: impl Fn(f32, f32) -> [f32; 4]) -> (Values, InnerGrid) {
    let [left, top, right, bottom] = area;
    let at = |i: usize, last: usize, from: f32, to: f32| from + (to - from) * i as f32 / last as f32;
    let knot = |k: usize| value(at(k % width, width - 1, left, right), at(k / width, height - 1, top, bottom));
    let planes = (0..4).flat_map(|n| (0..width * height).map(move |k| (n, k))).map(|(n, k)| knot(k)[n]);
    (planes.collect::<Vec<_>>().into(), InnerGrid { width, height, area })
}

/// A picture that is linear is the same however fine it is sampled, whatever part of the crop its grid spans.
#[test]
fn a_fine_inside_equals_a_coarse_one_where_it_spans_and_shows_nothing_beyond() {
    init();
    let value = |x: f32, y: f32| [0.2 + 0.3 * x, 0.1 + 0.4 * y, 0.5 - 0.2 * x, 0.6 + 0.1 * y];
    let open = || warp(|_, _| [0.0; 4], |_, y| [0.3 - y, y - 0.8], value);
    for (format, degrees) in FORMATS.iter().flat_map(|format| [0.0, 17.0].map(|degrees| (*format, degrees))) {
        let info = info(format, 101, 99);
        let before = frame(&info, 0);
        let place = square(20.0, 5.0, 64.0, degrees);
        let show = |warp: Warp| {
            paste(&info, before.copy_deep().unwrap(), vec![face(place, Some(Generated::Warp(Arc::new(warp))))])
        };
        let coarse = show(open());
        let none = show(Warp { inner: vec![0.0; 4 * GRID * GRID].into(), ..open() });
        let fine = |width, height, area| {
            let (inner, grid) = inside(width, height, area, value);
            show(Warp { inner, inner_grid: Some(grid), ..open() })
        };
        assert_ne!(bytes(&coarse), bytes(&before));
        let off =
            |a: &gst::Buffer, b: &gst::Buffer| bytes(a).iter().zip(bytes(b)).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        // The same function on finer and on odd grids: at most a level, of rounding.
        for (width, height) in [(GRID, GRID), (90, 61), (2, 2)] {
            assert!(off(&fine(width, height, [0.0, 0.0, 1.0, 1.0]), &coarse) <= 1, "{format:?}, {width} × {height}");
        }
        // Part of it: what is inside is that of the whole, what is outside that of none.
        let area = [0.25, 0.45, 0.7, 0.65];
        let part = fine(40, 30, area);
        let inside = |[x, y]: [f32; 2]| area[0] <= x && x <= area[2] && area[1] <= y && y <= area[3];
        let shown = touched_part(&info, &before, &place, inside);
        let (part, whole, none) = (bytes(&part), bytes(&coarse), bytes(&none));
        let mut counts = [0; 2];
        for (k, shown) in shown.into_iter().enumerate() {
            let expected = if shown { whole[k] } else { none[k] };
            if part[k].abs_diff(expected) > 1 {
                // Only at its very border may it be either.
                let either = part[k].abs_diff(none[k]) <= 1 || part[k].abs_diff(whole[k]) <= 1;
                assert!(either, "{format:?}, byte {k}: {} is neither {} nor {}", part[k], whole[k], none[k]);
                counts[1] += 1;
            }
            counts[0] += usize::from(shown);
        }
        assert!(counts[0] > 300 && counts[1] * 2 < counts[0], "{format:?}, {degrees}: {counts:?}");
    }
}

/// The address of a buffer's pixels.
fn address(buffer: &gst::Buffer) -> usize {
    buffer.map_readable().unwrap().as_ptr() as usize
}

#[test]
fn with_nothing_to_paste_the_frame_is_not_even_copied() {
    init();
    let info = info(VideoFormat::I420, 64, 48);
    let place = square(5.0, 5.0, 30.0, 0.0);
    let warp = || Some(Generated::Warp(Arc::new(shift(0.1, 0.1))));
    let faded = Face { weight: 0.0, ..face(place, warp()) };
    let broken = Face { weight: f32::NAN, ..face(place, warp()) };
    let cases = [
        ("facepaste opacity=0", vec![face(place, warp())]),
        ("facepaste", vec![]),
        ("facepaste", vec![face(place, None)]),
        ("facepaste", vec![faded]),
        ("facepaste", vec![broken]),
    ];
    for (launch, faces) in cases {
        let original = frame(&info, 0);
        let old = bytes(&original);
        // A second owner of the memory: writing would have to copy it.
        let out = Paste::new(launch, &info).push(original.copy(), faces);
        assert_eq!(address(&out), address(&original), "{launch}");
        assert_eq!(bytes(&out), old);
    }
    // And where there is something, the other owner's picture stays as it was.
    let original = frame(&info, 0);
    let old = bytes(&original);
    let out = paste(&info, original.copy(), vec![face(place, warp())]);
    assert_ne!(bytes(&out), old);
    assert_eq!(bytes(&original), old);
}

#[test]
fn opacity_and_the_face_s_weight_multiply() {
    init();
    let info = info(VideoFormat::Rgb, 40, 40);
    let patch = Generated::Image(Arc::new(RgbImage { width: 8, height: 8, data: vec![200; 192] }));
    let half = Face { weight: 0.5, ..face(square(10.0, 10.0, 20.0, 0.0), Some(patch)) };
    let mut black = gst::Buffer::from_mut_slice(vec![0u8; info.size()]);
    black.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(120));
    black.get_mut().unwrap().set_duration(gst::ClockTime::from_mseconds(40));
    let out = Paste::new("facepaste blend=hard opacity=0.5", &info).push(black, vec![half]);
    let out = bytes(&out);
    assert_eq!(out[20 * info.stride()[0] as usize + 60], 50);
}

#[test]
fn a_picture_keeps_its_colours_in_every_format() {
    init();
    let patch: Vec<u8> = [180, 60, 90].repeat(CROP * CROP);
    for &format in FORMATS {
        for colorimetry in ["bt601", "bt709", "bt2020", "1:4:0:0"] {
            let colorimetry: gst_video::VideoColorimetry = colorimetry.parse().unwrap();
            let info = VideoInfo::builder(format, 101, 81).colorimetry(&colorimetry).build().unwrap();
            let place = square(20.0, 10.0, 48.0, 10.0);
            let image = Generated::Image(Arc::new(RgbImage { width: CROP, height: CROP, data: patch.clone() }));
            let out = Paste::new("facepaste blend=hard", &info).push(frame(&info, 16), vec![face(place, Some(image))]);
            let out = VideoFrameRef::from_buffer_ref_readable(&out, &info).unwrap();
            let crop = crop_rgb(&out, &place, CROP, CROP);
            for y in 6..CROP - 6 {
                for x in 6..CROP - 6 {
                    let rgb = &crop.data[(y * CROP + x) * 3..][..3];
                    let near = rgb.iter().zip([180u8, 60, 90]).all(|(a, b)| a.abs_diff(b) <= 2);
                    assert!(near, "{format} {colorimetry:?}: {rgb:?}");
                }
            }
        }
    }
}

#[test]
fn a_soft_border_is_soft_and_a_hard_one_is_not() {
    init();
    let info = info(VideoFormat::Rgb, 80, 80);
    let white = || Generated::Image(Arc::new(RgbImage { width: 8, height: 8, data: vec![255; 192] }));
    let row = |launch: &str| {
        let mut black = gst::Buffer::from_mut_slice(vec![0u8; info.size()]);
        black.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(120));
        black.get_mut().unwrap().set_duration(gst::ClockTime::from_mseconds(40));
        let out = Paste::new(launch, &info).push(black, vec![face(square(20.0, 20.0, 40.0, 0.0), Some(white()))]);
        let start = 40 * info.stride()[0] as usize;
        bytes(&out)[start..start + 240].iter().step_by(3).copied().collect::<Vec<u8>>()
    };
    let hard = row("facepaste blend=hard feather=0.25");
    assert!((0..80).all(|x| hard[x] == if (20..60).contains(&x) { 255 } else { 0 }), "{hard:?}");
    let soft = row("facepaste blend=feather feather=0.25");
    assert!(soft[19] == 0 && soft[60] == 0 && (30..50).all(|x| soft[x] == 255), "{soft:?}");
    assert!((20..29).all(|x| soft[x] < soft[x + 1]) && (50..59).all(|x| soft[x] > soft[x + 1]), "{soft:?}");
    // Half way through a ramp of 10 pixels.
    assert!(soft[24].abs_diff(128) < 24 && soft[25].abs_diff(128) < 24, "{soft:?}");
    // mouthwarp's manifest asks for no hard border, and for no width.
    assert_eq!(row("facepaste"), row("facepaste blend=feather feather=0.1"));
}

#[test]
fn matched_colours_undo_a_shift() {
    init();
    let info = info(VideoFormat::I420, 80, 80);
    // The original crop is 128 grey all over; the picture is darker and bluish.
    let patch = RgbImage { width: 16, height: 16, data: [90, 100, 150].repeat(256) };
    let centre = |launch: &str| {
        let faces = vec![face(square(20.0, 20.0, 40.0, 0.0), Some(Generated::Image(Arc::new(patch.clone()))))];
        let out = Paste::new(launch, &info).push(frame(&info, 0), faces);
        let out = VideoFrameRef::from_buffer_ref_readable(&out, &info).unwrap();
        crop_rgb(&out, &Affine([1.0, 0.0, 40.0, 0.0, 1.0, 40.0]), 1, 1).data
    };
    let near = |a: &[u8], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 2);
    assert!(near(&centre("facepaste blend=hard"), [90, 100, 150]));
    assert!(near(&centre("facepaste blend=hard match-color=true"), [128, 128, 128]));
}

#[test]
fn hostile_results_are_skipped_or_clamped() {
    init();
    let place = square(10.0, 10.0, 40.0, 15.0);
    let good = || shift(0.1, 0.1);
    let filled = |count: usize, value: f32| Values::from(vec![value; count]);
    let sized = |side: usize, points: usize| Warp {
        width: side,
        height: side,
        upper: filled(2 * points, 0.0),
        lower: filled(2 * points, 0.0),
        edges: filled(2 * points, 0.0),
        inner: filled(4 * points, 0.0),
        inner_grid: None,
        weight: filled(points, 1.0),
    };
    let mut warps =
        vec![Warp { weight: filled(0, 0.0), ..good() }, sized(0, 0), sized(1, 1), Warp { width: usize::MAX, ..good() }];
    for (field, value) in (0..5).flat_map(|f| [f32::NAN, f32::INFINITY].map(|v| (f, v))) {
        let mut warp = good();
        let values = [&mut warp.upper, &mut warp.lower, &mut warp.edges, &mut warp.inner, &mut warp.weight]
            .into_iter()
            .nth(field);
        let values = values.unwrap();
        let mut broken = values.to_vec();
        broken[GRID * 8 + 8] = value;
        *values = broken.into();
        warps.push(warp);
    }
    let area = [0.0, 0.0, 1.0, 1.0];
    for (width, height, area) in [
        (GRID + 1, GRID, area),
        (1, GRID, area),
        (GRID, usize::MAX, area),
        (GRID, GRID, [0.5, 0.0, 0.5, 1.0]),
        (GRID, GRID, [0.0, 0.5, 1.0, 1.5]),
        (GRID, GRID, [f32::NAN, 0.0, 1.0, 1.0]),
    ] {
        warps.push(Warp { inner_grid: Some(InnerGrid { width, height, area }), ..good() });
    }
    let rgb = |width, height, length| Generated::Image(Arc::new(RgbImage { width, height, data: vec![9; length] }));
    let skipped = warps.into_iter().map(|w| Generated::Warp(Arc::new(w))).chain([
        rgb(0, 0, 0),
        rgb(8, 8, 191),
        rgb(usize::MAX, 2, 12),
    ]);
    for generated in skipped {
        for format in [VideoFormat::I420, VideoFormat::Bgrx] {
            let info = info(format, 61, 61);
            let before = frame(&info, 0);
            let mut element = Paste::new("facepaste", &info);
            let bus = crate::common::OwnBus::of(&element.harness.element().unwrap());
            let broken = face(place, Some(generated.clone()));
            let after = element.push(before.copy_deep().unwrap(), vec![broken.clone()]);
            assert_eq!(bytes(&before), bytes(&after));
            element.push(before.copy_deep().unwrap(), vec![broken]);
            // One warning that says what is wrong, not one per frame.
            let warnings: Vec<_> = bus.iter_filtered(&[gst::MessageType::Warning]).collect();
            assert_eq!(warnings.len(), 1);
            let gst::MessageView::Warning(warning) = warnings[0].view() else { unreachable!() };
            assert!(warning.error().to_string().contains("cannot be pasted: "), "{warning:?}");
        }
    }

    // Wild numbers and maps: anything may come out, but it does come out.
    let mut wild = good();
    let points = GRID * GRID;
    let jumping = |k: usize| if k.is_multiple_of(2) { 1e30 } else { -1e30 };
    wild.upper = (0..2 * points).map(jumping).collect::<Vec<_>>().into();
    wild.lower = wild.upper.clone();
    (wild.edges, wild.inner) = (filled(2 * points, f32::MAX), filled(4 * points, -1e20));
    wild.weight = filled(points, 1e9);
    let maps = [f32::NAN, f32::INFINITY, 0.0, 1e-30, 1e30, -1e9, 7.0].map(|v| Affine([v; 6]));
    let maps = maps.into_iter().chain([
        Affine([1e20, 0.0, 0.0, 0.0, 1e20, 0.0]),
        Affine([1e5, 0.0, -1e6, 0.0, 1e5, -1e6]),
        Affine([1e-5, 0.0, 30.0, 0.0, 1e-5, 30.0]),
        Affine([-1.0, 0.3, 1e9, 0.3, 1.0, f32::NAN]),
        square(-1000.0, 20.0, 64.0, 3.0),
        place,
    ]);
    for map in maps {
        for (w, h) in [(1, 1), (2, 3), (61, 61)] {
            for &format in FORMATS {
                let info = info(format, w, h);
                for generated in
                    [Generated::Warp(Arc::new(wild.clone())), Generated::Warp(Arc::new(good())), rgb(40, 40, 4800)]
                {
                    let mut face = face(map, Some(generated));
                    face.bbox = Rect::new(map.0[0], -1e30, f32::MAX, map.0[2]);
                    face.landmarks[3] = [map.0[0], map.0[2]];
                    Paste::new("facepaste debug=true", &info).push(frame(&info, 0), vec![face]);
                }
            }
        }
    }
    let empty = Face {
        crop: Arc::new(RgbImage { width: 0, height: 0, data: vec![] }),
        ..face(place, Some(Generated::Warp(Arc::new(good()))))
    };
    let info = info(VideoFormat::Nv12, 61, 61);
    let before = frame(&info, 0);
    assert_eq!(bytes(&paste(&info, before.copy_deep().unwrap(), vec![empty])), bytes(&before));
}

#[test]
fn debug_draws_in_every_format() {
    init();
    for &format in FORMATS {
        let info = info(format, 161, 121);
        let shown = Face { reason: Some(Reason::TurnedAway), ..face(square(60.0, 30.0, 50.0, 0.0), None) };
        let out = Paste::new("facepaste debug=true", &info).push(frame(&info, 0), vec![shown]);
        let out = VideoFrameRef::from_buffer_ref_readable(&out, &info).unwrap();
        let at = |x: f32, y: f32| crop_rgb(&out, &Affine([1.0, 0.0, x, 0.0, 1.0, y]), 1, 1).data;
        // The crop's left border is yellow, the box's left border blue.
        let yellow = at(60.0, 50.0);
        assert!(yellow[0] > 150 && yellow[1] > 150 && yellow[2] < 120, "{format}: {yellow:?}");
        let blue = at(10.0, 40.0);
        assert!(blue[2] > 180 && blue[0] < 100, "{format}: {blue:?}");
    }
}

#[test]
fn two_different_models_are_an_error_in_words() {
    init();
    let info = info(VideoFormat::I420, 64, 64);
    let own = face(square(5.0, 5.0, 40.0, 0.0), None);
    let mut model = Model { folder: "elsewhere".into(), manifest: own.model.manifest.clone() };
    model.manifest.fps = None;
    let foreign = Face { model: Arc::new(model), ..own.clone() };

    Paste::new("facepaste model=mouthwarp", &info).push(frame(&info, 0), vec![own]);

    let mut element = Paste::new("facepaste model=mouthwarp", &info);
    let bus = crate::common::OwnBus::of(&element.harness.element().unwrap());
    let mut buffer = frame(&info, 0);
    FaceMeta::add(buffer.get_mut().unwrap(), Arc::new(foreign));
    assert_eq!(element.harness.push(buffer), Err(gst::FlowError::Error));
    let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let gst::MessageView::Error(error) = message.view() else { unreachable!() };
    assert!(error.error().to_string().contains("name the same model"), "{error:?}");

    let element = gst::ElementFactory::make("facepaste").property("model", "no-such-model").build().unwrap();
    let bus = crate::common::OwnBus::of(&element);
    assert!(element.set_state(gst::State::Ready).is_err());
    assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_some());
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn what_the_next_element_wants_of_buffers_reaches_the_decoder() {
    init();
    let info = info(VideoFormat::I420, 64, 64);
    let mut element = Paste::new("facepaste", &info);
    let ask = |element: &mut Paste| {
        element.push(frame(&info, 0), vec![]);
        let mut query = gst::query::Allocation::new(Some(&info.to_caps().unwrap()), false);
        let sink = element.harness.element().unwrap().static_pad("sink").unwrap();
        sink.query(&mut query);
        query.find_allocation_meta::<VideoMeta>().is_some()
    };
    assert!(!ask(&mut element), "padded rows are not promised on another's behalf");
    element.harness.add_propose_allocation_meta(VideoMeta::meta_api(), None);
    assert!(ask(&mut element));
}

#[test]
fn a_gap_stays_a_gap_until_it_gets_a_mouth_and_late_frames_are_not_dropped() {
    init();
    let info = info(VideoFormat::I420, 64, 64);
    let mut element = Paste::new("facepaste", &info);
    let mut gap = frame(&info, 0);
    gap.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
    assert!(element.push(gap.copy(), vec![]).flags().contains(gst::BufferFlags::GAP));
    let mouth = face(square(20.0, 20.0, 24.0, 0.0), Some(Generated::Warp(Arc::new(shift(0.1, 0.1)))));
    assert!(!element.push(gap, vec![mouth]).flags().contains(gst::BufferFlags::GAP));
    let qos = gst::event::Qos::new(
        gst::QOSType::Underflow,
        10.0,
        gst::ClockTime::from_seconds(5).nseconds() as i64,
        gst::ClockTime::from_seconds(9),
    );
    element.harness.push_upstream_event(qos);
    element.push(frame(&info, 0), vec![]);
}

#[test]
fn new_caps_take_effect_at_once() {
    init();
    let small = info(VideoFormat::I420, 64, 48);
    let large = info(VideoFormat::Rgba, 131, 99);
    let mut element = Paste::new("facepaste", &small);
    // The face lies where the small frame has nothing.
    let place = square(70.0, 50.0, 40.0, 0.0);
    let moved = || vec![face(place, Some(Generated::Warp(Arc::new(shift(0.1, 0.1)))))];
    let before = frame(&small, 0);
    assert_eq!(bytes(&element.push(before.copy_deep().unwrap(), moved())), bytes(&before));
    element.harness.set_src_caps(large.to_caps().unwrap());
    let before = frame(&large, 0);
    assert_ne!(bytes(&element.push(before.copy_deep().unwrap(), moved())), bytes(&before));
}

#[test]
fn opacity_can_change_from_frame_to_frame() {
    init();
    let info = info(VideoFormat::Rgb, 40, 40);
    let mut element = Paste::new("facepaste", &info);
    let object = element.harness.find_element("facepaste").unwrap();
    assert!(object.find_property("opacity").unwrap().flags().contains(gst::PARAM_FLAG_CONTROLLABLE));
    let patch = Generated::Image(Arc::new(RgbImage { width: 8, height: 8, data: vec![200; 192] }));
    for opacity in [1.0, 0.25, 0.0, 0.7] {
        object.set_property("opacity", opacity);
        let before = frame(&info, 0);
        let k = 20 * info.stride()[0] as usize + 60;
        let old = bytes(&before)[k] as f64;
        let out = element.push(before, vec![face(square(10.0, 10.0, 20.0, 0.0), Some(patch.clone()))]);
        assert!((bytes(&out)[k] as f64 - (old + opacity * (200.0 - old))).abs() <= 1.0);
    }
}
