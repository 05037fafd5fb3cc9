// SPDX-License-Identifier: MPL-2.0
//! Finds the faces in each frame, follows them, and cuts out what the model needs; the frame itself stays untouched.

mod absence;
mod analysis;
mod boxes;
mod cut;
mod detector;
mod fade;
#[cfg(any(feature = "fuzzing", all(test, feature = "test-runtime")))]
pub(crate) mod fuzz;
mod graph;
mod imp;
mod landmarks;
mod looks;
mod memory;
mod recipe;
mod region;
mod rule;
mod search;
mod seeta;
mod shape;
mod smooth;
mod square;
mod tracker;

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
pub(crate) use imp::properties;

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("facecrop", gst::DebugColorFlags::empty(), Some("Face finder")));

glib::wrapper! {
    pub struct FaceCrop(ObjectSubclass<imp::FaceCrop>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Which faces get a mouth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLipsyncFaceSelect")]
pub enum FaceSelect {
    /// The largest face.
    #[default]
    #[enum_value(name = "The largest face", nick = "largest")]
    Largest,
    /// The face nearest to the middle of the frame.
    #[enum_value(name = "The face nearest to the middle of the frame", nick = "central")]
    Central,
    /// The largest face first, and then that one as long as it is there.
    #[enum_value(name = "The largest face, and then that one as long as it is there", nick = "track")]
    Track,
    /// Every face.
    #[enum_value(name = "Every face", nick = "all")]
    All,
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    FaceSelect::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(Some(plugin), "facecrop", gst::Rank::NONE, FaceCrop::static_type())
}
