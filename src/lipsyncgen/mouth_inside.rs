// SPDX-License-Identifier: MPL-2.0
//! How much of the mouth's inside a crop shows. Pure.
//!
//! The numbers are guesses that were tried on few faces; only the order that they bring crops of one face into counts.

use crate::face_meta::{Face, LANDMARKS, Pose, RgbImage};
use crate::geometry::{Point, Rect};

/// Lips this far apart, in widths of the mouth, show nothing yet; …
const LEAST_GAP: f32 = 0.08;
/// … and further apart than this they show no more: the mouth is stretched.
const MOST_GAP: f32 = 0.35;

/// As much of what is between the lips has to be teeth, or the mouth's inside is a dark hole.
const LEAST_TEETH: f32 = 0.04;
/// More than this is a grin with closed jaws, which shows no more of them.
const MOST_TEETH: f32 = 0.8;

/// How much the upper half of what is between the lips counts.
const UPPER: f32 = 0.8;

/// Degrees that a head may be turned without showing less, and those at which nothing is worth keeping.
const TURNED: [f32; 2] = [15.0, 45.0];

/// Teeth are as bright as this, of the crop's mean luma and of white, …
const BRIGHT: [f32; 2] = [0.8, 0.2];
/// … and no more saturated than this, of the crop's mean saturation or of full saturation. Lips, tongue and gums are redder
/// than skin.
const PALE: [f32; 2] = [0.8, 0.2];

/// Variance of the Laplacian, of the luma's variance, where a mouth is half as sharp as can be. Enlarged pictures have 0.01.
const SHARP: f32 = 0.05;

/// The narrowest mouth that can be judged, pixels.
const LEAST_WIDTH: f32 = 8.0;

/// The mouth's corners; its outer edge; the edge between the lips, and the points of it that are above each other. iBUG's
/// numbering.
pub(super) const CORNERS: [usize; 2] = [48, 54];
pub(super) const OUTER: std::ops::Range<usize> = 48..60;
const INNER: std::ops::Range<usize> = 60..68;
const PAIRS: [[usize; 2]; 3] = [[61, 67], [62, 66], [63, 65]];

/// What is known of a face besides its crop.
#[derive(Clone, Debug)]
pub struct Look {
    /// x, y in fractions of the crop.
    pub landmarks: [Point; LANDMARKS],
    pub confidence: f32,
    pub pose: Pose,
}

impl Look {
    /// `None` where the face's crop does not map onto the frame.
    pub fn of(face: &Face) -> Option<Self> {
        let landmarks = super::tensors::in_crop(face)?;
        Some(Self { landmarks, confidence: face.confidence, pose: face.pose })
    }
}

/// The mouth in a crop, in pixels.
pub(super) struct Mouth {
    pub points: [Point; LANDMARKS],
    /// Between the lips, in widths of the mouth.
    pub gap: f32,
    /// How well it can be seen, 0..1.
    pub seen: f32,
}

impl Mouth {
    /// `None` where it cannot be judged.
    pub fn of(crop: &RgbImage, look: &Look) -> Option<Self> {
        let size = [crop.width, crop.height].map(|side| side as f32);
        let points = look.landmarks.map(|[x, y]| [x * size[0], y * size[1]]);
        let finite = points[OUTER.start..INNER.end].iter().flatten().all(|value| value.is_finite());
        if !finite || crop.data.len() != crop.width * crop.height * 3 {
            return None;
        }
        let distance = |[a, b]: [usize; 2]| (points[a][0] - points[b][0]).hypot(points[a][1] - points[b][1]);
        let width = distance(CORNERS);
        if width < LEAST_WIDTH {
            return None;
        }
        let gap = PAIRS.map(distance).iter().sum::<f32>() / PAIRS.len() as f32 / width;
        let facing = |degrees: f32| ((TURNED[1] - degrees.abs()) / (TURNED[1] - TURNED[0])).clamp(0.0, 1.0);
        let seen = facing(look.pose.yaw) * facing(look.pose.pitch) * look.confidence.clamp(0.0, 1.0);
        Some(Self { points, gap, seen })
    }
}

