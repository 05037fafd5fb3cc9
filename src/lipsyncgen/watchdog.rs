// SPDX-License-Identifier: MPL-2.0
//! Says on the bus when nothing moves: which pad starves, or what is stuck, and what to do about it.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;
use parking_lot::Mutex;

use super::OnStall;
use super::diagnosis::{diagnose, top};

/// The longest pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// A model that is slow is not stuck before a run has taken so many times what it usually takes.
pub const USUAL: u32 = 3;

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
    /// How long this phase may take, where that is longer than the timeout.
    patience: Duration,
    /// It has been reported that the graphs do not come back.
    hangs: bool,
}

/// Watches one element while it is PLAYING or on the way there, or to PAUSED: most deadlocks keep a pipeline from ever starting.
#[derive(Debug)]
pub struct Watchdog {
    activity: Arc<Mutex<Activity>>,
    /// Dropping it ends the thread.
    thread: Mutex<Option<Sender<()>>>,
}

impl Default for Watchdog {
    fn default() -> Self {
        let activity = Activity {
            phase: Phase::Waiting,
            since: Instant::now(),
            frames: 0,
            patience: Duration::ZERO,
            hangs: false,
        };
        Self { activity: Arc::new(Mutex::new(activity)), thread: Mutex::default() }
    }
}

impl Watchdog {
    /// The streaming thread begins something else.
    pub fn enter(&self, phase: Phase) {
        let mut activity = self.activity.lock();
        if activity.phase != phase {
            activity.phase = phase;
            activity.patience = Duration::ZERO;
            if phase != Phase::Waiting {
                activity.since = Instant::now();
            }
        }
    }

    /// The graphs begin to run, which usually takes so long.
    pub fn infer(&self, usually: Duration) {
        self.enter(Phase::Inferring);
        let mut activity = self.activity.lock();
        activity.patience = USUAL * usually;
        activity.hangs = false;
    }

    /// Whether it has been reported that the graphs do not come back: it is time to give them up.
    pub fn hangs(&self) -> bool {
        self.activity.lock().hangs
    }

    /// A frame went out.
    pub fn progress(&self) {
        let mut activity = self.activity.lock();
        activity.frames += 1;
        activity.since = Instant::now();
    }

    /// Something else than a frame moves.
    pub fn alive(&self) {
        self.activity.lock().since = Instant::now();
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
                if !is_to_move(element.upcast_ref()) {
                    activity.lock().since = Instant::now();
                    continue;
                }
                if timeout.is_zero() || idle < timeout.max(patience) {
                    continue;
                }
                if reported.is_none() {
                    let Some(found) = diagnose(&element, phase) else { continue };
                    reported = Some(frames);
                    let text = format!("no frame left for {:.1} s: {}", idle.as_secs_f64(), found.cause);
                    match on_stall {
                        OnStall::Report => {
                            event(&element, "stalled", &text, found.pad);
                            // Tools such as gst-launch-1.0 print warnings, and no messages of elements.
                            gst::element_warning!(element, gst::StreamError::Failed, ("{text}"));
                        }
                        OnStall::Error => gst::element_error!(element, gst::StreamError::Failed, ("{text}")),
                    }
                }
                let mut activity = activity.lock();
                // It may have come back just now.
                activity.hangs =
                    on_stall == OnStall::Report && activity.phase == Phase::Inferring && activity.frames == frames;
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

/// Whether the pipeline is PLAYING or waits for its sinks' first buffers, on the way to PLAYING or to PAUSED, where gst-launch-1.0 goes first.
fn is_to_move(element: &gst::Element) -> bool {
    // A pipeline whose sink lost its buffer, to a flush or a pause of its own, says that it is on its way to PAUSED, wherever it
    // goes then. What it sent to PLAYING before stays there.
    element.current_state() == gst::State::Playing || top(element).state(gst::ClockTime::ZERO).2 >= gst::State::Paused
}

fn event(element: &super::LipsyncGen, kind: &str, text: &str, pad: Option<&str>) {
    let structure = gst::Structure::builder("application/x-lipsync-event")
        .field("type", kind)
        .field("text", text)
        .field("pad", pad)
        .field("levels", element.imp().levels())
        .field("running-time", element.current_running_time())
        .build();
    let _ = element.post_message(gst::message::Element::builder(structure).src(element).build());
}
