// SPDX-License-Identifier: MPL-2.0
//! The way in: frames are kept, and go on.

use std::sync::Arc;

use gst::subclass::prelude::*;

use super::LoopMode;
use super::imp::AvatarLoop;
use super::imp::CAT;
use super::kept::{Kept, most_waiting};
use super::preview::{self, Passing};
use super::replay::Arrival;
use super::settings::Settings;
use super::state::Clip;
use super::store::{Store, StoreError, plain};
use super::upstream;
use crate::moment::{Moment, next_clip};

impl AvatarLoop {
    pub(super) fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.mode() == LoopMode::None {
            return if self.previews() { self.pass(self.play_once(buffer)) } else { self.push(buffer) };
        }
        if let Some(clip) = self.clip() {
            return self.arrive(&clip, &buffer);
        }
        let previews = self.previews();
        match self.record(buffer, previews)? {
            Some(passing) if previews => self.pass(passing),
            Some(passing) => self.push(passing.frame),
            None => Ok(gst::FlowSuccess::Ok),
        }
    }

    /// A frame of a clip that is not repeated, which is to be looked at.
    pub(super) fn play_once(&self, mut frame: gst::Buffer) -> Passing {
        let memory = self.settings.lock().limits.memory;
        let mut state = self.state.lock();
        let (clip, next) = state.once.get_or_insert_with(|| (next_clip(), 0));
        let moment = Moment { clip: *clip, frame: *next };
        *next += 1;
        drop(state);
        moment.mark(frame.make_mut());
        let most = memory / preview::SHARE / (frame.size() as u64).max(1);
        Passing {
            kept: frame.copy_deep().ok(),
            frame,
            most: usize::try_from(most).unwrap_or(usize::MAX).min(preview::MOST),
        }
    }

    pub(super) fn clip(&self) -> Option<Arc<Clip>> {
        self.state.lock().clip.clone()
    }

    /// A frame of a clip that is being decoded again.
    pub(super) fn arrive(&self, clip: &Clip, buffer: &gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (info, place) = {
            let state = self.state.lock();
            (
                state.info.as_ref().map(|(info, _)| info.clone()),
                state.input.as_ref().and_then(|s| place(s, buffer.pts())),
            )
        };
        let (Some(info), Some(replay)) = (info, clip.replay()) else { return Err(gst::FlowError::Eos) };
        let Some(frame) = plain(&info, buffer) else { return Err(self.store_failed(StoreError::Frame)) };
        match replay.arrive(place, frame) {
            Arrival::Taken => Ok(gst::FlowSuccess::Ok),
            Arrival::Enough => Err(gst::FlowError::Eos),
            Arrival::Stopped => Err(gst::FlowError::Flushing),
        }
    }

    /// Whether the clip that begins is longer than memory holds. Asks upstream, so no lock may be held.
    pub(super) fn is_too_long(&self) -> bool {
        let limits = self.settings.lock().limits;
        let (Some(size), Some(nominal)) = ({
            let state = self.state.lock();
            let info = state.info.as_ref();
            (info.map(|(info, _)| info.size() as u64), info.map(|(_, nominal)| *nominal).filter(|n| *n > 0))
        }) else {
            return false;
        };
        let frames = upstream::duration(&self.sinkpad).map_or(0, |duration| duration.nseconds() / nominal);
        frames.saturating_mul(size) > limits.memory
    }

    /// Keeps a frame and returns it with its time in the output's segment; `None` where its segment does not show it. `waits`: it may wait.
    pub(super) fn record(&self, mut buffer: gst::Buffer, waits: bool) -> Result<Option<Passing>, gst::FlowError> {
        let Settings { mode, limits } = *self.settings.lock();
        let begins = self.state.lock().kept.is_none();
        let replayable = begins && upstream::can_be_replayed(&self.sinkpad);
        let too_long = replayable && self.is_too_long();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let (Some((info, nominal)), Some(input), Some(output)) = (&state.info, &state.input, &state.output) else {
            return Err(gst::FlowError::NotNegotiated);
        };
        let at = place(input, buffer.pts());
        let pts = match buffer.pts() {
            Some(pts) => {
                let Some((start, _)) = input.clip(pts, buffer.duration().map(|d| pts + d)) else { return Ok(None) };
                input.to_running_time(start).and_then(|time| output.position_from_running_time(time))
            }
            None => match state.pts.last() {
                Some(last) => Some(gst::ClockTime::from_nseconds(last + state.last_duration.unwrap_or(*nominal))),
                None => output.start(),
            },
        };
        let Some(pts) = pts else { return Ok(None) };

        if begins {
            state.replayable = replayable;
        }
        // A frame without a time is where the one before it ends.
        let next = state.places.last().map_or(0, |last| last + state.last_duration.unwrap_or(*nominal).max(1));
        let at = at.unwrap_or(next).max(state.places.last().map_or(0, |last| last + 1));
        state.places.push(at);
        let (clip, kept) = state.kept.get_or_insert_with(|| (next_clip(), Kept::All(Store::new(info.clone(), limits))));
        let full = matches!(kept, Kept::All(store) if !store.has_room());
        if state.replayable && (too_long || full) {
            gst::info!(CAT, imp = self, "the clip is longer than max-memory holds: its frames will be decoded again");
            kept.shrink(mode, limits);
        }
        if let Err(error) = kept.push(&buffer) {
            drop(guard);
            return Err(self.store_failed(error));
        }
        let moment = Moment { clip: *clip, frame: state.pts.len() as u64 };
        let (kept, most) = match kept {
            _ if !waits => (None, 0),
            // Those in memory, which are shared.
            Kept::All(store) if store.has_room() => (store.get(state.pts.len()).ok(), preview::MOST),
            Kept::All(_) => (None, 0),
            Kept::Ends(_) => (plain(info, &buffer), most_waiting(limits, info.size()).min(preview::MOST)),
        };
        state.pts.push(pts.nseconds());
        state.last_duration = buffer.duration().map(|d| d.nseconds());
        drop(guard);
        let frame = buffer.make_mut();
        frame.set_pts(pts);
        moment.mark(frame);
        let kept = kept.map(|mut kept| {
            moment.mark(kept.make_mut());
            kept
        });
        Ok(Some(Passing { frame: buffer, kept, most }))
    }

    pub(super) fn store_failed(&self, error: StoreError) -> gst::FlowError {
        let text = error.to_string();
        match error {
            StoreError::Full(_) => gst::element_imp_error!(self, gst::ResourceError::NoSpaceLeft, ("{text}")),
            StoreError::Frame => gst::element_imp_error!(self, gst::StreamError::Format, ("{text}")),
            StoreError::Spool(_) => gst::element_imp_error!(self, gst::ResourceError::OpenReadWrite, ("{text}")),
        }
        gst::FlowError::Error
    }
}

/// Stream time of a frame, ns.
pub fn place(segment: &gst::FormattedSegment<gst::ClockTime>, pts: Option<gst::ClockTime>) -> Option<u64> {
    segment.to_stream_time(pts?).map(|time| time.nseconds())
}
