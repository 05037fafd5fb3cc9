// SPDX-License-Identifier: MPL-2.0
//! The element's properties and their values.

use gst::glib;
use gst::prelude::*;

use crate::runtime::Options;

#[derive(Clone)]
pub struct Settings {
    pub model: Option<String>,
    /// How an encoder runs.
    pub options: Options,
    pub silence_threshold: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { model: None, options: Options::default(), silence_threshold: -50.0 }
    }
}

/// The properties, made anew: a class owns those it is given, and lipsyncbin has them too.
pub(crate) fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb(
                "Name or folder of the model whose features are made. Normally not set: the model is that of the \
                 lipsyncgen downstream, and where there is none, the default model",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("backend", default.options.backend)
            .nick("Backend")
            .blurb("Library that runs the model's encoder of sound, where it has one")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("device")
            .nick("Device")
            .blurb("Where the model's encoder of sound runs: cpu, cuda:0, …, or auto for the best there is")
            .default_value(Some(default.options.device.as_str()))
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb(
                "Threads that one run of the encoder may use (0 = as many as there are cores, one for a small graph)",
            )
            .default_value(default.options.threads)
            .maximum(1024)
            .mutable_ready()
            .build(),
        glib::ParamSpecDouble::builder("silence-threshold")
            .nick("Silence threshold")
            .blurb(
                "Loudness in dBFS (RMS of a row's own stretch of sound) below which rows are flagged as silence, \
                 200 ms after the last louder one",
            )
            .minimum(-200.0)
            .maximum(0.0)
            .default_value(default.silence_threshold)
            .mutable_playing()
            .build(),
    ]
}

impl Settings {
    /// The threshold as a mean square.
    pub fn silence(&self) -> f64 {
        10f64.powf(self.silence_threshold / 10.0)
    }

    /// GObject has checked the value's type against the ParamSpec.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        const TYPE: &str = "type checked by GObject";
        let text = || value.get::<Option<String>>().expect(TYPE).filter(|text| !text.is_empty());
        match name {
            "model" => self.model = text(),
            "backend" => self.options.backend = value.get().expect(TYPE),
            "device" => self.options.device = text().unwrap_or_else(|| Options::default().device),
            "threads" => self.options.threads = value.get().expect(TYPE),
            // The only one left: the ParamSpecs above are all there are.
            _ => self.silence_threshold = value.get().expect(TYPE),
        }
    }

    pub fn get(&self, name: &str) -> glib::Value {
        match name {
            "model" => self.model.to_value(),
            "backend" => self.options.backend.to_value(),
            "device" => self.options.device.to_value(),
            "threads" => self.options.threads.to_value(),
            _ => self.silence_threshold.to_value(),
        }
    }
}
