// SPDX-License-Identifier: MPL-2.0
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use parking_lot::Mutex;

use super::LoopMode;
use super::settings::{Settings, properties};
use super::state::State;
use crate::properties::warn_if_late;

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("avatarloop", gst::DebugColorFlags::empty(), Some("Endless picture from a clip"))
});

pub struct AvatarLoop {
    pub sinkpad: gst::Pad,
    pub srcpad: gst::Pad,
    pub settings: Mutex<Settings>,
    pub state: Mutex<State>,
    /// The number of this element's own last seek.
    pub sought: Mutex<Option<gst::Seqnum>>,
}

impl AvatarLoop {
    pub(super) fn mode(&self) -> LoopMode {
        self.settings.lock().mode
    }
}

#[glib::object_subclass]
impl ObjectSubclass for AvatarLoop {
    const NAME: &'static str = "GstLipsyncAvatarLoop";
    type Type = super::AvatarLoop;
    type ParentType = gst::Element;

    fn with_class(klass: &Self::Class) -> Self {
        // The class makes its templates before any instance.
        let sink = klass.pad_template("sink").expect("template of the class");
        let src = klass.pad_template("src").expect("template of the class");
        let sinkpad = gst::Pad::builder_from_template(&sink)
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |this| this.chain(buffer))
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(query))
            })
            .flags(gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let srcpad = gst::Pad::builder_from_template(&src)
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(query))
            })
            .activatemode_function(|pad, _, _, active| {
                // The pad flushes by now, so the task is about to come back.
                if active { Ok(()) } else { pad.stop_task().map_err(|e| gst::loggable_error!(CAT, "{e}")) }
            })
            .build();
        Self { sinkpad, srcpad, settings: Mutex::default(), state: Mutex::default(), sought: Mutex::default() }
    }
}

impl ObjectImpl for AvatarLoop {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        warn_if_late(&*self.obj(), pspec);
        self.settings.lock().set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.settings.lock().get(pspec)
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.add_pad(&self.sinkpad).expect("a new element has no pad of that name");
        element.add_pad(&self.srcpad).expect("a new element has no pad of that name");
    }
}

impl GstObjectImpl for AvatarLoop {}

impl ElementImpl for AvatarLoop {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Avatar loop",
                "Filter/Video",
                "Makes an endless picture from a clip or a still picture, on one continuous timeline",
                "The gst-plugin-lipsync developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_video::VideoCapsBuilder::new().build();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .into_iter()
                .map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).expect("valid template")
                })
                .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::PausedToReady {
            self.state.lock().stop();
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            *self.state.lock() = State::default();
        }
        Ok(success)
    }
}
