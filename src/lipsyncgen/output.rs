// SPDX-License-Identifier: MPL-2.0
//! The way out: waiting frames get their mouths and leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::imp::LipsyncGen;
use super::lateness::Lateness;
use super::loaded::Loaded;
use super::memory::Recalls;
use super::settings::Settings;
use super::state::{Frame, Item};
use super::tensors::FaceInput;
use super::watchdog::{Phase, USUAL};
use super::window::Window;
use super::{CAT, OnError, OnMissing};
use crate::face_meta::{Face, FaceMeta, Generated, Reason};
use crate::moment;
use crate::runtime::{Outcome, RuntimeError};

/// What is to become of a frame.
enum Plan {
    /// The model makes a mouth for each face marked `true`.
    Make {
        faces: Vec<bool>,
    },
    /// Its rows did not come in time.
    Late(Lateness),
    NoSound {
        after_the_end: bool,
    },
    /// Nobody speaks, and the faces' own mouths are closed.
    Resting,
    /// Outside the segment.
    Untouched,
}

impl LipsyncGen {
    /// Runs the model on the frames among `items` and sends everything on.
    pub(super) fn process(
        &self,
        settings: &Settings,
        loaded: &Loaded,
        items: Vec<Item>,
        latency: Option<gst::ClockTime>,
        end_with_audio: bool,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (mut jobs, mut plans, mut voices) = (Vec::new(), Vec::new(), Vec::new());
        let mut first_time = None;
        for item in &items {
            let Item::Frame(frame) = item else { continue };
            first_time = first_time.or(frame.time);
            plans.push(self.plan(settings, loaded, frame, &mut jobs));
            voices.push(self.voice(settings, loaded, frame));
        }
        let frames_to_make = plans.iter().filter(|p| matches!(p, Plan::Make { .. })).count();
        let mut made = Vec::new().into_iter();
        let (mut missed, mut slow) = (None, None);
        if !jobs.is_empty() {
            let usually = self.stats.lock().usual(frames_to_make).unwrap_or_else(|| loaded.expected(jobs.len()));
            let deadline = latency.zip(first_time).and_then(|(latency, time)| self.deadline(time, latency));
            let (expected, begun) = (jobs.len(), Instant::now());
            match self.infer(settings, loaded, jobs, usually, deadline) {
                Outcome::Done(Ok(results), took) if results.len() == expected => {
                    self.stats.lock().ran(took, frames_to_make);
                    let mut state = self.state.lock();
                    (state.failing, state.hangs) = (false, 0);
                    made = results.into_iter();
                }
                Outcome::Late => {
                    let left = deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(begun));
                    slow = Some(Lateness::of_work(usually.max(begun.elapsed()), left));
                    missed = Some(Reason::Late);
                }
                Outcome::Aborted => {
                    // A flush of the picture alone must not end the stream; what was to come next is still to come.
                    self.state.lock().put_back_caps(items);
                    return Ok(gst::FlowSuccess::Ok);
                }
                broken => {
                    let error = match broken {
                        Outcome::Failed(error) => format!("the generator failed: {error}"),
                        Outcome::Done(Err(error), _) => error.to_string(),
                        _ => format!("not as many results as faces, {expected}"),
                    };
                    self.failed(settings, &error)?;
                    missed = Some(Reason::Failed);
                }
            }
        }
        self.watchdog.enter(Phase::Pushing);
        let mut plans = plans.into_iter().zip(voices);
        for item in items {
            match item {
                Item::Caps(caps) => self.obj().set_src_caps(&caps),
                Item::Segment(segment) => self.obj().update_segment(&segment),
                Item::SegmentDone(event) => _ = self.obj().src_pad().push_event(event),
                Item::Frame(frame) => {
                    let (plan, voice) = plans.next().unwrap_or((Plan::Untouched, None));
                    self.tell_speech(voice, frame.time);
                    if end_with_audio && matches!(plan, Plan::NoSound { after_the_end: true }) {
                        return Err(gst::FlowError::Eos);
                    }
                    self.send(settings, frame, plan, &mut made, missed.map(|reason| (reason, slow)))?;
                    self.watchdog.progress();
                }
            }
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// Has the model run, on its own thread. One that does not come back is a failure, and opened again.
    fn infer(
        &self,
        settings: &Settings,
        loaded: &Loaded,
        jobs: Vec<FaceInput>,
        usually: Duration,
        deadline: Option<Instant>,
    ) -> Outcome<Result<Vec<Generated>, RuntimeError>> {
        let worker = match loaded.worker() {
            Ok(worker) => worker,
            Err(error) => return Outcome::Failed(error),
        };
        // Where frames do not wait for it, nobody else notices.
        let timeout = Duration::from(settings.stall_timeout);
        let busy = worker.busy().filter(|_| !timeout.is_zero());
        if busy.is_some_and(|busy| busy >= timeout.max(USUAL * usually)) {
            return Outcome::Failed(self.hung());
        }
        self.watchdog.infer(usually);
        match worker.run(jobs, deadline, || self.cancel.is_cancelled() || self.watchdog.hangs()) {
            Outcome::Aborted if !self.cancel.is_cancelled() => Outcome::Failed(self.hung()),
            outcome => outcome,
        }
    }

    /// Decides what a frame gets; what must be generated is appended to `jobs`, one per face.
    fn plan(&self, settings: &Settings, loaded: &Loaded, frame: &Frame, jobs: &mut Vec<FaceInput>) -> Plan {
        let faces = FaceMeta::faces(&frame.buffer);
        self.state.lock().summary.see(&faces);
        if loaded.keeps_memory {
            self.state.lock().memory.watch(frame.time, moment::of(&frame.buffer), &faces);
        }
        let Some(time) = frame.time else { return Plan::Untouched };
        let time = self.state.lock().rate.in_sound(time - settings.av_offset);
        let mut windows = Vec::with_capacity(loaded.windows.len());
        let mut silent = false;
        let sound_ended = self.features.lock().as_ref().is_some_and(|pad| pad.is_eos());
        let windows = {
            let state = &mut *self.state.lock();
            let Some(rows) = &mut state.rows else { return Plan::Untouched };
            rows.forget(time, loaded.reach);
            for &wanted in loaded.windows.iter() {
                match rows.window(time, wanted) {
                    Window::Rows(numbers) => windows.push(numbers),
                    Window::Wait => {
                        let needed = time.saturating_add(loaded.look_ahead());
                        let ago = state.heard.map(|heard| heard.elapsed());
                        return Plan::Late(Lateness::of_sound(needed, rows.known_until(), ago));
                    }
                    Window::NoSound { after_the_end } => {
                        let silence = state.hush.windows(&loaded.windows).filter(|_| !sound_ended);
                        let Some(silence) = silence else {
                            state.hush.nothing();
                            return Plan::NoSound { after_the_end };
                        };
                        windows = silence;
                        silent = true;
                        break;
                    }
                }
            }
            let voice = !silent && rows.voice(time, loaded.reach).is_none_or(|[_, soon]| soon);
            if !silent {
                state.hush.resume(time, voice);
                windows = state.hush.windows(&loaded.windows).unwrap_or(windows);
            }
            let shown =
                faces.iter().filter(|face| face.weight > 0.0).map(|face| (face.track, &face.landmarks, face.point_set));
            if state.rest.settled(time, voice, shown) {
                state.hush.nothing();
                return Plan::Resting;
            }
            state.hush.hear(time, windows)
        };
        let faces = faces
            .iter()
            .map(|face| {
                let reference =
                    if loaded.keeps_reference { self.state.lock().reference(face) } else { face.crop.clone() };
                let memory =
                    if loaded.keeps_memory { self.state.lock().memory.recall(face.track) } else { Recalls::default() };
                let shown = face.weight > 0.0;
                let input = if shown { FaceInput::new(face, windows.clone(), reference, memory) } else { None };
                let wanted = input.is_some();
                jobs.extend(input);
                wanted
            })
            .collect();
        Plan::Make { faces }
    }

    /// Whether somebody speaks in a frame; `None` where that is not known yet.
    fn voice(&self, settings: &Settings, loaded: &Loaded, frame: &Frame) -> Option<bool> {
        let state = self.state.lock();
        let time = state.rate.in_sound(frame.time? - settings.av_offset);
        let rows = state.rows.as_ref()?;
        match rows.voice(time, loaded.reach) {
            Some([now, _]) => Some(now),
            None => rows.is_ready(time, loaded.reach).then_some(false),
        }
    }

    /// Says on the bus when somebody begins to speak, and when that ends.
    fn tell_speech(&self, voice: Option<bool>, time: Option<i64>) {
        let Some(voice) = voice else { return };
        if std::mem::replace(&mut self.state.lock().speaking, voice) != voice {
            self.tell(if voice { "speech-start" } else { "speech-end" }, time);
        }
    }

    /// Posts an event about the frame at `time`.
    fn tell(&self, kind: &str, time: Option<i64>) {
        self.post(about(kind, time));
    }

    /// Says that a frame had no mouth, and why.
    fn tell_late(&self, lateness: Lateness, time: Option<i64>) {
        gst::debug!(CAT, imp = self, "a mouth is late: {lateness:?}");
        let mut structure = about("late", time);
        structure.set("reason", lateness.why.as_str());
        structure.set_if_some("by-ms", lateness.by.map(|by| by.max(0) as u64 / 1_000_000));
        self.post(structure);
    }

    fn post(&self, structure: gst::Structure) {
        let _ = self.obj().post_message(gst::message::Element::builder(structure).src(&*self.obj()).build());
    }

    /// The moment at which a frame of running time `time` must leave, in a live pipeline.
    fn deadline(&self, time: i64, latency: gst::ClockTime) -> Option<Instant> {
        let now = self.obj().current_running_time()?.nseconds() as i64;
        let left = time.saturating_add_unsigned(latency.nseconds()).saturating_sub(now);
        Some(Instant::now() + Duration::from_nanos(left.max(0) as u64))
    }

    /// Puts what was made on the frame and sends it on.
    fn send(
        &self,
        settings: &Settings,
        mut frame: Frame,
        plan: Plan,
        made: &mut std::vec::IntoIter<Generated>,
        missed: Option<(Reason, Option<Lateness>)>,
    ) -> Result<(), gst::FlowError> {
        let (wanted, reason, lateness) = match plan {
            Plan::Make { faces } => {
                (faces, missed.map(|(reason, _)| reason), missed.and_then(|(_, lateness)| lateness))
            }
            Plan::Late(lateness) => (Vec::new(), Some(Reason::Late), Some(lateness)),
            Plan::NoSound { .. } | Plan::Resting | Plan::Untouched => (Vec::new(), Some(Reason::NoSpeech), None),
        };
        let mut any = false;
        if frame.buffer.meta::<FaceMeta>().is_some() {
            let mut state = self.state.lock();
            let speaking = reason.is_none();
            let hold = matches!(reason, Some(Reason::NoSpeech)) || settings.on_missing == OnMissing::Hold;
            state.mouth.advance(frame.time, speaking, hold);
            let buffer = frame.buffer.make_mut();
            let faces = FaceMeta::take(buffer);
            state.mouth.keep(&faces.iter().map(|f| f.track).collect::<Vec<_>>());
            for (i, face) in faces.into_iter().enumerate() {
                let new = if speaking && wanted.get(i) == Some(&true) { made.next() } else { None };
                let mut face: Face = Arc::unwrap_or_clone(face);
                state.mouth.show(&mut face, new, reason);
                any |= face.generated.is_some();
                FaceMeta::add(buffer, Arc::new(face));
            }
        } else {
            self.state.lock().mouth.advance(frame.time, false, true);
        }
        {
            let mut stats = self.stats.lock();
            stats.frames += 1;
            stats.sent = frame.time.or(stats.sent);
            stats.generated += u64::from(any && reason.is_none());
            stats.passed += u64::from(!any);
            stats.late += u64::from(reason == Some(Reason::Late));
        }
        if let Some(lateness) = lateness
            && self.state.lock().late_is_news(frame.time)
        {
            self.tell_late(lateness, frame.time);
        }
        let buffer = frame.buffer;
        self.obj().selected_samples(buffer.pts(), buffer.dts(), buffer.duration(), None);
        if let Some(end) = frame.end {
            self.obj().set_position(end);
        }
        self.obj().finish_buffer(buffer).map(|_| ())
    }

    fn failed(&self, settings: &Settings, error: &str) -> Result<(), gst::FlowError> {
        self.stats.lock().errors += 1;
        if settings.on_error == OnError::Fail {
            gst::element_imp_error!(self, gst::LibraryError::Failed, ("{error}"));
            return Err(gst::FlowError::Error);
        }
        let first = !std::mem::replace(&mut self.state.lock().failing, true);
        if first {
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Failed,
                ("The model failed; frames go on without a new mouth until it works again"),
                ["{error}"]
            );
        }
        Ok(())
    }
}

fn about(kind: &str, time: Option<i64>) -> gst::Structure {
    let time = time.and_then(|time| u64::try_from(time).ok()).map(gst::ClockTime::from_nseconds);
    gst::Structure::builder("application/x-lipsync-event")
        .field("type", kind)
        .field_if_some("running-time", time)
        .build()
}
