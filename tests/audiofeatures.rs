// SPDX-License-Identifier: MPL-2.0
//! audiofeatures with sound from the test and, where a model is to be named downstream, a pad that plays the generator.

use std::path::Path;
use std::sync::Arc;

use gst::prelude::*;
use gst::{BufferFlags, ClockTime};
use gst_check::Harness;
use gstlipsync::model::{self, Model};

use crate::common;

const RATE: u64 = 16_000;
const HOP: u64 = 160;
const WIDTH: usize = 80;
const ROW: ClockTime = ClockTime::from_mseconds(10);
/// Half of the window's 400 samples.
const LATENCY: ClockTime = ClockTime::from_useconds(12_500);

const SOUND_CAPS: &str = "audio/x-raw,format=F32LE,layout=interleaved,channels=1,rate=16000";

/// A tone that comes and goes: a third of a second loud, a second silent.
fn sound(samples: usize) -> Vec<f32> {
    (0..samples)
        .map(|i| {
            let loud = i % 21_333 < 5333;
            if loud { 0.3 * (i as f32 * 0.09).sin() } else { 1e-4 * (i as f32 * 0.4).sin() }
        })
        .collect()
}

fn buffer(samples: &[f32], pts: impl Into<Option<ClockTime>>) -> gst::Buffer {
    let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    buffer.get_mut().unwrap().set_pts(pts);
    buffer
}

fn time_of(sample: u64) -> ClockTime {
    ClockTime::from_nseconds(sample * 1_000_000_000 / RATE)
}

/// A model whose rows are computed by no network.
const MEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/mel");

fn mel_harness() -> Harness {
    common::init();
    let element = gst::ElementFactory::make("audiofeatures").property("model", MEL).build().unwrap();
    Harness::with_element(&element, Some("sink"), Some("src"))
}

/// The element between two test pads, with that model.
fn harness() -> Harness {
    let mut harness = mel_harness();
    harness.set_src_caps_str(SOUND_CAPS);
    harness
}

/// A row that came out, with what its buffer says about it.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    pts: ClockTime,
    index: u64,
    gap: bool,
    /// First of a buffer that starts a stretch.
    discont: bool,
    bytes: Vec<u8>,
}

/// All rows that have come out. Checks that the buffers of each stretch follow each other without a gap.
fn rows(harness: &mut Harness) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut end: Option<(u64, ClockTime)> = None;
    while let Some(buffer) = harness.try_pull() {
        let (pts, duration) = (buffer.pts().unwrap(), buffer.duration().unwrap());
        let discont = buffer.flags().contains(BufferFlags::DISCONT);
        let map = buffer.map_readable().unwrap();
        let count = (map.size() / (4 * WIDTH)) as u64;
        assert_eq!(map.size() as u64, count * 4 * WIDTH as u64, "whole rows");
        assert_eq!(buffer.offset() + count, buffer.offset_end());
        if let Some((index, time)) = end
            && !discont
        {
            assert_eq!((buffer.offset(), pts), (index, time), "buffers of a stretch follow each other");
        }
        end = Some((buffer.offset_end(), pts + duration));
        for (i, bytes) in map.chunks(4 * WIDTH).enumerate() {
            rows.push(Row {
                pts: pts + ROW * i as u64,
                index: buffer.offset() + i as u64,
                gap: buffer.flags().contains(BufferFlags::GAP),
                discont: discont && i == 0,
                bytes: bytes.to_vec(),
            });
        }
    }
    rows
}

