// SPDX-License-Identifier: MPL-2.0
//! What is to be said. Requests write speeches, as fast or as slowly as they get them; the pipeline takes samples at the pace of
//! its clock, and silence where there are none.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Samples a second, of one channel.
pub const RATE: usize = 48_000;

/// Speeches that may wait, the one that is being said among them.
const MOST_SPEECHES: usize = 16;

/// Samples of a speech that may wait: whoever sends more is held back. Each speech has its own room, so that a long one at the
/// end cannot take that of the one being said.
const MOST_WAITING: usize = 10 * RATE;

/// The sound fades this long where a speech breaks off, and where it goes on: a step would click.
const FADE: usize = RATE / 200;

/// A speech that broke off goes on when so much of it is there, so that one that comes in small pieces is not cut at each.
const RESUME: usize = RATE / 10;

/// A speech of which nothing comes for so long is over: those behind it wait.
const GIVE_UP: usize = 10 * RATE;

/// The speech is no longer in the queue: it was interrupted or given up.
#[derive(Debug, PartialEq)]
pub struct Cut;

#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    /// There may be room for more samples.
    room: Condvar,
}

#[derive(Default)]
struct State {
    speeches: VecDeque<Speech>,
    /// Speeches that there have been.
    count: u64,
    /// The last sample that was said; 0 once it has faded away.
    last: f32,
    /// Samples until it has, where it does.
    fading: usize,
    /// From the request to the first sample, of the speech that began last.
    delay: Option<Duration>,
}

struct Speech {
    number: u64,
    samples: VecDeque<f32>,
    /// All of it is there.
    complete: bool,
    since: Instant,
    begun: bool,
    /// It broke off, because no more of it was there.
    broken: bool,
    /// Samples until it has faded in.
    rising: usize,
    /// How long it has kept the others waiting.
    waited: usize,
}

#[derive(Debug, PartialEq)]
pub struct Status {
    pub speeches: usize,
    pub seconds: f64,
    pub delay: Option<Duration>,
}

impl Queue {
    /// A new speech behind the others; `None` where too many wait.
    pub fn begin(self: &Arc<Self>) -> Option<Writer> {
        let mut state = self.lock();
        if state.speeches.len() >= MOST_SPEECHES {
            return None;
        }
        state.count += 1;
        let number = state.count;
        state.speeches.push_back(Speech {
            number,
            samples: VecDeque::new(),
            complete: false,
            since: Instant::now(),
            begun: false,
            broken: false,
            rising: 0,
            waited: 0,
        });
        Some(Writer { queue: self.clone(), number })
    }

    /// The next samples, and whether there is anything to hear in them.
    pub fn fill(&self, mut out: &mut [f32]) -> bool {
        let mut state = self.lock();
        let mut heard = false;
        while !out.is_empty() {
            let count = if state.fading > 0 { state.fade(out) } else { state.say(out) };
            heard |= count > 0;
            out = &mut out[count..];
            if count == 0 && state.last != 0.0 {
                state.fading = FADE;
            } else if count == 0 {
                out.fill(0.0);
                break;
            }
        }
        self.room.notify_all();
        heard
    }

    /// Forgets all speeches, those that are still being sent, too.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.speeches.clear();
        if state.last != 0.0 {
            state.fading = FADE;
        }
        self.room.notify_all();
    }

    pub fn status(&self) -> Status {
        let state = self.lock();
        let samples: usize = state.speeches.iter().map(|speech| speech.samples.len()).sum();
        Status { speeches: state.speeches.len(), seconds: samples as f64 / RATE as f64, delay: state.delay }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Says what is there of the first speech, and returns how many samples that was: 0 where there is nothing to say now.
    fn say(&mut self, out: &mut [f32]) -> usize {
        while let Some(speech) = self.speeches.front_mut() {
            let enough = if speech.broken { RESUME } else { 1 };
            if speech.samples.len() >= enough || speech.complete && !speech.samples.is_empty() {
                if !speech.begun {
                    self.delay = Some(speech.since.elapsed());
                }
                if speech.broken {
                    speech.rising = FADE;
                }
                (speech.begun, speech.broken, speech.waited) = (true, false, 0);
                let count = out.len().min(speech.samples.len());
                for (to, sample) in out.iter_mut().zip(speech.samples.drain(..count)) {
                    *to = sample * (FADE - speech.rising) as f32 / FADE as f32;
                    speech.rising = speech.rising.saturating_sub(1);
                }
                self.last = out[count - 1];
                return count;
            }
            if !speech.complete && speech.waited < GIVE_UP {
                speech.broken = speech.begun;
                speech.waited += out.len();
                return 0;
            }
            self.speeches.pop_front();
        }
        0
    }

    /// Lets the last sample fade away.
    fn fade(&mut self, out: &mut [f32]) -> usize {
        let count = out.len().min(self.fading);
        for to in &mut out[..count] {
            self.fading -= 1;
            *to = self.last * self.fading as f32 / FADE as f32;
        }
        if self.fading == 0 {
            self.last = 0.0;
        }
        count
    }
}

