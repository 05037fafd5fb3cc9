// SPDX-License-Identifier: MPL-2.0
//! Messages of elements inside a bin.

use gst::prelude::*;

/// An `application/x-lipsync-event` of a part of `bin` as its own news: who uses the bin knows no other name. Any other message as it is.
pub fn of_bin(bin: &impl IsA<gst::Object>, message: gst::Message) -> gst::Message {
    let own = match message.view() {
        gst::MessageView::Element(told) => told.structure().filter(|s| s.name() == "application/x-lipsync-event"),
        _ => None,
    };
    let own = own.map(|structure| {
        gst::message::Element::builder(structure.to_owned()).src(bin).seqnum(message.seqnum()).build()
    });
    own.unwrap_or(message)
}
