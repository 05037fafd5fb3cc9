// SPDX-License-Identifier: MPL-2.0
//! Following an affine map along a row, in integers.

use crate::geometry::Affine;

/// A coordinate in units of 2⁻³² (`x >> 32` rounds down): no conversions and no rounding from step to step.
pub type Fixed = i64;

pub const ONE: Fixed = 1 << 32;

/// The nearest fixed-point number; the nearest end of the range for what is beyond it, 0 for NaN.
pub fn fixed(v: f32) -> Fixed {
    (v as f64 * ONE as f64) as Fixed
}

/// The images of (x, y), (x + 1, y), (x + 2, y), … under `map`, without end.
pub fn walk(map: &Affine, x: f32, y: f32) -> impl Iterator<Item = [Fixed; 2]> {
    let ([x, y], [dx, dy]) = (map.apply([x, y]).map(fixed), [fixed(map.0[0]), fixed(map.0[3])]);
    // Beyond the range of coordinates anything may come: nobody has pixels there.
    std::iter::successors(Some([x, y]), move |[x, y]| Some([x.wrapping_add(dx), y.wrapping_add(dy)]))
}

/// The first and the last of `length` such images; `None` where one of them, or of those between, is beyond the range.
pub fn ends(map: &Affine, x: f32, y: f32, length: usize) -> Option<[[Fixed; 2]; 2]> {
    let steps = Fixed::try_from(length).ok()? - 1;
    let [[x, y], [dx, dy]] = [map.apply([x, y]), [map.0[0], map.0[3]]].map(|v| v.map(fixed));
    Some([[x, y], [x.checked_add(dx.checked_mul(steps)?)?, y.checked_add(dy.checked_mul(steps)?)?]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_map() {
        let map = Affine([0.5, -1.0, 3.0, -0.25, 2.0, 1.0]);
        let points: Vec<_> = walk(&map, 2.0, 1.0).take(3).collect();
        assert_eq!(points, [[3 * ONE, ONE * 5 / 2], [ONE * 7 / 2, ONE * 9 / 4], [4 * ONE, 2 * ONE]]);
        assert_eq!(walk(&Affine([f32::NAN; 6]), 1.0, 1.0).nth(5), Some([0, 0]));
        walk(&Affine([f32::MAX; 6]), 1e30, 1e30).nth(5);
        assert_eq!(ends(&map, 2.0, 1.0, 3), Some([points[0], points[2]]));
        assert_eq!(ends(&Affine([f32::MAX, 0.0, 0.0, 0.0, 0.0, 0.0]), 0.0, 0.0, 3), None);
    }
}
