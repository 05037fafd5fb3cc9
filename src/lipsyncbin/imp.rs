// SPDX-License-Identifier: MPL-2.0
use std::sync::{Arc, LazyLock, OnceLock};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use parking_lot::Mutex;

use super::drain::Drain;
use super::pace::Pace;
use crate::audiofeatures::{self, AudioFeatures};
use crate::avatarloop::{self, AvatarLoop, LoopMode};
use crate::facecrop::{self, FaceCrop};
use crate::facepaste::{self, FacePaste};
use crate::lipsyncgen::{self, LipsyncGen};
use crate::messages;
use crate::pixels;

/// What an application sends to interrupt a speech.
const INTERRUPT: &str = "lipsync-interrupt";

/// Frames that are cropped while the graphs run: a batch.
const CROPPED: u32 = 8;

/// Frames between pasting and what follows, which may then work at the same time.
const PASTED: u32 = 2;

/// Sound that may wait on its way out: more than any encoder looks ahead, and an end to what a sink that takes none can pile up.
const MOST_SOUND: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// The name of avatarloop's `mode` here.
const LOOP: &str = "loop";

/// The elements inside.
struct Parts {
    /// Those whose properties the bin has. Where several have one, the first is asked for it.
    all: [gst::Element; 5],
    /// The queues that hold sound: on its way out, and on its way to the features.
    queues: [gst::Element; 2],
    drains: [Drain; 2],
    /// Of the sound that leaves.
    pace: Arc<Pace>,
}

impl Parts {
    /// Those that have the bin's property `name`, and its name there.
    fn with<'a>(&'a self, name: &'a str) -> (impl Iterator<Item = &'a gst::Element>, &'a str) {
        let name = if name == LOOP { "mode" } else { name };
        // The other parts learn the model from the generator.
        let count = if name == "model" { 1 } else { self.all.len() };
        (self.all.iter().filter(move |part| part.has_property(name)).take(count), name)
    }
}

pub struct LipsyncBin {
    video_sink: gst::GhostPad,
    audio_sink: gst::GhostPad,
    video_src: gst::GhostPad,
    audio_src: gst::GhostPad,
    /// What is missing where they could not be made.
    parts: OnceLock<Result<Parts, glib::BoolError>>,
    sought: Mutex<Option<Sought>>,
}

/// What came of the last seek.
#[derive(Clone, Copy)]
struct Sought {
    seqnum: gst::Seqnum,
    /// Picture and sound were sought.
    picture: bool,
    /// The sound was sought alone; `None`: nobody tried.
    sound: Option<bool>,
}

impl LipsyncBin {
    /// An application's seek comes from every sink, so from both ends, and each leads to the sound's source: done twice, a segment's
    /// sound would play twice, or its SEGMENT_DONE be told twice. The first one seeks picture and sound, whichever end it came from.
    /// Beside a picture that cannot be sought in, the sound's end seeks the sound alone.
    fn src_event(&self, end: &gst::GhostPad, event: gst::Event) -> bool {
        let forward = |end: &gst::GhostPad| gst::Pad::event_default(end, Some(&*self.obj()), event.clone());
        if event.type_() != gst::EventType::Seek {
            return forward(end);
        }
        let seqnum = event.seqnum();
        let known = (*self.sought.lock()).filter(|sought| sought.seqnum == seqnum);
        let picture = known.map_or_else(|| forward(&self.video_src), |sought| sought.picture);
        let mut sound = known.and_then(|sought| sought.sound);
        if !picture && *end == self.audio_src && sound.is_none() {
            sound = Some(forward(&self.audio_src));
        }
        *self.sought.lock() = Some(Sought { seqnum, picture, sound });
        picture || *end == self.audio_src && sound == Some(true)
    }

    fn parts(&self) -> Option<&Parts> {
        self.parts.get()?.as_ref().ok()
    }