/// The rows of `samples` cut into buffers of `chunk`, to the end of the stream.
fn rows_of(samples: &[f32], chunk: usize, start: ClockTime) -> Vec<Row> {
    let mut harness = harness();
    for (i, piece) in samples.chunks(chunk).enumerate() {
        harness.push(buffer(piece, start + time_of((i * chunk) as u64))).unwrap();
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    rows(&mut harness)
}

/// Where stretches start: (index among all rows, time).
fn stretches(rows: &[Row]) -> Vec<(usize, ClockTime)> {
    rows.iter().enumerate().filter(|(_, row)| row.discont).map(|(i, row)| (i, row.pts)).collect()
}

fn errors(bus: &gst::Bus) -> Vec<String> {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Error]))
        .map(|message| match message.view() {
            gst::MessageView::Error(error) => format!("{} {}", error.error(), error.debug().unwrap_or_default()),
            _ => unreachable!(),
        })
        .collect()
}

/// An element with a bus, between two test pads that have said nothing yet.
fn silent_harness() -> (Harness, common::OwnBus) {
    let harness = mel_harness();
    let bus = common::OwnBus::of(&harness.element().unwrap());
    (harness, bus)
}

/// Says what will come and sends some; whether it is taken.
fn start_stream(harness: &mut Harness, caps: &str) -> bool {
    harness.play();
    harness.push_event(gst::event::StreamStart::new("sound"));
    harness.push_event(gst::event::Caps::new(&caps.parse::<gst::Caps>().unwrap()));
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<ClockTime>::new()));
    match harness.push(buffer(&[], ClockTime::ZERO)) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, gst::FlowError::NotNegotiated);
            false
        }
    }
}

/// Makes the test's sink pad answer for a generator with `model`.
fn play_generator(harness: &Harness, model: Arc<Model>) -> gst::PadProbeId {
    let probe = move |_: &gst::Pad, info: &mut gst::PadProbeInfo| {
        let answered = info.query_mut().is_some_and(|query| model::answer(query, Some(model.clone())));
        if answered { gst::PadProbeReturn::Handled } else { gst::PadProbeReturn::Ok }
    };
    harness.sinkpad().unwrap().add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, probe).unwrap()
}

/// The same model, changed to listen at `rate`.
fn model_at(rate: u32) -> (TempFolder, Arc<Model>) {
    let folder = TempFolder::new(&format!("lipsync-test-model-{rate}-{:?}", std::thread::current().id()));
    let text = std::fs::read_to_string(Path::new(MEL).join("model.toml")).unwrap();
    let changed = text.replace("sample-rate = 16000", &format!("sample-rate = {rate}"));
    std::fs::write(folder.0.join("model.toml"), changed.replace("id = \"mel\"", "id = \"other-mel\"")).unwrap();
    // Only its presence matters: nothing here runs it.
    std::fs::write(folder.0.join("graph.toml"), "").unwrap();
    let model = Model::open(folder.0.to_str().unwrap()).unwrap();
    assert_eq!(model.manifest.audiofeatures.sample_rate(), rate);
    (folder, model)
}

struct TempFolder(std::path::PathBuf);

impl TempFolder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn chunking_changes_nothing() {
    let samples = sound(50_007);
    let start = ClockTime::from_nseconds(1_234_567_891);
    let whole = rows_of(&samples, samples.len(), start);
    assert_eq!(whole.len() as u64, 1 + samples.len() as u64 / HOP);
    for (k, row) in whole.iter().enumerate() {
        assert_eq!((row.index, row.pts, row.discont), (k as u64, start + ROW * k as u64, k == 0));
    }
    assert!(whole.iter().any(|row| row.gap) && whole.iter().any(|row| !row.gap));
    for chunk in [1, 7, 160, 4096] {
        assert!(rows_of(&samples, chunk, start) == whole, "chunks of {chunk}");
    }
}

#[test]
fn a_discont_starts_a_stretch() {
    let mut harness = harness();
    let samples = sound(1600);
    harness.push(buffer(&samples, ClockTime::ZERO)).unwrap();
    let mut second = buffer(&samples, time_of(1600));
    second.get_mut().unwrap().set_flags(BufferFlags::DISCONT);
    harness.push(second).unwrap();
    harness.push_event(gst::event::Eos::new());
    let rows = rows(&mut harness);
    // 1 + 1600 / 160 rows each: the first stretch was drained.
    assert_eq!(stretches(&rows), [(0, ClockTime::ZERO), (11, time_of(1600))]);
    assert_eq!(rows.len(), 22);
    let bytes = |rows: &[Row]| rows.iter().map(|row| row.bytes.clone()).collect::<Vec<_>>();
    assert!(bytes(&rows[..11]) == bytes(&rows[11..]), "equal stretches give equal rows");
}

