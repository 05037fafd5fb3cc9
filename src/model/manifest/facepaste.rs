// SPDX-License-Identifier: MPL-2.0
//! `[facepaste]`: how the result goes back into the frame.
//!
//! | key | meaning |
//! |---|---|
//! | `blend` | one of [`Blend`]; without it `"weight"` for a warp, `"feather"` for a picture |
//! | `feather` | of `blend = "feather"`: width of the soft border, 0 to 0.5 of the crop (0.1) |
//! | `mask`, `mask-of`, `mask-range` | of `blend = "mask"`: a grey picture, what it is the weight of, its values for 0 and 1 |
//! | `hull` | of `blend = "hull"`: `{ points, grow, feather }` |
//! | `parsing` | of `blend = "parsing"`: `{ file, input, output, size, mean, std, classes, feather }` |
//! | `rectangle` | left, top, right, bottom in fractions of the crop: only this part is pasted (all) |
//! | `detail` | [`Detail`]; without it `"generated"` for `blend = "hard"`, else `"frame"` |

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::super::values::{Checked, Name, Size};
use super::Output;

/// Width of the soft border where nobody says one, as a fraction of the crop.
pub const DEFAULT_FEATHER: f32 = 0.1;

/// How the result goes back into the frame.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "RawFacePaste")]
pub struct FacePaste {
    /// `None`: what fits the output.
    pub blend: Option<Blend>,
    /// `None`: what fits the blend.
    pub detail: Option<Detail>,
    /// Left, top, right, bottom of what is pasted, fractions of the crop.
    pub rectangle: [f32; 4],
}

impl Default for FacePaste {
    fn default() -> Self {
        Self { blend: None, detail: None, rectangle: [0.0, 0.0, 1.0, 1.0] }
    }
}

/// Where the generated picture is shown, and how strongly.
#[derive(Clone, Debug, PartialEq)]
pub enum Blend {
    /// All of the crop.
    Hard,
    /// All of the crop, with a soft border as wide as `feather` (fraction of the crop).
    Feather { feather: f32 },
    /// As a grey PNG says that is stretched over the crop.
    Mask {
        /// Inside the model's folder.
        file: Name,
        of: MaskOf,
        /// The greys that stand for the weights 0 and 1.
        range: [f32; 2],
    },
    /// The convex hull of landmarks.
    Hull {
        /// Numbered as in iBUG 300-W.
        points: Vec<usize>,
        /// How far its sides are moved outward, and the width of the soft border inside them: fractions of the crop.
        grow: f32,
        feather: f32,
    },
    /// Where a network sees certain parts of a face.
    Parsing(Parsing),
    /// The weight comes from the graph (kind `warp`).
    Weight,
}

/// What a mask's white stands for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum MaskOf {
    #[default]
    Generated,
    Original,
}

/// Whose fine detail is seen where the generated picture is shown.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// The generated picture replaces the frame, as sharp as the crop's size allows.
    Generated,
    /// The frame's own, which is finer than the crop's, as far as the generated picture agrees with the crop; where both are
    /// the same, the frame stays as it is.
    Frame,
}

/// A graph that tells the parts of a face apart: a picture in, one number per part and place out; the largest counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsing {
    /// Inside the model's folder.
    pub file: Name,
    /// Gets (1, 3, height, width): red, green, blue from 0 to 1, less `mean`, over `std`.
    pub input: Name,
    /// Yields (1, parts, any height, any width).
    pub output: Name,
    pub size: Size,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// The parts in which the generated picture is shown.
    pub classes: Vec<usize>,
    /// Width of the soft border inside them, as a fraction of the crop.
    pub feather: f32,
}

impl FacePaste {
    /// The error names the key that does not fit what the graphs yield.
    pub fn check(&self, output: &Output) -> Result<(), String> {
        let wrong = |key: &str, kind: &str, found: &str| {
            Err(format!("[facepaste] {key} needs [lipsyncgen.output] kind = \"{kind}\", found kind = \"{found}\""))
        };
        match (output, &self.blend) {
            (Output::Image { .. }, Some(Blend::Weight)) => wrong("blend = \"weight\"", "warp", "image"),
            (Output::Image { .. }, _) => Ok(()),
            (_, Some(blend)) if *blend != Blend::Weight => {
                wrong(&format!("blend = \"{}\"", blend.name()), "image", "warp")
            }
            _ if self.detail.is_some() => wrong("detail", "image", "warp"),
            _ if self.rectangle != Self::default().rectangle => wrong("rectangle", "image", "warp"),
            _ => Ok(()),
        }
    }
}

