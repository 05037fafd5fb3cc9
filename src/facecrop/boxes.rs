// SPDX-License-Identifier: MPL-2.0
//! From a detector's tensors to faces.

use super::recipe::{Heads, NetworkRecipe};
use crate::geometry::{Point, Rect};
use crate::runtime::Tensor;

/// So many of the best boxes are compared with each other, …
const MAX_CANDIDATES: usize = 1000;
/// … and so many faces are left at most.
const MAX_FACES: usize = 64;

/// A face that a network found, in pixels of its picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    pub bbox: Rect,
    pub score: f32,
    /// Left and right eye, nose, left and right corner of the mouth, left and right in the picture.
    pub points: Option<[Point; 5]>,
}

/// The numbers of a tensor in groups of `width`, its last axis.
struct Groups<'a> {
    width: usize,
    data: &'a [f32],
}

impl<'a> Groups<'a> {
    fn find(tensors: &'a [Tensor], width: usize, count: usize) -> Option<Self> {
        let fits = |tensor: &&Tensor| {
            // A score each may come without an axis of length 1.
            let last = tensor.shape.last().copied().unwrap_or(1);
            tensor.data.len() == width * count && (last == width || width == 1 && last == count)
        };
        tensors.iter().find(fits).map(|tensor| Self { width, data: &tensor.data })
    }

    fn of(&self, k: usize) -> &'a [f32] {
        &self.data[k * self.width..(k + 1) * self.width]
    }
}

impl NetworkRecipe {
    /// How many boxes the network is asked for; 0 where it says so itself.
    pub fn boxes(&self) -> usize {
        let cells = |stride: &usize| {
            let size = self.picture.size;
            cells(size.width, *stride) * cells(size.height, *stride)
        };
        match &self.heads {
            Heads::Scrfd { strides, anchors } => strides.iter().map(|stride| cells(stride) * anchors).sum(),
            Heads::UltraFace => 0,
            Heads::RetinaFace { strides, min_sizes, .. } => {
                strides.iter().zip(min_sizes).map(|(stride, sizes)| cells(stride) * sizes.len()).sum()
            }
        }
    }

    /// Faces of the network's answer, best first; the error says what was expected.
    pub fn faces(&self, tensors: &[Tensor]) -> Result<Vec<Found>, String> {
        let size = [self.picture.size.width, self.picture.size.height];
        let mut found = match &self.heads {
            Heads::Scrfd { strides, anchors } => scrfd(tensors, size, strides, *anchors, self.score)?,
            Heads::UltraFace => ultraface(tensors, size, self.score)?,
            Heads::RetinaFace { strides, min_sizes, variances } => {
                retinaface(tensors, &priors(size, strides, min_sizes), *variances, self.score)?
            }
        };
        found.retain(|f| {
            let Rect { x, y, w, h } = f.bbox;
            [x, y, w, h].iter().all(|v| v.is_finite()) && w > 0.0 && h > 0.0
        });
        for face in &mut found {
            face.points = face.points.filter(|points| points.iter().flatten().all(|v| v.is_finite()));
        }
        // Stable: among equals the network's order.
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(MAX_CANDIDATES);
        let mut faces: Vec<Found> = Vec::new();
        for candidate in found {
            if faces.len() < MAX_FACES && faces.iter().all(|f| f.bbox.iou(&candidate.bbox) <= self.overlap) {
                faces.push(candidate);
            }
        }
        Ok(faces)
    }
}

/// Cells of a picture's length.
fn cells(length: usize, stride: usize) -> usize {
    length.div_ceil(stride)
}

fn corners([left, top, right, bottom]: [f32; 4]) -> Rect {
    Rect::new(left, top, right - left, bottom - top)
}

fn five(at: impl Fn(usize) -> Point) -> [Point; 5] {
    std::array::from_fn(at)
}

