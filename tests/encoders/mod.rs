// SPDX-License-Identifier: MPL-2.0
//! audiofeatures with models whose features a network makes. The networks are convolutions with known weights and the
//! axes of public ones; ONNX Runtime runs them.

mod busy;
mod recurrent;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use gst::prelude::*;
use gst::{BufferFlags, ClockTime};
use gst_check::Harness;

use crate::common::{self, onnx};

const SOUND_CAPS: &str = "audio/x-raw,format=F32LE,layout=interleaved,channels=1,rate=16000";

/// Two tones, one of them swelling, with pauses.
fn sound(samples: usize) -> Vec<f32> {
    let tone = |i: usize, hz: f64| (std::f64::consts::TAU * hz * i as f64 / 16_000.0).sin();
    (0..samples)
        .map(|i| {
            let loud = if i % 24_000 < 15_000 { 1.0 } else { 1e-4 };
            (loud * (0.3 * tone(i, 220.0) + 0.1 * (1.0 + tone(i, 3.0)) * tone(i, 1870.0))) as f32
        })
        .collect()
}

fn time_of(sample: usize) -> ClockTime {
    ClockTime::from_nseconds(sample as u64 * 1_000_000_000 / 16_000)
}

fn buffer(samples: &[f32], pts: ClockTime) -> gst::Buffer {
    let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    buffer.get_mut().unwrap().set_pts(pts);
    buffer
}

/// A model's folder that goes when it does.
struct Folder(PathBuf);

impl Folder {
    /// With the graph `encoder.onnx` and this `[audiofeatures]`; all else is the test model flash's.
    fn new(section: &str, graph: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lipsync-encoder-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let flash = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/flash");
        let text = std::fs::read_to_string(flash.join("model.toml")).unwrap();
        let start = text.find("[audiofeatures]").unwrap();
        let end = text.find("[facecrop]").unwrap();
        let manifest = format!(
            "{}[audiofeatures]\nid = \"test\"\nsample-rate = 16000\n{section}\n{}",
            &text[..start],
            &text[end..]
        );
        std::fs::write(folder.join("model.toml"), manifest).unwrap();
        std::fs::write(folder.join("encoder.onnx"), graph).unwrap();
        std::fs::copy(flash.join("graph.toml"), folder.join("graph.toml")).unwrap();
        Self(folder)
    }

    fn element(&self) -> gst::Element {
        common::init();
        gst::ElementFactory::make("audiofeatures").property("model", self.0.to_str().unwrap()).build().unwrap()
    }

    fn harness(&self) -> Harness {
        let mut harness = Harness::with_element(&self.element(), Some("sink"), Some("src"));
        harness.set_src_caps_str(SOUND_CAPS);
        harness
    }

    /// What the element says on the bus when it is to start.
    fn refusal(&self) -> String {
        let element = self.element();
        let bus = crate::common::OwnBus::of(&element);
        let started = element.set_state(gst::State::Ready);
        let text = errors(&bus);
        element.set_state(gst::State::Null).unwrap();
        assert!(started.is_err(), "it starts");
        text
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn errors(bus: &gst::Bus) -> String {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Error]))
        .map(|message| match message.view() {
            gst::MessageView::Error(error) => format!("{}\n", error.error()),
            _ => unreachable!(),
        })
        .collect()
}

fn weight(i: usize) -> f32 {
    (i as f32 * 12.9898).sin()
}

/// What it is fed: its input's axes and whether these have rows before width, and the convolutions over the rows:
/// (channels in, channels out, kernel, stride). One over five answers follows, so that each depends on its neighbours.
struct Network<'a> {
    axes: &'a [u64],
    rows_first: bool,
    convolutions: &'a [[u64; 4]],
    lengths: bool,
}