    /// Makes the elements, links them, and lets the pads lead to them.
    fn build(&self) -> Result<Parts, glib::BoolError> {
        let bin = self.obj();
        let make = |factory: &str, name: &str| gst::ElementFactory::make(factory).name(name).build();
        let queue = |name: &str, frames: u32| {
            let queue = make("queue", name)?;
            queue.set_property("max-size-buffers", frames);
            queue.set_property("max-size-bytes", 0u32);
            queue.set_property("max-size-time", 0u64);
            Ok::<_, glib::BoolError>(queue)
        };
        let avatar: gst::Element = glib::Object::builder::<AvatarLoop>().property("name", "loop").build().upcast();
        let crop: gst::Element = glib::Object::builder::<FaceCrop>().property("name", "crop").build().upcast();
        let generator: gst::Element =
            glib::Object::builder::<LipsyncGen>().property("name", "generator").build().upcast();
        let paste: gst::Element = glib::Object::builder::<FacePaste>().property("name", "paste").build().upcast();
        let features: gst::Element =
            glib::Object::builder::<AudioFeatures>().property("name", "features").build().upcast();
        let (cropped, pasted) = (queue("cropped", CROPPED)?, queue("pasted", PASTED)?);
        let (tee, heard, leaving) = (make("tee", "sound")?, queue("heard", 0)?, queue("leaving", 0)?);
        leaving.set_property("max-size-time", MOST_SOUND.nseconds());
        let (convert, resample) = (make("audioconvert", "convert")?, make("audioresample", "resample")?);

        let video = [&avatar, &crop, &cropped, &generator, &paste, &pasted];
        let audio = [&tee, &heard, &convert, &resample, &features];
        bin.add_many(video.into_iter().chain(audio).chain([&leaving]))?;
        gst::Element::link_many(video)?;
        gst::Element::link_many(audio)?;
        tee.link(&leaving)?;
        features.link_pads(Some("src"), &generator, Some("features"))?;
        let ends = [
            (&self.video_sink, &avatar, "sink"),
            (&self.audio_sink, &tee, "sink"),
            (&self.video_src, &pasted, "src"),
            (&self.audio_src, &leaving, "src"),
        ];
        for (ghost, element, pad) in ends {
            let target =
                element.static_pad(pad).ok_or_else(|| glib::bool_error!("{} has no pad {pad}", element.name()))?;
            ghost.set_target(Some(&target))?;
        }
        take_any(&heard);
        hold_a_second(&heard);
        ask_nobody_for_memory(&self.audio_sink);
        drop_unwanted(&leaving, &self.audio_src);
        let drains = [Drain::of(&leaving), Drain::of(&heard)];
        narrow_again(&heard);
        let ends = [self.video_src.downgrade(), self.audio_src.downgrade()];
        let pace = Pace::of(bin.downgrade(), &self.audio_src, ends);
        Ok(Parts { all: [generator, features, crop, paste, avatar], queues: [leaving, heard], drains, pace })
    }
}

/// What the features want is nothing that the sound should be chosen by: it is converted for them. Without this a source that
/// can make any sound makes 16 kHz mono, and that is what leaves.
fn take_any(queue: &gst::Element) {
    let Some(pad) = queue.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, |pad, info| {
        let Some(query) = info.query_mut() else { return gst::PadProbeReturn::Ok };
        let gst::QueryViewMut::Caps(query) = query.view_mut() else { return gst::PadProbeReturn::Ok };
        let any = gst::Caps::new_empty_simple("audio/x-raw");
        let answer = query.filter().map_or_else(|| any.clone(), |filter| any.intersect(filter));
        let answer = pad.pad_template_caps().intersect(&answer);
        query.set_result(&answer);
        gst::PadProbeReturn::Handled
    });
}