#[test]
fn a_jump_in_time_starts_a_stretch_and_jitter_does_not() {
    let mut harness = harness();
    let samples = sound(1600);
    let ms = ClockTime::from_mseconds;
    for pts in [ms(0), ms(130), ms(170), ms(400), ms(500)] {
        harness.push(buffer(&samples, pts)).unwrap();
    }
    harness.push(buffer(&samples, None)).unwrap();
    harness.push_event(gst::event::Eos::new());
    let rows = rows(&mut harness);
    assert_eq!(stretches(&rows), [(0, ms(0)), (31, ms(400))]);
    assert_eq!(rows.len(), 31 + 31);
}

#[test]
fn sound_outside_the_segment_is_cut_off() {
    let mut harness = mel_harness();
    start_stream(&mut harness, SOUND_CAPS);
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_start(ClockTime::SECOND);
    segment.set_stop(ClockTime::from_seconds(2));
    segment.set_time(ClockTime::from_seconds(7));
    segment.set_base(ClockTime::from_seconds(3));
    harness.push_event(gst::event::Segment::new(&segment));
    harness.push(buffer(&sound(4000), ClockTime::from_mseconds(500))).unwrap();
    assert!(rows(&mut harness).is_empty());
    for i in 0..8 {
        harness.push(buffer(&sound(4000), ClockTime::from_mseconds(750 + 250 * i))).unwrap();
    }
    harness.push(buffer(&sound(4000), ClockTime::from_mseconds(900))).unwrap();
    harness.push_event(gst::event::Eos::new());
    let rows = rows(&mut harness);
    assert_eq!(stretches(&rows)[0], (0, ClockTime::SECOND));
    // The whole second, and the part of the step back that is inside: 150 ms from the segment's start.
    assert_eq!(stretches(&rows)[1], (101, ClockTime::SECOND));
    assert_eq!(rows.len(), 101 + 16);
    let forwarded = harness.sinkpad().unwrap().sticky_event::<gst::event::Segment>(0).unwrap();
    assert_eq!(forwarded.segment(), segment.upcast_ref());
    let stream_start = harness.sinkpad().unwrap().sticky_event::<gst::event::StreamStart>(0).unwrap();
    assert_eq!(stream_start.stream_id(), "sound/features");
}

#[test]
fn a_new_segment_drains_before_it() {
    let mut harness = harness();
    harness.push(buffer(&sound(1600), ClockTime::ZERO)).unwrap();
    rows(&mut harness);
    let segment = gst::FormattedSegment::<ClockTime>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    // Rows 9 and 10 reach beyond the sound's end.
    assert_eq!(rows(&mut harness).iter().map(|row| row.index).collect::<Vec<_>>(), [9, 10]);
    harness.push(buffer(&sound(1600), time_of(1600))).unwrap();
    assert_eq!(stretches(&rows(&mut harness)), [(0, time_of(1600))]);
}

#[test]
fn a_flush_drops_what_is_held() {
    let mut harness = harness();
    harness.push(buffer(&sound(1600), ClockTime::ZERO)).unwrap();
    assert_eq!(rows(&mut harness).len(), 9);
    harness.push_event(gst::event::FlushStart::new());
    assert_eq!(harness.push(buffer(&sound(1600), time_of(1600))), Err(gst::FlowError::Flushing));
    harness.push_event(gst::event::FlushStop::new(true));
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<ClockTime>::new()));
    assert!(rows(&mut harness).is_empty());
    harness.push(buffer(&sound(1600), time_of(1600))).unwrap();
    harness.push_event(gst::event::Eos::new());
    let rows = rows(&mut harness);
    assert_eq!((stretches(&rows), rows.len()), (vec![(0, time_of(1600))], 11));
}

