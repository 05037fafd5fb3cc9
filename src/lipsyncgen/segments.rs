// SPDX-License-Identifier: MPL-2.0
//! The end of a segment that is not the end of the stream (SEGMENT_DONE), as applications have it that loop a clip without a hole: the
//! frames that are held get their last rows and leave, then the event follows them.
//!
//! The aggregator calls only while there is something on all pads, and at the picture's nothing comes until the application has
//! sought. So everything here happens in the handlers of events, which run in the same thread, and rows that arrive wake that.

use gst::glib::translate::{IntoGlibPtr, ToGlibPtr, from_glib};
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::CAT;
use super::imp::LipsyncGen;
use super::state::Item;

#[derive(Default)]
pub struct Segments {
    /// The picture's is over, and no other has come.
    picture: bool,
    /// So is the sound's.
    sound: bool,
}

impl LipsyncGen {
    /// A SEGMENT_DONE has come to a pad. The picture's goes on behind the frames that are held.
    pub(super) fn segment_done(&self, pad: &gst_base::AggregatorPad, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = pad, "the segment is over; {}", self.levels());
        if *pad == self.video {
            self.state.lock().segments.picture = true;
            self.follow(Item::SegmentDone(event));
        } else {
            let mut state = self.state.lock();
            state.segments.sound = true;
            if let Some(rows) = &mut state.rows {
                rows.end();
            }
        }
        self.end_segment();
        true
    }

    /// Another segment has begun at a pad.
    pub(super) fn segment_begins(&self, pad: &gst_base::AggregatorPad) {
        let segments = &mut self.state.lock().segments;
        *(if *pad == self.video { &mut segments.picture } else { &mut segments.sound }) = false;
    }

    /// Where the picture's segment is over, sends on the frames whose rows are there, and lets rows go that none wants: behind them
    /// is the end of the sound's.
    pub(super) fn end_segment(&self) {
        let Some(loaded) = self.loaded() else { return };
        if !self.state.lock().segments.picture {
            return;
        }
        let settings = self.settings.lock().clone();
        let held = self.state.lock().frames().count();
        self.take_features(&loaded, settings.av_offset, held);
        let (ready, held) = self.ready_frames(&loaded, settings.av_offset);
        if ready > 0 {
            let items = self.take_items(ready);
            if let Err(error) = self.process(&settings, &loaded, items, self.obj().latency(), false) {
                gst::debug!(CAT, imp = self, "the segment's last frames did not leave: {error}");
            }
        }
        let features = self.features.lock().clone().filter(|_| ready == held);
        while features.as_ref().is_some_and(|pad| pad.has_buffer() && !self.state.lock().segments.sound) {
            self.let_rows_go(&loaded);
        }
    }

    /// Has rows wake the aggregator's thread where the picture's segment is over.
    pub(super) fn wake_by_rows(&self, pad: &gst_base::AggregatorPad) {
        let pad: &gst::Pad = pad.upcast_ref();
        let own: *mut gst::ffi::GstPad = pad.to_glib_none().0;
        // SAFETY: the pad is alive, and GstAggregatorPad sets the function when it is made, for good.
        let Some(chain) = (unsafe { (*own).chainfunc }) else { return };
        let element = self.obj().downgrade();
        // SAFETY: nothing flows into a pad that nobody has seen yet.
        unsafe {
            pad.set_chain_function(move |pad, parent, buffer| {
                let own: *mut gst::ffi::GstPad = pad.to_glib_none().0;
                let parent = parent.map_or(std::ptr::null_mut(), |parent| parent.to_glib_none().0);
                // SAFETY: what GStreamer calls the function with, and the buffer is given away.
                let flow: gst::FlowReturn = from_glib(chain(own, parent, buffer.into_glib_ptr()));
                if let Some(element) = element.upgrade()
                    && element.imp().state.lock().segments.picture
                {
                    element.imp().wake(&element.imp().video);
                }
                flow.into_result()
            });
        }
    }
}