impl Blend {
    /// As the manifest spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Feather { .. } => "feather",
            Self::Mask { .. } => "mask",
            Self::Hull { .. } => "hull",
            Self::Parsing(_) => "parsing",
            Self::Weight => "weight",
        }
    }
}

/// A number from `MIN` to `MAX` hundredths.
#[derive(Clone, Copy)]
struct Hundredths<const MIN: i32, const MAX: i32>(f32);

impl<'de, const MIN: i32, const MAX: i32> Deserialize<'de> for Hundredths<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        let [low, high] = [MIN, MAX].map(|v| f64::from(v) / 100.0);
        if (low..=high).contains(&value) {
            Ok(Self(value as f32))
        } else {
            Err(D::Error::custom(format!("{value}: expected a number from {low} to {high}")))
        }
    }
}

/// No more than half of the crop: beyond that not even its middle would be shown in full.
type Border = Hundredths<0, 50>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFacePaste {
    blend: Option<BlendName>,
    feather: Option<Border>,
    mask: Option<Name>,
    mask_of: Option<MaskOf>,
    mask_range: Option<[f64; 2]>,
    hull: Option<RawHull>,
    parsing: Option<RawParsing>,
    rectangle: Option<[f64; 4]>,
    detail: Option<Detail>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum BlendName {
    Hard,
    Feather,
    Mask,
    Hull,
    Parsing,
    Weight,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHull {
    points: Vec<Checked<u32, 0, 67>>,
    grow: Option<Hundredths<-50, 50>>,
    feather: Option<Border>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParsing {
    file: Name,
    input: Name,
    output: Name,
    size: Size,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    classes: Vec<Checked<u32, 0, 255>>,
    feather: Option<Border>,
}

impl TryFrom<RawFacePaste> for FacePaste {
    type Error = String;

    fn try_from(raw: RawFacePaste) -> Result<Self, String> {
        let keys = [
            ("feather", raw.feather.is_some(), "feather"),
            ("mask", raw.mask.is_some(), "mask"),
            ("mask-of", raw.mask_of.is_some(), "mask"),
            ("mask-range", raw.mask_range.is_some(), "mask"),
            ("hull", raw.hull.is_some(), "hull"),
            ("parsing", raw.parsing.is_some(), "parsing"),
        ];
        let only = |blend: &str| match keys.iter().find(|(_, present, owner)| *present && *owner != blend) {
            Some((key, _, owner)) => {
                Err(format!("`{key}` belongs to blend = \"{owner}\", but the blend is \"{blend}\""))
            }
            None => Ok(()),
        };
        let need = |blend: &str, key: &str| format!("blend = \"{blend}\" needs `{key}`");
        let named = raw.blend.or(raw.feather.map(|_| BlendName::Feather));
        let blend = match named {
            None => {
                if let Some((key, _, owner)) = keys.iter().find(|(_, present, _)| *present) {
                    return Err(format!("`{key}` needs blend = \"{owner}\", found no `blend`"));
                }
                None
            }
            Some(BlendName::Hard) => {
                only("hard")?;
                Some(Blend::Hard)
            }
            Some(BlendName::Weight) => {
                only("weight")?;
                Some(Blend::Weight)
            }
            Some(BlendName::Feather) => {
                only("feather")?;
                Some(Blend::Feather { feather: raw.feather.map_or(DEFAULT_FEATHER, |f| f.0) })
            }
            Some(BlendName::Mask) => {
                only("mask")?;
                let [low, high] = raw.mask_range.unwrap_or([0.0, 255.0]);
                if !(0.0 <= low && low < high && high <= 255.0) {
                    return Err(format!(
                        "mask-range = [{low}, {high}]: expected [low, high] with 0 ≤ low < high ≤ 255"
                    ));
                }
                let file = raw.mask.ok_or_else(|| need("mask", "mask"))?;
                let of = raw.mask_of.unwrap_or_default();
                Some(Blend::Mask { file, of, range: [low as f32, high as f32] })
            }
            Some(BlendName::Hull) => {
                only("hull")?;
                Some(hull(raw.hull.ok_or_else(|| need("hull", "hull"))?)?)
            }
            Some(BlendName::Parsing) => {
                only("parsing")?;
                Some(Blend::Parsing(parsing(raw.parsing.ok_or_else(|| need("parsing", "parsing"))?)?))
            }
        };
        let rectangle = raw.rectangle.unwrap_or([0.0, 0.0, 1.0, 1.0]);
        let [x0, y0, x1, y1] = rectangle;
        if !(0.0 <= x0 && x0 < x1 && x1 <= 1.0 && 0.0 <= y0 && y0 < y1 && y1 <= 1.0) {
            return Err(format!(
                "rectangle = {rectangle:?}: expected [left, top, right, bottom] with 0 ≤ left < right ≤ 1 and 0 ≤ top < bottom ≤ 1"
            ));
        }
        Ok(Self { blend, detail: raw.detail, rectangle: rectangle.map(|v| v as f32) })
    }
}

fn hull(raw: RawHull) -> Result<Blend, String> {
    let points: Vec<usize> = raw.points.iter().map(|i| i.0 as usize).collect();
    let mut different = points.clone();
    different.sort_unstable();
    different.dedup();
    if different.len() < 3 {
        return Err(format!("hull.points = {points:?}: expected at least three different landmarks"));
    }
    Ok(Blend::Hull {
        points,
        grow: raw.grow.map_or(0.1, |v| v.0),
        feather: raw.feather.map_or(DEFAULT_FEATHER, |v| v.0),
    })
}

fn parsing(raw: RawParsing) -> Result<Parsing, String> {
    let classes: Vec<usize> = raw.classes.iter().map(|i| i.0 as usize).collect();
    if classes.is_empty() {
        return Err("parsing.classes = []: expected at least one class".into());
    }
    if let Some(class) = classes.iter().enumerate().find_map(|(k, c)| classes[..k].contains(c).then_some(c)) {
        return Err(format!("parsing.classes = {classes:?}: expected each class once, found {class} twice"));
    }
    let (mean, std) = (raw.mean.unwrap_or([0.0; 3]), raw.std.unwrap_or([1.0; 3]));
    if !mean.iter().all(|v| v.is_finite()) {
        return Err(format!("parsing.mean = {mean:?}: expected finite numbers"));
    }
    if !std.iter().all(|v| v.is_finite() && *v > 0.0) {
        return Err(format!("parsing.std = {std:?}: expected numbers above 0"));
    }
    Ok(Parsing {
        file: raw.file,
        input: raw.input,
        output: raw.output,
        size: raw.size,
        mean,
        std,
        classes,
        feather: raw.feather.map_or(0.05, |v| v.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> FacePaste {
        toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn every_blend_reads_as_documented() {
        assert_eq!(read(""), FacePaste::default());
        assert_eq!(read("blend = \"hard\"\ndetail = \"frame\"").detail, Some(Detail::Frame));
        assert_eq!(read("feather = 0.2").blend, Some(Blend::Feather { feather: 0.2 }));
        assert_eq!(read("blend = \"feather\"").blend, Some(Blend::Feather { feather: 0.1 }));
        assert_eq!(read("rectangle = [0, 0.5, 1, 1]").rectangle, [0.0, 0.5, 1.0, 1.0]);
        let mask =
            read("blend = \"mask\"\nmask = \"weight.png\"\nmask-of = \"original\"\nmask-range = [10, 200]").blend;
        let (file, of) = (Name::from("weight.png"), MaskOf::Original);
        assert_eq!(mask, Some(Blend::Mask { file, of, range: [10.0, 200.0] }));
        let hull = read("blend = \"hull\"\nhull = { points = [2, 8, 14], grow = -0.05 }").blend;
        assert_eq!(hull, Some(Blend::Hull { points: vec![2, 8, 14], grow: -0.05, feather: 0.1 }));
        let parsing = "blend = \"parsing\"\nparsing = { file = \"p.onnx\", input = \"x\", output = \"y\", size = [512, 256], classes = [1, 11] }";
        let Some(Blend::Parsing(parsing)) = read(parsing).blend else { panic!() };
        assert_eq!((parsing.mean, parsing.std, parsing.feather), ([0.0; 3], [1.0; 3], 0.05));
        assert_eq!((parsing.size, parsing.classes), (Size { width: 512, height: 256 }, vec![1, 11]));
    }

    /// Each mistake must be answered with the key (or the value of its line), what was expected and what was found.
    #[test]
    fn mistakes_name_the_key() {
        let parsing = |keys: &str| {
            format!(
                "blend = \"parsing\"\nparsing = {{ file = \"p\", input = \"x\", output = \"y\", size = [64, 64], {keys} }}"
            )
        };
        let mistakes: &[(&str, &str)] = &[
            ("blend = \"soft\"", "unknown variant `soft`, expected one of `hard`, `feather`, `mask`"),
            ("blend = \"hard\"\nfeather = 0.1", "`feather` belongs to blend = \"feather\", but the blend is \"hard\""),
            ("feather = 0.6", "0.6: expected a number from 0 to 0.5"),
            ("feather = nan", "NaN: expected a number from 0 to 0.5"),
            ("fether = 0.1", "unknown field `fether`, expected one of `blend`, `feather`"),
            ("blend = \"mask\"", "blend = \"mask\" needs `mask`"),
            ("mask = \"a.png\"", "`mask` needs blend = \"mask\", found no `blend`"),
            (
                "blend = \"hull\"\nmask-of = \"original\"",
                "`mask-of` belongs to blend = \"mask\", but the blend is \"hull\"",
            ),
            ("blend = \"mask\"\nmask = \"a.png\"\nmask-of = \"both\"", "unknown variant `both`"),
            (
                "blend = \"mask\"\nmask = \"a.png\"\nmask-range = [255, 0]",
                "mask-range = [255, 0]: expected [low, high]",
            ),
            ("blend = \"mask\"\nmask = \"a.png\"\nmask-range = [0, 256]", "0 ≤ low < high ≤ 255"),
            ("blend = \"mask\"\nmask = \"\"", "expected a text that is not empty"),
            ("blend = \"hull\"", "blend = \"hull\" needs `hull`"),
            (
                "blend = \"hull\"\nhull = { points = [] }",
                "hull.points = []: expected at least three different landmarks",
            ),
            ("blend = \"hull\"\nhull = { points = [1, 2, 2] }", "hull.points = [1, 2, 2]: expected at least three"),
            ("blend = \"hull\"\nhull = { points = [1, 2, 68] }", "68: expected a whole number from 0 to 67"),
            ("blend = \"hull\"\nhull = { points = [1, 2, 3], grow = 0.6 }", "0.6: expected a number from -0.5 to 0.5"),
            ("blend = \"hull\"\nhull = { points = [1, 2, 3], soft = 0.6 }", "unknown field `soft`"),
            ("blend = \"parsing\"", "blend = \"parsing\" needs `parsing`"),
            (&parsing("classes = []"), "parsing.classes = []: expected at least one class"),
            (&parsing("classes = [3, 1, 3]"), "expected each class once, found 3 twice"),
            (&parsing("classes = [256]"), "256: expected a whole number from 0 to 255"),
            (&parsing("classes = [1], std = [1, 0, 1]"), "parsing.std = [1.0, 0.0, 1.0]: expected numbers above 0"),
            (&parsing("classes = [1], mean = [inf, 0, 1]"), "parsing.mean = [inf, 0.0, 1.0]: expected finite numbers"),
            ("rectangle = [0, 0.5, 1, 0.5]", "rectangle = [0.0, 0.5, 1.0, 0.5]: expected [left, top, right, bottom]"),
            ("rectangle = [0, 0, 1, 1.5]", "rectangle = [0.0, 0.0, 1.0, 1.5]"),
            ("rectangle = [0, 0, 1]", "length"),
            ("detail = \"none\"", "unknown variant `none`, expected `generated` or `frame`"),
        ];
        for (text, expected) in mistakes {
            let error = toml::from_str::<FacePaste>(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_blend_that_does_not_fit_the_output_is_named() {
        let image = "kind = \"image\"\nname = \"out\"\nrange = [0, 1]";
        let warp = "kind = \"warp\"\nupper = \"u\"\nlower = \"l\"\nedges = \"e\"\ninner = \"i\"\nweight = \"w\"";
        let check = |text: &str, output: &str| read(text).check(&toml::from_str(output).unwrap());
        let fits = [
            ("", image),
            ("", warp),
            ("blend = \"weight\"", warp),
            ("blend = \"hard\"\nrectangle = [0, 0, 1, 0.5]", image),
        ];
        assert!(fits.iter().all(|(text, output)| check(text, output) == Ok(())));
        for (text, output, key) in [
            (
                "blend = \"weight\"",
                image,
                "blend = \"weight\" needs [lipsyncgen.output] kind = \"warp\", found kind = \"image\"",
            ),
            (
                "blend = \"hard\"",
                warp,
                "blend = \"hard\" needs [lipsyncgen.output] kind = \"image\", found kind = \"warp\"",
            ),
            ("detail = \"frame\"", warp, "detail needs"),
            ("rectangle = [0, 0, 1, 0.5]", warp, "rectangle needs"),
        ] {
            let error = check(text, output).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
