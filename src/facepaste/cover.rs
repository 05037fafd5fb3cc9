// SPDX-License-Identifier: MPL-2.0
//! Where a generated picture is shown, and how strongly: a weight for every place of the crop. Pure.

use std::ops::Range;
use std::sync::Arc;

use super::weights::Weights;
use crate::geometry::Point;

/// The places (x, y) with a·x + b·y + c ≥ 0, stored as `[a, b, c]`, where a² + b² = 1: the sum is the distance to the line, in
/// crop fractions.
pub type Side = [f32; 3];

/// The sides of a rectangle: left, top, right, bottom.
pub fn rectangle([left, top, right, bottom]: [f32; 4]) -> Vec<Side> {
    vec![[1.0, 0.0, -left], [0.0, 1.0, -top], [-1.0, 0.0, right], [0.0, -1.0, bottom]]
}

/// The sides of the convex hull of `points`; `None` where it has no area or a point is not finite.
pub fn hull(points: &[Point]) -> Option<Vec<Side>> {
    let corners = corners(points)?;
    let side = |k: usize| {
        let ([x, y], [to_x, to_y]) = (corners[k], corners[(k + 1) % corners.len()]);
        let length = (to_x - x).hypot(to_y - y);
        let (a, b) = ((y - to_y) / length, (to_x - x) / length);
        [a, b, -a * x - b * y]
    };
    Some((0..corners.len()).map(side).collect())
}

/// The hull's corners, with its inside to the left of the way from one to the next where y points up (Andrew's monotone
/// chain).
fn corners(points: &[Point]) -> Option<Vec<Point>> {
    if points.iter().flatten().any(|v| !v.is_finite()) {
        return None;
    }
    let mut sorted = points.to_vec();
    sorted.sort_by(|p, q| p[0].total_cmp(&q[0]).then(p[1].total_cmp(&q[1])));
    sorted.dedup();
    let turn = |o: Point, p: Point, q: Point| (p[0] - o[0]) * (q[1] - o[1]) - (p[1] - o[1]) * (q[0] - o[0]);
    let chain = |points: &mut dyn Iterator<Item = &Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for &p in points {
            while let [.., a, b] = chain[..]
                && turn(a, b, p) <= 0.0
            {
                chain.pop();
            }
            chain.push(p);
        }
        // The other chain begins with it.
        chain.pop();
        chain
    };
    let mut corners = chain(&mut sorted.iter());
    corners.extend(chain(&mut sorted.iter().rev()));
    (corners.len() >= 3).then_some(corners)
}

/// A convex region with a soft border inside it, and weights within.
#[derive(Clone, Debug)]
pub struct Cover {
    /// The region lies on the inner side of all of them.
    pub sides: Vec<Side>,
    /// The weight rises from 0 at the region's border to 1 this far inside: crop fractions.
    pub feather: f32,
    /// A further weight.
    pub weights: Option<Arc<Weights>>,
}

impl Cover {
    /// Whether nothing at all is shown.
    pub fn is_empty(&self) -> bool {
        self.weights.as_ref().is_some_and(|weights| weights.is_empty())
    }

    /// Which of the crop's places `start`, `start + step`, `start + 2 · step`, … lie in the region, and in `row` the weights, 0..1,
    /// of those that are not full. None where these are not finite.
    #[inline(always)]
    pub fn row(&self, start: Point, step: [f32; 2], row: &mut [f32]) -> Shown {
        let line = |[a, b, c]: &Side| [a * start[0] + b * start[1] + c, a * step[0] + b * step[1]];
        let within = |least: f32| self.sides.iter().fold(0..row.len(), |range, side| cut(range, line(side), least));
        let (shown, full) = (within(0.0), within(self.feather));
        let full = full.start.clamp(shown.start, shown.end)..full.end.clamp(shown.start, shown.end);
        let full = if full.is_empty() { shown.start..shown.start } else { full };
        for part in [shown.start..full.start, full.end..shown.end] {
            let row = &mut row[part.clone()];
            row.fill(f32::MAX);
            for [first, slope] in self.sides.iter().map(line) {
                for (k, distance) in part.clone().zip(&mut *row) {
                    // By way of i32 because the processor has an instruction for that. None of them is NaN.
                    let other = first + slope * k as i32 as f32;
                    *distance = if other < *distance { other } else { *distance };
                }
            }
            row.iter_mut().for_each(|weight| *weight = rise(*weight, self.feather));
        }
        let Some(weights) = &self.weights else { return Shown { shown, full } };
        row[full].fill(1.0);
        for k in shown.clone() {
            row[k] *= weights.at([start[0] + step[0] * k as f32, start[1] + step[1] * k as f32]);
        }
        let above = |k: &usize| row[*k] > 0.0;
        let first = shown.clone().find(above).unwrap_or(shown.start);
        let end = shown.clone().rfind(above).map_or(first, |last| last + 1);
        Shown { shown: first..end, full: first..first }
    }
}

/// A row of places: no others than these have a weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub shown: Range<usize>,
    /// Of these, those whose weight is known to be 1.
    pub full: Range<usize>,
}

/// Of the places k in `range`, those whose distance to a line, `first + slope · k`, is `least` or more; none where that is no
/// number.
#[inline(always)]
fn cut(range: Range<usize>, [first, slope]: [f32; 2], least: f32) -> Range<usize> {
    if !(first + slope * range.end as f32).is_finite() {
        return range.start..range.start;
    }
    if slope == 0.0 {
        return if first >= least { range } else { range.start..range.start };
    }
    // Casting saturates.
    let to = (least - first) / slope;
    let (start, end) = match slope {
        _ if slope > 0.0 => (to.ceil() as usize, range.end),
        // Below the first place there is none.
        _ if to < 0.0 => (range.start, range.start),
        _ => (range.start, (to.floor() as usize).saturating_add(1)),
    };
    let start = start.clamp(range.start, range.end);
    start..end.clamp(start, range.end)
}

