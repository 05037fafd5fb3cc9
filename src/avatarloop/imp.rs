// SPDX-License-Identifier: MPL-2.0
use std::sync::{Arc, LazyLock};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use parking_lot::Mutex;

use super::LoopMode;
use super::caps::{STILL_RATE, describe, narrow, same_but_for_rate, with_still_rate, without_still_rate};
use super::kept::{Kept, most_waiting};
use super::order::{Order, Step};
use super::preview::{self, Passing, Preview};
use super::replay::{Arrival, Replay, ReplayError};
use super::settings::{Settings, properties};
use super::store::{Store, StoreError, plain};
use super::upstream;
use crate::moment::{Moment, next_clip};
use crate::pixels;
use crate::properties::warn_if_late;

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("avatarloop", gst::DebugColorFlags::empty(), Some("Endless picture from a clip"))
});

/// A clip that is complete.
struct Clip {
    number: u64,
    frames: Frames,
    order: Order,
}

enum Frames {
    Stored(Store),
    Replayed(Replay<gst::Buffer>),
}

impl Clip {
    fn replay(&self) -> Option<&Replay<gst::Buffer>> {
        match &self.frames {
            Frames::Stored(_) => None,
            Frames::Replayed(replay) => Some(replay),
        }
    }
}

#[derive(Default)]
pub struct State {
    /// Of the last stream's start.
    stream: Option<gst::Seqnum>,
    /// Of the caps that were sent on, and how long one of their frames lasts.
    info: Option<(gst_video::VideoInfo, u64)>,
    /// What arriving times mean.
    input: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// The one segment that was sent on. It is the input's unless that changed in the middle.
    output: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// The clip that is being played for the first time, and its number.
    kept: Option<(u64, Kept)>,
    /// When its frames are shown, in the output's segment.
    pts: Vec<u64>,
    /// Where they are in the clip.
    places: Vec<u64>,
    /// Nobody but this element would notice if the clip was decoded again.
    replayable: bool,
    last_duration: Option<u64>,
    pub preview: Preview,
    /// Of a clip that is played once: its number, and how many of its frames have come.
    once: Option<(u64, u64)>,
    /// Nobody downstream wants more.
    pub ended: bool,
    clip: Option<Arc<Clip>>,
    /// Number of the next frame of the endless picture.
    next: u64,
}

impl State {
    /// Forgets the stream, but not its caps: they stay valid over a flush.
    fn reset(&mut self) {
        self.stop();
        self.preview.flush();
        let preview = std::mem::take(&mut self.preview);
        *self = Self { stream: self.stream, info: self.info.take(), preview, ..Self::default() };
    }

    fn recording(&self) -> bool {
        !self.pts.is_empty()
    }

    /// Nobody waits for frames that are decoded again any more.
    fn stop(&self) {
        if let Some(replay) = self.clip.as_ref().and_then(|clip| clip.replay()) {
            replay.stop();
        }
    }
}

pub struct AvatarLoop {
    pub sinkpad: gst::Pad,
    pub srcpad: gst::Pad,
    settings: Mutex<Settings>,
    pub state: Mutex<State>,
    /// The number of this element's own last seek.
    sought: Mutex<Option<gst::Seqnum>>,
}

