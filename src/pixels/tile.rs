// SPDX-License-Identifier: MPL-2.0
//! A rectangle of samples, held apart from the frame.

use std::ops::Range;

use wide::f32x4;

use super::points::before;
use crate::face_meta::RgbImage;

/// `N` values per sample, row after row; as `f32`, because each is interpolated about once. Sample (x, y) of the frame's component (or of a picture, where the corner is 0, 0)
/// is the tile's (x − corner\[0\], y − corner\[1\]).
#[derive(Clone, Debug, PartialEq)]
pub struct Tile<const N: usize> {
    /// x, y, 0, 0.
    corner: f32x4,
    /// The last sample's coordinates in the tile; 0, 0.
    last: f32x4,
    /// How many samples have one before and two behind them, across and down.
    inner: [u32; 2],
    /// `width + 1`: the last column and the last row are there twice, so that every sample has a neighbour.
    pitch: usize,
    samples: Vec<[f32; N]>,
}

impl Tile<3> {
    /// R, G, B of all of `image`; `None` where it is empty or has not as many bytes as its size says.
    pub fn of_rgb(image: &RgbImage) -> Option<Self> {
        let &RgbImage { width, height, ref data } = image;
        if width.checked_mul(height).and_then(|n| n.checked_mul(3)) != Some(data.len()) {
            return None;
        }
        Self::new([0, 0], width, height, |y, row| {
            for (sample, rgb) in row.iter_mut().zip(data[y * width * 3..].chunks_exact(3)) {
                *sample = [rgb[0], rgb[1], rgb[2]].map(f32::from);
            }
        })
    }
}

impl<const N: usize> Tile<N> {
    /// `fill(y, row)` gets each row's number, from 0, and its `width` samples to set. `None` where the tile would be empty.
    #[inline(always)]
    pub fn new(
        corner: [usize; 2],
        width: usize,
        height: usize,
        fill: impl FnMut(usize, &mut [[f32; N]]),
    ) -> Option<Self> {
        Self::new_in(Vec::new(), corner, width, height, fill)
    }

    /// [`Self::new`] in the memory of an earlier one; what that holds does not matter.
    #[inline(always)]
    pub fn new_in(
        mut samples: Vec<[f32; N]>,
        corner: [usize; 2],
        width: usize,
        height: usize,
        mut fill: impl FnMut(usize, &mut [[f32; N]]),
    ) -> Option<Self> {
        if width == 0 || height == 0 {
            return None;
        }
        let pitch = width + 1;
        samples.resize(pitch * (height + 1), [0.0; N]);
        for (y, row) in samples.chunks_exact_mut(pitch).take(height).enumerate() {
            fill(y, &mut row[..width]);
            row[width] = row[width - 1];
        }
        samples.copy_within((height - 1) * pitch..height * pitch, height * pitch);
        let point = |[x, y]: [usize; 2]| f32x4::from([x as f32, y as f32, 0.0, 0.0]);
        // Casting saturates, and no tile is that large.
        let inner = [width, height].map(|length| length.saturating_sub(3) as u32);
        Some(Self { corner: point(corner), last: point([width - 1, height - 1]), inner, pitch, samples })
    }

    /// Which column lies before `x`, and how far it is from there to the next one; for the edges as [`Self::between`].
    pub fn column(&self, x: f32) -> (u32, f32) {
        let ([x, _], [share, _]) = split(self.inside(f32x4::from([x, 0.0, 0.0, 0.0])));
        (x as u32, share)
    }

    /// Which row lies before `y`, and how far it is from there to the next one.
    pub fn row(&self, y: f32) -> (u32, f32) {
        let ([_, y], [_, share]) = split(self.inside(f32x4::from([0.0, y, 0.0, 0.0])));
        (y as u32, share)
    }

