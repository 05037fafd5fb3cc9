// SPDX-License-Identifier: MPL-2.0
//! The way in: frames and rows are taken from the pads, no faster than they can be used.

use std::time::Instant;

use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::imp::{FRAME, LipsyncGen};
use super::loaded::Loaded;
use super::state::{Frame, Item, Rate};
use crate::face_meta::pool_limit;

/// ns; longer than any queue before this element holds.
const KEPT_FOR_LATE_FRAMES: i64 = 2_000_000_000;

/// Buffers that a source needs besides those that wait here: one to fill, one on its way, one behind this element.
const SPARE: usize = 3;

impl LipsyncGen {
    /// Takes one frame from the video pad where there is room for it.
    pub(super) fn take_frame(&self, capacity: usize) {
        {
            let state = self.state.lock();
            if state.segments.picture || state.frames().count() >= capacity {
                return;
            }
        }
        let Some(buffer) = self.video.pop_buffer() else { return };
        if buffer.size() == 0 && buffer.flags().contains(gst::BufferFlags::GAP) {
            // What the aggregator makes of a GAP event: there is no picture in it.
            return;
        }
        let buffer = not_withheld(buffer, capacity);
        let time = self.time_of(&buffer);
        let mut state = self.state.lock();
        let duration = buffer.duration().or(state.frame_duration).unwrap_or(FRAME);
        let end = buffer.pts().map(|pts| pts + duration);
        state.items.push_back(Item::Frame(Frame { buffer, time, end }));
    }

    /// The running time of a frame, ns; `None` where it has none, or is played backwards.
    pub(super) fn time_of(&self, frame: &gst::BufferRef) -> Option<i64> {
        let segment = self.video.segment().downcast::<gst::ClockTime>().ok()?;
        if segment.rate() < 0.0 {
            return None;
        }
        running_time(&segment, frame.pts()?)
    }

