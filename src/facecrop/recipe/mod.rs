// SPDX-License-Identifier: MPL-2.0
//! `detector.toml` and `landmarks.toml`: how a folder's networks are fed, and what their answers mean.
//!
//! As with a model's manifest, every key is checked: a mistake names the file, the line and what was expected.

mod landmarks;

use std::path::{Path, PathBuf};

pub use landmarks::{Around, LandmarksRecipe, Layout};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};

use crate::model::folder::{self, Fault};
use crate::model::manifest::Color;
use crate::model::values::{Checked, Fraction, Name, Size};

/// More boxes than this are looked at by no network: SCRFD looks at 16,800.
const MAX_BOXES: usize = 1 << 20;

/// Reads `name` in `folder`; `None` where there is no such file. The error is for the user.
pub fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>, String> {
    let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", folder.join(name).display());
    let file = match folder::file(folder, name) {
        Ok(file) => file,
        Err(Fault::Missing(_)) => return Ok(None),
        Err(fault) => return Err(fail(&fault)),
    };
    folder::read(&file).map(Some).map_err(|what| fail(&what))
}

/// The path of the `file` that `toml`, in `folder`, names. It must exist and lie inside the folder. The error is for the user.
pub fn file_in(folder: &Path, toml: &str, file: &str) -> Result<PathBuf, String> {
    let what = match folder::file(folder, file) {
        Ok(path) => return Ok(path),
        Err(Fault::Outside) => "expected a file inside the folder".into(),
        Err(Fault::NoFile) => "expected a regular file".into(),
        Err(Fault::Missing(_)) => {
            format!("there is no {}; the folder's README.md says how to get it", folder.join(file).display())
        }
    };
    Err(format!("{}: file = \"{file}\": {what}", folder.join(toml).display()))
}

/// `detector.toml`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "RawDetector")]
pub struct DetectorRecipe {
    /// Inside the folder.
    pub file: Name,
    /// The folder (a name, or a path with a "/" in it that leads into this one or beside it) whose landmark network goes with
    /// it.
    pub landmarks: Option<Name>,
    /// `None`: SeetaFace's cascade, which has nothing to set.
    pub network: Option<NetworkRecipe>,
}

/// A detector that is a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkRecipe {
    pub picture: Picture,
    pub fit: Fit,
    /// Boxes with a lower score are none.
    pub score: f32,
    /// Of boxes that overlap by more (intersection over union) the best is kept.
    pub overlap: f32,
    pub heads: Heads,
}

/// How a picture becomes a tensor: (value 0..255 − mean) / std, colours in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub size: Size,
    pub color: Color,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// How a frame comes to the network's size.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Its aspect kept, in the upper left corner, the rest black.
    Letterbox,
    Stretch,
}

/// What the network answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Heads {
    /// Per stride: a score, four distances to the box's sides in strides and, maybe, five points, for each of `anchors` boxes
    /// around each cell's corner.
    Scrfd { strides: Vec<usize>, anchors: usize },
    /// Scores of "none" and "face", and corners as fractions of the picture.
    UltraFace,
    /// The same scores, and boxes and maybe five points relative to prior boxes: per stride, of these sizes in pixels.
    RetinaFace { strides: Vec<usize>, min_sizes: Vec<Vec<f32>>, variances: [f32; 2] },
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Seeta,
    Scrfd,
    UltraFace,
    RetinaFace,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawDetector {
    kind: KindName,
    file: Name,
    #[serde(default, rename = "title")]
    _title: String,
    #[serde(default, rename = "licence")]
    _licence: String,
    #[serde(default, rename = "url")]
    _url: String,
    landmarks: Option<Name>,
    size: Option<Size>,
    color: Option<Color>,
    mean: Option<Triple>,
    std: Option<Triple>,
    fit: Option<Fit>,
    score: Option<Fraction>,
    overlap: Option<Fraction>,
    strides: Option<Vec<Checked<u32, 1, 256>>>,
    anchors: Option<Checked<u32, 1, 16>>,
    min_sizes: Option<Vec<Vec<Checked<f64, 1, 4096>>>>,
    variances: Option<[Checked<f64, 0, 10>; 2]>,
}

/// As people write them: "ultraface", not "ultra-face".
struct KindName(Kind);

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let kinds = [
            ("seeta", Kind::Seeta),
            ("scrfd", Kind::Scrfd),
            ("ultraface", Kind::UltraFace),
            ("retinaface", Kind::RetinaFace),
        ];
        let found = kinds.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| Self(kind)).ok_or_else(|| {
            D::Error::custom(format!(
                "kind = \"{name}\": expected \"seeta\", \"scrfd\", \"ultraface\" or \"retinaface\""
            ))
        })
    }
}

