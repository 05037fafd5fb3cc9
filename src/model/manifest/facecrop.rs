// SPDX-License-Identifier: MPL-2.0
//! `[facecrop]`: where the face is and how it is cut out.

use serde::Deserialize;

use super::super::values::{Checked, LengthPx, Size};
use super::Color;

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
