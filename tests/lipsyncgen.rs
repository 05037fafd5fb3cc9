// SPDX-License-Identifier: MPL-2.0
//! lipsyncgen between appsrcs and an appsink, with the test runtime: what a frame's patch shows is the mean of the rows of its
//! window, so every test reads from the picture which sound it got.

mod live;
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gst::prelude::*;
use gstlipsync::face_meta::{Face, FaceMeta, Generated, LANDMARKS, Pose, RgbImage};
use gstlipsync::geometry::{Affine, Rect};
use gstlipsync::model::Model;
use gstlipsync::model::points::PointSet;

use crate::common::init;

const MS: u64 = 1_000_000;

/// Rows per second of the test model, and numbers in a row.
const RATE: u64 = 100;
const WIDTH: usize = 8;

struct Pipeline {
    pipeline: gst::Pipeline,
    video: gst_app::AppSrc,
    features: gst_app::AppSrc,
    sink: gst_app::AppSink,
    model: Arc<Model>,
}

impl Pipeline {
    fn new(properties: &str) -> Self {
        Self::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash"), properties)
    }

    /// With the model in `folder`.
    fn of(folder: &str, properties: &str) -> Self {
        init();
        let pipeline = gst::parse::launch(&format!(
            "appsrc name=video format=time ! lipsyncgen name=g model={folder} backend=test {properties} ! appsink name=sink sync=false \
             appsrc name=features format=time ! g.features"
        ))
        .expect("the pipeline is well-formed")
        .downcast::<gst::Pipeline>()
        .expect("more than one element");
        let find = |name| pipeline.by_name(name).expect("named above");
        let video: gst_app::AppSrc = find("video").downcast().expect("an appsrc");
        let features: gst_app::AppSrc = find("features").downcast().expect("an appsrc");
        let model = Model::open(folder).expect("the test model is sound");
        video.set_caps(Some(&"video/x-raw,format=I420,width=32,height=32,framerate=25/1".parse().expect("caps")));
        features.set_caps(Some(&model.features_caps()));
        video.set_property("max-bytes", 0u64);
        features.set_property("max-bytes", 0u64);
        let sink = find("sink").downcast().expect("an appsink");
        Self { pipeline, video, features, sink, model }
    }

    fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).expect("the pipeline starts");
    }

    /// A frame at `time` ns with one face, `weight` = how much of a mouth facecrop allows.
    fn frame(&self, time: u64, weight: f32) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_mut_slice(vec![0u8; 32 * 48]);
        let buffer_ref = buffer.get_mut().expect("just made");
        buffer_ref.set_pts(gst::ClockTime::from_nseconds(time));
        buffer_ref.set_duration(gst::ClockTime::from_nseconds(40 * MS));
        // A mouth that is closed.
        let mut landmarks = [[16.0, 16.0]; LANDMARKS];
        landmarks[54] = [20.0, 16.0];
        let face = Face {
            model: self.model.clone(),
            track: 1,
            bbox: Rect::new(8.0, 8.0, 16.0, 16.0),
            landmarks,
            points: Arc::default(),
            point_set: PointSet::Ibug68,
            confidence: 1.0,
            pose: Pose::default(),
            crop_to_frame: Affine([1.0, 0.0, 8.0, 0.0, 1.0, 8.0]),
            crop: Arc::new(RgbImage { width: 16, height: 16, data: vec![0; 16 * 16 * 3] }),
            generated: None,
            weight,
            reason: None,
        };
        FaceMeta::add(buffer_ref, Arc::new(face));
        buffer
    }

    /// `count` rows from row `first` of a stretch that begins at `anchor` ns; row k holds `value(k)`.
    fn rows(&self, anchor: u64, first: u64, count: u64, value: impl Fn(u64) -> f32) -> gst::Buffer {
        let data: Vec<u8> = (first..first + count).flat_map(|k| [value(k); WIDTH]).flat_map(f32::to_le_bytes).collect();
        let mut buffer = gst::Buffer::from_slice(data);
        let buffer_ref = buffer.get_mut().expect("just made");
        buffer_ref.set_pts(gst::ClockTime::from_nseconds(anchor + first * 1_000 * MS / RATE));
        buffer_ref.set_duration(gst::ClockTime::from_nseconds(count * 1_000 * MS / RATE));
        buffer_ref.set_offset(first);
        buffer_ref.set_offset_end(first + count);
        if first == 0 {
            buffer_ref.set_flags(gst::BufferFlags::DISCONT);
        }
        buffer
    }

    fn push_video(&self, frames: impl IntoIterator<Item = gst::Buffer>) {
        for frame in frames {
            self.video.push_buffer(frame).expect("appsrc takes the frame");
        }
    }

    fn push_rows(&self, rows: impl IntoIterator<Item = gst::Buffer>) {
        for buffer in rows {
            self.features.push_buffer(buffer).expect("appsrc takes the rows");
        }
    }

    fn end(&self) {
        let _ = self.video.end_of_stream();
        let _ = self.features.end_of_stream();
    }

    /// Everything that leaves until the end of the stream, within ten seconds.
    fn all(&self) -> Vec<gst::Buffer> {
        let mut buffers = Vec::new();
        while let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_seconds(10)) {
            buffers.push(sample.buffer_owned().expect("a sample with a buffer"));
        }
        assert!(self.sink.is_eos(), "the stream did not end");
        buffers
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).expect("the pipeline stops");
    }
}