#[test]
fn an_interruption_drops_what_is_held_and_travels_on() {
    let mut harness = harness();
    harness.push(buffer(&sound(1600), ClockTime::ZERO)).unwrap();
    assert_eq!(rows(&mut harness).len(), 9);
    while harness.try_pull_event().is_some() {}
    let interrupt = gst::event::CustomDownstreamOob::new(gst::Structure::new_empty("lipsync-interrupt"));
    assert!(harness.push_event(interrupt));
    assert!(harness.try_pull_event().unwrap().has_name("lipsync-interrupt"));
    assert!(rows(&mut harness).is_empty());
    harness.push(buffer(&sound(1600), time_of(1600))).unwrap();
    assert_eq!(stretches(&rows(&mut harness)), [(0, time_of(1600))]);
}

#[test]
fn a_gap_is_silence() {
    let samples = sound(1600);
    let mut with_gap = harness();
    let mut with_zeros = harness();
    for harness in [&mut with_gap, &mut with_zeros] {
        harness.push(buffer(&samples, ClockTime::ZERO)).unwrap();
    }
    // Lengths that are no whole number of samples, 3.5 s in all.
    for i in 0..105 {
        let (start, end) =
            (time_of(1600) + ClockTime::SECOND * i / 30, time_of(1600) + ClockTime::SECOND * (i + 1) / 30);
        assert!(with_gap.push_event(gst::event::Gap::builder(start).duration(end - start).build()));
    }
    with_zeros.push(buffer(&vec![0.0; 56_000], time_of(1600))).unwrap();
    for harness in [&mut with_gap, &mut with_zeros] {
        harness.push(buffer(&samples, time_of(57_600))).unwrap();
        harness.push_event(gst::event::Eos::new());
    }
    let gap_rows = rows(&mut with_gap);
    assert_eq!(gap_rows.len(), 371);
    // The sound ends in row 9 or 10, and 200 ms later silence begins.
    assert!(gap_rows[31..359].iter().all(|row| row.gap) && !gap_rows[10 + 20].gap && !gap_rows[360].gap);
    assert!(gap_rows == rows(&mut with_zeros));
}

#[test]
fn a_gap_of_unknown_length_drains_and_travels_on() {
    let mut harness = harness();
    harness.push(buffer(&sound(1600), ClockTime::ZERO)).unwrap();
    while harness.try_pull_event().is_some() {}
    assert!(harness.push_event(gst::event::Gap::new(time_of(1600), None)));
    assert_eq!(rows(&mut harness).len(), 11);
    assert_eq!(harness.try_pull_event().unwrap().type_(), gst::EventType::Gap);
}

#[test]
fn silence_is_flagged_by_the_threshold() {
    let quiet: Vec<f32> = (0..16_000).map(|i| 0.01 * (i as f32 * 0.1).sin()).collect();
    // RMS −43 dBFS
    for (threshold, gap) in [(-50.0, false), (-44.0, false), (-42.0, true)] {
        let mut harness = harness();
        harness.element().unwrap().set_property("silence-threshold", threshold);
        harness.push(buffer(&quiet, ClockTime::ZERO)).unwrap();
        let rows = rows(&mut harness);
        assert!(!rows.is_empty() && rows.iter().all(|row| row.gap == gap), "threshold {threshold}");
        let values = rows[50].bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        assert!(values.clone().any(|v| v > -3.0), "silent rows carry their numbers: {:?}", values.collect::<Vec<_>>());
    }
}

