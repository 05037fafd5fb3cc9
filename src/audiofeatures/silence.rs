// SPDX-License-Identifier: MPL-2.0
//! Which rows are silent: from the sound alone, whatever the rows are made of.

use std::collections::VecDeque;

use super::held::Held;

/// Silence begins this long after the last loud row.
const HANG_OVER_MS: usize = 200;

/// Tells for each row whether it is silent, as soon as the hop around its time has been heard.
pub struct Silence {
    hop: usize,
    hang_over_rows: u64,
    sound: Held,
    next_row: u64,
    /// Rows from this one on are silent, as far as is known.
    silent_from: u64,
    /// Of rows that nobody has asked for yet.
    known: VecDeque<bool>,
    loudest: f64,
}

/// Samples after its time that a row's loudness waits for.
pub fn reach(hop: usize) -> usize {
    hop.div_ceil(2)
}

impl Silence {
    pub fn new(sample_rate: u32, hop: usize) -> Self {
        Self {
            hop,
            hang_over_rows: (sample_rate as usize * HANG_OVER_MS).div_ceil(1000 * hop) as u64,
            sound: Held::default(),
            next_row: 0,
            silent_from: 0,
            known: VecDeque::new(),
            loudest: 0.0,
        }
    }

    /// The mean square of the loudest row of all stretches so far.
    pub fn loudest(&self) -> f64 {
        self.loudest
    }

    /// Adds sound. What is quieter than `threshold`, a mean square, is silent.
    pub fn push(&mut self, samples: &[f32], threshold: f64) {
        self.sound.push(samples);
        while self.next_row * self.hop as u64 + reach(self.hop) as u64 <= self.sound.len() {
            self.next_row(threshold);
        }
        self.sound.forget((self.next_row * self.hop as u64).saturating_sub(self.hop as u64 / 2), self.hop);
    }

    /// The sound is over: the rows whose hop reaches beyond it.
    pub fn finish(&mut self, threshold: f64) {
        while self.next_row * self.hop as u64 <= self.sound.len() {
            self.next_row(threshold);
        }
    }

    /// Rows that are known and have not been taken.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// Whether the next row is silent, and so are the `ahead` rows after it, as far as they are known.
    pub fn take(&mut self, ahead: usize) -> Option<bool> {
        let silent = self.known.iter().take(ahead + 1).all(|silent| *silent);
        self.known.pop_front().map(|_| silent)
    }

    pub fn reset(&mut self) {
        self.sound.clear();
        self.known.clear();
        (self.next_row, self.silent_from) = (0, 0);
    }

    fn next_row(&mut self, threshold: f64) {
        let row = self.next_row;
        self.next_row += 1;
        let power = self.power_around(row);
        self.loudest = self.loudest.max(power);
        if power >= threshold {
            self.silent_from = row + 1 + self.hang_over_rows;
        }
        self.known.push_back(row >= self.silent_from);
    }

    /// Mean square of the hop around the row's time.
    fn power_around(&self, row: u64) -> f64 {
        let half = self.hop as u64 / 2;
        let center = row * self.hop as u64;
        let samples = self.sound.slice(center.saturating_sub(half), center + (self.hop as u64 - half));
        // Eight sums side by side: one alone would have every addition wait for the one before.
        let (eights, rest) = samples.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for eight in eights {
            for n in 0..8 {
                sums[n] += f64::from(eight[n]) * f64::from(eight[n]);
            }
        }
        let rest: f64 = rest.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum();
        (sums.iter().sum::<f64>() + rest) / samples.len().max(1) as f64
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.sound.held() + self.known.len()
    }
}