/// The value that the frame's patch shows, with the test model's range of 0..100, and the weight at which it is shown.
fn shown(buffer: &gst::Buffer) -> Option<(f32, f32)> {
    let faces = FaceMeta::faces(buffer);
    let face = faces.first().expect("the face travels with its frame");
    match face.generated.as_ref()? {
        Generated::Image(patch) => Some((f32::from(patch.data[0]) / 2.55, face.weight)),
        Generated::Warp(_) => panic!("the test model makes images"),
    }
}

fn times(buffers: &[gst::Buffer]) -> Vec<u64> {
    buffers.iter().map(|b| b.pts().expect("frames have a time").nseconds()).collect()
}

/// Promises 1 and 4: every frame once and in order, and each with the rows of its own time.
#[test]
fn every_frame_leaves_with_the_sound_of_its_time() {
    let test = Pipeline::new("");
    test.play();
    test.push_video((0..50).map(|i| test.frame(i * 40 * MS, 1.0)));
    // 2 s of rows, in buffers of changing length; row k holds k / 4, so a window of 4 rows has the mean (k + 1.5) / 4.
    let mut first = 0;
    while first < 200 {
        let count = (1 + first % 13).min(200 - first);
        test.push_rows([test.rows(0, first, count, |k| k as f32 / 4.0)]);
        first += count;
    }
    test.end();
    let frames = test.all();
    assert_eq!(times(&frames), (0..50).map(|i| i * 40 * MS).collect::<Vec<_>>());
    for (i, frame) in frames.iter().enumerate() {
        assert_eq!(frame.duration(), Some(gst::ClockTime::from_nseconds(40 * MS)));
        let (value, weight) = shown(frame).expect("there is sound for every frame");
        let expected = (4.0 * i as f32 + 1.5) / 4.0;
        assert!((value - expected).abs() < 0.3, "frame {i}: {value}, expected {expected}");
        assert_eq!(weight, 1.0);
    }
}

/// Promise 4 with a segment that starts elsewhere, and a frame rate that is not the rows'.
#[test]
fn running_time_counts_not_the_timestamps() {
    let test = Pipeline::new("");
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_seconds(100));
    test.play();
    let frames = (0..30u64).map(|i| 100_000 * MS + i * 1001 * 1_000 * MS / 30_000);
    let sample = |time| {
        let buffer = test.frame(time, 1.0);
        gst::Sample::builder().buffer(&buffer).caps(&test.video.caps().expect("set")).segment(&segment).build()
    };
    test.video.set_property("handle-segment-change", true);
    for time in frames {
        test.video.push_sample(&sample(time)).expect("appsrc takes the frame");
    }
    test.push_rows([test.rows(0, 0, 150, |k| k as f32 / 4.0)]);
    test.end();
    let frames = test.all();
    assert_eq!(frames.len(), 30);
    for (i, frame) in frames.iter().enumerate() {
        let row = (i as f64 * 1001.0 / 30_000.0 * RATE as f64 + 1e-3).floor();
        let expected = (row as f32 + 1.5) / 4.0;
        let (value, _) = shown(frame).expect("there is sound for every frame");
        assert!((value - expected).abs() < 0.3, "frame {i}: {value}, expected {expected}");
    }
}

/// Promise 4 in the long run: an hour at 29.97 frames a second, each frame with the very row of its time.
/// Pushes buffers of that segment.
fn push_in(source: &gst_app::AppSrc, segment: &gst::FormattedSegment<gst::ClockTime>, buffers: Vec<gst::Buffer>) {
    source.set_property("handle-segment-change", true);
    let caps = source.caps().expect("set");
    for buffer in buffers {
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).segment(segment).build();
        source.push_sample(&sample).expect("appsrc takes it");
    }
}

