// SPDX-License-Identifier: MPL-2.0
//! The element: pads, events and queries around an [`Extractor`].

use std::sync::{Arc, LazyLock};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst::{ClockTime, FlowError, FlowSuccess};
use parking_lot::Mutex;

use super::extractor::Extractor;
use super::stream::reach;
use super::timeline::wait_for;
use crate::model::manifest::AudioFeatures as Recipe;
use crate::model::{self, DEFAULT_MODEL, Model};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("audiofeatures", gst::DebugColorFlags::empty(), Some("Sound features for lip-sync models"))
});

/// The event that makes the mouth fall silent at once.
const INTERRUPT: &str = "lipsync-interrupt";

const BYTES_PER_SAMPLE: usize = size_of::<f32>();

#[derive(Clone)]
struct Settings {
    model: Option<String>,
    silence_threshold: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { model: None, silence_threshold: -50.0 }
    }
}

impl Settings {
    /// The threshold as a mean square.
    fn silence(&self) -> f64 {
        10f64.powf(self.silence_threshold / 10.0)
    }
}

/// What belongs to the stream.
#[derive(Default)]
struct State {
    segment: Option<gst::FormattedSegment<ClockTime>>,
    /// Since the sound's caps are known.
    work: Option<Work>,
    /// Changes when what is under way must not come out any more.
    generation: u64,
    warned_of_non_numbers: bool,
    /// The last answer to a LATENCY query.
    reported_latency: Option<ClockTime>,
}

struct Work {
    recipe: Recipe,
    /// The recipe is that of the generator downstream.
    confirmed: bool,
    extractor: Extractor,
}

pub struct AudioFeatures {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    /// The model to use where nobody downstream names one.
    fallback: Mutex<Option<Arc<Model>>>,
    // Never held while anything is pushed, posted or asked, nor together with another lock.
    state: Mutex<State>,
}

impl AudioFeatures {
    /// The model named by this element's property, else the default one.
    fn fallback(&self) -> Result<Arc<Model>, gst::ErrorMessage> {
        if let Some(model) = self.fallback.lock().clone() {
            return Ok(model);
        }
        let name = self.settings.lock().model.clone();
        let model = Model::open(name.as_deref().unwrap_or(DEFAULT_MODEL))?;
        *self.fallback.lock() = Some(model.clone());
        Ok(model)
    }

    /// The model to use, and whether downstream has named it.
    fn model(&self) -> Result<(Arc<Model>, bool), gst::ErrorMessage> {
        let Some(answer) = model::ask(&self.srcpad) else { return Ok((self.fallback()?, false)) };
        if self.settings.lock().model.is_some() {
            let own = self.fallback()?;
            if own.folder != answer.folder {
                return Err(gst::error_msg!(
                    gst::ResourceError::Settings,
                    (
                        "audiofeatures has model={}, but lipsyncgen uses {}; name the model on lipsyncgen alone",
                        own.folder.display(),
                        answer.folder.display()
                    )
                ));
            }
        }
        Ok((answer, true))
    }

    /// Settles on the model for sound of `sample_rate` and says downstream what will come.
    fn configure(&self, sample_rate: u32) -> Result<(), gst::ErrorMessage> {
        let (model, confirmed) = self.model()?;
        let recipe = &model.manifest.audiofeatures;
        let (name, expected_rate) = (&*model.manifest.name, recipe.recipe.sample_rate);
        if sample_rate != expected_rate {
            return Err(gst::error_msg!(
                gst::CoreError::Negotiation,
                ("model \"{name}\" listens at {expected_rate} Hz, but the sound has {sample_rate} Hz; put \
                     audioconvert ! audioresample before audiofeatures, and if it is there, name the model on \
                     audiofeatures too")
            ));
        }
        if let Some(work) = &mut self.state.lock().work
            && work.recipe == *recipe
        {
            work.confirmed = confirmed;
            return Ok(());
        }
        let caps = model.features_caps();
        let accepted = self.srcpad.peer_query_caps(None);
        if !caps.can_intersect(&accepted) {
            return Err(gst::error_msg!(
                gst::CoreError::Negotiation,
                ("audiofeatures makes {caps} (model \"{name}\"), but the next element expects {accepted}; \
                     give both the same model")
            ));
        }
        self.drain();
        let latency = {
            let extractor = Extractor::new(&recipe.recipe);
            let mut state = self.state.lock();
            state.work = Some(Work { recipe: recipe.clone(), confirmed, extractor });
            state.reported_latency
        };
        gst::info!(CAT, imp = self, "model {name}, confirmed: {confirmed}, {caps}");
        self.srcpad.push_event(gst::event::Caps::new(&caps));
        if latency.is_some_and(|latency| latency != latency_of(recipe)) {
            let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        }
        Ok(())
    }

