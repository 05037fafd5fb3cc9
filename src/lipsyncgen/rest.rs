// SPDX-License-Identifier: MPL-2.0
//! When nothing need be generated: nobody speaks, and the faces keep their own mouths closed. Pure.
//!
//! A mouth that moves by itself while nobody speaks is another matter: there the model is asked, which closes it.

use std::collections::HashMap;

use crate::face_meta::LANDMARKS;
use crate::geometry::Point;
use crate::model::points::PointSet;

/// Silence, and mouths that stay closed, have to last this long, ns: the source's own speech has shorter closures.
const SETTLED: i64 = 500_000_000;

/// Lips that are closer than the first, in widths of the mouth, are closed until they are further apart than the second.
/// face_landmark_68 marks closed lips 0.025 to 0.092 apart.
const LIMITS: [f32; 2] = [0.10, 0.14];
/// The networks of MediaPipe's mesh mark them 0.002 to 0.016 apart; the default model leaves lips as they are that are parted by 0.02.
const MESH_LIMITS: [f32; 2] = [0.025, 0.04];

fn limits(found_with: PointSet) -> [f32; 2] {
    match found_with {
        PointSet::MediaPipe468 | PointSet::MediaPipe478 => MESH_LIMITS,
        _ => LIMITS,
    }
}

/// Corners of the mouth, and the pairs of points on the inner edges of the lips, in iBUG's numbering.
const CORNERS: [usize; 2] = [48, 54];
const INNER: [[usize; 2]; 3] = [[61, 67], [62, 66], [63, 65]];

/// Watches the faces of a stream.
#[derive(Debug, Default)]
pub struct Rest {
    /// Since when each track's mouth is closed, ns.
    closed: HashMap<u32, Option<i64>>,
    /// Since when nobody speaks.
    silent: Option<i64>,
}

impl Rest {
    /// Whether the frame at `time` can stay as it is. `voice`: whether somebody speaks, as far ahead as one can hear. Of each face:
    /// its track, its landmarks and what these were made of.
    pub fn settled<'a>(
        &mut self,
        time: i64,
        voice: bool,
        faces: impl Iterator<Item = (u32, &'a [Point; LANDMARKS], PointSet)> + Clone,
    ) -> bool {
        self.closed.retain(|track, _| faces.clone().any(|(known, ..)| known == *track));
        // Time may step back, at the seam of a loop for example.
        let since = |before: Option<i64>| Some(before.filter(|before| *before <= time).unwrap_or(time));
        self.silent = if voice { None } else { since(self.silent) };
        for (track, landmarks, found_with) in faces {
            let before = self.closed.entry(track).or_default();
            let [closed, open] = limits(found_with);
            let limit = if before.is_some() { open } else { closed };
            *before = if gap(landmarks) < limit { since(*before) } else { None };
        }
        let lasts = |since: &Option<i64>| since.is_some_and(|since| time - since >= SETTLED);
        lasts(&self.silent) && self.closed.values().all(lasts)
    }
}

/// How far the lips are apart, in widths of the mouth; NaN where it has none.
fn gap(landmarks: &[Point; LANDMARKS]) -> f32 {
    let distance = |[a, b]: [usize; 2]| {
        let ([ax, ay], [bx, by]) = (landmarks[a], landmarks[b]);
        (ax - bx).hypot(ay - by)
    };
    INNER.map(distance).iter().sum::<f32>() / INNER.len() as f32 / distance(CORNERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 40_000_000;

    /// A mouth 100 px wide whose lips are so far apart.
    fn mouth(gap: f32) -> [Point; LANDMARKS] {
        let mut points = [[0.0; 2]; LANDMARKS];
        points[54] = [100.0, 0.0];
        for [upper, lower] in INNER {
            (points[upper], points[lower]) = ([50.0, 0.0], [50.0, gap * 100.0]);
        }
        points
    }

    /// From which frame on nothing need be generated.
    fn settles(frames: impl IntoIterator<Item = (bool, f32)>) -> Vec<bool> {
        let mut rest = Rest::default();
        let one = |(i, (voice, gap))| {
            let points = mouth(gap);
            rest.settled(i as i64 * FRAME, voice, [(1, &points, PointSet::Ibug68)].into_iter())
        };
        frames.into_iter().enumerate().map(one).collect()
    }

    #[test]
    fn silence_settles_and_a_voice_ends_it_at_once() {
        let frames = (0..30).map(|i| (i == 20, 0.02));
        let settled = settles(frames);
        assert_eq!(settled.iter().position(|&s| s), Some(13));
        assert!(settled[19] && !settled[20] && !settled[29]);
    }

    #[test]
    fn a_mouth_that_moves_by_itself_is_not_left_alone() {
        assert!(!settles((0..60).map(|i| (false, if i % 10 < 5 { 0.02 } else { 0.3 }))).contains(&true));
        assert!(!settles((0..60).map(|_| (false, 0.12))).contains(&true), "not surely closed");
        assert!(settles((0..60).map(|i| (false, if i < 5 { 0.02 } else { 0.12 }))).contains(&true), "not surely open");
    }

    #[test]
    fn a_finer_network_is_taken_at_its_word() {
        let settles = |gap| {
            let (mut rest, points) = (Rest::default(), mouth(gap));
            (0..60).any(|i| rest.settled(i * FRAME, false, [(1, &points, PointSet::MediaPipe478)].into_iter()))
        };
        assert!(settles(0.016) && !settles(0.06));
    }

    #[test]
    fn what_has_no_mouth_is_not_closed() {
        assert!(!settles((0..60).map(|_| (false, f32::NAN))).contains(&true));
    }

    #[test]
    fn time_may_step_back() {
        let mut rest = Rest::default();
        let points = mouth(0.0);
        let mut settled = |time| rest.settled(time, false, [(1, &points, PointSet::Ibug68)].into_iter());
        assert!(!settled(10 * SETTLED) && settled(11 * SETTLED) && !settled(0) && settled(SETTLED));
    }
}