/// A file that is played faster or slower: what speaks in a picture is the sound of its own moment.
#[test]
fn at_another_speed_lips_follow_the_same_sound() {
    for rate in [0.5, 1.5, 2.0] {
        let test = Pipeline::new("");
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_rate(rate);
        segment.set_start(gst::ClockTime::from_seconds(10));
        test.play();
        for (source, buffers) in [
            (&test.video, (0..50).map(|i| test.frame(10_000 * MS + i * 40 * MS, 1.0)).collect::<Vec<_>>()),
            (&test.features, (0..20).map(|i| test.rows(10_000 * MS, i * 10, 10, |k| k as f32 / 4.0)).collect()),
        ] {
            push_in(source, &segment, buffers);
        }
        test.end();
        let frames = test.all();
        assert_eq!(frames.len(), 50);
        for (i, frame) in frames.iter().enumerate() {
            let (value, _) = shown(frame).expect("there is sound for every frame");
            let expected = (4.0 * i as f32 + 1.5) / 4.0;
            assert!((value - expected).abs() < 0.6, "rate {rate}, frame {i}: {value}, expected {expected}");
        }
    }
}

/// Nobody speaks backwards, and the picture does not stop for it.
#[test]
fn what_is_played_backwards_passes() {
    let test = Pipeline::new("");
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(-1.0);
    segment.set_start(gst::ClockTime::ZERO);
    segment.set_stop(gst::ClockTime::from_seconds(2));
    test.play();
    for (source, buffers) in [
        (&test.video, (0..50).rev().map(|i| test.frame(i * 40 * MS, 1.0)).collect::<Vec<_>>()),
        (&test.features, (0..20).rev().map(|i| test.rows(i * 100 * MS, 0, 10, |_| 50.0)).collect()),
    ] {
        push_in(source, &segment, buffers);
    }
    test.end();
    let frames = test.all();
    assert_eq!(times(&frames), (0..50).rev().map(|i| i * 40 * MS).collect::<Vec<_>>());
    assert!(frames.iter().all(|frame| shown(frame).is_none()));
    let bus = test.pipeline.bus().expect("a pipeline has a bus");
    assert_eq!(bus.iter_filtered(&[gst::MessageType::Warning]).count(), 1);
}

#[test]
fn an_hour_later_nothing_has_drifted() {
    let test = Pipeline::new("");
    for source in [&test.video, &test.features] {
        source.set_property("max-buffers", 100u64);
        source.set_property("block", true);
    }
    test.sink.set_max_buffers(100);
    test.play();
    let time = |i: u64| i * 1001 * 1_000 * MS / 30_000;
    let frames = 3600 * 30_000 / 1001;
    // A window of four rows; row k holds k % 97.
    let mean = |first: u64| (first..first + 4).map(|k| (k % 97) as f32).sum::<f32>() / 4.0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let chunks = 3600 * RATE / 50 + 1;
            test.push_rows((0..chunks).map(|c| test.rows(0, c * 50, 50, |k| (k % 97) as f32)));
            let _ = test.features.end_of_stream();
        });
        scope.spawn(|| {
            test.push_video((0..frames).map(|i| test.frame(time(i), 1.0)));
            let _ = test.video.end_of_stream();
        });
        let mut count = 0;
        while let Some(sample) = test.sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
            let frame = sample.buffer_owned().expect("a sample with a buffer");
            assert_eq!(frame.pts(), Some(gst::ClockTime::from_nseconds(time(count))));
            let row = (time(count) * RATE + 1_000 * MS / 1_000) / (1_000 * MS);
            let (value, _) = shown(&frame).expect("there is sound for every frame");
            assert!((value - mean(row)).abs() < 0.3, "frame {count}: {value}, expected {}", mean(row));
            count += 1;
        }
        assert_eq!(count, frames);
    });
}

/// Sound that ends early: the mouth fades within 120 ms and the picture goes on, or ends with the sound, as asked.
#[test]
fn the_end_of_the_sound_is_as_asked() {
    for (properties, expected) in [("", 50), ("on-audio-end=eos", 25)] {
        let test = Pipeline::new(properties);
        test.play();
        test.push_video((0..50).map(|i| test.frame(i * 40 * MS, 1.0)));
        test.push_rows([test.rows(0, 0, 101, |_| 50.0)]);
        test.end();
        let frames = test.all();
        assert_eq!(frames.len(), expected, "{properties}");
        let weights: Vec<f32> = frames[24..].iter().map(|f| shown(f).map_or(0.0, |(_, w)| w)).collect();
        assert_eq!(weights[0], 1.0);
        if expected == 50 {
            assert!(weights[1] > 0.5 && weights[2] < 0.5, "{weights:?}");
            assert!(weights[4..].iter().all(|w| *w == 0.0), "{weights:?}");
        }
    }
}