    /// Asks again for the model: until downstream has answered, and when something else was linked there.
    fn follow_model(&self) -> Result<(), FlowError> {
        let relinked = self.srcpad.check_reconfigure();
        let sample_rate = match &self.state.lock().work {
            None => return Err(FlowError::NotNegotiated),
            Some(work) if work.confirmed && !relinked => return Ok(()),
            Some(work) => work.recipe.recipe.sample_rate,
        };
        self.configure(sample_rate).map_err(|error| {
            self.post_error_message(error);
            FlowError::NotNegotiated
        })
    }

    fn chain(&self, buffer: gst::Buffer) -> Result<FlowSuccess, FlowError> {
        self.follow_model()?;
        let (segment, sample_rate) = {
            let state = self.state.lock();
            let (Some(segment), Some(work)) = (&state.segment, &state.work) else {
                return Err(FlowError::NotNegotiated);
            };
            (segment.clone(), work.recipe.recipe.sample_rate)
        };
        let Some(buffer) =
            gst_audio::audio_buffer_clip(buffer, segment.upcast_ref(), sample_rate, BYTES_PER_SAMPLE as u32)
        else {
            gst::log!(CAT, imp = self, "dropped a buffer outside the segment");
            return Ok(FlowSuccess::Ok);
        };
        if buffer.size() < BYTES_PER_SAMPLE {
            return Ok(FlowSuccess::Ok);
        }
        let map = buffer.map_readable().map_err(|_| {
            gst::element_imp_error!(self, gst::ResourceError::Read, ("cannot read the sound's memory"));
            FlowError::Error
        })?;
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        // A second at a time: a long buffer neither holds the lock for long nor fills memory with rows.
        let pieces = map.chunks(sample_rate as usize * BYTES_PER_SAMPLE).map(|bytes| self.samples(bytes));
        let generation = self.start(buffer.pts(), discont, segment.start())?;
        self.feed(pieces, generation)
    }