/// As much sound as fills a second may wait on its way to the features; that is as far as it runs ahead of the picture. Bytes and
/// not time, since a GAP must take no place: muxers that know no GAP hold the picture up until sound comes again.
fn hold_a_second(queue: &gst::Element) {
    let Some(pad) = queue.static_pad("sink") else { return };
    let queue = queue.downgrade();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let Some(gst::PadProbeData::Event(event)) = &info.data else { return gst::PadProbeReturn::Ok };
        if let gst::EventView::Caps(caps) = event.view()
            && let Some(second) = second(caps.caps())
            && let Some(queue) = queue.upgrade()
        {
            queue.set_property("max-size-bytes", second);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Bytes of sound that fill a second.
fn second(caps: &gst::CapsRef) -> Option<u32> {
    let sound = gst_audio::AudioInfo::from_caps(caps).ok()?;
    Some(sound.rate().saturating_mul(sound.bpf()))
}

/// As [`second`], of the sound that comes into `queue` now.
fn second_now(queue: &gst::Element) -> Option<u32> {
    second(&*queue.static_pad("sink")?.current_caps()?)
}

/// Sinks that have been paused wait for one more buffer each, and the pipeline for them before it plays again. One that takes
/// everything at once has none left, and would get none where the other's branch is full. So both may hold a second more.
fn make_room([leaving, heard]: &[gst::Element; 2]) {
    let time = leaving.property::<u64>("current-level-time") + gst::ClockTime::SECOND.nseconds();
    leaving.set_property("max-size-time", time.max(MOST_SOUND.nseconds()));
    if let Some(second) = second_now(heard) {
        heard.set_property("max-size-bytes", heard.property::<u32>("current-level-bytes").saturating_add(second));
    }
}

/// What an interruption drops stays in `heard` until it would have come out, which may be never where a muxer waits for sound: new
/// sound finds room beside it, until the first of it comes out.
fn widen_for_dropped(heard: &gst::Element) {
    if let Some(second) = second_now(heard) {
        heard.set_property("max-size-bytes", heard.property::<u32>("current-level-bytes").saturating_add(second));
    }
}

fn narrow_again(heard: &gst::Element) {
    let Some(pad) = heard.static_pad("src") else { return };
    let heard = heard.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if info.buffer().is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::DISCONT))
            && let Some(heard) = heard.upgrade()
            && let Some(second) = second_now(&heard)
            && heard.property::<u32>("max-size-bytes") > second
        {
            heard.set_property("max-size-bytes", second);
        }
        gst::PadProbeReturn::Ok
    });
}

fn take_room_back([leaving, heard]: &[gst::Element; 2]) {
    leaving.set_property("max-size-time", MOST_SOUND.nseconds());
    if let Some(second) = second_now(heard) {
        heard.set_property("max-size-bytes", second);
    }
}

/// A question about memory waits in a queue until all that came before has been taken. Sound on its way out is taken when the
/// picture is there, which waits for the sound that the question holds up. Whoever makes sound can do without an answer.
fn ask_nobody_for_memory(pad: &gst::GhostPad) {
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, |_, info| {
        match info.query_mut().map(|query| query.type_()) {
            Some(gst::QueryType::Allocation) => gst::PadProbeReturn::Drop,
            _ => gst::PadProbeReturn::Ok,
        }
    });
}

/// Nobody needs to take the sound: what comes out of `queue` while `end` is not linked is thrown away.
fn drop_unwanted(queue: &gst::Element, end: &gst::GhostPad) {
    let Some(pad) = queue.static_pad("src") else { return };
    let end = end.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
        let wanted = end.upgrade().is_some_and(|end| end.is_linked());
        if wanted { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
    });
}

#[glib::object_subclass]
impl ObjectSubclass for LipsyncBin {
    const NAME: &'static str = "GstLipsyncBin";
    type Type = super::LipsyncBin;
    type ParentType = gst::Bin;
    type Interfaces = (gst::ChildProxy,);

    fn with_class(class: &Self::Class) -> Self {
        // The templates are those this class registers below.
        let template = |name: &str| class.pad_template(name).expect("the template is registered");
        let ghost = |name: &str| gst::GhostPad::builder_from_template(&template(name)).name(name).build();
        let end = |name: &str| {
            gst::GhostPad::builder_from_template(&template(name))
                .name(name)
                .event_function(|end, bin, event| {
                    Self::catch_panic_pad_function(bin, || false, |bin| bin.src_event(end, event))
                })
                .build()
        };
        Self {
            video_sink: ghost("video_sink"),
            audio_sink: ghost("audio_sink"),
            video_src: end("video_src"),
            audio_src: end("audio_src"),
            parts: OnceLock::new(),
            sought: Mutex::default(),
        }
    }
}