/// A voice that was recorded far too quietly: nobody would speak, and nothing say so.
#[test]
fn a_sound_that_is_too_quiet_from_beginning_to_end_is_told() {
    for (volume, told) in [(0.0005, true), (0.0, true), (0.3, false)] {
        common::init();
        let pipeline = gst::parse::launch(&format!(
            "audiotestsrc num-buffers=20 volume={volume} ! audioconvert ! audioresample ! audiofeatures model={MEL} ! fakesink"
        ))
        .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::Warning];
        let first = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &kinds).unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        match first.view() {
            gst::MessageView::Warning(warning) => {
                let text = warning.error().to_string();
                assert!(told && text.contains("silence-threshold, -50 dBFS"), "{volume}: {text}");
            }
            other => assert!(!told && matches!(other, gst::MessageView::Eos(_)), "{volume}: {other:?}"),
        }
    }
}

#[test]
fn eos_brings_the_last_rows() {
    for samples in [1, 159, 160, 161, 16_000] {
        let rows = rows_of(&sound(samples), 1000, ClockTime::ZERO);
        assert_eq!(rows.len(), 1 + samples / HOP as usize, "{samples} samples");
    }
}

#[test]
fn no_sound_gives_no_rows() {
    let mut harness = harness();
    harness.push(buffer(&[], ClockTime::ZERO)).unwrap();
    assert!(harness.push_event(gst::event::Eos::new()));
    assert!(rows(&mut harness).is_empty());
    let eos = std::iter::from_fn(|| harness.try_pull_event()).last().unwrap();
    assert_eq!(eos.type_(), gst::EventType::Eos);
}

#[test]
fn samples_that_are_no_numbers_are_zero_and_said_once() {
    let (mut harness, bus) = silent_harness();
    harness.set_src_caps_str(SOUND_CAPS);
    let mut samples = vec![0.0; 3200];
    samples[500] = f32::NAN;
    samples[2000] = f32::NEG_INFINITY;
    harness.push(buffer(&samples[..1600], ClockTime::ZERO)).unwrap();
    harness.push(buffer(&samples[1600..], time_of(1600))).unwrap();
    harness.push_event(gst::event::Eos::new());
    let zeros = rows_of(&vec![0.0; 3200], 3200, ClockTime::ZERO);
    assert!(rows(&mut harness) == zeros);
    let said = |message: gst::Message| match message.view() {
        gst::MessageView::Warning(warning) => warning.error().to_string(),
        _ => String::new(),
    };
    let warnings = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning])).map(said);
    // The other one is about silence.
    assert_eq!(warnings.filter(|text| text.contains("NaN")).count(), 1);
}

#[test]
fn latency_is_upstreams_and_the_windows_right_half() {
    let mut harness = harness();
    let upstream = ClockTime::from_mseconds(20);
    harness.set_upstream_latency(upstream);
    assert_eq!(harness.query_latency(), Some(upstream + LATENCY));
}

/// What the LATENCY query promises: row k is out as soon as the sample `LATENCY` after it is in.
#[test]
fn rows_are_out_in_time() {
    let mut harness = harness();
    let mut out = 0;
    for (n, sample) in sound(4000).iter().enumerate() {
        harness.push(buffer(&[*sample], time_of(n as u64))).unwrap();
        out += rows(&mut harness).len() as u64;
        let heard = time_of(n as u64 + 1);
        assert!(ROW * out + LATENCY > heard, "{out} rows out after {heard}");
    }
}

#[test]
fn upstream_learns_the_models_rate() {
    common::init();
    let rate_of = |harness: &Harness| {
        let caps = harness.element().unwrap().static_pad("sink").unwrap().query_caps(None);
        caps.structure(0).unwrap().value("rate").unwrap().clone()
    };
    let mut alone = Harness::new("audiofeatures");
    alone.play();
    assert_eq!(rate_of(&alone).get::<i32>(), Ok(16_000));

    let (_folder, model) = model_at(24_000);
    let mut with_generator = Harness::new("audiofeatures");
    play_generator(&with_generator, model.clone());
    assert_eq!(rate_of(&with_generator).get::<i32>(), Ok(24_000));
    assert!(start_stream(&mut with_generator, &SOUND_CAPS.replace("16000", "24000")));
    let caps = with_generator.sinkpad().unwrap().current_caps().unwrap();
    assert_eq!(caps, model.features_caps());

    // Not started, alone and without a model of its own: whatever the generator will want may still be linked.
    let element = gst::ElementFactory::make("audiofeatures").build().unwrap();
    let caps = element.static_pad("sink").unwrap().query_caps(None);
    assert!(caps.structure(0).unwrap().get::<gst::IntRange<i32>>("rate").is_ok());
}

