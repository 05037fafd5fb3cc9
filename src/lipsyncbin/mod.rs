// SPDX-License-Identifier: MPL-2.0
//! lipsyncbin: everything between a decoder and an encoder.
//!
//! ```text
//! video_sink ─► avatarloop ─► facecrop ─► queue ─► lipsyncgen ─► facepaste ─► queue ─► video_src
//! audio_sink ─► tee ─► queue ─► audioconvert ─► audioresample ─► audiofeatures ─┘
//!                └───► queue ─────────────────────────────────────────────────────► audio_src
//! ```
//!
//! The sound leaves as it came. How much of it waits is up to the picture: the branch to the features holds the other one
//! back. The queue on the way out ends at a minute, for a sink that takes the picture but no sound. Where something live comes in, the
//! sound leaves no sooner than it is heard, so that an interruption finds it here.
//!
//! In text, `video_src::offset=NANOSECONDS` moves the picture against the sound, for an encoder that delays that.
//!
//! `gst-launch-1.0 uridecodebin uri=file:///tmp/face.mp4 name=d ! videoconvert ! b.video_sink  uridecodebin uri=file:///tmp/voice.wav !
//! b.audio_sink  lipsyncbin name=b loop=pingpong on-audio-end=eos  b.video_src ! autovideosink  b.audio_src ! autoaudiosink`

mod drain;
mod imp;
mod pace;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    pub struct LipsyncBin(ObjectSubclass<imp::LipsyncBin>) @extends gst::Bin, gst::Element, gst::Object, @implements gst::ChildProxy;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "lipsyncbin", gst::Rank::NONE, LipsyncBin::static_type())
}
