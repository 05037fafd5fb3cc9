// SPDX-License-Identifier: MPL-2.0
//! The element. Frames wait in `State::items` until the rows around their time are there, then leave in batches.
//!
//! Lock order: `settings`, `state`, `loaded`; each is held for a few instructions only, and none across a call into GStreamer
//! that may take the aggregator's own locks (finish_buffer, set_latency, latency, post_message).

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use parking_lot::Mutex;

use super::arrival::Arrival;
use super::flushes::Flushes;
use super::loaded::{Loaded, new_rows};
use super::queries::{Asked, refuses_seeks};
use super::segments::Segments;
use super::settings::{Settings, properties};
use super::state::{Item, State};
use super::stats::Stats;
use super::watchdog::{Phase, Watchdog};
use super::{CAT, OnAudioEnd, OnStall};
use crate::model::Model;
use crate::pixels;
use crate::properties::warn_if_late;
use crate::runtime::Cancel;

/// Frames per run when not live, where `batch-size` is 0.
const BATCH: usize = 8;

/// Bytes of frames in such a run: large pictures gain nothing by waiting for each other.
const BATCH_BYTES: usize = 32 << 20;

/// Held frames and look-ahead together stay below this, so that the sound waiting beside them fits a default queue (1 s).
const MAX_HELD: gst::ClockTime = gst::ClockTime::from_mseconds(800);

/// Assumed between frames where the caps do not tell.
pub(super) const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// For the work on a frame, in a live pipeline, before anything that the property `latency` adds. Not of the caps' frame rate, which
/// says nothing of how long the work takes, and cameras are slower than theirs where it is dark.
const WORK: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// An event of this element's to itself.
const WAKE: &str = "lipsync-wake";

pub struct LipsyncGen {
    pub(super) video: gst_base::AggregatorPad,
    pub(super) features: Mutex<Option<gst_base::AggregatorPad>>,
    pub(super) settings: Mutex<Settings>,
    pub(super) state: Mutex<State>,
    pub(super) loaded: Mutex<Option<Loaded>>,
    pub(super) stats: Mutex<Stats>,
    pub(super) watchdog: Watchdog,
    /// A flush or a state change waits for the streaming thread.
    pub(super) cancel: Cancel,
    flushes: Mutex<Flushes>,
    arrival: Arrival,
    pub(super) asked: Asked,
}

impl LipsyncGen {
    pub(super) fn loaded(&self) -> Option<Loaded> {
        self.loaded.lock().clone()
    }

    pub(super) fn model(&self) -> Option<Arc<Model>> {
        self.loaded.lock().as_ref().map(|l| l.model.clone())
    }

    /// What the watchdog goes by, as it is now.
    pub(super) fn stall_settings(&self) -> (Duration, OnStall) {
        let settings = self.settings.lock();
        (settings.stall_timeout.into(), settings.on_stall)
    }

    /// Whether frames wait here for rows.
    pub(super) fn holds_frames(&self) -> bool {
        self.state.lock().frames().next().is_some()
    }

    /// What is held, for the reader of a message.
    pub(super) fn levels(&self) -> String {
        self.state.lock().levels().to_string()
    }

    /// How long after a frame's time its last row comes.
    fn look_ahead(&self, loaded: &Loaded, av_offset: i64) -> gst::ClockTime {
        let nanos = loaded.look_ahead() - av_offset;
        gst::ClockTime::from_nseconds(nanos.max(0) as u64)
    }

    fn update_latency(&self) {
        let Some(loaded) = self.loaded() else { return };
        let av_offset = self.settings.lock().av_offset;
        self.obj().set_latency(self.look_ahead(&loaded, av_offset) + WORK, None);
    }

    /// Frames per run and the most frames that may wait.
    pub(super) fn batch_and_capacity(&self, settings: &Settings, loaded: &Loaded, live: bool) -> (usize, usize) {
        let (frame, size) = {
            let state = self.state.lock();
            (state.frame_duration.unwrap_or(FRAME).nseconds().max(1), state.frame_size.max(1))
        };
        let look_ahead = self.look_ahead(loaded, settings.av_offset);
        let waiting = look_ahead.nseconds().div_ceil(frame) as usize;
        let room = (MAX_HELD.saturating_sub(look_ahead).nseconds() / frame).max(1) as usize;
        let batch = match settings.batch_size as usize {
            _ if live => 1,
            0 => BATCH.min(room).min((BATCH_BYTES / size).max(1)),
            n => n,
        };
        (batch, (waiting + batch - 1).max(batch))
    }

