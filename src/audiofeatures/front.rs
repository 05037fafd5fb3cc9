// SPDX-License-Identifier: MPL-2.0
//! The rows that are computed from the sound, not learnt.
//!
//! They are functions of the stretch's samples alone, so the same bits come out however it was cut into pieces.

use super::fbank::FbankRows;
use super::held::Held;
use super::logmel::{self, LogMelRows};
use super::silence;
use crate::model::manifest::Front as Recipe;

/// One stretch at a time, in bounded memory: the samples that later rows still need.
pub struct Front {
    maker: Maker,
    hop: usize,
    reach: usize,
    sound: Held,
    next_row: u64,
}

enum Maker {
    LogMel(LogMelRows),
    Fbank(FbankRows),
    Waveform,
}

impl Front {
    pub fn new(recipe: &Recipe) -> Self {
        let maker = match recipe {
            Recipe::LogMel(recipe) => Maker::LogMel(LogMelRows::new(recipe)),
            Recipe::Fbank(recipe) => Maker::Fbank(FbankRows::new(recipe)),
            Recipe::Waveform { .. } => Maker::Waveform,
        };
        Self { maker, hop: recipe.hop(), reach: reach(recipe), sound: Held::default(), next_row: 0 }
    }

    /// Samples since the stretch began.
    pub fn len(&self) -> u64 {
        self.sound.len()
    }

    /// Adds sound (finite samples), and to `rows` the rows that it completes.
    pub fn push(&mut self, samples: &[f32], rows: &mut Vec<f32>) {
        if let Maker::Waveform = self.maker {
            // Nothing later needs them.
            self.sound.forget(self.len(), 1);
            self.sound.push(samples);
            rows.extend_from_slice(samples);
            return;
        }
        self.sound.push(samples);
        while self.next_row * self.hop as u64 + self.reach as u64 <= self.len() {
            self.next_row(rows);
        }
        let (before, tail) = match &self.maker {
            Maker::LogMel(maker) => maker.needs(),
            Maker::Fbank(_) | Maker::Waveform => (0, 0),
        };
        let next = (self.next_row * self.hop as u64).saturating_sub(before);
        self.sound.forget(next.min(self.len().saturating_sub(tail)), self.hop);
    }

    /// The sound is over: adds the rows whose windows reach beyond it, where the recipe has such rows.
    pub fn finish(&mut self, rows: &mut Vec<f32>) {
        if let Maker::LogMel(_) = self.maker {
            while self.len() > 0 && self.next_row * self.hop as u64 <= self.len() {
                self.next_row(rows);
            }
        }
    }

    pub fn reset(&mut self) {
        self.sound.clear();
        self.next_row = 0;
    }

    fn next_row(&mut self, rows: &mut Vec<f32>) {
        let start = self.next_row * self.hop as u64;
        self.next_row += 1;
        match &mut self.maker {
            Maker::LogMel(maker) => maker.make(&self.sound, start, rows),
            Maker::Fbank(maker) => maker.make(&self.sound, start, rows),
            // `push` passes samples on by itself.
            Maker::Waveform => {}
        }
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.sound.held()
    }
}

/// Samples after its time that a row waits for: what of its window lies there, and of the hop whose loudness is its
/// own.
pub fn reach(recipe: &Recipe) -> usize {
    match recipe {
        Recipe::LogMel(mel) => logmel::reach(mel).max(silence::reach(mel.hop_length)),
        Recipe::Fbank(fbank) => fbank.win_length.max(silence::reach(fbank.hop_length)),
        Recipe::Waveform { .. } => 1,
    }
}