/// How much of the mouth's inside the crop shows, 0..1; `None` where that is too little, or not above `limit`.
pub fn score(crop: &RgbImage, look: &Look, limit: f32) -> Option<f32> {
    let Mouth { points, gap, seen } = Mouth::of(crop, look)?;
    if gap <= LEAST_GAP {
        return None;
    }
    let most = seen * gap.min(MOST_GAP) / MOST_GAP;
    // NaN is not above it either. Pixels come last: most crops have nothing to show.
    if most.is_nan() || most <= limit {
        return None;
    }
    let teeth = teeth(crop, &points[INNER])?;
    if teeth < LEAST_TEETH {
        return None;
    }
    let score = most * (0.5 + 0.5 * teeth.min(MOST_TEETH) / MOST_TEETH) * (0.5 + 0.5 * sharpness(crop, &points[OUTER]));
    (score > limit).then_some(score)
}

/// The pixels whose centres may lie in the rectangle around `points`: columns and rows.
fn part(crop: &RgbImage, points: &[Point]) -> Option<[std::ops::Range<usize>; 2]> {
    let around = Rect::around(points)?;
    let range = |from: f32, length: f32, size: usize| {
        let size = size as f32;
        from.floor().clamp(0.0, size) as usize..(from + length).ceil().clamp(0.0, size) as usize
    };
    Some([range(around.x, around.w, crop.width), range(around.y, around.h, crop.height)])
}

fn pixel(crop: &RgbImage, x: usize, y: usize) -> [f32; 3] {
    let at = 3 * (y * crop.width + x);
    [0, 1, 2].map(|channel| crop.data.get(at + channel).map_or(0.0, |value| f32::from(*value) / 255.0))
}

/// BT.601
fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

fn saturation([r, g, b]: [f32; 3]) -> f32 {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most > 0.0 { (most - least) / most } else { 0.0 }
}

/// How much of the polygon of the lips' inner edge is bright and pale, 0..1; `None` where it holds no pixel. Its upper half counts more: speech shows the
/// upper teeth, and a mouth with lower teeth alone says nothing of those.
fn teeth(crop: &RgbImage, polygon: &[Point]) -> Option<f32> {
    let [columns, rows] = part(crop, polygon)?;
    let (mut inside, mut teeth) = (0.0, 0.0);
    let limits = limits(crop);
    let [top, bottom] =
        [PAIRS[1][0], PAIRS[1][1]].map(|point| polygon.get(point - INNER.start).copied().unwrap_or_default());
    let down = [bottom[0] - top[0], bottom[1] - top[1]];
    let middle = [(top[0] + bottom[0]) / 2.0, (top[1] + bottom[1]) / 2.0];
    let weight = |[x, y]: Point| {
        let is_upper = (x - middle[0]) * down[0] + (y - middle[1]) * down[1] < 0.0;
        if is_upper { UPPER } else { 1.0 - UPPER }
    };
    for y in rows {
        for x in columns.clone() {
            let at = [x as f32 + 0.5, y as f32 + 0.5];
            if !contains(polygon, at) {
                continue;
            }
            let (color, weight) = (pixel(crop, x, y), weight(at));
            inside += weight;
            teeth += if luma(color) >= limits[0] && saturation(color) <= limits[1] { weight } else { 0.0 };
        }
    }
    (inside > 0.0).then_some(teeth / inside)
}

/// How bright and how pale teeth are, in the light that the crop was taken in.
fn limits(crop: &RgbImage) -> [f32; 2] {
    // Every eighth pixel tells the mean well enough.
    let colors = || crop.data.chunks_exact(3).step_by(8).map(|color| [0, 1, 2].map(|c| f32::from(color[c]) / 255.0));
    let count = colors().count().max(1) as f32;
    let mean = |of: fn([f32; 3]) -> f32| colors().map(of).sum::<f32>() / count;
    [(BRIGHT[0] * mean(luma)).max(BRIGHT[1]), (PALE[0] * mean(saturation)).max(PALE[1])]
}

