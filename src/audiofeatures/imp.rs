// SPDX-License-Identifier: MPL-2.0
//! The element: pads, events and queries around an [`Extractor`].

use std::sync::{Arc, LazyLock};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst::{ClockTime, FlowError};
use parking_lot::Mutex;

use super::extractor::Extractor;
use super::graph::Listener;
use super::settings::{Settings, properties};
use super::stamps::Stamps;
use super::stream::reach;
use super::timeline::wait_for;
use crate::model::manifest::AudioFeatures as Recipe;
use crate::model::{self, Model};
use crate::properties::warn_if_late;
use crate::runtime::{Cancel, Options};

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("audiofeatures", gst::DebugColorFlags::empty(), Some("Sound features for lip-sync models"))
});

/// The event that makes the mouth fall silent at once.
const INTERRUPT: &str = "lipsync-interrupt";

/// What belongs to the stream.
#[derive(Default)]
pub(super) struct State {
    pub segment: Option<gst::FormattedSegment<ClockTime>>,
    /// Since the sound's caps are known.
    pub work: Option<Work>,
    /// Changes when what is under way must not come out any more.
    pub generation: u64,
    pub warned_of_non_numbers: bool,
    /// Of the sound's caps; those of none known are one.
    pub channels: usize,
    /// Whether upstream is live, once it has been asked.
    pub live: Option<bool>,
    pub stamps: Stamps,
    /// The last answer to a LATENCY query.
    pub reported_latency: Option<ClockTime>,
}

pub(super) struct Work {
    pub model: Arc<Model>,
    /// The model is that of the generator downstream.
    pub confirmed: bool,
    pub extractor: Extractor,
    /// Where the model has an encoder.
    pub listener: Option<Arc<Listener>>,
}

impl Work {
    pub fn recipe(&self) -> &Recipe {
        &self.model.manifest.audiofeatures
    }
}

/// An open encoder, and what it was opened for.
pub(super) struct Loaded {
    pub model: Arc<Model>,
    pub options: Options,
    pub listener: Arc<Listener>,
}

pub struct AudioFeatures {
    pub(super) sinkpad: gst::Pad,
    pub(super) srcpad: gst::Pad,
    pub(super) settings: Mutex<Settings>,
    /// The model to use where nobody downstream names one.
    pub(super) fallback: Mutex<Option<Arc<Model>>>,
    pub(super) loaded: Mutex<Option<Loaded>>,
    /// A flush or a state change waits for the streaming thread.
    pub(super) cancel: Cancel,
    // Never held while anything is pushed, posted, asked or heard, nor together with another lock.
    pub(super) state: Mutex<State>,
}

impl AudioFeatures {
    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        gst::log!(CAT, obj = pad, "{event:?}");
        let forward = |event| gst::Pad::event_default(pad, Some(&*self.obj()), event);
        let drain = || {
            // If nobody takes the rows, the next buffer or event will hear of it.
            if let Err(error) = self.drain() {
                gst::debug!(CAT, imp = self, "the last rows of the stretch did not come out: {error}");
            }
        };
        match event.view() {
            EventView::StreamStart(start) => {
                let id = format!("{}/features", start.stream_id());
                let new = gst::event::StreamStart::builder(&id).seqnum(event.seqnum()).flags(start.stream_flags());
                self.srcpad.push_event(new.group_id_if_some(start.group_id()).build())
            }
            EventView::Caps(caps) => {
                let number = |name| caps.caps().structure(0).and_then(|s| s.get::<i32>(name).ok()).unwrap_or(0);
                let channels = number("channels").max(1) as usize;
                if channels > 1 {
                    gst::debug!(CAT, imp = self, "{channels} channels without positions: their mean is listened to");
                }
                self.state.lock().channels = channels;
                match self.configure(number("rate") as u32) {
                    Ok(()) => true,
                    Err(error) => {
                        self.post_error_message(error);
                        false
                    }
                }
            }
            EventView::Segment(segment) => {
                drain();
                let segment = match segment.segment().downcast_ref::<ClockTime>() {
                    Some(segment) => segment.clone(),
                    None => {
                        gst::element_imp_error!(
                            self,
                            gst::StreamError::Format,
                            ("the sound has no timestamps (its segment is not in time); put a parser or a decoder before it")
                        );
                        return false;
                    }
                };
                self.state.lock().segment = Some(segment);
                forward(event)
            }
            EventView::Gap(gap) => {
                let (pts, duration) = gap.get();
                match duration.and_then(|duration| pts.checked_add(duration)) {
                    Some(end) => self.gap(pts, end) || forward(event),
                    // Nobody knows how long it lasts.
                    None => {
                        drain();
                        forward(event)
                    }
                }
            }
            EventView::SegmentDone(_) => {
                drain();
                forward(event)
            }
            EventView::Eos(_) => {
                drain();
                self.conclude();
                forward(event)
            }
            EventView::FlushStart(_) => {
                self.cancel.flush_start();
                forward(event)
            }
            EventView::FlushStop(_) => {
                self.interrupt(true);
                self.cancel.flush_stop();
                forward(event)
            }
            EventView::CustomDownstreamOob(_) if event.has_name(INTERRUPT) => {
                gst::debug!(CAT, imp = self, "interrupted");
                self.interrupt(false);
                forward(event)
            }
            _ => forward(event),
        }
    }

    /// The sound is over: says so where all of it was too quiet for a voice.
    fn conclude(&self) {
        let threshold = self.settings.lock().silence_threshold;
        let Some(loudest) = self.state.lock().work.as_ref().map(|work| work.extractor.loudest()) else { return };
        let decibels = 10.0 * loudest.log10();
        if decibels < threshold {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Failed,
                ("nobody speaks: the loudest 10 ms or so of the whole sound have {decibels:.0} dBFS, and what is below \
                     silence-threshold, {threshold:.0} dBFS, counts as silence; amplify the sound, or lower that")
            );
        }
    }

    /// What the sink pad takes: the model's sample rate, once there is one.
    fn sink_caps(&self) -> gst::Caps {
        let mut caps = self.sinkpad.pad_template_caps();
        // Elements are linked before they start, and lipsyncgen names its model only then: the default may be wrong.
        let is_guess = self.obj().current_state() == gst::State::Null && self.settings.lock().model.is_none();
        let model = if is_guess { model::ask(&self.srcpad) } else { self.model().ok().map(|(model, _)| model) };
        if let Some(model) = model {
            caps.make_mut().set("rate", model.manifest.audiofeatures.sample_rate() as i32);
        }
        caps
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(caps) => {
                let mut answer = self.sink_caps();
                if let Some(filter) = caps.filter() {
                    // Who can make one channel of his is not offered the others: audioconvert would mistake them for his.
                    let mono = gst::Caps::builder("audio/x-raw").field("channels", 1).build();
                    let one = filter.intersect_with_mode(&answer.intersect(&mono), gst::CapsIntersectMode::First);
                    let any = filter.intersect_with_mode(&answer, gst::CapsIntersectMode::First);
                    answer = if one.is_empty() { any } else { one };
                }
                caps.set_result(&answer);
                true
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                let mut upstream = gst::query::Latency::new();
                if !self.sinkpad.peer_query(&mut upstream) {
                    return false;
                }
                let known = self.state.lock().work.as_ref().map(|work| latency_of(work.recipe()));
                let own = known
                    .or_else(|| self.model().ok().map(|(model, _)| latency_of(&model.manifest.audiofeatures)))
                    .unwrap_or(ClockTime::ZERO);
                self.state.lock().reported_latency = Some(own);
                let (live, min, max) = upstream.result();
                latency.set(live, min.saturating_add(own), max.map(|max| max.saturating_add(own)));
                true
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }
}

