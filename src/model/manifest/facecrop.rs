// SPDX-License-Identifier: MPL-2.0
//! `[facecrop]`: where the face is and how it is cut out.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::super::points::{Between, PointSet};
use super::super::values::{Checked, Length, Name, Size};
use super::Color;
use super::expression::{Expression, SIDES};
use crate::geometry::Point;

/// Where the face is and how it is cut out.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "RawFaceCrop")]
pub struct FaceCrop {
    /// Width and height of the crop in pixels.
    pub size: Size,
    /// Pixels, in the crop's scale, that are cut away on all four sides of what the rule describes: that is cut out at
    /// `size` plus twice the margin, and the crop is its inner part.
    pub margin: usize,
    pub rule: CropRule,
    pub interpolation: Interpolation,
    /// Order of the colours in tensors made from the crop.
    pub color: Color,
    /// Which numbers the rule's landmarks have.
    pub points: PointSet,
    /// The folder whose landmark network the model wants (a name, or a path with a "/" in it that leads into the model's folder
    /// or beside it); `None` is the default's. A detector's folder that brings landmarks of its own overrules it.
    pub landmarks: Option<Name>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CropRule {
    /// The detector's box grown by `pad` (left, top, right, bottom; a fraction is one of the box), stretched to the crop's
    /// size. `whole`: its sides are rounded down to whole pixels, as integer code does.
    Box { pad: [Length; 4], whole: bool },
    /// Upright in the frame, stretched to the crop's size. The sides are worked out in the order left, right, top, bottom;
    /// `whole`: each is rounded down to whole pixels before the next one sees it.
    ///
    /// Ultralight-Digital-Human, for instance, goes from the second to the last but one point of the jaw, beside the ears,
    /// and from the top of the nose's bridge as far down as it is wide. In the numbers of its own network that is
    /// `points = "pfld-110"`, `left = "x1"`, `right = "x31"`, `top = "y52"`, `bottom = "top + right - left"`, with `size`
    /// 160 × 160 and `margin = 4`. Among the 68 points the same places are `(x0 + x1) / 2`, `(x15 + x16) / 2` and `y27`, which
    /// is what the former become where the landmark network has no 110 points.
    Rectangle { sides: Box<[Expression; 4]>, whole: bool },
    /// An upright (in the face's own axes) square: the line through the outer eye corners is its x axis.
    Similarity {
        /// The centre is the mean of these landmarks, plus `shift` (fractions of the side, in the face's axes).
        anchor: Vec<usize>,
        /// The side is `scale` × the distance between the means of these two groups of landmarks.
        span: [Vec<usize>; 2],
        scale: f32,
        shift: [f32; 2],
    },
    /// The similarity (rotation, one scale, shift) that brings landmarks closest to places in the crop (pixels, margin
    /// included).
    Template(Vec<(Between, Point)>),
}

/// `bilinear`, `cubic` (a = −0.75) and `lanczos` (8 × 8) take the samples that OpenCV's `resize` takes, without averaging
/// where the picture shrinks; `area` averages.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    #[default]
    Bilinear,
    Cubic,
    Lanczos,
    Area,
}

impl FaceCrop {
    /// The same crop with the rule's landmarks as numbers among iBUG's 68. The error names a landmark that has none.
    pub fn among_ibug(mut self) -> Result<Self, String> {
        let set = self.points;
        if set == PointSet::Ibug68 {
            return Ok(self);
        }
        let mut to = |[index, _]: Between| {
            set.among_ibug(index).ok_or_else(|| {
                format!("[facecrop] point {index} of points = \"{}\" has no counterpart among iBUG's 68", set.name())
            })
        };
        match &mut self.rule {
            CropRule::Box { .. } => {}
            CropRule::Rectangle { sides, .. } => sides.iter_mut().try_for_each(|side| side.renumber(&mut to))?,
            CropRule::Similarity { anchor, span: [from, onto], .. } => {
                for list in [anchor, from, onto] {
                    let between: Vec<Between> = list.iter().map(|&i| to([i; 2])).collect::<Result<_, _>>()?;
                    // The mean is the same where each counts twice.
                    *list = between.into_iter().flatten().collect();
                }
            }
            CropRule::Template(places) => {
                for (between, _) in places {
                    *between = to(*between)?;
                }
            }
        }
        self.points = PointSet::Ibug68;
        Ok(self)
    }
}

/// The largest of any set.
type Index = Checked<u32, 0, 477>;

