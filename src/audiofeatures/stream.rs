// SPDX-License-Identifier: MPL-2.0
//! A stretch of sound, pushed in pieces of any size, becomes rows.
//!
//! Rows and their silence are functions of the stretch's samples alone, so the same bits come out however it was cut
//! into pieces. Where the model has an encoder, somebody else runs it: [`Stream::window`] and [`Stream::answer`].

use super::front::{self, Front};
use super::silence::{self, Silence};
use super::windows::{self, Windows};
use crate::model::manifest::{AudioFeatures, Encoder, Padding};

/// Consecutive rows that are all silent or all not.
#[derive(Debug, PartialEq)]
pub struct Run {
    /// Counted from the stretch's first, which may be [`AudioFeatures::beyond`] the sound.
    pub first_row: u64,
    pub rows: u64,
    pub silent: bool,
    /// Row by row.
    pub values: Vec<f32>,
}

/// One stretch at a time, in bounded memory.
pub struct Stream {
    front: Front,
    silence: Silence,
    ears: Option<Ears>,
    /// Numbers in a row.
    width: usize,
    /// Samples from one row to the next.
    hop: u64,
    /// Samples since the stretch began.
    len: u64,
    /// Rows before the sound's first and after its last.
    beyond: u64,
    next_row: u64,
    /// Once the stretch is over, its rows in all.
    rows: Option<u64>,
}

/// What an encoder needs.
struct Ears {
    windows: Windows,
    recipe: Encoder,
    /// Padding is sound, of zeros, for the front to make rows of.
    pads_sound: bool,
    /// Samples from one front row to the next.
    front_hop: u64,
    front_reach: u64,
}

impl Stream {
    pub fn new(recipe: &AudioFeatures) -> Self {
        let ears = recipe.encoder.as_ref().map(|encoder| Ears {
            windows: Windows::new(encoder, recipe.front.width()),
            recipe: encoder.clone(),
            pads_sound: encoder.pad == Padding::Zero,
            front_hop: recipe.front.hop() as u64,
            front_reach: front::reach(&recipe.front) as u64,
        });
        Self {
            front: Front::new(&recipe.front),
            silence: Silence::new(recipe.sample_rate(), recipe.hop()),
            ears,
            width: recipe.width(),
            hop: recipe.hop() as u64,
            len: 0,
            beyond: recipe.beyond() as u64,
            next_row: 0,
            rows: None,
        }
    }

    /// Samples since the stretch began.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The mean square of the loudest row of all stretches so far.
    pub fn loudest(&self) -> f64 {
        self.silence.loudest()
    }

    /// Adds sound (finite samples) and returns the rows that it completes without an encoder. What is quieter than
    /// `silence`, a mean square, is silent.
    pub fn push(&mut self, samples: &[f32], silence: f64) -> Vec<Run> {
        let is_first = self.len == 0;
        self.len += samples.len() as u64;
        self.silence.push(samples, silence);
        match &mut self.ears {
            None => {
                let mut rows = Vec::new();
                self.front.push(samples, &mut rows);
                self.take(&rows)
            }
            Some(ears) => {
                let had_rows = ears.windows.len() > 0;
                if is_first && ears.pads_sound && !samples.is_empty() {
                    let zeros = vec![0.0; windows::lead(&ears.recipe) * ears.front_hop as usize];
                    self.front.push(&zeros, ears.windows.end());
                }
                self.front.push(samples, ears.windows.end());
                if !ears.pads_sound && !had_rows {
                    ears.windows.pad_start();
                }
                Vec::new()
            }
        }
    }

    /// Ends the stretch: returns the rows whose windows reach beyond it, as far as no encoder makes them.
    pub fn finish(&mut self, silence: f64) -> Vec<Run> {
        if self.len == 0 || self.rows.is_some() {
            return Vec::new();
        }
        self.silence.finish(silence);
        let rows = self.beyond + 1 + self.len / self.hop + self.beyond;
        self.rows = Some(rows);
        match &mut self.ears {
            None => {
                let mut rows = Vec::new();
                self.front.finish(&mut rows);
                self.take(&rows)
            }
            Some(ears) => {
                let used = ears.recipe.used() as u64;
                let windows = rows.div_ceil(used);
                let lead = windows::lead(&ears.recipe) as u64;
                let sound_rows = if ears.pads_sound {
                    let last = (windows - 1) * used * ears.recipe.stride as u64 + ears.recipe.window as u64 - 1;
                    let missing = (last * ears.front_hop + ears.front_reach).saturating_sub(self.front.len());
                    self.front.push(&vec![0.0; missing as usize], ears.windows.end());
                    self.len.div_ceil(ears.front_hop)
                } else {
                    let had_rows = ears.windows.len() > 0;
                    self.front.finish(ears.windows.end());
                    if !had_rows {
                        ears.windows.pad_start();
                    }
                    ears.windows.len().saturating_sub(lead)
                };
                ears.windows.finish(windows, sound_rows);
                Vec::new()
            }
        }
    }