    /// Of row `y`, what is in the columns `columns`.
    #[inline(always)]
    pub fn line(&self, y: u32, columns: Range<usize>) -> &[[f32; N]] {
        &self.samples[y as usize * self.pitch..][columns]
    }

    /// Of each sample its numbers, row after row.
    pub fn numbers(&self) -> &[f32] {
        self.samples.as_flattened()
    }

    /// In [`Self::numbers`], from a sample to the next one across, and down.
    pub fn gaps(&self) -> [usize; 2] {
        [N, self.pitch * N]
    }

    /// Which of [`Self::numbers`] is the first one before (x, y), and how far it is from there to the next ones; for the edges
    /// as [`Self::between`].
    #[inline(always)]
    pub fn place(&self, x: f32, y: f32) -> (i32, [f32; 2]) {
        let ([left, top, ..], [right, bottom, ..]) = (self.corner.to_array(), self.last.to_array());
        // In this order NaN becomes 0.
        let (x0, across) = before((x - left).max(0.0).min(right), right as i32);
        let (y0, down) = before((y - top).max(0.0).min(bottom), bottom as i32);
        ((y0 * self.pitch as i32 + x0) * N as i32, [across, down])
    }

    /// The memory, for another tile.
    pub fn into_memory(self) -> Vec<[f32; N]> {
        self.samples
    }

    /// Between the four samples around (x, y); sample centres are at whole numbers, beyond the edges the tile goes on with
    /// its last samples.
    #[inline(always)]
    pub fn between(&self, x: f32, y: f32) -> [f32; N] {
        self.at(f32x4::from([x, y, 0.0, 0.0]))
    }

    /// [`Self::between`] at `point`'s first two numbers.
    #[inline(always)]
    pub fn at(&self, point: f32x4) -> [f32; N] {
        let ([x0, y0], [wx, wy]) = split(self.inside(point));
        let start = y0 as usize * self.pitch + x0 as usize;
        let samples = &self.samples[start..start + self.pitch + 2];
        let (a, b, c, d) = (samples[0], samples[1], samples[self.pitch], samples[self.pitch + 1]);
        let mut value = [0.0; N];
        for n in 0..N {
            let (left, right) = (a[n] + (c[n] - a[n]) * wy, b[n] + (d[n] - b[n]) * wy);
            value[n] = left + (right - left) * wx;
        }
        value
    }

    /// `point` from the tile's corner, no farther than its edges.
    #[inline(always)]
    fn inside(&self, point: f32x4) -> f32x4 {
        // In this order NaN becomes 0.
        (point - self.corner).fast_max(f32x4::ZERO).fast_min(self.last)
    }

    /// As [`Self::at`], from sixteen samples by cubic convolution: fine detail stays, where the mean of neighbours
    /// would wash it out. May overshoot at an edge. Within two samples of the tile's border it is [`Self::at`].
    #[inline(always)]
    pub fn sharp_at(&self, point: f32x4) -> [f32; N] {
        let ([x0, y0], [wx, wy]) = split(point - self.corner);
        // False for NaN, and whatever else is no place in the tile.
        let within = |at: i32, inner: u32| (at.wrapping_sub(1) as u32) < inner;
        if !(within(x0, self.inner[0]) && within(y0, self.inner[1])) {
            return self.at(point);
        }
        let (across, down) = (cubic(wx), cubic(wy).to_array());
        let start = (y0 as usize - 1) * self.pitch + x0 as usize - 1;
        let samples = self.samples[start..start + 3 * self.pitch + 4].as_flattened();
        // Downwards first: N times four numbers that lie next to each other.
        let mut columns = [f32x4::ZERO; N];
        for (j, share) in down.into_iter().enumerate() {
            let (fours, _) = samples[j * self.pitch * N..j * self.pitch * N + 4 * N].as_chunks();
            for (column, &four) in columns.iter_mut().zip(fours) {
                *column += f32x4::from(four) * share;
            }
        }
        let mut value = [0.0; N];
        if N == 1 {
            value[0] = (columns[0] * across).reduce_add();
        } else {
            let columns = columns.map(f32x4::to_array);
            let (columns, _) = columns.as_flattened().as_chunks::<N>();
            for (column, share) in columns.iter().zip(across.to_array()) {
                for n in 0..N {
                    value[n] += column[n] * share;
                }
            }
        }
        value
    }
}

