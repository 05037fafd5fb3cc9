// SPDX-License-Identifier: MPL-2.0
//! A seek that comes from several sinks flushes a source that they share several times, each time under the seek's number.

use gst::{Event, EventType, Seqnum};

/// Tells a flush of the features that only repeats one both sides have been through. The aggregator would take it for a flush of
/// both, and would flush what follows while the picture, which is flushed once, is already on its way there.
#[derive(Default)]
pub struct Flushes {
    /// The numbers of the last flushes that are over.
    video: Option<Seqnum>,
    features: Option<Seqnum>,
    /// The number of a repetition's own that is under way.
    repeated: Option<Seqnum>,
}

impl Flushes {
    /// Takes note of what arrives at the picture's pad.
    pub fn video(&mut self, event: &Event) {
        if event.type_() == EventType::FlushStop {
            self.video = Some(event.seqnum());
        }
    }

    /// What to make of an event at the features' pad: a repetition gets a number of its own, so that it flushes this pad alone.
    pub fn features(&mut self, event: Event) -> Event {
        let seqnum = event.seqnum();
        match event.view() {
            gst::EventView::FlushStart(_) => {
                let repeats = [self.video, self.features] == [Some(seqnum); 2];
                self.repeated = repeats.then(Seqnum::next);
                self.repeated.map_or(event, |own| gst::event::FlushStart::builder().seqnum(own).build())
            }
            gst::EventView::FlushStop(stop) => {
                self.features = Some(seqnum);
                let reset_time = stop.resets_time();
                let own = self.repeated.take();
                own.map_or(event, |own| gst::event::FlushStop::builder(reset_time).seqnum(own).build())
            }
            _ => event,
        }
    }
}
