// SPDX-License-Identifier: MPL-2.0
//! The mean face: where a face lies, how much its landmarks look like one, and which way it is turned.

use crate::face_meta::{LANDMARKS, Pose};
use crate::geometry::{Affine, Point, Rect};

pub type Landmarks = [Point; LANDMARKS];

/// Mean of what the landmark network finds in 1870 frames of six talking heads, aligned, averaged and made symmetric. The
/// unit is the distance between the ends of the jaw line, the origin the middle of the bounding box.
#[rustfmt::skip]
const MEAN: Landmarks = [
    [-0.500, -0.299], [-0.489, -0.164], [-0.466, -0.037], [-0.441, 0.079], [-0.395, 0.205], [-0.328, 0.305],
    [-0.248, 0.374], [-0.149, 0.446], [0.000, 0.489], [0.149, 0.446], [0.248, 0.374], [0.328, 0.305],
    [0.395, 0.205], [0.441, 0.079], [0.466, -0.037], [0.489, -0.164], [0.500, -0.299], [-0.403, -0.431],
    [-0.346, -0.476], [-0.265, -0.489], [-0.194, -0.478], [-0.128, -0.452], [0.128, -0.452], [0.194, -0.478],
    [0.265, -0.489], [0.346, -0.476], [0.403, -0.431], [0.000, -0.307], [0.000, -0.218], [0.000, -0.136],
    [0.000, -0.058], [-0.083, -0.005], [-0.046, 0.005], [0.000, 0.015], [0.046, 0.005], [0.083, -0.005],
    [-0.305, -0.319], [-0.260, -0.345], [-0.193, -0.344], [-0.135, -0.308], [-0.188, -0.291], [-0.257, -0.292],
    [0.135, -0.308], [0.193, -0.344], [0.260, -0.345], [0.305, -0.319], [0.257, -0.292], [0.188, -0.291],
    [-0.178, 0.168], [-0.118, 0.127], [-0.041, 0.098], [0.000, 0.107], [0.041, 0.098], [0.118, 0.127],
    [0.178, 0.168], [0.116, 0.231], [0.059, 0.262], [0.000, 0.271], [-0.059, 0.262], [-0.116, 0.231],
    [-0.163, 0.168], [-0.054, 0.148], [0.000, 0.146], [0.054, 0.148], [0.163, 0.168], [0.054, 0.200],
    [0.000, 0.205], [-0.054, 0.200],
];

/// Landmarks that speaking does not move: the upper jaw line, eyebrows, nose, eyes.
fn is_rigid(index: usize) -> bool {
    matches!(index, 0..=3 | 13..=47)
}

/// How far landmarks stand out of the plane of the outer eye corners, in the unit of `MEAN`: rounded from the proportions
/// of an adult face (its unit is about 140 mm).
const DEPTH: [(usize, f32); 13] = [
    (36, 0.0),
    (45, 0.0),
    (39, 0.05),
    (42, 0.05),
    (27, 0.15),
    (28, 0.2),
    (29, 0.27),
    (30, 0.33),
    (31, 0.17),
    (33, 0.22),
    (35, 0.17),
    (48, 0.09),
    (54, 0.09),
];

/// Side of the square that the landmark network sees, in the unit of `MEAN`.
pub const CROP_SIDE: f32 = 1.25;

/// What a detector trained on WIDER FACE draws around the mean face, in the unit of `MEAN`: the median over 394 boxes of
/// the six clips (half of them within ± 0.03).
const BOX_CENTER: Point = [0.0, -0.15];
const BOX_SIZE: [f32; 2] = [0.95, 1.28];

/// Where the mean face lies in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Where the mean face's origin lies, px.
    pub center: Point,
    /// Pixels per unit of the mean face: the width of the jaw line.
    pub size: f32,
    /// Radians, clockwise in the picture.
    pub roll: f32,
}

impl Placement {
    /// The best similarity from the mean face to the rigid ones of `points`; `None` where they are not finite or coincide.
    pub fn fit(points: &Landmarks) -> Option<Self> {
        if points.iter().flatten().any(|v| !v.is_finite()) {
            return None;
        }
        Self::fit_pairs(|| (0..LANDMARKS).filter(|&i| is_rigid(i)).map(|i| (MEAN[i], points[i])))
    }

    /// The similarity that brings the first points of the pairs closest to the second ones; `None` where these are not finite
    /// or coincide.
    pub fn fit_pairs<I: Iterator<Item = (Point, Point)>>(pairs: impl Fn() -> I) -> Option<Self> {
        let n = pairs().count() as f32;
        let mut means = [[0.0f32; 2]; 2];
        for (m, p) in pairs() {
            for k in 0..2 {
                means[0][k] += m[k] / n;
                means[1][k] += p[k] / n;
            }
        }
        let (mut norm, mut re, mut im) = (0.0, 0.0, 0.0);
        for (m, p) in pairs() {
            let m = [m[0] - means[0][0], m[1] - means[0][1]];
            let p = [p[0] - means[1][0], p[1] - means[1][1]];
            norm += m[0] * m[0] + m[1] * m[1];
            re += m[0] * p[0] + m[1] * p[1];
            im += m[0] * p[1] - m[1] * p[0];
        }
        let (re, im) = (re / norm, im / norm);
        let size = re.hypot(im);
        let [mx, my] = means[0];
        let center = [means[1][0] - (re * mx - im * my), means[1][1] - (im * mx + re * my)];
        let found = Self { center, size, roll: im.atan2(re) };
        (size > 1e-3 && found.is_finite()).then_some(found)
    }

