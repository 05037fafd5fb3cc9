// SPDX-License-Identifier: MPL-2.0
//! The mel filter bank: overlapping triangles, evenly spaced on a scale of perceived pitch.

use crate::model::manifest::{Fbank, LogMel, MelNorm, MelScale};

/// Triangular filters over the bins of a spectrum, stored without most of their zeros.
pub struct MelBank {
    filters: Vec<Filter>,
}

struct Filter {
    /// Of the first weight.
    bin: usize,
    /// With zeros around them, because eight are multiplied at once.
    weights: Vec<[f32; 8]>,
}

impl MelBank {
    /// Triangles in Hz over the n-fft / 2 + 1 bins of a spectrogram.
    pub fn new(recipe: &LogMel) -> Self {
        let bin_hz = f64::from(recipe.sample_rate) / recipe.n_fft as f64;
        let scale = recipe.mel_scale;
        let corners = corners(scale, recipe.f_min, recipe.f_max, recipe.n_mels);
        let corners: Vec<f64> = corners.into_iter().map(|mel| mel_to_hz(scale, mel)).collect();
        Self::of(&corners, recipe.n_fft / 2 + 1, |bin| bin as f64 * bin_hz, recipe.mel_norm)
    }

    /// Kaldi's: triangles in mel, and without the last of the n-fft / 2 + 1 bins.
    pub fn kaldi(recipe: &Fbank, n_fft: usize) -> Self {
        let bin_hz = f64::from(recipe.sample_rate) / n_fft as f64;
        let corners = corners(MelScale::Htk, recipe.f_min, recipe.f_max, recipe.n_mels);
        Self::of(&corners, n_fft / 2, |bin| hz_to_mel(MelScale::Htk, bin as f64 * bin_hz), MelNorm::None)
    }

    /// Filter i spans the `corners` i to i + 2, `place` says where a bin lies between them.
    fn of(corners: &[f64], bins: usize, place: impl Fn(usize) -> f64, norm: MelNorm) -> Self {
        let filters = corners
            .windows(3)
            .map(|corner| {
                let [low, mid, high] = [corner[0], corner[1], corner[2]];
                let area = match norm {
                    MelNorm::Slaney => 2.0 / (high - low),
                    MelNorm::None => 1.0,
                };
                let weight = |bin: usize| {
                    let at = place(bin);
                    ((at - low) / (mid - low)).min((high - at) / (high - mid)).max(0.0) * area
                };
                // A filter narrower than a bin may hold none at all.
                let first = (0..bins).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
                let last = (first..bins).take_while(|&bin| weight(bin) > 0.0).last().unwrap_or(first);
                let eights = (last + 1 - first).div_ceil(8);
                // So that the last eight end where the spectrum does.
                let bin = first.min(bins.next_multiple_of(8) - 8 * eights);
                let at = |bin: usize| if bin < bins { weight(bin) as f32 } else { 0.0 };
                let weights = (0..eights).map(|k| std::array::from_fn(|n| at(bin + 8 * k + n))).collect();
                Filter { bin, weights }
            })
            .collect();
        Self { filters }
    }

    /// Appends what each filter lets through of `spectrum`, lowest filter first. To its n-fft / 2 + 1 values belong as many zeros as make
    /// their number a multiple of eight.
    #[inline(always)]
    pub fn apply(&self, spectrum: &[f32], sums: &mut Vec<f32>) {
        let first = sums.len();
        sums.resize(first + self.filters.len(), 0.0);
        for (sum, filter) in sums[first..].iter_mut().zip(&self.filters) {
            *sum = sum_of_products(&filter.weights, &spectrum[filter.bin..]);
        }
    }
}

/// Eight sums next to each other, because one would have every addition wait for the last one.
#[inline(always)]
fn sum_of_products(weights: &[[f32; 8]], values: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (weights, values) in weights.iter().zip(values.as_chunks::<8>().0) {
        for n in 0..8 {
            sums[n] += weights[n] * values[n];
        }
    }
    let fours: [f32; 4] = std::array::from_fn(|n| sums[n] + sums[n + 4]);
    (fours[0] + fours[2]) + (fours[1] + fours[3])
}

/// Where the triangles start, peak and end, in mel.
fn corners(scale: MelScale, f_min: f32, f_max: f32, n_mels: usize) -> Vec<f64> {
    let (low, high) = (hz_to_mel(scale, f64::from(f_min)), hz_to_mel(scale, f64::from(f_max)));
    let step = (high - low) / (n_mels + 1) as f64;
    (0..n_mels + 2).map(|i| low + i as f64 * step).collect()
}