type Pixels = Checked<f64, -4096, 4096>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFaceCrop {
    size: Size,
    margin: Option<Checked<u32, 0, 512>>,
    rule: RuleName,
    pad: Option<Pad>,
    whole: Option<bool>,
    left: Option<Side<0>>,
    right: Option<Side<1>>,
    top: Option<Side<2>>,
    bottom: Option<Side<3>>,
    anchor: Option<Vec<Index>>,
    span: Option<[Vec<Index>; 2]>,
    scale: Option<Checked<f64, 0, 100>>,
    shift: Option<[Checked<f64, -10, 10>; 2]>,
    template: Option<Vec<(Index, Pixels, Pixels)>>,
    #[serde(default)]
    interpolation: Interpolation,
    #[serde(default)]
    color: Color,
    #[serde(default)]
    points: PointSet,
    landmarks: Option<Name>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum RuleName {
    Box,
    Rectangle,
    Similarity,
    Template,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Pad {
    left: Length,
    top: Length,
    right: Length,
    bottom: Length,
}

/// What gives side number `SIDE` of `SIDES`.
struct Side<const SIDE: usize>(Expression);

impl<'de, const SIDE: usize> Deserialize<'de> for Side<SIDE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |e| D::Error::custom(format!("`{}`: {e}", SIDES[SIDE]));
        Expression::parse(&text, SIDE).map(Self).map_err(wrong)
    }
}

impl TryFrom<RawFaceCrop> for FaceCrop {
    type Error = String;

