// SPDX-License-Identifier: MPL-2.0
//! Encoders that keep something in mind from one window to the next: a running sum of the sound, which ONNX Runtime adds up.

use gst::ClockTime;

use super::{Folder, Heard, buffer, heard, time_of};
use crate::common::onnx;

const SECTION: &str = "kind = \"encoder\"\nfront = { kind = \"waveform\" }\nfile = \"encoder.onnx\"\ninput = \"rows\"\n\
     state = { h0 = \"hn\" }\noutput = \"answers\"\nwidth = 1\nrate = 16000\nwindow = 8\ncontext = [0, 4]";

/// Four answers to eight rows: what came before them, and the sum of the rows up to each. The last is kept in mind.
fn graph(state: Vec<u8>, next: Vec<u8>) -> Vec<u8> {
    let sums: Vec<f32> = (0..32).map(|i| if i % 8 <= i / 8 { 1.0 } else { 0.0 }).collect();
    let nodes = [
        onnx::node("MatMul", &["sums", "rows"], "sum", &[]),
        onnx::node("Add", &["sum", "h0"], "answers", &[]),
        onnx::node("MatMul", &["last", "answers"], "hn", &[]),
    ];
    let constants = [onnx::constant("sums", &[4, 8], &sums), onnx::constant("last", &[1, 4], &[0.0, 0.0, 0.0, 1.0])];
    onnx::graph(
        &nodes,
        &constants,
        &[onnx::floats("rows", &[1, 8, 1]), state],
        &[onnx::floats("answers", &[1, 4, 1]), next],
    )
}

fn adder() -> Folder {
    Folder::new(SECTION, &graph(onnx::floats("h0", &[1, 1, 1]), onnx::floats("hn", &[1, 1, 1])))
}

/// Any, but so short of digits that they add up without error.
fn samples(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * i * 31 % 257) as f32 / 1024.0 - 0.125).collect()
}

/// One for each sample and one for the end.
fn sums(samples: &[f32]) -> Vec<f32> {
    let sum = |sum: &mut f32, sample: &f32| {
        *sum += sample;
        Some(*sum)
    };
    samples.iter().chain(&[0.0]).scan(0.0, sum).collect()
}