/// Without anything on the features pad's side the picture passes.
#[test]
fn a_picture_without_sound_passes() {
    let test = Pipeline::new("");
    test.play();
    test.push_video((0..20).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.end();
    let frames = test.all();
    assert_eq!(frames.len(), 20);
    assert!(frames.iter().all(|f| shown(f).is_none()));
}

/// Promise 10 in its simplest form, and that the size of the batch changes nothing for a model without memory.
#[test]
fn the_same_input_gives_the_same_output() {
    let run = |properties| {
        let test = Pipeline::new(properties);
        test.play();
        test.push_video((0..43).map(|i| test.frame(i * 40 * MS, if i % 7 == 3 { 0.0 } else { 1.0 })));
        test.push_rows([test.rows(0, 0, 180, |k| (k * 37 % 101) as f32)]);
        test.end();
        test.all().iter().map(shown).collect::<Vec<_>>()
    };
    let first = run("");
    assert_eq!(first.len(), 43);
    assert!(first.iter().flatten().count() > 30);
    assert_eq!(first, run(""));
    assert_eq!(first, run("batch-size=1"));
    assert_eq!(first, run("batch-size=5"));
}

/// Two stretches of sound with silence between them (a discontinuity) keep their own times.
#[test]
fn a_discontinuity_starts_at_its_own_time() {
    let test = Pipeline::new("");
    test.play();
    test.push_video((0..50).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 50, |_| 20.0), test.rows(1_200 * MS, 0, 80, |_| 80.0)]);
    test.end();
    let frames = test.all();
    let value = |i: usize| shown(&frames[i]).map(|(v, _)| v.round());
    assert_eq!(value(5), Some(20.0));
    assert_eq!(value(20), None, "0.8 s: between the stretches");
    assert_eq!(value(29), None, "1.16 s: just before the second stretch");
    assert_eq!(value(30), Some(80.0), "1.2 s: the second stretch");
}

/// A run that fails, yields NaN or panics costs its frames' mouths, one warning, and nothing else.
#[test]
fn the_first_frame_does_not_wait_for_a_batch() {
    let test = Pipeline::new("batch-size=5");
    test.play();
    let next = || test.sink.try_pull_sample(gst::ClockTime::from_seconds(2));
    test.push_rows([test.rows(0, 0, 150, |_| 50.0)]);
    test.push_video([test.frame(0, 1.0)]);
    assert!(next().is_some());
    test.push_video((1..5).map(|i| test.frame(i * 40 * MS, 1.0)));
    assert!(next().is_none(), "four are no batch");
    test.push_video([test.frame(5 * 40 * MS, 1.0)]);
    assert!((0..5).all(|_| next().is_some()));
}

#[test]
fn a_failing_model_costs_only_its_mouths() {
    for order in ["error-at=1", "nan-at=1", "panic-at=1"] {
        let test = Pipeline::new(&format!("device={order} batch-size=5"));
        test.play();
        test.push_video((0..30).map(|i| test.frame(i * 40 * MS, 1.0)));
        test.push_rows([test.rows(0, 0, 150, |_| 50.0)]);
        test.end();
        let frames = test.all();
        assert_eq!(frames.len(), 30, "{order}");
        let mouths: Vec<bool> = frames.iter().map(|f| shown(f).is_some_and(|(_, w)| w == 1.0)).collect();
        // The first frame leaves alone, so the second run is of the five after it.
        assert!(mouths[0], "{order}: {mouths:?}");
        assert!(!mouths[2], "{order}: {mouths:?}");
        assert!(mouths[9..].iter().all(|m| *m), "{order}: {mouths:?}");
        let bus = test.pipeline.bus().expect("a pipeline has a bus");
        let warnings = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning])).count();
        assert_eq!(warnings, 1, "{order}");
    }
    let test = Pipeline::new("device=error-at=1 batch-size=5 on-error=fail");
    test.play();
    test.push_video((0..30).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 150, |_| 50.0)]);
    let bus = test.pipeline.bus().expect("a pipeline has a bus");
    let error = bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error]);
    assert!(error.is_some(), "on-error=fail posts an error");
}

