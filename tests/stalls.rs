// SPDX-License-Identifier: MPL-2.0
//! The classic deadlocks. Made by hand, lipsyncgen says on the bus what is wrong; with lipsyncbin between, they reach the end.

use gst::prelude::*;

use crate::common::init;

const PICTURE: &str = "videotestsrc num-buffers=200 ! video/x-raw,format=I420,width=160,height=120,framerate=25/1";
const LARGE: &str =
    "videotestsrc num-buffers=40 pattern=black ! video/x-raw,format=RGBA,width=1920,height=1080,framerate=25/1";
const SOUND: &str = "audiotestsrc num-buffers=344 samplesperbuffer=1024 wave=ticks ! audio/x-raw,rate=44100,channels=2";
const CHAIN: &str = "facecrop region=20,20,80,80 ! lipsyncgen name=g stall-timeout=1000000000 ! facepaste";
const FEATURES: &str = "queue ! audioconvert ! audioresample ! audiofeatures ! g.features";
const BIN: &str = "lipsyncbin name=b region=20,20,80,80 stall-timeout=5000000000 on-stall=error";
/// Looks 40 frames ahead, 1.6 s.
const ENCODER: &str = "x264enc speed-preset=ultrafast rc-lookahead=40 ! matroskamux name=m ! fakesink";

/// Starts the pipeline and waits for the message that says how it ends.
fn run(description: &str, kinds: &[gst::MessageType], wanted: impl Fn(&gst::Message) -> bool) -> gst::Message {
    init();
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let message = loop {
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), kinds);
        let message = message.unwrap_or_else(|| panic!("nothing came: {description}"));
        if wanted(&message) {
            break message;
        }
    };
    pipeline.set_state(gst::State::Null).unwrap();
    message
}

fn reaches_the_end(description: &str) {
    let message = run(description, &[gst::MessageType::Eos, gst::MessageType::Error], |_| true);
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
}

/// The `pad` and the `text` of the stall that must be reported.
fn stalls(description: &str) -> (String, String) {
    let stalled = |message: &gst::Message| message.structure().is_some_and(|s| s.get::<&str>("type") == Ok("stalled"));
    let message = run(description, &[gst::MessageType::Element], stalled);
    let structure = message.structure().unwrap();
    let field = |name: &str| structure.get::<String>(name).unwrap();
    assert!(field("levels").contains("frames wait"), "{structure}");
    (field("pad"), field("text"))
}

#[test]
fn an_encoder_that_looks_further_ahead_than_the_sound_waits() {
    let (pad, text) = stalls(&format!(
        "{PICTURE} ! {CHAIN} ! {ENCODER} {SOUND} ! tee name=t t. ! {FEATURES} t. ! queue name=late ! m."
    ));
    assert_eq!(pad, "features");
    assert!(text.contains("queue late behind t:src_1 is full (max-size-time=1000000000)"), "{text}");
    reaches_the_end(&format!(
        "{PICTURE} ! b.video_sink {SOUND} ! b.audio_sink {BIN} b.video_src ! {ENCODER} b.audio_src ! m."
    ));
}

/// gst-launch-1.0 goes to PAUSED first, waits there, and prints warnings only.
#[test]
fn what_never_starts_is_a_warning_too() {
    init();
    let description =
        format!("{PICTURE} ! {CHAIN} ! {ENCODER} {SOUND} ! tee name=t t. ! {FEATURES} t. ! queue name=late ! m.");
    let pipeline = gst::parse::launch(&description).unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    let warning = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(60), &[gst::MessageType::Warning])
        .expect("nothing is said");
    let gst::MessageView::Warning(warning) = warning.view() else { unreachable!() };
    assert!(warning.error().to_string().contains("queue late behind t:src_1 is full"), "{}", warning.error());
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_tee_without_queues() {
    let sink = "fakesink name=heard sync=true";
    let (pad, text) = stalls(&format!(
        "{PICTURE} ! {CHAIN} ! fakesink sync=true {SOUND} ! tee name=t t. ! audioconvert ! audioresample ! audiofeatures ! g.features t. ! {sink}"
    ));
    assert_eq!(pad, "features");
    assert!(text.contains("t:src_1 leads to heard without a queue"), "{text}");
    reaches_the_end(&format!(
        "{PICTURE} ! b.video_sink {SOUND} ! b.audio_sink {BIN} b.video_src ! fakesink b.audio_src ! {}",
        sink.replace("sync=true", "")
    ));
}

