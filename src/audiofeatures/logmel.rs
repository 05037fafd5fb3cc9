// SPDX-License-Identifier: MPL-2.0
//! One row of a log-mel spectrogram from the samples around it.
//!
//! The transform is computed in `f64`: in `f32` the rounding of a loud tone drowns the quiet bands beside it.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::mel::MelBank;
use crate::model::manifest::{Level, LogMel};

/// Turns the samples under a window into a row.
pub struct RowMaker {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    mel: MelBank,
    power: u32,
    level: LevelMap,
    /// n-fft samples: the windowed ones, then zeros.
    time: Vec<f64>,
    /// n-fft / 2 + 1 bins.
    bins: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    magnitudes: Vec<f64>,
}

impl RowMaker {
    pub fn new(recipe: &LogMel) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(recipe.n_fft);
        Self {
            window: hann(recipe.win_length),
            mel: MelBank::new(recipe),
            power: recipe.power,
            level: LevelMap::new(&recipe.level, recipe.power),
            time: fft.make_input_vec(),
            bins: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            magnitudes: vec![0.0; recipe.n_fft / 2 + 1],
            fft,
        }
    }

    /// Appends the row (n-mels values) of `samples`, which are win-length samples after pre-emphasis.
    pub fn make(&mut self, samples: impl Iterator<Item = f64>, row: &mut Vec<f32>) {
        // Where in the transform the window lies changes phases only, and those are dropped.
        let (windowed, rest) = self.time.split_at_mut(self.window.len());
        for ((time, sample), window) in windowed.iter_mut().zip(samples).zip(&self.window) {
            *time = sample * window;
        }
        rest.fill(0.0);
        // It fails only for buffers of a wrong length, and these were made by the transform itself.
        let transformed = self.fft.process_with_scratch(&mut self.time, &mut self.bins, &mut self.scratch);
        debug_assert!(transformed.is_ok());
        for (magnitude, bin) in self.magnitudes.iter_mut().zip(&self.bins) {
            let square = bin.re * bin.re + bin.im * bin.im;
            *magnitude = if self.power == 1 { square.sqrt() } else { square };
        }
        row.extend(self.mel.apply(&self.magnitudes).map(|sum| self.level.apply(sum)));
    }
}

/// Periodic: the value after the last would be the first again.
fn hann(length: usize) -> Vec<f64> {
    (0..length).map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / length as f64).cos()).collect()
}

/// [`Level`] with its constants folded: sum → slope · ln(max(floor, sum)) + offset, clipped.
struct LevelMap {
    floor: f64,
    slope: f64,
    offset: f64,
    low: f64,
    high: f64,
}

impl LevelMap {
    fn new(level: &Level, power: u32) -> Self {
        let db_per_ln = 20.0 / f64::from(power) / std::f64::consts::LN_10;
        let (ref_db, min_db) = (f64::from(level.ref_db), f64::from(level.min_db));
        let floor = f64::from(level.floor);
        match level.range.map(|range| range.map(f64::from)) {
            None => Self { floor, slope: db_per_ln, offset: -ref_db, low: f64::NEG_INFINITY, high: f64::INFINITY },
            Some([low, high]) => {
                let per_db = (high - low) / -min_db;
                Self { floor, slope: db_per_ln * per_db, offset: high - ref_db * per_db, low, high }
            }
        }
    }

    fn apply(&self, sum: f64) -> f32 {
        // The logarithm is a good part of the work, and cheaper in f32. The cap keeps absurdly loud sound finite.
        let ln = (sum.clamp(self.floor, f64::from(f32::MAX)) as f32).ln();
        (self.slope * f64::from(ln) + self.offset).clamp(self.low, self.high) as f32
    }
}
