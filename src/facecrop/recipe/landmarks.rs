// SPDX-License-Identifier: MPL-2.0
//! `landmarks.toml`.

use serde::Deserialize;

use super::{Picture, Triple, picture};
use crate::face_meta::LANDMARKS;
use crate::facecrop::shape::CROP_SIDE;
use crate::model::manifest::Color;
use crate::model::points::{Between, PointSet};
use crate::model::values::{Checked, Name, Size};

/// `landmarks.toml`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "RawLandmarks")]
pub struct LandmarksRecipe {
    /// Inside the folder.
    pub file: Name,
    pub points: PointSet,
    /// Where each of iBUG's 68 lies among the network's points.
    pub ibug: [Between; LANDMARKS],
    pub picture: Picture,
    /// Side of the square that the network sees, in widths of the face (its jaw line).
    pub scale: f32,
    /// By how much its centre lies beside that of the landmarks' bounding box, in the same widths and the face's own axes.
    pub shift: [f32; 2],
    /// The square of a face whose points are known from the last frame, where it is laid by them and not as above.
    pub around: Option<Around>,
    pub layout: Layout,
    /// The output's name; by default there is only one.
    pub output: Option<Name>,
    /// The output with one number, the logit of there being a face.
    pub presence: Option<Name>,
}

/// A square around a network's own points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Around {
    /// The bounding box is that of so many points, from the first on.
    pub points: usize,
    /// The line from one of these points to the other is level.
    pub level: [usize; 2],
    /// Its side, in longer sides of the bounding box.
    pub scale: f32,
}

/// What the network answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layout {
    /// x0, y0, x1, y1, …, from the first number of `range` at the crop's left and upper side to the second at the right and
    /// lower. Each point has so many numbers (`dimensions`), of which the first two count.
    Coordinates { range: [f32; 2], dimensions: usize },
    /// OpenSeeFace's: a heat map per point, then for each its offset down, then for each its offset across.
    Heatmap,
}

