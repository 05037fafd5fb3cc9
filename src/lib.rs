// SPDX-License-Identifier: MPL-2.0
//! GStreamer elements that make a face in a video speak whatever audio they are fed.
//!
//! # The map of the house
//!
//! A lip-sync model is a folder whose manifest has four sections, and each section is read by the element of the same name:
//!
//! | section and element | does | reads | writes |
//! |---|---|---|---|
//! | `audiofeatures` | sound → rows of numbers | `audio/x-raw` | `application/x-lipsync-features` |
//! | `facecrop` | finds the face, cuts it out | video | the same video with a [`face_meta::FaceMeta`] per face |
//! | `lipsyncgen` | runs the model on faces and rows | both | the meta, now with the generated mouth |
//! | `facepaste` | puts the mouth into the frame | video with metas | plain video |
//!
//! and `avatarloop` repeats a clip or a picture in front of them. `lipsyncbin` is all of them, wired. `lipsyncvoice`
//! makes a live sound of a voice that comes in pieces.
//!
//! The elements never import each other (but the bin, which makes them). They meet in:
//!
//! - [`model`]: the manifest, where models are found, and how elements agree on one,
//! - [`face_meta`]: what travels with a frame, and `moment`: which frame of a clip that is repeated it is,
//! - [`runtime`]: running a graph, whichever library does it,
//! - [`pixels`] and [`geometry`]: reading and writing a rectangle of any supported video format.
//!
//! In each element's folder `mod.rs` says what it is, `imp.rs` is its GObject side, and the other files are plain functions and
//! types that are tested without a pipeline.
#![allow(clippy::non_send_fields_in_send_ty)]

mod audiofeatures;
mod avatarloop;
#[cfg(feature = "benching")]
#[doc(hidden)]
pub mod benching;
pub mod face_meta;
mod facecrop;
mod facepaste;
#[cfg(any(feature = "fuzzing", all(test, feature = "test-runtime")))]
#[doc(hidden)]
pub mod fuzzing;
pub mod geometry;
mod lipsyncbin;
mod lipsyncgen;
mod lipsyncvoice;
mod messages;
pub mod model;
mod moment;
pub mod pixels;
mod preview;
mod properties;
pub mod runtime;

use gst::glib;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    runtime::no_telemetry();
    if let Some(file) = plugin.filename() {
        model::set_plugin_file(file);
    }
    audiofeatures::register(plugin)?;
    facecrop::register(plugin)?;
    lipsyncgen::register(plugin)?;
    facepaste::register(plugin)?;
    avatarloop::register(plugin)?;
    lipsyncbin::register(plugin)?;
    lipsyncvoice::register(plugin)
}

gst::plugin_define!(
    lipsync,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MPL-2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("BUILD_REL_DATE")
);
