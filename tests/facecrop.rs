// SPDX-License-Identifier: MPL-2.0
use std::path::Path;
use std::sync::Arc;

use gst::prelude::*;
use gstlipsync::face_meta::{Face, FaceMeta, Reason};
use gstlipsync::model::{self, Model};

use crate::common;

/// A frame that came out of facecrop.
struct Frame {
    pts: Option<gst::ClockTime>,
    faces: Vec<Arc<Face>>,
}

/// Runs `description`, which ends in `appsink name=out`; the frames and the bus's messages, up to the end or an error.
fn run(description: &str) -> (Vec<Frame>, Vec<gst::Message>) {
    common::init();
    let pipeline = gst::parse::launch(description).expect("the pipeline is valid").downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    sink.set_sync(false);
    let _ = pipeline.set_state(gst::State::Playing);
    let mut frames = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().unwrap();
        frames.push(Frame { pts: buffer.pts(), faces: FaceMeta::faces(buffer) });
    }
    let bus = pipeline.bus().unwrap();
    let messages = std::iter::from_fn(|| bus.pop()).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    (frames, messages)
}

fn error(messages: &[gst::Message]) -> Option<String> {
    messages.iter().find_map(|m| match m.view() {
        gst::MessageView::Error(e) => Some(e.error().to_string()),
        _ => None,
    })
}

fn events(messages: &[gst::Message]) -> Vec<(String, u32)> {
    messages
        .iter()
        .filter_map(|m| m.structure().filter(|s| s.name() == "application/x-lipsync-event"))
        .map(|s| (s.get("type").unwrap(), s.get("track").unwrap()))
        .collect()
}

fn decoded(file: &Path) -> String {
    format!("filesrc location={} ! decodebin ! videoconvert", file.display())
}

/// What a far larger detector found in every so many-th frame.
#[derive(serde::Deserialize)]
struct Truth {
    frame_step: usize,
    frames: Vec<Vec<TrueFace>>,
}

#[derive(serde::Deserialize)]
struct TrueFace {
    r#box: [f32; 4],
    /// Eyes, nose, corners of the mouth.
    kps: [[f32; 2]; 5],
}

impl Truth {
    fn of(name: &str) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Wrapped {
            truth: Truth,
        }
        let json = std::fs::read_to_string(common::media(&format!("truth/{name}.json"))?).unwrap();
        // What these files use of JSON is TOML but for the colons.
        let text = format!("truth = {}", json.trim().replace("\":", "\"="));
        Some(toml::from_str::<Wrapped>(&text).unwrap().truth)
    }
}

/// Errors in per cent of the true box's width, best first, and the share of true faces that were found.
fn errors(frames: &[Frame], truth: &Truth) -> (Vec<f32>, f32) {
    let (mut errors, mut faces, mut found) = (Vec::new(), 0, 0);
    for (frame, truth) in frames.iter().step_by(truth.frame_step).zip(&truth.frames) {
        let Some(truth) = truth.first() else { continue };
        faces += 1;
        let Some(face) = frame.faces.iter().find(|f| f.weight > 0.0) else { continue };
        found += 1;
        for (corner, landmark) in [(3, 48), (4, 54)] {
            let ([x, y], [u, v]) = (truth.kps[corner], face.landmarks[landmark]);
            errors.push(100.0 * (x - u).hypot(y - v) / (truth.r#box[2] - truth.r#box[0]));
        }
    }
    errors.sort_by(f32::total_cmp);
    (errors, found as f32 / faces.max(1) as f32)
}

#[test]
fn mouths_are_found_in_every_clip() {
    for name in [
        "woman_outdoor_540x960_25fps_h264.mp4",
        "woman_outdoor_1080x1920_25fps_hevc.mp4",
        "woman_indoor_1280x720_30fps_h264.mp4",
        "man_glasses_selfie_720x1280_30fps_noaudio.mp4",
        "man_expressions_480x480_30fps.mp4",
        "synthetic_woman_576x768_25fps_noaudio.mp4",
        "anime_man_704x1216_25fps_noaudio.mp4",
    ] {
        let (Some(file), Some(truth)) = (common::media(&format!("video/{name}")), Truth::of(&format!("video/{name}")))
        else {
            return;
        };
        let (frames, messages) = run(&format!("{} ! facecrop ! appsink name=out", decoded(&file)));
        assert_eq!(error(&messages), None, "{name}");
        assert!(frames.len() > 200, "{name}: {} frames", frames.len());
        let (errors, found) = errors(&frames, &truth);
        let mean = errors.iter().sum::<f32>() / errors.len() as f32;
        let p95 = errors[errors.len() * 95 / 100];
        let tracks = events(&messages).iter().filter(|(kind, _)| kind == "face-found").count();
        println!(
            "{name}: found {:.1} %, corners of the mouth {mean:.2} % mean, {p95:.2} % p95, {tracks} tracks",
            100.0 * found
        );
        assert!(found >= 0.99, "{name}: found in {found} of the frames");
        assert!(mean <= 2.5 && p95 <= 4.5, "{name}: {mean} {p95}");
    }
}
