// SPDX-License-Identifier: MPL-2.0
//! The windows of front-end rows that an encoder hears, and which of its answers are used.
//!
//! Rows are counted from the start of the first window, which begins [`Encoder::lead`] rows before the sound. Window i
//! starts `step` rows after window i − 1 and yields as many answers as the time between them holds.

use super::held::Held;
use crate::model::manifest::{Encoder, Normalise, Padding};

pub struct Windows {
    /// Numbers in a front row.
    width: u64,
    /// Rows in a window.
    window: u64,
    /// Rows from one window to the next.
    step: u64,
    /// Rows before the sound's first.
    lead: u64,
    pad: Padding,
    normalise: Normalise,
    rows: Held,
    next: u64,
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
            lead: recipe.lead() as u64,
            pad: recipe.pad,
            normalise: recipe.normalise,
            rows: Held::default(),
            next: 0,
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

    /// Puts what stands for silence before the sound's first row, where it is not there as rows of silence.
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
        match self.pad {
            Padding::Edge if !row.is_empty() => row.to_vec(),
            Padding::Edge | Padding::Zero => vec![0.0; self.width as usize],
        }
    }

    /// The next window where all its rows are there. It stays the next one until [`Self::advance`].
    pub fn window(&self) -> Option<Vec<f32>> {
        let start = self.next * self.step;
        if self.len() < start + self.window {
            return None;
        }
        let mut window = self.rows.slice(start * self.width, (start + self.window) * self.width).to_vec();
        let index = |row: u64| (row.saturating_sub(start).min(self.window) * self.width) as usize;
        normalise(self.normalise, &mut window, index(self.lead)..index(self.sound_end.unwrap_or(u64::MAX)));
        Some(window)
    }

    /// The next window has been heard.
    pub fn advance(&mut self) {
        self.next += 1;
        self.rows.forget(self.next * self.step * self.width, 1);
    }

    pub fn reset(&mut self) {
        self.rows.clear();
        self.next = 0;
        self.sound_end = None;
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.rows.held()
    }
}

/// `sound` is the part of `window` that is no padding.
fn normalise(how: Normalise, window: &mut [f32], sound: std::ops::Range<usize>) {
    match how {
        Normalise::None => {}
        Normalise::Dynamic { below } => {
            let floor = window.iter().copied().fold(f32::NEG_INFINITY, f32::max) - below;
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