/// One number for all three colours, or three.
struct Triple([f32; 3]);

impl<'de> Deserialize<'de> for Triple {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = [f32; 3];
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a number, or a list of three")
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
                Ok([v as f32; 3])
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
                Ok([v as f32; 3])
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(v) = seq.next_element::<f64>()? {
                    list.push(v as f32);
                }
                list.try_into().map_err(|list: Vec<f32>| A::Error::invalid_length(list.len(), &self))
            }
        }
        let values = deserializer.deserialize_any(Visitor)?;
        match values.iter().find(|v| v.is_nan() || v.abs() > 1000.0) {
            Some(v) => Err(D::Error::custom(format!("{v}: expected a number from -1000 to 1000"))),
            None => Ok(Self(values)),
        }
    }
}

fn picture(
    size: Option<Size>,
    color: Option<Color>,
    mean: Option<Triple>,
    std: Option<Triple>,
    default: Picture,
) -> Result<Picture, String> {
    let std = std.map_or(default.std, |v| v.0);
    if std.iter().any(|v| *v <= 0.0) {
        return Err("`std`: expected numbers above 0".into());
    }
    Ok(Picture {
        size: size.unwrap_or(default.size),
        color: color.unwrap_or(default.color),
        mean: mean.map_or(default.mean, |v| v.0),
        std,
    })
}

impl TryFrom<RawDetector> for DetectorRecipe {
    type Error = String;

