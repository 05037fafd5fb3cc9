// SPDX-License-Identifier: MPL-2.0
//! What is done to a pipeline while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use gst::prelude::*;
use gst::{ClockTime, SeekFlags, SeekType, State};

use crate::plan;
use crate::subject::Subject;

/// Settings that may change in any state, and what they may be.
const SETTINGS: [(&str, &[&str]); 14] = [
    ("av-offset", &["0", "-200000000", "300000000"]),
    ("on-missing", &["hold", "passthrough"]),
    ("batch-size", &["0", "1", "3", "16"]),
    ("latency", &["0", "40000000", "200000000"]),
    ("silence-threshold", &["-200", "-50", "0"]),
    ("face-select", &["largest", "central", "track", "all"]),
    ("min-face-size", &["1", "40", "500"]),
    ("smoothing", &["0", "0.5", "1"]),
    ("detect-interval", &["0", "1", "7"]),
    ("region", &["4,4,60,60", "0,0,5,5", "-50,-50,400,400", ""]),
    ("blend", &["model", "hard", "feather"]),
    ("opacity", &["0", "0.5", "1"]),
    ("match-color", &["true", "false"]),
    ("debug", &["true", "false"]),
];

/// Does one random thing to `subject` and says what.
pub fn operate(subject: &mut Subject, rng: &mut Rng, tell: &mut dyn FnMut(String)) {
    match rng.u32(0..100) {
        0..30 => {
            let pause = rng.u64(0..60);
            tell(format!("wait {pause} ms"));
            thread::sleep(Duration::from_millis(pause));
        }
        30..42 => {
            let state =
                rng.choice([State::Null, State::Ready, State::Paused, State::Playing, State::Playing, State::Playing]);
            let (state, wait) = (state.unwrap_or(State::Playing), rng.bool());
            tell(format!("state {state:?}, wait {wait}"));
            subject.set_state(state);
            if wait {
                let _ = subject.pipeline.state(ClockTime::from_mseconds(300));
            }
        }
        42..52 => seek(subject, rng, tell),
        52..58 => caps(subject, rng, tell),
        58..63 => {
            let (which, count) = (rng.usize(0..2), rng.u32(1..10));
            tell(format!("{count} gaps in {}", ["the picture", "the sound"][which]));
            subject.switches[which].lock().gaps += count;
        }
        63..66 => {
            let which = rng.usize(0..2);
            tell(format!("{} ends", ["the picture", "the sound"][which]));
            subject.switches[which].lock().ends = true;
        }
        66..72 => relink(subject, rng, tell),
        72..76 => {
            tell("interrupt".into());
            interrupt(subject);
        }
        76..83 => {
            let (name, values) = SETTINGS[rng.usize(0..SETTINGS.len())];
            let value = values[rng.usize(0..values.len())];
            tell(format!("{name}={value}"));
            for element in subject.elements().iter().filter(|element| element.has_property(name)) {
                element.set_property_from_str(name, value);
            }
        }
        83..88 => {
            tell("read all properties".into());
            for element in subject.elements() {
                for property in
                    element.list_properties().iter().filter(|p| p.flags().contains(gst::glib::ParamFlags::READABLE))
                {
                    let _ = element.property_value(property.name());
                }
            }
        }
        88..92 => query(subject, rng, tell),
        92..95 => {
            let (brake, pause) =
                (rng.choice(["picture-brake", "sound-brake", "seen-brake"]).unwrap_or(""), rng.u32(0..10_000));
            tell(format!("{brake} takes {pause} µs a buffer"));
            if let Some(element) = subject.pipeline.by_name(brake) {
                element.set_property("sleep-time", pause);
            }
        }
        95..97 => {
            let (count, pause) = (rng.u32(1..4), rng.u64(0..200));
            tell(format!("the sink holds {count} buffers for {pause} ms"));
            hold(subject, count, pause);
        }
        _ => {
            // Where a clip's frames all lie before time 0 there is nothing to repeat.
            let least = if subject.plan.endless { 0 } else { -500 };
            let (which, offset) = (rng.choice(["picture-caps", "sound-caps"]).unwrap_or(""), rng.i64(least..2000));
            tell(format!("{which} is shifted by {offset} ms"));
            if let Some(pad) = subject.pipeline.by_name(which).and_then(|element| element.static_pad("src")) {
                pad.set_offset(offset * 1_000_000);
            }
        }
    }
}

