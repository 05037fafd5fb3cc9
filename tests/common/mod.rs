// SPDX-License-Identifier: MPL-2.0
//! What several test modules need.

pub mod onnx;

use std::path::PathBuf;
use std::sync::Once;

/// Initialises GStreamer and registers the elements under test; models are found in the source tree.
pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().expect("GStreamer starts");
        if std::env::var("GST_TRACERS").is_ok_and(|tracers| tracers.contains("leaks")) {
            // The tracer tells what is alive when GStreamer ends.
            // SAFETY: `deinit` is a plain function, and nothing uses GStreamer any more when the program exits.
            unsafe { libc::atexit(deinit) };
        }
        gstlipsync::plugin_register_static().expect("the plugin registers");
    });
}

extern "C" fn deinit() {
    // SAFETY: the tests are over.
    unsafe { gst::deinit() }
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