/// Whether the polygon has the point inside, by the edges to its right.
fn contains(polygon: &[Point], [x, y]: Point) -> bool {
    let edges = polygon.iter().zip(polygon.iter().cycle().skip(1));
    let crossed =
        edges.filter(|(a, b)| (a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
    crossed.count() % 2 == 1
}

/// How sharp the picture is in the rectangle around `points`, 0..1.
pub(super) fn sharpness(crop: &RgbImage, points: &[Point]) -> f32 {
    let Some([columns, rows]) = part(crop, points) else { return 0.0 };
    let inner = |range: std::ops::Range<usize>, size: usize| range.start.max(1)..range.end.min(size.saturating_sub(1));
    let (columns, rows) = (inner(columns, crop.width), inner(rows, crop.height));
    let luma = |x: usize, y: usize| luma(pixel(crop, x, y));
    let (mut count, mut sum, mut squares, mut laplacians) = (0.0, 0.0, 0.0, 0.0);
    for y in rows {
        for x in columns.clone() {
            let here = luma(x, y);
            let around = luma(x - 1, y) + luma(x + 1, y) + luma(x, y - 1) + luma(x, y + 1);
            count += 1.0;
            sum += here;
            squares += here * here;
            laplacians += (around - 4.0 * here).powi(2);
        }
    }
    let variance: f32 = squares - sum * sum / f32::max(count, 1.0);
    // A plain picture is not sharp.
    if variance > 1e-3 { laplacians / (laplacians + SHARP * variance) } else { 0.0 }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    const SIDE: usize = 64;

    /// A mouth in the middle that is half as wide as the crop; all other points are in the corner.
    pub fn points(gap: f32) -> [Point; LANDMARKS] {
        let mut points = [[0.0; 2]; LANDMARKS];
        let mut ring = |range: std::ops::Range<usize>, height: f32| {
            let (first, count) = (range.start, range.len());
            for i in range {
                let turn = (i - first) as f32 / count as f32 * std::f32::consts::TAU;
                points[i] = [0.5 - 0.25 * turn.cos(), 0.5 - height * turn.sin()];
            }
        };
        ring(OUTER, 0.2);
        // The points above each other at the middle and halfway to it: their mean distance is 0.805 of the middle's.
        ring(INNER, 0.25 * gap / 0.8047);
        points
    }

    pub fn look(gap: f32) -> Look {
        Look { landmarks: points(gap), confidence: 1.0, pose: Pose::default() }
    }

    /// Skin with lips, and between them so many teeth above a hole.
    pub fn crop(gap: f32, teeth: f32) -> RgbImage {
        let points = points(gap);
        let [outer, inner] = [OUTER, INNER].map(|range| points[range].to_vec());
        let top = inner.iter().map(|point| point[1]).fold(1.0, f32::min);
        let mut data = Vec::new();
        for k in 0..SIDE * SIDE {
            let at = [k % SIDE, k / SIDE].map(|i| (i as f32 + 0.5) / SIDE as f32);
            data.extend(match () {
                () if contains(&inner, at) && at[1] < top + teeth * 2.0 * (0.5 - top) => [220, 215, 200],
                () if contains(&inner, at) => [40, 15, 15],
                () if contains(&outer, at) => [180, 80, 80],
                () => [210, 160, 140],
            });
        }
        RgbImage { width: SIDE, height: SIDE, data }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;

    fn of(gap: f32, teeth: f32) -> f32 {
        score(&crop(gap, teeth), &look(gap), 0.0).unwrap_or(0.0)
    }

    #[test]
    fn wider_mouths_and_more_teeth_show_more() {
        let gaps = [0.05, 0.1, 0.2, 0.3, 0.35].map(|gap| of(gap, 0.4));
        assert!(gaps[0] == 0.0 && gaps.is_sorted_by(|a, b| a < b), "{gaps:?}");
        let teeth = [0.0, 0.2, 0.4, 0.6].map(|teeth| of(0.3, teeth));
        assert!(teeth[0] == 0.0 && teeth.is_sorted_by(|a, b| a < b), "{teeth:?}");
        // A mouth that is stretched shows no more.
        assert!(of(0.6, 0.4) < of(0.35, 0.4) * 1.1, "{} {}", of(0.6, 0.4), of(0.35, 0.4));
    }

    #[test]
    fn upper_teeth_show_more_than_lower_ones() {
        let upper = crop(0.3, 0.4);
        let mut lower = upper.clone();
        // Upside down: the teeth are at the bottom.
        let rows: Vec<_> = upper.data.chunks_exact(3 * upper.width).rev().flatten().copied().collect();
        lower.data = rows;
        let [upper, lower] = [upper, lower].map(|crop| score(&crop, &look(0.3), 0.0).unwrap());
        assert!(lower < 0.8 * upper, "{lower} of {upper}");
    }

    #[test]
    fn the_limit_and_what_cannot_be_judged() {
        let (crop, look) = (crop(0.3, 0.4), look(0.3));
        let found = score(&crop, &look, 0.0).unwrap();
        assert_eq!([found * 0.99, found, 1.0].map(|limit| score(&crop, &look, limit)), [Some(found), None, None]);
        let mut wrong = look.clone();
        wrong.landmarks[62] = [f32::NAN, 0.5];
        assert_eq!(score(&crop, &wrong, 0.0), None);
        wrong.landmarks = [[0.5; 2]; LANDMARKS];
        assert_eq!(score(&crop, &wrong, 0.0), None);
        assert_eq!(score(&RgbImage::default(), &look, 0.0), None);
        let beyond = Look { landmarks: look.landmarks.map(|[x, y]| [x + 1e9, y]), ..look };
        assert_eq!(score(&crop, &beyond, 0.0), None);
    }

    #[test]
    fn turned_uncertain_and_blurred_faces_count_less() {
        let (picture, face) = (crop(0.3, 0.4), look(0.3));
        let with = |yaw: f32, pitch: f32, confidence: f32| {
            let pose = Pose { yaw, pitch, roll: 40.0 };
            score(&picture, &Look { pose, confidence, ..face.clone() }, 0.0).unwrap_or(0.0)
        };
        let best = with(0.0, 0.0, 1.0);
        assert_eq!(with(14.0, -14.0, 1.0), best);
        for less in [with(-25.0, 0.0, 1.0), with(0.0, 25.0, 1.0), with(0.0, 0.0, 0.6)] {
            assert!(0.0 < less && less < 0.7 * best, "{less} of {best}");
        }
        assert_eq!(with(50.0, 0.0, 1.0), 0.0);
        let blurred = score(&blur(&picture), &face, 0.0).unwrap();
        assert!(0.5 * best < blurred && blurred < 0.95 * best, "{blurred} of {best}");
    }

    /// Each pixel the mean of 5 × 5.
    fn blur(picture: &RgbImage) -> RgbImage {
        let (w, h) = (picture.width, picture.height);
        let mean = |k: usize| {
            let (channel, x, y) = (k % 3, k / 3 % w, k / 3 / w);
            let near = |at: usize, size: usize| (0..5).map(move |d| (at + d).saturating_sub(2).min(size - 1));
            let all =
                near(y, h).flat_map(|y| near(x, w).map(move |x| u32::from(picture.data[3 * (y * w + x) + channel])));
            (all.sum::<u32>() / 25) as u8
        };
        RgbImage { width: w, height: h, data: (0..picture.data.len()).map(mean).collect() }
    }

    /// In warm light teeth are yellowish, in the dark they are dim, and in grey pictures all is pale.
    #[test]
    fn teeth_are_known_in_any_light() {
        let light = |by: [f32; 3]| {
            let mut picture = crop(0.3, 0.4);
            for color in picture.data.chunks_exact_mut(3) {
                color.iter_mut().zip(by).for_each(|(value, by)| *value = (f32::from(*value) * by) as u8);
            }
            teeth(&picture, &look(0.3).landmarks[INNER].iter().map(|[x, y]| [x * 64.0, y * 64.0]).collect::<Vec<_>>())
        };
        let plain = light([1.0; 3]).unwrap();
        assert!((0.5..0.8).contains(&plain), "{plain}");
        for by in [[1.0, 0.9, 0.7], [0.5; 3], [0.8, 0.9, 1.0]] {
            assert!((light(by).unwrap() - plain).abs() < 0.02, "{by:?}");
        }
    }
}