    /// Nobody speaks backwards: frames go on as they are, and rows are let go. Says so once.
    fn backwards(&self, features: &gst_base::AggregatorPad) -> bool {
        let backwards = |pad: &gst_base::AggregatorPad| pad.segment().rate() < 0.0;
        if !backwards(&self.video) && !backwards(features) {
            return false;
        }
        if !std::mem::replace(&mut self.state.lock().told_backwards, true) {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Failed,
                ("what is played backwards gets no lips; the picture goes on as it is")
            );
        }
        true
    }

    /// Takes rows from the features pad as long as one of the next `batch` frames needs them.
    ///
    /// A buffer whose rows were taken stays on the pad until the next is needed: an aggregator is called only while all its
    /// pads have something, and rows that are here must be enough to go on, whatever the sound does next.
    pub(super) fn take_features(&self, loaded: &Loaded, av_offset: i64, batch: usize) {
        let Some(pad) = self.features.lock().clone() else {
            if let Some(rows) = &mut self.state.lock().rows {
                rows.end();
            }
            return;
        };
        if self.backwards(&pad) {
            while !self.state.lock().segments.sound && pad.drop_buffer() {}
            return;
        }
        loop {
            let taken = {
                let mut state = self.state.lock();
                // The latest of them: times may step back, at the seam of a loop for example.
                let latest =
                    state.frames().take(batch).filter_map(|f| f.time).max().map(|t| state.rate.in_sound(t - av_offset));
                let (interrupted, over) = (state.interrupted, state.segments.sound);
                let Some(rows) = &mut state.rows else { return };
                if pad.is_eos() || over {
                    rows.end();
                    return;
                }
                let ready = latest.is_none_or(|t| loaded.windows.iter().all(|w| rows.is_ready(t, *w)));
                if ready && !interrupted {
                    return;
                }
                std::mem::take(&mut state.front_taken)
            };
            if taken {
                pad.drop_buffer();
            }
            let Some(buffer) = pad.peek_buffer() else { return };
            self.take_rows(&pad, &buffer, loaded);
            self.state.lock().front_taken = true;
        }
    }

    /// Live and without a frame: when the rows at the front of the pad should be out of the way.
    pub(super) fn rows_due(&self) -> Option<gst::ClockTime> {
        let pad = self.features.lock().clone()?;
        let buffer = pad.peek_buffer().filter(|_| !self.state.lock().segments.sound)?;
        let end = buffer.pts()?.saturating_add(buffer.duration().unwrap_or_default());
        pad.segment().downcast::<gst::ClockTime>().ok()?.to_running_time(end)
    }

    /// Takes the rows at the front of the pad although no frame wants them: a picture that has stopped must not stop the sound,
    /// which goes through the same tee. They stay for a while, for frames that are late.
    pub(super) fn let_rows_go(&self, loaded: &Loaded) {
        let Some((pad, buffer)) = self.features.lock().clone().and_then(|pad| Some((pad.clone(), pad.peek_buffer()?)))
        else {
            return;
        };
        let taken = {
            let mut state = self.state.lock();
            if state.segments.sound {
                return;
            }
            std::mem::take(&mut state.front_taken)
        };
        if !taken {
            self.take_rows(&pad, &buffer, loaded);
        }
        pad.drop_buffer();
        if let Some(rows) = &mut self.state.lock().rows
            && let Some(end) = rows.known_until()
        {
            rows.forget(end.saturating_sub(KEPT_FOR_LATE_FRAMES), loaded.reach);
        }
    }

    fn take_rows(&self, pad: &gst_base::AggregatorPad, buffer: &gst::Buffer, loaded: &Loaded) {
        let width = loaded.model.manifest.audiofeatures.width();
        let Ok(map) = buffer.map_readable() else { return };
        // A GAP event arrives as an empty buffer: no rows, the next buffer starts a new stretch by its offset.
        if map.is_empty() || map.len() % (width * 4) != 0 {
            return;
        }
        let Ok(segment) = pad.segment().downcast::<gst::ClockTime>() else { return };
        let rate = Rate(segment.rate().abs());
        let Some(time) = buffer.pts().and_then(|pts| running_time(&segment, pts)) else { return };
        let numbers: Vec<f32> = map.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        let silent = buffer.flags().contains(gst::BufferFlags::GAP);
        let offset = i64::try_from(buffer.offset()).unwrap_or(0);
        let mut state = self.state.lock();
        (state.heard, state.rate) = (Some(Instant::now()), rate);
        // What was on its way when the interruption came belongs to the old sentence; the new one starts a new stretch.
        state.interrupted &= !discont;
        if !state.interrupted
            && let Some(rows) = &mut state.rows
        {
            rows.push(rate.in_sound(time), offset, discont, silent, &numbers);
            state.hush.heard(&numbers, width, silent);
        }
    }

    /// How many of the waiting frames, from the oldest, no further row can change.
    pub(super) fn ready_frames(&self, loaded: &Loaded, av_offset: i64) -> (usize, usize) {
        let state = self.state.lock();
        let ready = |frame: &&Frame| state.is_ready(frame.time, &loaded.windows, av_offset);
        (state.frames().take_while(ready).count(), state.frames().count())
    }

    /// Takes the oldest `count` frames, and the caps and segments between them, out of the queue.
    pub(super) fn take_items(&self, count: usize) -> Vec<Item> {
        let mut state = self.state.lock();
        let (mut items, mut frames) = (Vec::new(), 0);
        while let Some(item) = state.items.front() {
            if matches!(item, Item::Frame(_)) {
                if frames == count {
                    break;
                }
                frames += 1;
            }
            items.extend(state.items.pop_front());
        }
        items
    }
}

/// The frame, or a copy where its source has so few buffers that it would have none left with `capacity` of them waiting here.
fn not_withheld(buffer: gst::Buffer, capacity: usize) -> gst::Buffer {
    match pool_limit(&buffer) {
        Some(most) if (most as usize) < capacity + SPARE => buffer.copy_deep().unwrap_or(buffer),
        _ => buffer,
    }
}

/// Running time in ns, negative before the segment's start; `None` where it has none.
fn running_time(segment: &gst::FormattedSegment<gst::ClockTime>, pts: gst::ClockTime) -> Option<i64> {
    match segment.to_running_time_full(pts)? {
        gst::Signed::Positive(time) => i64::try_from(time.nseconds()).ok(),
        gst::Signed::Negative(time) => i64::try_from(time.nseconds()).ok().map(|t| -t),
    }
}
