// SPDX-License-Identifier: MPL-2.0
//! lipsyncbin in real pipelines, with the project's demo.

use gst::prelude::*;

use crate::common::init;

const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);
const MS: u64 = 1_000_000;

fn demo(name: &str) -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/demo/").to_owned() + name
}

/// Stops a pipeline where a test fails: one that still plays keeps the process from ending.
struct Stop<'a>(&'a gst::Pipeline);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

fn launch(description: &str) -> gst::Pipeline {
    init();
    gst::parse::launch(description).unwrap().downcast().unwrap()
}

/// Plays to the end.
fn finish(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &ends);
    let message = message.unwrap_or_else(|| panic!("no end after {PATIENCE}"));
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
}

fn stat(bin: &gst::Element, name: &str) -> u64 {
    bin.property::<gst::Structure>("stats").get(name).unwrap()
}

/// What leaves a pad, byte for byte.
fn collect(pad: &gst::Pad) -> std::sync::Arc<parking_lot::Mutex<Vec<u8>>> {
    let bytes = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let all = bytes.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(map) = info.buffer().and_then(|buffer| buffer.map_readable().ok()) {
            all.lock().extend_from_slice(&map);
        }
        gst::PadProbeReturn::Ok
    });
    bytes
}

#[test]
fn between_a_decoder_and_an_encoder_with_a_long_look_ahead() {
    let out = std::env::temp_dir().join(format!("lipsyncbin-{}.mp4", std::process::id()));
    // x264enc keeps some 50 frames back, two seconds, before the muxer gets the first.
    let pipeline = launch(&format!(
        "filesrc location={} ! decodebin ! videoconvert ! b.video_sink \
         filesrc location={} ! decodebin name=voice ! audioconvert ! b.audio_sink \
         lipsyncbin name=b loop=pingpong on-audio-end=eos on-error=fail on-stall=error stall-timeout=20000000000 \
         b.video_src ! x264enc speed-preset=ultrafast rc-lookahead=50 ! mp4mux name=m ! filesink location={} \
         b.audio_src ! audioconvert ! audioresample ! avenc_aac ! m.",
        demo("face.mp4"),
        demo("voice.wav"),
        out.display()
    ));
    let bin = pipeline.by_name("b").unwrap();
    let sound = [collect(&bin.static_pad("audio_sink").unwrap()), collect(&bin.static_pad("audio_src").unwrap())];
    finish(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    let size = std::fs::metadata(&out).map(|m| m.len()).unwrap_or(0);
    std::fs::remove_file(&out).unwrap();
    assert!(size > 10_000, "{size} bytes");
    let (frames, generated) = (stat(&bin, "frames"), stat(&bin, "generated"));
    assert!(frames > 50 && generated * 10 > frames * 9, "{generated} of {frames} frames");
    assert!(!sound[0].lock().is_empty() && *sound[0].lock() == *sound[1].lock(), "the sound has changed");
}

/// videorate marks its duplicates GAP, as what is no picture is marked; they have pixels, and lips that do not move with the others' flicker.
#[test]
fn frames_that_were_repeated_to_reach_a_rate_get_a_mouth() {
    for rate in ["25/2", "24/1"] {
        let pipeline = launch(&format!(
            "filesrc location={} ! decodebin ! videoconvert ! videorate ! video/x-raw,framerate={rate} \
             ! videorate ! video/x-raw,framerate=25/1 ! b.video_sink filesrc location={} ! decodebin ! audioconvert ! b.audio_sink \
             lipsyncbin name=b on-error=fail b.video_src ! fakesink name=video b.audio_src ! fakesink",
            demo("face.mp4"),
            demo("voice.wav"),
        ));
        let bin = pipeline.by_name("b").unwrap();
        finish(&pipeline);
        let (frames, generated) = (stat(&bin, "frames"), stat(&bin, "generated"));
        assert!(frames > 40 && generated * 10 > frames * 9, "{rate}: {generated} of {frames} frames");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// Frames so large that a queue of default size holds one of them.
#[test]
fn large_frames_and_no_face() {
    let pipeline = launch(
        "videotestsrc num-buffers=40 pattern=black ! video/x-raw,format=RGBA,width=1920,height=1080,framerate=25/1 ! b.video_sink \
         audiotestsrc num-buffers=100 samplesperbuffer=441 ! b.audio_sink \
         lipsyncbin name=b b.video_src ! fakesink name=video b.audio_src ! fakesink name=audio",
    );
    finish(&pipeline);
    assert_eq!(stat(&pipeline.by_name("b").unwrap(), "frames"), 40);
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A muxer that knows no GAP holds the picture up until there is sound again, which must come by nevertheless.
#[test]
fn a_long_gap_in_the_sound_stops_nothing() {
    let pipeline = launch(concat!(
        "videotestsrc num-buffers=200 ! video/x-raw,format=I420,width=64,height=64,framerate=25/1 ! b.video_sink \
         audiotestsrc num-buffers=400 ! audio/x-raw,format=S16LE,rate=48000 ! identity name=gap ! b.audio_sink \
         lipsyncbin name=b region=8,8,48,48 backend=test model=",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/models/flash b.video_src ! m. b.audio_src ! queue ! m. matroskamux name=m ! fakesink"
    ));
    let pad = pipeline.by_name("gap").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let buffer = info.buffer().unwrap();
        let pts = buffer.pts().unwrap();
        if !(1..6).contains(&pts.seconds()) {
            return gst::PadProbeReturn::Ok;
        }
        let gap = gst::event::Gap::builder(pts).duration(buffer.duration()).build();
        pad.push_event(gap);
        gst::PadProbeReturn::Drop
    });
    finish(&pipeline);
    assert_eq!(stat(&pipeline.by_name("b").unwrap(), "frames"), 200);
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A microphone whose clock is a thousandth slow or fast, many times what they are: the lips follow the times of its buffers. In
/// two minutes these are three times 40 ms from where the samples would be, and a slow clock leaves a gap of a frame there.
#[test]
fn a_clock_that_runs_differently_is_followed() {
    for thousandths in [1001u64, 999] {
        let pipeline = launch(concat!(
            "videotestsrc num-buffers=3000 ! video/x-raw,format=I420,width=64,height=64,framerate=25/1 ! b.video_sink \
             audiotestsrc num-buffers=5700 ! audio/x-raw,rate=48000 ! identity name=clock ! b.audio_sink \
             lipsyncbin name=b on-audio-end=eos region=8,8,48,48 backend=test model=",
            env!("CARGO_MANIFEST_DIR"),
            "/tests/models/flash b.video_src ! fakesink b.audio_src ! fakesink"
        ));
        let pad = pipeline.by_name("clock").unwrap().static_pad("src").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer_mut().unwrap().make_mut();
            buffer.set_pts(buffer.pts().and_then(|pts| pts.mul_div_round(thousandths, 1000)));
            gst::PadProbeReturn::Ok
        });
        finish(&pipeline);
        let bin = pipeline.by_name("b").unwrap();
        let (frames, generated) = (stat(&bin, "frames"), stat(&bin, "generated"));
        assert!(frames == 3000 && generated >= 2997, "{thousandths}: {generated} of {frames}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// A sink that is paused wants one more buffer before the pipeline can play again. One that takes everything at once finds the
/// sound held back by the picture, or the picture by the sound.
#[test]
fn a_pause_ends_where_only_one_sink_keeps_time() {
    for (picture, sound, ahead) in [(true, false, 1), (false, true, 60)] {
        let pipeline = launch(&format!(
            "videotestsrc ! video/x-raw,width=160,height=90,framerate=25/1 ! b.video_sink \
             audiotestsrc samplesperbuffer=4410 ! audio/x-raw,rate=44100 ! identity name=voice ! b.audio_sink \
             lipsyncbin name=b b.video_src ! fakesink sync={picture} b.audio_src ! fakesink sync={sound}"
        ));
        let heard = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = heard.clone();
        let pad = pipeline.by_name("voice").unwrap().static_pad("src").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        // Until one branch is full. It has room again after each buffer that the other takes.
        let start = std::time::Instant::now();
        while heard.load(std::sync::atomic::Ordering::Relaxed) < 10 * ahead {
            assert!(start.elapsed() < std::time::Duration::from_secs(30), "sound: {heard:?} buffers");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        for _ in 0..5 {
            pipeline.set_state(gst::State::Paused).unwrap();
            let (paused, ..) = pipeline.state(10 * gst::ClockTime::SECOND);
            assert_eq!(paused, Ok(gst::StateChangeSuccess::Success), "picture sync={picture}, sound sync={sound}");
            pipeline.set_state(gst::State::Playing).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn the_sound_need_not_be_taken() {
    let pipeline = launch(
        "videotestsrc num-buffers=10 ! b.video_sink audiotestsrc num-buffers=50 ! b.audio_sink lipsyncbin name=b b.video_src ! fakesink",
    );
    finish(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
}

/// The sound is not cut where the picture ends, and that nothing comes of the picture any more is no stall.
#[test]
fn the_sound_goes_on_after_the_picture() {
    let pipeline = launch(
        "videotestsrc num-buffers=10 ! video/x-raw,framerate=25/1 ! b.video_sink \
         audiotestsrc num-buffers=100 samplesperbuffer=882 ! audio/x-raw,rate=44100 ! b.audio_sink \
         lipsyncbin name=b stall-timeout=300000000 on-stall=error b.video_src ! fakesink b.audio_src ! fakesink sync=true",
    );
    let bin = pipeline.by_name("b").unwrap();
    let sound = [collect(&bin.static_pad("audio_sink").unwrap()), collect(&bin.static_pad("audio_src").unwrap())];
    finish(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(sound[0].lock().len(), 100 * 882 * 2);
    assert!(*sound[0].lock() == *sound[1].lock(), "the sound has changed");
}

/// A source asks anew for memory when its sound changes. That must not wait for the sound that is on its way out: it waits for
/// the picture, which waits for more sound.
#[test]
fn the_sound_may_change_while_nothing_plays_yet() {
    let pipeline = launch(
        "videotestsrc num-buffers=30 ! video/x-raw,framerate=25/1 ! b.video_sink \
         audiotestsrc num-buffers=200 samplesperbuffer=441 ! capsfilter name=kind caps=audio/x-raw,rate=44100,channels=1 ! b.audio_sink \
         lipsyncbin name=b b.video_src ! fakesink b.audio_src ! fakesink",
    );
    let kind = pipeline.by_name("kind").unwrap();
    let count = std::sync::atomic::AtomicU32::new(1);
    kind.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        // Less than the model looks ahead.
        if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 3 {
            let caps: gst::Caps = "audio/x-raw,rate=48000,channels=2".parse().unwrap();
            pad.parent_element().unwrap().set_property("caps", caps);
        }
        gst::PadProbeReturn::Ok
    });
    finish(&pipeline);
    assert_eq!(stat(&pipeline.by_name("b").unwrap(), "frames"), 30);
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A picture without end cannot be sought in; to try it must do no harm.
#[test]
fn a_loop_goes_on_after_a_seek() {
    let pipeline = launch(
        "videotestsrc num-buffers=10 ! video/x-raw,framerate=25/1 ! b.video_sink audiotestsrc ! b.audio_sink \
         lipsyncbin name=b loop=forward b.video_src ! fakesink sync=true b.audio_src ! fakesink sync=true",
    );
    pipeline.set_state(gst::State::Playing).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(20)).0.unwrap();
    let _ = pipeline.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::from_mseconds(100));
    let bin = pipeline.by_name("b").unwrap();
    let (before, until) = (stat(&bin, "frames"), std::time::Instant::now() + std::time::Duration::from_secs(20));
    while stat(&bin, "frames") < before + 20 {
        assert!(std::time::Instant::now() < until, "no frame leaves any more");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A source that can make any sound makes what whoever takes it likes, not what the features need.
#[test]
fn the_features_do_not_choose_the_sound() {
    for source in ["audiotestsrc num-buffers=50", "audiotestsrc num-buffers=50 ! audiomixer"] {
        let pipeline = launch(&format!(
            "videotestsrc num-buffers=10 ! b.video_sink {source} ! b.audio_sink \
             lipsyncbin name=b b.video_src ! fakesink b.audio_src ! audioconvert ! audioresample ! fakesink"
        ));
        finish(&pipeline);
        let caps = pipeline.by_name("b").unwrap().static_pad("audio_src").unwrap().current_caps().unwrap();
        assert_ne!(caps.structure(0).unwrap().get::<i32>("rate").unwrap(), 16_000, "{caps}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn properties_are_those_of_the_parts() {
    init();
    let bin = gst::ElementFactory::make("lipsyncbin").build().unwrap();
    let part = |name: &str| bin.clone().downcast::<gst::Bin>().unwrap().by_name(name).unwrap();
    for (name, value, owner, own) in [
        ("model", "wav2lip", "generator", "model"),
        ("device", "cpu", "generator", "device"),
        ("device", "cpu", "features", "device"),
        ("batch-size", "4", "generator", "batch-size"),
        ("latency", "40000000", "generator", "latency"),
        ("on-audio-end", "eos", "generator", "on-audio-end"),
        ("silence-threshold", "-40", "features", "silence-threshold"),
        ("face-select", "all", "crop", "face-select"),
        ("region", "1,2,30,40", "crop", "region"),
        ("feather", "0.25", "paste", "feather"),
        ("loop", "pingpong", "loop", "mode"),
        ("max-memory", "1000000", "loop", "max-memory"),
    ] {
        bin.set_property_from_str(name, value);
        let (outer, inner) = (bin.property_value(name), part(owner).property_value(own));
        assert_eq!(format!("{outer:?}"), format!("{inner:?}"), "{name}");
        let text = inner.serialize().unwrap().replace(['"', '\\'], "");
        let number = |text: &str| text.parse::<f64>().ok();
        assert!(
            text == value || number(&text).is_some_and(|n| Some(n) == number(value)),
            "{name}: {text}, not {value}"
        );
    }
    // Every other property of the parts is there too.
    for part in ["generator", "features", "crop", "paste"].map(part) {
        for spec in part.list_properties().iter().filter(|spec| spec.owner_type() == part.type_()) {
            assert!(bin.has_property(spec.name()), "{} of {}", spec.name(), part.name());
        }
    }
}

/// What waits of the old speech is not heard; what comes after is, from its first sample.
#[test]
fn an_interruption_empties_the_queues() {
    let pipeline = launch(
        "appsrc name=picture format=time caps=video/x-raw,format=I420,width=64,height=64,framerate=25/1 ! b.video_sink \
         appsrc name=voice format=time caps=audio/x-raw,format=S16LE,layout=interleaved,channels=1,rate=16000 ! b.audio_sink \
         lipsyncbin name=b b.video_src ! fakesink async=false sync=false \
         b.audio_src ! appsink name=sound sync=false max-buffers=1",
    );
    let find = |name: &str| pipeline.by_name(name).unwrap();
    let (voice, sound): (gst_app::AppSrc, gst_app::AppSink) =
        (find("voice").downcast().unwrap(), find("sound").downcast().unwrap());
    // 40 ms of one value; all of them together are less than what the branch to the features takes while there is no picture.
    let speech = |number: u64, value: u8| {
        let mut buffer = gst::Buffer::from_slice(vec![value; 1280]);
        let inner = buffer.get_mut().unwrap();
        inner.set_pts(gst::ClockTime::from_nseconds(number * 40 * MS));
        inner.set_duration(gst::ClockTime::from_nseconds(40 * MS));
        buffer
    };
    let heard = || {
        let sample = sound.try_pull_sample(PATIENCE).expect("sound comes out");
        let buffer = sample.buffer().unwrap();
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        (buffer.map_readable().unwrap()[0], discont)
    };
    pipeline.set_state(gst::State::Playing).unwrap();
    (0..8).for_each(|k| _ = voice.push_buffer(speech(k, 1)).unwrap());
    assert_eq!(heard().0, 1);
    let bin = find("b");
    let queue = bin.clone().downcast::<gst::Bin>().unwrap().by_name("leaving").unwrap();
    // The sink holds one buffer, the queue's thread another; the rest waits.
    let start = std::time::Instant::now();
    while queue.property::<u32>("current-level-buffers") < 5 && start.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bin.emit_by_name::<()>("interrupt", &[]);
    (20..24).for_each(|k| _ = voice.push_buffer(speech(k, 2)).unwrap());
    let mut old = 0;
    let first = loop {
        match heard() {
            (1, _) => old += 1,
            other => break other,
        }
    };
    assert_eq!(first, (2, true), "the new speech begins with a discontinuity");
    assert!(old <= 2, "{old} buffers of the old speech came after the interruption");
    assert_eq!((0..3).map(|_| heard()).collect::<Vec<_>>(), [(2, false); 3]);
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A muxer that waits for sound holds the picture up, and with it what an interruption has dropped: new sound goes past that.
#[test]
fn an_interruption_does_not_starve_a_muxer() {
    let pipeline = launch(
        "videotestsrc num-buffers=100 ! video/x-raw,format=I420,width=64,height=64,framerate=25/1 ! identity name=late ! b.video_sink \
         audiotestsrc num-buffers=400 samplesperbuffer=441 ! audio/x-raw,rate=44100,channels=1 ! queue max-size-buffers=1 ! b.audio_sink \
         lipsyncbin name=b b.video_src ! queue max-size-buffers=1 ! mux. b.audio_src ! queue ! mux. matroskamux name=mux ! fakesink",
    );
    let find = |name: &str| pipeline.by_name(name).unwrap();
    // The picture begins after all that the queues hold.
    find("late").static_pad("src").unwrap().set_offset(1_600_000_000);
    let _stop = Stop(&pipeline);
    pipeline.set_state(gst::State::Paused).unwrap();
    let heard = find("b").downcast::<gst::Bin>().unwrap().by_name("heard").unwrap();
    // Until everything that can hold sound does.
    let mut level = (0, 0);
    while level.0 == 0 || level.0 != level.1 {
        std::thread::sleep(std::time::Duration::from_millis(300));
        level = (heard.property::<u64>("current-level-time"), level.0);
    }
    find("b").emit_by_name::<()>("interrupt", &[]);
    std::thread::sleep(std::time::Duration::from_millis(50));
    find("b").emit_by_name::<()>("interrupt", &[]);
    finish(&pipeline);
}

/// Live, what has not been heard yet has not left either: no queue behind the bin goes on speaking.
#[test]
fn an_interruption_is_heard_behind_a_queue_too() {
    let pipeline = launch(
        "videotestsrc is-live=true ! video/x-raw,format=I420,width=64,height=64,framerate=25/1 ! b.video_sink \
         appsrc name=voice is-live=true format=time caps=audio/x-raw,format=S16LE,layout=interleaved,channels=1,rate=16000 \
         ! b.audio_sink lipsyncbin name=b b.video_src ! queue ! fakesink sync=true \
         b.audio_src ! queue ! appsink name=sound sync=true",
    );
    let find = |name: &str| pipeline.by_name(name).unwrap();
    let (voice, sound): (gst_app::AppSrc, gst_app::AppSink) =
        (find("voice").downcast().unwrap(), find("sound").downcast().unwrap());
    // A second of one value, all of it there before it is heard, as voices that are made come.
    let speech = |from: gst::ClockTime, value: u8| {
        for k in 0..2 {
            let mut buffer = gst::Buffer::from_slice(vec![value; 16_000]);
            let inner = buffer.get_mut().unwrap();
            inner.set_pts(from + k * gst::ClockTime::from_mseconds(500));
            inner.set_duration(gst::ClockTime::from_mseconds(500));
            voice.push_buffer(buffer).unwrap();
        }
    };
    // What is heard next: its value, when that begins and ends, and whether it goes on from what was before.
    let heard = |patience: u64| {
        let sample = sound.try_pull_sample(gst::ClockTime::from_mseconds(patience))?;
        let buffer = sample.buffer().unwrap();
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        let begin = buffer.pts().unwrap();
        let value = buffer.map_readable().unwrap()[0];
        Some((value, begin, begin + buffer.duration().unwrap(), discont))
    };
    let _stop = Stop(&pipeline);
    pipeline.set_state(gst::State::Playing).unwrap();
    // A sink waits for its first sound, and the pipeline for the sink.
    speech(gst::ClockTime::ZERO, 0);
    pipeline.state(gst::ClockTime::from_seconds(20)).0.unwrap();
    while heard(500).is_some() {}
    let mut begin = pipeline.current_running_time().unwrap();
    for value in 1..=3 {
        speech(begin, value);
        let mut last = begin;
        while last < begin + gst::ClockTime::from_mseconds(300) {
            let (found, from, to, _) = heard(20_000).expect("sound comes out");
            assert!(found != value || last == begin || from == last, "there is a hole from {last} to {from}");
            last = if found == value { to } else { last };
        }
        let now = pipeline.current_running_time().unwrap();
        find("b").emit_by_name::<()>("interrupt", &[]);
        while let Some((found, _, to, _)) = heard(500) {
            assert_eq!(found, value);
            last = to;
        }
        // All of it was there, and has left no sooner than it was due.
        assert!(last < now + gst::ClockTime::from_mseconds(150), "interrupted at {now}, heard until {last}");
        begin = pipeline.current_running_time().unwrap();
    }
    speech(begin, 9);
    let (value, _, _, discont) = heard(20_000).expect("the next speech is heard");
    assert_eq!((value, discont), (9, true));
}

#[test]
fn a_pipeline_in_text_shifts_the_picture() {
    let pipeline = launch(&format!(
        "filesrc location={} ! decodebin ! videoconvert ! b.video_sink  audiotestsrc num-buffers=50 ! b.audio_sink \
         lipsyncbin name=b video_src::offset={} loop::mode=pingpong  b.video_src ! fakesink name=end num-buffers=3",
        demo("face.mp4"),
        21 * MS
    ));
    let end = pipeline.by_name("end").unwrap().static_pad("sink").unwrap();
    let first = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let seen = first.clone();
    end.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let segment = pad.sticky_event::<gst::event::Segment>(0).unwrap();
        let segment = segment.segment().downcast_ref::<gst::ClockTime>().unwrap();
        seen.lock().get_or_insert_with(|| segment.to_running_time(info.buffer().and_then(|b| b.pts())));
        gst::PadProbeReturn::Ok
    });
    finish(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(pipeline.by_name("loop").unwrap().property_value("mode").serialize().unwrap(), "pingpong");
    assert_eq!(*first.lock(), Some(Some(gst::ClockTime::from_mseconds(21))));
}

/// An application that loops a clip without a hole: at the end of each segment it seeks to the next, without a flush.
#[test]
fn segments_may_follow_each_other() {
    const LOOPS: usize = 6;
    let pipeline = launch(&format!(
        "filesrc location={} ! decodebin ! videoconvert ! b.video_sink  filesrc location={} ! decodebin ! audioconvert ! b.audio_sink \
         lipsyncbin name=b b.video_src ! fakesink name=seen sync=true  b.audio_src ! fakesink sync=true",
        demo("face.mp4"),
        demo("voice.wav")
    ));
    let _stop = Stop(&pipeline);
    let frames = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = frames.clone();
    let sink = pipeline.by_name("seen").unwrap().static_pad("sink").unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(PATIENCE).0.unwrap();
    let seek = |flags| {
        let end = gst::ClockTime::from_mseconds(600);
        pipeline.seek(1.0, flags, gst::SeekType::Set, gst::ClockTime::ZERO, gst::SeekType::Set, end).unwrap();
    };
    let segment = gst::SeekFlags::SEGMENT | gst::SeekFlags::ACCURATE;
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    seek(segment | gst::SeekFlags::FLUSH);
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let wanted = [gst::MessageType::SegmentDone, gst::MessageType::Error];
    for k in 0..LOOPS {
        let message = bus.timed_pop_filtered(PATIENCE, &wanted).unwrap_or_else(|| panic!("segment {k} does not end"));
        assert_eq!(message.type_(), gst::MessageType::SegmentDone, "{message:?}");
        seek(segment);
    }
    // Who makes the segments is ahead of who shows them. A SEGMENT_DONE told twice would have cost one its frames.
    let start = std::time::Instant::now();
    while frames.load(std::sync::atomic::Ordering::Relaxed) < 15 * LOOPS {
        assert!(start.elapsed().as_secs() < 20, "{frames:?} frames in {LOOPS} segments of 15");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let bin = pipeline.by_name("b").unwrap();
    let generated = stat(&bin, "generated");
    assert!(generated >= 13 * LOOPS as u64, "lips for {generated} frames in {LOOPS} segments of 15");
    assert_eq!(stat(&bin, "late"), 0);
}
