// SPDX-License-Identifier: MPL-2.0
//! avatarloop: a short clip or a still picture becomes a picture without end.
//!
//! Frames pass through as they arrive, and are stored. When the clip ends, the element goes on with the stored frames, from
//! the first again or back and forth, each at its own distance from the next, on one continuous timeline. It ends when
//! somebody downstream has had enough: lipsyncgen with `on-audio-end=eos`, for example, when the voice is over. Each frame
//! says which of the clip's it is, so that facecrop need not look for the face in it again.
//!
//! Where a lipsyncgen follows whose model remembers mouths, its sound is not live, and the clip is a file that feeds nobody else, its first frames wait until they were looked at: 250 of them, but
//! no more than fit into a quarter of `max-memory` (a twelfth of a clip that is decoded again) where they are not kept anyway.
//!
//! A clip that does not fit into `max-memory` is decoded again, where nobody else is fed by the same file: forward from its start,
//! backward in groups of frames. That is as fast as its key frames are close. Otherwise its frames go to a file.
//!
//! `gst-launch-1.0 filesrc location=face.png ! decodebin ! videoconvert ! avatarloop mode=forward ! autovideosink`

mod caps;
mod events;
mod imp;
mod kept;
mod order;
mod preview;
mod produce;
mod record;
mod replay;
mod settings;
mod state;
mod store;
mod upstream;

use gst::glib;
use gst::prelude::*;
pub(crate) use settings::properties;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstLipsyncLoopMode")]
pub enum LoopMode {
    #[default]
    #[enum_value(name = "The clip is played once", nick = "none")]
    None,
    #[enum_value(name = "After the last frame comes the first", nick = "forward")]
    Forward,
    #[enum_value(name = "Back and forth; the frames at the turns are shown once", nick = "pingpong")]
    Pingpong,
}

glib::wrapper! {
    pub struct AvatarLoop(ObjectSubclass<imp::AvatarLoop>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    LoopMode::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(Some(plugin), "avatarloop", gst::Rank::NONE, AvatarLoop::static_type())
}
