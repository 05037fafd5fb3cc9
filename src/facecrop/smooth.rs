// SPDX-License-Identifier: MPL-2.0
//! Smoothing that holds still what stands still and does not hold back what moves.
//!
//! The "1 € filter" (Casiez, Roussel, Vogel, CHI 2012): a first-order low-pass whose cut-off frequency grows with speed.
//! The face's placement and its shape relative to that are smoothed apart, so that a nod does not count as speech.

use std::array;
use std::f32::consts::{PI, TAU};

use super::landmarks::Points;
use super::shape::Placement;
use crate::geometry::Affine;

/// Hz added per unit of speed (face widths per second). What moves lags behind by at most 1 / (2π · 80) = 0.2 % of the
/// face's width.
const BETA: f32 = 80.0;

/// Hz: the speed itself is smoothed that much. Lower, and the first frames of a movement are held back.
const SPEED_CUTOFF: f32 = 5.0;

/// `N` numbers that share one speed.
#[derive(Clone, Copy, Debug)]
struct OneEuro<const N: usize> {
    raw: [f32; N],
    value: [f32; N],
    speed: [f32; N],
}

impl<const N: usize> OneEuro<N> {
    fn new(value: [f32; N]) -> Self {
        Self { raw: value, value, speed: [0.0; N] }
    }

    /// `unit`: how much of each number is one face width. `dt` in seconds, > 0; `cutoff`: Hz when nothing moves.
    fn step(&mut self, raw: [f32; N], unit: [f32; N], dt: f32, cutoff: f32) -> [f32; N] {
        let follow = weight(SPEED_CUTOFF, dt);
        self.speed = array::from_fn(|k| {
            let speed = (raw[k] - self.raw[k]) / unit[k] / dt;
            self.speed[k] + follow * (speed - self.speed[k])
        });
        let speed = self.speed.iter().map(|v| v * v).sum::<f32>().sqrt();
        let follow = weight(cutoff + BETA * speed, dt);
        self.value = array::from_fn(|k| self.value[k] + follow * (raw[k] - self.value[k]));
        self.raw = raw;
        self.value
    }
}

/// How far one step of `dt` seconds goes towards the new value.
fn weight(cutoff: f32, dt: f32) -> f32 {
    let r = TAU * cutoff * dt;
    if r.is_finite() { r / (r + 1.0) } else { 1.0 }
}

/// The cut-off at rest for the property `smoothing`: 0 = no smoothing, 0.5 = 2 Hz, 1 = everything that is slow stands still.
pub fn cutoff(smoothing: f32) -> f32 {
    2.0 * (1.0 - smoothing) / smoothing
}

/// Smooths one face's landmarks: iBUG's and, by the same rule, the network's own.
#[derive(Clone, Debug)]
pub struct Smoother {
    placement: OneEuro<4>,
    shape: Vec<OneEuro<2>>,
}

impl Smoother {
    pub fn new(placement: Placement, points: &Points) -> Self {
        let to_mean = to_mean(placement);
        let shape = points.ibug.iter().chain(&points.own).map(|p| OneEuro::new(to_mean.apply(*p))).collect();
        Self { placement: OneEuro::new(numbers(placement)), shape }
    }

    /// The next frame's smoothed placement and landmarks.
    pub fn step(&mut self, placement: Placement, points: &Points, dt: f32, cutoff: f32) -> (Placement, Points) {
        let mut raw = numbers(placement);
        // The shorter way round.
        let turn = raw[3] - self.placement.raw[3];
        raw[3] -= TAU * ((turn + PI) / TAU).floor();
        let unit = [placement.size, placement.size, 1.0, 1.0];
        let [x, y, log_size, roll] = self.placement.step(raw, unit, dt, cutoff);
        let smoothed = Placement { center: [x, y], size: log_size.exp(), roll };
        let (to_mean, to_frame) = (to_mean(placement), smoothed.to_frame());
        let mut points = points.clone();
        for (point, filter) in points.ibug.iter_mut().chain(&mut points.own).zip(&mut self.shape) {
            *point = to_frame.apply(filter.step(to_mean.apply(*point), [1.0; 2], dt, cutoff));
        }
        (smoothed, points)
    }
}

