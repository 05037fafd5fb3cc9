// SPDX-License-Identifier: MPL-2.0
//! A rectangle of samples, held apart from the frame.

use crate::face_meta::RgbImage;

/// `N` values per sample, row after row; as `f32`, because each is interpolated about once. Sample (x, y) of the frame's component (or of a picture, where the corner is 0, 0)
/// is the tile's (x − corner\[0\], y − corner\[1\]).
#[derive(Clone, Debug, PartialEq)]
pub struct Tile<const N: usize> {
    corner: [f32; 2],
    /// The last sample's coordinates in the tile.
    last: [f32; 2],
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
    pub fn new(
        corner: [usize; 2],
        width: usize,
        height: usize,
        mut fill: impl FnMut(usize, &mut [[f32; N]]),
    ) -> Option<Self> {
        if width == 0 || height == 0 {
            return None;
        }
        let pitch = width + 1;
        let mut samples = vec![[0.0; N]; pitch * (height + 1)];
        for (y, row) in samples.chunks_exact_mut(pitch).take(height).enumerate() {
            fill(y, &mut row[..width]);
            row[width] = row[width - 1];
        }
        samples.copy_within((height - 1) * pitch..height * pitch, height * pitch);
        let [x, y] = corner.map(|c| c as f32);
        Some(Self { corner: [x, y], last: [(width - 1) as f32, (height - 1) as f32], pitch, samples })
    }

    /// Between the four samples around (x, y); sample centres are at whole numbers, beyond the edges the tile goes on with
    /// its last samples.
    #[inline(always)]
    pub fn between(&self, x: f32, y: f32) -> [f32; N] {
        // In this order NaN becomes 0.
        let x = (x - self.corner[0]).max(0.0).min(self.last[0]);
        let y = (y - self.corner[1]).max(0.0).min(self.last[1]);
        // By way of i32 because the processor has an instruction for that.
        let (x0, y0) = (x as i32, y as i32);
        let (wx, wy) = (x - x0 as f32, y - y0 as f32);
        let start = y0 as usize * self.pitch + x0 as usize;
        let samples = &self.samples[start..start + self.pitch + 2];
        let (a, b, c, d) = (samples[0], samples[1], samples[self.pitch], samples[self.pitch + 1]);
        let mut value = [0.0; N];
        for n in 0..N {
            let (t, u) = (a[n] + (b[n] - a[n]) * wx, c[n] + (d[n] - c[n]) * wx);
            value[n] = t + (u - t) * wy;
        }
        value
    }

    /// As [`Self::between`], from sixteen samples by cubic convolution: fine detail stays, where the mean of neighbours
    /// would wash it out. May overshoot at an edge. Within two samples of the tile's border it is [`Self::between`].
    #[inline(always)]
    pub fn between_sharp(&self, x: f32, y: f32) -> [f32; N] {
        let (u, v) = (x - self.corner[0], y - self.corner[1]);
        // False for NaN.
        let inside = u >= 1.0 && v >= 1.0 && u < self.last[0] - 1.0 && v < self.last[1] - 1.0;
        if !inside {
            return self.between(x, y);
        }
        let (x0, y0) = (u as i32, v as i32);
        let (across, down) = (cubic(u - x0 as f32), cubic(v - y0 as f32));
        let start = (y0 as usize - 1) * self.pitch + x0 as usize - 1;
        let samples = &self.samples[start..start + 3 * self.pitch + 4];
        let mut value = [0.0; N];
        for (j, share) in down.into_iter().enumerate() {
            let row = &samples[j * self.pitch..j * self.pitch + 4];
            for n in 0..N {
                let mean =
                    row[0][n] * across[0] + row[1][n] * across[1] + row[2][n] * across[2] + row[3][n] * across[3];
                value[n] += mean * share;
            }
        }
        value
    }
}

/// Shares of four neighbours at `t` (0..1) from the second to the third: Keys' kernel (IEEE Trans. ASSP 29, 1981) with the
/// slope −0.75, which keeps more of the finest detail than his −0.5.
#[inline(always)]
fn cubic(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let s = 1.0 - t;
    let near = |t: f32| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
    [A * t * s * s, near(t), near(s), A * s * t * t]
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(tile.between_sharp(10.5, 20.5), [70.0]);
        let one = Tile::new([3, 3], 1, 1, |_, row| row[0] = [7.0]).unwrap();
        assert_eq!(one.between(9.0, 9.0), [7.0]);
    }

    #[test]
    fn sharp_keeps_samples_slopes_and_detail() {
        let tile = |f: fn(usize, usize) -> f32| {
            Tile::new([0, 0], 8, 8, |y, row| row.iter_mut().enumerate().for_each(|(x, s)| *s = [f(x, y)])).unwrap()
        };
        let slope = tile(|x, y| (3 * x + 5 * y) as f32);
        assert_eq!(slope.between_sharp(3.0, 4.0), [29.0]);
        assert!((slope.between_sharp(3.5, 4.5)[0] - 33.0).abs() < 1e-3);
        assert_eq!(slope.between_sharp(0.5, f32::NAN), slope.between(0.5, f32::NAN));
        // Half way between the samples of stripes four samples wide.
        let stripes = tile(|x, _| [0.0, 1.0, 0.0, -1.0][x % 4]);
        let (soft, sharp) = (stripes.between(3.5, 4.0)[0], stripes.between_sharp(3.5, 4.0)[0]);
        assert!(sharp.abs() > 1.2 * soft.abs() && sharp.abs() < 0.75, "{soft} {sharp}");
    }
}
