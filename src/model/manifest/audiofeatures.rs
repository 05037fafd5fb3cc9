// SPDX-License-Identifier: MPL-2.0
//! `[audiofeatures]`: how sound becomes rows of numbers.

mod raw;

use serde::Deserialize;

use super::super::values::Name;

/// How sound becomes rows of numbers: a front end computes some, and a network may hear those and answer with its own.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "raw::Section")]
pub struct AudioFeatures {
    /// Two streams of features may meet only where their `id` is the same.
    pub id: Name,
    pub front: Front,
    /// Of `kind = "encoder"`.
    pub encoder: Option<Encoder>,
}

impl AudioFeatures {
    /// Hz
    pub fn sample_rate(&self) -> u32 {
        self.front.sample_rate()
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.encoder.as_ref().map_or(self.front.width(), |encoder| encoder.width)
    }

    /// Samples from one row to the next.
    pub fn hop(&self) -> usize {
        self.front.hop() * self.encoder.as_ref().map_or(1, |encoder| encoder.stride)
    }

    /// Rows before the sound's first, and as many after its last.
    pub fn beyond(&self) -> usize {
        self.encoder.as_ref().map_or(0, |encoder| encoder.beyond)
    }

    /// Rows per second as a fraction.
    pub fn rate(&self) -> (u32, u32) {
        (self.sample_rate(), self.hop() as u32)
    }
}

/// Rows that are computed, not learnt. Row k belongs to sample k · hop.
#[derive(Clone, Debug, PartialEq)]
pub enum Front {
    LogMel(LogMel),
    Fbank(Fbank),
    /// The sound itself: a row is one sample.
    Waveform {
        /// Hz
        sample_rate: u32,
    },
}

impl Front {
    /// Hz
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::LogMel(recipe) => recipe.sample_rate,
            Self::Fbank(recipe) => recipe.sample_rate,
            Self::Waveform { sample_rate } => *sample_rate,
        }
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        match self {
            Self::LogMel(recipe) => recipe.n_mels,
            Self::Fbank(recipe) => recipe.n_mels,
            Self::Waveform { .. } => 1,
        }
    }

    /// Samples from one row to the next.
    pub fn hop(&self) -> usize {
        match self {
            Self::LogMel(recipe) => recipe.hop_length,
            Self::Fbank(recipe) => recipe.hop_length,
            Self::Waveform { .. } => 1,
        }
    }
}

/// Log-mel spectrogram: pre-emphasis, short-time Fourier transform, mel filter bank, decibels. Row k is centred on
/// sample k · hop.
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
    /// What the first and last windows see beyond the sound.
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

/// Mel filter bank energies as Kaldi computes them. Row k starts at sample k · hop; there is none whose window would
/// reach beyond the sound. The mean of each window is taken off before pre-emphasis; the transform has the next power
/// of two samples; a row holds natural logarithms of powers.
#[derive(Clone, Debug, PartialEq)]
pub struct Fbank {
    /// Hz
    pub sample_rate: u32,
    /// y\[n\] = x\[n\] − p·x\[n−1\], within each window.
    pub preemphasis: f32,
    /// Samples under the window.
    pub win_length: usize,
    /// Samples from one row to the next.
    pub hop_length: usize,
    pub window: WindowShape,
    pub n_mels: usize,
    /// Hz, 0 ≤ f_min < f_max ≤ sample_rate / 2.
    pub f_min: f32,
    pub f_max: f32,
    /// What the samples −1..1 are multiplied by first.
    pub scale: f32,
}

/// A window that is zero, or small, at both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowShape {
    Hann,
    Hamming,
    /// Hann to the power of 0.85.
    Povey,
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
/// dB = 20/power · log10(max(floor, S + add)) − ref_db; then, with a `range`, min_db..0 dB is stretched over it and
/// clipped to its ends as `clip` says.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Level {
    #[serde(default = "Level::default_floor")]
    pub floor: f32,
    #[serde(default)]
    pub add: f32,
    #[serde(default)]
    pub ref_db: f32,
    #[serde(default = "Level::default_min_db")]
    pub min_db: f32,
    #[serde(default)]
    pub range: Option<[f32; 2]>,
    #[serde(default)]
    pub clip: Clip,
}

impl Level {
    fn default_floor() -> f32 {
        1e-5
    }

    fn default_min_db() -> f32 {
        -100.0
    }

    /// How much a value changes with 1 dB.
    pub fn per_db(&self) -> f32 {
        self.range.map_or(1.0, |[low, high]| (high - low) / -self.min_db)
    }
}

/// Which ends of a `range` values cannot pass.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Clip {
    #[default]
    Both,
    Low,
    None,
}

/// A network that hears windows of front-end rows and answers with rows of its own.
///
/// The windows overlap. Of each one's answers those are used that belong to times after the first and before the last
/// `context` rows, and the next window starts so that its own follow without a gap: no seam shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoder {
    /// The same graph for several backends.
    pub files: Vec<Name>,
    /// The graph's input that gets the window …
    pub input: Name,
    /// … and its axes.
    pub layout: Vec<WindowAxis>,
    /// The graph's input that gets the number of front rows.
    pub lengths: Option<Name>,
    /// What a recurrent network keeps in mind from one window to the next; see [`Carried`].
    pub state: Vec<Carried>,
    /// The graph's output. Its last axes, `width` numbers, are a row.
    pub output: Name,
    pub width: usize,
    /// Front rows that a run hears.
    pub window: usize,
    /// Front rows at the window's start and end whose answers are not used.
    pub context: [usize; 2],
    /// Front rows from the start of a window to the time of its first answer; below `window`.
    pub offset: usize,
    /// Front rows from one answer to the next.
    pub stride: usize,
    /// What windows hold before the sound begins and after it ends.
    pub pad: Padding,
    /// Rows before the sound's first and after its last that come with them: what the network makes of the padding.
    pub beyond: usize,
    pub normalise: Normalise,
}

impl Encoder {
    /// Answers at a window's start that are not used: those before the end of the first context.
    pub fn skipped(&self) -> usize {
        self.context[0].saturating_sub(self.offset).div_ceil(self.stride)
    }

    /// Answers of a window that are used; at least one.
    pub fn used(&self) -> usize {
        let end = (self.window - self.context[1]).saturating_sub(self.offset).div_ceil(self.stride);
        end.saturating_sub(self.skipped())
    }

    /// Front rows from a window's first to that of its first used answer.
    pub fn lead(&self) -> usize {
        self.skipped() * self.stride + self.offset
    }
}

/// What a network keeps in mind: in the manifest `state = { h0 = "hn", c0 = "cn" }`, a graph's input = its output.
///
/// For the first window of a stretch of sound the input is filled with zeros, for every other one with what the output was for
/// the window before, which began [`Encoder::used`] · `stride` front rows earlier. All axes of the input are fixed, its
/// numbers are float32 or float16, and the output has the same shape: such as (2, 1, 64) for two layers of 64 units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub input: Name,
    pub output: Name,
}

/// An axis of the tensor that holds a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowAxis {
    /// Of length 1; the batch is one, too.
    One,
    /// Front rows.
    Row,
    /// Numbers per front row.
    Width,
}

/// What stands in for front rows where there is no sound.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// The rows of zero samples.
    #[default]
    Zero,
    /// The first and the last row.
    Edge,
}

/// What is done to each window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalise {
    None,
    /// Nothing lies further than this below the largest value of the window and of the 3000 front rows before it; Whisper
    /// hears so many at once.
    Dynamic {
        below: f32,
    },
    /// Over the window's part that is sound, the mean becomes 0 and the variance 1.
    MeanVariance,
}