/// A model that never comes back does not keep the pipeline from stopping, and the watchdog names it.
#[test]
fn a_hanging_model_is_reported_and_left_behind() {
    let test = Pipeline::new("device=hang-at=1 batch-size=5 stall-timeout=300000000");
    test.play();
    test.push_video((0..30).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 150, |_| 50.0)]);
    let bus = test.pipeline.bus().expect("a pipeline has a bus");
    let text = loop {
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Element]);
        let message = message.expect("the stall is reported");
        let structure = message.structure().expect("element messages have one").to_owned();
        if structure.get::<&str>("type") == Ok("stalled") {
            break structure.get::<String>("text").expect("says what is wrong");
        }
    };
    assert!(text.contains("the model does not come back"), "{text}");
    let (done, stopped) = std::sync::mpsc::channel();
    let pipeline = test.pipeline.clone();
    std::thread::spawn(move || {
        let _ = pipeline.set_state(gst::State::Null);
        let _ = done.send(());
    });
    stopped.recv_timeout(std::time::Duration::from_secs(5)).expect("stops although the model hangs");
}

/// A panic in the midst of GStreamer's calls is an error on the bus, and the element can still be asked.
#[test]
fn a_panic_is_an_error() {
    init();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash");
    let element = gst::ElementFactory::make("lipsyncgen").property("model", folder).property("device", "panic-at=-1");
    let element = element.property_from_str("backend", "test").build().expect("the element is registered");
    let bus = crate::common::OwnBus::of(&element);
    // The warm-up panics.
    assert!(element.set_state(gst::State::Ready).is_err());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).expect("the panic is told");
    let gst::MessageView::Error(error) = message.view() else { unreachable!() };
    assert!(error.error().to_string().contains("ordered to panic"), "{error:?}");
    assert_eq!(element.property::<gst::Structure>("stats").get::<u64>("frames"), Ok(0));
    assert_eq!(element.property::<String>("device"), "panic-at=-1");
}

/// A starving pad is named.
#[test]
fn a_starving_pad_is_named() {
    let test = Pipeline::new("stall-timeout=300000000 on-stall=error");
    test.play();
    test.push_video((0..30).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 20, |_| 50.0)]);
    let bus = test.pipeline.bus().expect("a pipeline has a bus");
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error]);
    match message.expect("the stall is an error").view() {
        gst::MessageView::Error(error) => {
            let text = error.error().to_string();
            assert!(text.contains("pad features gets nothing while sink is full"), "{text}");
        }
        _ => unreachable!(),
    }
}

/// Features of another recipe are refused in words.
#[test]
fn features_of_another_recipe_are_refused() {
    let test = Pipeline::new("");
    let mut caps = test.model.features_caps();
    caps.make_mut().set("features", "other-mel");
    test.features.set_caps(Some(&caps));
    test.play();
    test.push_video([test.frame(0, 1.0)]);
    test.push_rows([test.rows(0, 0, 20, |_| 50.0)]);
    let bus = test.pipeline.bus().expect("a pipeline has a bus");
    let error = bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error]);
    assert!(error.is_some());
}

/// A flush of the picture alone (an app that replaces it) leaves the sound's side alive.
#[test]
fn the_picture_can_be_flushed_alone() {
    let test = Pipeline::new("device=delay=20 batch-size=5");
    test.play();
    test.push_video((0..30).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 400, |_| 50.0)]);
    let first = test.sink.try_pull_sample(gst::ClockTime::from_seconds(10));
    assert!(first.is_some());
    assert!(test.video.send_event(gst::event::FlushStart::new()));
    assert!(test.video.send_event(gst::event::FlushStop::new(false)));
    while test.sink.try_pull_sample(gst::ClockTime::from_mseconds(300)).is_some() {}
    test.push_video((60..80).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.end();
    let after = test.all();
    assert!(!after.is_empty());
    let last = after.last().expect("not empty");
    assert_eq!(last.pts(), Some(gst::ClockTime::from_nseconds(79 * 40 * MS)));
    assert!(shown(last).is_some(), "the sound is still there");
}