fn scrfd(
    tensors: &[Tensor],
    [width, height]: [usize; 2],
    strides: &[usize],
    anchors: usize,
    least: f32,
) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    for &stride in strides {
        let columns = cells(width, stride);
        let count = columns * cells(height, stride) * anchors;
        let group = |width| Groups::find(tensors, width, count);
        let (Some(scores), Some(boxes)) = (group(1), group(4)) else {
            return Err(format!("of stride {stride}, scores ({count}, 1) and boxes ({count}, 4)"));
        };
        let points = group(10);
        // False for NaN.
        for k in (0..count).filter(|&k| scores.of(k)[0] >= least) {
            let (cell, step) = (k / anchors, stride as f32);
            let (x, y) = ((cell % columns * stride) as f32, (cell / columns * stride) as f32);
            let b = boxes.of(k);
            found.push(Found {
                bbox: corners([x - b[0] * step, y - b[1] * step, x + b[2] * step, y + b[3] * step]),
                score: scores.of(k)[0],
                points: points.as_ref().map(|p| five(|i| [x + p.of(k)[2 * i] * step, y + p.of(k)[2 * i + 1] * step])),
            });
        }
    }
    Ok(found)
}

fn ultraface(tensors: &[Tensor], [width, height]: [usize; 2], least: f32) -> Result<Vec<Found>, String> {
    let count = tensors.iter().find(|t| t.shape.last() == Some(&4)).map_or(0, |t| t.data.len() / 4);
    let group = |width| Groups::find(tensors, width, count);
    let (Some(scores), Some(boxes)) = (group(2), group(4)) else {
        return Err("scores (n, 2) and boxes (n, 4)".into());
    };
    let (w, h) = (width as f32, height as f32);
    let face = |k: usize| {
        let b = boxes.of(k);
        Found { bbox: corners([b[0] * w, b[1] * h, b[2] * w, b[3] * h]), score: scores.of(k)[1], points: None }
    };
    Ok((0..count).filter(|&k| scores.of(k)[1] >= least).map(face).collect())
}

/// Centre and side, px: per stride one of each size around each cell's centre.
fn priors([width, height]: [usize; 2], strides: &[usize], min_sizes: &[Vec<f32>]) -> Vec<[f32; 3]> {
    let mut priors = Vec::new();
    for (&stride, sizes) in strides.iter().zip(min_sizes) {
        for cell in 0..cells(width, stride) * cells(height, stride) {
            let center = |k: usize| (k as f32 + 0.5) * stride as f32;
            let (x, y) = (center(cell % cells(width, stride)), center(cell / cells(width, stride)));
            priors.extend(sizes.iter().map(|&size| [x, y, size]));
        }
    }
    priors
}

fn retinaface(
    tensors: &[Tensor],
    priors: &[[f32; 3]],
    [shift, zoom]: [f32; 2],
    least: f32,
) -> Result<Vec<Found>, String> {
    let count = priors.len();
    let group = |width| Groups::find(tensors, width, count);
    let (Some(scores), Some(boxes)) = (group(2), group(4)) else {
        return Err(format!("scores ({count}, 2) and boxes ({count}, 4)"));
    };
    let points = group(10);
    let face = |k: usize| {
        let ([px, py, side], b) = (priors[k], boxes.of(k));
        let at = |x: f32, y: f32| [px + x * shift * side, py + y * shift * side];
        let ([x, y], w, h) = (at(b[0], b[1]), side * (b[2] * zoom).exp(), side * (b[3] * zoom).exp());
        Found {
            bbox: Rect::new(x - w / 2.0, y - h / 2.0, w, h),
            score: scores.of(k)[1],
            points: points.as_ref().map(|p| five(|i| at(p.of(k)[2 * i], p.of(k)[2 * i + 1]))),
        }
    };
    Ok((0..count).filter(|&k| scores.of(k)[1] >= least).map(face).collect())
}

#[cfg(test)]
mod tests {
    use super::super::recipe::DetectorRecipe;
    use super::*;

    fn recipe(text: &str) -> NetworkRecipe {
        toml::from_str::<DetectorRecipe>(&format!("file = \"x\"\n{text}")).unwrap().network.unwrap()
    }

    const SCRFD: &str = "kind = \"scrfd\"\nsize = [32, 16]\nstrides = [8, 16]";

    /// Two strides on 32 × 16 pixels: 4 × 2 and 2 × 1 cells with two boxes each.
    fn scrfd_tensors() -> Vec<Tensor> {
        let zeros = |shape: [usize; 3]| Tensor::new(shape, vec![0.0; shape.iter().product()]);
        vec![
            zeros([1, 16, 1]),
            zeros([1, 4, 1]),
            zeros([1, 16, 4]),
            zeros([1, 4, 4]),
            zeros([1, 16, 10]),
            zeros([1, 4, 10]),
        ]
    }

