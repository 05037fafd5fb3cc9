// SPDX-License-Identifier: MPL-2.0
//! The clock of a live pipeline waits for nobody: frames and sound that come in real time, and what does not come with them.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstlipsync::face_meta::{FaceMeta, Reason};
use parking_lot::Mutex;

use super::{MS, Pipeline, RATE, shown, times};

/// Ten frames a second, and as much time for a run, so that a busy machine is no slow model.
const STEP: u64 = 100 * MS;
const ROWS: u64 = STEP * RATE / (1000 * MS);

fn live(properties: &str) -> Pipeline {
    let test = Pipeline::new(&format!("latency={} {properties}", 2 * STEP));
    test.video.set_caps(Some(&"video/x-raw,format=I420,width=32,height=32,framerate=10/1".parse().expect("caps")));
    for source in [&test.video, &test.features] {
        source.set_property("is-live", true);
    }
    test.sink.set_property("sync", true);
    test
}

/// Pushes a frame, and rows if there are any, every [`STEP`]: `rows(step)` are those of the time from then on.
fn feed(test: &Pipeline, steps: u64, rows: impl Fn(u64) -> Option<gst::Buffer>) -> Vec<gst::Buffer> {
    test.play();
    let start = Instant::now();
    for step in 0..steps {
        thread::sleep((start + Duration::from_nanos(step * STEP)).saturating_duration_since(Instant::now()));
        test.push_rows(rows(step));
        test.push_video([test.frame(step * STEP, 1.0)]);
    }
    test.end();
    test.all()
}

/// A model that becomes three times too slow, and quick again.
#[test]
fn a_slow_model_costs_mouths_and_nothing_else() {
    const STEPS: u64 = 60;
    let test = live("device=delay=300,slow-from=10,slow-until=15");
    let frames = feed(&test, STEPS, |step| Some(test.rows(0, step * ROWS, ROWS, |_| 50.0)));
    assert_eq!(times(&frames), (0..STEPS).map(|i| i * STEP).collect::<Vec<_>>());
    let late: Vec<bool> = frames.iter().map(|f| FaceMeta::faces(f)[0].reason == Some(Reason::Late)).collect();
    let weights: Vec<f32> = frames.iter().map(|f| shown(f).map_or(0.0, |(_, weight)| weight)).collect();
    let (first, last) = (late.iter().position(|&l| l).expect("it was slow"), late.iter().rposition(|&l| l).unwrap());
    assert!(first >= 8 && last - first >= 5, "late: {late:?}");
    // No flicker: it fades, stays away and fades in.
    let (going, coming) = (&weights[..=last], &weights[last..]);
    assert!(going.is_sorted_by(|a, b| a >= b) && coming.is_sorted(), "{weights:?}");
    assert!(weights[last] == 0.0 && weights[STEPS as usize - 10..] == [1.0; 10], "{weights:?}");
    let stats = test.pipeline.by_name("g").expect("named").property::<gst::Structure>("stats");
    let count = late.iter().filter(|&&l| l).count() as u64;
    assert_eq!((stats.get("frames"), stats.get("late")), (Ok(STEPS), Ok(count)));
    let bus = test.pipeline.bus().expect("a pipeline has a bus");
    let told = bus
        .iter_filtered(&[gst::MessageType::Element])
        .filter(|message| message.structure().is_some_and(|s| s.get::<&str>("type") == Ok("late")));
    assert!((1..=1 + STEPS / 10).contains(&(told.count() as u64)));
}

/// A camera in the dark: two frames a second, whatever its caps say, and not evenly.
#[test]
fn a_camera_may_be_slower_than_its_caps() {
    for rate in ["30/1", "0/1", "1/2"] {
        let test = live("");
        let caps = format!("video/x-raw,format=I420,width=32,height=32,framerate={rate}");
        test.video.set_caps(Some(&caps.parse().expect("caps")));
        test.play();
        let start = Instant::now();
        let taken = |step: &u64| [0, 2, 9, 13, 20, 21, 29].contains(step);
        for step in 0..30 {
            thread::sleep((start + Duration::from_nanos(step * STEP)).saturating_duration_since(Instant::now()));
            test.push_rows([test.rows(0, step * ROWS, ROWS, |_| 50.0)]);
            if taken(&step) {
                let mut frame = test.frame(step * STEP, 1.0);
                frame.make_mut().set_duration(gst::ClockTime::NONE);
                test.push_video([frame]);
            }
        }
        test.end();
        let frames = test.all();
        let reasons: Vec<_> = frames.iter().map(|frame| FaceMeta::faces(frame)[0].reason).collect();
        let late = reasons.iter().filter(|reason| **reason == Some(Reason::Late)).count();
        let bus = test.pipeline.bus().expect("a pipeline has a bus");
        let told: Vec<_> =
            bus.iter_filtered(&[gst::MessageType::Element]).map(|m| format!("{:?}", m.structure())).collect();
        assert_eq!((frames.len(), late), (7, 0), "caps of {rate}: {reasons:?} {told:?}");
    }
}