/// Whole numbers and fractions of x and y, which are not negative. What is no such number gives no place in any tile.
#[inline(always)]
fn split(point: f32x4) -> ([i32; 2], [f32; 2]) {
    let whole = point.fast_trunc_int();
    let [x, y, ..] = (point - whole.round_float()).to_array();
    let [x0, y0, ..] = whole.to_array();
    ([x0, y0], [x, y])
}

/// Shares of four neighbours at `t` (0..1) from the second to the third: Keys' kernel (IEEE Trans. ASSP 29, 1981) with the
/// slope −0.75, which keeps more of the finest detail than his −0.5.
#[inline(always)]
fn cubic(t: f32) -> f32x4 {
    const A: f32 = -0.75;
    // By powers of t, from t³ down.
    const POLYNOMIALS: [[f32; 4]; 4] =
        [[A, A + 2.0, -A - 2.0, -A], [-2.0 * A, -A - 3.0, 2.0 * A + 3.0, A], [A, 0.0, -A, 0.0], [0.0, 1.0, 0.0, 0.0]];
    let [cube, square, line, one] = POLYNOMIALS.map(f32x4::from);
    ((cube * t + square) * t + line) * t + one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sharp(tile: &Tile<1>, x: f32, y: f32) -> [f32; 1] {
        tile.sharp_at(f32x4::from([x, y, 0.0, 0.0]))
    }

    #[test]
    fn between_samples_and_beyond_the_edges() {
        let values = [[[0.0], [100.0]], [[40.0], [140.0]]];
        let tile = Tile::new([10, 20], 2, 2, |y, row| row.copy_from_slice(&values[y])).unwrap();
        assert_eq!(tile.between(11.0, 20.0), [100.0]);
        assert_eq!(tile.between(10.5, 20.5), [70.0]);
        assert_eq!(tile.between(11.0, 21.0), [140.0]);
        assert_eq!(tile.between(f32::NAN, f32::INFINITY), [40.0]);
        assert_eq!(tile.between(-1e30, 20.25), [10.0]);
        assert_eq!(Tile::<1>::new([0, 0], 0, 5, |_, _| ()), None);
        assert_eq!(sharp(&tile, 10.5, 20.5), [70.0]);
        let one = Tile::new([3, 3], 1, 1, |_, row| row[0] = [7.0]).unwrap();
        assert_eq!(one.between(9.0, 9.0), [7.0]);
    }

    #[test]
    fn sharp_keeps_samples_slopes_and_detail() {
        let tile = |f: fn(usize, usize) -> f32| {
            Tile::new([0, 0], 8, 8, |y, row| row.iter_mut().enumerate().for_each(|(x, s)| *s = [f(x, y)])).unwrap()
        };
        let slope = tile(|x, y| (3 * x + 5 * y) as f32);
        assert_eq!(sharp(&slope, 3.0, 4.0), [29.0]);
        assert!((sharp(&slope, 3.5, 4.5)[0] - 33.0).abs() < 1e-3);
        assert_eq!(sharp(&slope, 0.5, f32::NAN), slope.between(0.5, f32::NAN));
        // Half way between the samples of stripes four samples wide.
        let stripes = tile(|x, _| [0.0, 1.0, 0.0, -1.0][x % 4]);
        let (soft, sharp) = (stripes.between(3.5, 4.0)[0], sharp(&stripes, 3.5, 4.0)[0]);
        assert!(sharp.abs() > 1.2 * soft.abs() && sharp.abs() < 0.75, "{soft} {sharp}");
    }
}