    #[test]
    fn scrfd_measures_from_its_cells_in_strides() {
        let mut tensors = scrfd_tensors();
        // Cell (column 3, row 1) of stride 8, second box; the same face again from stride 16, with a lower score.
        tensors[0].data[15] = 0.9;
        tensors[2].data[60..64].copy_from_slice(&[1.0, 0.5, 1.0, 1.0]);
        tensors[4].data[150..152].copy_from_slice(&[-0.5, 0.25]);
        tensors[1].data[3] = 0.6;
        tensors[3].data[12..16].copy_from_slice(&[0.0, -0.25, 1.0, 1.0]);
        let found = recipe(SCRFD).faces(&tensors).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].bbox, found[0].score), (Rect::new(16.0, 4.0, 16.0, 12.0), 0.9));
        assert_eq!(found[0].points.unwrap()[0], [20.0, 10.0]);
    }

    #[test]
    fn a_network_without_points_will_do() {
        let mut tensors = scrfd_tensors();
        tensors.truncate(4);
        tensors[0].data[0] = 0.9;
        tensors[2].data[..4].fill(1.0);
        assert_eq!(recipe(SCRFD).faces(&tensors).unwrap()[0].points, None);
    }

    #[test]
    fn ultraface_gives_corners_and_retinaface_moves_its_priors() {
        let ultra = recipe("kind = \"ultraface\"\nsize = [320, 240]");
        let scores = Tensor::new([1, 2, 2], vec![0.9, 0.1, 0.2, 0.8]);
        let boxes = Tensor::new([1, 2, 4], vec![0.0, 0.0, 1.0, 1.0, 0.25, 0.5, 0.5, 1.0]);
        let found = ultra.faces(&[scores, boxes]).unwrap();
        assert_eq!(found, [Found { bbox: Rect::new(80.0, 120.0, 80.0, 120.0), score: 0.8, points: None }]);

        let retina = recipe("kind = \"retinaface\"\nsize = [16, 16]\nstrides = [8]\nmin-sizes = [[4, 8]]");
        let mut scores = Tensor::new([1, 8, 2], vec![0.0; 16]);
        let mut boxes = Tensor::new([1, 8, 4], vec![0.0; 32]);
        // The second box of the last cell: 8 px around (12, 12), moved by a tenth of that, twice as wide.
        scores.data[15] = 0.7;
        boxes.data[28..32].copy_from_slice(&[1.0, 0.0, 5.0 * 2f32.ln(), 0.0]);
        let found = retina.faces(&[boxes, scores]).unwrap()[0].bbox;
        let wanted = [12.8 - 8.0, 12.0 - 4.0, 16.0, 8.0];
        assert!(
            [found.x, found.y, found.w, found.h].iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_not_a_number_is_no_face() {
        for nan in [f32::NAN, f32::INFINITY] {
            let mut tensors = scrfd_tensors();
            tensors.iter_mut().for_each(|t| t.data.fill(nan));
            assert_eq!(recipe(SCRFD).faces(&tensors), Ok(Vec::new()));
        }
        let mut tensors = scrfd_tensors();
        tensors[0].data[0] = 0.9;
        tensors[2].data[..4].fill(1.0);
        tensors[4].data.fill(f32::NAN);
        assert_eq!(recipe(SCRFD).faces(&tensors).unwrap()[0].points, None);
    }

    #[test]
    fn other_tensors_are_an_error_in_words() {
        let other = [Tensor::new([1, 5, 4], vec![0.0; 20])];
        let error = |text: &str| recipe(text).faces(&other).unwrap_err();
        assert_eq!(error(SCRFD), "of stride 8, scores (16, 1) and boxes (16, 4)");
        assert_eq!(error("kind = \"ultraface\""), "scores (n, 2) and boxes (n, 4)");
        assert_eq!(error("kind = \"retinaface\""), "scores (16800, 2) and boxes (16800, 4)");
        assert!(recipe(SCRFD).faces(&[]).is_err() && recipe("kind = \"ultraface\"").faces(&[]).is_err());
        assert!(recipe(SCRFD).faces(&[Tensor::new(Vec::new(), vec![0.0])]).is_err());
    }
}