/// A generator that is linked late names another model: from then on rows are that model's.
#[test]
fn the_model_is_asked_for_until_it_is_named() {
    let (_folder, model) = model_at(16_000);
    common::init();
    let mut harness = Harness::new("audiofeatures");
    harness.set_src_caps_str(SOUND_CAPS);
    harness.push(buffer(&sound(3200), ClockTime::ZERO)).unwrap();
    play_generator(&harness, model.clone());
    harness.push(buffer(&sound(3200), time_of(3200))).unwrap();
    // The old stretch's last rows come first.
    let pulled: Vec<gst::Buffer> = std::iter::from_fn(|| harness.try_pull()).collect();
    let starts: Vec<usize> = (0..pulled.len()).filter(|&i| pulled[i].flags().contains(BufferFlags::DISCONT)).collect();
    assert!(matches!(starts[..], [0, second] if second > 0), "{starts:?}");
    let (last, first) = (&pulled[starts[1] - 1], &pulled[starts[1]]);
    assert_eq!((last.offset_end(), first.offset(), first.pts()), (21, 0, Some(time_of(3200))));
    assert_eq!(first.size() % (4 * WIDTH), 0);
    assert_eq!(harness.sinkpad().unwrap().current_caps().unwrap(), model.features_caps());
}

#[test]
fn wrong_rates_and_models_are_refused_in_words() {
    let (mut harness, bus) = silent_harness();
    assert!(!start_stream(&mut harness, &SOUND_CAPS.replace("16000", "44100")));
    let text = errors(&bus).concat();
    assert!(text.contains("16000 Hz") && text.contains("44100 Hz") && text.contains("audioresample"), "{text}");

    let (folder, model) = model_at(16_000);
    let (mut harness, bus) = silent_harness();
    harness.element().unwrap().set_property("model", "mouthwarp");
    play_generator(&harness, model.clone());
    assert!(!start_stream(&mut harness, SOUND_CAPS));
    let text = errors(&bus).concat();
    assert!(text.contains(folder.0.to_str().unwrap()) && text.contains("mouthwarp"), "{text}");

    // The same model by another path is the same model.
    let (mut harness, bus) = silent_harness();
    harness
        .element()
        .unwrap()
        .set_property("model", format!("{}/../{}", folder.0.display(), folder.0.file_name().unwrap().display()));
    play_generator(&harness, model.clone());
    assert!(start_stream(&mut harness, SOUND_CAPS));
    assert_eq!(errors(&bus), [""; 0]);

    let (mut harness, bus) = silent_harness();
    harness.set_sink_caps(model.features_caps());
    assert!(!start_stream(&mut harness, SOUND_CAPS));
    let text = errors(&bus).concat();
    assert!(text.contains("other-mel") && text.replace("other-mel", "").contains("mel"), "{text}");
}

#[test]
fn a_missing_model_fails_at_ready() {
    let (harness, bus) = silent_harness();
    let element = harness.element().unwrap();
    element.set_state(gst::State::Null).unwrap();
    element.set_property("model", "no-such-model");
    assert!(element.set_state(gst::State::Ready).is_err());
    let text = errors(&bus).concat();
    assert!(text.contains("no-such-model"), "{text}");
}

