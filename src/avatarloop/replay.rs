// SPDX-License-Identifier: MPL-2.0
//! A clip that is too large to be kept is decoded again: forward from one seek to the end, backward in groups of frames that arrive
//! forward and are shown in reverse. While frames are shown, those that follow them are decoded.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

use super::order::{Order, Run};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// The element stops, or is being flushed.
    Stopped,
    /// What feeds the loop refused to go to a place where it has been.
    Seek,
    /// It went there, and nothing came.
    Nothing,
}

/// What becomes of a frame that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is expected, or to be passed over.
    Taken,
    /// Nothing more is wanted for now.
    Enough,
    Stopped,
}

/// Stream time in ns.
pub type Place = u64;

/// `F` is a frame.
pub struct Replay<F> {
    /// Where each frame is in the clip.
    places: Vec<Place>,
    /// Frames that may wait here.
    most: usize,
    state: Mutex<State<F>>,
    changed: Condvar,
}

struct State<F> {
    /// What is shown next, in its order.
    ready: VecDeque<F>,
    /// What is being decoded.
    request: Option<Request<F>>,
    /// Number, in the endless order, of the first frame that nobody has asked for yet.
    next: u64,
    /// What arrived last.
    last: Option<F>,
    /// The last group had to be waited for.
    waited: bool,
    failed: bool,
    stopped: bool,
    flushing: bool,
}

struct Request<F> {
    run: Run,
    /// The frame that comes next.
    expected: usize,
    /// What was decoded of a run that goes back.
    group: Vec<F>,
    /// Frames of this request arrive, and not those that were on their way.
    begun: bool,
    /// Which of [`LEADS`] it was sought with, and whether the next one has to be tried.
    tries: usize,
    again: bool,
}

/// Frames that may be missing although nothing else was asked for: of more than that, at least one comes.
const MOST_LOST: usize = 2;

/// How many frames before the first one is sought. The one before it may be cut off where a seek says to begin, and some formats'
/// seeks are not exact.
const LEADS: [usize; 3] = [1, 64, usize::MAX];

impl<F> Request<F> {
    /// Seeks once more, where nothing has come yet and there is an earlier place to try.
    fn try_earlier(&mut self) -> bool {
        let nothing = self.expected == self.run.frames.start;
        self.again |= nothing && self.run.frames.start > 0 && self.tries < LEADS.len();
        self.again
    }
}

