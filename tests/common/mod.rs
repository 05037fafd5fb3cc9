// SPDX-License-Identifier: MPL-2.0
//! What several test modules need.

mod leaks;
pub mod onnx;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Once;

use gst::prelude::*;

/// Initialises GStreamer and registers the elements under test; models are found in the source tree.
pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().expect("GStreamer starts");
        // SAFETY: a plain function, which may end the program.
        unsafe { libc::atexit(fail_with_leaks) };
        gstlipsync::plugin_register_static().expect("the plugin registers");
    });
}

/// With `GST_TRACERS=leaks`: when the tests are over, nothing may be alive.
extern "C" fn fail_with_leaks() {
    // GStreamer 1.22's parser keeps the child that `child::property` names: here a loop and a bin's ghost pad, in one test.
    const KEPT: [&str; 2] = ["<loop", "video_src"];
    let Some(alive) = leaks::alive_in_the_end() else { return };
    let count = alive.values().map(Vec::len).sum::<usize>();
    let mut alive: Vec<_> = alive.into_iter().collect();
    alive.iter_mut().for_each(|(_, each)| each.retain(|object| !KEPT.iter().any(|kept| object.contains(kept))));
    alive.retain(|(_, each)| !each.is_empty());
    if !alive.is_empty() {
        eprintln!("alive in the end, of {count} objects, by the leaks tracer: {alive:#?}");
        // SAFETY: ends the program at once.
        unsafe { libc::_exit(1) }
    }
    println!("the leaks tracer: {count} objects alive in the end, all of them kept by GStreamer's parser");
}

/// A bus for an element without a pipeline. What it is told holds the element, which holds the bus, so it is emptied in the end.
pub struct OwnBus(gst::Bus);

impl OwnBus {
    pub fn of(element: &impl IsA<gst::Element>) -> Self {
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        Self(bus)
    }
}

impl Deref for OwnBus {
    type Target = gst::Bus;

    fn deref(&self) -> &gst::Bus {
        &self.0
    }
}

impl Drop for OwnBus {
    fn drop(&mut self) {
        self.0.set_flushing(true);
    }
}

/// A file of the private test media, or `None` with a printed reason where the folder is absent.
pub fn media(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/media").join(name);
    if path.exists() {
        Some(path)
    } else {
        eprintln!("skipped: {} is not there (test media are not part of the project)", path.display());
        None
    }
}
