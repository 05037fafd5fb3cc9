// SPDX-License-Identifier: MPL-2.0
//! The first frames of a clip wait until those downstream who remember mouths have looked at them: so the first that is played already has
//! this person's own teeth. Where the clip is kept anyway, all of it is looked at.

use std::collections::VecDeque;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{AvatarLoop, CAT};
use super::upstream;
use crate::preview;

/// Enough to know a mouth: 10 s at 25 frames a second.
pub const MOST: usize = 250;

/// Of `max-memory`, for frames that are not kept anyway.
pub const SHARE: u64 = 4;

/// Whether frames wait.
#[derive(Default)]
pub enum Preview {
    /// The first has not come.
    #[default]
    Unasked,
    Waiting(VecDeque<gst::Buffer>),
    Over,
}

impl Preview {
    /// Nobody looks any more. The frames that waited.
    pub fn end(&mut self) -> VecDeque<gst::Buffer> {
        let Self::Waiting(frames) = self else { return VecDeque::new() };
        let frames = std::mem::take(frames);
        *self = Self::Over;
        frames
    }

    /// After a flush; only the first clip is looked at, before anything is played.
    pub fn flush(&mut self) {
        if !matches!(self, Self::Unasked) {
            *self = Self::Over;
        }
    }
}

/// A frame on its way.
pub struct Passing {
    pub frame: gst::Buffer,
    /// Its pixels where it is kept, and may wait.
    pub kept: Option<gst::Buffer>,
    /// So many frames may wait.
    pub most: usize,
}

impl AvatarLoop {
    /// Whether the next frame is to be looked at, before it is played. Asks upstream, so no lock may be held.
    pub(super) fn previews(&self) -> bool {
        match self.state.lock().preview {
            Preview::Unasked => {}
            Preview::Waiting(_) => return true,
            Preview::Over => return false,
        }
        // What is made while it is played cannot be had earlier.
        let looks = upstream::is_recorded(&self.sinkpad);
        gst::debug!(CAT, imp = self, "shown before it is played, to those who want it: {looks}");
        self.state.lock().preview = if looks { Preview::Waiting(VecDeque::new()) } else { Preview::Over };
        looks
    }

    /// Pushes a frame, or lets it wait.
    pub(super) fn pass(&self, passing: Passing) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Passing { frame, kept, most } = passing;
        let waits = kept.zip(self.srcpad.current_caps()).and_then(|(mut kept, caps)| {
            {
                let kept = kept.make_mut();
                kept.set_pts(frame.pts());
                kept.set_duration(frame.duration());
                kept.set_flags(frame.flags());
            }
            preview::show(&self.srcpad, &kept, &caps).then_some(kept)
        });
        let Some(waits) = waits else {
            self.release()?;
            return self.push(frame);
        };
        let full = match &mut self.state.lock().preview {
            Preview::Waiting(frames) => {
                frames.push_back(waits);
                frames.len() >= most
            }
            // A flush has come.
            Preview::Unasked | Preview::Over => return Err(gst::FlowError::Flushing),
        };
        if full { self.release() } else { Ok(gst::FlowSuccess::Ok) }
    }

    /// Pushes what waits.
    pub(super) fn release(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let frames = self.state.lock().preview.end();
        if !frames.is_empty() {
            gst::debug!(CAT, imp = self, "{} frames were looked at before they are played", frames.len());
        }
        for frame in frames {
            self.push(frame)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    pub(super) fn push(&self, frame: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.srcpad.push(frame).inspect_err(|_| self.state.lock().ended = true)
    }
}
