// SPDX-License-Identifier: MPL-2.0
//! The clip that is complete goes on by itself, on the source pad's task.

use std::sync::Arc;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{AvatarLoop, CAT};
use super::kept::Kept;
use super::order::{Order, Step};
use super::replay::{Replay, ReplayError};
use super::state::{Clip, Frames};
use crate::moment::Moment;

impl AvatarLoop {
    /// The clip is complete: goes on by itself, unless there is nothing to show or nobody to show it to.
    pub(super) fn start_looping(&self) -> bool {
        {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            if state.ended || state.clip.is_some() {
                return false;
            }
            let (Some((number, kept)), Some((_, nominal))) = (state.kept.take(), &state.info) else { return false };
            let Some(order) = Order::new(self.mode(), &state.pts, state.last_duration, *nominal) else { return false };
            state.next = state.pts.len() as u64;
            let frames = match kept {
                Kept::All(store) => Frames::Stored(store),
                Kept::Ends(ends) => {
                    let places = std::mem::take(&mut state.places);
                    let (ready, most) = ends.into_ready();
                    let next = state.next + ready.len() as u64;
                    Frames::Replayed(Replay::new(places, most, ready, next))
                }
            };
            gst::debug!(
                CAT,
                imp = self,
                "{} frames, {}",
                state.pts.len(),
                match &frames {
                    Frames::Stored(store) => format!("kept, of {} bytes each", store.info().size()),
                    Frames::Replayed(_) => "decoded again".into(),
                }
            );
            state.clip = Some(Arc::new(Clip { number, frames, order }));
        }
        let weak = self.downgrade();
        let started = self.srcpad.start_task(move || {
            if let Some(this) = weak.upgrade() {
                this.produce();
            }
        });
        started.is_ok()
    }

    /// Goes to a place in the clip, upstream. What comes from there arrives by itself.
    pub(super) fn seek(&self, place: u64) -> bool {
        let start = gst::ClockTime::from_nseconds(place);
        let seqnum = gst::Seqnum::next();
        // To the end: who is told to stop at a frame may leave out those before it that are stored behind it.
        let seek = gst::event::Seek::builder(
            1.0,
            gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
            gst::SeekType::Set,
            start,
            gst::SeekType::Set,
            gst::ClockTime::NONE,
        );
        *self.sought.lock() = Some(seqnum);
        gst::debug!(CAT, imp = self, "decodes again from {start}");
        self.sinkpad.push_event(seek.seqnum(seqnum).build())
    }

    /// The frame for a step that follows the one before.
    pub(super) fn frame(&self, clip: &Clip, step: &Step) -> Result<gst::Buffer, gst::FlowError> {
        match &clip.frames {
            Frames::Stored(store) => store.get(step.frame).map_err(|error| self.store_failed(error)),
            Frames::Replayed(replay) => match replay.take(&clip.order, |place| self.seek(place)) {
                Ok(frame) => Ok(frame),
                Err(ReplayError::Stopped) => Err(gst::FlowError::Flushing),
                Err(error @ (ReplayError::Seek | ReplayError::Nothing)) => {
                    gst::element_imp_error!(
                        self,
                        gst::ResourceError::Seek,
                        (
                            "The clip cannot be decoded again: {}. Raise max-memory to keep it, or play it once with mode=none",
                            if error == ReplayError::Seek {
                                "what feeds avatarloop refuses to go back"
                            } else {
                                "nothing comes"
                            }
                        )
                    );
                    Err(gst::FlowError::Error)
                }
            },
        }
    }

    /// Pushes one frame; the task calls this for ever.
    pub(super) fn produce(&self) {
        let (clip, k) = {
            let mut state = self.state.lock();
            let k = state.next;
            state.next += 1;
            (state.clip.clone(), k)
        };
        let Some(clip) = clip else {
            let _ = self.srcpad.pause_task();
            return;
        };
        let step = clip.order.at(k);
        let mut buffer = match self.frame(&clip, &step) {
            Ok(buffer) => buffer,
            Err(error) => {
                let _ = self.srcpad.pause_task();
                if error != gst::FlowError::Flushing {
                    self.srcpad.push_event(gst::event::Eos::new());
                }
                return;
            }
        };
        let frame = buffer.make_mut();
        frame.set_pts(gst::ClockTime::from_nseconds(step.pts));
        frame.set_duration(gst::ClockTime::from_nseconds(step.duration));
        Moment { clip: clip.number, frame: step.frame as u64 }.mark(frame);
        let pushed = self.srcpad.push(buffer);
        let Err(error) = pushed else { return };
        gst::debug!(CAT, imp = self, "ends at frame {k}: {error}");
        let _ = self.srcpad.pause_task();
        match error {
            gst::FlowError::Flushing => return,
            gst::FlowError::Eos => {}
            error => gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("Internal data stream error."),
                ["streaming stopped, reason {error}"]
            ),
        }
        self.srcpad.push_event(gst::event::Eos::new());
    }
}