/// Appends to one speech, which is complete when this is dropped.
pub struct Writer {
    queue: Arc<Queue>,
    number: u64,
}

impl Writer {
    /// Waits where too much is there already.
    pub fn write(&self, mut samples: &[f32]) -> Result<(), Cut> {
        let mut state = self.queue.lock();
        loop {
            let speech = state.speeches.iter_mut().find(|speech| speech.number == self.number).ok_or(Cut)?;
            let room = MOST_WAITING.saturating_sub(speech.samples.len()).min(samples.len());
            speech.samples.extend(&samples[..room]);
            samples = &samples[room..];
            if samples.is_empty() {
                return Ok(());
            }
            state = self.queue.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(speech) = state.speeches.iter_mut().find(|speech| speech.number == self.number) {
            speech.complete = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(queue: &Queue, count: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; count];
        queue.fill(&mut out);
        out
    }

    /// The largest step between two samples.
    fn step(samples: &[f32]) -> f32 {
        samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn speeches_follow_each_other_and_then_there_is_silence() {
        let queue = Arc::new(Queue::default());
        assert!(!queue.fill(&mut [1.0; 4]));
        let (first, second) = (queue.begin().unwrap(), queue.begin().unwrap());
        second.write(&[3.0, 4.0]).unwrap();
        first.write(&[1.0, 2.0]).unwrap();
        drop((first, second));
        assert_eq!(take(&queue, 4), [1.0, 2.0, 3.0, 4.0]);
        let after = take(&queue, 2 * FADE);
        assert!(step(&after) <= 4.0 / FADE as f32 * 1.01 && after[FADE..].iter().all(|&s| s == 0.0));
        assert!(!queue.fill(&mut [1.0; 4]));
        assert_eq!(queue.status().speeches, 0);
    }

    #[test]
    fn a_gap_is_silence_without_steps() {
        let queue = Arc::new(Queue::default());
        let speech = queue.begin().unwrap();
        speech.write(&[0.5; 1000]).unwrap();
        let mut heard = take(&queue, 2000);
        // Too little to go on with.
        speech.write(&vec![0.5; RESUME - 1]).unwrap();
        heard.extend(take(&queue, 1000));
        assert_eq!(heard[2000..], [0.0; 1000]);
        speech.write(&[0.5]).unwrap();
        heard.extend(take(&queue, RESUME));
        assert!(step(&heard) <= 0.5 / FADE as f32 * 1.01, "{}", step(&heard));
        assert_eq!(heard.last(), Some(&0.5));
        // What is complete is said, however little it is.
        take(&queue, 1000);
        speech.write(&[0.5; 10]).unwrap();
        drop(speech);
        assert!(take(&queue, 10).last().unwrap() > &0.0);
    }

    #[test]
    fn whoever_sends_too_much_waits_and_an_interruption_frees_him() {
        let queue = Arc::new(Queue::default());
        let speech = queue.begin().unwrap();
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| speech.write(&vec![0.1; 3 * MOST_WAITING]));
            while queue.status().seconds < 10.0 {
                std::thread::yield_now();
            }
            take(&queue, 1000);
            while queue.status().seconds < 10.0 {
                std::thread::yield_now();
            }
            queue.clear();
            assert_eq!(sender.join().unwrap(), Err(Cut));
        });
        assert_eq!(speech.write(&[0.1]), Err(Cut));
        let next = queue.begin().unwrap();
        next.write(&[0.7]).unwrap();
        // What was being said fades away before that.
        assert_eq!(take(&queue, FADE + 1)[FADE - 1..], [0.0, 0.7]);
    }

    #[test]
    fn a_speech_that_never_comes_is_given_up() {
        let queue = Arc::new(Queue::default());
        let (silent, next) = (queue.begin().unwrap(), queue.begin().unwrap());
        next.write(&[0.7]).unwrap();
        take(&queue, GIVE_UP);
        assert_eq!(take(&queue, 1), [0.7]);
        assert_eq!(silent.write(&[0.1]), Err(Cut));
    }

    #[test]
    fn no_more_speeches_than_there_is_room_for() {
        let queue = Arc::new(Queue::default());
        let mut speeches: Vec<_> = std::iter::from_fn(|| queue.begin()).collect();
        assert_eq!(speeches.len(), MOST_SPEECHES);
        speeches.remove(0);
        take(&queue, 1);
        assert!(queue.begin().is_some());
    }
}