#[test]
fn a_look_ahead_of_more_frames_than_a_queue_holds_bytes_for() {
    init();
    // It looks 220 ms ahead, six frames.
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/mel");
    let chain = CHAIN.replace("name=g", &format!("name=g model={model} backend=test"));
    // The picture goes past the generator too, through a queue that holds one frame of 8 MB. The sound comes later than that is
    // full: where the first frame finds its sound at once, all sinks have something, and nothing is stuck.
    let (pad, text) = stalls(&format!(
        "{LARGE} ! tee name=t t. ! queue ! {chain} ! fakesink t. ! queue name=beside ! fakesink \
         {SOUND} ! identity sleep-time=30000 ! {FEATURES}"
    ));
    assert_eq!(pad, "sink");
    assert!(text.contains("queue beside behind t:src_1 is full (max-size-bytes=10485760)"), "{text}");
    reaches_the_end(&format!(
        "{LARGE} ! b.video_sink {SOUND} ! b.audio_sink {BIN} b.video_src ! fakesink b.audio_src ! fakesink"
    ));
}

/// A seek that flushes does not wait for a model that never comes back.
#[test]
fn a_seek_while_the_model_hangs() {
    init();
    let flash = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash");
    let chain = CHAIN.replace("name=g", &format!("name=g model={flash} backend=test device=hang-at=2 batch-size=1"));
    let pipeline = gst::parse::launch(&format!("{PICTURE} ! {chain} ! fakesink {SOUND} ! {FEATURES}")).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let hangs = |message: &gst::Message| message.structure().is_some_and(|s| s.get::<&str>("type") == Ok("stalled"));
    while !bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(60), &[gst::MessageType::Element])
        .is_some_and(|m| hangs(&m))
    {}
    let (done, sought) = std::sync::mpsc::channel();
    let whole = pipeline.clone();
    std::thread::spawn(move || {
        let start = std::time::Instant::now();
        let _ = whole.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::SECOND);
        let _ = done.send(());
        println!("a seek while the model hangs: {:.0?}", start.elapsed());
    });
    sought.recv_timeout(std::time::Duration::from_secs(20)).expect("the seek waits for the model");
    // The model hangs at the next frames too.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let start = std::time::Instant::now();
    pipeline.set_state(gst::State::Null).unwrap();
    println!("to NULL while the model hangs: {:.0?}", start.elapsed());
}

/// How a stream ends whose model hangs in its run `at`, every time it is opened; how often that was warned of; and lipsyncgen's `stats`.
fn with_a_model_that_hangs(
    at: u32,
    more: &str,
    picture: &str,
    sound: &str,
) -> (gst::MessageType, usize, gst::Structure) {
    init();
    let flash = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash");
    let generator = format!(
        "name=g model={flash} backend=test device=hang-at={at} batch-size=1 stall-timeout=1000000000 {more} ! facepaste"
    );
    let pipeline = gst::parse::launch(&format!(
        "{picture} ! facecrop region=20,20,80,80 ! lipsyncgen {generator} ! fakesink {sound} ! {FEATURES}"
    ));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let kinds = [gst::MessageType::Warning, gst::MessageType::Eos, gst::MessageType::Error];
    let mut warnings = 0;
    let end = loop {
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds).expect("it does not end");
        match message.view() {
            // A stall is told as a warning too; these are the others.
            gst::MessageView::Warning(warning) if warning.error().to_string().contains("no frame left") => {}
            gst::MessageView::Warning(_) => warnings += 1,
            _ => break message.type_(),
        }
    };
    let stats = pipeline.by_name("g").unwrap().property("stats");
    pipeline.set_state(gst::State::Null).unwrap();
    (end, warnings, stats)
}

#[test]
fn a_model_that_hangs_is_opened_again() {
    let (end, warnings, stats) = with_a_model_that_hangs(150, "", PICTURE, SOUND);
    assert_eq!((end, stats.get("frames")), (gst::MessageType::Eos, Ok(200u64)));
    // Frame 150 was lost, and what went by while the model was opened.
    let generated: u64 = stats.get("generated").unwrap();
    assert!(warnings > 0 && (149..200).contains(&generated), "{warnings} warnings, {stats}");
}

