// SPDX-License-Identifier: MPL-2.0
//! Keeps count of the buffers between two pads: every one that enters leaves once, in order, with its time as it was, whole or in
//! pieces that follow each other. Only a flush, a stop or a break in the line excuses one that does not.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use gst::ClockTime;
use gst::prelude::*;
use parking_lot::Mutex;

use crate::watch;

/// Marks a buffer's number, which travels with it.
static NUMBER: LazyLock<gst::Caps> = LazyLock::new(|| gst::Caps::new_empty_simple("timestamp/x-chaos"));

struct Entry {
    number: u64,
    pts: Option<ClockTime>,
    duration: Option<ClockTime>,
    /// How much of it has left, where it leaves in pieces.
    gone: ClockTime,
    excused: bool,
}

/// What a buffer that leaves is of the one that entered.
enum Part {
    Piece,
    /// All of it, or its end.
    Last,
    Other,
}

impl Entry {
    fn part(&self, buffer: &gst::BufferRef) -> Part {
        let is_whole = (self.pts, self.duration) == (buffer.pts(), buffer.duration());
        if is_whole && self.gone == ClockTime::ZERO {
            return Part::Last;
        }
        let (Some(pts), Some(all), Some(at), Some(lasts)) = (self.pts, self.duration, buffer.pts(), buffer.duration())
        else {
            return Part::Other;
        };
        let near = |a: ClockTime, b: ClockTime| a.absdiff(b) <= ClockTime::from_mseconds(1);
        let end = self.gone + lasts;
        match () {
            _ if !near(pts + self.gone, at) => Part::Other,
            _ if near(end, all) => Part::Last,
            _ if end < all => Part::Piece,
            _ => Part::Other,
        }
    }
}

#[derive(Default)]
struct Book {
    next: u64,
    inside: VecDeque<Entry>,
    left: u64,
    /// What enters now may be lost: something is being flushed, stopped or linked anew.
    open: bool,
    faults: Vec<String>,
}

#[derive(Clone)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    what: &'static str,
}

impl Ledger {
    /// Counts from `entrance` to `exit`. Where `all_by_the_end`, nothing may be inside when the stream ends.
    pub fn new(what: &'static str, entrance: &gst::Pad, exit: &gst::Pad, all_by_the_end: bool) -> Self {
        let ledger = Self { book: Arc::default(), what };
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH | gst::PadProbeType::EVENT_DOWNSTREAM;
        let enters = ledger.clone();
        entrance.add_probe(kinds, move |_, info| {
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => enters.enter(buffer),
                Some(gst::PadProbeData::Event(event)) => match event.type_() {
                    gst::EventType::FlushStart => enters.open(),
                    gst::EventType::FlushStop => enters.close(),
                    _ => {}
                },
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        let leaves = ledger.clone();
        exit.add_probe(kinds, move |_, info| {
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => leaves.leave(buffer),
                Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Eos && all_by_the_end => {
                    leaves.end()
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        ledger
    }

    fn enter(&self, buffer: &mut gst::Buffer) {
        let mut book = self.book.lock();
        let number = book.next;
        book.next += 1;
        let excused = book.open;
        book.inside.push_back(Entry {
            number,
            pts: buffer.pts(),
            duration: buffer.duration(),
            gone: ClockTime::ZERO,
            excused,
        });
        let time = ClockTime::from_nseconds(number);
        gst::ReferenceTimestampMeta::add(buffer.make_mut(), &NUMBER, time, ClockTime::NONE);
    }

    fn leave(&self, buffer: &gst::Buffer) {
        watch::moved();
        let mut metas = buffer.iter_meta::<gst::ReferenceTimestampMeta>();
        let number = metas.find(|meta| meta.reference() == &**NUMBER).map(|meta| meta.timestamp().nseconds());
        let mut book = self.book.lock();
        book.left += 1;
        let Some(number) = number else { return self.fault(&mut book, "a buffer left that did not enter".into()) };
        if book.inside.iter().all(|entry| entry.number != number) {
            return self.fault(&mut book, format!("buffer {number} left twice, or after a later one"));
        }
        while let Some(mut entry) = book.inside.pop_front() {
            if entry.number == number {
                match entry.part(buffer) {
                    Part::Last => {}
                    Part::Piece => {
                        entry.gone += buffer.duration().unwrap_or_default();
                        book.inside.push_front(entry);
                    }
                    Part::Other => {
                        let now = (buffer.pts(), buffer.duration());
                        let text = format!("buffer {number} changed from {:?} to {now:?}", (entry.pts, entry.duration));
                        self.fault(&mut book, text);
                    }
                }
                return;
            }
            if !entry.excused {
                let text = format!("buffer {} (pts {:?}) is lost: {number} left", entry.number, entry.pts);
                self.fault(&mut book, text);
            }
        }
    }

    fn end(&self) {
        let mut book = self.book.lock();
        // Who has been told that the stream is over in the middle of a buffer need not send the rest of it.
        let inside = book.inside.iter().filter(|entry| !entry.excused && entry.gone == ClockTime::ZERO);
        let lost: Vec<u64> = inside.map(|entry| entry.number).collect();
        if !lost.is_empty() {
            self.fault(&mut book, format!("buffers {lost:?} are lost: the stream ended"));
        }
    }

    fn fault(&self, book: &mut Book, text: String) {
        book.faults.push(format!("{}: {text}", self.what));
    }

    /// From now on what is inside and what enters may be lost.
    pub fn open(&self) {
        let mut book = self.book.lock();
        book.open = true;
        book.inside.iter_mut().for_each(|entry| entry.excused = true);
    }

    /// What enters from now on must leave.
    pub fn close(&self) {
        self.book.lock().open = false;
    }

    /// Everything has stopped; nothing is inside any more.
    pub fn forget(&self) {
        self.book.lock().inside.clear();
    }

    /// What was wrong is explained by an error.
    pub fn excuse(&self) {
        self.book.lock().faults.clear();
    }

    /// How many have left.
    pub fn left(&self) -> u64 {
        self.book.lock().left
    }

    pub fn faults(&self) -> Vec<String> {
        self.book.lock().faults.clone()
    }
}
