// SPDX-License-Identifier: MPL-2.0
//! TorchScript against ONNX: the same stand-ins for public models, exported as both, must make the same mouths.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gst_video::VideoFrameExt;
use gstlipsync::face_meta::{FaceMeta, Generated};
use gstlipsync::runtime::{self, Backend, Element, Options, Tensor};

use crate::common;

/// How far two results may lie apart, of what a tensor or a picture holds at most.
const TOLERANCE: f32 = 1e-4;

/// A model with random weights, with `share` of the multiplications of the real one. `None`, with a printed reason, where there is
/// no Python to export it.
fn stand_in(name: &str, share: &str) -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = project.join(".deps/venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: {} is not there; tests/run.sh --torch makes it", python.display());
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("torch-{name}"));
    let export = project.join("models").join(name).join("export.py");
    let made = Command::new(python).arg(export).args(["--random", share, "--out"]).arg(&folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(folder)
}

fn options(backend: Backend) -> Options {
    Options { backend, device: "cpu".into(), threads: 1 }
}

/// The greatest difference, of the greatest value or 1.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let greatest = a.iter().fold(1.0, |most, v| v.abs().max(most));
    a.iter().zip(b).fold(0.0, |most: f32, (a, b)| most.max((a - b).abs())) / greatest
}

/// Both files of one graph, on the same random tensors, one batch after the other.
fn compare_graph(folder: &Path, name: &str) {
    let open =
        |ending: &str, backend| runtime::open(&folder.join(format!("{name}.{ending}")), &options(backend)).unwrap();
    let (onnx, torch) = (open("onnx", Backend::Ort), open("pt", Backend::Torch));
    let (mut onnx, mut torch) = (onnx.lock(), torch.lock());
    assert_eq!(onnx.inputs(), torch.inputs(), "{name}");
    let names: Vec<String> = onnx.outputs().iter().map(|info| info.name.clone()).collect();
    assert_eq!(names, torch.outputs().iter().map(|info| info.name.clone()).collect::<Vec<_>>());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    for batch in [1, 3, 2] {
        let given: Vec<(String, Tensor)> = (onnx.inputs().iter())
            .map(|info| {
                let shape: Vec<usize> = info.shape.iter().map(|axis| axis.unwrap_or(batch)).collect();
                let whole = info.element != Element::F32;
                let data = (0..shape.iter().product()).map(|_| if whole { 1.0 } else { random() }).collect();
                (info.name.clone(), Tensor::new(shape, data))
            })
            .collect();
        let given: Vec<(&str, &Tensor)> = given.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let one = onnx.run(&given, &names).unwrap();
        let other = torch.run(&given, &names).unwrap();
        for ((one, other), output) in one.iter().zip(&other).zip(&names) {
            assert_eq!(one.shape, other.shape, "{name}: {output}");
            let (low, high) = one.data.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            assert!(high > low, "{name}: {output} says nothing");
            let apart = apart(&one.data, &other.data);
            println!("{name}, batch {batch}: {output} {low}..{high}, {apart:e} apart");
            assert!(apart <= TOLERANCE, "{name}, batch {batch}: {output} is {apart} apart");
        }
    }
}

/// A mouth's picture, and how much of it is shown.
type Mouth = (Vec<u8>, f32);

/// What a pipeline made of the first frames of a video.
#[derive(Default)]
struct Made {
    /// Of each frame, in lipsyncgen's metas.
    mouths: Vec<Vec<Mouth>>,
    /// What facepaste made.
    frames: Vec<Vec<u8>>,
}

const FRAMES: usize = 30;

fn dub(folder: &Path, backend: &str, video: &Path, audio: &Path) -> Made {
    common::init();
    let (folder, video, audio) = (folder.display(), video.display(), audio.display());
    let run = format!("backend={backend} device=cpu threads=1");
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={video} ! decodebin ! videoconvert ! video/x-raw,format=I420 ! facecrop ! \
         lipsyncgen name=g model={folder} {run} on-error=fail ! facepaste ! appsink name=out sync=false max-buffers=1 \
         filesrc location={audio} ! decodebin ! audioconvert ! audioresample ! audiofeatures {run} ! g.features"
    ))
    .expect("the pipeline is well-formed")
    .downcast::<gst::Pipeline>()
    .expect("more than one element");
    let mouths: Arc<Mutex<Vec<Vec<Mouth>>>> = Arc::default();
    let seen = mouths.clone();
    let pad = pipeline.by_name("g").expect("named above").static_pad("src").expect("it has one");
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
        let mouths_of = |buffer: &gst::BufferRef| {
            let mouth = |face: &gstlipsync::face_meta::Face| match &face.generated {
                Some(Generated::Image(image)) => Some((image.data.clone(), face.weight)),
                _ => None,
            };
            FaceMeta::faces(buffer).iter().filter_map(|face| mouth(face)).collect()
        };
        let mut seen = seen.lock().unwrap();
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => seen.push(mouths_of(buffer)),
            Some(gst::PadProbeData::BufferList(list)) => seen.extend(list.iter().map(mouths_of)),
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    let sink = pipeline.by_name("out").expect("named above").downcast::<gst_app::AppSink>().expect("an appsink");
    let _ = pipeline.set_state(gst::State::Playing);
    let mut frames = Vec::new();
    while frames.len() < FRAMES
        && let Ok(sample) = sink.pull_sample()
    {
        frames.push(pixels(&sample));
    }
    let bus = pipeline.bus().expect("pipelines have one");
    while let Some(message) = bus.pop() {
        if let gst::MessageView::Error(error) = message.view() {
            panic!("backend={backend}: {} {}", error.error(), error.debug().unwrap_or_default());
        }
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    // More may be on their way.
    let mut mouths = std::mem::take(&mut *mouths.lock().unwrap());
    mouths.truncate(FRAMES);
    Made { mouths, frames }
}

