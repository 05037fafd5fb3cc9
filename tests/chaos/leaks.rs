// SPDX-License-Identifier: MPL-2.0
//! What GStreamer's leaks tracer knows of: objects, buffers, events and so on that are still there.

use std::collections::BTreeMap;

use gst::glib;
use gst::prelude::*;

/// How many there are of each type; `None` without `GST_TRACERS=leaks`.
pub fn alive() -> Option<BTreeMap<String, usize>> {
    let tracers = gst::active_tracers();
    let tracer = tracers.iter().find(|tracer| tracer.type_().name() == "GstLeaksTracer")?;
    let told = tracer.emit_by_name::<gst::Structure>("get-live-objects", &[]);
    let mut counts = BTreeMap::new();
    for object in told.get::<gst::List>("live-objects-list").iter().flat_map(|list| list.iter()) {
        let Ok(object) = object.get::<gst::Structure>() else { continue };
        let name =
            object.value("object").map_or("?".into(), |object: &glib::SendValue| object.type_().name().to_string());
        *counts.entry(name).or_default() += 1;
    }
    Some(counts)
}