fn hear(folder: &Folder, samples: &[f32], chunk: usize) -> Heard {
    let mut harness = folder.harness();
    for (i, piece) in samples.chunks(chunk).enumerate() {
        harness.push(buffer(piece, time_of(i * chunk))).unwrap();
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    heard(&mut harness, 1, 1)
}

#[test]
fn what_is_kept_in_mind_goes_on_however_the_sound_is_cut() {
    let (folder, samples) = (adder(), samples(1003));
    let whole = hear(&folder, &samples, 1003);
    assert_eq!(whole.values, sums(&samples));
    for chunk in [1, 3, 4, 77, 500] {
        assert!(hear(&folder, &samples, chunk) == whole, "chunks of {chunk}");
    }
}

/// A stretch knows nothing of the one before, however that ended.
#[test]
fn every_stretch_begins_with_an_empty_mind() {
    let (folder, samples) = (adder(), samples(203));
    let interrupt = || gst::event::CustomDownstreamOob::new(gst::Structure::new_empty("lipsync-interrupt"));
    let segment = || gst::event::Segment::new(&gst::FormattedSegment::<ClockTime>::new());
    type End = fn(&mut gst_check::Harness, &dyn Fn() -> gst::Event, &dyn Fn() -> gst::Event) -> bool;
    // What it does, and whether the rows that are still missing come out.
    let ends: [(&str, bool, End); 4] = [
        ("a jump", true, |_, _, _| true),
        ("a segment", true, |harness, _, segment| harness.push_event(segment())),
        ("an interruption", false, |harness, interrupt, _| harness.push_event(interrupt())),
        ("a flush", false, |harness, _, segment| {
            harness.push_event(gst::event::FlushStart::new())
                && harness.push_event(gst::event::FlushStop::new(true))
                && harness.push_event(segment())
        }),
    ];
    for (what, whole, end) in ends {
        let mut harness = folder.harness();
        harness.push(buffer(&samples, ClockTime::ZERO)).unwrap();
        let before = heard(&mut harness, 1, 1);
        assert!(sums(&samples).starts_with(&before.values) && before.values.len() >= 196, "{what}");
        assert!(end(&mut harness, &interrupt, &segment), "{what}");
        harness.push(buffer(&samples, ClockTime::from_seconds(3))).unwrap();
        assert!(harness.push_event(gst::event::Eos::new()));
        let after = heard(&mut harness, 1, 1);
        let rest = if whole { 204 - before.values.len() } else { 0 };
        assert_eq!(after.values[rest..], sums(&samples), "{what}");
        assert_eq!(after.starts, [rest], "{what}");
    }
}

/// One thread runs the graph for one element, and another element's sound is none of its business.
#[test]
fn elements_that_share_a_graph_share_no_mind() {
    let (folder, samples) = (adder(), samples(400));
    let mut both = [folder.harness(), folder.harness()];
    for (i, piece) in samples.chunks(50).enumerate() {
        for harness in &mut both {
            harness.push(buffer(piece, time_of(i * 50))).unwrap();
        }
    }
    for harness in &mut both {
        assert!(harness.push_event(gst::event::Eos::new()));
        assert_eq!(heard(harness, 1, 1).values, sums(&samples));
    }
}

#[test]
fn mistakes_are_said_at_ready() {
    let (h0, hn) = (onnx::floats("h0", &[1, 1, 1]), onnx::floats("hn", &[1, 1, 1]));
    let right = |state: &str| SECTION.replace("state = { h0 = \"hn\" }", state);
    let mistakes = [
        (
            right("state = { h1 = \"hn\" }"),
            h0.clone(),
            hn.clone(),
            "state = { h1 = \"hn\" } names \"h1\", but the graph's inputs are: rows (1, 8, 1), h0 (1, 1, 1)",
        ),
        (
            right("state = { h0 = \"h\" }"),
            h0.clone(),
            hn.clone(),
            "state = { h0 = \"h\" } names \"h\", but the graph's outputs are: answers (1, 4, 1), hn (1, 1, 1)",
        ),
        (right(""), h0.clone(), hn.clone(), "input h0 (1, 1, 1) is fed by nothing"),
        (
            SECTION.into(),
            onnx::floats("h0", &[1, 0, 1]),
            hn,
            "expected an input all of whose axes have a length, found h0 (1, ?, 1)",
        ),
        (
            SECTION.into(),
            onnx::floats("h0", &[1, 4, 1]),
            onnx::floats("hn", &[1, 1, 1]),
            "output hn (1, 1, 1) becomes input h0 (1, 4, 1), expected the same shape of both",
        ),
        (right("state = { rows = \"hn\" }"), h0, onnx::floats("hn", &[1, 1, 1]), "state: \"rows\" is input already"),
    ];
    for (section, state, next, expected) in mistakes {
        let text = Folder::new(&section, &graph(state, next)).refusal();
        assert!(text.contains(expected), "{expected} is not in: {text}");
    }
}

/// An output whose axes are told by no more than a run.
#[test]
fn what_has_another_shape_than_it_had_is_an_error() {
    let folder = Folder::new(&SECTION.replace("encoder.onnx", "encoder.toml"), &[]);
    let graph = "inputs = [{ name = \"rows\", shape = [1, 8, 1] }, { name = \"h0\", shape = [2, 1] }]\n\
                 outputs = [{ name = \"answers\", shape = [1, 4, 1] }, { name = \"hn\", shape = [0, 1] }]\nrange = [0, 1]";
    std::fs::write(folder.0.join("encoder.toml"), graph).unwrap();
    let text = folder.refusal();
    assert!(
        text.contains("output \"hn\" has the shape [1, 1], but [audiofeatures] state carries it to an input of [2, 1]"),
        "{text}"
    );
}

/// Numbers that grow until they are none any more.
#[test]
fn what_cannot_be_kept_in_mind_is_an_error() {
    let folder = adder();
    let element = folder.element();
    let bus = crate::common::OwnBus::of(&element);
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(super::SOUND_CAPS);
    let most = f32::MAX / 3.0;
    harness.push(buffer(&[most, 0.0, 0.0, 0.0, most, 0.0, 0.0, 0.0], ClockTime::ZERO)).unwrap();
    let result = harness.push(buffer(&[most; 16], time_of(8)));
    assert_eq!(result, Err(gst::FlowError::Error));
    let text = super::errors(&bus);
    assert!(text.contains("holds NaN or infinity"), "{text}");
}