/// Runs `description` to its end, with the model of these tests: the rows that came to the element `out`, the last one's end, the sound's length if known.
fn run(description: &str) -> (u64, ClockTime, ClockTime) {
    let description = description.replace("audiofeatures", &format!("audiofeatures model={MEL}"));
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let result = Arc::new(std::sync::Mutex::new((0, ClockTime::ZERO)));
    let seen = result.clone();
    let pad = pipeline.by_name("out").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let buffer = info.buffer().unwrap();
        let mut seen = seen.lock().unwrap();
        assert_eq!(buffer.offset(), seen.0);
        assert_eq!(buffer.size() as u64, (buffer.offset_end() - buffer.offset()) * 4 * WIDTH as u64);
        *seen = (buffer.offset_end(), buffer.pts().unwrap() + buffer.duration().unwrap());
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let message =
        bus.timed_pop_filtered(ClockTime::from_seconds(30), &[gst::MessageType::Eos, gst::MessageType::Error]);
    let length = pipeline.query_duration().unwrap_or(ClockTime::ZERO);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(message.expect("the pipeline ends").type_(), gst::MessageType::Eos);
    let (rows, end) = *result.lock().unwrap();
    (rows, end, length)
}

#[test]
fn it_works_alone_behind_converters() {
    common::init();
    let (rows, end, _) = run(
        "audiotestsrc num-buffers=100 samplesperbuffer=441 ! audio/x-raw,rate=44100,channels=2 ! audioconvert ! audioresample ! \
         audiofeatures ! fakesink name=out",
    );
    assert_eq!((rows, end), (101, ROW * 101));
    // Its own caps are enough for a source that can choose.
    let (rows, _, _) = run("audiotestsrc num-buffers=10 samplesperbuffer=1600 ! audiofeatures ! fakesink name=out");
    assert_eq!(rows, 101);
}

#[test]
fn real_voices_give_rows_for_their_whole_length() {
    common::init();
    for name in
        ["en_44k1_stereo_s16.wav", "espeak_en_22k05_mono_s16.wav", "zh_24k_mono_s16.wav", "zh_48k_stereo_s16.wav"]
    {
        let Some(path) = common::media(&format!("audio/{name}")) else { return };
        let (rows, end, length) = run(&format!(
            "filesrc location=\"{}\" ! wavparse ! audioconvert ! audioresample ! audiofeatures ! fakesink name=out",
            path.display()
        ));
        let exact = 1 + length.mseconds() / ROW.mseconds();
        assert!(length > ClockTime::SECOND && rows.abs_diff(exact) <= 1, "{name}: {rows} rows in {length}");
        assert_eq!(end, ROW * rows);
    }
}

#[test]
fn it_starts_and_stops_many_times() {
    common::init();
    let pipeline = gst::parse::launch("audiotestsrc ! audioresample ! audiofeatures ! fakesink sync=true").unwrap();
    for _ in 0..30 {
        pipeline.set_state(gst::State::Playing).unwrap();
        let (reached, _, _) = pipeline.state(ClockTime::from_seconds(5));
        assert!(reached.is_ok());
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// Channels of which nobody says where they are heard are mixed: their mean is what is listened to.
#[test]
fn channels_without_places_are_mixed() {
    let rows = |caps: &str, gain: &str| {
        common::init();
        let pipeline = gst::parse::launch(&format!(
            "audiotestsrc num-buffers=40 volume={gain} ! audio/x-raw,format=F32LE,rate=48000,{caps} ! audioconvert ! audioresample \
             ! audiofeatures ! appsink name=out sync=false"
        ))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut numbers: Vec<f32> = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            let map = sample.buffer().unwrap().map_readable().unwrap();
            numbers.extend(map.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        numbers
    };
    let mono = rows("channels=1", "0.5");
    assert!(mono.len() > 100);
    for channels in [2, 8, 16] {
        let mixed = rows(&format!("channels={channels},channel-mask=(bitmask)0"), "0.5");
        assert_eq!(mixed.len(), mono.len(), "{channels}");
        assert!(mixed.iter().zip(&mono).all(|(a, b)| (a - b).abs() < 1e-3), "{channels}");
    }
}