fn seek(subject: &mut Subject, rng: &mut Rng, tell: &mut dyn FnMut(String)) {
    let who = rng.choice([None, Some("picture-caps"), Some("sound-caps")]).flatten();
    let (flush, accurate) = (rng.u32(0..4) > 0, rng.bool());
    let rate = rng.choice([1.0, 1.0, 1.0, 0.5, 2.0]).unwrap_or(1.0);
    let start = ClockTime::from_mseconds(rng.u64(0..4000));
    // Where the sound's caps change and it then ends in the midst of a buffer, GStreamer 1.22's audioresample fails an assertion
    // (gst_audio_buffer_truncate).
    let stop =
        (rng.u32(0..4) == 0 && !subject.sound_changed).then(|| start + ClockTime::from_mseconds(rng.u64(1..2000)));
    // After the end, everything has to be flushed for anything to go on.
    let (who, flush) = if subject.has_ended() { (None, true) } else { (who, flush) };
    tell(format!("seek {} to {start} … {stop:?} at {rate}, flush {flush}", who.unwrap_or("all")));
    // A muxer passes the flush of one side on, and the source of the other takes that for the end. Itself it refuses to seek, and
    // GStreamer 1.22's matroskamux leaks the event. Nothing live can be sought in, and a seek that does not flush waits for the stream, which stands in PAUSED
    // and after an error.
    let (_, state, pending) = subject.pipeline.state(ClockTime::ZERO);
    let playing = state == State::Playing && pending == State::VoidPending;
    let flows = playing && !subject.has_ended() && subject.said.errors.lock().is_empty();
    if subject.plan.muxed || subject.plan.live || state < State::Paused || !flush && !flows {
        return;
    }
    // A clip that is repeated is short, and seeking beyond it ends it.
    subject.sought_end |= stop.is_some() || subject.plan.endless;
    let mut flags = SeekFlags::empty();
    flags.set(SeekFlags::FLUSH, flush);
    flags.set(SeekFlags::ACCURATE, accurate);

    let event = gst::event::Seek::new(rate, flags, SeekType::Set, start, SeekType::Set, stop);
    let whole = subject.whole.clone();
    let _whole = whole.lock();
    let done = match who.and_then(|name| subject.pipeline.by_name(name)) {
        Some(element) => element.send_event(event),
        None => subject.pipeline.send_event(event),
    };
    if done && flush {
        subject.said.ended.store(false, Ordering::Relaxed);
    }
    if !done {
        // Where only one of the sources took it, the other one's part was flushed too.
        subject.ledgers().for_each(|ledger| ledger.open());
        subject.ledgers().for_each(|ledger| ledger.close());
    }
}

fn caps(subject: &mut Subject, rng: &mut Rng, tell: &mut dyn FnMut(String)) {
    let picture = rng.bool();
    let (name, caps) = match picture {
        true => ("picture-caps", plan::picture_caps(rng, subject.plan.muxed)),
        false => ("sound-caps", plan::sound_caps(rng, subject.plan.muxed)),
    };
    if subject.plan.muxed || picture && subject.plan.still || !picture && subject.sought_end {
        return tell("the caps stay as they are".into());
    }
    tell(format!("{name} become {caps}"));
    // A clip that is repeated has one size.
    subject.provoked |= picture && subject.plan.endless;
    subject.sound_changed |= !picture;
    subject.switches[usize::from(!picture)].lock().caps = caps.parse().ok();
}

