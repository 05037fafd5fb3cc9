// SPDX-License-Identifier: MPL-2.0
//! A stretch of sound, pushed in pieces of any size, becomes rows.
//!
//! Row k is centred on sample k·hop and exists for every k·hop ≤ n, n being the stretch's length. Rows and their loudness
//! are functions of the stretch's samples alone, so the same bits come out however it was cut into pieces.

use super::logmel::RowMaker;
use crate::model::manifest::{Center, LogMel};

/// Silence begins this long after the last loud row.
const HANG_OVER_MS: usize = 200;

/// Consecutive rows that are all silent or all not.
#[derive(Debug, PartialEq)]
pub struct Run {
    pub first_row: u64,
    pub rows: u64,
    pub silent: bool,
    /// Row by row.
    pub values: Vec<f32>,
}

/// One stretch at a time, in bounded memory: the samples that later rows still need.
pub struct Stream {
    maker: RowMaker,
    hop: usize,
    preemphasis: f64,
    center: Center,
    /// Row k's window begins `left` samples before k·hop …
    left: usize,
    /// … and ends `right` after it.
    right: usize,
    reach: usize,
    hang_over_rows: u64,
    stretch: Stretch,
}

/// What changes as sound arrives.
#[derive(Default)]
struct Stretch {
    /// Sound from sample `first` on.
    samples: Vec<f32>,
    first: u64,
    next_row: u64,
    /// Rows from this one on are silent, as far as is known.
    silent_from: u64,
}

impl Stretch {
    fn len(&self) -> u64 {
        self.first + self.samples.len() as u64
    }

    /// The samples from `start` to `end`, as far as they exist.
    fn slice(&self, start: u64, end: u64) -> &[f32] {
        let index = |n: u64| (n.saturating_sub(self.first) as usize).min(self.samples.len());
        &self.samples[index(start)..index(end).max(index(start))]
    }
}

impl Stream {
    pub fn new(recipe: &LogMel) -> Self {
        let hop = recipe.hop_length;
        let left = recipe.n_fft / 2 - (recipe.n_fft - recipe.win_length) / 2;
        let right = recipe.win_length - left;
        Self {
            maker: RowMaker::new(recipe),
            hop,
            preemphasis: f64::from(recipe.preemphasis),
            center: recipe.center,
            left,
            right,
            reach: reach(recipe),
            hang_over_rows: (recipe.sample_rate as usize * HANG_OVER_MS).div_ceil(1000 * hop) as u64,
            stretch: Stretch::default(),
        }
    }

    /// Samples since the stretch began.
    pub fn len(&self) -> u64 {
        self.stretch.len()
    }

    /// Adds sound (finite samples) and returns the rows that it completes. What is quieter than `silence`, a mean square,
    /// is silent.
    pub fn push(&mut self, samples: &[f32], silence: f64) -> Vec<Run> {
        self.stretch.samples.extend_from_slice(samples);
        let mut runs = Vec::new();
        while self.stretch.next_row * self.hop as u64 + self.reach as u64 <= self.len() {
            self.next_row(silence, &mut runs);
        }
        self.forget();
        runs
    }

    /// Ends the stretch: returns the rows whose windows reach beyond it, and starts anew at row 0.
    pub fn drain(&mut self, silence: f64) -> Vec<Run> {
        let mut runs = Vec::new();
        while self.len() > 0 && self.stretch.next_row * self.hop as u64 <= self.len() {
            self.next_row(silence, &mut runs);
        }
        self.reset();
        runs
    }

    /// Drops the stretch and starts anew at row 0.
    pub fn reset(&mut self) {
        self.stretch = Stretch::default();
    }

    fn next_row(&mut self, silence: f64, runs: &mut Vec<Run>) {
        let row = self.stretch.next_row;
        self.stretch.next_row += 1;
        if self.power_around(row) >= silence {
            self.stretch.silent_from = row + 1 + self.hang_over_rows;
        }
        let silent = row >= self.stretch.silent_from;
        if runs.last().is_none_or(|run| run.silent != silent) {
            runs.push(Run { first_row: row, rows: 0, silent, values: Vec::new() });
        }
        let last = runs.len() - 1;
        let run = &mut runs[last];
        run.rows += 1;

        let (p, stretch) = (self.preemphasis, &self.stretch);
        let emphasised = |pair: &[f32]| f64::from(pair[1]) - p * f64::from(pair[0]);
        let center = row as i64 * self.hop as i64;
        let (start, end) = (center - self.left as i64, center + self.right as i64);
        if start > 0 && end as u64 <= stretch.len() {
            let samples = stretch.slice(start as u64 - 1, end as u64);
            self.maker.make(samples.windows(2).map(emphasised), &mut run.values);
        } else {
            let n = stretch.len();
            let at = |index: i64| match mirrored(index, n, self.center) {
                None => 0.0,
                Some(0) => f64::from(stretch.slice(0, 1)[0]),
                Some(i) => emphasised(stretch.slice(i - 1, i + 1)),
            };
            self.maker.make((start..end).map(at), &mut run.values);
        }
    }

