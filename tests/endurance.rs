// SPDX-License-Identifier: MPL-2.0
//! What days of running would show. They take minutes and much is measured, so they run alone, when asked for:
//!
//! `cargo test --release --features test-runtime --test elements endurance -- --ignored --nocapture --test-threads 1`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use parking_lot::Mutex;

use crate::common::init;

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let mut names: Vec<String> = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().into())
        .collect();
    names.sort();
    names
}

fn launch(description: &str) -> gst::Pipeline {
    init();
    gst::parse::launch(description).unwrap().downcast().unwrap()
}

/// A file of the demo, repeated without coding it anew until it lasts `seconds`.
fn repeated(name: &str, seconds: u32) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(name);
    let to = std::env::temp_dir().join(format!("lipsync-endurance-{}-{name}", std::process::id()));
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-stream_loop", "-1", "-i"]).arg(from);
    let status = ffmpeg.args(["-t", &seconds.to_string(), "-c", "copy"]).arg(&to).status().unwrap();
    assert!(status.success());
    to
}

#[test]
#[ignore = "takes minutes"]
fn an_hour_takes_no_more_memory_than_five_minutes() {
    const MINUTE: usize = 60 * 25;
    let (face, voice) = (repeated("face.mp4", 3600), repeated("voice.wav", 3600));
    let pipeline = launch(&format!(
        "filesrc location={} ! decodebin ! videoconvert ! b.video_sink filesrc location={} ! decodebin ! audioconvert ! b.audio_sink \
         lipsyncbin name=b on-error=fail on-stall=error b.video_src ! fakesink name=seen b.audio_src ! fakesink",
        face.display(),
        voice.display()
    ));
    let measured = Arc::new(Mutex::new(Vec::new()));
    let each = measured.clone();
    let mut frames = 0;
    let counted = Mutex::new(move || {
        frames += 1;
        if frames % (5 * MINUTE) == 0 {
            each.lock().push(resident());
            println!("minute {:2}: {:.1} MiB", frames / MINUTE, resident() as f64 / f64::from(1 << 20));
        }
    });
    let pad = pipeline.by_name("seen").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        (counted.lock())();
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let message = bus.timed_pop_filtered(None, &[gst::MessageType::Eos, gst::MessageType::Error]).unwrap();
    println!("{}", pipeline.by_name("b").unwrap().property::<gst::Structure>("stats"));
    pipeline.set_state(gst::State::Null).unwrap();
    for file in [face, voice] {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let measured = measured.lock();
    let (early, late) = (measured[0] as f64, measured[11] as f64);
    println!("minute 60 to minute 5: {:.4}", late / early);
    assert!(late <= 1.02 * early);
}

#[test]
#[ignore = "takes minutes"]
fn a_thousand_starts_leave_no_thread_and_no_memory() {
    init();
    let before = threads();
    let face = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/face.mp4");
    let mut after_hundred = 0;
    for round in 1..=1000 {
        // All of it anew every time, with a frame that has been through.
        let pipeline = launch(&format!(
            "filesrc location={face} ! decodebin ! videoconvert ! b.video_sink audiotestsrc ! b.audio_sink \
             lipsyncbin name=b b.video_src ! fakesink b.audio_src ! fakesink"
        ));
        pipeline.set_state(gst::State::Playing).unwrap();
        let (result, state, _) = pipeline.state(gst::ClockTime::from_seconds(20));
        assert!(result.is_ok() && state == gst::State::Playing, "round {round}: {result:?} {state:?}");
        pipeline.set_state(gst::State::Null).unwrap();
        if round == 100 {
            after_hundred = resident();
        }
        if round % 100 == 0 {
            println!("round {round:4}: {:.1} MiB, {} threads", resident() as f64 / f64::from(1 << 20), threads().len());
        }
    }
    let (early, late) = (after_hundred as f64, resident() as f64);
    println!("round 1000 to round 100: {:.4}", late / early);
    // Threads of pools, GLib's and GStreamer's, end when they have been idle for a while.
    let until = Instant::now() + Duration::from_secs(60);
    let ours = || {
        threads().into_iter().filter(|name| {
            name.starts_with("lipsyncgen") || name.starts_with("face") || name.starts_with("audiofeatures")
        })
    };
    while ours().next().is_some() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("threads before: {before:?}, after: {:?}", threads());
    assert_eq!(ours().count(), 0);
    assert!(late <= 1.02 * early);
}
