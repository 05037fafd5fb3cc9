// SPDX-License-Identifier: MPL-2.0
//! Mel filter bank energies as Kaldi's `compute-fbank-feats` makes them, without dither.

use std::f64::consts::TAU;

use super::held::Held;
use super::mel::MelBank;
use super::spectrum::Spectrum;
use crate::model::manifest::{Fbank, WindowShape};

/// Powers below this count as this: f32's epsilon, as in Kaldi.
const FLOOR: f32 = f32::EPSILON;

/// Turns the samples under a window into a row.
pub struct FbankRows {
    preemphasis: f64,
    scale: f64,
    window: Vec<f64>,
    spectrum: Spectrum,
    mel: MelBank,
    /// The samples under the window.
    frame: Vec<f64>,
}

impl FbankRows {
    pub fn new(recipe: &Fbank) -> Self {
        let n_fft = recipe.win_length.next_power_of_two();
        Self {
            preemphasis: f64::from(recipe.preemphasis),
            scale: f64::from(recipe.scale),
            window: window(recipe.window, recipe.win_length),
            spectrum: Spectrum::new(n_fft, 2),
            mel: MelBank::kaldi(recipe, n_fft),
            frame: Vec::with_capacity(recipe.win_length),
        }
    }

    /// Appends the row whose window starts at sample `start` of `sound`.
    pub fn make(&mut self, sound: &Held, start: u64, row: &mut Vec<f32>) {
        let samples = sound.slice(start, start + self.window.len() as u64);
        self.frame.clear();
        self.frame.extend(samples.iter().map(|&x| f64::from(x) * self.scale));
        let mean = self.frame.iter().sum::<f64>() / self.frame.len().max(1) as f64;
        // The sample before the first counts as equal to it.
        let mut before = self.frame.first().map_or(0.0, |x| x - mean);
        for sample in &mut self.frame {
            let centred = *sample - mean;
            *sample = centred - self.preemphasis * before;
            before = centred;
        }
        let powers = self.spectrum.of(self.frame.len(), |out| {
            for ((out, sample), window) in out.iter_mut().zip(&self.frame).zip(&self.window) {
                *out = sample * window;
            }
        });
        let first = row.len();
        self.mel.apply(powers, row);
        row[first..].iter_mut().for_each(|sum| *sum = sum.clamp(FLOOR, f32::MAX).ln());
    }
}

/// Symmetric, unlike the window of a spectrogram.
fn window(shape: WindowShape, length: usize) -> Vec<f64> {
    let cosine = |i: usize| (TAU * i as f64 / (length - 1) as f64).cos();
    (0..length)
        .map(|i| match shape {
            WindowShape::Hann => 0.5 - 0.5 * cosine(i),
            WindowShape::Hamming => 0.54 - 0.46 * cosine(i),
            WindowShape::Povey => (0.5 - 0.5 * cosine(i)).powf(0.85),
        })
        .collect()
}
