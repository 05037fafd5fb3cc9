// SPDX-License-Identifier: MPL-2.0
//! What GStreamer's leaks tracer knows of: objects, buffers, events and so on that are still there.

use std::collections::BTreeMap;
use std::sync::Arc;

use gst::prelude::*;
use parking_lot::Mutex;

/// Objects of each type, described.
pub type Objects = BTreeMap<String, Vec<String>>;

/// What there is; `None` without `GST_TRACERS=leaks`.
#[allow(dead_code, reason = "each of the programs that have this module needs one of the two functions")]
pub fn alive() -> Option<Objects> {
    let tracer = tracer()?;
    Some(told(|| tracer.emit_by_name::<()>("log-live-objects", &[])))
}

/// What there is when GStreamer has ended; `None` without `GST_TRACERS=leaks`.
#[allow(dead_code, reason = "each of the programs that have this module needs one of the two functions")]
pub fn alive_in_the_end() -> Option<Objects> {
    drop(tracer()?);
    // SAFETY: called when nothing uses GStreamer any more.
    Some(told(|| unsafe { gst::deinit() }))
}

fn tracer() -> Option<gst::Tracer> {
    gst::active_tracers().into_iter().find(|tracer| tracer.type_().name() == "GstLeaksTracer")
}

/// What the tracer tells, as text in the debug log, while `act` is done.
fn told(act: impl FnOnce()) -> Objects {
    let alive = Arc::new(Mutex::new(Objects::new()));
    let told = alive.clone();
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
    act();
    gst::log::set_threshold_for_name("GST_TRACER", gst::DebugLevel::None);
    gst::log::remove_log_function(log);
    alive.lock().clone()
}