    /// Mean square of the hop around the row's centre.
    fn power_around(&self, row: u64) -> f64 {
        let half = self.hop as u64 / 2;
        let center = row * self.hop as u64;
        let samples = self.stretch.slice(center.saturating_sub(half), center + (self.hop as u64 - half));
        // Four sums side by side: one alone would have every addition wait for the one before.
        let mut sums = [0.0; 4];
        for four in samples.chunks(4) {
            for (sum, &sample) in sums.iter_mut().zip(four) {
                *sum += f64::from(sample) * f64::from(sample);
            }
        }
        sums.iter().sum::<f64>() / samples.len().max(1) as f64
    }

    /// Drops the samples that no later row needs, wherever the stretch may end.
    fn forget(&mut self) {
        let stretch = &mut self.stretch;
        let before_row = (self.left + 1).max(self.hop / 2) as u64;
        let next = (stretch.next_row * self.hop as u64).saturating_sub(before_row);
        // The mirror image beyond the end.
        let tail = stretch.len().saturating_sub(self.right as u64 + 2);
        let needed = next.min(tail);
        // Moving the rest is worth it once a row is done, not for every sample.
        if needed >= stretch.first + self.hop as u64 {
            stretch.samples.drain(..(needed - stretch.first) as usize);
            stretch.first = needed;
        }
    }
}

/// Samples after its centre that a row waits for: the right half of its window, and of the hop whose loudness is its own.
pub fn reach(recipe: &LogMel) -> usize {
    let left = recipe.n_fft / 2 - (recipe.n_fft - recipe.win_length) / 2;
    // The first row's mirrored left half lies on its right.
    left.max(recipe.win_length - left).max(recipe.hop_length.div_ceil(2))
}

