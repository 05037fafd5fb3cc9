// SPDX-License-Identifier: MPL-2.0
//! What the model hears after an interruption: the last sentence fades into silence, instead of stopping in the middle of a sound,
//! and silence is what it hears until the next voice: what an encoder says of the first sound after an interruption, which it knows
//! nothing before of, would be a twitch. Pure.

use std::sync::Arc;

use crate::model::manifest::Rows;

/// How long the last sentence takes to fade, ns.
const FADE: f32 = 120e6;

/// How long an encoder may take to know silence as such, ns.
const SETTLING: i64 = 1_000_000_000;

/// Rows of silence after which a model has no memory of what was before.
const MOST: usize = 100;

/// A frame's windows, in the manifest's order.
pub type Windows = Arc<Vec<Vec<f32>>>;

#[derive(Debug, Default)]
pub struct Hush {
    /// The row that had the longest silence before it, …
    silence: Option<Vec<f32>>,
    /// … in rows, and how long it has been silent now.
    longest: usize,
    silent_for: usize,
    /// The windows of the last frame that had any.
    last: Option<Windows>,
    /// What fades, and since when.
    fading: Option<(Windows, Option<i64>)>,
    /// There was an interruption, and no voice since.
    silent: bool,
    /// When the first frame had sound again.
    resumed: Option<i64>,
}

impl Hush {
    /// Takes note of rows of `width` numbers.
    pub fn heard(&mut self, rows: &[f32], width: usize, silent: bool) {
        self.silent_for = if silent { self.silent_for + rows.len() / width } else { 0 };
        if let Some(row) = rows.chunks_exact(width).next_back().filter(|_| silent && self.silent_for >= self.longest) {
            self.longest = self.silent_for.min(MOST);
            self.silence = Some(row.to_vec());
        }
    }

    pub fn interrupt(&mut self) {
        // A second interruption leaves alone what fades already.
        if let Some(last) = self.last.take() {
            self.fading = Some((last, None));
        }
        (self.silent, self.resumed) = (self.silence.is_some(), None);
    }

    /// A frame heard nothing: there is no sentence that could fade.
    pub fn nothing(&mut self) {
        self.last = None;
    }

    /// The windows of a frame without sound or voice, after an interruption.
    pub fn windows(&self, wanted: &[Rows]) -> Option<Vec<Vec<f32>>> {
        let silence = self.silence.as_ref().filter(|_| self.silent)?;
        Some(wanted.iter().map(|rows| silence.repeat(rows.count as usize)).collect())
    }

    /// The frame at `time`, ns, has sound again.
    pub fn resume(&mut self, time: i64, voice: bool) {
        let since = *self.resumed.get_or_insert(time);
        if voice {
            // Nothing of the old sentence is left in the new one.
            self.fading = None;
        }
        self.silent &= !voice && (since..since + SETTLING).contains(&time);
    }

    /// What the frame at `time`, ns, hears of `windows` while something fades.
    pub fn hear(&mut self, time: i64, mut windows: Vec<Vec<f32>>) -> Windows {
        if let Some((last, since)) = &mut self.fading {
            let since = *since.get_or_insert(time);
            // The first frame is a step away from the last one before the interruption.
            let share = ((time - since).max(0) as f32 + FADE / 3.0) / FADE;
            if share < 1.0 {
                for (window, last) in windows.iter_mut().zip(last.iter()) {
                    window.iter_mut().zip(last).for_each(|(new, old)| *new = old + share * (*new - old));
                }
            } else {
                self.fading = None;
            }
        }
        let windows = Arc::new(windows);
        self.last = Some(windows.clone());
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::End;

    const FRAME: i64 = 40_000_000;

    #[test]
    fn a_sentence_fades_into_silence() {
        let wanted = [Rows { before: 1, count: 2, end: End::Edge, rate: None }];
        let mut hush = Hush::default();
        hush.heard(&[7.0, 0.0], 1, true);
        hush.heard(&[5.0], 1, false);
        hush.heard(&[6.0], 1, true);
        assert_eq!(*hush.hear(0, vec![vec![3.0; 2]]), [[3.0; 2]]);
        assert_eq!(hush.windows(&wanted), None);
        hush.interrupt();
        let after: Vec<f32> = (1..5).map(|i| hush.hear(i * FRAME, hush.windows(&wanted).unwrap())[0][1]).collect();
        assert_eq!(after, [2.0, 1.0, 0.0, 0.0]);
        hush.resume(5 * FRAME, false);
        assert!(hush.windows(&wanted).is_some());
        hush.resume(6 * FRAME, true);
        assert_eq!(hush.windows(&wanted), None);
    }

    #[test]
    fn where_silence_was_never_heard_there_is_none() {
        let mut hush = Hush::default();
        hush.interrupt();
        assert_eq!(hush.windows(&[]), None);
    }
}