#[derive(Clone, Copy, Deserialize, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum LayoutName {
    #[default]
    Coordinates,
    Heatmap,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawLandmarks {
    file: Name,
    #[serde(default, rename = "title")]
    _title: String,
    #[serde(default, rename = "licence")]
    _licence: String,
    #[serde(default, rename = "url")]
    _url: String,
    #[serde(default)]
    points: PointSet,
    ibug: Option<Vec<Checked<u32, 0, 1023>>>,
    size: Size,
    color: Option<Color>,
    mean: Option<Triple>,
    std: Option<Triple>,
    scale: Option<Checked<f64, 0, 10>>,
    shift: Option<[Checked<f64, -10, 10>; 2]>,
    #[serde(default)]
    layout: LayoutName,
    range: Option<[Checked<f64, -4096, 4096>; 2]>,
    dimensions: Option<Checked<u32, 2, 3>>,
    around: Option<RawAround>,
    output: Option<Name>,
    presence: Option<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAround {
    points: Checked<u32, 2, 1023>,
    level: [Checked<u32, 0, 1023>; 2],
    scale: Checked<f64, 0, 10>,
}

impl RawAround {
    fn check(&self, set: PointSet) -> Result<Around, String> {
        let (points, level) = (self.points.0 as usize, self.level.map(|i| i.0 as usize));
        let (count, name) = (set.count(), set.name());
        if points > count {
            return Err(format!("`around`: points = {points}: expected 2 to {count} (points = \"{name}\")"));
        }
        if level.iter().any(|&i| i >= count) || level[0] == level[1] {
            return Err(format!(
                "`around`: level = {level:?}: expected two different numbers from 0 to {} (points = \"{name}\")",
                count - 1
            ));
        }
        match self.scale.0 as f32 {
            scale if scale > 0.0 => Ok(Around { points, level, scale }),
            _ => Err("`around`: `scale`: expected a number above 0".into()),
        }
    }
}

impl TryFrom<RawLandmarks> for LandmarksRecipe {
    type Error = String;

    fn try_from(raw: RawLandmarks) -> Result<Self, String> {
        let (set, count) = (raw.points, raw.points.count());
        let ibug = match raw.ibug {
            Some(list) => {
                if let Some(beyond) = list.iter().find(|i| i.0 as usize >= count) {
                    return Err(format!(
                        "`ibug`: {}: expected 0 to {} (points = \"{}\")",
                        beyond.0,
                        count - 1,
                        set.name()
                    ));
                }
                let list: Vec<Between> = list.iter().map(|i| [i.0 as usize; 2]).collect();
                list.try_into().map_err(|list: Vec<Between>| {
                    format!("`ibug`: expected {LANDMARKS} numbers, one for each of iBUG's points, found {}", list.len())
                })?
            }
            None => set.ibug().ok_or_else(|| {
                format!(
                    "points = \"{}\" needs `ibug`: the numbers that iBUG's {LANDMARKS} points have there",
                    set.name()
                )
            })?,
        };
        if raw.presence.is_some() && raw.output.is_none() {
            return Err("`presence` needs `output`: the name of the output that holds the points".into());
        }
        let layout = match raw.layout {
            LayoutName::Heatmap => {
                let keys = [("range", raw.range.is_some()), ("dimensions", raw.dimensions.is_some())];
                if let Some((key, _)) = keys.iter().find(|(_, given)| *given) {
                    return Err(format!("`{key}` belongs to layout = \"coordinates\""));
                }
                Layout::Heatmap
            }
            LayoutName::Coordinates => {
                let range = raw.range.map_or([0.0, 1.0], |v| v.map(|v| v.0 as f32));
                if range[0] >= range[1] {
                    return Err(format!("`range`: expected [low, high], found [{}, {}]", range[0], range[1]));
                }
                Layout::Coordinates { range, dimensions: raw.dimensions.map_or(2, |v| v.0 as usize) }
            }
        };
        let scale = raw.scale.map_or(CROP_SIDE, |v| v.0 as f32);
        if scale <= 0.0 {
            return Err("`scale`: expected a number above 0".into());
        }
        let default = Picture { size: raw.size, color: Color::Rgb, mean: [0.0; 3], std: [1.0; 3] };
        Ok(Self {
            file: raw.file,
            points: set,
            ibug,
            picture: picture(Some(raw.size), raw.color, raw.mean, raw.std, default)?,
            scale,
            shift: raw.shift.map_or([0.0; 2], |v| v.map(|v| v.0 as f32)),
            around: raw.around.map(|around| around.check(set)).transpose()?,
            layout,
            output: raw.output,
            presence: raw.presence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_the_line_and_what_was_expected() {
        for (text, words) in [
            ("size = 112", &["line 2", "expected"][..]),
            ("size = [112, 112]\npoints = \"pfld-110\"", &["points = \"pfld-110\" needs `ibug`"]),
            ("size = [112, 112]\nibug = [1, 2]", &["`ibug`: expected 68 numbers", "found 2"]),
            ("size = [112, 112]\nibug = [68]", &["`ibug`: 68: expected 0 to 67 (points = \"ibug-68\")"]),
            (
                "size = [112, 112]\nlayout = \"heatmap\"\nrange = [0, 1]",
                &["`range` belongs to layout = \"coordinates\""],
            ),
            ("size = [112, 112]\nrange = [1, 0]", &["`range`: expected [low, high], found [1, 0]"]),
            ("size = [112, 112]\nscale = 0", &["`scale`: expected a number above 0"]),
            (
                "size = [112, 112]\nlayout = \"heatmap\"\ndimensions = 3",
                &["`dimensions` belongs to layout = \"coordinates\""],
            ),
            ("size = [112, 112]\ndimensions = 4", &["line 3", "4: expected a whole number from 2 to 3"]),
            ("size = [112, 112]\npresence = \"p\"", &["`presence` needs `output`"]),
            (
                "size = [112, 112]\naround = { points = 69, level = [0, 16], scale = 1.5 }",
                &["`around`: points = 69: expected 2 to 68 (points = \"ibug-68\")"],
            ),
            (
                "size = [112, 112]\naround = { points = 68, level = [36, 68], scale = 1.5 }",
                &["`around`: level = [36, 68]: expected two different numbers from 0 to 67"],
            ),
            ("size = [112, 112]\naround = { points = 68, level = [3, 3], scale = 1 }", &["level = [3, 3]"]),
            ("size = [112, 112]\naround = { points = 68, level = [3, 4], scale = 0 }", &["`around`: `scale`"]),
            ("size = [112, 112]\naround = { points = 68 }", &["line 3", "missing field `level`"]),
        ] {
            let error =
                toml::from_str::<LandmarksRecipe>(&format!("file = \"x\"\n{text}")).expect_err(text).to_string();
            assert!(words.iter().all(|w| error.contains(w)), "{text}: {error}");
        }
    }

    #[test]
    fn the_networks_of_the_project_are_read() {
        let read = |folder: &str| {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(folder);
            super::super::read::<LandmarksRecipe>(&folder, "landmarks.toml").unwrap().unwrap()
        };
        for (folder, side, points) in [
            ("face_landmarks_478", 256.0, PointSet::MediaPipe478),
            ("face_landmarks_468", 192.0, PointSet::MediaPipe468),
        ] {
            let mesh = read(folder);
            assert_eq!(mesh.layout, Layout::Coordinates { range: [0.0, side], dimensions: 3 });
            assert_eq!(mesh.around, Some(Around { points: 468, level: [33, 263], scale: 1.5 }));
            assert_eq!((mesh.points, mesh.presence), (points, Some("presence".into())));
        }
        let default = read("face_landmark_68");
        assert_eq!(default.layout, Layout::Coordinates { range: [0.0, 1.0], dimensions: 2 });
        assert_eq!((default.around, default.presence), (None, None));
    }
}
