// SPDX-License-Identifier: MPL-2.0
//! How much of the generated mouth a face shows.

use std::time::Duration;

use crate::face_meta::{Pose, Reason};

/// From nothing to everything.
const FADE: Duration = Duration::from_millis(120);

/// A weight 0..1 that moves towards its target by at most `dt` / 120 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fade(Option<f32>);

impl Fade {
    /// The first target is taken at once: for a face that was there from the first frame, or that a cut brought.
    pub fn at_once() -> Self {
        Self(None)
    }

    /// Starts at 0: for a face that appears.
    pub fn from_nothing() -> Self {
        Self(Some(0.0))
    }

    pub fn weight(&self) -> f32 {
        self.0.unwrap_or(0.0)
    }

    pub fn step(&mut self, target: f32, dt: Duration) {
        let reach = dt.as_secs_f32() / FADE.as_secs_f32();
        let weight = self.0.unwrap_or(target);
        self.0 = Some(target.clamp(weight - reach, weight + reach).clamp(0.0, 1.0));
    }
}

/// Where the weight should go, and why it is below 1. `width` is that of the face's box, px.
pub fn target(width: f32, min_width: f32, pose: Pose, confidence: f32) -> (f32, Option<Reason>) {
    let checks = [
        (ramp(width, min_width, 1.1 * min_width), Reason::TooSmall),
        // Degrees.
        (1.0 - ramp(pose.yaw.abs(), 35.0, 50.0), Reason::TurnedAway),
        (ramp(confidence, 0.1, 0.5), Reason::Uncertain),
    ];
    checks.into_iter().fold(
        (1.0, None),
        |least, (value, reason)| {
            if value < least.0 { (value, Some(reason)) } else { least }
        },
    )
}

/// 0 up to `low` (and for NaN), 1 from `high`, a line between.
pub fn ramp(value: f32, low: f32, high: f32) -> f32 {
    if value >= high {
        1.0
    } else if value > low {
        (value - low) / (high - low)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(40);

    #[test]
    fn it_takes_120_ms_each_way() {
        let mut fade = Fade::from_nothing();
        let mut weights = Vec::new();
        for target in [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0] {
            fade.step(target, FRAME);
            weights.push((fade.weight() * 3.0).round());
        }
        assert_eq!(weights, [1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn only_a_fresh_face_is_there_at_once() {
        let mut fade = Fade::at_once();
        fade.step(0.8, Duration::ZERO);
        assert_eq!(fade.weight(), 0.8);
        let mut fade = Fade::from_nothing();
        fade.step(0.8, Duration::ZERO);
        assert_eq!(fade.weight(), 0.0);
    }

    #[test]
    fn each_reason_has_its_range() {
        let yaw = |yaw| Pose { yaw, ..Pose::default() };
        assert_eq!(target(100.0, 40.0, yaw(0.0), 1.0), (1.0, None));
        assert_eq!(target(39.0, 40.0, yaw(0.0), 1.0), (0.0, Some(Reason::TooSmall)));
        assert_eq!(target(100.0, 40.0, yaw(-51.0), 1.0), (0.0, Some(Reason::TurnedAway)));
        let (half, reason) = target(100.0, 40.0, yaw(42.5), 1.0);
        assert!((half - 0.5).abs() < 1e-6 && reason == Some(Reason::TurnedAway));
        assert_eq!(target(100.0, 40.0, yaw(0.0), 0.0), (0.0, Some(Reason::Uncertain)));
        assert_eq!(target(f32::NAN, 40.0, yaw(0.0), 1.0).0, 0.0);
    }
}