    /// Sound as numbers; whatever is none becomes 0.
    fn samples(&self, bytes: &[u8]) -> Vec<f32> {
        let mut replaced = 0;
        let samples = bytes
            .as_chunks::<BYTES_PER_SAMPLE>()
            .0
            .iter()
            .map(|bytes| {
                let sample = f32::from_le_bytes(*bytes);
                replaced += usize::from(!sample.is_finite());
                if sample.is_finite() { sample } else { 0.0 }
            })
            .collect();
        if replaced > 0 && !std::mem::replace(&mut self.state.lock().warned_of_non_numbers, true) {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                ("the sound holds NaN or infinite samples, which are taken as 0; look at the element that makes them")
            );
        }
        samples
    }

    /// Sees to it that sound at `pts` has its stretch: the present one where it goes on, else a new one.
    fn start(&self, pts: Option<ClockTime>, discont: bool, segment_start: Option<ClockTime>) -> Result<u64, FlowError> {
        let silence = self.settings.lock().silence();
        let mut state = self.state.lock();
        let generation = state.generation;
        let Some(work) = &mut state.work else { return Ok(generation) };
        if work.extractor.continues(pts) && !discont {
            return Ok(generation);
        }
        let last_rows = work.extractor.drain(silence);
        let anchor = pts.or(segment_start).unwrap_or(ClockTime::ZERO);
        work.extractor.begin(anchor);
        drop(state);
        gst::debug!(CAT, imp = self, "a stretch of sound starts at {anchor}");
        self.push(last_rows, generation)?;
        Ok(generation)
    }

    fn feed(&self, pieces: impl Iterator<Item = Vec<f32>>, generation: u64) -> Result<FlowSuccess, FlowError> {
        let silence = self.settings.lock().silence();
        for piece in pieces {
            let rows = match &mut *self.state.lock() {
                State { generation: now, work: Some(work), .. } if *now == generation => {
                    work.extractor.push(&piece, silence)
                }
                _ => break,
            };
            self.push(rows, generation)?;
        }
        Ok(FlowSuccess::Ok)
    }

    fn push(&self, buffers: Vec<gst::Buffer>, generation: u64) -> Result<FlowSuccess, FlowError> {
        for buffer in buffers {
            if self.state.lock().generation != generation {
                break;
            }
            self.srcpad.push(buffer)?;
        }
        Ok(FlowSuccess::Ok)
    }

    /// Ends the stretch and sends its last rows.
    fn drain(&self) {
        let silence = self.settings.lock().silence();
        let (rows, generation) = {
            let mut state = self.state.lock();
            let rows = state.work.as_mut().map(|work| work.extractor.drain(silence)).unwrap_or_default();
            (rows, state.generation)
        };
        // If nobody takes them, the next buffer or event will hear of it.
        if let Err(error) = self.push(rows, generation) {
            gst::debug!(CAT, imp = self, "the last rows of the stretch were not taken: {error}");
        }
    }

    /// Drops the stretch, and whatever is on its way out of here; with `flush` the segment too.
    fn interrupt(&self, flush: bool) {
        let mut state = self.state.lock();
        state.generation += 1;
        if let Some(work) = &mut state.work {
            work.extractor.reset();
        }
        if flush {
            state.segment = None;
        }
    }

    /// A gap is silence: it gives the rows that buffers of zeros would give.
    fn gap(&self, gap: &gst::event::Gap) -> bool {
        let (pts, duration) = gap.get();
        let (segment, sample_rate) = {
            let state = self.state.lock();
            let (Some(segment), Some(work)) = (&state.segment, &state.work) else { return false };
            (segment.clone(), work.recipe.recipe.sample_rate)
        };
        let Some(end) = duration.and_then(|duration| pts.checked_add(duration)) else {
            // Nobody knows how long it lasts.
            self.drain();
            return false;
        };
        let Some((Some(start), Some(end))) = segment.clip(pts, end) else { return true };
        let fill = |generation| {
            let mut missing = match &self.state.lock().work {
                Some(work) => work.extractor.samples_until(end),
                None => 0,
            };
            let pieces = std::iter::from_fn(|| {
                let length = missing.min(u64::from(sample_rate));
                missing -= length;
                (length > 0).then(|| vec![0.0; length as usize])
            });
            self.feed(pieces, generation)
        };
        self.start(Some(start), false, None).and_then(fill).is_ok()
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        gst::log!(CAT, obj = pad, "{event:?}");
        let forward = |event| gst::Pad::event_default(pad, Some(&*self.obj()), event);
        match event.view() {
            EventView::StreamStart(start) => {
                let id = format!("{}/features", start.stream_id());
                let new = gst::event::StreamStart::builder(&id).seqnum(event.seqnum()).flags(start.stream_flags());
                self.srcpad.push_event(new.group_id_if_some(start.group_id()).build())
            }
            EventView::Caps(caps) => {
                let rate = caps.caps().structure(0).and_then(|s| s.get::<i32>("rate").ok()).unwrap_or(0);
                match self.configure(rate as u32) {
                    Ok(()) => true,
                    Err(error) => {
                        self.post_error_message(error);
                        false
                    }
                }
            }
            EventView::Segment(segment) => {
                self.drain();
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
            EventView::Gap(gap) => self.gap(gap) || forward(event),
            EventView::Eos(_) => {
                self.drain();
                forward(event)
            }
            EventView::FlushStop(_) => {
                self.interrupt(true);
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

    /// What the sink pad takes: the model's sample rate, once there is one.
    fn sink_caps(&self) -> gst::Caps {
        let mut caps = self.sinkpad.pad_template_caps();
        // Elements are linked before they start, and lipsyncgen names its model only then: the default may be wrong.
        let is_guess = self.obj().current_state() == gst::State::Null && self.settings.lock().model.is_none();
        let model = if is_guess { model::ask(&self.srcpad) } else { self.model().ok().map(|(model, _)| model) };
        if let Some(model) = model {
            caps.make_mut().set("rate", model.manifest.audiofeatures.recipe.sample_rate as i32);
        }
        caps
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(caps) => {
                let mut answer = self.sink_caps();
                if let Some(filter) = caps.filter() {
                    answer = filter.intersect_with_mode(&answer, gst::CapsIntersectMode::First);
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
                let known = self.state.lock().work.as_ref().map(|work| latency_of(&work.recipe));
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

/// How long after its own time a row comes out: when the right half of its window has been heard. It comes out with the very
/// buffer that completes it, so nothing else adds to that.
fn latency_of(recipe: &Recipe) -> ClockTime {
    wait_for(reach(&recipe.recipe), recipe.recipe.sample_rate)
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
            .flags(gst::PadFlags::FIXED_CAPS)
            .build();
        Self { sinkpad, srcpad, settings: Mutex::default(), fallback: Mutex::default(), state: Mutex::default() }
    }
}

impl ObjectImpl for AudioFeatures {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            vec![
                glib::ParamSpecString::builder("model")
                    .nick("Model")
                    .blurb(
                        "Name or folder of the model whose features are made. Normally not set: the model is that of the \
                         lipsyncgen downstream, and where there is none, the default model",
                    )
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("silence-threshold")
                    .nick("Silence threshold")
                    .blurb(
                        "Loudness in dBFS (RMS of a row's own stretch of sound) below which rows are flagged as silence, \
                         200 ms after the last louder one",
                    )
                    .minimum(-200.0)
                    .maximum(0.0)
                    .default_value(defaults.silence_threshold)
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        // GObject has checked the types.
        match pspec.name() {
            "model" => {
                let name = value.get::<Option<String>>().expect("type checked upstream");
                self.settings.lock().model = name.filter(|name| !name.is_empty());
                *self.fallback.lock() = None;
            }
            "silence-threshold" => {
                self.settings.lock().silence_threshold = value.get().expect("type checked upstream");
            }
            // GObject sets only what `properties` lists.
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock().clone();
        match pspec.name() {
            "model" => settings.model.to_value(),
            "silence-threshold" => settings.silence_threshold.to_value(),
            // GObject asks only for what `properties` lists.
            _ => pspec.default_value().clone(),
        }
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
            let sound = gst_audio::AudioCapsBuilder::new_interleaved()
                .format(gst_audio::AudioFormat::F32le)
                .rate_range(4_000..=192_000)
                .channels(1)
                .build();
            let features = gst::Caps::new_empty_simple("application/x-lipsync-features");
            let template = |name, direction, caps: &gst::Caps| {
                // Fails only for a malformed name.
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).expect("a valid template")
            };
            vec![template("sink", gst::PadDirection::Sink, &sound), template("src", gst::PadDirection::Src, &features)]
        });
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady
            && self.settings.lock().model.is_some()
            && let Err(error) = self.fallback()
        {
            self.post_error_message(error);
            return Err(gst::StateChangeError);
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToReady => *self.state.lock() = State::default(),
            gst::StateChange::ReadyToNull => *self.fallback.lock() = None,
            _ => (),
        }
        Ok(success)
    }
}
