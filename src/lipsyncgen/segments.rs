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

/// Whether the pad's segment has such an end: it has where it was asked for, and may where it is not known yet.
fn has_an_end(pad: &gst_base::AggregatorPad) -> bool {
    let segment = pad.segment();
    !pad.is_eos() && (segment.flags().contains(gst::SegmentFlags::SEGMENT) || segment.format() != gst::Format::Time)
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

    /// The aggregator makes a buffer of this GAP: where it is an end, that is at the front of the pad now.
    pub(super) fn take_gap(&self, pad: &gst_base::AggregatorPad, gap: gst::Event) -> bool {
        let is_end = gap.structure().is_some_and(|structure| structure.has_field(END));
        let taken = self.parent_sink_event(pad, gap);
        // A flush may have come in between.
        if is_end && pad.peek_buffer().is_some_and(|buffer| buffer.size() == 0) {
            gst::debug!(CAT, obj = pad, "the segment is over; {}", self.levels());
            let segments = &mut self.state.lock().segments;
            *(if *pad == self.video { &mut segments.picture } else { &mut segments.sound }) = true;
        }
        taken
    }

    /// Beside a picture whose segment has no end, the sound goes on behind that of its own.
    pub(super) fn leave_sound_alone(&self) {
        if self.state.lock().segments.sound && !has_an_end(&self.video) {
            self.drop_end_of_sound();
        }
    }

    /// Goes on behind the end of the picture's segment, which is at the front of its pad, where no frame is held and the sound's is over too.
    pub(super) fn leave_segments(&self, loaded: &Loaded, held: usize) {
        let (picture, sound) = {
            let segments = &self.state.lock().segments;
            (segments.picture, segments.sound)
        };
        if !picture || held > 0 {
            return;
        }
        if !sound && self.features.lock().as_ref().is_some_and(has_an_end) {
            // No frame wants the rows that are left, and behind them is the end of the sound's.
            self.let_rows_go(loaded);
            return;
        }
        self.state.lock().segments.picture = false;
        self.video.drop_buffer();
        if sound {
            self.drop_end_of_sound();
        }
    }

    fn drop_end_of_sound(&self) {
        let features = self.features.lock().clone();
        {
            let state = &mut *self.state.lock();
            state.segments.sound = false;
            if let Some(rows) = &mut state.rows {
                rows.go_on();
            }
        }
        if let Some(pad) = features {
            pad.drop_buffer();
        }
    }
}
