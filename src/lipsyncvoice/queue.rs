// SPDX-License-Identifier: MPL-2.0
//! What is to be said, and when: samples in, 10 ms at a time out. Pure. A frame is one sample of each channel.

use std::collections::VecDeque;

/// Silence after which a speech is over, ms. People who are paid by the word make shorter pauses.
const OVER: u64 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Started,
    /// So many frames of it have been said. `cleared`: there was more.
    Finished {
        said: u64,
        cleared: bool,
    },
}

/// What became of a piece of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Its first frames that are voice; the rest is silence.
    pub voice: usize,
    pub event: Option<Event>,
}

#[derive(Debug)]
pub struct Queue {
    channels: usize,
    rate: u64,
    samples: VecDeque<f32>,
    /// Frames that the first one of a speech waits.
    delay: usize,
    /// How long it has waited.
    waited: usize,
    /// Frames of the longest piece that came meanwhile: the next one is due when that is over.
    piece: usize,
    /// Samples are taken.
    flows: bool,
    speaking: bool,
    /// Frames of this speech that have been said.
    said: u64,
    /// Frames of silence since then.
    silent: u64,
    /// No more comes of this speech.
    complete: bool,
}

impl Queue {
    /// `delay`, ms: what the first sample of a speech waits where no more than that is there.
    pub fn new(rate: u32, channels: u32, delay: u64) -> Self {
        let (rate, channels) = (u64::from(rate.max(1)), channels.max(1) as usize);
        Self {
            channels,
            rate,
            samples: VecDeque::new(),
            delay: (delay * rate / 1000) as usize,
            waited: 0,
            piece: 0,
            flows: false,
            speaking: false,
            said: 0,
            silent: 0,
            complete: false,
        }
    }

    /// Frames that wait.
    pub fn waiting(&self) -> usize {
        self.samples.len() / self.channels
    }

    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Appends whole frames.
    pub fn push(&mut self, samples: impl IntoIterator<Item = f32>) {
        let before = self.waiting();
        self.samples.extend(samples);
        self.piece = self.piece.max(self.waiting() - before);
        self.complete = false;
    }

    /// All of a speech has been pushed: what is there need not wait for more.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// Drops what has not been said.
    pub fn clear(&mut self) -> Option<Event> {
        let cleared = !self.samples.is_empty();
        self.samples.clear();
        (self.flows, self.waited, self.piece) = (false, 0, 0);
        std::mem::take(&mut self.speaking).then_some(Event::Finished { said: self.said, cleared })
    }

    /// The next frames, interleaved; all of `out` is written.
    pub fn fill(&mut self, out: &mut [f32]) -> Filled {
        let frames = out.len() / self.channels;
        let mut filled = Filled::default();
        if !self.flows && !self.samples.is_empty() {
            if self.complete || self.waiting() >= self.piece + self.delay || self.waited >= self.delay {
                (self.flows, self.waited, self.piece) = (true, 0, 0);
                if !self.speaking {
                    (self.speaking, self.said) = (true, 0);
                    filled.event = Some(Event::Started);
                }
            } else {
                self.waited += frames;
            }
        }
        if self.flows {
            filled.voice = self.waiting().min(frames);
            self.said += filled.voice as u64;
            (self.flows, self.silent) = (!self.samples.is_empty() && filled.voice == frames, 0);
        }
        let (voice, silence) = out.split_at_mut(filled.voice * self.channels);
        for (to, sample) in voice.iter_mut().zip(self.samples.drain(..filled.voice * self.channels)) {
            *to = sample;
        }
        silence.fill(0.0);
        self.flows &= !self.samples.is_empty();
        if self.speaking && self.samples.is_empty() && filled.event.is_none() {
            self.silent += (frames - filled.voice) as u64;
            if self.complete || self.silent * 1000 >= OVER * self.rate {
                self.speaking = false;
                filled.event = Some(Event::Finished { said: self.said, cleared: false });
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Frames of 10 ms.
    const PIECE: usize = 80;

    fn take(queue: &mut Queue, pieces: usize) -> (Vec<f32>, Vec<Event>) {
        let (mut all, mut events) = (Vec::new(), Vec::new());
        for _ in 0..pieces {
            let mut out = [9.0; PIECE];
            events.extend(queue.fill(&mut out).event);
            all.extend(out);
        }
        (all, events)
    }

    fn voice(sound: &[f32]) -> Vec<f32> {
        sound.iter().copied().filter(|sample| *sample != 0.0).collect()
    }

    #[test]
    fn late_pieces_leave_no_hole() {
        let mut queue = Queue::new(8000, 1, 80);
        let (mut all, mut pushed) = (Vec::new(), Vec::new());
        // 20 ms each, which come 0, 60 and 20 ms late in turn.
        for step in 0..100 {
            for piece in 0..40 {
                let comes = piece * 2 + [0, 6, 2][piece % 3];
                if comes == step {
                    let samples: Vec<f32> = (0..2 * PIECE).map(|i| (1 + piece * 1000 + i) as f32).collect();
                    queue.push(samples.iter().copied());
                    pushed.extend(samples);
                }
            }
            all.extend(take(&mut queue, 1).0);
        }
        let start = all.iter().position(|sample| *sample != 0.0).unwrap();
        assert!(start <= 9 * PIECE, "it begins after {start} frames");
        assert_eq!(all[start..start + pushed.len()], pushed);
    }

    #[test]
    fn speeches_begin_and_end() {
        let mut queue = Queue::new(8000, 1, 80);
        // Less than the delay, and complete.
        queue.push([0.5; 100]);
        queue.complete();
        assert_eq!(take(&mut queue, 3).1, [Event::Started, Event::Finished { said: 100, cleared: false }]);
        // Silence of 300 ms ends one of which nobody says that it is complete.
        queue.push([0.5; 1000]);
        assert_eq!(take(&mut queue, 20).1, [Event::Started]);
        assert_eq!(take(&mut queue, 40).1, [Event::Finished { said: 1000, cleared: false }]);
        queue.push([0.5; 1000]);
        assert_eq!(take(&mut queue, 10).1, [Event::Started]);
        assert_eq!(queue.clear(), Some(Event::Finished { said: 160, cleared: true }));
        assert_eq!(take(&mut queue, 50), (vec![0.0; 50 * PIECE], vec![]));
    }

    proptest! {
        #[test]
        fn every_sample_is_said_once(pieces in prop::collection::vec((0usize..400, 0usize..6), 1..40)) {
            let mut queue = Queue::new(8000, 1, 80);
            let (mut said, mut next, mut events) = (Vec::new(), 0, Vec::new());
            for (length, pause) in pieces {
                queue.push((next..next + length).map(|i| 1.0 + i as f32));
                next += length;
                let (sound, told) = take(&mut queue, pause);
                said.extend(voice(&sound));
                events.extend(told);
            }
            let (sound, told) = take(&mut queue, 400);
            said.extend(voice(&sound));
            events.extend(told);
            prop_assert_eq!(said, (0..next).map(|i| 1.0 + i as f32).collect::<Vec<_>>());
            for pair in events.chunks(2) {
                prop_assert!(pair[0] == Event::Started && matches!(pair.get(1), Some(Event::Finished { .. })), "{:?}", events);
            }
        }
    }
}