    fn reset(&self) {
        let rows = self.model().map(|model| new_rows(&model));
        let mut state = self.state.lock();
        let (frame_duration, frame_size) = (state.frame_duration, state.frame_size);
        *state = State { rows, frame_duration, frame_size, ..State::default() };
    }

    /// Sends `caps` or a segment on, behind the frames that came before it.
    pub(super) fn follow(&self, item: Item) {
        {
            let mut state = self.state.lock();
            if !state.items.is_empty() {
                state.items.push_back(item);
                return;
            }
        }
        match item {
            Item::Caps(caps) => self.obj().set_src_caps(&caps),
            Item::Segment(segment) => self.obj().update_segment(&segment),
            Item::SegmentDone(event) => _ = self.obj().src_pad().push_event(event),
            Item::Frame(_) => {}
        }
    }

    /// Drops the rows of the speech that ends here, which fades.
    fn interrupt(&self) {
        let mut state = self.state.lock();
        gst::debug!(CAT, imp = self, "interrupted; {}", state.levels());
        state.interrupted = true;
        state.hush.interrupt();
        if let Some(rows) = &mut state.rows {
            rows.clear();
            rows.end();
        }
    }

    /// Frames that waited for rows may go now: has the aggregator look again, which an event in its queue does.
    pub(super) fn wake(&self, pad: &gst_base::AggregatorPad) {
        // Refused where everything is being flushed, which wakes it too.
        let _ =
            self.parent_sink_event_pre_queue(pad, gst::event::CustomDownstream::new(gst::Structure::new_empty(WAKE)));
    }

    /// Checks that the rows on the features pad are the model's.
    fn features_caps(&self, caps: &gst::CapsRef) -> bool {
        let Some(model) = self.model() else { return false };
        let expected = model.features_caps();
        if caps.can_intersect(&expected) {
            return true;
        }
        gst::element_imp_error!(
            self,
            gst::StreamError::Format,
            ("The features are not those of model \"{}\": expected {expected}, found {caps}", &*model.manifest.name)
        );
        false
    }

    /// Sends the frames that can be sent now.
    fn step(&self, timeout: bool) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some(loaded) = self.loaded() else { return Err(gst::FlowError::Flushing) };
        let settings = self.settings.lock().clone();
        let latency = self.obj().latency();
        let (batch, capacity) = self.batch_and_capacity(&settings, &loaded, latency.is_some());
        // The first frame does not wait for a whole batch.
        let batch = if self.state.lock().begun { batch } else { 1 };
        self.watchdog.enter(Phase::Waiting);
        let timeout = timeout && self.is_overdue(latency);
        self.leave_sound_alone();
        self.take_frame(capacity);
        self.take_features(&loaded, settings.av_offset, batch);
        let (ready, held) = self.ready_frames(&loaded, settings.av_offset);
        let video_ended = self.video.is_eos();
        let count = if ready >= batch {
            batch
        } else if (video_ended || self.state.lock().segments.picture) && ready == held {
            held
        } else if timeout {
            ready.max(1).min(held)
        } else {
            0
        };
        if timeout && held == 0 && !video_ended {
            self.let_rows_go(&loaded);
        }
        if count > 0 {
            self.state.lock().begun = true;
            let items = self.take_items(count);
            let sound_ended = self.features.lock().as_ref().is_some_and(|pad| pad.is_eos());
            let end_with_audio = sound_ended && settings.on_audio_end == OnAudioEnd::Eos;
            let result = self.process(&settings, &loaded, items, latency, end_with_audio);
            self.watchdog.enter(Phase::Waiting);
            return result;
        }
        if video_ended && held == 0 {
            return Err(gst::FlowError::Eos);
        }
        self.leave_segments(&loaded, held);
        Err(gst_base::AGGREGATOR_FLOW_NEED_DATA)
    }

    /// Whether the oldest frame can wait no longer, in a live pipeline; where there is none the aggregator is right.
    fn is_overdue(&self, latency: Option<gst::ClockTime>) -> bool {
        let oldest = self.state.lock().frames().next().and_then(|frame| frame.time);
        let (Some(time), Some(latency), Some(now)) = (oldest, latency, self.obj().current_running_time()) else {
            return true;
        };
        now.nseconds() as i64 >= time.saturating_add_unsigned(latency.nseconds())
    }

    /// Says where nobody spoke, refuses from here on what still comes, and lets those go who wait for room in a pad: since GStreamer
    /// 1.24 the aggregator leaves them there, and with them whatever the same thread feeds.
    fn end(&self) {
        let text = {
            let mut state = self.state.lock();
            state.over = true;
            std::mem::take(&mut state.summary).text()
        };
        if let Some(text) = text {
            gst::element_imp_warning!(self, gst::StreamError::Failed, ("{text}"));
        }
        let features = self.features.lock().clone();
        for pad in [&self.video].into_iter().chain(&features) {
            while pad.drop_buffer() {}
        }
    }

    /// Live, frames enter when their time has come.
    fn hold_early_frames(&self) {
        let element = self.obj().downgrade();
        self.video.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            // The pad's own segment, which is that of this buffer: the aggregator's may still be the one before.
            let segment = pad.sticky_event::<gst::event::Segment>(0);
            let segment = segment.as_ref().and_then(|s| s.segment().downcast_ref::<gst::ClockTime>());
            if let (Some(element), Some(buffer), Some(segment)) = (element.upgrade(), info.buffer(), segment)
                && segment.rate() > 0.0
                && element.latency().is_some()
                && let Some(time) = segment.to_running_time(buffer.pts())
            {
                element.imp().arrival.wait(&element, time);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// After the end, a flush of one side alone makes the aggregator take in what comes there again, and never let go of it.
    fn refuse_when_over(&self, pad: &gst::Pad) {
        let element = self.obj().downgrade();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let refuses = |state: &State| state.over && !state.seeking;
            if element.upgrade().is_none_or(|element| !refuses(&element.imp().state.lock())) {
                return gst::PadProbeReturn::Ok;
            }
            info.data = None;
            info.flow_res = Err(gst::FlowError::Eos);
            gst::PadProbeReturn::Handled
        });
    }
}