    /// Where the face of a box as those of WIDER FACE lies about.
    pub fn from_box(found: &Rect) -> Self {
        let size = (found.w / BOX_SIZE[0] + found.h / BOX_SIZE[1]) / 2.0;
        let [x, y] = found.center();
        Self { center: [x - BOX_CENTER[0] * size, y - BOX_CENTER[1] * size], size, roll: 0.0 }
    }

    /// Where the face lies whose left eye, right eye, left and right corner of the mouth (left in the picture) are these.
    pub fn from_features(features: &[Point; 4]) -> Option<Self> {
        let center = |eye: std::ops::Range<usize>| {
            let n = eye.len() as f32;
            eye.fold([0.0; 2], |sum, i| [sum[0] + MEAN[i][0] / n, sum[1] + MEAN[i][1] / n])
        };
        let mean = [center(36..42), center(42..48), MEAN[48], MEAN[54]];
        Self::fit_pairs(|| mean.into_iter().zip(*features))
    }

    /// Where the face of a box drawn by SeetaFace lies about: the network's crop becomes the box × 1.15, moved down by 0.1
    /// of its width. `roll`: of the picture that it saw.
    pub fn from_seeta(found: &Rect, roll: f32) -> Self {
        let ([x, y], (s, c)) = (found.center(), roll.sin_cos());
        let down = 0.1 * found.w;
        Self { center: [x - s * down, y + c * down], size: found.w * 1.15 / CROP_SIDE, roll }
    }

    pub fn is_finite(&self) -> bool {
        self.center.iter().chain([&self.size, &self.roll]).all(|v| v.is_finite())
    }

    /// From the mean face to the frame.
    pub fn to_frame(self) -> Affine {
        let (s, c) = self.roll.sin_cos();
        let (s, c) = (s * self.size, c * self.size);
        Affine([c, -s, self.center[0], s, c, self.center[1]])
    }

    /// From a `width` × `height` picture of a square around the face, upright with it, to the frame. The square's side is
    /// `scale` times the face's width, its centre lies by `shift` (in such widths) beside the face's.
    pub fn crop_to_frame(self, [width, height]: [usize; 2], scale: f32, shift: Point) -> Affine {
        let (across, down) = (scale / width as f32, scale / height as f32);
        let corner = shift.map(|v| v - scale / 2.0);
        Affine([across, 0.0, corner[0], 0.0, down, corner[1]]).then(&self.to_frame())
    }

    /// The box that a detector would draw around the face.
    pub fn bbox(self) -> Rect {
        let [x, y] = self.to_frame().apply(BOX_CENTER);
        let [w, h] = BOX_SIZE.map(|v| v * self.size);
        Rect::new(x - w / 2.0, y - h / 2.0, w, h)
    }

    /// How unlike a face `points` are: root mean square distance from the mean face, in its unit.
    pub fn residual(self, points: &Landmarks) -> f32 {
        let Some(to_mean) = self.to_frame().invert() else { return f32::INFINITY };
        let sum: f32 = points
            .iter()
            .zip(&MEAN)
            .map(|(p, m)| {
                let q = to_mean.apply(*p);
                (q[0] - m[0]).powi(2) + (q[1] - m[1]).powi(2)
            })
            .sum();
        (sum / LANDMARKS as f32).sqrt()
    }
}

/// Which way the face is turned: a weak-perspective fit of a few rigid points with their depth.
///
/// Aligned by `placement`, the points are M · (x, y, z): the third column of the 2 × 3 matrix M is where the face's
/// forward axis points to in the picture, times the scale.
pub fn pose(placement: Placement, points: &Landmarks) -> Pose {
    let Some(to_mean) = placement.to_frame().invert() else { return Pose::default() };
    let n = DEPTH.len() as f64;
    let rows: Vec<([f64; 3], [f64; 2])> = DEPTH
        .iter()
        .map(|&(i, z)| {
            let q = to_mean.apply(points[i]);
            ([MEAN[i][0] as f64, MEAN[i][1] as f64, z as f64], [q[0] as f64, q[1] as f64])
        })
        .collect();
    let mut mean = ([0.0; 3], [0.0; 2]);
    for (m, q) in &rows {
        (0..3).for_each(|k| mean.0[k] += m[k] / n);
        (0..2).for_each(|k| mean.1[k] += q[k] / n);
    }
    // Normal equations A · M' = B.
    let (mut a, mut b) = ([[0.0; 3]; 3], [[0.0; 2]; 3]);
    for (m, q) in &rows {
        for i in 0..3 {
            let mi = m[i] - mean.0[i];
            (0..3).for_each(|j| a[i][j] += mi * (m[j] - mean.0[j]));
            (0..2).for_each(|j| b[i][j] += mi * (q[j] - mean.1[j]));
        }
    }
    let det = det3(&a);
    let solve = |column: usize| -> [f64; 3] {
        std::array::from_fn(|k| {
            let mut replaced = a;
            (0..3).for_each(|i| replaced[i][k] = b[i][column]);
            det3(&replaced) / det
        })
    };
    let (across, down) = (solve(0), solve(1));
    let square = |v: [f64; 3]| v.iter().map(|x| x * x).sum::<f64>();
    let scale = ((square(across) + square(down)) / 2.0).sqrt();
    let angle = |v: f64| {
        let degrees = (v / scale).clamp(-1.0, 1.0).asin().to_degrees() as f32;
        if degrees.is_finite() { degrees } else { 0.0 }
    };
    Pose { yaw: angle(across[2]), pitch: angle(-down[2]), roll: placement.roll.to_degrees() }
}

