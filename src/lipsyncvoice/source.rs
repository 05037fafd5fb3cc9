// SPDX-License-Identifier: MPL-2.0
//! The live source inside: takes samples at its sink pad, and says them on the clock.
//!
//! Lock order: `settings`, `state`; neither is held across a call into GStreamer that waits.

use std::sync::LazyLock;
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_audio::AudioInfo;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use parking_lot::{Condvar, Mutex};

use super::queue::{Event, Queue};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("lipsyncvoice", gst::DebugColorFlags::empty(), Some("Live sound of a voice"))
});

/// Buffers in a second.
const BUFFERS: u32 = 100;

/// How long a sender waits before it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Clone, Copy)]
struct Settings {
    delay: gst::ClockTime,
    max_time: gst::ClockTime,
}

impl Default for Settings {
    fn default() -> Self {
        Self { delay: gst::ClockTime::from_mseconds(80), max_time: gst::ClockTime::from_seconds(60) }
    }
}

#[derive(Default)]
struct State {
    /// There is somebody behind the element, who may have wishes.
    started: bool,
    /// Of both pads, from when one of them has to know it.
    info: Option<AudioInfo>,
    queue: Option<Queue>,
    /// Running time of the first buffer, and frames since.
    start: Option<gst::ClockTime>,
    frames: u64,
    /// Where the last buffer ends, and up to where what has been made is not to be heard.
    end: Option<gst::ClockTime>,
    cleared: Option<gst::ClockTime>,
    /// The next buffer does not go on from the last.
    discont: bool,
    flushing: bool,
    stopped: bool,
}

pub struct VoiceSource {
    sinkpad: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    /// Samples have been taken, or nobody is to wait any more.
    room: Condvar,
}

/// The properties, made anew: a class owns those it is given, and the bin has them too.
pub fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
        glib::ParamSpecUInt64::builder("delay")
            .nick("Delay")
            .blurb("Nanoseconds that the first sample of a speech waits for more, so that pieces which come as late as that leave no hole")
            .default_value(default.delay.nseconds())
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("max-time")
            .nick("Most waiting")
            .blurb("Nanoseconds of voice that may wait; who sends more waits himself")
            .default_value(default.max_time.nseconds())
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("application/x-lipsync-voice-stats: waiting-ms, what has not been said yet; speaking")
            .read_only()
            .build(),
    ]
}

impl VoiceSource {
    /// The format of both pads: what is wanted behind the element, if there is a choice 48 kHz and as few channels as can be.
    fn info(&self) -> Option<AudioInfo> {
        {
            let state = self.state.lock();
            if state.info.is_some() || !state.started {
                return state.info.clone();
            }
        }
        let src = self.obj().static_pad("src")?;
        let mut caps = src.peer_query_caps(Some(&src.pad_template_caps()));
        if caps.is_empty() {
            return None;
        }
        caps.truncate();
        for structure in caps.make_mut().iter_mut() {
            structure.fixate_field_nearest_int("rate", 48_000);
            structure.fixate_field_nearest_int("channels", 1);
        }
        caps.fixate();
        let info = AudioInfo::from_caps(&caps).ok()?;
        let delay = self.settings.lock().delay.mseconds();
        let mut state = self.state.lock();
        // Somebody else may have been here meanwhile.
        if state.info.is_none() {
            gst::debug!(CAT, imp = self, "{caps}");
            state.queue = Some(Queue::new(info.rate(), info.channels(), delay));
            state.info = Some(info);
        }
        state.info.clone()
    }

    fn chain(&self, buffer: &gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let info = self.info().ok_or(gst::FlowError::NotNegotiated)?;
        let most = self.settings.lock().max_time.nseconds().saturating_mul(u64::from(info.rate())) / 1_000_000_000;
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        let frame = info.bpf() as usize;
        let whole = map.len() - map.len() % frame.max(1);
        let samples = map[..whole].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let mut state = self.state.lock();
        loop {
            if state.flushing || state.stopped {
                return Err(gst::FlowError::Flushing);
            }
            let Some(queue) = &mut state.queue else { return Err(gst::FlowError::Flushing) };
            if queue.waiting() as u64 <= most {
                // Not a number is not a sound.
                queue.push(samples.map(|sample| if sample.is_finite() { sample } else { 0.0 }));
                return Ok(gst::FlowSuccess::Ok);
            }
            self.room.wait_for(&mut state, LOOK);
        }
    }

