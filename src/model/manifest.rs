// SPDX-License-Identifier: MPL-2.0
//! `model.toml`: four sections, each read by the element of the same name.
//!
//! Parsing checks every key: an unknown, missing or out-of-range one is an error that names the key and the line. Whatever
//! a [`Manifest`] holds is therefore within its documented range.

use serde::Deserialize;

use super::values::{Checked, Fraction, LengthPx, Name, OneOrMany, Size};

/// A whole `model.toml`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: Name,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub licence: String,
    #[serde(default)]
    pub url: String,
    /// Frames per second the model was trained for. Informative: frames are matched to sound by their timestamps.
    #[serde(default)]
    pub fps: Option<Checked<f64, 1, 1000>>,
    pub audiofeatures: AudioFeatures,
    pub facecrop: FaceCrop,
    pub lipsyncgen: LipsyncGen,
    #[serde(default)]
    pub facepaste: FacePaste,
}

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

/// Where the face is and how it is cut out.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "RawFaceCrop")]
pub struct FaceCrop {
    /// Width and height of the crop in pixels.
    pub size: Size,
    pub rule: CropRule,
    pub interpolation: Interpolation,
    /// Order of the colours in tensors made from the crop.
    pub color: Color,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CropRule {
    /// The detector's box grown by `pad` (frame pixels: left, top, right, bottom), stretched to the crop's size.
    Box { pad: [f32; 4] },
    /// An upright (in the face's own axes) square: the line through the outer eye corners is its x axis. Landmarks are
    /// numbered as in iBUG 300-W.
    Similarity {
        /// The centre is the mean of these landmarks, plus `shift` (fractions of the side, in the face's axes).
        anchor: Vec<usize>,
        /// The side is `scale` × the distance between the means of these two groups of landmarks.
        span: [Vec<usize>; 2],
        scale: f32,
        shift: [f32; 2],
    },
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    #[default]
    Bilinear,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFaceCrop {
    size: Size,
    rule: RuleName,
    #[serde(default)]
    pad: Option<Pad>,
    anchor: Option<Vec<Checked<u32, 0, 67>>>,
    span: Option<[Vec<Checked<u32, 0, 67>>; 2]>,
    scale: Option<Checked<f64, 0, 100>>,
    shift: Option<[Checked<f64, -10, 10>; 2]>,
    #[serde(default)]
    interpolation: Interpolation,
    #[serde(default)]
    color: Color,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum RuleName {
    Box,
    Similarity,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Pad {
    left: LengthPx,
    top: LengthPx,
    right: LengthPx,
    bottom: LengthPx,
}

impl TryFrom<RawFaceCrop> for FaceCrop {
    type Error = String;

    fn try_from(raw: RawFaceCrop) -> Result<Self, String> {
        let similarity_keys = [
            ("anchor", raw.anchor.is_some()),
            ("span", raw.span.is_some()),
            ("scale", raw.scale.is_some()),
            ("shift", raw.shift.is_some()),
        ];
        let rule = match raw.rule {
            RuleName::Box => {
                if let Some((key, _)) = similarity_keys.iter().find(|(_, present)| *present) {
                    return Err(format!("`{key}` belongs to rule = \"similarity\", but the rule is \"box\""));
                }
                let pad = raw.pad.unwrap_or_default();
                CropRule::Box { pad: [pad.left.0, pad.top.0, pad.right.0, pad.bottom.0] }
            }
            RuleName::Similarity => {
                if raw.pad.is_some() {
                    return Err("`pad` belongs to rule = \"box\", but the rule is \"similarity\"".into());
                }
                let need = |key: &str| format!("rule = \"similarity\" needs `{key}`");
                let indices =
                    |list: Vec<Checked<u32, 0, 67>>| list.into_iter().map(|i| i.0 as usize).collect::<Vec<_>>();
                let anchor = indices(raw.anchor.ok_or_else(|| need("anchor"))?);
                let span = raw.span.ok_or_else(|| need("span"))?.map(indices);
                let scale = raw.scale.ok_or_else(|| need("scale"))?.0 as f32;
                if anchor.is_empty() || span.iter().any(Vec::is_empty) {
                    return Err("`anchor` and both lists of `span` need at least one landmark".into());
                }
                if span[0] == span[1] || scale <= 0.0 {
                    return Err("`span` needs two different lists and `scale` must be above 0".into());
                }
                let shift = raw.shift.map_or([0.0; 2], |s| s.map(|v| v.0 as f32));
                CropRule::Similarity { anchor, span, scale, shift }
            }
        };
        Ok(Self { size: raw.size, rule, interpolation: raw.interpolation, color: raw.color })
    }
}

/// Which graphs run, on which tensors.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LipsyncGen {
    /// Run in this order; an input that no `from` feeds takes the earlier output of the same name.
    pub graph: Vec<Graph>,
    pub output: Output,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Inside the model's folder.
    pub file: Name,
    #[serde(default)]
    pub input: Vec<Input>,
}

/// One input tensor and what it is filled with.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "RawInput")]
pub struct Input {
    pub name: Name,
    pub source: Source,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Rows of features around the frame's time.
    Features { rows: Rows, layout: FeatureLayout },
    /// (N, 68, 2) landmarks in crop fractions.
    Landmarks,
    /// (N, 3·k, H, W): the k pictures one after the other along the channels, colours in the order of `[facecrop] color`.
    Pictures { pictures: Vec<Picture>, range: [f32; 2], mask: Option<Mask> },
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Picture {
    /// The crop.
    Face,
    /// The crop with the mask's rectangle filled.
    Masked,
}

/// Which rows belong to a frame: `count` rows, the first one `before` rows ahead of the frame's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    pub before: u32,
    pub count: u32,
    pub end: End,
}

/// What stands where a window reaches beyond the sound.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Zeros.
    Zero,
    /// The first or last row again.
    Edge,
    /// The nearest whole window (the first or the last).
    Clamp,
}

/// Order of the axes: n batch, r rows, w width (the numbers of one row), 1 an axis of length one.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum FeatureLayout {
    #[serde(rename = "nrw")]
    Nrw,
    #[serde(rename = "nwr")]
    Nwr,
    #[serde(rename = "n1rw")]
    N1rw,
    #[serde(rename = "n1wr")]
    N1wr,
}

/// A rectangle in crop pixels (end exclusive) and the value, in the tensor's range, that fills it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    pub rows: [usize; 2],
    pub columns: [usize; 2],
    pub fill: f32,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Color {
    #[default]
    Rgb,
    Bgr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    name: Name,
    from: OneOrMany<SourceName>,
    rows: Option<RawRows>,
    layout: Option<Name>,
    range: Option<[f32; 2]>,
    mask: Option<RawMask>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum SourceName {
    Features,
    Landmarks,
    Face,
    Masked,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct RawRows {
    before: Checked<u32, 0, 10_000>,
    count: Checked<u32, 1, 10_000>,
    end: End,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct RawMask {
    rows: [usize; 2],
    columns: Option<[usize; 2]>,
    fill: f32,
}

impl TryFrom<RawInput> for Input {
    type Error = String;

    fn try_from(raw: RawInput) -> Result<Self, String> {
        let name = raw.name;
        let layout_is = |expected: &[&str]| match raw.layout.as_deref() {
            Some(layout) if expected.contains(&layout) => Ok(()),
            Some(layout) => {
                Err(format!("layout = \"{layout}\" of input \"{}\": expected {}", &*name, expected.join(" or ")))
            }
            None => Err(format!("input \"{}\" needs `layout` = {}", &*name, expected.join(" or "))),
        };
        let unused = |keys: &[(&str, bool)]| match keys.iter().find(|(_, present)| *present) {
            Some((key, _)) => Err(format!("`{key}` means nothing for input \"{}\"", &*name)),
            None => Ok(()),
        };
        let picture_keys = [("range", raw.range.is_some()), ("mask", raw.mask.is_some())];
        let source = match raw.from.0.as_slice() {
            [SourceName::Features] => {
                unused(&picture_keys)?;
                layout_is(&["nrw", "nwr", "n1rw", "n1wr"])?;
                let rows = raw.rows.ok_or_else(|| format!("input \"{}\" needs `rows`", &*name))?;
                let layout = match raw.layout.as_deref() {
                    Some("nwr") => FeatureLayout::Nwr,
                    Some("n1rw") => FeatureLayout::N1rw,
                    Some("n1wr") => FeatureLayout::N1wr,
                    _ => FeatureLayout::Nrw,
                };
                Source::Features {
                    rows: Rows { before: rows.before.0, count: rows.count.0, end: rows.end },
                    layout,
                }
            }
            [SourceName::Landmarks] => {
                unused(&picture_keys)?;
                unused(&[("rows", raw.rows.is_some())])?;
                layout_is(&["npc"])?;
                Source::Landmarks
            }
            sources => {
                unused(&[("rows", raw.rows.is_some())])?;
                layout_is(&["nchw"])?;
                let pictures = sources
                    .iter()
                    .map(|s| match s {
                        SourceName::Face => Ok(Picture::Face),
                        SourceName::Masked => Ok(Picture::Masked),
                        _ => Err(format!(
                            "from of input \"{}\": features and landmarks stand alone, only \"face\" and \"masked\" can be listed together",
                            &*name
                        )),
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                if pictures.is_empty() {
                    return Err(format!("from of input \"{}\" is empty", &*name));
                }
                let range = raw.range.unwrap_or([0.0, 1.0]);
                if !(range[0] < range[1] && range.iter().all(|v| v.is_finite())) {
                    return Err(format!("range of input \"{}\": expected [low, high]", &*name));
                }
                let mask = raw.mask.map(|m| Mask {
                    rows: m.rows,
                    columns: m.columns.unwrap_or([0, usize::MAX]),
                    fill: m.fill,
                });
                if pictures.contains(&Picture::Masked) != mask.is_some() {
                    return Err(format!("input \"{}\": \"masked\" and `mask` need each other", &*name));
                }
                Source::Pictures { pictures, range, mask }
            }
        };
        Ok(Self { name, source })
    }
}

/// What the last graph yields.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Output {
    /// (N, 3, H, W): the new crop.
    Image {
        name: Name,
        range: [f32; 2],
        #[serde(default)]
        round: Round,
        #[serde(default)]
        color: Color,
    },
    /// Fields on an h × w grid over the crop, applied to the frame's own pixels; see [`crate::face_meta::Warp`].
    Warp { upper: Name, lower: Name, edges: Name, inner: Name, weight: Name },
}

/// How a value becomes an integer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Round {
    #[default]
    Nearest,
    Truncate,
}

/// How the result goes back into the frame.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Default)]
#[serde(deny_unknown_fields, default)]
pub struct FacePaste {
    pub blend: Blend,
    /// Width of the soft border as a fraction of the crop.
    pub feather: Option<Fraction>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Blend {
    /// The whole crop replaces what was there.
    Hard,
    /// As `hard`, with a soft border.
    #[default]
    Feather,
    /// The weight comes from the graph (kind `warp`).
    Weight,
}
