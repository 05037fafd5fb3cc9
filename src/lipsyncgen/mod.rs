// SPDX-License-Identifier: MPL-2.0
//! `lipsyncgen`: the only place where sound meets picture. It holds each frame until the rows of features around its time are
//! there, runs the model on them and sends the frame on with what was generated.

mod arrival;
#[cfg(feature = "benching")]
pub(crate) mod bench;
mod cache;
mod diagnosis;
mod flushes;
#[cfg(any(feature = "fuzzing", all(test, feature = "test-runtime")))]
pub(crate) mod fuzz;
mod generator;
mod hush;
mod imp;
mod intake;
mod lateness;
mod loaded;
mod memory;
mod mouth;
mod mouth_closed;
mod mouth_inside;
mod output;
mod queries;
mod rest;
mod segments;
mod settings;
mod state;
mod stats;
mod summary;
mod tensors;
mod watchdog;
mod window;

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
pub(crate) use settings::properties;

use crate::runtime::Backend;

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("lipsyncgen", gst::DebugColorFlags::empty(), Some("Lip-sync generator")));

glib::wrapper! {
    pub struct LipsyncGen(ObjectSubclass<imp::LipsyncGen>) @extends gst_base::Aggregator, gst::Element, gst::Object;
}

/// What to show where the sound for a frame did not arrive in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstLipsyncOnMissing")]
pub enum OnMissing {
    #[default]
    #[enum_value(name = "Hold: keep the last mouth, fading to the untouched frame", nick = "hold")]
    Hold,
    #[enum_value(name = "Passthrough: the untouched frame at once", nick = "passthrough")]
    Passthrough,
}

/// What to do when the sound ends before the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstLipsyncOnAudioEnd")]
pub enum OnAudioEnd {
    #[default]
    #[enum_value(name = "Passthrough: the rest of the picture goes on untouched", nick = "passthrough")]
    Passthrough,
    #[enum_value(name = "Eos: the picture ends with the sound", nick = "eos")]
    Eos,
}

/// What to do when the model fails on a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstLipsyncOnError")]
pub enum OnError {
    #[default]
    #[enum_value(name = "Passthrough: one warning, the frame goes on without a new mouth", nick = "passthrough")]
    Passthrough,
    #[enum_value(name = "Fail: an error ends the stream", nick = "fail")]
    Fail,
}

/// What to do when nothing moves for `stall-timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstLipsyncOnStall")]
pub enum OnStall {
    #[default]
    #[enum_value(name = "Report: an element message and a warning say which pad starves and why", nick = "report")]
    Report,
    #[enum_value(name = "Error: an error with the same text ends the stream", nick = "error")]
    Error,
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    for enumeration in [
        OnMissing::static_type(),
        OnAudioEnd::static_type(),
        OnError::static_type(),
        OnStall::static_type(),
        Backend::static_type(),
    ] {
        enumeration.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "lipsyncgen", gst::Rank::NONE, LipsyncGen::static_type())
}
