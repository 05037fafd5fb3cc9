// SPDX-License-Identifier: MPL-2.0
//! In a live pipeline no frame enters before its time, like one of a camera. A file or a loop is otherwise as fast as frames can go
//! wherever no row holds them back: after an interruption, or behind the end of the sound.

use std::time::Duration;

use gst::prelude::*;
use parking_lot::{Condvar, Mutex};

/// How soon a pause, or a clock that was set, is noticed while a frame waits.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    stopped: bool,
    flushing: bool,
}

/// Holds back what comes too early.
#[derive(Default)]
pub struct Arrival {
    state: Mutex<State>,
    changed: Condvar,
}

impl Arrival {
    fn change(&self, act: impl FnOnce(&mut State)) {
        act(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Nothing waits until [`Arrival::start`].
    pub fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    pub fn start(&self) {
        self.change(|state| *state = State::default());
    }

    /// Nothing waits until the flush is over.
    pub fn flush(&self, begins: bool) {
        self.change(|state| state.flushing = begins);
    }

    /// Returns when the running time is `time`; at once where the element is not playing.
    pub fn wait(&self, element: &super::LipsyncGen, time: gst::ClockTime) {
        let mut state = self.state.lock();
        while !state.stopped && !state.flushing && element.current_state() == gst::State::Playing {
            let Some(early) = element.current_running_time().and_then(|now| time.checked_sub(now)) else { return };
            if early.is_zero() {
                return;
            }
            self.changed.wait_for(&mut state, Duration::from(early).min(LOOK));
        }
    }
}