#[glib::object_subclass]
impl ObjectSubclass for LipsyncGen {
    const NAME: &'static str = "GstLipsyncGen";
    type Type = super::LipsyncGen;
    type ParentType = gst_base::Aggregator;

    fn with_class(class: &Self::Class) -> Self {
        // The template is among those this class registers below.
        let template = class.pad_template("sink").expect("the sink template is registered");
        let video = gst::PadBuilder::<gst_base::AggregatorPad>::from_template(&template).build();
        Self {
            video,
            features: Mutex::default(),
            settings: Mutex::default(),
            state: Mutex::default(),
            loaded: Mutex::default(),
            stats: Mutex::default(),
            watchdog: Watchdog::default(),
            cancel: Cancel::default(),
            flushes: Mutex::default(),
            arrival: Arrival::default(),
            asked: Asked::default(),
        }
    }
}

impl ObjectImpl for LipsyncGen {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        warn_if_late(&*self.obj(), pspec);
        self.settings.lock().set(pspec.name(), value);
        if pspec.name() == "av-offset" {
            self.update_latency();
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => {
                let levels = self.state.lock().levels();
                self.stats.lock().structure(&levels).to_value()
            }
            name => self.settings.lock().get(name),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        // The pad is new and the element has none of that name, so this cannot fail.
        let _ = self.obj().add_pad(&self.video);
        self.refuse_when_over(self.video.upcast_ref());
        self.hold_early_frames();
    }
}

impl GstObjectImpl for LipsyncGen {}

