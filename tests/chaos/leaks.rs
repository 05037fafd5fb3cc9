// SPDX-License-Identifier: MPL-2.0
//! What GStreamer's leaks tracer knows of: objects, buffers, events and so on that are still there.

use std::collections::BTreeMap;
use std::sync::Arc;

use gst::prelude::*;
use parking_lot::Mutex;

/// How many there are of each type; `None` without `GST_TRACERS=leaks`.
pub fn alive() -> Option<BTreeMap<String, usize>> {
    let tracers = gst::active_tracers();
    let tracer = tracers.iter().find(|tracer| tracer.type_().name() == "GstLeaksTracer")?;
    let counts = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let count = counts.clone();
    // The tracer tells it as text, in the debug log.
    let log = gst::log::add_log_function(move |_, _, _, _, _, _, message| {
        let text = message.get();
        let kind = text.as_deref().and_then(|text| {
            let (_, told) = text.split_once("object-alive, type-name=(string)")?;
            told.split(',').next()
        });
        if let Some(kind) = kind {
            *count.lock().entry(kind.to_string()).or_default() += 1;
        }
    });
    gst::log::set_threshold_for_name("GST_TRACER", gst::DebugLevel::Trace);
    tracer.emit_by_name::<()>("log-live-objects", &[]);
    gst::log::set_threshold_for_name("GST_TRACER", gst::DebugLevel::None);
    gst::log::remove_log_function(log);
    let counts = counts.lock().clone();
    Some(counts)
}
