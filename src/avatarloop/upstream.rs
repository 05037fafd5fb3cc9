// SPDX-License-Identifier: MPL-2.0
//! What feeds the loop: whether it can be had again, and how long it is.

use gst::prelude::*;

/// Whether what arrives at `sink` can be had again, and may be sought in without anybody else noticing: it is seekable, and what is before `sink` feeds
/// nobody besides. Of a demuxer whose sound is used, too, the sound would start again.
pub fn can_be_replayed(sink: &gst::Pad) -> bool {
    let mut seeking = gst::query::Seeking::new(gst::Format::Time);
    sink.peer_query(&mut seeking) && seeking.result().0 && feeds_only(sink)
}

/// Whether it is there already, to be had as fast as it can be read, without anybody else waiting meanwhile: a demuxer whose sound is used, too,
/// stands still once the sound's queues are full.
pub fn is_recorded(sink: &gst::Pad) -> bool {
    let mut latency = gst::query::Latency::new();
    let live = sink.peer_query(&mut latency) && latency.result().0;
    !live && can_be_replayed(sink)
}

/// Of the whole clip, where that is known.
pub fn duration(sink: &gst::Pad) -> Option<gst::ClockTime> {
    sink.peer_query_duration::<gst::ClockTime>().filter(|duration| !duration.is_zero())
}

fn feeds_only(sink: &gst::Pad) -> bool {
    let Some(source) = sink.peer() else { return true };
    // Into the bin around, or out of it.
    if let Some(ghost) = source.parent().and_then(|parent| parent.downcast::<gst::GhostPad>().ok()) {
        return feeds_only(ghost.upcast_ref());
    }
    let Some(element) = source.parent_element() else { return true };
    // Who is to make so many buffers and no more makes none after a seek.
    if element.is::<gst_base::BaseSrc>() && element.property::<i32>("num-buffers") >= 0 {
        return false;
    }
    // Bins in which something ends, too.
    if element.is::<gst::Bin>() && element.element_flags().contains(gst::ElementFlags::SINK) {
        return false;
    }
    let linked = element.src_pads().iter().filter(|pad| pad.is_linked()).count();
    linked <= 1 && element.sink_pads().iter().all(feeds_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demuxer_that_feeds_others_is_left_alone() {
        gst::init().unwrap();
        for (text, expected) in [
            ("videotestsrc ! identity ! fakesink name=s", true),
            ("videotestsrc num-buffers=5 ! identity ! fakesink name=s", false),
            ("videotestsrc ! tee name=t ! fakesink name=s", true),
            ("videotestsrc ! tee name=t ! fakesink name=s t. ! fakesink", false),
            (
                "videotestsrc ! tee name=t t. ! ( identity ! identity ) ! identity ! fakesink name=s t. ! queue ! fakesink",
                false,
            ),
            ("videotestsrc ! ( identity ! identity ) ! fakesink name=s", true),
            ("( videotestsrc ! tee name=t ! identity name=i t. ! fakesink ) i. ! fakesink name=s", false),
        ] {
            let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
            let pad = pipeline.by_name("s").unwrap().static_pad("sink").unwrap();
            assert_eq!(feeds_only(&pad), expected, "{text}");
        }
    }
}
