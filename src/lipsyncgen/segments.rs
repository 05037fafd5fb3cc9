// SPDX-License-Identifier: MPL-2.0
//! The end of a segment that is not the end of the stream (SEGMENT_DONE), as applications have it that loop a clip without a hole: the
//! frames that are held get their last rows and leave, then the event follows them.
//!
//! The aggregator calls only while there is something on all pads, and behind a SEGMENT_DONE nothing comes until the application has
//! sought. So a GAP goes before the event, of which the aggregator makes an empty buffer: it stays at the front of the pad until the
//! other pad's segment is over too, and neither side gets ahead of the other by a segment.

use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::CAT;
use super::imp::LipsyncGen;
use super::loaded::Loaded;

/// The GAP that stands for the end of a segment.
const END: &str = "lipsync-segment-end";

/// Where the end of a segment is at the front of a pad.
#[derive(Default)]
pub struct Segments {
    pub picture: bool,
    pub sound: bool,
}

/// A SEGMENT_DONE comes only where the segment was asked for as such.
fn has_an_end(pad: &gst_base::AggregatorPad) -> bool {
    pad.segment().flags().contains(gst::SegmentFlags::SEGMENT) && !pad.is_eos()
}

impl LipsyncGen {
    /// Puts the end before a SEGMENT_DONE, on its way into the pad.
    pub(super) fn mark_end(&self, pad: &gst_base::AggregatorPad) {
        let segment = pad.sticky_event::<gst::event::Segment>(0);
        let Some(start) = segment.and_then(|s| s.segment().downcast_ref::<gst::ClockTime>()?.start()) else { return };
        // A time that cannot be outside the segment, where the aggregator would drop it.
        let end = gst::event::Gap::builder(start).other_field(END, true).build();
        // Refused where the pad is being flushed, and the end with all else.
        let _ = self.parent_sink_event_pre_queue(pad, end);
    }

    /// The aggregator makes a buffer of this GAP: is it an end?
    pub(super) fn see_end(&self, pad: &gst_base::AggregatorPad, gap: &gst::EventRef) {
        if !gap.structure().is_some_and(|structure| structure.has_field(END)) {
            return;
        }
        gst::debug!(CAT, obj = pad, "the segment is over; {}", self.levels());
        let segments = &mut self.state.lock().segments;
        *(if *pad == self.video { &mut segments.picture } else { &mut segments.sound }) = true;
    }

    /// Goes on behind the ends that are at the front of the pads, where `held` frames still wait for rows.
    pub(super) fn leave_segments(&self, loaded: &Loaded, held: usize) {
        let ends = |state: &Segments| (state.picture, state.sound);
        let (picture, sound) = ends(&self.state.lock().segments);
        if !picture && !sound || picture && held > 0 {
            return;
        }
        let features = self.features.lock().clone();
        if picture && !sound && features.as_ref().is_some_and(has_an_end) {
            // No frame wants the rows that are left, and behind them is the end of the sound's.
            self.let_rows_go(loaded);
            return;
        }
        if sound && !picture && has_an_end(&self.video) {
            return;
        }
        self.state.lock().segments = Segments::default();
        if picture {
            self.video.drop_buffer();
        }
        if sound && let Some(pad) = features {
            pad.drop_buffer();
        }
    }
}