    fn try_from(raw: RawFaceCrop) -> Result<Self, String> {
        raw.check_keys()?;
        let set = raw.points;
        let check = |key: &str, index: usize| match index {
            _ if index < set.count() => Ok(index),
            _ => Err(format!(
                "`{key}`: landmark {index}: expected 0 to {} (points = \"{}\")",
                set.count() - 1,
                set.name()
            )),
        };
        let rule = match raw.rule {
            RuleName::Box => {
                let pad = raw.pad.unwrap_or_default();
                CropRule::Box { pad: [pad.left, pad.top, pad.right, pad.bottom], whole: raw.whole.unwrap_or_default() }
            }
            RuleName::Rectangle => {
                let need = |key: &str| format!("rule = \"rectangle\" needs `{key}`");
                let left = raw.left.ok_or_else(|| need("left"))?.0;
                let right = raw.right.ok_or_else(|| need("right"))?.0;
                let top = raw.top.ok_or_else(|| need("top"))?.0;
                let bottom = raw.bottom.ok_or_else(|| need("bottom"))?.0;
                let mut sides = Box::new([left, right, top, bottom]);
                for (key, side) in SIDES.iter().zip(sides.iter_mut()) {
                    side.renumber(&mut |between| check(key, between[0]).map(|_| between))?;
                }
                CropRule::Rectangle { sides, whole: raw.whole.unwrap_or_default() }
            }
            RuleName::Similarity => {
                let need = |key: &str| format!("rule = \"similarity\" needs `{key}`");
                let indices = |key: &str, list: Vec<Index>| {
                    list.into_iter().map(|i| check(key, i.0 as usize)).collect::<Result<Vec<_>, _>>()
                };
                let anchor = indices("anchor", raw.anchor.ok_or_else(|| need("anchor"))?)?;
                let [from, onto] = raw.span.ok_or_else(|| need("span"))?;
                let span = [indices("span", from)?, indices("span", onto)?];
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
            RuleName::Template => {
                let template = raw.template.ok_or("rule = \"template\" needs `template`")?;
                let place = |(index, x, y): (Index, Pixels, Pixels)| {
                    check("template", index.0 as usize).map(|i| ([i; 2], [x.0 as f32, y.0 as f32]))
                };
                let places = template.into_iter().map(place).collect::<Result<Vec<_>, _>>()?;
                let differ = |(between, place): &(Between, Point)| places[0].0 != *between && places[0].1 != *place;
                if !places.iter().any(differ) {
                    return Err(
                        "`template`: expected two landmarks or more, each as [index, x, y], at different places".into(),
                    );
                }
                CropRule::Template(places)
            }
        };
        let margin = raw.margin.map_or(0, |m| m.0 as usize);
        let RawFaceCrop { size, interpolation, color, landmarks, .. } = raw;
        Ok(Self { size, margin, rule, interpolation, color, points: set, landmarks })
    }
}

impl RawFaceCrop {
    /// Each key belongs to a rule, or to several.
    fn check_keys(&self) -> Result<(), String> {
        use RuleName::{Box, Rectangle, Similarity, Template};
        let name = |rule: RuleName| match rule {
            Box => "\"box\"",
            Rectangle => "\"rectangle\"",
            Similarity => "\"similarity\"",
            Template => "\"template\"",
        };
        let keys: [(&str, bool, &[RuleName]); 11] = [
            ("pad", self.pad.is_some(), &[Box]),
            ("whole", self.whole.is_some(), &[Box, Rectangle]),
            ("left", self.left.is_some(), &[Rectangle]),
            ("right", self.right.is_some(), &[Rectangle]),
            ("top", self.top.is_some(), &[Rectangle]),
            ("bottom", self.bottom.is_some(), &[Rectangle]),
            ("anchor", self.anchor.is_some(), &[Similarity]),
            ("span", self.span.is_some(), &[Similarity]),
            ("scale", self.scale.is_some(), &[Similarity]),
            ("shift", self.shift.is_some(), &[Similarity]),
            ("template", self.template.is_some(), &[Template]),
        ];
        match keys.iter().find(|(_, present, rules)| *present && !rules.contains(&self.rule)) {
            None => Ok(()),
            Some((key, _, rules)) => {
                let rules: Vec<_> = rules.iter().map(|&rule| name(rule)).collect();
                let (rules, own) = (rules.join(" or "), name(self.rule));
                Err(format!("`{key}` belongs to rule = {rules}, but the rule is {own}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FaceCrop, String> {
        toml::from_str(&format!("size = [160, 160]\n{text}")).map_err(|e| e.to_string())
    }

    const ULTRALIGHT: &str = "rule = \"rectangle\"\npoints = \"pfld-110\"\nmargin = 4\nleft = \"x1\"\nright = \"x31\"\n\
         top = \"y52\"\nbottom = \"top + right - left\"";

    #[test]
    fn numbers_of_another_set_become_those_of_the_68() {
        let CropRule::Rectangle { sides, .. } = parse(ULTRALIGHT).unwrap().among_ibug().unwrap().rule else { panic!() };
        let written =
            "left = \"(x0 + x1) / 2\"\nright = \"(x15 + x16) / 2\"\ntop = \"y27\"\nbottom = \"top + right - left\"";
        let CropRule::Rectangle { sides: direct, .. } =
            parse(&format!("rule = \"rectangle\"\n{written}")).unwrap().rule
        else {
            panic!()
        };
        let points: Vec<Point> = (0..68).map(|i| [(i * 37 % 101) as f32, (i * 53 % 97) as f32]).collect();
        let mut values = super::super::Values::new(&points);
        for k in 0..4 {
            let value = sides[k].value(&values);
            assert_eq!(value, direct[k].value(&values), "{}", SIDES[k]);
            values.set_side(k, value);
        }

        let similarity =
            "rule = \"similarity\"\npoints = \"wflw-98\"\nanchor = [76, 82]\nspan = [[60, 72], [1]]\nscale = 2";
        let CropRule::Similarity { anchor, span, .. } = parse(similarity).unwrap().among_ibug().unwrap().rule else {
            panic!()
        };
        assert_eq!((anchor, span), (vec![48, 48, 54, 54], [vec![36, 36, 45, 45], vec![0, 1]]));

        let lost = ULTRALIGHT.replace("y52", "y53");
        let error = parse(&lost).unwrap().among_ibug().unwrap_err();
        assert!(error.contains("point 53") && error.contains("pfld-110"), "{error}");
    }

    #[test]
    fn mistakes_name_the_key_and_what_was_expected() {
        for (text, words) in [
            ("rule = \"rectangle\"\nleft = \"x0\"", &["rule = \"rectangle\" needs `right`"][..]),
            (&ULTRALIGHT.replace("x31", "x31 +"), &["line 6", "`right`: character 6: expected a number, a name"]),
            (
                &ULTRALIGHT.replace("\"x1\"", "\"right - 1\""),
                &["line 5", "`left`: character 1: \"right\" is not known here"],
            ),
            (&ULTRALIGHT.replace("x31", "x110"), &["`right`: landmark 110: expected 0 to 109 (points = \"pfld-110\")"]),
            (&ULTRALIGHT.replace("pfld-110", "ibug-69"), &["line 3", "ibug-69", "openseeface-66"]),
            (
                &ULTRALIGHT.replace("margin = 4", "margin = -4"),
                &["line 4", "-4: expected a whole number from 0 to 512"],
            ),
            ("rule = \"box\"\nleft = \"x0\"", &["`left` belongs to rule = \"rectangle\", but the rule is \"box\""]),
            ("rule = \"template\"\nwhole = true", &["`whole` belongs to rule = \"box\" or \"rectangle\""]),
            ("rule = \"template\"", &["rule = \"template\" needs `template`"]),
            ("rule = \"template\"\ntemplate = []", &["`template`: expected two landmarks or more"]),
            (
                "rule = \"template\"\ntemplate = [[36, 1, 2], [36, 3, 4]]",
                &["`template`: expected two landmarks or more"],
            ),
            ("rule = \"template\"\ntemplate = [[36, 1], [45, 3, 4]]", &["line 3", "length"]),
            (
                "rule = \"template\"\ntemplate = [[36, 1, 1], [68, 3, 4]]",
                &["`template`: landmark 68: expected 0 to 67"],
            ),
            ("rule = \"box\"\npad = { left = \"20\" }", &["\"20\": expected a length such as \"10px\", or a fraction"]),
            ("rule = \"box\"\ninterpolation = \"nearest\"", &["line 3", "nearest", "lanczos"]),
        ] {
            let error = parse(text).expect_err(text);
            assert!(words.iter().all(|w| error.contains(w)), "{text}: {error}");
        }
    }
}
