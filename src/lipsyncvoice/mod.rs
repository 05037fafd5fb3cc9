// SPDX-License-Identifier: MPL-2.0
//! lipsyncvoice: a voice that comes when it comes becomes a live sound without end.
//!
//! ```text
//! sink ─► audioconvert ─► audioresample ─► queue of samples ─► src: 10 ms at a time, on the clock; silence while nobody speaks
//! ```
//!
//! What is pushed is said from its first sample to its last, whatever its rate, its pieces and its timestamps, which do not count.
//! The first sample of a speech waits for `delay`, so that pieces which come as late as that leave no hole. `clear` drops what has
//! not been said, and sends `lipsync-interrupt` on, at which lipsyncbin falls silent.
//!
//! `gst-launch-1.0 filesrc location=voice.wav ! decodebin ! lipsyncvoice ! autoaudiosink`

mod imp;
mod queue;
mod source;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    pub struct LipsyncVoice(ObjectSubclass<imp::LipsyncVoice>) @extends gst::Bin, gst::Element, gst::Object;
}

glib::wrapper! {
    pub struct VoiceSource(ObjectSubclass<source::VoiceSource>) @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "lipsyncvoice", gst::Rank::NONE, LipsyncVoice::static_type())
}