/// Unlinks a pad and links it again while nothing goes through it, as an application must.
fn relink(subject: &mut Subject, rng: &mut Rng, tell: &mut dyn FnMut(String)) {
    let pads =
        [(&subject.crop, "src"), (&subject.generator, "src"), (&subject.paste, "src"), (&subject.features, "src")];
    let which = rng.usize(0..pads.len());
    let anew = which == 3 && !subject.plan.bin && rng.bool();
    let pause = Duration::from_millis(rng.u64(0..30));
    let (element, name) = pads[which];
    let then = if anew { "gets another pad" } else { "is linked again" };
    tell(format!("{}:{name} is unlinked for {pause:?} and {then}", element.name()));
    let Some(pad) = element.static_pad(name) else { return };
    // After a link, EOS is passed on with the next buffer only, which never comes.
    if subject.has_ended() {
        return;
    }
    // One that still waits for its buffer is called at the end of each sticky event, and in the meantime the pad lets this one in.
    if subject.relinks[which].strong_count() > 0 {
        return;
    }
    // Who does not know yet whose features are wanted, and finds nobody to ask, takes the default model, which this runtime cannot open.
    subject.provoked |= which == 3 && pad.current_caps().is_none();
    let generator = subject.generator.clone();
    let (failed, whole) = (subject.failed_links.clone(), subject.whole.clone());
    let done = Arc::new(AtomicBool::new(false));
    subject.relinks[which] = Arc::downgrade(&done);
    let operator = thread::current().id();
    pad.add_probe(gst::PadProbeType::IDLE | gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER, move |pad, info| {
        // The pad may be idle at the end of pushing a sticky event. GStreamer 1.22 then takes it for sent to whoever is linked by now;
        // and Pass would turn a refused event into one that was taken.
        if info.mask.contains(gst::PadProbeType::IDLE) && thread::current().id() != operator {
            return gst::PadProbeReturn::Ok;
        }
        // Not to be waited for: the seek may wait for this thread.
        let Some(_whole) = whole.try_lock() else { return gst::PadProbeReturn::Remove };
        if let Some(peer) = pad.peer().filter(|_| !done.swap(true, Ordering::Relaxed)) {
            let _ = pad.unlink(&peer);
            thread::sleep(pause);
            let peer = if anew {
                generator.release_request_pad(&peer);
                generator.request_pad_simple("features")
            } else {
                Some(peer)
            };
            if let Some(Err(why)) = peer.map(|peer| pad.link(&peer)) {
                failed.lock().push(format!("{} could not be linked again: {why}", pad.name()));
            }
        }
        gst::PadProbeReturn::Remove
    });
}

fn interrupt(subject: &Subject) {
    match subject.pipeline.by_name("b") {
        Some(bin) => {
            // What waits of the sound is dropped.
            subject.sound.iter().for_each(|ledger| ledger.open());
            bin.emit_by_name::<()>("interrupt", &[]);
            subject.sound.iter().for_each(|ledger| ledger.close());
        }
        None => {
            let event = gst::event::CustomDownstreamOob::new(gst::Structure::new_empty("lipsync-interrupt"));
            if let Some(pad) = subject.features.static_pad("sink") {
                pad.send_event(event);
            }
        }
    }
}

fn query(subject: &Subject, rng: &mut Rng, tell: &mut dyn FnMut(String)) {
    let kind = rng.u32(0..5);
    tell(format!("query {kind} everywhere"));
    for pad in subject.elements().iter().flat_map(|element| element.pads()) {
        match kind {
            0 => drop(pad.query_position::<ClockTime>()),
            1 => drop(pad.query_duration::<ClockTime>()),
            2 => drop(pad.query_caps(None)),
            3 => drop(pad.query(&mut gst::query::Latency::new())),
            _ => drop(pad.query(&mut gst::query::Seeking::new(gst::Format::Time))),
        }
    }
}

/// The sink takes its time for the next buffers.
fn hold(subject: &Subject, count: u32, pause: u64) {
    let Some(pad) = subject.pipeline.by_name("seen").and_then(|sink| sink.static_pad("sink")) else { return };
    let left = AtomicU32::new(count);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        thread::sleep(Duration::from_millis(pause));
        if left.fetch_sub(1, Ordering::Relaxed) == 1 { gst::PadProbeReturn::Remove } else { gst::PadProbeReturn::Ok }
    });
}
