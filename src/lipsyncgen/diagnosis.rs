// SPDX-License-Identifier: MPL-2.0
//! Why nothing moves: which pad starves, and what in the pipeline makes it.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::watchdog::Phase;

/// What to do with a queue that holds a branch back.
const UNLIMITED: &str = "max-size-time=0 max-size-bytes=0 max-size-buffers=0";

/// Elements between a pad and what is looked for: more is a loop.
const FAR: usize = 1000;

/// The pad at fault, and why in words.
pub struct Diagnosis {
    pub pad: Option<&'static str>,
    pub cause: String,
}

/// `None` where it is not a stall: all is quiet, a sink is paused, or the picture has ended.
pub fn diagnose(element: &super::LipsyncGen, phase: Phase) -> Option<Diagnosis> {
    let pads: Vec<gst_base::AggregatorPad> =
        element.sink_pads().into_iter().filter_map(|pad| pad.downcast().ok()).collect();
    let find = |name: &str| pads.iter().find(|pad| pad.name() == name);
    match phase {
        Phase::Inferring => {
            return Some(Diagnosis { pad: None, cause: "the model does not come back from a run".into() });
        }
        Phase::Pushing if rests(element) => return None,
        Phase::Pushing => {
            let branch = find("features").and_then(|pad| held_back(pad.upcast_ref()));
            let cause = branch.unwrap_or_else(|| {
                format!(
                    "a sink that waits, or a muxer that waits for another stream whose queue is full (give that queue {UNLIMITED})"
                )
            });
            return Some(Diagnosis {
                pad: Some("src"),
                cause: format!("what follows src does not take the frame; {cause}"),
            });
        }
        Phase::Waiting => {}
    }
    let starves = |pad: &gst_base::AggregatorPad| !pad.has_buffer() && !pad.is_eos();
    let (video, features) = (find("sink")?, find("features")?);
    let waits = element.imp().holds_frames();
    let (name, pad, other, otherwise) = match (starves(video), starves(features)) {
        (true, false) => ("sink", video, "features", "the picture has stopped without an end of stream"),
        // What was taken from the picture's pad waits for sound as well.
        (starving, true) if waits || !starving && !video.is_eos() => {
            ("features", features, "sink", "the sound has stopped without an end of stream")
        }
        _ => return None,
    };
    let cause = held_back(pad.upcast_ref()).unwrap_or_else(|| otherwise.into());
    Some(Diagnosis { pad: Some(name), cause: format!("pad {name} gets nothing while {other} is full; {cause}") })
}

/// Whether a sink has been paused while the pipeline as a whole plays.
fn rests(element: &super::LipsyncGen) -> bool {
    let Ok(pipeline) = top(element.upcast_ref()).downcast::<gst::Bin>() else { return false };
    // After a flush the pipeline is on its way to PLAYING again, and so are its sinks.
    let (_, current, pending) = pipeline.state(gst::ClockTime::ZERO);
    (current, pending) == (gst::State::Playing, gst::State::VoidPending)
        && pipeline.iterate_sinks().into_iter().flatten().any(|sink| sink.current_state() != gst::State::Playing)
}

/// The pipeline that an element is in.
pub fn top(element: &gst::Element) -> gst::Element {
    let mut top = element.clone();
    while let Some(parent) = top.parent().and_then(|parent| parent.downcast::<gst::Element>().ok()) {
        top = parent;
    }
    top
}

/// Where the stream to `pad` comes from an element with several ways out: which of the other ways is stuck.
fn held_back(pad: &gst::Pad) -> Option<String> {
    let mut pad = pad.clone();
    for _ in 0..FAR {
        let source = across(&pad)?;
        let element = source.parent_element()?;
        // What has several ways in keeps them apart by itself, as multiqueue does.
        let [sink] = &element.sink_pads()[..] else { return None };
        let others: Vec<gst::Pad> = element.src_pads().into_iter().filter(|other| *other != source).collect();
        if !others.is_empty() {
            return others.iter().find_map(|other| stuck(&element, other));
        }
        pad = sink.clone();
    }
    None
}

/// Why the way out of `element` through `pad` may be stuck.
fn stuck(element: &gst::Element, pad: &gst::Pad) -> Option<String> {
    let from = format!("{}:{}", element.name(), pad.name());
    let mut pad = pad.clone();
    for _ in 0..FAR {
        let next = across(&pad)?.parent_element()?;
        if is_queue(&next) {
            let name = next.name();
            return full(&next).map(|limit| {
                format!(
                    "queue {name} behind {from} is full ({limit}) and holds it back: what comes after it waits for the \
                     picture; give it {UNLIMITED}"
                )
            });
        }
        match &next.src_pads()[..] {
            [only] if next.sink_pads().len() == 1 => pad = only.clone(),
            _ => return Some(format!("{from} leads to {} without a queue, which every branch needs", next.name())),
        }
    }
    None
}

fn is_queue(element: &gst::Element) -> bool {
    ["current-level-buffers", "max-size-buffers", "max-size-bytes", "max-size-time"]
        .iter()
        .all(|p| element.has_property(p))
}

/// The limit that a queue has reached, as one would write it.
fn full(queue: &gst::Element) -> Option<String> {
    let number = |name: String| match queue.property_value(&name) {
        value if value.is::<u64>() => value.get().unwrap_or(0),
        value => value.get::<u32>().map_or(0, u64::from),
    };
    ["buffers", "bytes", "time"].into_iter().find_map(|what| {
        let (level, most) = (number(format!("current-level-{what}")), number(format!("max-size-{what}")));
        (most > 0 && level >= most).then(|| format!("max-size-{what}={most}"))
    })
}

/// The pad that `pad` is linked to, on the other side of any bin's wall.
fn across(pad: &gst::Pad) -> Option<gst::Pad> {
    let mut peer = pad.peer()?;
    for _ in 0..FAR {
        peer = if let Some(ghost) = peer.downcast_ref::<gst::GhostPad>() {
            // Into a bin.
            ghost.target()?
        } else if let Some(inner) = peer.downcast_ref::<gst::ProxyPad>() {
            // Out of a bin.
            inner.internal()?.upcast::<gst::Pad>().peer()?
        } else {
            return Some(peer);
        };
    }
    None
}