/// A seek from two sinks flushes the sound's source twice. The second time nothing that follows may be flushed: the picture is
/// flushed once, and is on its way already.
#[test]
fn a_flush_that_is_repeated_costs_no_picture() {
    let test = Pipeline::new("");
    let seqnum = gst::Seqnum::next();
    let flush = |source: &gst_app::AppSrc| {
        assert!(source.send_event(gst::event::FlushStart::builder().seqnum(seqnum).build()));
        assert!(source.send_event(gst::event::FlushStop::builder(true).seqnum(seqnum).build()));
    };
    let flushed = Arc::new(AtomicUsize::new(0));
    let count = flushed.clone();
    test.sink.static_pad("sink").expect("a sink has a pad").add_probe(gst::PadProbeType::EVENT_FLUSH, move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    test.play();
    test.push_video((0..10).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 200, |_| 50.0)]);
    flush(&test.video);
    flush(&test.features);
    assert_eq!(flushed.load(Ordering::Relaxed), 2, "FLUSH_START and FLUSH_STOP");
    test.push_video((20..30).map(|i| test.frame(i * 40 * MS, 1.0)));
    flush(&test.features);
    assert_eq!(flushed.load(Ordering::Relaxed), 2);
    test.push_rows([test.rows(0, 80, 200, |_| 50.0)]);
    test.end();
    let frames = test.all();
    let ends = (20..30).map(|i| i * 40 * MS).collect::<Vec<_>>();
    assert!(times(&frames).ends_with(&ends), "{:?}", times(&frames));
    assert!(frames.last().is_some_and(|last| shown(last).is_some()), "the sound is there too");
}

/// A picture that has ended and a sound that is sought in: nobody waits for rows any more, so nobody may hold them up.
#[test]
fn after_the_end_a_flushed_sound_is_not_held_up() {
    let test = Pipeline::new("");
    test.play();
    test.push_video((0..10).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 100, |_| 50.0)]);
    assert!(test.video.end_of_stream().is_ok());
    assert_eq!(test.all().len(), 10);
    assert!(test.features.send_event(gst::event::FlushStart::new()));
    assert!(test.features.send_event(gst::event::FlushStop::new(true)));
    let pad = test.features.static_pad("src").expect("a source has a pad");
    for chunk in 0..20 {
        let _ = test.features.push_buffer(test.rows(0, chunk * 20, 20, |_| 50.0));
    }
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while pad.task_state() != gst::TaskState::Paused {
        assert!(std::time::Instant::now() < until, "the sound stands");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A seek flushes one side after the other. What follows on the first side comes while the second one is not through yet.
#[test]
fn after_the_end_a_seek_begins_again() {
    let test = Pipeline::new("");
    let generator = test.pipeline.by_name("g").expect("it is in the text");
    let arrived = Arc::new(AtomicUsize::new(0));
    let count = arrived.clone();
    generator.static_pad("sink").expect("it always has one").add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    let video = test.video.clone();
    let frames = (20..30).map(|i| test.frame(i * 40 * MS, 1.0)).collect::<Vec<_>>();
    // The picture comes first: its pad is the older one.
    let between = move || {
        let before = arrived.load(Ordering::Relaxed);
        for frame in &frames {
            let _ = video.push_buffer(frame.clone());
        }
        let until = std::time::Instant::now() + std::time::Duration::from_secs(2);
        while arrived.load(Ordering::Relaxed) == before && std::time::Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        true
    };
    test.video.set_stream_type(gst_app::AppStreamType::Seekable);
    test.features.set_stream_type(gst_app::AppStreamType::Seekable);
    test.video.set_callbacks(gst_app::AppSrcCallbacks::builder().seek_data(|_, _| true).build());
    let seek = move |_: &gst_app::AppSrc, position: u64| position == 0 || between();
    test.features.set_callbacks(gst_app::AppSrcCallbacks::builder().seek_data(seek).build());
    test.play();
    test.push_video((0..10).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 100, |_| 50.0)]);
    test.end();
    assert_eq!(test.all().len(), 10);
    test.pipeline.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::from_mseconds(800)).expect("both can seek");
    test.push_rows([test.rows(0, 80, 200, |_| 50.0)]);
    test.end();
    assert_eq!(times(&test.all()), (20..30).map(|i| i * 40 * MS).collect::<Vec<_>>());
}

