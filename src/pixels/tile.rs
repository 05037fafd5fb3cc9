// SPDX-License-Identifier: MPL-2.0
//! A rectangle of samples, held apart from the frame.

/// `N` values per sample, row after row. Sample (x, y) of the frame's component (or of a picture, where the corner is 0, 0)
/// is the tile's (x − corner\[0\], y − corner\[1\]).
#[derive(Clone, Debug, PartialEq)]
pub struct Tile<T, const N: usize> {
    corner: [usize; 2],
    width: usize,
    height: usize,
    samples: Vec<[T; N]>,
}

impl<T: Copy + Into<f32>, const N: usize> Tile<T, N> {
    /// `None` where it would be empty or `samples` has another length than `width * height`.
    pub fn new(corner: [usize; 2], width: usize, height: usize, samples: Vec<[T; N]>) -> Option<Self> {
        let fits = width > 0 && height > 0 && width.checked_mul(height) == Some(samples.len());
        fits.then_some(Self { corner, width, height, samples })
    }

    /// The sample at (x, y), or the nearest one that the tile has.
    #[inline]
    pub fn at(&self, x: usize, y: usize) -> [f32; N] {
        let x = x.saturating_sub(self.corner[0]).min(self.width - 1);
        let y = y.saturating_sub(self.corner[1]).min(self.height - 1);
        self.samples[y * self.width + x].map(Into::into)
    }

    /// Between the four samples around (x, y); sample centres are at whole numbers, beyond the edges the tile goes on with
    /// its last samples.
    #[inline]
    pub fn between(&self, x: f32, y: f32) -> [f32; N] {
        // In this order NaN becomes 0.
        let x = (x - self.corner[0] as f32).max(0.0).min((self.width - 1) as f32);
        let y = (y - self.corner[1] as f32).max(0.0).min((self.height - 1) as f32);
        let (x0, y0) = (x as usize, y as usize);
        let (wx, wy) = (x - x0 as f32, y - y0 as f32);
        let x1 = (x0 + 1).min(self.width - 1);
        let top = &self.samples[y0 * self.width..][..self.width];
        let bottom = &self.samples[(y0 + 1).min(self.height - 1) * self.width..][..self.width];
        let (a, b, c, d) = (top[x0], top[x1], bottom[x0], bottom[x1]);
        std::array::from_fn(|n| {
            let [a, b, c, d]: [f32; 4] = [a[n].into(), b[n].into(), c[n].into(), d[n].into()];
            let (t, u) = (a + (b - a) * wx, c + (d - c) * wx);
            t + (u - t) * wy
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_samples_and_beyond_the_edges() {
        let tile = Tile::new([10, 20], 2, 2, vec![[0u8], [100], [40], [140]]).unwrap();
        assert_eq!(tile.at(11, 20), [100.0]);
        assert_eq!(tile.between(10.5, 20.5), [70.0]);
        assert_eq!(tile.between(11.0, 21.0), [140.0]);
        assert_eq!(tile.between(f32::NAN, f32::INFINITY), [40.0]);
        assert_eq!(tile.at(0, usize::MAX), [40.0]);
        assert_eq!(Tile::new([0, 0], 0, 0, Vec::<[u8; 1]>::new()), None);
        assert_eq!(Tile::new([0, 0], 2, 1, vec![[0u8]]), None);
    }
}