/// 0 at `distance` < 0, a smooth step over `feather`, then 1.
#[inline]
fn rise(distance: f32, feather: f32) -> f32 {
    if distance < 0.0 {
        0.0
    } else if distance >= feather {
        1.0
    } else {
        smooth(distance / feather)
    }
}

/// From 0 to 1 with level ends, for `t` from 0 to 1.
#[inline]
pub fn smooth(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cover(sides: Vec<Side>, feather: f32) -> Cover {
        Cover { sides, feather, weights: None }
    }

    fn at(cover: &Cover, p: Point) -> f32 {
        let mut row = [f32::NAN];
        let Shown { shown, full } = cover.row(p, [0.1, 0.0], &mut row);
        match [shown.is_empty(), full.is_empty()] {
            [true, _] => 0.0,
            [_, false] => 1.0,
            _ => row[0],
        }
    }

    const WHOLE: [f32; 4] = [0.0, 0.0, 1.0, 1.0];

    #[test]
    fn the_border_is_as_soft_as_asked() {
        assert_eq!(at(&cover(rectangle(WHOLE), 0.0), [0.5, 0.0]), 1.0);
        assert_eq!(at(&cover(rectangle(WHOLE), 0.0), [0.5, -0.001]), 0.0);
        let soft = cover(rectangle(WHOLE), 0.1);
        assert_eq!(at(&soft, [0.5, 1.001]), 0.0);
        assert!((at(&soft, [0.05, 0.5]) - 0.5).abs() < 1e-6);
        assert_eq!(at(&soft, [0.5, 0.85]), 1.0);
        for wild in [f32::NAN, f32::INFINITY, -f32::INFINITY, 1e38] {
            assert_eq!(at(&soft, [wild, 0.5]), 0.0);
        }
        let part = cover(rectangle([0.25, 0.5, 0.75, 1.0]), 0.0);
        assert_eq!([[0.2, 0.7], [0.3, 0.7], [0.3, 0.4], [0.8, 0.7]].map(|p| at(&part, p)), [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_row_is_its_places_one_by_one() {
        let soft = cover(rectangle([0.11, 0.2, 0.91, 0.7]), 0.2);
        let mut row = [0.0; 64];
        let Shown { shown, full } = soft.row([-0.2, 0.1], [0.02, 0.008], &mut row);
        for (k, weight) in row.iter().enumerate() {
            let p = [-0.2 + 0.02 * k as f32, 0.1 + 0.008 * k as f32];
            let weight = if full.contains(&k) {
                1.0
            } else if shown.contains(&k) {
                *weight
            } else {
                0.0
            };
            assert!((weight - at(&soft, p)).abs() < 1e-4, "{k}");
        }
        assert_eq!([shown, full], [16..56, 38..46]);
    }

    /// Whether `p` lies in the hull, by definition: no line through two of the points has all of them on one side and `p`
    /// strictly on the other. With the distance to the nearest such line.
    fn reference(points: &[Point], p: Point) -> (bool, f64) {
        let (mut inside, mut nearest) = (true, f64::INFINITY);
        for a in points {
            for b in points.iter().filter(|b| *b != a) {
                let side = |q: &Point| {
                    let d = |n: usize| f64::from(b[n]) - f64::from(a[n]);
                    let e = |n: usize| f64::from(q[n]) - f64::from(a[n]);
                    (d(0) * e(1) - d(1) * e(0)) / d(0).hypot(d(1))
                };
                if points.iter().all(|q| side(q) >= -1e-9) {
                    inside &= side(&p) >= 0.0;
                    nearest = nearest.min(side(&p).abs());
                }
            }
        }
        (inside, nearest)
    }

    proptest! {
        /// Rasterised at 40 × 40, the hull is what the definition says, but for places on its border.
        #[test]
        fn the_hull_is_the_hull(coordinates in proptest::collection::vec(-0.3f32..1.3, 6..40)) {
            let points: Vec<Point> = coordinates.chunks_exact(2).map(|c| [c[0], c[1]]).collect();
            let Some(sides) = hull(&points) else { return Ok(()) };
            let (hard, soft) = (cover(sides.clone(), 0.0), cover(sides, 0.1));
            for k in 0..1600 {
                let p = [(k % 40) as f32 / 40.0 + 0.0125, (k / 40) as f32 / 40.0 + 0.0125];
                let (inside, distance) = reference(&points, p);
                if distance > 1e-5 {
                    prop_assert_eq!(at(&hard, p), if inside { 1.0 } else { 0.0 }, "{:?} at {:?}", points, p);
                }
                // Inside, the weight grows with the distance to the border; outside there is none.
                let expected = if inside { smooth((distance / 0.1).min(1.0) as f32) } else { 0.0 };
                prop_assert!((at(&soft, p) - expected).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn a_hull_grows_by_moving_its_sides() {
        let mut sides = hull(&[[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6], [0.5, 0.5]]).unwrap();
        assert_eq!(sides.len(), 4);
        sides.iter_mut().for_each(|side| side[2] += 0.1);
        let grown = cover(sides, 0.0);
        assert_eq!([0.29, 0.31, 0.69, 0.71].map(|x| at(&grown, [x, 0.5])), [0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn what_has_no_area_has_no_hull() {
        let one = [[0.3, 0.3]; 5];
        let line: Vec<Point> = (0..9).map(|k| [0.1 * k as f32, 0.5]).collect();
        assert!([&one[..], &line, &[], &[[0.0, 0.0], [1.0, 0.0], [f32::NAN, 1.0]]].iter().all(|p| hull(p).is_none()));
    }
}