#[test]
fn a_model_that_hangs_always_is_given_up() {
    let (end, warnings, stats) = with_a_model_that_hangs(0, "", PICTURE, SOUND);
    assert_eq!((end, warnings, stats.get("frames")), (gst::MessageType::Eos, 1, Ok(200u64)));
    assert_eq!(stats.get("generated"), Ok(0u64));
    let (end, ..) = with_a_model_that_hangs(0, "on-error=fail", PICTURE, SOUND);
    assert_eq!(end, gst::MessageType::Error);
}

/// Frames do not wait, but the mouths come back.
#[test]
fn a_model_that_hangs_is_opened_again_where_the_stream_is_live() {
    let picture = PICTURE.replace("testsrc num-buffers=200", "testsrc is-live=true num-buffers=100");
    let sound = SOUND.replace("testsrc ", "testsrc is-live=true ");
    let (end, warnings, stats) = with_a_model_that_hangs(10, "", &picture, &sound);
    assert_eq!((end, stats.get("frames")), (gst::MessageType::Eos, Ok(100u64)));
    // Ten at most were made before.
    let generated: u64 = stats.get("generated").unwrap();
    assert!(warnings > 0 && generated > 10, "{warnings} warnings, {stats}");
}

/// A sink that somebody has paused takes nothing, which is no stall; one that is stuck is.
#[test]
fn a_paused_sink_is_no_stall() {
    init();
    // One that computes nothing: on a busy machine a real one may take as long as the patience here.
    let flash = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash");
    let chain = CHAIN.replace("name=g", &format!("name=g model={flash} backend=test"));
    let pipeline =
        gst::parse::launch(&format!("{PICTURE} ! {chain} ! fakesink name=seen sync=true {SOUND} ! {FEATURES}"))
            .unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("g").unwrap().set_property("stall-timeout", 200_000_000u64);
    pipeline.set_state(gst::State::Playing).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(20)).0.unwrap();
    let sink = pipeline.by_name("seen").unwrap();
    sink.set_state(gst::State::Paused).unwrap();
    let bus = pipeline.bus().unwrap();
    let stalled = |patience: u64| {
        let until = std::time::Instant::now() + std::time::Duration::from_millis(patience);
        std::iter::from_fn(|| {
            let left = until.saturating_duration_since(std::time::Instant::now());
            bus.timed_pop_filtered(gst::ClockTime::from_nseconds(left.as_nanos() as u64), &[gst::MessageType::Element])
        })
        .any(|message| message.structure().is_some_and(|s| s.get::<&str>("type") == Ok("stalled")))
    };
    assert!(!stalled(1500), "a paused sink is reported");
    sink.set_state(gst::State::Playing).unwrap();
    // Now it plays, and stands still nevertheless.
    let pad = sink.static_pad("sink").unwrap();
    let block = pad.add_probe(gst::PadProbeType::BUFFER, |_, _| {
        std::thread::sleep(std::time::Duration::from_secs(2));
        gst::PadProbeReturn::Remove
    });
    assert!(block.is_some() && stalled(20_000), "a stuck sink is not reported");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A sink that waits for its first frame after a pause does not rest: it is what the frame does not get to.
#[test]
fn a_sink_that_gets_nothing_after_a_pause_is_stuck() {
    init();
    // One that computes nothing: on a busy machine a real one may take as long as the patience here.
    let flash = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash");
    let chain = CHAIN.replace("name=g", &format!("name=g model={flash} backend=test"));
    let pipeline =
        gst::parse::launch(&format!("{PICTURE} ! {chain} ! fakesink name=seen sync=true {SOUND} ! {FEATURES}"))
            .unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("g").unwrap().set_property("stall-timeout", 500_000_000u64);
    pipeline.set_state(gst::State::Playing).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(20)).0.unwrap();
    let sink = pipeline.by_name("seen").unwrap();
    let (blocked, is_blocked) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let probe = sink.static_pad("sink").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let _ = blocked.send(());
        let _ = released.lock().unwrap().recv();
        gst::PadProbeReturn::Remove
    });
    assert!(probe.is_some() && is_blocked.recv_timeout(std::time::Duration::from_secs(20)).is_ok());
    sink.set_state(gst::State::Paused).unwrap();
    sink.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let stalled =
        std::iter::from_fn(|| bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Element]))
            .any(|message| message.structure().is_some_and(|s| s.get::<&str>("type") == Ok("stalled")));
    drop(release);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(stalled, "it is not reported");
}
