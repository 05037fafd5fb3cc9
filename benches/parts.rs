// SPDX-License-Identifier: MPL-2.0
//! The parts that need no pipeline, one by one:
//!
//!     cargo bench --features benching --bench parts [-- crop/NV12]
//!
//! A face 300 px wide in a frame of 1080 lines; a minute of sound.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};
use gstlipsync::benching;
use gstlipsync::face_meta::{Face, Generated, InnerGrid, RgbImage, Warp};
use gstlipsync::geometry::{Affine, Rect};
use gstlipsync::model::Model;
use gstlipsync::model::points::PointSet;
use gstlipsync::pixels::{FORMATS, crop_rgb};

const SIZE: [u32; 2] = [1920, 1080];
const FACE: f32 = 300.0;
const SECONDS: usize = 60;

criterion_group!(parts, rows, crops, tensors, blends);
criterion_main!(parts);

fn model(name: &str) -> Arc<Model> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
    // The manifest alone: most models have no graph here.
    let text = std::fs::read_to_string(folder.join("model.toml")).expect("a model of the project");
    Arc::new(Model { folder, manifest: toml::from_str(&text).expect("a manifest of the project") })
}

/// Sound → rows: Wav2Lip's log-mel, HeyGem's fbank.
fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("rows");
    for name in ["wav2lip", "mouthwarp", "heygem"] {
        let model = model(name);
        let mut recipe = model.manifest.audiofeatures.clone();
        recipe.encoder = None;
        let length = SECONDS * recipe.sample_rate() as usize;
        let sound: Vec<f32> =
            (0..length).map(|k| 0.3 * (k as f32 * 0.05).sin() + 0.01 * (k as f32 * 1.7).sin()).collect();
        group.throughput(Throughput::Elements(length as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| benching::rows(&recipe, black_box(&sound)))
        });
    }
}

/// Frame → crop, of every format.
fn crops(c: &mut Criterion) {
    let face = face("mouthwarp");
    let mut group = c.benchmark_group("crop");
    for &format in FORMATS {
        let (info, buffer) = frame(format);
        let frame = VideoFrameRef::from_buffer_ref_readable(&buffer, &info).expect("a frame as its format says");
        let crop = || crop_rgb(&frame, black_box(&face.crop_to_frame), face.crop.width, face.crop.height);
        group.bench_function(BenchmarkId::from_parameter(format), |b| b.iter(crop));
    }
}

/// Eight faces → the tensors of a batch.
fn tensors(c: &mut Criterion) {
    let mut group = c.benchmark_group("tensors");
    for name in ["mouthwarp", "wav2lip"] {
        let face = face(name);
        group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| benching::inputs(black_box(&face), 8)));
    }
}

/// What was generated → frame, of every format: a warp, one whose inside has a grid of its own, and a picture.
fn blends(c: &mut Criterion) {
    let kinds =
        [("mouthwarp", "mouthwarp", warp()), ("fine inside", "mouthwarp", fine()), ("wav2lip", "wav2lip", picture())];
    for (name, model, generated) in kinds {
        let mut face = face(model);
        face.generated = Some(generated);
        let mut group = c.benchmark_group(format!("blend {name}"));
        for &format in FORMATS {
            let (info, mut buffer) = frame(format);
            let buffer = buffer.make_mut();
            let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, &info).expect("a frame as its format says");
            group.bench_function(BenchmarkId::from_parameter(format), |b| {
                b.iter(|| benching::paste(&mut frame, black_box(&face)).expect("it fits"))
            });
        }
    }
}

/// Noise, so that no branch is always the same.
fn noise(count: usize) -> impl Iterator<Item = u8> {
    let mut state = 1u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 24) as u8
    })
    .take(count)
}

fn frame(format: VideoFormat) -> (VideoInfo, gst::Buffer) {
    gst::init().expect("GStreamer");
    let info = VideoInfo::builder(format, SIZE[0], SIZE[1]).build().expect("a format of ours");
    let buffer = gst::Buffer::from_mut_slice(noise(info.size()).collect::<Vec<_>>());
    (info, buffer)
}

/// In the middle of the frame.
fn face(name: &str) -> Face {
    let model = model(name);
    let size = model.manifest.facecrop.size;
    let [x, y] = SIZE.map(|side| (side as f32 - FACE) / 2.0);
    let scale = [FACE / size.width as f32, FACE / size.height as f32];
    Face {
        model,
        track: 0,
        bbox: Rect::new(x, y, FACE, FACE),
        landmarks: std::array::from_fn(|k| [x + FACE * (k % 9) as f32 / 9.0, y + FACE * (k / 9) as f32 / 9.0]),
        points: Arc::default(),
        point_set: PointSet::Ibug68,
        confidence: 1.0,
        pose: Default::default(),
        crop_to_frame: Affine([scale[0], 0.0, x, 0.0, scale[1], y]),
        crop: Arc::new(RgbImage {
            width: size.width,
            height: size.height,
            data: noise(size.width * size.height * 3).collect(),
        }),
        generated: None,
        weight: 1.0,
        reason: None,
    }
}

fn picture() -> Generated {
    let face = face("wav2lip");
    Generated::Image(face.crop)
}

fn warp() -> Generated {
    Generated::Warp(Arc::new(mouth()))
}

/// The same, its inside 96 × 64 points in half of the crop each way.
fn fine() -> Generated {
    let inner_grid = InnerGrid { width: 96, height: 64, area: [0.25, 0.4, 0.75, 0.9] };
    let inner: Vec<f32> = [0.1, 0.05, 0.05, 1.0].iter().flat_map(|value| vec![*value; 96 * 64]).collect();
    Generated::Warp(Arc::new(Warp { inner: inner.into(), inner_grid: Some(inner_grid), ..mouth() }))
}

/// A mouth that is open a little, in the middle of the crop.
fn mouth() -> Warp {
    const SIDE: usize = 32;
    let plane = |value: fn([f32; 2]) -> f32| {
        let at = |k: usize| [k % SIDE, k / SIDE].map(|i| i as f32 / (SIDE - 1) as f32);
        (0..SIDE * SIDE).map(move |k| value(at(k)))
    };
    let planes = |values: &[fn([f32; 2]) -> f32]| values.iter().flat_map(|&v| plane(v)).collect::<Vec<_>>().into();
    Warp {
        width: SIDE,
        height: SIDE,
        upper: planes(&[|_| 0.0, |[_, y]| 0.02 * y]),
        lower: planes(&[|_| 0.0, |[_, y]| -0.04 * (1.0 - y)]),
        edges: planes(&[|[_, y]| 0.65 - y, |[_, y]| y - 0.7]),
        inner: planes(&[|_| 0.1, |_| 0.05, |_| 0.05, |_| 1.0]),
        inner_grid: None,
        weight: planes(&[|[x, y]| (3.0 - 8.0 * ((x - 0.5).powi(2) + (y - 0.65).powi(2)).sqrt()).clamp(0.0, 1.0)]),
    }
}