    fn sink_event(&self, event: &gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                let fits =
                    self.info().is_some_and(|info| info.to_caps().is_ok_and(|own| own.can_intersect(caps.caps())));
                if !fits {
                    gst::warning!(CAT, imp = self, "not what is said: {}", caps.caps());
                }
                return fits;
            }
            gst::EventView::FlushStart(_) => {
                let event = {
                    let mut state = self.state.lock();
                    state.flushing = true;
                    state.queue.as_mut().and_then(Queue::clear)
                };
                self.room.notify_all();
                self.post(event);
            }
            gst::EventView::FlushStop(_) => self.state.lock().flushing = false,
            // The speech is over, not the sound.
            gst::EventView::Eos(_) => {
                if let Some(queue) = &mut self.state.lock().queue {
                    queue.complete();
                }
            }
            _ => {}
        }
        true
    }

    fn sink_query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                let own = self.info().and_then(|info| info.to_caps().ok());
                let own = own.unwrap_or_else(|| self.sinkpad.pad_template_caps());
                let result = query.filter().map_or_else(|| own.clone(), |filter| own.intersect(filter));
                query.set_result(&result);
                true
            }
            // What is asked of what follows is no concern of who speaks: there is a queue between.
            gst::QueryViewMut::Allocation(_) | gst::QueryViewMut::Latency(_) => false,
            gst::QueryViewMut::Drain(_) => true,
            _ => gst::Pad::query_default(&self.sinkpad, Some(&*self.obj()), query),
        }
    }

    /// Drops what has not been said, here and in what follows.
    pub fn clear(&self) {
        let event = {
            let mut state = self.state.lock();
            // One buffer waits for its time outside of here.
            state.cleared = state.end;
            state.queue.as_mut().and_then(Queue::clear)
        };
        self.room.notify_all();
        if let Some(src) = self.obj().static_pad("src") {
            src.push_event(gst::event::CustomDownstreamOob::new(gst::Structure::new_empty("lipsync-interrupt")));
        }
        self.post(event);
    }

    /// Silences what was made before `clear` and leaves after it.
    fn hush(&self, buffer: &mut gst::Buffer) {
        let cleared = self.state.lock().cleared;
        if cleared.zip(buffer.pts()).is_none_or(|(cleared, pts)| pts >= cleared) {
            return;
        }
        let inner = buffer.make_mut();
        if let Ok(mut map) = inner.map_writable() {
            map.fill(0);
        }
        inner.set_flags(gst::BufferFlags::GAP);
    }

    fn post(&self, event: Option<Event>) {
        let Some(event) = event else { return };
        let rate = self.state.lock().info.as_ref().map_or(1, |info| u64::from(info.rate()));
        let about = gst::Structure::builder("application/x-lipsync-event")
            .field_if_some("running-time", self.obj().current_running_time());
        let structure = match event {
            Event::Started => about.field("type", "speech-started").build(),
            Event::Finished { said, cleared } => about
                .field("type", "speech-finished")
                .field("position-ms", said * 1000 / rate)
                .field("cleared", cleared)
                .build(),
        };
        gst::debug!(CAT, imp = self, "{structure}");
        let _ = self.obj().post_message(gst::message::Element::builder(structure).src(&*self.obj()).build());
    }

    fn stats(&self) -> gst::Structure {
        let state = self.state.lock();
        let rate = state.info.as_ref().map_or(1, |info| u64::from(info.rate()));
        let waiting = state.queue.as_ref().map_or(0, Queue::waiting) as u64 * 1000 / rate;
        gst::Structure::builder("application/x-lipsync-voice-stats")
            .field("waiting-ms", waiting)
            .field("speaking", state.queue.as_ref().is_some_and(Queue::is_speaking))
            .build()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for VoiceSource {
    const NAME: &'static str = "GstLipsyncVoiceSource";
    type Type = super::VoiceSource;
    type ParentType = gst_base::PushSrc;

    fn with_class(class: &Self::Class) -> Self {
        // The class makes its templates before any instance.
        let template = class.pad_template("sink").expect("template of the class");
        let sinkpad = gst::Pad::builder_from_template(&template)
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |this| this.chain(&buffer))
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(&event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(query))
            })
            .build();
        Self { sinkpad, settings: Mutex::default(), state: Mutex::default(), room: Condvar::new() }
    }
}