impl ElementImpl for LipsyncGen {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Lip-sync generator",
                "Combiner/Effect/Video",
                "Makes the faces that facecrop found speak the sound that audiofeatures heard",
                "The gst-plugin-lipsync developers",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = |name, direction, presence, caps: &gst::Caps| {
                gst::PadTemplate::with_gtype(name, direction, presence, caps, gst_base::AggregatorPad::static_type())
            };
            let video = pixels::caps();
            let features = gst::Caps::builder("application/x-lipsync-features")
                .field("width", gst::IntRange::new(1, i32::MAX))
                .field("format", "F32LE")
                .build();
            [
                template("sink", gst::PadDirection::Sink, gst::PadPresence::Always, &video),
                template("features", gst::PadDirection::Sink, gst::PadPresence::Request, &features),
                template("src", gst::PadDirection::Src, gst::PadPresence::Always, &video),
            ]
            .into_iter()
            .flatten()
            .collect()
        });
        TEMPLATES.as_ref()
    }

    // Not the aggregator's create_new_pad: what that returns is expected to have no owner yet, and would never be freed.
    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let pad = {
            let mut features = self.features.lock();
            if template.name_template() != "features" || features.is_some() {
                gst::warning!(CAT, imp = self, "there is one features pad only");
                return None;
            }
            let pad = gst::PadBuilder::<gst_base::AggregatorPad>::from_template(template).name("features").build();
            features.insert(pad).clone().upcast::<gst::Pad>()
        };
        {
            // Without the pad there was nothing to wait for; now there is, from its first buffer on.
            let mut state = self.state.lock();
            (state.front_taken, state.segments.sound) = (false, false);
            if let Some(rows) = &mut state.rows {
                rows.clear();
            }
        }
        let element = self.obj();
        if element.src_pad().is_active() {
            // Fails only while it is stopped, which makes it inactive anyway.
            let _ = pad.set_active(true);
        }
        element.add_pad(&pad).ok()?;
        self.refuse_when_over(&pad);
        Some(pad)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        let mut features = self.features.lock();
        if features.as_ref().is_some_and(|own| own.upcast_ref::<gst::Pad>() == pad) {
            *features = None;
        }
        drop(features);
        self.state.lock().segments.sound = false;
        self.parent_release_pad(pad);
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.load().map_err(|error| {
                self.post_error_message(error);
                gst::StateChangeError
            })?,
            gst::StateChange::ReadyToPaused => {
                let settings = self.settings.lock().clone();
                // The model may be changed in READY.
                if self.loaded().is_none_or(|loaded| !loaded.is_for(&settings)) {
                    self.load().map_err(|error| {
                        self.post_error_message(error);
                        gst::StateChangeError
                    })?;
                }
                self.cancel.start();
                self.arrival.start();
            }
            gst::StateChange::PausedToReady => {
                self.cancel.stop();
                self.arrival.stop();
                self.watchdog.stop();
            }
            _ => {}
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::ReadyToPaused => {
                self.watchdog.start(&self.obj());
            }
            gst::StateChange::ReadyToNull => *self.loaded.lock() = None,
            _ => {}
        }
        Ok(success)
    }
}

impl AggregatorImpl for LipsyncGen {
    fn aggregate(&self, timeout: bool) -> Result<gst::FlowSuccess, gst::FlowError> {
        let result = self.step(timeout);
        if result == Err(gst::FlowError::Eos) {
            self.end();
        }
        if result.is_err_and(|error| error != gst_base::AGGREGATOR_FLOW_NEED_DATA) {
            // The aggregator empties its pads.
            self.state.lock().segments = Segments::default();
        }
        result
    }

    fn next_time(&self) -> Option<gst::ClockTime> {
        let (waiting, front_taken) = {
            let state = self.state.lock();
            (state.frames().next().map(|frame| frame.time), state.front_taken)
        };
        let coming = || self.video.peek_buffer().filter(|_| !self.state.lock().segments.picture);
        let oldest = waiting.or_else(|| Some(self.time_of(&*coming()?)));
        let ready = |time| {
            let (loaded, av_offset) = (self.loaded(), self.settings.lock().av_offset);
            loaded.is_some_and(|loaded| self.state.lock().is_ready(time, &loaded.windows, av_offset))
        };
        let rows_came = || self.features.lock().as_ref().is_some_and(|pad| pad.has_buffer()) && !front_taken;
        if oldest.is_some_and(ready) || waiting.is_some() && rows_came() {
            // The aggregator would wait for another frame, or for rows: a slow camera has none, an interrupted speech has no more.
            // This makes it call at once.
            return Some(gst::ClockTime::ZERO);
        }
        match oldest {
            // Its own time and not where the frame before it ended: a camera may be slower than its caps say.
            Some(Some(time)) => Some(gst::ClockTime::from_nseconds(u64::try_from(time).unwrap_or(0))),
            None if !self.video.is_eos() => {
                // Nothing can be sent at a deadline. But the sound goes on.
                self.rows_due()
            }
            _ => self.obj().simple_get_next_time(),
        }
    }

