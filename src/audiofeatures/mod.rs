// SPDX-License-Identifier: MPL-2.0
//! `audiofeatures`: sound becomes the rows of numbers that a lip-sync model listens to.
//!
//! The recipe is the `[audiofeatures]` section of the model that lipsyncgen, downstream, has been given. Anything that
//! decodes to sound can stand before it: `… ! audioconvert ! audioresample ! audiofeatures ! generator.features`.
//!
//! Sound passes through these: a [`front`] computes rows ([`logmel`], [`fbank`], or the samples themselves); where the
//! model has an encoder, [`windows`] of these rows overlap, a [`listener`] thread runs its [`graph`] on each, and its
//! answers are the rows. [`stream`] holds this together, [`silence`] flags rows, [`extractor`] gives them times. A row
//! comes out with the sound that completes its window; the time that the encoder itself takes is part of the compute
//! budget that lipsyncgen declares. Whatever else of the same sound goes to other branches must find room in their queues
//! for as long as a row waits: the LATENCY query says how long that is.
//!
//! Out come buffers of whole rows, `F32LE`, row after row. A buffer's PTS is its first row's time; OFFSET and
//! OFFSET_END count rows from the start of the stretch, whose first buffer is flagged DISCONT. Silent rows are flagged
//! GAP. Where the model asks for rows `beyond` the sound, a stretch begins with that many, which have the time of its
//! first sample, and ends with as many after its last.

#[cfg(feature = "benching")]
pub(crate) mod bench;
mod extractor;
mod fbank;
mod flow;
mod front;
#[cfg(any(feature = "fuzzing", all(test, feature = "test-runtime")))]
pub(crate) mod fuzz;
mod graph;
mod held;
mod imp;
mod logmel;
mod mel;
#[cfg(test)]
#[rustfmt::skip]
mod references;
mod settings;
mod silence;
mod spectrum;
mod stamps;
mod stream;
#[cfg(test)]
mod test_recipes;
#[cfg(test)]
mod tests;
mod timeline;
mod windows;

use gst::glib;
use gst::prelude::*;
pub(crate) use settings::properties;

glib::wrapper! {
    pub struct AudioFeatures(ObjectSubclass<imp::AudioFeatures>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "audiofeatures", gst::Rank::NONE, AudioFeatures::static_type())
}
