// SPDX-License-Identifier: MPL-2.0
//! The element `lipsyncvoice`: any pieces in, one live sound out.

use std::time::Duration;

use gst::prelude::*;

use crate::common::init;

const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(20);

struct Voice {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Voice {
    fn start(wanted: &str) -> Self {
        init();
        let text = format!(
            "appsrc name=pieces format=time ! lipsyncvoice name=voice ! {wanted} appsink name=said sync=false max-buffers=0"
        );
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("pieces").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        let sink = pipeline.by_name("said").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, source, sink }
    }

    /// A tone of that loudness, 100 ms long, at a rate; its times mean nothing.
    fn push(&self, rate: u32, channels: u32, loudness: f32) {
        let caps = format!("audio/x-raw,format=S16LE,layout=interleaved,rate={rate},channels={channels}");
        self.source.set_caps(Some(&caps.parse().unwrap()));
        let sample = |i: u32| {
            let angle = f64::from(i / channels) * 500.0 / f64::from(rate) * std::f64::consts::TAU;
            ((angle.sin() as f32) * loudness * 32767.0) as i16
        };
        let bytes: Vec<u8> = (0..rate / 10 * channels).flat_map(|i| sample(i).to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_seconds(77));
        self.source.push_buffer(buffer).unwrap();
    }

    fn element(&self) -> gst::Element {
        self.pipeline.by_name("voice").unwrap()
    }

    /// The loudness of the next buffer. Every one follows the one before.
    fn next(&self, end: &mut Option<gst::ClockTime>) -> f32 {
        let sample = self.sink.try_pull_sample(PATIENCE).expect("there is always sound");
        let buffer = sample.buffer().unwrap();
        let (pts, duration) = (buffer.pts().unwrap(), buffer.duration().unwrap());
        assert!(end.is_none_or(|end| end == pts), "{end:?}, then {pts}");
        *end = Some(pts + duration);
        assert_eq!(duration, gst::ClockTime::from_mseconds(10));
        let samples: Vec<f32> = buffer
            .map_readable()
            .unwrap()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let loudest = samples.iter().fold(0.0, |max: f32, sample| max.max(sample.abs()));
        assert_eq!(loudest == 0.0, buffer.flags().contains(gst::BufferFlags::GAP));
        loudest
    }

    /// The types of the messages so far, the position that they tell, and whether something was cleared.
    fn told(&self) -> Vec<(String, Option<u64>, Option<bool>)> {
        let bus = self.pipeline.bus().unwrap();
        let mut all = Vec::new();
        while let Some(message) = bus.pop_filtered(&[gst::MessageType::Element]) {
            if let Some(about) = message.structure().filter(|s| s.name() == "application/x-lipsync-event") {
                assert_eq!(message.src(), Some(self.element().upcast_ref()));
                all.push((about.get("type").unwrap(), about.get("position-ms").ok(), about.get("cleared").ok()));
            }
        }
        all
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

#[test]
fn a_burst_of_any_rate_is_said_without_a_hole() {
    let voice = Voice::start("audio/x-raw,rate=16000,channels=2 !");
    let mut end = None;
    (0..20).for_each(|_| assert_eq!(voice.next(&mut end), 0.0));
    // A second in one go, of four formats.
    for (rate, channels) in [(16_000, 1), (24_000, 1), (48_000, 2), (8_000, 1)] {
        for _ in 0..5 {
            voice.push(rate, channels, 0.5);
        }
    }
    let mut loud = 0;
    while loud < 190 {
        let loudness = voice.next(&mut end);
        assert!(loud == 0 || loudness > 0.3, "a hole after {loud} buffers: {loudness}");
        loud += usize::from(loudness > 0.0);
    }
    // What a resampler keeps to itself comes with the end of the speech.
    while voice.next(&mut end) > 0.0 {}
    while voice.told().iter().all(|(kind, ..)| kind != "speech-finished") {
        voice.next(&mut end);
    }
}

#[test]
fn pieces_with_jitter_leave_no_hole() {
    let voice = Voice::start("");
    let mut end = None;
    voice.next(&mut end);
    let (mut loud, mut pushed) = (0, 0);
    for step in 0..200 {
        // Pieces of 100 ms, up to 60 ms late.
        while pushed < 10 && step >= pushed * 10 + [0, 6, 2, 5][pushed % 4] {
            voice.push(48_000, 1, 0.5);
            pushed += 1;
        }
        let loudness = voice.next(&mut end);
        assert!(!(1..95).contains(&loud) || loudness > 0.3, "a hole after {loud} buffers");
        loud += usize::from(loudness > 0.0);
    }
    assert!((98..=101).contains(&loud), "{loud}");
    let told = voice.told();
    assert_eq!(told[0].0, "speech-started");
    assert!(told[1].0 == "speech-finished" && told[1].1.is_some_and(|ms| (980..=1000).contains(&ms)), "{told:?}");
    assert_eq!(told.len(), 2);
}

#[test]
fn what_has_not_been_said_can_be_cleared() {
    let voice = Voice::start("");
    let heard = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (mut end, interrupted) = (None, heard.clone());
    voice.sink.static_pad("sink").unwrap().add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let own = matches!(&info.data, Some(gst::PadProbeData::Event(event)) if event.has_name("lipsync-interrupt"));
        interrupted.fetch_or(own, std::sync::atomic::Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    (0..30).for_each(|_| voice.push(48_000, 1, 0.5));
    while voice.next(&mut end) == 0.0 {}
    (0..20).for_each(|_| _ = voice.next(&mut end));
    let stats: gst::Structure = voice.element().property("stats");
    assert!(stats.get::<u64>("waiting-ms").unwrap() > 2000 && stats.get::<bool>("speaking").unwrap(), "{stats}");
    voice.element().emit_by_name::<()>("clear", &[]);
    assert!(heard.load(std::sync::atomic::Ordering::Relaxed));
    // One that was made before may be on its way.
    _ = voice.next(&mut end);
    _ = voice.next(&mut end);
    (0..20).for_each(|_| assert_eq!(voice.next(&mut end), 0.0));
    let told = voice.told();
    assert!(told.len() == 2 && told[1].2 == Some(true), "{told:?}");
    assert!(told[1].1.is_some_and(|ms| (200..800).contains(&ms)), "{told:?}");
    // The next speech is said from its start.
    voice.push(48_000, 1, 0.5);
    while voice.next(&mut end) == 0.0 {}
}

#[test]
fn who_sends_more_than_may_wait_waits_and_stops() {
    let voice = Voice::start("");
    voice.element().set_property("max-time", 500_000_000u64);
    voice.source.set_property("block", true);
    voice.source.set_property("max-bytes", 20_000u64);
    let mut end = None;
    (0..30).for_each(|_| voice.push(8_000, 1, 0.5));
    (0..10).for_each(|_| _ = voice.next(&mut end));
    std::thread::sleep(Duration::from_millis(100));
    let stats: gst::Structure = voice.element().property("stats");
    assert!(stats.get::<u64>("waiting-ms").unwrap() < 800, "{stats}");
    // The sender's thread waits for room.
    voice.pipeline.set_state(gst::State::Null).unwrap();
}