    fn sink_event(&self, pad: &gst_base::AggregatorPad, event: gst::Event) -> bool {
        use gst::EventView;
        let is_video = *pad == self.video;
        let event = if is_video {
            self.flushes.lock().video(&event);
            event
        } else {
            self.flushes.lock().features(event)
        };
        match event.view() {
            EventView::Caps(caps) if is_video => {
                let Ok(info) = gst_video::VideoInfo::from_caps(caps.caps()) else {
                    gst::error!(CAT, imp = self, "not raw video: {}", caps.caps());
                    return false;
                };
                let fps = info.fps();
                let duration = (fps.numer() > 0)
                    .then(|| gst::ClockTime::SECOND.mul_div_round(fps.denom() as u64, fps.numer() as u64))
                    .flatten();
                {
                    let mut state = self.state.lock();
                    (state.frame_duration, state.frame_size) = (duration, info.size());
                }
                self.update_latency();
                self.follow(Item::Caps(caps.caps_owned()));
            }
            EventView::Caps(caps) if !self.features_caps(caps.caps()) => return false,
            EventView::Segment(segment) if is_video => self.follow(Item::Segment(segment.segment().clone())),
            EventView::SegmentDone(_) => {
                if is_video {
                    self.follow(Item::SegmentDone(event));
                }
                return true;
            }
            EventView::Gap(_) => return self.take_gap(pad, event),
            EventView::FlushStart(_) if is_video => {
                self.cancel.flush_start();
                self.arrival.flush(true);
            }
            EventView::FlushStop(_) if is_video => {
                self.cancel.flush_stop();
                self.arrival.flush(false);
                self.state.lock().flush();
            }
            EventView::FlushStop(_) => {
                let mut state = self.state.lock();
                (state.front_taken, state.segments.sound) = (false, false);
                if let Some(rows) = &mut state.rows {
                    rows.clear();
                }
            }
            EventView::CustomDownstreamOob(_) if !is_video && event.has_name("lipsync-interrupt") => {
                self.interrupt();
                self.wake(pad);
                return true;
            }
            EventView::CustomDownstream(_) if event.has_name(WAKE) => return true,
            _ => {}
        }
        self.parent_sink_event(pad, event)
    }

    fn sink_event_pre_queue(
        &self,
        pad: &gst_base::AggregatorPad,
        event: gst::Event,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if event.type_() == gst::EventType::SegmentDone {
            self.mark_end(pad);
        }
        self.parent_sink_event_pre_queue(pad, event)
    }

    fn sink_query_pre_queue(&self, pad: &gst_base::AggregatorPad, query: &mut gst::QueryRef) -> bool {
        if !query.is_serialized() {
            return self.answer(pad, query);
        }
        // Nothing is known about the memory of features, and after the end nobody answers: no use in waiting for one's turn.
        if *pad != self.video || self.state.lock().over {
            return false;
        }
        let _asks = self.asked.add(query);
        self.parent_sink_query_pre_queue(pad, query)
    }

    fn sink_query(&self, _pad: &gst_base::AggregatorPad, query: &mut gst::QueryRef) -> bool {
        self.answer_serialized(query)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        // The aggregator waits for both sides to flush. One that cannot be sought in, such as a picture without end, never does.
        if event.type_() == gst::EventType::Seek && self.obj().sink_pads().iter().any(refuses_seeks) {
            gst::info!(CAT, imp = self, "not everything before here can be sought in");
            return false;
        }
        let gst::EventView::Seek(seek) = event.view() else { return self.parent_src_event(event) };
        let (rate, flags, ..) = seek.get();
        // Nobody tells beforehand whether he can play backwards, and a seek that only the picture's side has done leaves both waiting.
        let features = self.features.lock().clone().filter(|_| rate < 0.0);
        if features.is_some_and(|pad| !pad.push_event(event.clone())) {
            gst::info!(CAT, imp = self, "the sound cannot be played backwards");
            return false;
        }
        if !flags.contains(gst::SeekFlags::FLUSH) {
            return self.parent_src_event(event);
        }
        // The aggregator waits for the streaming thread before anything is flushed.
        self.cancel.flush_start();
        self.state.lock().seeking = true;
        let sought = self.parent_src_event(event);
        self.state.lock().seeking = false;
        self.cancel.flush_stop();
        sought
    }

    fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        self.answer_downstream(query) || self.parent_src_query(query)
    }

    fn negotiate(&self) -> bool {
        // The caps are the video pad's, set when they come.
        true
    }

    fn flush(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let rows = self.model().map(|model| new_rows(&model));
        {
            let mut state = self.state.lock();
            state.flush();
            state.rows = rows;
            state.front_taken = false;
            state.interrupted = false;
            state.over = false;
        }
        self.parent_flush()
    }

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.reset();
        *self.stats.lock() = Stats::default();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let mut state = self.state.lock();
        *state = State::default();
        Ok(())
    }
}
