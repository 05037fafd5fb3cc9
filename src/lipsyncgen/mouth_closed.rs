// SPDX-License-Identifier: MPL-2.0
//! How well a crop shows closed lips. Pure.

use super::mouth_inside::{CORNERS, Look, Mouth, OUTER, sharpness};
use crate::face_meta::RgbImage;

/// Lips that are no further apart than this, in widths of the mouth, are closed; what the landmarks of closed lips shake by is less.
const CLOSED: f32 = 0.03;

/// The outer corners of the eyes, in iBUG's numbering.
const EYES: [usize; 2] = [36, 45];

/// A mouth that is narrower than this, in distances of the outer corners of the eyes, is pursed and not at rest; half as wide counts half.
const WIDE: f32 = 0.5;

/// How well the crop shows closed lips, 0..1; `None` where they are open, or that is not above `limit`.
pub fn score(crop: &RgbImage, look: &Look, limit: f32) -> Option<f32> {
    let Mouth { points, gap, seen } = Mouth::of(crop, look)?;
    let distance = |[a, b]: [usize; 2]| (points[a][0] - points[b][0]).hypot(points[a][1] - points[b][1]);
    let wide = (distance(CORNERS) / (WIDE * distance(EYES)).max(1.0)).min(1.0);
    let most = seen * wide * (1.0 - 0.5 * gap / CLOSED);
    // NaN is not above it either.
    if gap > CLOSED || most.is_nan() || most <= limit {
        return None;
    }
    let score = most * (0.5 + 0.5 * sharpness(crop, &points[OUTER]));
    (score > limit).then_some(score)
}

#[cfg(test)]
mod tests {
    use super::super::mouth_inside::testing::{crop, look};
    use super::*;
    use crate::face_meta::Pose;

    #[test]
    fn only_closed_lips_count_and_facing_ones_more() {
        let of = |gap: f32| score(&crop(gap, 0.0), &look(gap), 0.0);
        assert!(of(0.0) > of(0.02) && of(0.02).is_some(), "{:?} {:?}", of(0.0), of(0.02));
        assert_eq!([0.04, 0.3].map(of), [None; 2]);
        let pose = Pose { yaw: 30.0, ..Pose::default() };
        let turned = score(&crop(0.0, 0.0), &Look { pose, ..look(0.0) }, 0.0);
        assert!(turned.is_some() && turned < of(0.0));
        let best = of(0.0).unwrap_or(0.0);
        assert_eq!(score(&crop(0.0, 0.0), &look(0.0), best), None);
    }
}
