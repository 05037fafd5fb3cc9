// SPDX-License-Identifier: MPL-2.0
//! What the element holds while it runs: frames and what came between them, rows, and the mouths so far.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::hush::Hush;
use super::memory::Memory;
use super::mouth::Mouth;
use super::rest::Rest;
use super::segments::Segments;
use super::stats::Levels;
use super::summary::Summary;
use super::window::RowStore;
use crate::face_meta::{Face, RgbImage};
use crate::model::manifest::Rows;

/// Tracks whose first crop is kept: more than faces can be in one frame.
const MAX_REFERENCES: usize = 64;

pub struct Frame {
    pub buffer: gst::Buffer,
    /// Running time, ns; `None` outside the segment.
    pub time: Option<i64>,
    /// Where the output's position stands after this frame.
    pub end: Option<gst::ClockTime>,
}

/// What leaves in the order in which it came.
pub enum Item {
    Frame(Frame),
    Caps(gst::Caps),
    Segment(gst::Segment),
    SegmentDone(gst::Event),
}

/// How fast the sound is played, 1 = as it was recorded; more than 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

impl Default for Rate {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Rate {
    /// A running time on the sound's own scale, where a second of sound is a second however fast it is played.
    pub fn in_sound(self, time: i64) -> i64 {
        // Numbers that need no rounding stay as they are.
        if self.0 == 1.0 { time } else { (time as f64 * self.0).round() as i64 }
    }

    /// And back.
    pub fn in_running_time(self, time: i64) -> i64 {
        if self.0 == 1.0 { time } else { (time as f64 / self.0).round() as i64 }
    }
}

#[derive(Default)]
pub struct State {
    pub items: VecDeque<Item>,
    /// `None` until the model's rows are known. Their times are on the scale of `rate`.
    pub rows: Option<RowStore>,
    /// Of the sound's segment.
    pub rate: Rate,
    /// It was said that what is played backwards has no lips.
    pub told_backwards: bool,
    pub mouth: Mouth,
    pub rest: Rest,
    /// The first crop of each track, where the model wants it.
    pub references: HashMap<u32, Arc<RgbImage>>,
    /// What is remembered of each track's mouth, where the model wants it. A flush leaves it: faces that go on are the same.
    pub memory: Memory,
    pub frame_duration: Option<gst::ClockTime>,
    /// Bytes; 0 = not known.
    pub frame_size: usize,
    pub failing: bool,
    /// How often in a row the model did not come back from a run.
    pub hangs: u32,
    /// The rows of the buffer at the front of the features pad are in `rows` already.
    pub front_taken: bool,
    /// When rows last came.
    pub heard: Option<Instant>,
    /// Somebody speaks in the last frame that was sent.
    pub speaking: bool,
    /// When a late mouth was last spoken of, ns.
    pub told_late: Option<i64>,
    /// A frame was sent since the start or the last flush.
    pub begun: bool,
    /// Of all frames so far.
    pub summary: Summary,
    /// The stream has ended, and only a flush of everything begins another.
    pub over: bool,
    /// Everything is being flushed; what follows on one side may come before the other side has been through.
    pub seeking: bool,
    /// `lipsync-interrupt` came, the sound that follows it did not yet.
    pub interrupted: bool,
    pub hush: Hush,
    pub segments: Segments,
}

impl State {
    /// A flush drops frames and segments; caps hold on, because nobody sends them again.
    pub fn flush(&mut self) {
        self.items.retain(|item| matches!(item, Item::Caps(_)));
        self.mouth = Mouth::default();
        self.rest = Rest::default();
        self.hush = Hush::default();
        self.segments.picture = false;
        self.references.clear();
        self.begun = false;
    }

    /// Whether a late mouth at `time` is to be told on the bus: once a second at most.
    pub fn late_is_news(&mut self, time: Option<i64>) -> bool {
        let Some(time) = time else { return false };
        let known = self.told_late.is_some_and(|told| (told..told + 1_000_000_000).contains(&time));
        if !known {
            self.told_late = Some(time);
        }
        !known
    }

    /// The first crop of the face's track.
    pub fn reference(&mut self, face: &Face) -> Arc<RgbImage> {
        if self.references.len() >= MAX_REFERENCES && !self.references.contains_key(&face.track) {
            // Tracks are numbered as they come.
            let oldest = self.references.keys().min().copied();
            oldest.map(|track| self.references.remove(&track));
        }
        self.references.entry(face.track).or_insert_with(|| face.crop.clone()).clone()
    }

    pub fn levels(&self) -> Levels {
        Levels {
            frames: self.frames().count(),
            picture: self.frames().filter_map(|frame| frame.time).next_back(),
            sound: self.rows.as_ref().and_then(RowStore::known_until).map(|time| self.rate.in_running_time(time)),
        }
    }

    /// Whether no further row can change a frame at `time`, ns.
    pub fn is_ready(&self, time: Option<i64>, windows: &[Rows], av_offset: i64) -> bool {
        let (Some(time), Some(rows)) = (time, &self.rows) else { return true };
        let time = self.rate.in_sound(time - av_offset);
        windows.iter().all(|wanted| rows.is_ready(time, *wanted))
    }

    pub fn put_back_caps(&mut self, items: Vec<Item>) {
        for item in items.into_iter().rev().filter(|item| matches!(item, Item::Caps(_))) {
            self.items.push_front(item);
        }
    }

    pub fn frames(&self) -> impl DoubleEndedIterator<Item = &Frame> {
        self.items.iter().filter_map(|item| match item {
            Item::Frame(frame) => Some(frame),
            _ => None,
        })
    }
}