impl Network<'_> {
    fn graph(&self) -> Vec<u8> {
        let last = self.convolutions[self.convolutions.len() - 1][1];
        let (mut nodes, mut constants, mut now) = (Vec::new(), Vec::new(), "rows".to_string());
        let mut inputs = vec![onnx::floats("rows", self.axes)];
        if self.rows_first {
            nodes.push(onnx::node("Transpose", &[&now], "turned", &[onnx::list("perm", &[0, 2, 1])]));
            now = "turned".into();
        }
        for (i, &[from, to, kernel, stride]) in self.convolutions.iter().chain([&[last, last, 5, 1]]).enumerate() {
            let (name, output) = (format!("w{i}"), format!("y{i}"));
            let count = (from * to * kernel) as usize;
            let values: Vec<f32> = (0..count).map(|k| weight(k + 31 * i) / ((from * kernel) as f32).sqrt()).collect();
            constants.push(onnx::constant(&name, &[to, from, kernel], &values));
            let pad = if i == self.convolutions.len() { 2 } else { 0 };
            let how = [onnx::list("strides", &[stride]), onnx::list("pads", &[pad, pad])];
            nodes.push(onnx::node("Conv", &[&now, &name], &output, &how));
            now = output;
        }
        if self.lengths {
            inputs.push(onnx::border("lengths", onnx::INT64, &[1]));
            nodes.push(onnx::node("Cast", &["lengths"], "length", &[onnx::whole("to", onnx::FLOAT)]));
            nodes.push(onnx::node("Add", &[&now, "length"], "longer", &[]));
            now = "longer".into();
        }
        nodes.push(onnx::node("Transpose", &[&now], "answers", &[onnx::list("perm", &[0, 2, 1])]));
        onnx::graph(&nodes, &constants, &inputs, &[onnx::floats("answers", &[1, 0, last])])
    }
}

const WHISPER_MEL: &str = "{ kind = \"log-mel\", n-fft = 400, hop-length = 160, center = \"reflect\", n-mels = 80, mel-scale = \"slaney\", \
     mel-norm = \"slaney\", f-min = 0, f-max = 8000, power = 2, \
     level = { floor = 1e-10, min-db = -80, range = [-1, 1], clip = \"none\" } }";
const HEYGEM_MEL: &str = "{ kind = \"log-mel\", preemphasis = 0.97, n-fft = 1024, win-length = 800, hop-length = 160, center = \"zero\", \
     n-mels = 80, mel-scale = \"slaney\", mel-norm = \"slaney\", f-min = 0, f-max = 8000, power = 2, level = { add = 1e-5, ref-db = 20 } }";

/// An encoder like a public one: its window and context with a placeholder each, and how it looks.
struct Kind {
    name: &'static str,
    section: String,
    network: Network<'static>,
    window: usize,
    context: [usize; 2],
    /// Not enough for what an answer depends on.
    short: [usize; 2],
    width: usize,
    /// Samples from one answer to the next, and the look-ahead.
    hop: usize,
    reach: usize,
}

impl Kind {
    fn folder(&self, window: usize, context: [usize; 2]) -> Folder {
        let section = self.section.replace("WINDOW", &window.to_string()).replace("CONTEXT", &format!("{context:?}"));
        Folder::new(&section, &self.network.graph())
    }
}

fn kinds() -> [Kind; 3] {
    let section = |front: &str, rest: &str| {
        format!(
            "kind = \"encoder\"\nfront = {front}\nfile = [\"encoder.onnx\", \"encoder.pt\"]\ninput = \"rows\"\noutput = \"answers\"\n\
             window = WINDOW\ncontext = CONTEXT\n{rest}"
        )
    };
    [
        // Window 0 starts 20 rows before the sound, and its last row, 59 later, waits for half a transform.
        Kind {
            name: "whisper",
            section: section(WHISPER_MEL, "layout = \"nwr\"\nwidth = 6\nrate = 50"),
            network: Network {
                axes: &[1, 80, 0],
                rows_first: false,
                convolutions: &[[80, 8, 3, 1], [8, 6, 3, 2]],
                lengths: false,
            },
            window: 60,
            context: [20, 14],
            short: [2, 14],
            width: 6,
            hop: 320,
            reach: (59 - 20) * 160 + 200,
        },
        Kind {
            name: "hubert",
            section: section("{ kind = \"waveform\" }", "layout = \"n1r\"\nwidth = 4\nrate = \"50/1\""),
            network: Network { axes: &[1, 1, 0], rows_first: false, convolutions: &[[1, 4, 400, 320]], lengths: false },
            window: 6480,
            context: [640, 1280],
            short: [640, 400],
            width: 4,
            hop: 320,
            reach: 6479 - 640 + 1,
        },
        Kind {
            name: "heygem",
            section: section(
                HEYGEM_MEL,
                "layout = \"nrw\"\nlengths = \"lengths\"\nwidth = 5\nrate = 25\noffset = 0.03\npad = \"edge\"",
            ),
            network: Network {
                axes: &[1, 0, 80],
                rows_first: true,
                convolutions: &[[80, 8, 3, 2], [8, 5, 3, 2]],
                lengths: true,
            },
            window: 81,
            context: [12, 16],
            short: [12, 8],
            width: 5,
            hop: 640,
            reach: (80 - 15) * 160 + 400,
        },
    ]
}