/// A sound that is taken away leaves the picture, and one that comes later has its mouths.
#[test]
fn another_sound_may_come() {
    let test = Pipeline::new("batch-size=1");
    let generator = test.pipeline.by_name("g").expect("named above");
    let source = test.features.static_pad("src").expect("a source has a pad");
    let pad = source.peer().expect("it is linked");
    // What the last of the next `count` frames shows.
    let pull = |count| {
        let next = |_| test.sink.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("a frame leaves");
        let samples: Vec<_> = (0..count).map(next).collect();
        shown(&samples.last()?.buffer_owned().expect("a buffer"))
    };
    test.play();
    test.push_video((0..10).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 100, |_| 50.0)]);
    assert!(pull(10).is_some());
    source.unlink(&pad).expect("it is linked");
    generator.release_request_pad(&pad);
    test.push_video((10..50).map(|i| test.frame(i * 40 * MS, 1.0)));
    assert!(pull(40).is_none(), "a mouth without a sound");
    let pad = generator.request_pad_simple("features").expect("the other one is gone");
    source.link(&pad).expect("the features fit");
    test.push_video((50..60).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows((0..10).map(|chunk| test.rows(2_000 * MS, chunk * 10, 10, |_| 80.0)));
    assert!(pull(10).is_some_and(|(value, _)| (value - 80.0).abs() < 0.3));
}

/// Times that step back, as at the seam of a loop, or one that leaps, stop nothing.
#[test]
fn times_may_step_back() {
    let test = Pipeline::new("");
    test.play();
    let times = (0..40u64).chain(0..40).map(|i| i * 40 * MS);
    test.push_video(times.clone().map(|t| test.frame(t, 1.0)));
    test.push_rows((0..30).map(|i| test.rows(0, i * 10, 10, |_| 50.0)));
    test.end();
    assert_eq!(crate::lipsyncgen::times(&test.all()), times.collect::<Vec<_>>());

    let test = Pipeline::new("");
    test.play();
    let times = (0..40u64).map(|i| if i == 10 { 1_500 * MS } else { i * 40 * MS });
    test.push_video(times.clone().map(|t| test.frame(t, 1.0)));
    test.push_rows((0..30).map(|i| test.rows(0, i * 10, 10, |_| 50.0)));
    test.end();
    assert_eq!(crate::lipsyncgen::times(&test.all()), times.collect::<Vec<_>>());
}