/// Slaney's scale (Auditory Toolbox, 1998): 3 mels per 200 Hz up to 1 kHz, then 27 mels for every factor of 6.4.
const SLANEY_BREAK_HZ: f64 = 1000.0;
const SLANEY_BREAK_MEL: f64 = 15.0;
const SLANEY_MELS_PER_FACTOR: f64 = 27.0;
const SLANEY_FACTOR: f64 = 6.4;

fn hz_to_mel(scale: MelScale, hz: f64) -> f64 {
    match scale {
        MelScale::Slaney if hz < SLANEY_BREAK_HZ => hz / SLANEY_BREAK_HZ * SLANEY_BREAK_MEL,
        MelScale::Slaney => {
            SLANEY_BREAK_MEL + SLANEY_MELS_PER_FACTOR * (hz / SLANEY_BREAK_HZ).ln() / SLANEY_FACTOR.ln()
        }
        MelScale::Htk => 2595.0 * (1.0 + hz / 700.0).log10(),
    }
}

fn mel_to_hz(scale: MelScale, mel: f64) -> f64 {
    match scale {
        MelScale::Slaney if mel < SLANEY_BREAK_MEL => mel / SLANEY_BREAK_MEL * SLANEY_BREAK_HZ,
        MelScale::Slaney => SLANEY_BREAK_HZ * SLANEY_FACTOR.powf((mel - SLANEY_BREAK_MEL) / SLANEY_MELS_PER_FACTOR),
        MelScale::Htk => 700.0 * (10f64.powf(mel / 2595.0) - 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audiofeatures::test_recipes::{htk_power, wav2lip};

    #[test]
    fn scales_invert_and_pass_through_their_anchors() {
        for scale in [MelScale::Slaney, MelScale::Htk] {
            for hz in [0.0, 55.0, 999.0, 1000.0, 1001.0, 7600.0, 20000.0] {
                let back = mel_to_hz(scale, hz_to_mel(scale, hz));
                assert!((back - hz).abs() < 1e-6, "{scale:?}: {hz} came back as {back}");
            }
        }
        assert!((hz_to_mel(MelScale::Slaney, 1000.0) - 15.0).abs() < 1e-9);
        assert!((hz_to_mel(MelScale::Slaney, 6400.0) - 42.0).abs() < 1e-9);
        assert!((hz_to_mel(MelScale::Htk, 1000.0) - 999.9855).abs() < 1e-3);
    }

    /// The norm makes triangles of unit area in Hz, so a flat spectrum of 1 per Hz passes as about 1.
    #[test]
    fn slaney_norm_gives_unit_area() {
        let recipe = LogMel { n_fft: 1 << 16, ..wav2lip() };
        let bin_hz = f64::from(recipe.sample_rate) / recipe.n_fft as f64;
        let spectrum = vec![bin_hz as f32; (recipe.n_fft / 2 + 1).next_multiple_of(8)];
        let mut areas = Vec::new();
        MelBank::new(&recipe).apply(&spectrum, &mut areas);
        assert_eq!(areas.len(), recipe.n_mels);
        for (i, area) in areas.into_iter().enumerate() {
            assert!((area - 1.0).abs() < 1e-3, "filter {i}: {area}");
        }
    }

    #[test]
    fn without_norm_the_peak_is_one() {
        let recipe = LogMel { n_fft: 1 << 16, ..htk_power() };
        for (i, filter) in MelBank::new(&recipe).filters.iter().enumerate() {
            let peak = filter.weights.as_flattened().iter().copied().fold(0.0, f32::max);
            assert!((0.98..=1.0).contains(&peak), "filter {i}: {peak}");
        }
    }

    /// More filters than bins: some are empty, none reads beyond the spectrum.
    #[test]
    fn filters_narrower_than_a_bin_are_empty() {
        let recipe = LogMel { n_fft: 16, win_length: 16, n_mels: 64, ..wav2lip() };
        let mut sums = Vec::new();
        MelBank::new(&recipe).apply(&[1.0; 16], &mut sums);
        assert_eq!(sums.len(), 64);
        assert!(sums.contains(&0.0) && sums.iter().any(|sum| *sum > 0.0));
    }
}
