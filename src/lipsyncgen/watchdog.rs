// SPDX-License-Identifier: MPL-2.0
//! Says on the bus when nothing moves: which pad starves, or what is stuck, and what to do about it.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use parking_lot::Mutex;

use super::OnStall;

/// The longest pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What the streaming thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Waiting,
    Inferring,
    Pushing,
}

#[derive(Debug)]
struct Activity {
    phase: Phase,
    since: Instant,
    frames: u64,
    /// How many times the timeout this phase may take.
    patience: u32,
}

/// Watches one element while it is PLAYING or on the way there: most deadlocks keep a pipeline from ever starting.
#[derive(Debug)]
pub struct Watchdog {
    activity: Arc<Mutex<Activity>>,
    /// Dropping it ends the thread.
    thread: Mutex<Option<Sender<()>>>,
}

impl Default for Watchdog {
    fn default() -> Self {
        let activity = Activity { phase: Phase::Waiting, since: Instant::now(), frames: 0, patience: 1 };
        Self { activity: Arc::new(Mutex::new(activity)), thread: Mutex::default() }
    }
}

impl Watchdog {
    /// The streaming thread begins something else.
    pub fn enter(&self, phase: Phase) {
        let mut activity = self.activity.lock();
        if activity.phase != phase {
            activity.phase = phase;
            activity.patience = 1;
            if phase != Phase::Waiting {
                activity.since = Instant::now();
            }
        }
    }

    /// The graphs begin to run on so many frames.
    pub fn infer(&self, frames: usize) {
        self.enter(Phase::Inferring);
        self.activity.lock().patience = frames.max(1) as u32;
    }

    /// A frame went out.
    pub fn progress(&self) {
        let mut activity = self.activity.lock();
        activity.frames += 1;
        activity.since = Instant::now();
    }

    pub fn start(&self, element: &super::LipsyncGen) {
        self.activity.lock().since = Instant::now();
        let (stop, stopped) = channel::<()>();
        *self.thread.lock() = Some(stop);
        let activity = self.activity.clone();
        let element = element.downgrade();
        let watch = move || {
            let mut reported: Option<u64> = None;
            let mut pause = LOOK;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
                let Some(element) = element.upgrade() else { return };
                let (timeout, on_stall) = element.imp().stall_settings();
                pause = (timeout / 8).clamp(Duration::from_millis(10), LOOK);
                let (phase, idle, frames, patience) = {
                    let activity = activity.lock();
                    (activity.phase, activity.since.elapsed(), activity.frames, activity.patience)
                };
                if reported.is_some_and(|stalled_at| frames > stalled_at) {
                    reported = None;
                    event(&element, "recovered", "frames flow again", None);
                }
                if !is_playing(element.upcast_ref()) {
                    activity.lock().since = Instant::now();
                    continue;
                }
                if timeout.is_zero() || idle < timeout.saturating_mul(patience) || reported.is_some() {
                    continue;
                }
                let Some((pad, cause)) = diagnose(&element, phase) else { continue };
                reported = Some(frames);
                let text = format!("no frame left for {:.1} s: {cause}", idle.as_secs_f64());
                match on_stall {
                    OnStall::Report => event(&element, "stalled", &text, pad),
                    OnStall::Error => gst::element_error!(element, gst::StreamError::Failed, ("{text}")),
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("lipsyncgen-watch".into()).spawn(watch) {
            gst::warning!(super::CAT, "no watchdog, its thread did not start: {error}");
        }
    }

    pub fn stop(&self) {
        *self.thread.lock() = None;
    }
}

/// Whether the pipeline is PLAYING, or would be if its sinks had got their first buffers.
fn is_playing(element: &gst::Element) -> bool {
    let mut top = element.clone();
    while let Some(parent) = top.parent().and_then(|parent| parent.downcast::<gst::Element>().ok()) {
        top = parent;
    }
    let (_, current, pending) = top.state(gst::ClockTime::ZERO);
    current == gst::State::Playing || pending == gst::State::Playing
}

/// The pad at fault and what to do, or `None` where it is not a stall: all is quiet, or the picture has ended.
fn diagnose(element: &super::LipsyncGen, phase: Phase) -> Option<(Option<String>, String)> {
    match phase {
        Phase::Inferring => return Some((None, "the model does not come back from a run".into())),
        Phase::Pushing => {
            return Some((
                Some("src".into()),
                "what follows src does not take the frame; a sink that waits, or a muxer that waits for another stream whose queue \
                 is full (give that queue max-size-time=4000000000 max-size-bytes=0 max-size-buffers=0)"
                    .into(),
            ));
        }
        Phase::Waiting => {}
    }
    let pads: Vec<gst_base::AggregatorPad> =
        element.sink_pads().into_iter().filter_map(|pad| pad.downcast().ok()).collect();
    let find = |name: &str| pads.iter().find(|pad| pad.name() == name);
    let starves = |pad: &gst_base::AggregatorPad| !pad.has_buffer() && !pad.is_eos();
    let (video, features) = (find("sink")?, find("features")?);
    let why = |pad: &str, other: &str, likely: &str| {
        Some((Some(pad.to_string()), format!("pad {pad} gets nothing while {other} is full; {likely}")))
    };
    // Frames that were taken from the pad wait for rows as well.
    let picture_waits = !starves(video) || element.imp().holds_frames();
    match (!picture_waits, starves(features)) {
        (false, true) => why(
            "features",
            "sink",
            "the sound has stopped without an end of stream, or the audio branch behind a tee has no queue",
        ),
        (true, false) => why(
            "sink",
            "features",
            "the picture has stopped without an end of stream, or the video branch behind a tee or demuxer has no queue",
        ),
        _ => None,
    }
}

fn event(element: &super::LipsyncGen, kind: &str, text: &str, pad: Option<String>) {
    let levels = element
        .sink_pads()
        .into_iter()
        .filter_map(|pad| pad.downcast::<gst_base::AggregatorPad>().ok())
        .map(|pad| format!("{} {}", pad.name(), u8::from(pad.has_buffer())))
        .collect::<Vec<_>>()
        .join(", ");
    let structure = gst::Structure::builder("application/x-lipsync-event")
        .field("type", kind)
        .field("text", text)
        .field("pad", pad)
        .field("levels", levels)
        .field("running-time", element.current_running_time())
        .build();
    let _ = element.post_message(gst::message::Element::builder(structure).src(element).build());
}