/// The planes without what lies between their rows.
fn pixels(sample: &gst::Sample) -> Vec<u8> {
    let info = gst_video::VideoInfo::from_caps(sample.caps().expect("negotiated")).expect("of a video");
    let buffer = sample.buffer().expect("a frame");
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).expect("memory");
    let mut pixels = Vec::new();
    for plane in 0..frame.n_planes() {
        let (width, height) = (frame.comp_width(plane) as usize, frame.comp_height(plane) as usize);
        let rows = frame.plane_data(plane).expect("it is there").chunks(frame.plane_stride()[plane as usize] as usize);
        rows.take(height).for_each(|row| pixels.extend_from_slice(&row[..width]));
    }
    pixels
}

/// The greatest difference of two pictures in steps of 255, and the mean one of their range. Each is rounded from a tensor, so a
/// step may come from a difference as small as one likes.
fn pictures_apart<'a>(pairs: impl IntoIterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> (u8, f32) {
    let (mut most, mut sum, mut count) = (0, 0u64, 0u64);
    for (a, b) in pairs {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            most = most.max(a.abs_diff(*b));
            sum += u64::from(a.abs_diff(*b));
        }
        count += a.len() as u64;
    }
    assert!(count > 0, "nothing to compare");
    (most, (sum as f64 / 255.0 / count as f64) as f32)
}

fn compare_pipelines(name: &str, folder: &Path) {
    let (Some(video), Some(audio)) =
        (common::media("video/woman_outdoor_540x960_25fps_h264.mp4"), common::media("audio/en_44k1_stereo_s16.wav"))
    else {
        return;
    };
    let (onnx, torch) = (dub(folder, "ort", &video, &audio), dub(folder, "torch", &video, &audio));
    assert_eq!((onnx.frames.len(), torch.frames.len()), (FRAMES, FRAMES));
    assert_eq!((onnx.mouths.len(), torch.mouths.len()), (FRAMES, FRAMES));
    let counts = |made: &Made| made.mouths.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(counts(&onnx), counts(&torch));
    let (one, other): (Vec<_>, Vec<_>) =
        (onnx.mouths.iter().flatten().collect(), torch.mouths.iter().flatten().collect());
    assert!(one.len() >= FRAMES - 5, "only {} mouths in {FRAMES} frames", one.len());
    assert!(one.iter().any(|mouth| mouth.1 == 1.0), "no mouth is shown");
    // The sound moves the mouth, or every answer would be right.
    let (moved, _) = pictures_apart([(&one[0].0, &one[one.len() / 2].0)]);
    assert!(moved > 20, "the mouth does not move");
    assert!(one.iter().zip(&other).all(|(a, b)| a.1 == b.1), "a mouth is shown to another degree");

    let mouths = pictures_apart(one.iter().zip(&other).map(|(a, b)| (&a.0, &b.0)));
    let frames = pictures_apart(onnx.frames.iter().zip(&torch.frames));
    println!("{name}: {} mouths {mouths:?}, {} frames {frames:?} apart", one.len(), onnx.frames.len());
    assert!(mouths.0 <= 1 && mouths.1 <= TOLERANCE, "{name}: mouths are {mouths:?} apart");
    assert!(frames.0 <= 1 && frames.1 <= TOLERANCE, "{name}: frames are {frames:?} apart");
}

#[test]
fn torchscript_makes_what_onnx_makes_of_one_graph() {
    let Some(folder) = stand_in("wav2lip", "0.05") else { return };
    compare_graph(&folder, "wav2lip");
    compare_pipelines("wav2lip", &folder);

    // Without the ONNX file `auto` takes the other.
    let Some(media) = common::media("video/woman_outdoor_540x960_25fps_h264.mp4") else { return };
    let sound = common::media("audio/en_44k1_stereo_s16.wav").expect("beside the video");
    let only = folder.join("only");
    std::fs::create_dir_all(&only).unwrap();
    for file in ["model.toml", "wav2lip.pt"] {
        std::fs::copy(folder.join(file), only.join(file)).unwrap();
    }
    assert_eq!(dub(&only, "auto", &media, &sound).frames, dub(&folder, "torch", &media, &sound).frames);
}

#[test]
fn torchscript_makes_what_onnx_makes_of_a_chain() {
    let Some(folder) = stand_in("musetalk", "0.001") else { return };
    for name in ["vae-encoder", "unet", "vae-decoder", "whisper"] {
        compare_graph(&folder, name);
    }
    compare_pipelines("musetalk", &folder);
}
