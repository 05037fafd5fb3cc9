// SPDX-License-Identifier: MPL-2.0
//! The landmark network: points of the face at a known place.

use std::path::{Path, PathBuf};

use gst_video::VideoFrameRef;

use super::graph::Graph;
use super::recipe::{self, Around, LandmarksRecipe, Layout};
use super::shape::{Landmarks, Placement};
use crate::face_meta::LANDMARKS;
use crate::geometry::{Affine, Point};
use crate::model::folder::{self, Fault};
use crate::model::points::PointSet;
use crate::model::{self, Model, find_folder};
use crate::runtime::{Aside, Cancel, Outcome, RuntimeError, Tensor};

/// Where a folder says what its landmark network is.
pub const FILE: &str = "landmarks.toml";

/// The network used where no folder brings another.
const DEFAULT: &str = "face_landmark_68";

/// OpenSeeFace trained its offsets through a sigmoid of 16 times their value.
const OFFSET_FACTOR: f32 = 16.0;

/// What the network finds, in frame pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// In iBUG's numbering.
    pub ibug: Landmarks,
    /// In the network's own; empty where that is the same.
    pub own: Vec<Point>,
    /// How sure the network is that there is a face, 0..1; `None` where it does not say.
    pub presence: Option<f32>,
}

impl From<Landmarks> for Points {
    fn from(ibug: Landmarks) -> Self {
        Self { ibug, own: Vec::new(), presence: None }
    }
}

/// The folder of the network called `name` by the file `toml` in `folder`: a name, looked up as models are, or a path with a
/// "/" in it that leads into the folder or beside it. The error is for the user.
pub fn folder_called(name: &str, folder: &Path, toml: &str) -> Result<PathBuf, String> {
    let fail =
        |what: &dyn std::fmt::Display| format!("{}: landmarks = \"{name}\": {what}", folder.join(toml).display());
    if !name.contains('/') {
        return find_folder(name).map_err(|e| fail(&e));
    }
    let (root, inner) = match (name.strip_prefix("../"), folder.canonicalize()) {
        (Some(beside), Ok(real)) => (real.parent().unwrap_or(&real).to_path_buf(), beside),
        _ => (folder.to_path_buf(), name),
    };
    match folder::inside(&root, inner) {
        Ok(path) => Ok(path),
        Err(Fault::Missing(_)) => Ok(folder.join(name)),
        Err(fault) => Err(fail(&fault)),
    }
}

/// The folder of the network that `model` wants, the default's where it names none. The error is for the user.
pub fn folder_for(model: &Model) -> Result<PathBuf, String> {
    match &model.manifest.facecrop.landmarks {
        Some(name) => folder_called(name, &model.folder, model::FILE),
        None => find_folder(DEFAULT).map_err(|e| format!("face landmarks: {e}")),
    }
}

pub struct LandmarkNet {
    graph: Graph,
    recipe: LandmarksRecipe,
    /// Where it was opened.
    folder: PathBuf,
}

impl LandmarkNet {
    /// Opens the network of `folder`, whose `landmarks.toml` must be there. The error is for the user.
    pub fn open(folder: &Path, cancel: &Cancel) -> Result<Self, String> {
        let recipe: LandmarksRecipe = recipe::read(folder, FILE)?
            .ok_or_else(|| format!("face landmarks: {} holds no {FILE}", folder.display()))?;
        let file = recipe::file_in(folder, FILE, &recipe.file)?;
        let outputs: Vec<&str> = recipe.output.iter().chain(&recipe.presence).map(|name| &**name).collect();
        let net = Self::of(Graph::open(&file, &recipe.picture, &outputs, cancel)?, recipe)?;
        Ok(Self { folder: folder.into(), ..net })
    }

    /// As [`Self::open`], on a thread of its own: what loads a graph may take long, or wait for others who load theirs, and
    /// whoever waits for it gives up when `cancel` says so.
    pub fn open_aside(folder: &Path, cancel: &Cancel) -> Result<Self, String> {
        let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", folder.display());
        if cancel.is_cancelled() {
            return Err(fail(&"given up"));
        }
        let (place, given) = (folder.to_path_buf(), cancel.clone());
        let thread =
            Aside::start("facecrop-open", move || move |()| Self::open(&place, &given)).map_err(|e| fail(&e))?;
        match thread.run((), None, || cancel.is_cancelled()) {
            Outcome::Done(net, _) => net,
            Outcome::Failed(error) => Err(fail(&error)),
            Outcome::Aborted | Outcome::Late => Err(fail(&"given up")),
        }
    }

