// SPDX-License-Identifier: MPL-2.0
//! Encoders that take long, never end or fail: the test runtime's, which does as it is told.

use std::time::{Duration, Instant};

use gst::ClockTime;
use gst::prelude::*;

use super::{Folder, SOUND_CAPS, buffer, errors, sound};

/// A model of the test runtime, whose device orders misbehaviour.
fn misbehaving(device: &str) -> (Folder, gst::Element) {
    let section = "kind = \"encoder\"\nfront = { kind = \"waveform\" }\nfile = \"encoder.toml\"\ninput = \"rows\"\nlayout = \"nr\"\n\
                   output = \"answers\"\nwidth = 3\nrate = 50\nwindow = 3200\ncontext = [0, 0]";
    let folder = Folder::new(section, &[]);
    let graph = "inputs = [{ name = \"rows\", shape = [1, 3200] }]\noutputs = [{ name = \"answers\", shape = [1, 10, 3] }]\nrange = [0, 1]";
    std::fs::write(folder.0.join("encoder.toml"), graph).unwrap();
    let element = folder.element();
    element.set_property_from_str("backend", "test");
    element.set_property("device", device);
    (folder, element)
}

/// An element that hears something on another thread, and what becomes of that.
struct Busy {
    element: gst::Element,
    bus: crate::common::OwnBus,
    source: gst::Pad,
    /// Keeps the element's rows.
    sink: gst::Pad,
    rows: std::sync::mpsc::Receiver<gst::Buffer>,
}

fn busy(element: gst::Element) -> Busy {
    let source = gst::Pad::builder(gst::PadDirection::Src).name("src").build();
    let (send, rows) = std::sync::mpsc::channel();
    let sink = gst::Pad::builder(gst::PadDirection::Sink)
        .name("sink")
        .chain_function(move |_, _, buffer| {
            let _ = send.send(buffer);
            Ok(gst::FlowSuccess::Ok)
        })
        .event_function(|_, _, _| true)
        .build();
    source.link(&element.static_pad("sink").unwrap()).unwrap();
    element.static_pad("src").unwrap().link(&sink).unwrap();
    source.set_active(true).unwrap();
    sink.set_active(true).unwrap();
    let bus = crate::common::OwnBus::of(&element);
    element.set_state(gst::State::Playing).unwrap();
    source.push_event(gst::event::StreamStart::new("sound"));
    source.push_event(gst::event::Caps::new(&SOUND_CAPS.parse::<gst::Caps>().unwrap()));
    source.push_event(gst::event::Segment::new(&gst::FormattedSegment::<ClockTime>::new()));
    Busy { element, bus, source, sink, rows }
}

impl Busy {
    fn push(
        &self,
        samples: usize,
        pts: ClockTime,
    ) -> std::thread::JoinHandle<Result<gst::FlowSuccess, gst::FlowError>> {
        let source = self.source.clone();
        std::thread::spawn(move || source.push(buffer(&sound(samples), pts)))
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Whether it ends; a hanging one is left alone.
fn ends<T>(thread: &std::thread::JoinHandle<T>) -> bool {
    let start = Instant::now();
    while !thread.is_finished() && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    thread.is_finished()
}

#[test]
fn a_flush_does_not_wait_for_a_hanging_encoder() {
    let (_folder, element) = misbehaving("hang-at=1");
    let busy = busy(element);
    let pushing = busy.push(9600, ClockTime::ZERO);
    // Run 0 is well, and run 1 never ends.
    busy.rows.recv_timeout(PATIENCE).unwrap();
    let source = busy.source.clone();
    let flushing = std::thread::spawn(move || {
        source.push_event(gst::event::FlushStart::new());
        source.push_event(gst::event::FlushStop::new(true));
    });
    assert!(ends(&flushing) && ends(&pushing));
    assert_eq!(pushing.join().unwrap(), Err(gst::FlowError::Flushing));
    busy.element.set_state(gst::State::Null).unwrap();
    assert_eq!(errors(&busy.bus), "");
}

#[test]
fn a_state_change_does_not_wait_for_a_hanging_encoder() {
    let (_folder, element) = misbehaving("hang-at=0");
    let busy = busy(element);
    let pushing = busy.push(9600, ClockTime::ZERO);
    std::thread::sleep(Duration::from_millis(100));
    assert!(!pushing.is_finished());
    let element = busy.element.clone();
    let stopping = std::thread::spawn(move || element.set_state(gst::State::Null));
    assert!(ends(&stopping) && ends(&pushing));
    assert_eq!(pushing.join().unwrap(), Err(gst::FlowError::Flushing));
    drop(busy.sink);
}

#[test]
fn an_interruption_drops_what_the_encoder_is_at() {
    let (_folder, element) = misbehaving("delay=300");
    let busy = busy(element);
    let pushing = busy.push(3200, ClockTime::ZERO);
    std::thread::sleep(Duration::from_millis(100));
    busy.source.push_event(gst::event::CustomDownstreamOob::new(gst::Structure::new_empty("lipsync-interrupt")));
    assert!(ends(&pushing));
    assert_eq!(pushing.join().unwrap(), Ok(gst::FlowSuccess::Ok));
    assert!(busy.rows.try_recv().is_err());
    // What comes after is heard.
    busy.source.push(buffer(&sound(3200), ClockTime::SECOND)).unwrap();
    assert_eq!(busy.rows.recv_timeout(PATIENCE).unwrap().pts(), Some(ClockTime::SECOND));
    busy.element.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_failing_encoder_is_an_error_in_words() {
    for (device, text) in [("error-at=1", "ordered to fail"), ("nan-at=1", "NaN"), ("panic-at=1", "panicked")] {
        let (_folder, element) = misbehaving(device);
        let busy = busy(element);
        assert_eq!(busy.source.push(buffer(&sound(9600), ClockTime::ZERO)), Err(gst::FlowError::Error));
        // The answers from before are out.
        assert!(busy.rows.try_recv().is_ok());
        busy.source.push_event(gst::event::Eos::new());
        let errors = errors(&busy.bus);
        assert!(errors.contains(text) && errors.lines().count() == 1, "{device}: {errors}");
        busy.element.set_state(gst::State::Null).unwrap();
    }
}