impl<F: Clone> Replay<F> {
    /// `places`, one of each frame; `ready` are those that are shown from number `next - ready.len()` on.
    pub fn new(places: Vec<Place>, most: usize, ready: VecDeque<F>, next: u64) -> Self {
        let state = State {
            ready,
            request: None,
            next,
            last: None,
            waited: false,
            failed: false,
            stopped: false,
            flushing: false,
        };
        Self { places, most: most.max(2), state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The frame that is shown next. `seek` asks for what lies from a place on, and says whether that was understood; frames come by
    /// [`Replay::arrive`] then, from another thread.
    pub fn take(&self, order: &Order, seek: impl Fn(Place) -> bool) -> Result<F, ReplayError> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return Err(ReplayError::Stopped);
            }
            if state.failed {
                return Err(ReplayError::Nothing);
            }
            if state.request.is_none() {
                // Where frames have to be waited for anyway, one large group costs less than two small ones.
                let room = if state.waited { self.most } else { self.most / 2 };
                let run = order.run(state.next, room);
                let room = if run.backward { room } else { 1 };
                if state.ready.is_empty() || state.ready.len() + room <= self.most {
                    state.waited = false;
                    state.next += run.frames.len() as u64;
                    let expected = run.frames.start;
                    state.request =
                        Some(Request { run, expected, group: Vec::new(), begun: false, tries: 0, again: true });
                }
            }
            if let Some(request) = state.request.as_mut().filter(|request| request.again) {
                let from = self.places[request.run.frames.start.saturating_sub(LEADS[request.tries])];
                (request.again, request.begun, request.tries) = (false, false, request.tries + 1);
                drop(state);
                if !seek(from) {
                    return Err(ReplayError::Seek);
                }
                state = self.state.lock();
                continue;
            }
            if let Some(frame) = state.ready.pop_front() {
                self.changed.notify_all();
                return Ok(frame);
            }
            state.waited = true;
            self.changed.wait(&mut state);
        }
    }

    /// A frame that was decoded again. Waits for room.
    pub fn arrive(&self, place: Option<Place>, frame: F) -> Arrival {
        let mut state = self.state.lock();
        loop {
            if state.stopped || state.flushing {
                return Arrival::Stopped;
            }
            // Forward they come as fast as they are shown, and need no more room than it takes to go to the start.
            let full = state.ready.len() >= self.most / 2;
            match &state.request {
                Some(request) if !request.begun || request.again => return Arrival::Enough,
                Some(request) if !request.run.backward && full => self.changed.wait(&mut state),
                Some(_) => break,
                None => return Arrival::Enough,
            }
        }
        let State { ready, request, last, .. } = &mut *state;
        let Some(wanted) = request else { return Arrival::Enough };
        let index = place.map_or(wanted.expected, |place| self.nearest(place));
        if index > wanted.run.frames.start && wanted.try_earlier() {
            drop(state);
            self.changed.notify_all();
            return Arrival::Enough;
        }
        *last = Some(frame.clone());
        // It stands for those before it that do not come again, too.
        let missing = (index + 1).min(wanted.run.frames.end).saturating_sub(wanted.expected);
        let frames = std::iter::repeat_n(frame, missing);
        if wanted.run.backward {
            wanted.group.extend(frames);
        } else {
            ready.extend(frames);
        }
        wanted.expected += missing;
        if wanted.expected == wanted.run.frames.end {
            Self::complete(ready, request);
        }
        drop(state);
        self.changed.notify_all();
        Arrival::Taken
    }

    fn complete(ready: &mut VecDeque<F>, request: &mut Option<Request<F>>) {
        ready.extend(request.take().into_iter().flat_map(|request| request.group.into_iter().rev()));
    }

    fn nearest(&self, place: Place) -> usize {
        let after = self.places.partition_point(|at| *at < place).min(self.places.len() - 1);
        let before = after.saturating_sub(1);
        if place.abs_diff(self.places[before]) < place.abs_diff(self.places[after]) { before } else { after }
    }

    /// What arrives from here on is what was asked for last.
    pub fn begin(&self) {
        if let Some(request) = &mut self.state.lock().request {
            request.begun = true;
        }
    }

    /// Nothing more comes of what was asked for: the last frame that did stands for what is missing.
    pub fn end(&self) {
        let mut state = self.state.lock();
        let State { ready, request, failed, last, .. } = &mut *state;
        let Some(wanted) = request.as_mut().filter(|request| request.begun) else { return };
        if wanted.try_earlier() {
            drop(state);
            self.changed.notify_all();
            return;
        }
        let missing = wanted.run.frames.end - wanted.expected;
        let nothing = wanted.expected == wanted.run.frames.start && missing > MOST_LOST;
        match last.clone().filter(|_| !nothing) {
            Some(last) if wanted.run.backward => wanted.group.extend(std::iter::repeat_n(last, missing)),
            Some(last) => ready.extend(std::iter::repeat_n(last, missing)),
            None => *failed = true,
        }
        Self::complete(ready, request);
        drop(state);
        self.changed.notify_all();
    }

    /// A flush that a seek of this element's makes.
    pub fn flush(&self, begins: bool) {
        self.state.lock().flushing = begins;
        self.changed.notify_all();
    }

    /// Nobody waits here any more.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::super::LoopMode;
    use super::*;

    const SPACING: Place = 40;

    /// Plays `count` frames of a clip of `length` whose decoder brings only those that `comes` lets through.
    fn play(mode: LoopMode, length: usize, most: usize, count: u64, comes: fn(usize) -> bool) -> Vec<(usize, usize)> {
        let places: Vec<Place> = (0..length as u64).map(|i| i * SPACING).collect();
        let order = Order::new(mode, &places, Some(SPACING), SPACING).unwrap();
        let replay = Arc::new(Replay::new(places, most, VecDeque::new(), length as u64));
        let (seek, sought) = mpsc::channel::<Place>();
        let decoder = replay.clone();
        thread::spawn(move || {
            for from in sought {
                decoder.begin();
                let frames = (0..length).filter(|i| *i as Place * SPACING >= from && comes(*i));
                let all = frames.map(|i| decoder.arrive(Some(i as Place * SPACING), i)).all(|a| a == Arrival::Taken);
                if all {
                    decoder.end();
                }
            }
        });
        let frames = (0..count).map(|k| {
            let found = replay.take(&order, |from| seek.send(from).is_ok()).unwrap();
            (order.at(length as u64 + k).frame, found)
        });
        frames.collect()
    }

    #[test]
    fn every_frame_comes_in_its_turn() {
        for mode in [LoopMode::Forward, LoopMode::Pingpong] {
            for (length, most) in [(2, 2), (3, 2), (10, 4), (10, 100), (100, 7)] {
                for (expected, found) in play(mode, length, most, 5 * length as u64, |_| true) {
                    assert_eq!(found, expected, "{mode:?}, {length} frames, {most} wait");
                }
            }
        }
    }

    /// A decoder need not bring the same frames twice.
    #[test]
    fn what_does_not_come_again_is_replaced_by_a_neighbour() {
        for mode in [LoopMode::Forward, LoopMode::Pingpong] {
            for (expected, found) in play(mode, 30, 8, 200, |i| i % 5 != 4) {
                assert!(expected.abs_diff(found) <= 1, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn whoever_waits_is_told_to_stop() {
        let places = vec![0, 40, 80];
        let order = Order::new(LoopMode::Forward, &places, Some(40), 40).unwrap();
        let replay = Arc::new(Replay::<u32>::new(places, 2, VecDeque::new(), 3));
        let waiting = replay.clone();
        let waits = thread::spawn(move || waiting.take(&order, |_| true));
        thread::sleep(Duration::from_millis(20));
        replay.stop();
        assert_eq!(waits.join().unwrap(), Err(ReplayError::Stopped));
    }

    #[test]
    fn nothing_at_all_is_an_error() {
        let places = vec![0, 40];
        let order = Order::new(LoopMode::Forward, &places, Some(40), 40).unwrap();
        let replay = Arc::new(Replay::<u32>::new(places, 2, VecDeque::new(), 2));
        assert_eq!(replay.take(&order, |_| false), Err(ReplayError::Seek));
        replay.begin();
        replay.end();
        assert_eq!(replay.take(&order, |_| true), Err(ReplayError::Nothing));
    }
}