fn numbers(p: Placement) -> [f32; 4] {
    [p.center[0], p.center[1], p.size.ln(), p.roll]
}

/// From the frame to the mean face's coordinates.
fn to_mean(placement: Placement) -> Affine {
    // A placement that was fitted has a size.
    placement.to_frame().invert().unwrap_or(Affine::IDENTITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facecrop::shape::mean_face;

    const DT: f32 = 0.04;

    /// Noise in −1..1, the same every time.
    fn noise(seed: &mut u32) -> f32 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    #[test]
    fn a_face_that_stands_still_is_held_still() {
        let rest = Placement { center: [300.0, 200.0], size: 200.0, roll: 0.1 };
        let mut seed = 1;
        let mut noisy = || mean_face(rest).map(|p| [p[0] + 0.4 * noise(&mut seed), p[1] + 0.4 * noise(&mut seed)]);
        let mut smoother = Smoother::new(rest, &mean_face(rest).into());
        let (mut before, mut after) = (0.0, 0.0);
        for _ in 0..100 {
            let raw = noisy();
            let (_, smooth) = smoother.step(Placement::fit(&raw).unwrap(), &raw.into(), DT, cutoff(0.5));
            before += (raw[48][0] - mean_face(rest)[48][0]).powi(2);
            after += (smooth.ibug[48][0] - mean_face(rest)[48][0]).powi(2);
        }
        assert!(after < 0.45 * before, "{after} {before}");
    }

    #[test]
    fn a_movement_is_followed_within_a_frame() {
        let at = |t: f32| Placement { center: [300.0 + 100.0 * t, 200.0], size: 200.0, roll: 0.0 };
        let mut smoother = Smoother::new(at(0.0), &mean_face(at(0.0)).into());
        for k in 1..50 {
            let t = k as f32 * DT;
            let raw = mean_face(at(t));
            let (placement, smooth) = smoother.step(at(t), &raw.into(), DT, cutoff(0.5));
            assert!((placement.center[0] - at(t).center[0]).abs() <= 100.0 * DT, "frame {k}: {placement:?}");
            assert!((smooth.ibug[48][0] - raw[48][0]).abs() <= 100.0 * DT, "frame {k}");
        }
    }

    #[test]
    fn a_mouth_that_opens_is_followed_within_a_frame() {
        let rest = Placement { center: [300.0, 200.0], size: 200.0, roll: 0.0 };
        let mut smoother = Smoother::new(rest, &mean_face(rest).into());
        for k in 1..30 {
            // Open and shut 3 times a second, 10 % of the face's width.
            let open = |k: i32| 10.0 * (1.0 - (TAU * 3.0 * DT * k as f32).cos());
            let mut raw = mean_face(rest);
            raw[57][1] += open(k);
            let (_, smooth) = smoother.step(rest, &raw.into(), DT, cutoff(0.5));
            let late = (smooth.ibug[57][1] - raw[57][1]).abs();
            // Never further behind than the fastest frame's step.
            assert!(late <= 10.0 * TAU * 3.0 * DT, "frame {k}: {late}");
        }
    }

    #[test]
    fn no_smoothing_changes_nothing() {
        let at = |t: f32| Placement { center: [300.0 + t, 200.0], size: 200.0, roll: 0.0 };
        let mut smoother = Smoother::new(at(0.0), &mean_face(at(0.0)).into());
        let (placement, points) = smoother.step(at(3.0), &mean_face(at(3.0)).into(), DT, cutoff(0.0));
        assert!((placement.center[0] - 303.0).abs() < 1e-3);
        assert!((points.ibug[48][0] - mean_face(at(3.0))[48][0]).abs() < 1e-3);
    }
}
