// SPDX-License-Identifier: MPL-2.0
//! The properties.

use gst::glib;
use gst::prelude::*;

use super::LoopMode;
use super::store::Limits;

#[derive(Clone, Copy)]
pub struct Settings {
    pub mode: LoopMode,
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: LoopMode::None, limits: Limits { memory: 1 << 30, disk: 16 << 30 } }
    }
}

impl Settings {
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        // GObject has checked the types, and sets only what `properties` lists.
        match name {
            "mode" => self.mode = value.get().expect("type checked upstream"),
            "max-memory" => self.limits.memory = value.get().expect("type checked upstream"),
            "max-disk" => self.limits.disk = value.get().expect("type checked upstream"),
            _ => {}
        }
    }

    pub fn get(&self, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "mode" => self.mode.to_value(),
            "max-memory" => self.limits.memory.to_value(),
            "max-disk" => self.limits.disk.to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

/// The properties, made anew: a class owns those it is given, and lipsyncbin has them too.
pub fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
        glib::ParamSpecEnum::builder_with_default("mode", default.mode)
            .nick("Mode")
            .blurb("What follows the end of the clip")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("max-memory")
            .nick("Most memory")
            .blurb("Bytes of memory for a clip that is repeated; a longer one is decoded again where that disturbs nobody, with a twelfth of it, or \
                 goes to a file in the temporary folder")
            .default_value(default.limits.memory)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("max-disk")
            .nick("Most disk")
            .blurb("Bytes of the file for what max-memory does not hold of a clip; one that needs more is an error")
            .default_value(default.limits.disk)
            .mutable_ready()
            .build(),
    ]
}