impl ObjectImpl for LipsyncBin {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let own = [
                glib::ParamSpecEnum::builder_with_default(LOOP, LoopMode::default())
                    .nick("Loop")
                    .blurb("How the picture goes on after its end: a clip, or a still picture, becomes one without end")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("latency")
                    .nick("Latency")
                    .blurb("Nanoseconds that computing a frame may take in a live pipeline, on top of what the model looks ahead")
                    .mutable_playing()
                    .build(),
            ];
            let parts = [
                lipsyncgen::properties(),
                audiofeatures::properties(),
                facecrop::properties(),
                facepaste::properties(),
                avatarloop::properties(),
            ];
            let mut properties: Vec<glib::ParamSpec> = own.into();
            for spec in parts.into_iter().flatten().filter(|spec| spec.name() != "mode") {
                if properties.iter().all(|known| known.name() != spec.name()) {
                    properties.push(spec);
                }
            }
            properties
        });
        &PROPERTIES
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                glib::subclass::Signal::builder("interrupt")
                    .action()
                    .class_handler(|values| {
                        if let Some(bin) = values.first().and_then(|bin| bin.get::<super::LipsyncBin>().ok()) {
                            let event = gst::event::CustomDownstreamOob::new(gst::Structure::new_empty(INTERRUPT));
                            bin.imp().audio_sink.send_event(event);
                        }
                        None
                    })
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let Some(parts) = self.parts() else { return };
        let (parts, name) = parts.with(pspec.name());
        parts.for_each(|part| part.set_property_from_value(name, value));
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let Some(parts) = self.parts() else { return pspec.default_value().clone() };
        let (mut parts, name) = parts.with(pspec.name());
        parts.next().map_or_else(|| pspec.default_value().clone(), |part| part.property_value(name))
    }

    fn constructed(&self) {
        self.parent_constructed();
        let bin = self.obj();
        // Filled only here.
        let _ = self.parts.set(self.build());
        let interrupted = bin.downgrade();
        self.audio_sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data
                && event.has_name(INTERRUPT)
                && let Some(bin) = interrupted.upgrade()
                && let Some(parts) = bin.imp().parts()
            {
                // The sound of the speech that ends here is not heard, and does not move the lips, any more.
                parts.drains.iter().for_each(Drain::empty);
                widen_for_dropped(&parts.queues[1]);
                parts.pace.interrupt();
            }
            gst::PadProbeReturn::Ok
        });
        for pad in [&self.video_sink, &self.audio_sink, &self.video_src, &self.audio_src] {
            // The element is new and has no pads, so this cannot fail.
            let _ = bin.add_pad(pad);
        }
    }
}

impl GstObjectImpl for LipsyncBin {}

impl ElementImpl for LipsyncBin {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Lip-sync bin",
                "Generic/Bin/Effect/Video",
                "Makes the face in a picture speak a sound: all of the plugin's elements, wired, with queues that fit",
                "The gst-plugin-lipsync developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let (video, audio) = (pixels::caps(), gst::Caps::new_empty_simple("audio/x-raw"));
            [
                ("video_sink", gst::PadDirection::Sink, &video),
                ("audio_sink", gst::PadDirection::Sink, &audio),
                ("video_src", gst::PadDirection::Src, &video),
                ("audio_src", gst::PadDirection::Src, &audio),
            ]
            .into_iter()
            // Building a template fails only where its name and presence contradict each other.
            .map(|(name, way, caps)| gst::PadTemplate::new(name, way, gst::PadPresence::Always, caps).unwrap())
            .collect()
        });
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady
            && let Some(Err(error)) = self.parts.get()
        {
            gst::element_imp_error!(
                self,
                gst::CoreError::MissingPlugin,
                ("lipsyncbin could not be put together: {error}. GStreamer's own plugins (base and good) are needed")
            );
            return Err(gst::StateChangeError);
        }
        if let Some(parts) = self.parts() {
            match transition {
                gst::StateChange::ReadyToPaused => parts.pace.start(),
                gst::StateChange::PausedToReady => parts.pace.stop(),
                _ => {}
            }
        }
        let success = self.parent_change_state(transition)?;
        if let Some(parts) = self.parts() {
            match transition {
                gst::StateChange::PlayingToPaused => make_room(&parts.queues),
                gst::StateChange::PausedToPlaying => take_room_back(&parts.queues),
                gst::StateChange::PausedToReady => parts.drains.iter().for_each(Drain::reset),
                _ => {}
            }
        }
        Ok(success)
    }
}

impl BinImpl for LipsyncBin {
    fn handle_message(&self, message: gst::Message) {
        self.parent_handle_message(messages::of_bin(&*self.obj(), message));
    }
}

/// As any bin's, the children are the elements inside; the pads can be named too. So a pipeline in text can set their `offset`.
impl ChildProxyImpl for LipsyncBin {
    fn child_by_name(&self, name: &str) -> Option<glib::Object> {
        self.obj().static_pad(name).map(Cast::upcast).or_else(|| self.parent_child_by_name(name))
    }

    fn child_by_index(&self, index: u32) -> Option<glib::Object> {
        self.parent_child_by_index(index)
    }

    fn children_count(&self) -> u32 {
        self.parent_children_count()
    }
}