    /// What the encoder is to hear next, once that has been heard. It must be answered before the next window is asked
    /// for.
    pub fn window(&self) -> Option<Vec<f32>> {
        let ears = self.ears.as_ref()?;
        let end = self.next_row + (ears.recipe.used() + self.ahead()) as u64;
        match self.rows {
            Some(rows) if rows <= self.next_row => None,
            // A stretch that ends knows all.
            None if (self.silence.known() as u64) < end.saturating_sub(self.next_row.max(self.beyond)) => None,
            _ => ears.windows.window(),
        }
    }

    /// Takes the encoder's answers to the last [`Self::window`], of which there must be at least [`Encoder::skipped`]
    /// plus [`Encoder::used`], and returns the rows among them.
    pub fn answer(&mut self, answers: &[f32]) -> Vec<Run> {
        let Some(ears) = &mut self.ears else { return Vec::new() };
        ears.windows.advance();
        let (skipped, used) = (ears.recipe.skipped(), ears.recipe.used());
        let left = self.rows.map_or(u64::MAX, |rows| rows.saturating_sub(self.next_row));
        let end = skipped + (used as u64).min(left) as usize;
        let rows = answers.get(skipped * self.width..end * self.width).unwrap_or(&[]);
        self.take(rows)
    }

    /// Drops the stretch and starts anew at row 0.
    pub fn reset(&mut self) {
        self.front.reset();
        self.silence.reset();
        if let Some(ears) = &mut self.ears {
            ears.windows.reset();
        }
        (self.len, self.next_row, self.rows) = (0, 0, None);
    }

    /// Rows after its own that decide whether a row is silent. What a recurrent encoder says of a time it says with what it
    /// has heard after it: a mouth opens before the sound.
    fn ahead(&self) -> usize {
        let recurrent = self.ears.as_ref().filter(|ears| !ears.recipe.state.is_empty());
        recurrent.map_or(0, |ears| {
            let heard = ears.recipe.context[1] as u64 * ears.front_hop + ears.front_reach;
            heard.saturating_sub(silence::reach(self.hop as usize) as u64).div_euclid(self.hop) as usize
        })
    }

    /// Numbers the next rows and sorts the silent from the others.
    fn take(&mut self, values: &[f32]) -> Vec<Run> {
        let ahead = self.ahead();
        let mut runs: Vec<Run> = Vec::new();
        for row in values.chunks_exact(self.width) {
            // Of the sound's rows it is known: they wait for that, and a stretch that ends knows all.
            let silent = self.next_row < self.beyond || self.silence.take(ahead).unwrap_or(true);
            if runs.last().is_none_or(|run| run.silent != silent) {
                runs.push(Run { first_row: self.next_row, rows: 0, silent, values: Vec::new() });
            }
            let last = runs.len() - 1;
            runs[last].rows += 1;
            runs[last].values.extend_from_slice(row);
            self.next_row += 1;
        }
        runs
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.front.held() + self.silence.held() + self.ears.as_ref().map_or(0, |ears| ears.windows.held())
    }
}

/// Samples after its time that a row waits for: the right half of its window, or the rest of the encoder's window of
/// which it is the first answer that is used.
pub fn reach(recipe: &AudioFeatures) -> usize {
    let front = front::reach(&recipe.front);
    match &recipe.encoder {
        None => front,
        Some(encoder) => {
            let last_heard = (encoder.window - 1).saturating_sub(encoder.lead()) * recipe.front.hop() + front;
            let last_answer = (encoder.used() - 1) * recipe.hop() + silence::reach(recipe.hop());
            last_heard.max(last_answer)
        }
    }
}
