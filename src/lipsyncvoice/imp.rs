// SPDX-License-Identifier: MPL-2.0
use std::sync::{LazyLock, OnceLock};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::VoiceSource;
use super::source::properties;
use crate::messages;

pub struct LipsyncVoice {
    sink: gst::GhostPad,
    src: gst::GhostPad,
    source: OnceLock<Result<VoiceSource, glib::BoolError>>,
}

impl LipsyncVoice {
    fn source(&self) -> Option<&VoiceSource> {
        self.source.get()?.as_ref().ok()
    }

    /// Makes the elements, links them, and lets the pads lead to them.
    fn build(&self) -> Result<VoiceSource, glib::BoolError> {
        let make = |factory: &str, name: &str| gst::ElementFactory::make(factory).name(name).build();
        let (convert, resample) = (make("audioconvert", "convert")?, make("audioresample", "resample")?);
        let source: VoiceSource = glib::Object::builder().property("name", "source").build();
        let all = [&convert, &resample, source.upcast_ref()];
        self.obj().add_many(all)?;
        gst::Element::link_many(all)?;
        for (ghost, element, pad) in [(&self.sink, &convert, "sink"), (&self.src, source.upcast_ref(), "src")] {
            let target =
                element.static_pad(pad).ok_or_else(|| glib::bool_error!("{} has no pad {pad}", element.name()))?;
            ghost.set_target(Some(&target))?;
        }
        Ok(source)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for LipsyncVoice {
    const NAME: &'static str = "GstLipsyncVoice";
    type Type = super::LipsyncVoice;
    type ParentType = gst::Bin;

    fn with_class(class: &Self::Class) -> Self {
        // The templates are those this class registers below.
        let ghost = |name: &str| {
            let template = class.pad_template(name).expect("the template is registered");
            gst::GhostPad::builder_from_template(&template).name(name).build()
        };
        Self { sink: ghost("sink"), src: ghost("src"), source: OnceLock::new() }
    }
}

impl ObjectImpl for LipsyncVoice {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                glib::subclass::Signal::builder("clear")
                    .action()
                    .class_handler(|values| {
                        if let Some(voice) = values.first().and_then(|voice| voice.get::<super::LipsyncVoice>().ok())
                            && let Some(source) = voice.imp().source()
                        {
                            source.imp().clear();
                        }
                        None
                    })
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        crate::properties::warn_if_late(&*self.obj(), pspec);
        if let Some(source) = self.source() {
            source.set_property_from_value(pspec.name(), value);
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.source().map_or_else(|| pspec.default_value().clone(), |source| source.property_value(pspec.name()))
    }

    fn constructed(&self) {
        self.parent_constructed();
        // Filled only here.
        let _ = self.source.set(self.build());
        for pad in [&self.sink, &self.src] {
            // The element is new and has no pads, so this cannot fail.
            let _ = self.obj().add_pad(pad);
        }
    }
}

impl GstObjectImpl for LipsyncVoice {}

impl ElementImpl for LipsyncVoice {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Live voice",
                "Source/Audio",
                "Makes a live sound without end of a voice that comes when it comes: queued, gaps filled with silence",
                "The gst-plugin-lipsync developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let (any, own) = (
                gst::Caps::new_empty_simple("audio/x-raw"),
                gst_audio::AudioCapsBuilder::new_interleaved().format(gst_audio::AudioFormat::F32le).build(),
            );
            [("sink", gst::PadDirection::Sink, &any), ("src", gst::PadDirection::Src, &own)]
                .into_iter()
                .map(|(name, way, caps)| {
                    gst::PadTemplate::new(name, way, gst::PadPresence::Always, caps).expect("valid template")
                })
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady
            && let Some(Err(error)) = self.source.get()
        {
            gst::element_imp_error!(
                self,
                gst::CoreError::MissingPlugin,
                ("lipsyncvoice could not be put together: {error}. GStreamer's own plugins (base) are needed")
            );
            return Err(gst::StateChangeError);
        }
        self.parent_change_state(transition)
    }
}

impl BinImpl for LipsyncVoice {
    fn handle_message(&self, message: gst::Message) {
        self.parent_handle_message(messages::of_bin(&*self.obj(), message));
    }
}