/// What came out, the rows' buffers following each other without a gap.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    values: Vec<f32>,
    gaps: Vec<bool>,
    /// Rows at which stretches start.
    starts: Vec<usize>,
}

fn heard(harness: &mut Harness, width: usize, hop: usize) -> Heard {
    let mut all = Heard::default();
    let mut anchor = ClockTime::ZERO;
    while let Some(buffer) = harness.try_pull() {
        let map = buffer.map_readable().unwrap();
        let rows = map.size() / 4 / width;
        assert_eq!((map.size(), buffer.offset_end() - buffer.offset()), (rows * width * 4, rows as u64));
        if buffer.flags().contains(BufferFlags::DISCONT) {
            all.starts.push(all.gaps.len());
            anchor = buffer.pts().unwrap();
        }
        assert_eq!(buffer.pts().unwrap() - anchor, time_of(buffer.offset() as usize * hop));
        all.values.extend(map.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        all.gaps.extend(std::iter::repeat_n(buffer.flags().contains(BufferFlags::GAP), rows));
    }
    all
}

fn hear(folder: &Folder, kind: &Kind, samples: &[f32], chunk: usize) -> Heard {
    let mut harness = folder.harness();
    for (i, piece) in samples.chunks(chunk).enumerate() {
        harness.push(buffer(piece, time_of(i * chunk))).unwrap();
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    heard(&mut harness, kind.width, kind.hop)
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// One window that holds all the sound knows no seams; those that overlap enough yield the same, and others do not.
#[test]
fn an_encoder_seems_to_hear_everything_at_once() {
    for kind in kinds() {
        let samples = sound(16_000 * 2 + 77);
        let front_rows = if kind.name == "hubert" { 40_000 } else { 300 };
        let mut at_once = hear(&kind.folder(front_rows, kind.context), &kind, &samples, samples.len());
        if kind.network.lengths {
            // The stand-in adds the number of front rows to its answers.
            at_once.values.iter_mut().for_each(|x| *x -= (front_rows - kind.window) as f32);
        }
        let folder = kind.folder(kind.window, kind.context);
        let streamed = hear(&folder, &kind, &samples, samples.len());
        assert_eq!(streamed.gaps.len(), 1 + samples.len() / kind.hop, "{}", kind.name);
        assert!(streamed.gaps.contains(&true) && streamed.gaps.contains(&false));
        assert_eq!((&streamed.gaps, &streamed.starts), (&at_once.gaps, &at_once.starts));
        let size = at_once.values.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
        let off = difference(&streamed.values, &at_once.values) / size;
        assert!(off < 1e-5, "{}: {off}", kind.name);
        let short = hear(&kind.folder(kind.window, kind.short), &kind, &samples, samples.len());
        let off = difference(&short.values, &at_once.values) / size;
        assert!(off > 1e-3, "{}: too little context goes unnoticed, {off}", kind.name);
        for chunk in [160, 1023, 16_000] {
            assert!(hear(&folder, &kind, &samples, chunk) == streamed, "{}, chunks of {chunk}", kind.name);
        }
    }
}

/// The look-ahead in the LATENCY query is what rows wait for.
#[test]
fn encoders_report_their_look_ahead() {
    for kind in kinds() {
        let mut harness = kind.folder(kind.window, kind.context).harness();
        harness.set_upstream_latency(ClockTime::from_mseconds(20));
        harness.push(buffer(&[], ClockTime::ZERO)).unwrap();
        let own = harness.query_latency().unwrap() - ClockTime::from_mseconds(20);
        assert_eq!(own, time_of(kind.reach), "{}", kind.name);
        let (mut out, mut longest) = (0, ClockTime::ZERO);
        for (i, piece) in sound(40_000).chunks(40).enumerate() {
            harness.push(buffer(piece, time_of(40 * i))).unwrap();
            let now = time_of(40 * (i + 1));
            let rows = heard_without_end(&mut harness, kind.width);
            if rows > 0 {
                longest = longest.max(now - time_of(out * kind.hop));
                out += rows;
            }
            assert!(time_of(out * kind.hop) + own > now - time_of(40), "{}: {out} rows after {now}", kind.name);
        }
        assert!(out > 0 && longest >= own && longest <= own + time_of(40), "{}: {longest} {own}", kind.name);
    }
}

fn heard_without_end(harness: &mut Harness, width: usize) -> usize {
    std::iter::from_fn(|| harness.try_pull()).map(|buffer| buffer.size() / 4 / width).sum()
}

/// A row may be all of an answer's axes, and a run may answer with one: here what a convolution over a chunk of 67 rows
/// says, every five rows. Before and after the sound the rows are those of silence.
#[test]
fn a_chunk_may_be_one_answer() {
    const FBANK: &str = "{ kind = \"fbank\" }";
    let values: Vec<f32> = (0..32 * 67 * 80).map(|k| weight(k) * 1e-3).collect();
    let nodes = [
        onnx::node("Conv", &["chunk", "w"], "y", &[]),
        onnx::node("Transpose", &["y"], "answers", &[onnx::list("perm", &[0, 2, 1, 3])]),
    ];
    let graph = onnx::graph(
        &nodes,
        &[onnx::constant("w", &[32, 1, 67, 80], &values)],
        &[onnx::floats("chunk", &[1, 1, 67, 80])],
        &[onnx::floats("answers", &[1, 1, 32, 1])],
    );
    let section = format!(
        "kind = \"encoder\"\nfront = {FBANK}\nfile = \"encoder.onnx\"\ninput = \"chunk\"\nlayout = \"n1rw\"\noutput = \"answers\"\n\
         width = 32\nrate = 20\nwindow = 67\ncontext = [0, 32]\noffset = 0.3"
    );
    let samples = sound(20_000);
    let silence = |rows: usize| vec![0.0; rows * 160];
    let padded = [silence(30), samples.clone(), silence(67)].concat();
    let push = |folder: &Folder, samples: &[f32], width, hop| {
        let mut harness = folder.harness();
        harness.push(buffer(samples, ClockTime::ZERO)).unwrap();
        harness.push_event(gst::event::Eos::new());
        heard(&mut harness, width, hop).values
    };
    let rows = push(&Folder::new("kind = \"fbank\"", &[]), &padded, 80, 160);
    assert_eq!(rows.len(), 80 * 220);
    let answers = push(&Folder::new(&section, &graph), &samples, 32, 800);
    assert_eq!(answers.len(), 32 * 26);
    for (k, answer) in answers.chunks(32).enumerate() {
        for (channel, found) in answer.iter().enumerate() {
            let expected: f64 = (0..67)
                .map(|r| (r, &rows[(5 * k + r) * 80..][..80]))
                .flat_map(|(r, row)| row.iter().enumerate().map(move |(c, x)| (r * 80 + c, f64::from(*x))))
                .map(|(i, x)| f64::from(values[channel * 67 * 80 + i]) * x)
                .sum();
            assert!((expected - f64::from(*found)).abs() < 1e-3, "row {k}, {channel}: {found}, not {expected}");
        }
    }
}

#[test]
fn a_jump_gives_the_last_answers_and_starts_anew() {
    let [kind, ..] = kinds();
    let folder = kind.folder(kind.window, kind.context);
    let samples = sound(9000);
    let alone = hear(&folder, &kind, &samples, 9000);
    let mut harness = folder.harness();
    harness.push(buffer(&samples, ClockTime::ZERO)).unwrap();
    harness.push(buffer(&samples, ClockTime::from_seconds(5))).unwrap();
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<ClockTime>::new()));
    harness.push(buffer(&samples, ClockTime::from_seconds(9))).unwrap();
    harness.push_event(gst::event::Eos::new());
    let all = heard(&mut harness, kind.width, kind.hop);
    // The flush took the second stretch's last rows; what was out is gone with it too.
    let rows = alone.gaps.len();
    assert_eq!(all.starts.last(), Some(&(all.gaps.len() - rows)));
    assert!(all.values.ends_with(&alone.values));
    assert!(all.starts.len() == 1 || all.values.starts_with(&alone.values));
}

#[test]
fn mistakes_are_said_at_ready_with_expected_and_found() {
    let [kind, ..] = kinds();
    let section = kind.section.replace("WINDOW", "60").replace("CONTEXT", "[20, 14]");
    let graph = kind.network.graph();
    let refusal = |right: &str, wrong: &str| {
        let changed = section.replacen(right, wrong, 1);
        assert_ne!(changed, section);
        Folder::new(&changed, &graph).refusal()
    };
    let mistakes: [(&str, &str, &[&str]); 8] = [
        ("input = \"rows\"", "input = \"mel\"", &["input = \"mel\"", "rows (1, 80, ?)"]),
        ("output = \"answers\"", "output = \"y0\"", &["output = \"y0\"", "answers (1, ?, 6)"]),
        ("layout = \"nwr\"", "layout = \"nrw\"", &["input rows (1, 80, ?)", "(1, 60, 80)", "layout"]),
        ("n-mels = 80", "n-mels = 64", &["input rows (1, 80, ?)", "(1, 64, 60)"]),
        ("width = 6", "width = 5", &["\"answers\" has the shape [1, 28, 6]", "width = 5"]),
        ("context = [20, 14]", "context = [20, 2]", &["28 rows", "uses 29", "second context at least 2 longer"]),
        ("rate = 50", "rate = 50\nlengths = \"n\"", &["lengths = \"n\"", "rows (1, 80, ?)"]),
        ("[\"encoder.onnx\", \"encoder.pt\"]", "\"other.onnx\"", &["other.onnx is missing"]),
    ];
    for (right, wrong, expected) in mistakes {
        let text = refusal(right, wrong);
        for part in expected {
            assert!(text.contains(part), "{wrong}: {part} is not in: {text}");
        }
    }
    let text = Folder::new(&section, b"no graph").refusal();
    assert!(text.contains("encoder.onnx"), "{text}");
    let with_lengths = Network { lengths: true, ..kind.network };
    let text = Folder::new(&section, &with_lengths.graph()).refusal();
    assert!(text.contains("lengths (1) int64 is fed by nothing"), "{text}");
}

/// The model is named on lipsyncgen alone: its encoder is opened in time, too.
#[test]
fn the_generators_encoder_is_checked_at_ready() {
    let [kind, ..] = kinds();
    let section = kind.section.replace("WINDOW", "60").replace("CONTEXT", "[20, 14]").replace("width = 6", "width = 8");
    let folder = Folder::new(&section, &kind.network.graph());
    common::init();
    let pipeline = gst::parse::launch(&format!(
        "audiotestsrc num-buffers=10 ! audioconvert ! audioresample ! audiofeatures name=a ! queue ! g.features \
         videotestsrc num-buffers=10 ! lipsyncgen name=g backend=test model=\"{}\" ! fakesink",
        folder.0.display()
    ))
    .unwrap();
    let bus = pipeline.bus().unwrap();
    let started = pipeline.set_state(gst::State::Ready);
    let text = errors(&bus);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(started.is_err() && text.contains("width = 8"), "{text}");
}

/// Sound through an encoder meets the picture: every frame leaves, and the end comes.
#[test]
fn encoded_sound_meets_the_picture() {
    let [kind, ..] = kinds();
    let network = Network { convolutions: &[[80, 8, 3, 1], [8, 8, 3, 2]], ..kind.network };
    let section = kind.section.replace("WINDOW", "60").replace("CONTEXT", "[20, 14]").replace("width = 6", "width = 8");
    let folder = Folder::new(&section, &network.graph());
    common::init();
    let pipeline = gst::parse::launch(&format!(
        "audiotestsrc num-buffers=90 ! audioconvert ! audioresample ! audiofeatures ! queue ! g.features \
         videotestsrc num-buffers=50 ! video/x-raw,width=64,height=64,framerate=25/1 ! facecrop region=8,8,48,48 ! \
         lipsyncgen name=g backend=test model=\"{}\" ! fakesink name=out",
        folder.0.display()
    ))
    .unwrap();
    let sink = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("out").unwrap().static_pad("sink").unwrap();
    let frames = std::sync::Arc::new(AtomicU32::new(0));
    let count = frames.clone();
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let end = bus.timed_pop_filtered(ClockTime::from_seconds(60), &[gst::MessageType::Eos, gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(end.map(|message| message.type_()), Some(gst::MessageType::Eos));
    assert_eq!(frames.load(Ordering::Relaxed), 50);
}