impl AvatarLoop {
    fn mode(&self) -> LoopMode {
        self.settings.lock().mode
    }

    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.mode() == LoopMode::None {
            return if self.previews() { self.pass(self.play_once(buffer)) } else { self.push(buffer) };
        }
        if let Some(clip) = self.clip() {
            return self.arrive(&clip, &buffer);
        }
        let previews = self.previews();
        match self.record(buffer, previews)? {
            Some(passing) if previews => self.pass(passing),
            Some(passing) => self.push(passing.frame),
            None => Ok(gst::FlowSuccess::Ok),
        }
    }

    /// A frame of a clip that is not repeated, which is to be looked at.
    fn play_once(&self, mut frame: gst::Buffer) -> Passing {
        let memory = self.settings.lock().limits.memory;
        let mut state = self.state.lock();
        let (clip, next) = state.once.get_or_insert_with(|| (next_clip(), 0));
        let moment = Moment { clip: *clip, frame: *next };
        *next += 1;
        drop(state);
        moment.mark(frame.make_mut());
        let most = memory / preview::SHARE / (frame.size() as u64).max(1);
        Passing {
            kept: frame.copy_deep().ok(),
            frame,
            most: usize::try_from(most).unwrap_or(usize::MAX).min(preview::MOST),
        }
    }

    fn clip(&self) -> Option<Arc<Clip>> {
        self.state.lock().clip.clone()
    }

    /// A frame of a clip that is being decoded again.
    fn arrive(&self, clip: &Clip, buffer: &gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (info, place) = {
            let state = self.state.lock();
            (
                state.info.as_ref().map(|(info, _)| info.clone()),
                state.input.as_ref().and_then(|s| place(s, buffer.pts())),
            )
        };
        let (Some(info), Some(replay)) = (info, clip.replay()) else { return Err(gst::FlowError::Eos) };
        let Some(frame) = plain(&info, buffer) else { return Err(self.store_failed(StoreError::Frame)) };
        match replay.arrive(place, frame) {
            Arrival::Taken => Ok(gst::FlowSuccess::Ok),
            Arrival::Enough => Err(gst::FlowError::Eos),
            Arrival::Stopped => Err(gst::FlowError::Flushing),
        }
    }

    /// Whether the clip that begins is longer than memory holds. Asks upstream, so no lock may be held.
    fn is_too_long(&self) -> bool {
        let limits = self.settings.lock().limits;
        let (Some(size), Some(nominal)) = ({
            let state = self.state.lock();
            let info = state.info.as_ref();
            (info.map(|(info, _)| info.size() as u64), info.map(|(_, nominal)| *nominal).filter(|n| *n > 0))
        }) else {
            return false;
        };
        let frames = upstream::duration(&self.sinkpad).map_or(0, |duration| duration.nseconds() / nominal);
        frames.saturating_mul(size) > limits.memory
    }

    /// Keeps a frame and returns it with its time in the output's segment; `None` where its segment does not show it. `waits`: it may wait.
    fn record(&self, mut buffer: gst::Buffer, waits: bool) -> Result<Option<Passing>, gst::FlowError> {
        let Settings { mode, limits } = *self.settings.lock();
        let begins = self.state.lock().kept.is_none();
        let replayable = begins && upstream::can_be_replayed(&self.sinkpad);
        let too_long = replayable && self.is_too_long();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let (Some((info, nominal)), Some(input), Some(output)) = (&state.info, &state.input, &state.output) else {
            return Err(gst::FlowError::NotNegotiated);
        };
        let at = place(input, buffer.pts());
        let pts = match buffer.pts() {
            Some(pts) => {
                let Some((start, _)) = input.clip(pts, buffer.duration().map(|d| pts + d)) else { return Ok(None) };
                input.to_running_time(start).and_then(|time| output.position_from_running_time(time))
            }
            None => match state.pts.last() {
                Some(last) => Some(gst::ClockTime::from_nseconds(last + state.last_duration.unwrap_or(*nominal))),
                None => output.start(),
            },
        };
        let Some(pts) = pts else { return Ok(None) };

        if begins {
            state.replayable = replayable;
        }
        // A frame without a time is where the one before it ends.
        let next = state.places.last().map_or(0, |last| last + state.last_duration.unwrap_or(*nominal).max(1));
        let at = at.unwrap_or(next).max(state.places.last().map_or(0, |last| last + 1));
        state.places.push(at);
        let (clip, kept) = state.kept.get_or_insert_with(|| (next_clip(), Kept::All(Store::new(info.clone(), limits))));
        let full = matches!(kept, Kept::All(store) if !store.has_room());
        if state.replayable && (too_long || full) {
            gst::info!(CAT, imp = self, "the clip is longer than max-memory holds: its frames will be decoded again");
            kept.shrink(mode, limits);
        }
        if let Err(error) = kept.push(&buffer) {
            drop(guard);
            return Err(self.store_failed(error));
        }
        let moment = Moment { clip: *clip, frame: state.pts.len() as u64 };
        let (kept, most) = match kept {
            _ if !waits => (None, 0),
            // Those in memory, which are shared.
            Kept::All(store) if store.has_room() => (store.get(state.pts.len()).ok(), preview::MOST),
            Kept::All(_) => (None, 0),
            Kept::Ends(_) => (plain(info, &buffer), most_waiting(limits, info.size()).min(preview::MOST)),
        };
        state.pts.push(pts.nseconds());
        state.last_duration = buffer.duration().map(|d| d.nseconds());
        drop(guard);
        let frame = buffer.make_mut();
        frame.set_pts(pts);
        moment.mark(frame);
        let kept = kept.map(|mut kept| {
            moment.mark(kept.make_mut());
            kept
        });
        Ok(Some(Passing { frame: buffer, kept, most }))
    }

    fn store_failed(&self, error: StoreError) -> gst::FlowError {
        let text = error.to_string();
        match error {
            StoreError::Full(_) => gst::element_imp_error!(self, gst::ResourceError::NoSpaceLeft, ("{text}")),
            StoreError::Frame => gst::element_imp_error!(self, gst::StreamError::Format, ("{text}")),
            StoreError::Spool(_) => gst::element_imp_error!(self, gst::ResourceError::OpenReadWrite, ("{text}")),
        }
        gst::FlowError::Error
    }

    /// The clip is complete: goes on by itself, unless there is nothing to show or nobody to show it to.
    fn start_looping(&self) -> bool {
        {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            if state.ended || state.clip.is_some() {
                return false;
            }
            let (Some((number, kept)), Some((_, nominal))) = (state.kept.take(), &state.info) else { return false };
            let Some(order) = Order::new(self.mode(), &state.pts, state.last_duration, *nominal) else { return false };
            state.next = state.pts.len() as u64;
            let frames = match kept {
                Kept::All(store) => Frames::Stored(store),
                Kept::Ends(ends) => {
                    let places = std::mem::take(&mut state.places);
                    let (ready, most) = ends.into_ready();
                    let next = state.next + ready.len() as u64;
                    Frames::Replayed(Replay::new(places, most, ready, next))
                }
            };
            gst::debug!(
                CAT,
                imp = self,
                "{} frames, {}",
                state.pts.len(),
                match &frames {
                    Frames::Stored(store) => format!("kept, of {} bytes each", store.info().size()),
                    Frames::Replayed(_) => "decoded again".into(),
                }
            );
            state.clip = Some(Arc::new(Clip { number, frames, order }));
        }
        let weak = self.downgrade();
        let started = self.srcpad.start_task(move || {
            if let Some(this) = weak.upgrade() {
                this.produce();
            }
        });
        started.is_ok()
    }

    /// Goes to a place in the clip, upstream. What comes from there arrives by itself.
    fn seek(&self, place: u64) -> bool {
        let start = gst::ClockTime::from_nseconds(place);
        let seqnum = gst::Seqnum::next();
        // To the end: who is told to stop at a frame may leave out those before it that are stored behind it.
        let seek = gst::event::Seek::builder(
            1.0,
            gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
            gst::SeekType::Set,
            start,
            gst::SeekType::Set,
            gst::ClockTime::NONE,
        );
        *self.sought.lock() = Some(seqnum);
        gst::debug!(CAT, imp = self, "decodes again from {start}");
        self.sinkpad.push_event(seek.seqnum(seqnum).build())
    }

    /// The frame for a step that follows the one before.
    fn frame(&self, clip: &Clip, step: &Step) -> Result<gst::Buffer, gst::FlowError> {
        match &clip.frames {
            Frames::Stored(store) => store.get(step.frame).map_err(|error| self.store_failed(error)),
            Frames::Replayed(replay) => match replay.take(&clip.order, |place| self.seek(place)) {
                Ok(frame) => Ok(frame),
                Err(ReplayError::Stopped) => Err(gst::FlowError::Flushing),
                Err(error @ (ReplayError::Seek | ReplayError::Nothing)) => {
                    gst::element_imp_error!(
                        self,
                        gst::ResourceError::Seek,
                        (
                            "The clip cannot be decoded again: {}. Raise max-memory to keep it, or play it once with mode=none",
                            if error == ReplayError::Seek {
                                "what feeds avatarloop refuses to go back"
                            } else {
                                "nothing comes"
                            }
                        )
                    );
                    Err(gst::FlowError::Error)
                }
            },
        }
    }

    /// Pushes one frame; the task calls this for ever.
    fn produce(&self) {
        let (clip, k) = {
            let mut state = self.state.lock();
            let k = state.next;
            state.next += 1;
            (state.clip.clone(), k)
        };
        let Some(clip) = clip else {
            let _ = self.srcpad.pause_task();
            return;
        };
        let step = clip.order.at(k);
        let mut buffer = match self.frame(&clip, &step) {
            Ok(buffer) => buffer,
            Err(error) => {
                let _ = self.srcpad.pause_task();
                if error != gst::FlowError::Flushing {
                    self.srcpad.push_event(gst::event::Eos::new());
                }
                return;
            }
        };
        let frame = buffer.make_mut();
        frame.set_pts(gst::ClockTime::from_nseconds(step.pts));
        frame.set_duration(gst::ClockTime::from_nseconds(step.duration));
        Moment { clip: clip.number, frame: step.frame as u64 }.mark(frame);
        let pushed = self.srcpad.push(buffer);
        let Err(error) = pushed else { return };
        gst::debug!(CAT, imp = self, "ends at frame {k}: {error}");
        let _ = self.srcpad.pause_task();
        match error {
            gst::FlowError::Flushing => return,
            gst::FlowError::Eos => {}
            error => gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("Internal data stream error."),
                ["streaming stopped, reason {error}"]
            ),
        }
        self.srcpad.push_event(gst::event::Eos::new());
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView::*;
        // One pad in, one pad out: what arrives goes on, caps included (Pad::event_default would keep those).
        let forward = |event| self.srcpad.push_event(event);
        if self.mode() == LoopMode::None {
            return self.sink_event_once(event);
        }
        if let Some(clip) = self.clip()
            && let Some(replay) = clip.replay()
            && self.replayed(replay, &event)
        {
            return true;
        }
        match event.view() {
            Caps(caps) => match self.take_caps(caps.caps()) {
                Ok(Some(caps)) => {
                    let event = gst::event::Caps::builder(&caps).seqnum(event.seqnum()).build();
                    forward(event)
                }
                Ok(None) => true,
                Err(text) => {
                    gst::element_imp_error!(self, gst::StreamError::Format, ("{text}"));
                    false
                }
            },
            Segment(segment) => match self.take_segment(segment.segment()) {
                Ok(Some(segment)) => {
                    let event = gst::event::Segment::builder(&segment).seqnum(event.seqnum()).build();
                    forward(event)
                }
                Ok(None) => true,
                Err(text) => {
                    gst::element_imp_error!(self, gst::StreamError::Format, ("{text}"));
                    false
                }
            },
            Eos(_) => {
                let _ = self.release();
                self.start_looping() || forward(event)
            }
            StreamStart(_) => {
                // The same start comes again where a pad before this one has been given another offset.
                if self.state.lock().stream.replace(event.seqnum()) != Some(event.seqnum()) {
                    // Another clip takes over.
                    let _ = self.release();
                    self.pause();
                    self.state.lock().reset();
                }
                forward(event)
            }
            // What has its place among the frames.
            Gap(_) | CustomDownstream(_) | CustomDownstreamSticky(_) | SegmentDone(_) => {
                let _ = self.release();
                forward(event)
            }
            FlushStart(_) => {
                let done = forward(event);
                self.pause();
                done
            }
            FlushStop(_) => {
                self.pause();
                self.state.lock().reset();
                forward(event)
            }
            _ => forward(event),
        }
    }

    /// Of a clip that is played once.
    fn sink_event_once(&self, event: gst::Event) -> bool {
        use gst::EventView::*;
        match event.view() {
            FlushStop(_) => self.state.lock().preview.flush(),
            // What it says is of no frame.
            Tag(_) => {}
            _ if event.is_serialized() => {
                let _ = self.release();
            }
            _ => {}
        }
        self.srcpad.push_event(event)
    }

    /// Waits until the task has come back, which may wait for frames itself.
    fn pause(&self) {
        self.state.lock().stop();
        let _ = self.srcpad.pause_task();
    }

    /// What arrives with frames that are decoded again stays here. `false`: it has nothing to do with them.
    fn replayed(&self, replay: &Replay<gst::Buffer>, event: &gst::Event) -> bool {
        use gst::EventView::*;
        let own = *self.sought.lock() == Some(event.seqnum());
        match event.view() {
            FlushStart(_) if own => replay.flush(true),
            FlushStop(_) if own => {
                replay.flush(false);
                replay.begin();
            }
            FlushStart(_) | FlushStop(_) => return false,
            StreamStart(start) if !own && self.state.lock().stream != Some(start.seqnum()) => return false,
            Segment(segment) => {
                if let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() {
                    self.state.lock().input = Some(segment.clone());
                    replay.begin();
                }
            }
            Eos(_) => replay.end(),
            // A size that changes is an error here, too.
            Caps(_) => return false,
            _ => return event.is_serialized(),
        }
        true
    }

    /// The caps to send on; `None` where they are those that hold already.
    fn take_caps(&self, caps: &gst::CapsRef) -> Result<Option<gst::Caps>, String> {
        let mut caps = caps.to_owned();
        let rate = caps.structure(0).and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        let still = rate.is_none_or(|rate| rate.numer() <= 0);
        if still {
            caps.make_mut().set("framerate", STILL_RATE);
        }
        let info = gst_video::VideoInfo::from_caps(&caps)
            .map_err(|_| format!("The picture's format is not one that can be stored: {caps}"))?;
        let fps = info.fps();
        let nominal =
            gst::ClockTime::SECOND.mul_div_round(fps.denom() as u64, fps.numer() as u64).map_or(0, |t| t.nseconds());

        let mut state = self.state.lock();
        if state.recording() {
            return match &state.info {
                // Frames are shown for as long as their times say, whatever the rate in the caps.
                Some((before, _)) if same_but_for_rate(before, &info) => {
                    gst::debug!(CAT, imp = self, "from here on {}", describe(&info));
                    Ok(None)
                }
                before => Err(format!(
                    "The picture changes from {} to {} within the clip; only a clip of one size and format can be looped. \
                     Put videoconvert, videoscale and a caps filter before avatarloop, or use mode=none",
                    before.as_ref().map_or_else(String::new, |(info, _)| describe(info)),
                    describe(&info)
                )),
            };
        }
        state.info = Some((info, nominal));
        Ok(Some(caps))
    }

    /// The segment to send on: one for all, open at its end. `None` where it was sent already.
    fn take_segment(&self, segment: &gst::Segment) -> Result<Option<gst::FormattedSegment<gst::ClockTime>>, String> {
        let Some(segment) = segment.downcast_ref::<gst::ClockTime>() else {
            return Err(format!("The picture's segment is in {:?}, only one in time can be looped", segment.format()));
        };
        if segment.rate() <= 0.0 {
            return Err("A clip that is played backwards cannot be looped; mode=pingpong goes back by itself".into());
        }
        let mut state = self.state.lock();
        state.input = Some(segment.clone());
        if state.output.is_some() {
            return Ok(None);
        }
        let mut output = segment.clone();
        output.set_stop(gst::ClockTime::NONE);
        output.set_duration(gst::ClockTime::NONE);
        state.output = Some(output.clone());
        Ok(Some(output))
    }

    fn sink_query(&self, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Caps(query) = query.view_mut() {
            // Without the filter: it holds upstream's rate, which need not be the one that is sent on.
            let mut caps = self.srcpad.peer_query_caps(None);
            if self.mode() != LoopMode::None {
                caps = with_still_rate(&caps);
            }
            query.set_result(&narrow(&caps, &self.sinkpad, query.filter_owned().as_ref()));
            return true;
        }
        // Those who decode again ask while the task pushes.
        if query.type_() == gst::QueryType::Allocation && self.clip().is_some() {
            return false;
        }
        let answered = gst::Pad::query_default(&self.sinkpad, Some(&*self.obj()), query);
        if let gst::QueryViewMut::Allocation(query) = query.view_mut() {
            // What is repeated is what the buffers hold, and no more.
            pixels::want_whole_pictures(query);
        }
        answered
    }

    fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        let endless = self.mode() != LoopMode::None;
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                let mut caps = self.sinkpad.peer_query_caps(None);
                if endless {
                    caps = without_still_rate(caps);
                }
                query.set_result(&narrow(&caps, &self.srcpad, query.filter_owned().as_ref()));
                true
            }
            gst::QueryViewMut::Seeking(query) if endless => {
                let format = query.format();
                query.set(
                    false,
                    gst::GenericFormattedValue::none_for_format(format),
                    gst::GenericFormattedValue::none_for_format(format),
                );
                true
            }
            gst::QueryViewMut::Duration(_) if endless => false,
            gst::QueryViewMut::Position(query) if endless && query.format() == gst::Format::Time => {
                let position = {
                    let state = self.state.lock();
                    let now = state.clip.as_ref().map(|clip| clip.order.at(state.next.saturating_sub(1)).pts);
                    now.and_then(|pts| state.output.as_ref()?.to_stream_time(gst::ClockTime::from_nseconds(pts)))
                };
                match position {
                    Some(position) => {
                        query.set(position);
                        true
                    }
                    None => gst::Pad::query_default(&self.srcpad, Some(&*self.obj()), query.query_mut()),
                }
            }
            _ => gst::Pad::query_default(&self.srcpad, Some(&*self.obj()), query),
        }
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Seek && self.mode() != LoopMode::None {
            gst::debug!(CAT, imp = self, "an endless picture cannot be sought in");
            return false;
        }
        // Its times are the endless picture's: to who decodes the clip again every frame would be late.
        if event.type_() == gst::EventType::Qos && self.mode() != LoopMode::None {
            return true;
        }
        gst::Pad::event_default(&self.srcpad, Some(&*self.obj()), event)
    }
}

/// Stream time of a frame, ns.
fn place(segment: &gst::FormattedSegment<gst::ClockTime>, pts: Option<gst::ClockTime>) -> Option<u64> {
    segment.to_stream_time(pts?).map(|time| time.nseconds())
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