fn det3(m: &[[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

/// The mean face at `placement`.
pub fn mean_face(placement: Placement) -> Landmarks {
    MEAN.map(|p| placement.to_frame().apply(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Placement, b: Placement) -> bool {
        (a.center[0] - b.center[0]).abs() < 0.05
            && (a.center[1] - b.center[1]).abs() < 0.05
            && (a.size - b.size).abs() < 0.05
            && (a.roll - b.roll).abs() < 1e-3
    }

    #[test]
    fn a_placed_face_is_found_where_it_was_put() {
        let placed = Placement { center: [320.0, 200.0], size: 150.0, roll: 0.4 };
        let points = mean_face(placed);
        let found = Placement::fit(&points).unwrap();
        assert!(close(found, placed), "{found:?}");
        assert!(found.residual(&points) < 1e-4);
    }

    #[test]
    fn speaking_does_not_move_the_face() {
        let placed = Placement { center: [320.0, 200.0], size: 150.0, roll: -0.2 };
        let mut points = mean_face(placed);
        for p in &mut points[55..60] {
            p[1] += 30.0;
        }
        assert!(close(Placement::fit(&points).unwrap(), placed));
    }

    #[test]
    fn points_without_extent_are_no_face() {
        assert_eq!(Placement::fit(&[[5.0, 5.0]; LANDMARKS]), None);
        assert_eq!(Placement::fit(&[[f32::NAN, 5.0]; LANDMARKS]), None);
    }

    #[test]
    fn a_box_and_features_lead_to_the_face() {
        let placed = Placement { center: [320.0, 200.0], size: 150.0, roll: 0.3 };
        let points = mean_face(placed);
        let eye = |range: std::ops::Range<usize>| {
            let n = range.len() as f32;
            range.fold([0.0; 2], |sum, i| [sum[0] + points[i][0] / n, sum[1] + points[i][1] / n])
        };
        let features = [eye(36..42), eye(42..48), points[48], points[54]];
        assert!(close(Placement::from_features(&features).unwrap(), placed));
        assert_eq!(Placement::from_features(&[[f32::NAN; 2]; 4]), None);
        let upright = Placement { roll: 0.0, ..placed };
        assert!(close(Placement::from_box(&upright.bbox()), upright));
    }

    #[test]
    fn the_crop_spans_the_face() {
        let placed = Placement { center: [100.0, 100.0], size: 80.0, roll: 0.0 };
        let map = placed.crop_to_frame([112, 112], CROP_SIDE, [0.0; 2]);
        assert_eq!(map.apply([0.0, 0.0]), [50.0, 50.0]);
        let corner = map.apply([112.0, 112.0]);
        assert!((corner[0] - 150.0).abs() < 1e-3 && (corner[1] - 150.0).abs() < 1e-3);
    }

    /// The 13 points with depth, turned by `yaw` and `pitch`; the others follow flat.
    fn turned(yaw: f32, pitch: f32) -> Landmarks {
        let (sy, cy) = yaw.to_radians().sin_cos();
        let (sp, cp) = pitch.to_radians().sin_cos();
        std::array::from_fn(|i| {
            let [x, y] = MEAN[i];
            let z = DEPTH.iter().find(|d| d.0 == i).map_or(0.0, |d| d.1);
            let (x, z) = (x * cy + z * sy, z * cy - x * sy);
            [300.0 + 100.0 * x, 200.0 + 100.0 * (y * cp - z * sp)]
        })
    }

    #[test]
    fn the_pose_of_a_turned_face_is_found() {
        for (yaw, pitch) in [(0.0, 0.0), (30.0, 0.0), (-45.0, 0.0), (0.0, 20.0), (0.0, -15.0), (25.0, 10.0)] {
            let points = turned(yaw, pitch);
            let found = pose(Placement::fit(&points).unwrap(), &points);
            assert!((found.yaw - yaw).abs() < 6.0 && (found.pitch - pitch).abs() < 6.0, "{yaw} {pitch}: {found:?}");
        }
    }
}
