// SPDX-License-Identifier: MPL-2.0
//! Frames of a clip that are shown before the clip is played: queries that avatarloop sends, facecrop adds faces to, and lipsyncgen answers
//! where its model remembers mouths. A query overtakes queues, waits for no clock, and is nothing to elements that do not know it.

use gst::prelude::*;
use gst_base::prelude::*;

use crate::avatarloop::AvatarLoop;

const NAME: &str = "lipsync-preview";

/// Shows a frame, of these caps, to the elements beyond `pad`. `false`: none of them wants to see more.
pub fn show(pad: &gst::Pad, frame: &gst::Buffer, caps: &gst::Caps) -> bool {
    let about = gst::Structure::builder(NAME).field("frame", frame).field("caps", caps).build();
    pad.peer_query(&mut gst::query::Custom::new(about))
}

/// The frame that is shown, and its caps.
pub fn frame(query: &gst::QueryRef) -> Option<(gst::Buffer, gst::Caps)> {
    let about = query.structure().filter(|about| about.name() == NAME)?;
    Some((about.get("frame").ok()?, about.get("caps").ok()?))
}

/// Whether what leaves avatarloop arrives at `sink` as it is.
pub fn comes_unchanged(sink: &gst::Pad) -> bool {
    let Some(source) = sink.peer() else { return false };
    // Into the bin around, or out of it.
    if let Some(ghost) = source.parent().and_then(|parent| parent.downcast::<gst::GhostPad>().ok()) {
        return comes_unchanged(ghost.upcast_ref());
    }
    if let Some(target) = source.downcast_ref::<gst::GhostPad>().and_then(|ghost| ghost.target()) {
        return leaves_unchanged(&target);
    }
    leaves_unchanged(&source)
}

fn leaves_unchanged(source: &gst::Pad) -> bool {
    let Some(element) = source.parent_element() else { return false };
    if element.is::<AvatarLoop>() {
        return true;
    }
    let kind = element.factory().map(|factory| factory.name());
    let passes = match element.downcast_ref::<gst_base::BaseTransform>() {
        // It says so before it knows.
        Some(transform) => transform.is_passthrough() && source.has_current_caps(),
        None => kind.is_some_and(|kind| ["queue", "queue2", "tee"].contains(&kind.as_str())),
    };
    passes && element.sink_pads().iter().all(comes_unchanged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_changed_on_the_way_is_known() {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let avatar: gst::Element = gst::glib::Object::builder::<AvatarLoop>().build().upcast();
        let rest = gst::parse::bin_from_description(
            "queue ! tee name=t ! queue2 ! fakesink name=plain t. ! queue ! videoflip method=clockwise ! fakesink name=flipped",
            false,
        );
        let rest = rest.unwrap();
        let entry = rest.find_unlinked_pad(gst::PadDirection::Sink).unwrap();
        rest.add_pad(&gst::GhostPad::with_target(&entry).unwrap()).unwrap();
        pipeline.add_many([&avatar, rest.upcast_ref()]).unwrap();
        avatar.link(&rest).unwrap();
        let of = |name: &str| comes_unchanged(&rest.by_name(name).unwrap().static_pad("sink").unwrap());
        assert_eq!((of("plain"), of("flipped")), (true, false));
    }
}