/// Which of the `n` > 0 samples stands at `index`, which may lie outside them.
fn mirrored(index: i64, n: u64, center: Center) -> Option<u64> {
    let last = n as i64 - 1;
    match center {
        _ if (0..=last).contains(&index) => Some(index as u64),
        Center::Zero => None,
        Center::Reflect if last == 0 => Some(0),
        Center::Reflect => {
            let folded = index.rem_euclid(2 * last);
            Some(folded.min(2 * last - folded) as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_recipes::*;
    use super::*;
    use crate::model::manifest::MelScale;

    /// −50 dBFS
    const SILENCE: f64 = 1e-5;

    /// All rows and their silence flags, the sound being cut into pieces of the sizes in `cuts`, over and over.
    fn features(recipe: &LogMel, samples: &[f32], cuts: &[usize]) -> (Vec<f32>, Vec<bool>) {
        let mut stream = Stream::new(recipe);
        let (mut values, mut silent) = (Vec::new(), Vec::new());
        let mut take = |runs: Vec<Run>| {
            for run in runs {
                assert_eq!(run.first_row, silent.len() as u64);
                assert_eq!(run.values.len(), run.rows as usize * recipe.n_mels);
                values.extend(run.values);
                silent.extend(std::iter::repeat_n(run.silent, run.rows as usize));
            }
        };
        let mut rest = samples;
        for &cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            take(stream.push(piece, SILENCE));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        take(stream.drain(SILENCE));
        assert_eq!(stream.len(), 0);
        (values, silent)
    }

    fn whole(recipe: &LogMel, samples: &[f32]) -> (Vec<f32>, Vec<bool>) {
        features(recipe, samples, &[samples.len().max(1)])
    }

    #[test]
    fn rows_are_librosas() {
        for (recipe, (rows, reference)) in
            [(wav2lip(), WAV2LIP_ROWS), (mouthwarp(), MOUTHWARP_ROWS), (htk_power(), HTK_POWER_ROWS)]
        {
            let (values, _) = whole(&recipe, &signal(2000));
            assert_eq!(values.len(), rows * recipe.n_mels);
            let step = recipe.n_mels / 8;
            for (row, expected) in reference {
                for (i, expected) in expected.into_iter().enumerate() {
                    let found = values[row * recipe.n_mels + i * step];
                    assert!((found - expected).abs() < 2e-5, "row {row}, value {}: {found}, not {expected}", i * step);
                }
            }
        }
    }

    /// As librosa counts them, down to a single sample; no sound gives no row.
    #[test]
    fn there_is_a_row_for_every_hop_and_one_for_the_start() {
        for recipe in [wav2lip(), mouthwarp(), htk_power()] {
            assert_eq!(whole(&recipe, &[]).0.len(), 0);
            for n in [1, 2, 3, recipe.hop_length - 1, recipe.hop_length, 399, 400, 401, 16_000] {
                let (values, silent) = whole(&recipe, &signal(n));
                assert_eq!(silent.len(), 1 + n / recipe.hop_length, "{n} samples");
                assert!(values.iter().all(|v| v.is_finite()));
            }
        }
    }

    /// Rows come out as soon as their window is filled, not later.
    #[test]
    fn a_row_waits_for_its_own_window_only() {
        let recipe = mouthwarp();
        assert_eq!(reach(&recipe), 200);
        let mut stream = Stream::new(&recipe);
        let sound = signal(1000);
        let mut rows = 0;
        for (n, sample) in sound.iter().enumerate() {
            rows += stream.push(&[*sample], SILENCE).iter().map(|run| run.rows as usize).sum::<usize>();
            let n = n + 1;
            assert_eq!(rows, if n < 200 { 0 } else { 1 + (n - 200) / 160 }, "{n} samples");
        }
    }

    #[test]
    fn memory_is_bounded() {
        for recipe in [wav2lip(), mouthwarp(), LogMel { hop_length: 4000, ..wav2lip() }] {
            let mut stream = Stream::new(&recipe);
            let piece = signal(333);
            for _ in 0..300 {
                stream.push(&piece, SILENCE);
                let held = stream.stretch.samples.len();
                assert!(held <= recipe.win_length + 2 * recipe.hop_length + piece.len(), "{held} samples held");
            }
        }
    }

    /// 200 ms at 100 rows per second: 20 rows after the last loud one, whose hop reaches half a hop around it.
    #[test]
    fn silence_begins_after_the_hang_over() {
        let mut sound = vec![0.0; 8000];
        sound.extend(signal(16_000).iter().map(|x| 0.5 * x));
        sound.extend(vec![1e-4; 16_000]);
        let (_, silent) = whole(&mouthwarp(), &sound);
        let loud: Vec<_> = (0..silent.len()).filter(|&k| !silent[k]).collect();
        assert_eq!((loud[0], loud[loud.len() - 1]), (50, 150 + 20));
        assert_eq!(loud.len(), 121);
    }

    #[test]
    fn loud_but_finite_sound_stays_finite() {
        let (values, _) = whole(&wav2lip(), &[f32::MAX, f32::MIN, f32::MAX, 0.0].repeat(1000));
        assert!(values.iter().all(|v| (-4.0..=4.0).contains(v)));
    }

    #[test]
    fn mirrors_fold_as_often_as_needed() {
        let indices = |n, center| (-4..7).map(|i| mirrored(i, n, center)).collect::<Vec<_>>();
        let some = |list: [u64; 11]| list.map(Some).to_vec();
        assert_eq!(indices(3, Center::Reflect), some([0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]));
        assert_eq!(indices(1, Center::Reflect), some([0; 11]));
        assert_eq!(indices(2, Center::Zero).iter().flatten().count(), 2);
    }

    proptest! {
        /// Any cutting gives the very same bits, for odd recipes too.
        #[test]
        fn pieces_do_not_matter(
            length in 0usize..4000,
            cuts in prop::collection::vec(1usize..700, 1..20),
            window in 8usize..300,
            padding in 0usize..100,
            hop in 1usize..500,
            reflect: bool,
            htk: bool,
        ) {
            let recipe = LogMel {
                win_length: 2 * window - usize::from(htk),
                n_fft: 2 * (window + padding),
                hop_length: hop,
                center: if reflect { Center::Reflect } else { Center::Zero },
                mel_scale: if htk { MelScale::Htk } else { MelScale::Slaney },
                n_mels: 5,
                ..wav2lip()
            };
            // Half of it quiet, so that both kinds of rows appear.
            let mut sound = signal(length);
            sound.iter_mut().skip(length / 3).take(length / 2).for_each(|x| *x *= 1e-3);
            let (values, silent) = whole(&recipe, &sound);
            let (cut_values, cut_silent) = features(&recipe, &sound, &cuts);
            prop_assert_eq!(silent, cut_silent);
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&values), bits(&cut_values));
        }
    }
}
