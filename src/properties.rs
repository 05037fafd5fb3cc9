// SPDX-License-Identifier: MPL-2.0
//! What the elements' properties have in common.

use gst::glib;
use gst::prelude::*;

/// Says on the bus, as a warning, where `property` is set too late for the running stream: those that count only where an element
/// starts, set while it is PAUSED or PLAYING.
pub fn warn_if_late(element: &impl IsA<gst::Element>, property: &glib::ParamSpec) {
    let flags = property.flags();
    let only_before = flags.contains(gst::PARAM_FLAG_MUTABLE_READY)
        && !flags.intersects(gst::PARAM_FLAG_MUTABLE_PAUSED | gst::PARAM_FLAG_MUTABLE_PLAYING);
    let state = element.as_ref().current_state();
    if only_before && state > gst::State::Ready {
        let name = property.name();
        gst::element_warning!(
            element.as_ref(),
            gst::LibraryError::Settings,
            (
                "{name} was set in state {}, where nothing changes by it: set it before the start, or take the element to NULL and \
                 back",
                state.name()
            )
        );
    }
}
