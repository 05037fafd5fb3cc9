// SPDX-License-Identifier: MPL-2.0
//! Rows of a log-mel spectrogram from the samples around them.

use wide::f32x8;

use super::held::Held;
use super::mel::MelBank;
use super::spectrum::Spectrum;
use crate::model::manifest::{Center, Clip, Level, LogMel};

/// Turns the samples under a window into a row.
pub struct LogMelRows {
    hop: usize,
    preemphasis: f64,
    center: Center,
    /// A row's window begins `left` samples before its centre …
    left: usize,
    /// … and ends `right` after it.
    right: usize,
    window: Vec<f64>,
    spectrum: Spectrum,
    mel: MelBank,
    level: LevelMap,
}

impl LogMelRows {
    pub fn new(recipe: &LogMel) -> Self {
        let left = left(recipe);
        Self {
            hop: recipe.hop_length,
            preemphasis: f64::from(recipe.preemphasis),
            center: recipe.center,
            left,
            right: recipe.win_length - left,
            window: hann(recipe.win_length),
            spectrum: Spectrum::new(recipe.n_fft, recipe.power),
            mel: MelBank::new(recipe),
            level: LevelMap::new(&recipe.level, recipe.power),
        }
    }

    /// Samples before the next row's centre, and before the sound's end (whose mirror image comes after it), that rows
    /// need.
    pub fn needs(&self) -> (u64, u64) {
        ((self.left + 1).max(self.hop / 2) as u64, self.right as u64 + 2)
    }

    /// Appends the row centred on sample `center` of `sound`. Where its window reaches beyond the samples, they are all
    /// there are.
    pub fn make(&mut self, sound: &Held, center: u64, row: &mut Vec<f32>) {
        make(self, sound, center, row);
    }
}

#[multiversion::multiversion(targets("x86_64+avx2+fma+bmi1+bmi2"))]
fn make(rows: &mut LogMelRows, sound: &Held, center: u64, row: &mut Vec<f32>) {
    let p = rows.preemphasis;
    let (start, end) = (center as i64 - rows.left as i64, center as i64 + rows.right as i64);
    let window = &rows.window;
    let magnitudes = if start > 0 && end as u64 <= sound.len() {
        let samples = sound.slice(start as u64 - 1, end as u64);
        rows.spectrum.of(window.len(), |out| {
            for (((out, window), sample), before) in out.iter_mut().zip(window).zip(&samples[1..]).zip(samples) {
                *out = (f64::from(*sample) - p * f64::from(*before)) * window;
            }
        })
    } else {
        let n = sound.len();
        let at = |index: i64| match mirrored(index, n, rows.center) {
            None => 0.0,
            Some(0) => f64::from(sound.slice(0, 1)[0]),
            Some(i) => f64::from(sound.slice(i, i + 1)[0]) - p * f64::from(sound.slice(i - 1, i)[0]),
        };
        rows.spectrum.of(window.len(), |out| {
            out.iter_mut().zip(window).zip(start..end).for_each(|((out, window), index)| *out = at(index) * window);
        })
    };
    let first = row.len();
    rows.mel.apply(magnitudes, row);
    rows.level.apply(&mut row[first..]);
}

fn left(recipe: &LogMel) -> usize {
    recipe.n_fft / 2 - (recipe.n_fft - recipe.win_length) / 2
}

/// Samples after its centre that a row waits for: the right half of its window.
pub fn reach(recipe: &LogMel) -> usize {
    // The first row's mirrored left half lies on its right.
    left(recipe).max(recipe.win_length - left(recipe))
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

/// Periodic: the value after the last would be the first again.
fn hann(length: usize) -> Vec<f64> {
    (0..length).map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / length as f64).cos()).collect()
}

/// [`Level`] with its constants folded: sum → slope · ln(max(floor, sum + add)) + offset, clipped.
struct LevelMap {
    add: f32,
    floor: f32,
    slope: f32,
    offset: f32,
    low: f32,
    high: f32,
}

impl LevelMap {
    fn new(level: &Level, power: u32) -> Self {
        let db_per_ln = 20.0 / f64::from(power) / std::f64::consts::LN_10;
        let (ref_db, min_db) = (f64::from(level.ref_db), f64::from(level.min_db));
        let (per_db, high) = match level.range.map(|range| range.map(f64::from)) {
            None => (1.0, 0.0),
            Some([low, high]) => ((high - low) / -min_db, high),
        };
        let (low, top) = match (level.range.map(|range| range.map(f64::from)), level.clip) {
            (Some([low, high]), Clip::Both) => (low, high),
            (Some([low, _]), Clip::Low) => (low, f64::INFINITY),
            (None, _) | (Some(_), Clip::None) => (f64::NEG_INFINITY, f64::INFINITY),
        };
        Self {
            add: level.add,
            floor: level.floor,
            slope: (db_per_ln * per_db) as f32,
            offset: (high - ref_db * per_db) as f32,
            low: low as f32,
            high: top as f32,
        }
    }

    /// From sums to levels.
    #[inline(always)]
    fn apply(&self, sums: &mut [f32]) {
        let (slope, offset) = (f32x8::splat(self.slope), f32x8::splat(self.offset));
        let (low, high) = (f32x8::splat(self.low), f32x8::splat(self.high));
        for levels in sums.chunks_mut(8) {
            let mut eight = [1.0; 8];
            eight[..levels.len()].copy_from_slice(levels);
            // The cap keeps absurdly loud sound finite.
            let sums =
                (f32x8::from(eight) + self.add).fast_max(f32x8::splat(self.floor)).fast_min(f32x8::splat(f32::MAX));
            // The logarithm is a good part of the work: in f32, and eight at once.
            let decibels = sums.fast_max(f32x8::splat(f32::MIN_POSITIVE)).ln().mul_add(slope, offset);
            levels.copy_from_slice(&decibels.fast_max(low).fast_min(high).to_array()[..levels.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_fold_as_often_as_needed() {
        let indices = |n, center| (-4..7).map(|i| mirrored(i, n, center)).collect::<Vec<_>>();
        let some = |list: [u64; 11]| list.map(Some).to_vec();
        assert_eq!(indices(3, Center::Reflect), some([0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]));
        assert_eq!(indices(1, Center::Reflect), some([0; 11]));
        assert_eq!(indices(2, Center::Zero).iter().flatten().count(), 2);
    }

    /// 0 dB is the range's upper end, and each end is passed only where `clip` lets it be.
    #[test]
    fn levels_are_clipped_where_they_are_told_to() {
        let level =
            Level { floor: 1e-12, add: 0.0, ref_db: 0.0, min_db: -100.0, range: Some([-1.0, 1.0]), clip: Clip::Both };
        let found = |clip| {
            let mut levels = [1e-12, 1e-5, 1e-2, 1.0, 1e5];
            LevelMap::new(&Level { clip, ..level }, 1).apply(&mut levels);
            levels
        };
        for (clip, [bottom, top]) in [(Clip::Both, [-1.0, 1.0]), (Clip::Low, [-1.0, 3.0]), (Clip::None, [-3.8, 3.0])] {
            for (found, expected) in found(clip).iter().zip([bottom, -1.0, 0.2, 1.0, top]) {
                assert!((found - expected).abs() < 1e-5, "{clip:?}: {found}, not {expected}");
            }
        }
    }
}
