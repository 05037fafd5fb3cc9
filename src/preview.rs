// SPDX-License-Identifier: MPL-2.0
//! Frames of a clip that are shown before the clip is played: queries that avatarloop sends, facecrop adds faces to, and lipsyncgen answers
//! where its model remembers mouths. A query overtakes queues, waits for no clock, and is nothing to elements that do not know it.

use gst::prelude::*;

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