    fn try_from(raw: RawDetector) -> Result<Self, String> {
        use Kind::{RetinaFace, Scrfd, Seeta, UltraFace};
        let networks: &[Kind] = &[Scrfd, UltraFace, RetinaFace];
        let name = |kind: Kind| match kind {
            Seeta => "\"seeta\"",
            Scrfd => "\"scrfd\"",
            UltraFace => "\"ultraface\"",
            RetinaFace => "\"retinaface\"",
        };
        let keys: [(&str, bool, &[Kind]); 11] = [
            ("size", raw.size.is_some(), networks),
            ("color", raw.color.is_some(), networks),
            ("mean", raw.mean.is_some(), networks),
            ("std", raw.std.is_some(), networks),
            ("fit", raw.fit.is_some(), networks),
            ("score", raw.score.is_some(), networks),
            ("overlap", raw.overlap.is_some(), networks),
            ("strides", raw.strides.is_some(), &[Scrfd, RetinaFace]),
            ("anchors", raw.anchors.is_some(), &[Scrfd]),
            ("min-sizes", raw.min_sizes.is_some(), &[RetinaFace]),
            ("variances", raw.variances.is_some(), &[RetinaFace]),
        ];
        let kind = raw.kind.0;
        if let Some((key, _, kinds)) = keys.iter().find(|(_, present, kinds)| *present && !kinds.contains(&kind)) {
            let kinds: Vec<_> = kinds.iter().map(|&kind| name(kind)).collect();
            return Err(format!("`{key}` belongs to kind = {}, but the kind is {}", kinds.join(" or "), name(kind)));
        }
        let strides = match raw.strides {
            Some(list) if list.is_empty() || list.len() > 8 => return Err("`strides`: expected 1 to 8 numbers".into()),
            Some(list) => list.into_iter().map(|v| v.0 as usize).collect(),
            None => vec![8, 16, 32],
        };
        let square = |side| Size { width: side, height: side };
        let plain = |size, mean, std| Picture { size, color: Color::Rgb, mean: [mean; 3], std: [std; 3] };
        // As the networks' authors run them.
        let (default, fit, score, overlap, heads) = match kind {
            Seeta => return Ok(Self { file: raw.file, landmarks: raw.landmarks, network: None }),
            Scrfd => {
                let anchors = raw.anchors.map_or(2, |v| v.0 as usize);
                (plain(square(640), 127.5, 128.0), Fit::Letterbox, 0.5, 0.4, Heads::Scrfd { strides, anchors })
            }
            UltraFace => {
                let size = Size { width: 320, height: 240 };
                (plain(size, 127.0, 128.0), Fit::Stretch, 0.7, 0.3, Heads::UltraFace)
            }
            RetinaFace => {
                let sizes: Vec<Vec<f32>> = match raw.min_sizes {
                    Some(lists) => {
                        lists.into_iter().map(|list| list.into_iter().map(|v| v.0 as f32).collect()).collect()
                    }
                    None => vec![vec![16.0, 32.0], vec![64.0, 128.0], vec![256.0, 512.0]],
                };
                if sizes.len() != strides.len() || sizes.iter().any(|list| list.is_empty() || list.len() > 8) {
                    return Err(format!(
                        "`min-sizes`: expected one list of 1 to 8 numbers per stride, {} in all, found {}",
                        strides.len(),
                        sizes.len()
                    ));
                }
                let variances = raw.variances.map_or([0.1, 0.2], |v| v.map(|v| v.0 as f32));
                let picture =
                    Picture { size: square(640), color: Color::Bgr, mean: [104.0, 117.0, 123.0], std: [1.0; 3] };
                (picture, Fit::Letterbox, 0.5, 0.4, Heads::RetinaFace { strides, min_sizes: sizes, variances })
            }
        };
        let network = NetworkRecipe {
            picture: picture(raw.size, raw.color, raw.mean, raw.std, default)?,
            fit: raw.fit.unwrap_or(fit),
            score: raw.score.map_or(score, |v| v.0),
            overlap: raw.overlap.map_or(overlap, |v| v.0),
            heads,
        };
        let boxes = network.boxes();
        if boxes > MAX_BOXES {
            let Size { width, height } = network.picture.size;
            return Err(format!(
                "size = [{width}, {height}], strides, anchors and min-sizes make {boxes} boxes: expected at most {MAX_BOXES}"
            ));
        }
        Ok(Self { file: raw.file, landmarks: raw.landmarks, network: Some(network) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_the_authors_have_it() {
        let detector = |text: &str| toml::from_str::<DetectorRecipe>(&format!("file = \"x.onnx\"\n{text}")).unwrap();
        let scrfd = detector("kind = \"scrfd\"").network.unwrap();
        assert_eq!((scrfd.picture.mean, scrfd.score, scrfd.overlap), ([127.5; 3], 0.5, 0.4));
        assert_eq!(scrfd.heads, Heads::Scrfd { strides: vec![8, 16, 32], anchors: 2 });
        let retina = detector("kind = \"retinaface\"\nmean = 1\nstd = [1, 2, 3.5]").network.unwrap();
        assert_eq!(
            (retina.picture.mean, retina.picture.std, retina.picture.color),
            ([1.0; 3], [1.0, 2.0, 3.5], Color::Bgr)
        );
        assert_eq!(detector("kind = \"ultraface\"").network.unwrap().fit, Fit::Stretch);
        assert_eq!(detector("kind = \"seeta\"").network, None);
    }

    #[test]
    fn mistakes_name_the_line_and_what_was_expected() {
        for (text, words) in [
            ("", &["missing field `kind`"][..]),
            (
                "kind = \"yolo\"",
                &["line 2", "kind = \"yolo\": expected \"seeta\", \"scrfd\", \"ultraface\" or \"retinaface\""],
            ),
            ("kind = \"scrfd\"\nsizes = 3", &["line 3", "unknown field `sizes`"]),
            ("kind = \"scrfd\"\nsize = [640, 4]", &["line 3", "4: expected a whole number from 8 to 2048"]),
            ("kind = \"scrfd\"\nscore = 50", &["line 3", "50: expected a number from 0 to 1"]),
            ("kind = \"scrfd\"\nmean = [1, 2]", &["line 3", "invalid length 2, expected a number, or a list of three"]),
            ("kind = \"scrfd\"\nstd = 0", &["`std`: expected numbers above 0"]),
            ("kind = \"scrfd\"\nstrides = []", &["`strides`: expected 1 to 8 numbers"]),
            (
                "kind = \"scrfd\"\nsize = [2048, 2048]\nstrides = [1]",
                &["size = [2048, 2048]", "make 8388608 boxes: expected at most 1048576"],
            ),
            (
                "kind = \"scrfd\"\nvariances = [1, 1]",
                &["`variances` belongs to kind = \"retinaface\", but the kind is \"scrfd\""],
            ),
            (
                "kind = \"seeta\"\nscore = 0.5",
                &["`score` belongs to kind = \"scrfd\" or \"ultraface\" or \"retinaface\""],
            ),
            (
                "kind = \"retinaface\"\nstrides = [8]",
                &["`min-sizes`: expected one list of 1 to 8 numbers per stride, 1 in all"],
            ),
        ] {
            let error = toml::from_str::<DetectorRecipe>(&format!("file = \"x\"\n{text}")).expect_err(text).to_string();
            assert!(words.iter().all(|w| error.contains(w)), "{text}: {error}");
        }
    }
}
