// SPDX-License-Identifier: MPL-2.0
#![allow(clippy::non_send_fields_in_send_ty)]

mod audiofeatures;
mod avatarloop;
pub mod face_meta;
mod facecrop;
mod facepaste;
pub mod geometry;
mod lipsyncgen;
pub mod model;
pub mod pixels;
pub mod runtime;

use gst::glib;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    if let Some(file) = plugin.filename() {
        model::set_plugin_file(file);
    }
    audiofeatures::register(plugin)?;
    facecrop::register(plugin)?;
    lipsyncgen::register(plugin)?;
    facepaste::register(plugin)?;
    avatarloop::register(plugin)
}

gst::plugin_define!(
    lipsync,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MPL-2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "https://github.com/gst-plugin-lipsync/gst-plugin-lipsync",
    env!("BUILD_REL_DATE")
);
