// SPDX-License-Identifier: MPL-2.0
//! `audiofeatures`: sound becomes the rows of numbers that a lip-sync model listens to.
//!
//! The recipe is the `[audiofeatures]` section of the model that lipsyncgen, downstream, has been given. Anything that
//! decodes to sound can stand before it: `… ! audioconvert ! audioresample ! audiofeatures ! generator.features`.
//!
//! Out come buffers of whole rows, `F32LE`, row after row. A buffer's PTS is its first row's time; OFFSET and OFFSET_END
//! count rows from the start of the stretch, whose first buffer is flagged DISCONT. Silent rows are flagged GAP.

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
