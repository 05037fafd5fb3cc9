// SPDX-License-Identifier: MPL-2.0
//! The windows of front-end rows that an encoder hears, and which of its answers are used.
//!
//! Rows are counted from the start of the first window, which begins [`lead`] rows before the sound. Window i
//! starts `step` rows after window i − 1 and yields as many answers as the time between them holds.

use std::collections::VecDeque;

use super::held::Held;
use crate::model::manifest::{Encoder, Normalise};

/// Front rows that Whisper hears at once. As long a loud moment sets what is too quiet.
const MEMORY: u64 = 3000;

/// Front rows before the sound's first that the first window holds.
pub fn lead(recipe: &Encoder) -> usize {
    recipe.lead() + recipe.beyond * recipe.stride
}

pub struct Windows {
    /// Numbers in a front row.
    width: u64,
    /// Rows in a window.
    window: u64,
    /// Rows from one window to the next.
    step: u64,
    /// Rows before the sound's first.
    lead: u64,
    normalise: Normalise,
    rows: Held,
    next: u64,
    /// The largest value of each window that was heard, as far as they are remembered.
    loudest: VecDeque<f32>,
    /// Once the sound is over, the row after its last.
    sound_end: Option<u64>,
}

impl Windows {
    /// Over front rows of `width` numbers.
    pub fn new(recipe: &Encoder, width: usize) -> Self {
        Self {
            width: width as u64,
            window: recipe.window as u64,
            step: (recipe.used() * recipe.stride) as u64,
            lead: lead(recipe) as u64,
            normalise: recipe.normalise,
            rows: Held::default(),
            next: 0,
            loudest: VecDeque::new(),
            sound_end: None,
        }
    }

    /// Rows that are there, padding too.
    pub fn len(&self) -> u64 {
        self.rows.len() / self.width
    }

    /// Where whole rows are added.
    pub fn end(&mut self) -> &mut Vec<f32> {
        self.rows.end()
    }

    /// Puts the sound's first row before it, where there are no rows of silence.
    pub fn pad_start(&mut self) {
        if self.len() > 0 && self.lead > 0 {
            let padding = self.filler(0).repeat(self.lead as usize);
            self.end().splice(0..0, padding);
        }
    }

    /// The sound is over, its last rows being there, and `windows` windows are needed for it in all.
    pub fn finish(&mut self, windows: u64, sound_rows: u64) {
        self.sound_end = Some(self.lead + sound_rows);
        let missing = (windows.saturating_sub(1) * self.step + self.window).saturating_sub(self.len());
        let last = self.filler(self.len().saturating_sub(1));
        let padding = last.repeat(missing as usize);
        self.end().extend(padding);
    }

    /// The row that pads beyond row `index`.
    fn filler(&self, index: u64) -> Vec<f32> {
        let row = self.rows.slice(index * self.width, (index + 1) * self.width);
        // Sound so short that it has no row.
        if row.is_empty() { vec![0.0; self.width as usize] } else { row.to_vec() }
    }

    /// The next window where all its rows are there. It stays the next one until [`Self::advance`].
    pub fn window(&self) -> Option<Vec<f32>> {
        let start = self.next * self.step;
        if self.len() < start + self.window {
            return None;
        }
        let mut window = self.rows.slice(start * self.width, (start + self.window) * self.width).to_vec();
        let index = |row: u64| (row.saturating_sub(start).min(self.window) * self.width) as usize;
        let sound = index(self.lead)..index(self.sound_end.unwrap_or(u64::MAX));
        normalise(self.normalise, &mut window, sound, self.loudest.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        Some(window)
    }

    /// The next window has been heard.
    pub fn advance(&mut self) {
        if let Normalise::Dynamic { .. } = self.normalise {
            let start = self.next * self.step;
            self.loudest.push_back(largest(self.rows.slice(start * self.width, (start + self.window) * self.width)));
            if self.loudest.len() as u64 > MEMORY.div_ceil(self.step) {
                self.loudest.pop_front();
            }
        }
        self.next += 1;
        // The last one may be what pads the end, though the next window begins behind it.
        let needed = (self.next * self.step).min(self.len().saturating_sub(1));
        self.rows.forget(needed * self.width, 1);
    }

    pub fn reset(&mut self) {
        self.rows.clear();
        self.next = 0;
        self.loudest.clear();
        self.sound_end = None;
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.rows.held()
    }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// `sound` is the part of `window` that is no padding, `loudest` the largest value before it.
fn normalise(how: Normalise, window: &mut [f32], sound: std::ops::Range<usize>, loudest: f32) {
    match how {
        Normalise::None => {}
        Normalise::Dynamic { below } => {
            let floor = largest(window).max(loudest) - below;
            window.iter_mut().for_each(|value| *value = value.max(floor));
        }
        Normalise::MeanVariance => {
            let heard = window.get(sound).unwrap_or(&[]);
            let count = heard.len().max(1) as f64;
            let mean = heard.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
            let variance = heard.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
            // As much as Hugging Face's feature extractor adds, so that silence stays silence.
            let scale = 1.0 / (variance + 1e-7).sqrt();
            window.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
        }
    }
}