/// A GAP event is no frame.
#[test]
fn a_gap_in_the_picture_is_no_frame() {
    let test = Pipeline::new("");
    test.play();
    test.push_video((0..10).map(|i| test.frame(i * 40 * MS, 1.0)));
    let gap = gst::event::Gap::builder(gst::ClockTime::from_nseconds(400 * MS))
        .duration(gst::ClockTime::from_nseconds(400 * MS))
        .build();
    assert!(test.video.send_event(gap));
    test.push_video((20..30).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.push_rows([test.rows(0, 0, 200, |_| 50.0)]);
    test.end();
    let expected: Vec<u64> = (0..10).chain(20..30).map(|i| i * 40 * MS).collect();
    assert_eq!(times(&test.all()), expected);
}

/// After an interruption the old sentence's rows are not used, and the next sentence's are, from its first frame.
#[test]
fn an_interruption_drops_the_old_sentence() {
    let test = Pipeline::new("batch-size=1");
    test.play();
    test.push_rows([test.rows(0, 0, 50, |_| 20.0)]);
    test.push_video((0..10).map(|i| test.frame(i * 40 * MS, 1.0)));
    for _ in 0..10 {
        let sample = test.sink.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("ten frames");
        let value = shown(&sample.buffer_owned().expect("a buffer")).map(|(v, _)| v.round());
        assert_eq!(value, Some(20.0));
    }
    let pad = test.pipeline.by_name("g").expect("named").static_pad("features").expect("requested");
    let interrupt = gst::event::CustomDownstreamOob::new(gst::Structure::new_empty("lipsync-interrupt"));
    assert!(pad.send_event(interrupt));
    // What was still on its way, then the next sentence.
    test.push_rows([test.rows(0, 50, 50, |_| 20.0), test.rows(600 * MS, 0, 100, |_| 80.0)]);
    test.push_video((10..40).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.end();
    let frames = test.all();
    assert_eq!(frames.len(), 30);
    let shown: Vec<_> = frames.iter().map(shown).collect();
    assert!(shown[..3].iter().flatten().all(|(_, weight)| *weight < 1.0), "it fades: {shown:?}");
    assert_eq!(shown[4], None, "{shown:?}");
    assert_eq!(shown[5].map(|(value, _)| value.round()), Some(80.0), "0.6 s: the next sentence: {shown:?}");
}

/// Where silence has been heard, an interruption is a fade to it: no face is left as it is in between.
#[test]
fn an_interruption_is_followed_by_silence() {
    let test = Pipeline::new("batch-size=1");
    test.play();
    let mut silence = test.rows(0, 0, 25, |_| 10.0);
    silence.make_mut().set_flags(gst::BufferFlags::GAP);
    test.push_rows([silence, test.rows(0, 25, 25, |_| 40.0)]);
    test.push_video((0..10).map(|i| test.frame(i * 40 * MS, 1.0)));
    for _ in 0..10 {
        test.sink.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("ten frames");
    }
    let pad = test.pipeline.by_name("g").expect("named").static_pad("features").expect("requested");
    assert!(pad.send_event(gst::event::CustomDownstreamOob::new(gst::Structure::new_empty("lipsync-interrupt"))));
    test.push_rows([test.rows(0, 50, 50, |_| 40.0), test.rows(600 * MS, 0, 100, |_| 80.0)]);
    test.push_video((10..20).map(|i| test.frame(i * 40 * MS, 1.0)));
    test.end();
    let shown: Vec<_> = test.all().iter().map(|frame| shown(frame).map(|(v, w)| (v.round(), w))).collect();
    let heard: Vec<_> = [30.0, 20.0, 10.0, 10.0, 10.0, 80.0].map(|value| Some((value, 1.0))).into();
    assert_eq!(shown[..6], heard);
}

/// A camera with few buffers gets them back although frames wait.
#[test]
fn a_source_with_few_buffers_does_not_starve() {
    let test = Pipeline::new("batch-size=8");
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    config.set_params(test.video.caps().as_ref(), 32 * 48, 4, 4);
    pool.set_config(config).expect("a valid configuration");
    pool.set_active(true).expect("the pool starts");
    test.play();
    test.push_rows([test.rows(0, 0, 301, |_| 50.0)]);
    let at_once = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
    for i in 0..60 {
        let free = (0..2000).find_map(|_| {
            let free = pool.acquire_buffer(Some(&at_once)).ok();
            if free.is_none() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            free
        });
        let mut buffer = free.unwrap_or_else(|| panic!("frame {i}: no buffer came back"));
        test.frame(i * 40 * MS, 1.0)
            .copy_into(buffer.get_mut().expect("its only owner"), gst::BufferCopyFlags::TIMESTAMPS, ..)
            .expect("copies");
        test.push_video([buffer]);
    }
    test.end();
    assert_eq!(test.all().len(), 60);
    pool.set_active(false).expect("the pool stops");
}

/// Nobody speaks: that is said on the bus, and after a while nothing is generated for a mouth that is closed anyway.
#[test]
fn silence_costs_nothing_and_is_told() {
    let test = Pipeline::new("device=delay=1");
    test.play();
    test.push_video((0..75).map(|i| test.frame(i * 40 * MS, 1.0)));
    // Silence up to 2 s, half a second of voice, silence.
    for (from, to, silent) in [(0, 200, true), (200, 250, false), (250, 301, true)] {
        let mut rows = test.rows(0, from, to - from, |_| 50.0);
        if silent {
            rows.get_mut().expect("just made").set_flags(gst::BufferFlags::GAP);
        }
        test.push_rows([rows]);
    }
    test.end();
    let frames = test.all();
    assert_eq!(frames.len(), 75);
    let shown: Vec<_> = frames.iter().map(shown).collect();
    assert!(shown[..13].iter().all(Option::is_some), "at first the model is asked: {shown:?}");
    assert!(shown[16..49].iter().all(Option::is_none), "then the frame stays as it is: {shown:?}");
    // Three rows after its own, a frame hears the voice that begins at 2 s.
    assert!(shown[50..75].iter().all(Option::is_some), "{shown:?}");
    assert_eq!(shown[53].map(|(value, weight)| (value.round(), weight)), Some((50.0, 1.0)));
    let bus = test.pipeline.bus().expect("a pipeline has a bus");
    let told: Vec<_> = bus
        .iter_filtered(&[gst::MessageType::Element])
        .filter_map(|message| {
            let told = message.structure()?;
            Some((told.get::<String>("type").ok()?, told.get::<gst::ClockTime>("running-time").ok()?.mseconds()))
        })
        .collect();
    assert_eq!(told, [("speech-start".into(), 2000), ("speech-end".into(), 2520)]);
}

/// Memory: what is held is bounded by look-ahead and batch, and the answer to ALLOCATION says so.
#[test]
fn starting_and_stopping_leaves_nothing_behind() {
    let test = Pipeline::new("");
    for _ in 0..100 {
        test.play();
        test.push_video((0..3).map(|i| test.frame(i * 40 * MS, 1.0)));
        test.pipeline.set_state(gst::State::Null).expect("the pipeline stops");
    }
}
