// SPDX-License-Identifier: MPL-2.0
//! What GStreamer's leaks tracer knows of: objects, buffers, events and so on that are still there.

use std::collections::BTreeMap;
use std::sync::Arc;

use gst::prelude::*;
use parking_lot::Mutex;

/// What there is of each type, described; `None` without `GST_TRACERS=leaks`.
pub fn alive() -> Option<BTreeMap<String, Vec<String>>> {
    let tracers = gst::active_tracers();
    let tracer = tracers.iter().find(|tracer| tracer.type_().name() == "GstLeaksTracer")?;
    let alive = Arc::new(Mutex::new(BTreeMap::<String, Vec<String>>::new()));
    let told = alive.clone();
    // The tracer tells it as text, in the debug log.
    let log = gst::log::add_log_function(move |_, _, _, _, _, _, message| {
        let text = message.get();
        let object = text.as_deref().and_then(|text| text.split_once("object-alive, type-name=(string)"));
        if let Some((kind, rest)) = object.and_then(|(_, object)| object.split_once(", ")) {
            told.lock().entry(kind.into()).or_default().push(rest.into());
        }
    });
    gst::log::set_threshold_for_name("GST_TRACER", gst::DebugLevel::Trace);
    if std::env::var_os("GST_DEBUG").is_none() {
        gst::log::remove_default_log_function();
    }
    tracer.emit_by_name::<()>("log-live-objects", &[]);
    gst::log::set_threshold_for_name("GST_TRACER", gst::DebugLevel::None);
    gst::log::remove_log_function(log);
    let alive = alive.lock().clone();
    Some(alive)
}
