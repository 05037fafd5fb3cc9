// SPDX-License-Identifier: MPL-2.0
//! The end of a segment that is no end of the stream (SEGMENT_DONE), as applications have it that loop a clip without a hole: what is
//! held goes on its way, and the sound does not wait for a picture that comes only when the application has sought again.
//!
//! The aggregator calls only while there is something on all pads. So what it makes of a GAP event keeps the place on the picture's
//! pad, until both sides are through or something follows.

use gst::Seqnum;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::imp::LipsyncGen;
use super::loaded::Loaded;

#[derive(Default)]
pub struct Segments {
    /// The picture's event, which waits for the frames that are held.
    done: Option<gst::Event>,
    /// The place is kept.
    pub kept: bool,
    /// The numbers of the last events, of the sound and of the picture.
    numbers: [Option<Seqnum>; 2],
    /// Something follows on the picture's pad.
    follows: bool,
}

impl LipsyncGen {
    pub(super) fn segment_done(&self, pad: &gst_base::AggregatorPad, event: gst::Event) -> bool {
        let inside = pad.segment().downcast::<gst::ClockTime>().ok().and_then(|segment| segment.start());
        {
            let state = &mut *self.state.lock();
            let is_video = *pad == self.video;
            // What keeps the place lies before the event, which therefore comes again when that is taken.
            if state.segments.numbers[usize::from(is_video)].replace(event.seqnum()) == Some(event.seqnum()) {
                return true;
            }
            if is_video {
                state.segments =
                    Segments { done: Some(event), kept: true, follows: false, ..std::mem::take(&mut state.segments) };
            } else if let Some(rows) = &mut state.rows {
                rows.end();
            }
        }
        let place = gst::event::Gap::builder(inside.unwrap_or_default()).duration(gst::ClockTime::NSECOND).build();
        self.parent_sink_event(pad, place);
        true
    }

    /// Takes note of what arrives behind what the pad holds.
    pub(super) fn look_behind(&self, pad: &gst_base::AggregatorPad, event: &gst::Event) {
        use gst::EventType::{Eos, Segment, StreamStart};
        if *pad == self.video && matches!(event.type_(), Segment | StreamStart | Eos) {
            self.state.lock().segments.follows = true;
        }
    }

    /// Nothing of the segment is held any more.
    pub(super) fn end_segment(&self, loaded: &Loaded) {
        let event = self.state.lock().segments.done.take();
        if let Some(event) = event {
            self.obj().src_pad().push_event(event);
        }
        let sound = self.features.lock().clone().filter(|pad| !pad.is_eos());
        let through = {
            let segments = &self.state.lock().segments;
            segments.follows || segments.numbers[0] == segments.numbers[1]
        };
        if sound.is_some() && !through {
            self.let_rows_go(loaded);
            return;
        }
        self.state.lock().segments.kept = false;
        self.video.drop_buffer();
    }
}
