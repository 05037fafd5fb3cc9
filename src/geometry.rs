// SPDX-License-Identifier: MPL-2.0
//! Points, rectangles and affine maps, all in `f32` pixels with y pointing down.
//!
//! Pixel (i, j) covers the square from (i, j) to (i + 1, j + 1): its centre is at (i + 0.5, j + 0.5).

/// A point (x, y).
pub type Point = [f32; 2];

/// An axis-parallel rectangle: left, top, width, height.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Rect {
    pub x: f32,
    pub y: f32,
    pub w: f32,
    pub h: f32,
}

impl Rect {
    pub fn new(x: f32, y: f32, w: f32, h: f32) -> Self {
        Self { x, y, w, h }
    }

    pub fn center(&self) -> Point {
        [self.x + self.w / 2.0, self.y + self.h / 2.0]
    }

    /// The smallest rectangle around `points`; `None` without points.
    pub fn around(points: &[Point]) -> Option<Self> {
        let first = points.first()?;
        let (mut min, mut max) = (*first, *first);
        for p in points {
            for k in 0..2 {
                min[k] = min[k].min(p[k]);
                max[k] = max[k].max(p[k]);
            }
        }
        Some(Self::new(min[0], min[1], max[0] - min[0], max[1] - min[1]))
    }

    /// Area of the intersection over area of the union, 0..1.
    pub fn iou(&self, other: &Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        let common = w.max(0.0) * h.max(0.0);
        let all = self.w * self.h + other.w * other.h - common;
        if all > 0.0 { common / all } else { 0.0 }
    }
}

/// The map (x, y) → (a·x + b·y + c, d·x + e·y + f), stored as `[a, b, c, d, e, f]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine(pub [f32; 6]);

impl Affine {
    pub const IDENTITY: Self = Self([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);

    pub fn scale(sx: f32, sy: f32) -> Self {
        Self([sx, 0.0, 0.0, 0.0, sy, 0.0])
    }

    pub fn apply(&self, p: Point) -> Point {
        let [a, b, c, d, e, f] = self.0;
        [a * p[0] + b * p[1] + c, d * p[0] + e * p[1] + f]
    }

    /// First `self`, then `next`.
    pub fn then(&self, next: &Self) -> Self {
        let [a, b, c, d, e, f] = self.0;
        let [a2, b2, c2, d2, e2, f2] = next.0;
        Self([
            a2 * a + b2 * d,
            a2 * b + b2 * e,
            a2 * c + b2 * f + c2,
            d2 * a + e2 * d,
            d2 * b + e2 * e,
            d2 * c + e2 * f + f2,
        ])
    }

    /// The inverse map; `None` where the map is singular or not finite.
    pub fn invert(&self) -> Option<Self> {
        let [a, b, c, d, e, f] = self.0;
        let det = a * e - b * d;
        if !(det.is_finite() && det.abs() > 1e-12) {
            return None;
        }
        let inverse = [e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det];
        inverse.iter().all(|v| v.is_finite()).then_some(Self(inverse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_and_its_inverse_cancel() {
        let map = Affine([0.8, -0.6, 12.0, 0.7, 1.1, -3.0]);
        let p = map.then(&map.invert().unwrap()).apply([5.0, 7.0]);
        assert!((p[0] - 5.0).abs() < 1e-4 && (p[1] - 7.0).abs() < 1e-4);
        assert_eq!(Affine::scale(0.0, 1.0).invert(), None);
    }

    #[test]
    fn then_applies_left_to_right() {
        let shift = Affine([1.0, 0.0, 3.0, 0.0, 1.0, 0.0]);
        assert_eq!(shift.then(&Affine::scale(2.0, 2.0)).apply([1.0, 1.0]), [8.0, 2.0]);
    }
}
