// SPDX-License-Identifier: MPL-2.0
//! A grey picture of weights, stretched over the crop.

use crate::model::manifest::MaskOf;
use crate::pixels::GrayImage;

/// 255 is the weight 1. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights(GrayImage);

impl Weights {
    /// `None` where `picture` is empty or has not as many bytes as its size says.
    pub fn new(picture: GrayImage) -> Option<Self> {
        let GrayImage { width, height, ref data } = picture;
        (width > 0 && height > 0 && width.checked_mul(height) == Some(data.len())).then_some(Self(picture))
    }

    /// What a manifest's mask stands for: its greys `low` and `high` for 0 and 1, of the picture named.
    pub fn of_mask(mut mask: GrayImage, of: MaskOf, [low, high]: [f32; 2]) -> Option<Self> {
        for grey in &mut mask.data {
            let share = (f32::from(*grey) - low) / (high - low);
            let weight = match of {
                MaskOf::Generated => share,
                MaskOf::Original => 1.0 - share,
            };
            // `as` saturates.
            *grey = (weight * 255.0 + 0.5) as u8;
        }
        Self::new(mask)
    }

    /// Bytes in memory.
    pub fn size(&self) -> usize {
        self.0.data.len()
    }

    /// Whether all weights are 0.
    pub fn is_empty(&self) -> bool {
        self.0.data.iter().all(|&weight| weight == 0)
    }

    /// Between the four weights around the crop fraction `p`, 0..1; towards the crop's border the picture goes on with its
    /// last weights.
    #[inline]
    pub fn at(&self, p: [f32; 2]) -> f32 {
        let GrayImage { width, height, ref data } = self.0;
        let split = |v: f32, length: usize| {
            // In this order NaN becomes 0.
            let v = (v * length as f32 - 0.5).max(0.0).min((length - 1) as f32);
            (v as usize, (v as usize + 1).min(length - 1), v.fract())
        };
        let ((left, right, x), (above, below, y)) = (split(p[0], width), split(p[1], height));
        let at = |column: usize, row: usize| f32::from(data[row * width + column]);
        let between = |row: usize| at(left, row) + (at(right, row) - at(left, row)) * x;
        (between(above) + (between(below) - between(above)) * y) / 255.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize, data: &[u8]) -> GrayImage {
        GrayImage { width, height, data: data.into() }
    }

    #[test]
    fn weights_are_stretched_over_the_crop() {
        let weights = Weights::new(grey(2, 2, &[0, 255, 0, 255])).unwrap();
        // A pixel's centre has its weight, and what is beyond the last centre too.
        for (x, weight) in [(-3.0, 0.0), (0.25, 0.0), (0.5, 0.5), (0.75, 1.0), (1.0, 1.0), (f32::NAN, 0.0)] {
            assert_eq!(weights.at([x, 0.6]), weight, "{x}");
        }
        assert!(!weights.is_empty() && Weights::new(grey(1, 2, &[0, 0])).unwrap().is_empty());
        assert_eq!((Weights::new(grey(0, 2, &[])), Weights::new(grey(2, 2, &[1]))), (None, None));
    }

    #[test]
    fn a_mask_is_of_the_one_or_the_other() {
        let mask = grey(5, 1, &[0, 20, 70, 120, 255]);
        let generated = Weights::of_mask(mask.clone(), MaskOf::Generated, [20.0, 120.0]).unwrap();
        assert_eq!(generated.0.data, [0, 0, 128, 255, 255]);
        let original = Weights::of_mask(mask, MaskOf::Original, [20.0, 120.0]).unwrap();
        assert_eq!(original.0.data, [255, 255, 128, 0, 0]);
    }
}
