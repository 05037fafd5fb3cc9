// SPDX-License-Identifier: MPL-2.0
//! What is known of the stream, and the clip once it is complete.

use std::sync::Arc;

use super::kept::Kept;
use super::order::Order;
use super::preview::Preview;
use super::replay::Replay;
use super::store::Store;

/// A clip that is complete.
pub struct Clip {
    pub number: u64,
    pub frames: Frames,
    pub order: Order,
}

pub enum Frames {
    Stored(Store),
    Replayed(Replay<gst::Buffer>),
}

impl Clip {
    pub fn replay(&self) -> Option<&Replay<gst::Buffer>> {
        match &self.frames {
            Frames::Stored(_) => None,
            Frames::Replayed(replay) => Some(replay),
        }
    }
}

#[derive(Default)]
pub struct State {
    /// Of the last stream's start.
    pub stream: Option<gst::Seqnum>,
    /// Of the caps that were sent on, and how long one of their frames lasts.
    pub info: Option<(gst_video::VideoInfo, u64)>,
    /// What arriving times mean.
    pub input: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// The one segment that was sent on. It is the input's unless that changed in the middle.
    pub output: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// The clip that is being played for the first time, and its number.
    pub kept: Option<(u64, Kept)>,
    /// When its frames are shown, in the output's segment.
    pub pts: Vec<u64>,
    /// Where they are in the clip.
    pub places: Vec<u64>,
    /// Nobody but this element would notice if the clip was decoded again.
    pub replayable: bool,
    pub last_duration: Option<u64>,
    pub preview: Preview,
    /// Of a clip that is played once: its number, and how many of its frames have come.
    pub once: Option<(u64, u64)>,
    /// Nobody downstream wants more.
    pub ended: bool,
    pub clip: Option<Arc<Clip>>,
    /// Number of the next frame of the endless picture.
    pub next: u64,
}

impl State {
    /// Forgets the stream, but not its caps: they stay valid over a flush.
    pub fn reset(&mut self) {
        self.stop();
        self.preview.flush();
        let preview = std::mem::take(&mut self.preview);
        *self = Self { stream: self.stream, info: self.info.take(), preview, ..Self::default() };
    }

    pub fn recording(&self) -> bool {
        !self.pts.is_empty()
    }

    /// Nobody waits for frames that are decoded again any more.
    pub fn stop(&self) {
        if let Some(replay) = self.clip.as_ref().and_then(|clip| clip.replay()) {
            replay.stop();
        }
    }
}
