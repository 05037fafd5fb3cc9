// SPDX-License-Identifier: MPL-2.0
//! `[lipsyncgen]`: which graphs run, on which tensors.

use serde::Deserialize;

use super::super::values::{Checked, Name, OneOrMany};
use super::Color;

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
                Source::Features { rows: Rows { before: rows.before.0, count: rows.count.0, end: rows.end }, layout }
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