/// How long after its own time a row comes out: when its window has been heard. It comes out with the very buffer that
/// completes it, so nothing else adds to that but the time that an encoder takes, which is of the budget that
/// lipsyncgen declares.
pub(super) fn latency_of(recipe: &Recipe) -> ClockTime {
    wait_for(reach(recipe), recipe.sample_rate())
}

#[glib::object_subclass]
impl ObjectSubclass for AudioFeatures {
    const NAME: &'static str = "GstLipsyncAudioFeatures";
    type Type = super::AudioFeatures;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        // Both templates are made below.
        let template = |name| class.pad_template(name).expect("the pad template exists");
        let sinkpad = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(parent, || Err(FlowError::Error), |this| this.chain(buffer))
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(pad, query))
            })
            // A wrong rate is to be refused in words, by the CAPS event.
            .flags(gst::PadFlags::ACCEPT_TEMPLATE)
            .build();
        let srcpad = gst::Pad::builder_from_template(&template("src"))
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(pad, query))
            })
            .build();
        Self {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            fallback: Mutex::default(),
            loaded: Mutex::default(),
            cancel: Cancel::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for AudioFeatures {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        warn_if_late(&*self.obj(), pspec);
        self.settings.lock().set(pspec.name(), value);
        if pspec.name() == "model" {
            *self.fallback.lock() = None;
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.settings.lock().get(pspec.name())
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        // The element is new, so no pad of these names can be there.
        element.add_pad(&self.sinkpad).expect("the sink pad is added");
        element.add_pad(&self.srcpad).expect("the source pad is added");
    }
}

impl GstObjectImpl for AudioFeatures {}

impl ElementImpl for AudioFeatures {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Lip-sync audio features",
                "Filter/Analyzer/Audio",
                "Turns sound into the rows of numbers that a lip-sync model listens to",
                "The gst-plugin-lipsync developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let sound = || {
                gst_audio::AudioCapsBuilder::new_interleaved()
                    .format(gst_audio::AudioFormat::F32le)
                    .rate_range(4_000..=192_000)
            };
            // Channels of which nobody knows where they are heard are mixed here: audioconvert does not know how.
            let mut all = sound().channels(1).build();
            all.merge(sound().channels_range(2..=64).channel_mask(0).build());
            let features = gst::Caps::new_empty_simple("application/x-lipsync-features");
            let template = |name, direction, caps: &gst::Caps| {
                // Fails only for a malformed name.
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).expect("a valid template")
            };
            vec![template("sink", gst::PadDirection::Sink, &all), template("src", gst::PadDirection::Src, &features)]
        });
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.prepare().map_err(|error| {
                self.post_error_message(error);
                gst::StateChangeError
            })?,
            gst::StateChange::ReadyToPaused => self.cancel.start(),
            gst::StateChange::PausedToReady => self.cancel.stop(),
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToReady => *self.state.lock() = State::default(),
            gst::StateChange::ReadyToNull => {
                *self.fallback.lock() = None;
                *self.loaded.lock() = None;
            }
            _ => (),
        }
        Ok(success)
    }
}
