// SPDX-License-Identifier: MPL-2.0
//! The landmark network: points of the face at a known place.

use std::path::Path;

use gst_video::VideoFrameRef;

use super::graph::Graph;
use super::recipe::{self, LandmarksRecipe, Layout};
use super::shape::{Landmarks, Placement};
use crate::geometry::Point;
use crate::model::find_folder;
use crate::model::points::PointSet;
use crate::runtime::{Cancel, RuntimeError, Tensor};

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
}

impl From<Landmarks> for Points {
    fn from(ibug: Landmarks) -> Self {
        Self { ibug, own: Vec::new() }
    }
}

pub struct LandmarkNet {
    graph: Graph,
    recipe: LandmarksRecipe,
}

impl LandmarkNet {
    /// Opens the network of `folder`, whose `landmarks.toml` must be there. The error is for the user.
    pub fn open(folder: &Path, cancel: &Cancel) -> Result<Self, String> {
        let recipe: LandmarksRecipe = recipe::read(folder, FILE)?
            .ok_or_else(|| format!("face landmarks: {} holds no {FILE}", folder.display()))?;
        let file = recipe::file_in(folder, FILE, &recipe.file)?;
        Self::of(Graph::open(&file, &recipe.picture, recipe.output.as_deref(), cancel)?, recipe)
    }

    pub fn of(mut graph: Graph, recipe: LandmarksRecipe) -> Result<Self, String> {
        let (tensors, found) = graph.try_out()?;
        let count = recipe.points.count();
        let whole = match (&tensors[..], recipe.layout) {
            ([tensor], Layout::Coordinates(_)) => tensor.data.len() == 2 * count,
            ([tensor], Layout::Heatmap) => heatmap_size(tensor, count).is_some(),
            _ => false,
        };
        if !whole {
            let expected = match recipe.layout {
                Layout::Coordinates(_) => format!("one output of {} numbers", 2 * count),
                Layout::Heatmap => format!("one output (1, {}, rows, columns)", 3 * count),
            };
            let set = recipe.points.name();
            return Err(format!(
                "{}: points = \"{set}\": expected {expected}, found {found}; where there are several, `output` names the one",
                graph.file.display()
            ));
        }
        Ok(Self { graph, recipe })
    }

    /// Opens the default network.
    pub fn open_default(cancel: &Cancel) -> Result<Self, String> {
        Self::open(&find_folder(DEFAULT).map_err(|e| format!("face landmarks: {e}"))?, cancel)
    }

    /// The numbering of the network's own points.
    pub fn points(&self) -> PointSet {
        self.recipe.points
    }

    /// The points of the face that lies about where `placement` says.
    pub fn run(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        placement: &Placement,
    ) -> Result<Points, RuntimeError> {
        let Self { graph, recipe } = self;
        let size = [recipe.picture.size.width, recipe.picture.size.height];
        let map = placement.crop_to_frame(size, recipe.scale, recipe.shift);
        let outputs = graph.look(frame, &map, size)?;
        let count = recipe.points.count();
        let points = outputs.first().and_then(|tensor| match recipe.layout {
            Layout::Coordinates(range) => coordinates(tensor, count, size, range),
            Layout::Heatmap => heatmap(tensor, count, size),
        });
        let mut own = points.ok_or_else(|| {
            RuntimeError(format!("{}: the network's answer has another shape than at first", graph.file.display()))
        })?;
        own.iter_mut().for_each(|p| *p = map.apply(*p));
        let at = |[a, b]: [usize; 2]| if a == b { own[a] } else { [0, 1].map(|k| (own[a][k] + own[b][k]) / 2.0) };
        let ibug = recipe.ibug.map(at);
        Ok(if recipe.points == PointSet::Ibug68 { ibug.into() } else { Points { ibug, own } })
    }
}

/// Points in pixels of the crop; `None` where the tensor is not theirs.
fn coordinates(
    tensor: &Tensor,
    count: usize,
    [width, height]: [usize; 2],
    [low, high]: [f32; 2],
) -> Option<Vec<Point>> {
    if tensor.data.len() != 2 * count {
        return None;
    }
    let at = |value: f32, length: usize| (value - low) / (high - low) * length as f32;
    Some(tensor.data.chunks_exact(2).map(|p| [at(p[0], width), at(p[1], height)]).collect())
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
        assert_eq!(coordinates(&tensor, 2, [100, 40], [-1.0, 1.0]), Some(vec![[0.0, 40.0], [50.0, 30.0]]));
        assert_eq!(coordinates(&tensor, 3, [100, 40], [-1.0, 1.0]), None);
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
