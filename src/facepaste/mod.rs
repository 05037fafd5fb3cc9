// SPDX-License-Identifier: MPL-2.0
//! `facepaste` puts the mouths that a model generated into the frame.
//!
//! What to paste, and where, rides on the buffer in [`FaceMeta`](crate::face_meta::FaceMeta), which is removed. Pixels change
//! only where a mouth is shown, in the frame's own format and at its own resolution; a frame with nothing to paste is not
//! even mapped.

#[cfg(feature = "benching")]
pub(crate) mod bench;
mod blender;
mod cover;
mod debug;
#[cfg(any(feature = "fuzzing", all(test, feature = "test-runtime")))]
pub(crate) mod fuzz;
mod grid;
mod image;
mod imp;
mod inside;
mod parsing;
mod picture;
mod place;
mod warp;
mod weights;

use gst::glib;
use gst::prelude::*;
pub(crate) use imp::properties;

/// How a generated picture meets the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLipsyncFacePasteBlend")]
pub enum Blend {
    #[default]
    #[enum_value(name = "As the model's manifest says", nick = "model")]
    Model,
    #[enum_value(name = "The whole crop replaces what was there", nick = "hard")]
    Hard,
    #[enum_value(name = "Soft border, as wide as \"feather\" says", nick = "feather")]
    Feather,
}

glib::wrapper! {
    pub struct FacePaste(ObjectSubclass<imp::FacePaste>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    #[cfg(feature = "doc")]
    Blend::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(Some(plugin), "facepaste", gst::Rank::NONE, FacePaste::static_type())
}
