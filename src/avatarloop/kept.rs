// SPDX-License-Identifier: MPL-2.0
//! What is kept of a clip while it is played for the first time: all of it, or, where it can be decoded again, the frames that are
//! shown first when it is repeated.

use std::collections::VecDeque;

use super::LoopMode;
use super::store::{Limits, Store, StoreError, plain};

/// Of `max-memory`, for the frames of a clip that is decoded again: decoders and encoders of large pictures need a lot beside.
const SHARE: u64 = 12;

/// As few frames as that are never enough to hide a seek.
const FEWEST: usize = 4;

/// The limit of frames of that size that wait while a clip is decoded again.
pub fn most_waiting(limits: Limits, size: usize) -> usize {
    usize::try_from(limits.memory / SHARE / size.max(1) as u64).unwrap_or(usize::MAX).clamp(FEWEST, 1000)
}

pub enum Kept {
    All(Store),
    Ends(Ends),
}

impl Kept {
    pub fn push(&mut self, buffer: &gst::BufferRef) -> Result<(), StoreError> {
        match self {
            Self::All(store) => store.push(buffer),
            Self::Ends(ends) if !ends.wants_more() => Ok(()),
            Self::Ends(ends) => {
                let frame = plain(&ends.info, buffer).ok_or(StoreError::Frame)?;
                ends.push(frame);
                Ok(())
            }
        }
    }

    /// Lets go of what need not be kept.
    pub fn shrink(&mut self, mode: LoopMode, limits: Limits) {
        if let Self::All(store) = self {
            let mut ends = Ends::new(mode, limits, store.info().clone());
            store.drain().for_each(|frame| ends.push(frame));
            *self = Self::Ends(ends);
        }
    }
}

/// The first frames of a clip, or the last ones where it turns there.
pub struct Ends {
    info: gst_video::VideoInfo,
    last: bool,
    most: usize,
    frames: VecDeque<gst::Buffer>,
}

impl Ends {
    pub fn new(mode: LoopMode, limits: Limits, info: gst_video::VideoInfo) -> Self {
        let most = most_waiting(limits, info.size());
        Self { info, last: mode == LoopMode::Pingpong, most, frames: VecDeque::new() }
    }

    fn wants_more(&self) -> bool {
        self.last || self.frames.len() < self.most
    }

    fn push(&mut self, frame: gst::Buffer) {
        if self.frames.len() < self.most {
            self.frames.push_back(frame);
        } else if self.last {
            self.frames.pop_front();
            self.frames.push_back(frame);
        }
    }

    /// In the order in which they are shown after the clip's last frame, and how many may wait.
    pub fn into_ready(self) -> (VecDeque<gst::Buffer>, usize) {
        let mut frames = self.frames;
        if self.last {
            // The last frame has just been shown, and the first begins the way forward.
            frames.pop_back();
            frames = frames.into_iter().rev().collect();
        }
        (frames, self.most)
    }
}
