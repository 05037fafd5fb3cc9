// SPDX-License-Identifier: MPL-2.0
//! `[audiofeatures]`: how sound becomes rows of numbers.

use serde::Deserialize;

use super::super::values::{Checked, Fraction, Name};

/// How sound becomes rows of numbers.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", try_from = "RawAudioFeatures")]
pub struct AudioFeatures {
    /// Two streams of features may meet only where their `id` is the same.
    pub id: Name,
    pub recipe: LogMel,
}

/// Log-mel spectrogram: pre-emphasis, short-time Fourier transform, mel filter bank, decibels.
#[derive(Clone, Debug, PartialEq)]
pub struct LogMel {
    /// Hz
    pub sample_rate: u32,
    /// y\[n\] = x\[n\] − p·x\[n−1\]; 0 = none.
    pub preemphasis: f32,
    /// Samples per transform.
    pub n_fft: usize,
    /// Samples under the (periodic Hann) window, centred in the transform; ≤ `n_fft`.
    pub win_length: usize,
    /// Samples from one row to the next.
    pub hop_length: usize,
    /// Row k is centred on sample k·hop; what the first and last windows see beyond the ends.
    pub center: Center,
    pub n_mels: usize,
    pub mel_scale: MelScale,
    pub mel_norm: MelNorm,
    /// Hz, 0 ≤ f_min < f_max ≤ sample_rate / 2.
    pub f_min: f32,
    pub f_max: f32,
    /// Exponent of the magnitude that the filter bank sums: 1 or 2.
    pub power: u32,
    pub level: Level,
}

impl AudioFeatures {
    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.recipe.n_mels
    }

    /// Rows per second as a fraction.
    pub fn rate(&self) -> (u32, u32) {
        (self.recipe.sample_rate, self.recipe.hop_length as u32)
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Center {
    /// The signal mirrored about its first and last sample.
    Reflect,
    Zero,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum MelScale {
    /// Linear below 1 kHz, logarithmic above (Slaney's Auditory Toolbox).
    Slaney,
    /// 2595·log10(1 + f/700)
    Htk,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum MelNorm {
    /// Each triangle has the area 1 (in Hz).
    Slaney,
    /// Each triangle has the height 1.
    None,
}

/// From filter-bank sums S to what the network sees.
///
/// dB = 20/power · log10(max(floor, S)) − ref_db; then, with a `range`, −min_db..0 dB is stretched over it and clipped.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Level {
    pub floor: f32,
    #[serde(default)]
    pub ref_db: f32,
    #[serde(default = "Level::default_min_db")]
    pub min_db: f32,
    #[serde(default)]
    pub range: Option<[f32; 2]>,
}

impl Level {
    fn default_min_db() -> f32 {
        -100.0
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAudioFeatures {
    id: Name,
    kind: FeatureKind,
    sample_rate: Checked<u32, 4000, 192_000>,
    #[serde(default)]
    preemphasis: Option<Fraction>,
    n_fft: Checked<u32, 16, 65_536>,
    win_length: Option<Checked<u32, 16, 65_536>>,
    hop_length: Checked<u32, 1, 65_536>,
    #[serde(default)]
    window: Window,
    center: Center,
    n_mels: Checked<u32, 1, 1024>,
    mel_scale: MelScale,
    mel_norm: MelNorm,
    f_min: Checked<f64, 0, 96_000>,
    f_max: Checked<f64, 1, 96_000>,
    power: Checked<u32, 1, 2>,
    level: Level,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FeatureKind {
    LogMel,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Window {
    #[default]
    Hann,
}

impl TryFrom<RawAudioFeatures> for AudioFeatures {
    type Error = String;

    fn try_from(raw: RawAudioFeatures) -> Result<Self, String> {
        let (FeatureKind::LogMel, Window::Hann) = (raw.kind, raw.window);
        let (n_fft, sample_rate) = (raw.n_fft.0, raw.sample_rate.0);
        let win_length = raw.win_length.map_or(n_fft, |w| w.0);
        let (f_min, f_max) = (raw.f_min.0 as f32, raw.f_max.0 as f32);
        if win_length > n_fft {
            return Err(format!("win-length = {win_length} must not exceed n-fft = {n_fft}"));
        }
        if n_fft % 2 != 0 {
            return Err(format!("n-fft = {n_fft} must be even"));
        }
        if f_min >= f_max || f_max > sample_rate as f32 / 2.0 {
            return Err(format!(
                "f-min = {f_min} and f-max = {f_max}: expected 0 ≤ f-min < f-max ≤ sample-rate / 2 = {}",
                sample_rate as f32 / 2.0
            ));
        }
        let level = raw.level;
        if !(level.floor > 0.0 && level.floor.is_finite()) {
            return Err(format!("level.floor = {}: expected a number above 0", level.floor));
        }
        if !(level.min_db < 0.0 && level.min_db.is_finite() && level.ref_db.is_finite()) {
            return Err(format!("level: expected min-db below 0 and a finite ref-db, found {level:?}"));
        }
        if let Some([low, high]) = level.range
            && !(low < high && low.is_finite() && high.is_finite())
        {
            return Err(format!("level.range = [{low}, {high}]: expected [low, high]"));
        }
        Ok(Self {
            id: raw.id,
            recipe: LogMel {
                sample_rate,
                preemphasis: raw.preemphasis.map_or(0.0, |p| p.0),
                n_fft: n_fft as usize,
                win_length: win_length as usize,
                hop_length: raw.hop_length.0 as usize,
                center: raw.center,
                n_mels: raw.n_mels.0 as usize,
                mel_scale: raw.mel_scale,
                mel_norm: raw.mel_norm,
                f_min,
                f_max,
                power: raw.power.0,
                level,
            },
        })
    }
}
