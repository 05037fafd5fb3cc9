// SPDX-License-Identifier: MPL-2.0
//! The element's properties and their values.

use gst::glib;
use gst::prelude::*;

use super::{OnAudioEnd, OnError, OnMissing, OnStall};
use crate::runtime::Options;

#[derive(Clone, Debug)]
pub struct Settings {
    pub model: Option<String>,
    pub options: Options,
    pub batch_size: u32,
    pub av_offset: i64,
    pub on_missing: OnMissing,
    pub on_audio_end: OnAudioEnd,
    pub on_error: OnError,
    pub stall_timeout: gst::ClockTime,
    pub on_stall: OnStall,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            options: Options::default(),
            batch_size: 0,
            av_offset: 0,
            on_missing: OnMissing::default(),
            on_audio_end: OnAudioEnd::default(),
            on_error: OnError::default(),
            stall_timeout: gst::ClockTime::from_seconds(10),
            on_stall: OnStall::default(),
        }
    }
}

/// The properties, made anew: a class owns those it is given, and lipsyncbin has them too.
pub(crate) fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb("Name of the lip-sync model, or with a \"/\" the path of its folder (unset = mouthwarp, the default model)")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("backend", default.options.backend)
            .nick("Backend")
            .blurb("Library that runs the model's graphs")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("device")
            .nick("Device")
            .blurb("Where the graphs run: cpu, cuda:0, openvino-bf16, …, or auto for the best there is")
            .default_value(Some(default.options.device.as_str()))
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb("Threads that one run of a graph may use (0 = as many as there are cores, one for a small graph)")
            .default_value(default.options.threads)
            .maximum(1024)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("batch-size")
            .nick("Batch size")
            .blurb("Frames per run of the graphs (0 = eight). A live pipeline always runs one at a time")
            .default_value(default.batch_size)
            .maximum(64)
            .mutable_ready()
            .build(),
        glib::ParamSpecInt64::builder("av-offset")
            .nick("A/V offset")
            .blurb("Nanoseconds by which the lips move later than the sound (negative = earlier)")
            .minimum(-1_000_000_000)
            .maximum(1_000_000_000)
            .default_value(default.av_offset)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("on-missing", default.on_missing)
            .nick("On missing")
            .blurb("What a frame shows whose sound or mouth was not there in time")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("on-audio-end", default.on_audio_end)
            .nick("On audio end")
            .blurb("What happens when the sound ends before the picture")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("on-error", default.on_error)
            .nick("On error")
            .blurb("What happens when the model fails on a frame, or hangs for stall-timeout; after that it is opened again, once")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("stall-timeout")
            .nick("Stall timeout")
            .blurb("Nanoseconds without a frame after which a stall is reported (0 = never)")
            .default_value(default.stall_timeout.nseconds())
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("on-stall", default.on_stall)
            .nick("On stall")
            .blurb("What happens when nothing moves for stall-timeout")
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Counts of frames (all, generated, passed, late) and errors; inference time per frame, what is held, and by how much the \
                 sound has come further than the picture, in ms")
            .read_only()
            .build(),
    ]
}

impl Settings {
    /// GObject has checked the value's type against the ParamSpec.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        const TYPE: &str = "type checked by GObject";
        match name {
            "model" => self.model = value.get().expect(TYPE),
            "backend" => self.options.backend = value.get().expect(TYPE),
            "device" => {
                self.options.device = value.get::<Option<String>>().expect(TYPE).unwrap_or_else(|| "auto".into())
            }
            "threads" => self.options.threads = value.get().expect(TYPE),
            "batch-size" => self.batch_size = value.get().expect(TYPE),
            "av-offset" => self.av_offset = value.get().expect(TYPE),
            "on-missing" => self.on_missing = value.get().expect(TYPE),
            "on-audio-end" => self.on_audio_end = value.get().expect(TYPE),
            "on-error" => self.on_error = value.get().expect(TYPE),
            "stall-timeout" => {
                self.stall_timeout = gst::ClockTime::from_nseconds(value.get::<u64>().expect(TYPE).min(i64::MAX as u64))
            }
            "on-stall" => self.on_stall = value.get().expect(TYPE),
            _ => {}
        }
    }

    pub fn get(&self, name: &str) -> glib::Value {
        match name {
            "model" => self.model.to_value(),
            "backend" => self.options.backend.to_value(),
            "device" => self.options.device.to_value(),
            "threads" => self.options.threads.to_value(),
            "batch-size" => self.batch_size.to_value(),
            "av-offset" => self.av_offset.to_value(),
            "on-missing" => self.on_missing.to_value(),
            "on-audio-end" => self.on_audio_end.to_value(),
            "on-error" => self.on_error.to_value(),
            "stall-timeout" => self.stall_timeout.nseconds().to_value(),
            // The only one left: the ParamSpecs above are all there are.
            _ => self.on_stall.to_value(),
        }
    }
}
