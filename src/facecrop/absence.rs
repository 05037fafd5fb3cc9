// SPDX-License-Identifier: MPL-2.0
//! Since when no face in the picture can speak, and why. Pure.

use std::time::Duration;

use crate::face_meta::{Face, Reason, VISIBLE};

/// It is told after so long, and again whenever it has lasted twice as long, …
const FIRST: Duration = Duration::from_secs(2);
/// … but no less often than this.
const AGAIN: Duration = Duration::from_secs(60);

/// The widest face that is left as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unused {
    pub reason: Reason,
    /// Of its box, px of the frame.
    pub width: f32,
}

#[derive(Default)]
pub struct Absence {
    lasts: Duration,
    told: Duration,
    /// Of all frames since a face was shown.
    unused: Option<Unused>,
}

impl Absence {
    /// Takes note of a frame `step` after the last one, and what it shows. Where it is time to tell: for how long there was nobody.
    pub fn watch(&mut self, step: Duration, faces: &[Face]) -> Option<(Duration, Option<Unused>)> {
        if faces.iter().any(|face| face.weight >= VISIBLE) {
            *self = Self::default();
            return None;
        }
        let widest =
            faces.iter().filter(|face| face.reason != Some(Reason::Lost)).max_by(|a, b| a.bbox.w.total_cmp(&b.bbox.w));
        if let Some(face) = widest
            && let Some(reason) = face.reason
            && self.unused.is_none_or(|known| known.width < face.bbox.w)
        {
            self.unused = Some(Unused { reason, width: face.bbox.w });
        }
        self.lasts += step;
        let due = FIRST.max((2 * self.told).min(self.told + AGAIN));
        (self.lasts >= due).then(|| {
            self.told = self.lasts;
            (self.lasts, self.unused)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::face_meta::RgbImage;
    use crate::geometry::{Affine, Rect};
    use crate::model::Model;
    use crate::model::points::PointSet;

    fn face(width: f32, reason: Option<Reason>) -> Face {
        Face {
            model: Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash")).unwrap(),
            track: 0,
            bbox: Rect::new(0.0, 0.0, width, width),
            landmarks: [[0.0; 2]; crate::face_meta::LANDMARKS],
            points: [].into(),
            point_set: PointSet::Ibug68,
            confidence: 1.0,
            pose: Default::default(),
            crop_to_frame: Affine::IDENTITY,
            crop: Arc::new(RgbImage { width: 0, height: 0, data: Vec::new() }),
            generated: None,
            weight: if reason.is_some() { 0.0 } else { 1.0 },
            reason,
        }
    }

    #[test]
    fn an_absence_is_told_ever_less_often() {
        let mut absence = Absence::default();
        let step = Duration::from_millis(500);
        let told: Vec<u64> =
            (0..800).filter_map(|_| absence.watch(step, &[])).map(|(lasts, _)| lasts.as_secs()).collect();
        assert_eq!(told, [2, 4, 8, 16, 32, 64, 124, 184, 244, 304, 364]);
        assert_eq!(absence.watch(step, &[face(100.0, None)]), None);
        assert_eq!((0..4).filter_map(|_| absence.watch(step, &[])).count(), 1);
    }

    #[test]
    fn faces_that_are_too_small_are_told() {
        let mut absence = Absence::default();
        let faces =
            [face(30.0, Some(Reason::TooSmall)), face(41.0, Some(Reason::TooSmall)), face(90.0, Some(Reason::Lost))];
        let told = absence.watch(Duration::from_secs(3), &faces).unwrap();
        assert_eq!(told.1, Some(Unused { reason: Reason::TooSmall, width: 41.0 }));
    }
}