impl ObjectImpl for VoiceSource {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings.lock();
        // GObject has checked the types, and sets only what `properties` lists.
        // -1 is as long as can be.
        let time: u64 = value.get().expect("type checked upstream");
        let time = gst::ClockTime::from_nseconds(time.min(i64::MAX as u64));
        match pspec.name() {
            "delay" => settings.delay = time,
            _ => settings.max_time = time,
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = *self.settings.lock();
        match pspec.name() {
            "delay" => settings.delay.nseconds().to_value(),
            "max-time" => settings.max_time.nseconds().to_value(),
            _ => self.stats().to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_live(true);
        element.set_format(gst::Format::Time);
        element.add_pad(&self.sinkpad).expect("a new element has no pad of that name");
        let weak = element.downgrade();
        if let Some(src) = element.static_pad("src") {
            src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let (Some(element), Some(buffer)) = (weak.upgrade(), info.buffer_mut()) {
                    element.imp().hush(buffer);
                }
                gst::PadProbeReturn::Ok
            });
        }
    }
}

impl GstObjectImpl for VoiceSource {}

impl ElementImpl for VoiceSource {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Live voice source",
                "Source/Audio",
                "Says samples on the clock",
                "The gst-plugin-lipsync developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_audio::AudioCapsBuilder::new_interleaved().format(gst_audio::AudioFormat::F32le).build();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .into_iter()
                .map(|(name, way)| {
                    gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).expect("valid template")
                })
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => *self.state.lock() = State { started: true, ..State::default() },
            gst::StateChange::PausedToReady => {
                self.state.lock().stopped = true;
                self.room.notify_all();
            }
            gst::StateChange::PlayingToPaused => {
                // The clock stops somewhere within a buffer.
                let mut state = self.state.lock();
                (state.start, state.frames, state.discont) = (None, 0, state.start.is_some());
            }
            _ => {}
        }
        self.parent_change_state(transition)
    }
}

impl BaseSrcImpl for VoiceSource {
    fn is_seekable(&self) -> bool {
        false
    }

    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        let own = self.info().and_then(|info| info.to_caps().ok());
        let own = own.unwrap_or_else(|| self.sinkpad.pad_template_caps());
        Some(filter.map_or_else(|| own.clone(), |filter| filter.intersect(&own)))
    }

    /// On the clock.
    fn times(&self, buffer: &gst::BufferRef) -> (Option<gst::ClockTime>, Option<gst::ClockTime>) {
        let start = buffer.pts();
        (start, start.zip(buffer.duration()).map(|(start, duration)| start + duration))
    }
}

impl PushSrcImpl for VoiceSource {
    fn create(&self, _buffer: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        let info = self.info().ok_or(gst::FlowError::NotNegotiated)?;
        let now = self.obj().current_running_time();
        let (rate, frames) = (u64::from(info.rate()), (info.rate() / BUFFERS) as usize);
        let mut samples = vec![0.0; frames * info.channels() as usize];
        let (filled, start, end, discont) = {
            let mut state = self.state.lock();
            let begins = *state.start.get_or_insert(now.unwrap_or_default());
            let time = |frames: u64| begins + gst::ClockTime::SECOND.mul_div_floor(frames, rate).unwrap_or_default();
            let (start, end) = (time(state.frames), time(state.frames + frames as u64));
            state.frames += frames as u64;
            state.end = Some(end);
            let discont = std::mem::take(&mut state.discont);
            (state.queue.as_mut().map(|queue| queue.fill(&mut samples)).unwrap_or_default(), start, end, discont)
        };
        self.room.notify_all();
        self.post(filled.event);
        let bytes: Vec<u8> = samples.into_iter().flat_map(f32::to_le_bytes).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let inner = buffer.make_mut();
        inner.set_pts(start);
        inner.set_duration(end - start);
        if filled.voice == 0 {
            inner.set_flags(gst::BufferFlags::GAP);
        }
        if discont {
            inner.set_flags(gst::BufferFlags::DISCONT);
        }
        Ok(CreateSuccess::NewBuffer(buffer))
    }
}