    /// The graph's outputs are the points and, where the recipe names one, the presence.
    pub fn of(mut graph: Graph, recipe: LandmarksRecipe) -> Result<Self, String> {
        let (tensors, found) = graph.try_out()?;
        let count = recipe.points.count();
        let (points, presence) = match (&tensors[..], &recipe.presence) {
            ([points], None) => (points, None),
            ([points, presence], Some(name)) => (points, Some((presence, name))),
            _ => (&Tensor::new([0], Vec::new()), None),
        };
        if let Some((_, name)) = presence.filter(|(tensor, _)| tensor.data.len() != 1) {
            return Err(format!(
                "{}: presence = \"{}\": expected an output of one number, found {found}",
                graph.file.display(),
                &**name
            ));
        }
        let whole = match recipe.layout {
            Layout::Coordinates { dimensions, .. } => points.data.len() == dimensions * count,
            Layout::Heatmap => heatmap_size(points, count).is_some(),
        };
        if !whole {
            let expected = match recipe.layout {
                Layout::Coordinates { dimensions, .. } => format!("one output of {} numbers", dimensions * count),
                Layout::Heatmap => format!("one output (1, {}, rows, columns)", 3 * count),
            };
            let set = recipe.points.name();
            return Err(format!(
                "{}: points = \"{set}\": expected {expected}, found {found}; where there are several, `output` names the one",
                graph.file.display()
            ));
        }
        Ok(Self { graph, recipe, folder: PathBuf::new() })
    }

    /// Opens the default network.
    pub fn open_default(cancel: &Cancel) -> Result<Self, String> {
        Self::open(&find_folder(DEFAULT).map_err(|e| format!("face landmarks: {e}"))?, cancel)
    }

    /// The numbering of the network's own points.
    pub fn points(&self) -> PointSet {
        self.recipe.points
    }

    /// Whether it is that folder's.
    pub fn is_of(&self, folder: &Path) -> bool {
        let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.into());
        real(&self.folder) == real(folder)
    }

    /// Where it was opened.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The points of the face that lies about where `placement` says, and `last` where they were in the last frame.
    pub fn run(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        placement: &Placement,
        last: Option<&Points>,
    ) -> Result<Points, RuntimeError> {
        let Self { graph, recipe, .. } = self;
        let size = [recipe.picture.size.width, recipe.picture.size.height];
        let last = last.map(|points| if points.own.is_empty() { &points.ibug[..] } else { &points.own });
        let around = recipe.around.as_ref().zip(last).and_then(|(around, last)| square(around, last, size));
        let map = around.unwrap_or_else(|| placement.crop_to_frame(size, recipe.scale, recipe.shift));
        let outputs = graph.look(frame, &map, size)?;
        let count = recipe.points.count();
        let points = outputs.first().and_then(|tensor| match recipe.layout {
            Layout::Coordinates { range, dimensions } => coordinates(tensor, [count, dimensions], size, range),
            Layout::Heatmap => heatmap(tensor, count, size),
        });
        let logit = recipe.presence.as_ref().map(|_| outputs.get(1).and_then(|tensor| tensor.data.first()));
        let (Some(mut own), Some(logit)) = (points, logit.map_or(Some(None), |logit| logit.map(Some))) else {
            return Err(RuntimeError(format!(
                "{}: the network's answer has another shape than at first",
                graph.file.display()
            )));
        };
        own.iter_mut().for_each(|p| *p = map.apply(*p));
        let at = |[a, b]: [usize; 2]| if a == b { own[a] } else { [0, 1].map(|k| (own[a][k] + own[b][k]) / 2.0) };
        let mut ibug = recipe.ibug.map(at);
        if own.iter().flatten().any(|v| !v.is_finite()) {
            // Then it is no face, and nobody computes with its points.
            ibug = [[f32::NAN; 2]; LANDMARKS];
            own.fill([0.0; 2]);
        }
        if recipe.points == PointSet::Ibug68 {
            own.clear();
        }
        Ok(Points { ibug, own, presence: logit.map(|logit| 1.0 / (1.0 + (-logit).exp())) })
    }
}

/// From the network's `width` × `height` picture of the square around `points` to where these are; `None` where they have no
/// extent.
fn square(around: &Around, points: &[Point], [width, height]: [usize; 2]) -> Option<Affine> {
    let [left, right] = around.level.map(|i| points.get(i).copied());
    let (left, right) = (left?, right?);
    let [x, y] = [right[0] - left[0], right[1] - left[1]];
    let (cos, sin) = (x / x.hypot(y), y / x.hypot(y));
    // Turned so that the line is level.
    let turned = points.iter().take(around.points).map(|[x, y]| [x * cos + y * sin, y * cos - x * sin]);
    let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    for point in turned {
        low = [0, 1].map(|k| low[k].min(point[k]));
        high = [0, 1].map(|k| high[k].max(point[k]));
    }
    let side = around.scale * (high[0] - low[0]).max(high[1] - low[1]);
    let corner = [0, 1].map(|k| (low[k] + high[k] - side) / 2.0);
    let turn = Affine([cos, -sin, 0.0, sin, cos, 0.0]);
    let map = Affine([side / width as f32, 0.0, corner[0], 0.0, side / height as f32, corner[1]]).then(&turn);
    (side > 1e-3 && map.0.iter().all(|v| v.is_finite())).then_some(map)
}

