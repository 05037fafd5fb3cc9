// SPDX-License-Identifier: MPL-2.0
//! `audiofeatures`: sound becomes the rows of numbers that a lip-sync model listens to.
//!
//! The recipe is the `[audiofeatures]` section of the model that lipsyncgen, downstream, has been given.

mod extractor;
mod imp;
mod logmel;
mod mel;
mod stream;
#[cfg(test)]
mod test_recipes;
mod timeline;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    pub struct AudioFeatures(ObjectSubclass<imp::AudioFeatures>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "audiofeatures", gst::Rank::NONE, AudioFeatures::static_type())
}