/// A voice that stops without an end of stream, and comes back as another stretch.
#[test]
fn a_voice_may_stop_and_come_back() {
    const STEPS: u64 = 40;
    const BACK: u64 = 20;
    let test = live("stall-timeout=400000000");
    let frames = feed(&test, STEPS, |step| match step {
        0..10 => Some(test.rows(0, step * ROWS, ROWS, |_| 20.0)),
        10..BACK => None,
        _ => Some(test.rows(BACK * STEP, (step - BACK) * ROWS, ROWS, |_| 80.0)),
    });
    assert_eq!(times(&frames), (0..STEPS).map(|i| i * STEP).collect::<Vec<_>>());
    let shown: Vec<_> = frames.iter().map(|frame| shown(frame).map(|(value, _)| value.round())).collect();
    assert_eq!(shown[5], Some(20.0), "{shown:?}");
    assert_eq!(shown[15], None, "it has faded: {shown:?}");
    // Right from the first frame of what came back, which is shown from the second on.
    assert!(shown[BACK as usize..STEPS as usize - 2].iter().flatten().all(|value| *value == 80.0), "{shown:?}");
    assert!(shown[BACK as usize + 2..STEPS as usize - 2].iter().all(Option::is_some), "{shown:?}");
}

/// A picture that stops without an end of stream holds no sound up, and its faces speak when it comes back.
#[test]
fn a_picture_may_stop_and_come_back() {
    let test = live("stall-timeout=0");
    let start = Instant::now();
    test.play();
    for step in 0..40 {
        thread::sleep((start + Duration::from_nanos(step * STEP)).saturating_duration_since(Instant::now()));
        test.push_rows([test.rows(0, step * ROWS, ROWS, |k| (k / 10) as f32)]);
        if !(5..25).contains(&step) {
            test.push_video([test.frame(step * STEP, 1.0)]);
        }
        // Rows wait for as long as the pipeline's latency, not for the picture.
        let waiting = test.features.current_level_buffers();
        assert!(waiting < 10, "step {step}: {waiting} buffers of sound wait");
    }
    test.end();
    let frames = test.all();
    assert_eq!(frames.len(), 20);
    let value = shown(&frames[10]).map(|(value, _)| value.round());
    assert_eq!(value, Some(30.0), "frame 10 is that of 3 s");
}

/// A file or a loop has all its frames at once. Live they leave no sooner than a camera's, also where no row holds them back.
#[test]
fn a_file_keeps_the_pace_of_the_clock() {
    let test = live("");
    test.video.set_property("is-live", false);
    test.sink.set_property("sync", false);
    let early = Arc::new(Mutex::new(Vec::new()));
    let (pipeline, seen) = (test.pipeline.downgrade(), early.clone());
    test.sink.static_pad("sink").expect("a sink has a pad").add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let time = info.buffer().and_then(|buffer| buffer.pts());
        let now = pipeline.upgrade().and_then(|pipeline| pipeline.current_running_time());
        seen.lock().extend(time.zip(now).filter(|(time, now)| time > now));
        gst::PadProbeReturn::Ok
    });
    test.play();
    test.push_video((0..20).map(|step| test.frame(step * STEP, 1.0)));
    let start = Instant::now();
    for step in 0..15 {
        thread::sleep((start + Duration::from_nanos(step * STEP)).saturating_duration_since(Instant::now()));
        match step {
            0..5 => test.push_rows([test.rows(0, step * ROWS, ROWS, |_| 50.0)]),
            5 => {
                let interrupt = gst::event::CustomDownstreamOob::new(gst::Structure::new_empty("lipsync-interrupt"));
                assert!(test.features.send_event(interrupt));
            }
            10 => _ = test.features.end_of_stream(),
            _ => {}
        }
    }
    _ = test.video.end_of_stream();
    assert_eq!(test.all().len(), 20);
    assert_eq!(*early.lock(), [], "frames that left before their time: (theirs, then)");
}