/// Points in pixels of the crop; `None` where the tensor is not theirs.
fn coordinates(
    tensor: &Tensor,
    [count, dimensions]: [usize; 2],
    [width, height]: [usize; 2],
    [low, high]: [f32; 2],
) -> Option<Vec<Point>> {
    if tensor.data.len() != dimensions * count {
        return None;
    }
    let at = |value: f32, length: usize| (value - low) / (high - low) * length as f32;
    Some(tensor.data.chunks_exact(dimensions).map(|p| [at(p[0], width), at(p[1], height)]).collect())
}

/// Rows and columns.
fn heatmap_size(tensor: &Tensor, count: usize) -> Option<[usize; 2]> {
    match tensor.shape[..] {
        [1, maps, rows, columns] if maps == 3 * count && rows > 1 && columns > 1 => Some([rows, columns]),
        _ => None,
    }
}

fn heatmap(tensor: &Tensor, count: usize, [width, height]: [usize; 2]) -> Option<Vec<Point>> {
    let [rows, columns] = heatmap_size(tensor, count)?;
    let map = |k: usize| tensor.data.get(k * rows * columns..(k + 1) * rows * columns);
    let point = |i: usize| {
        let hottest = map(i)?.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (k, &v)| {
            // False for NaN.
            if v > best.1 { (k, v) } else { best }
        });
        let offset = |map: &[f32]| {
            let p = map[hottest.0].clamp(1e-7, 1.0 - 1e-7);
            (p / (1.0 - p)).ln() / OFFSET_FACTOR
        };
        let (down, across) = (offset(map(count + i)?), offset(map(2 * count + i)?));
        let at = |cell: usize, cells: usize, offset: f32, length: usize| {
            (cell as f32 / (cells - 1) as f32 + offset) * (length - 1) as f32
        };
        Some([at(hottest.0 % columns, columns, across, width), at(hottest.0 / columns, rows, down, height)])
    };
    (0..count).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_fill_their_range() {
        let tensor = Tensor::new([1, 4], vec![-1.0, 1.0, 0.0, 0.5]);
        assert_eq!(coordinates(&tensor, [2, 2], [100, 40], [-1.0, 1.0]), Some(vec![[0.0, 40.0], [50.0, 30.0]]));
        assert_eq!(coordinates(&tensor, [3, 2], [100, 40], [-1.0, 1.0]), None);
        // Of three numbers the third is the depth.
        let deep = Tensor::new([1, 6], vec![64.0, 128.0, 9.0, 256.0, 0.0, -9.0]);
        assert_eq!(coordinates(&deep, [2, 3], [256, 256], [0.0, 256.0]), Some(vec![[64.0, 128.0], [256.0, 0.0]]));
        assert_eq!(coordinates(&deep, [2, 2], [256, 256], [0.0, 256.0]), None);
    }

    #[test]
    fn a_square_lies_around_the_points_upright_with_their_line() {
        // Two eyes, a chin below them, and an iris that does not count, turned by a quarter: the eyes' line points down.
        let points = [[50.0, 20.0], [50.0, 60.0], [10.0, 40.0], [500.0, 40.0]];
        let around = Around { points: 3, level: [0, 1], scale: 1.5 };
        let map = square(&around, &points, [256, 256]).unwrap();
        for (crop, frame) in [([128.0, 128.0], [30.0, 40.0]), ([0.0, 0.0], [60.0, 10.0]), ([256.0, 256.0], [0.0, 70.0])]
        {
            let found = map.apply(crop);
            assert!((found[0] - frame[0]).hypot(found[1] - frame[1]) < 1e-3, "{crop:?}: {found:?}");
        }
        for nowhere in [[[5.0; 2]; 4], [[f32::NAN; 2]; 4]] {
            assert_eq!(square(&around, &nowhere, [256, 256]), None);
        }
        assert_eq!(square(&around, &points[..1], [256, 256]), None);
    }

    #[test]
    fn the_hottest_cell_and_its_offset_are_the_point() {
        // One point, 3 × 5 cells: cell (row 1, column 4), a quarter of the crop up and nothing across.
        let mut data = vec![0.0; 45];
        data[9] = 0.9;
        let shift = |v: f32| 1.0 / (1.0 + (-OFFSET_FACTOR * v).exp());
        (data[15 + 9], data[30 + 9]) = (shift(-0.25), shift(0.0));
        let tensor = Tensor::new([1, 3, 3, 5], data);
        let found = heatmap(&tensor, 1, [101, 41]).unwrap()[0];
        assert!((found[0] - 100.0).abs() < 1e-3 && (found[1] - 10.0).abs() < 1e-3, "{found:?}");
        assert_eq!(heatmap(&tensor, 2, [101, 41]), None);
        // NaN everywhere is no point, and no panic.
        let nan = Tensor::new([1, 3, 3, 5], vec![f32::NAN; 45]);
        assert!(heatmap(&nan, 1, [101, 41]).unwrap()[0].iter().all(|v| v.is_nan()));
    }
}
