// SPDX-License-Identifier: MPL-2.0
//! A generated picture in the frame's components.

use super::image::Style;
use crate::face_meta::{Face, Patch, RgbImage};
use crate::model::manifest::Detail;
use crate::pixels::{ColorMap, Tile};

/// The ring along the border that `match_color` compares, as a fraction of the picture.
const RING: f32 = 1.0 / 16.0;

/// Levels (of 255) by which a picture differs from the original crop where none of the frame's own detail fits it any more.
/// With half of that, skin that a network has redrawn loses its texture; with twice that, the old lips shine through.
const FOREIGN: f32 = 40.0;

/// One number of each pixel after the other: R, G and B, or a frame's components.
type Planes = [Vec<f32>; 3];

/// A generated picture in the frame's components.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    new: Planes,
    old: Option<Old>,
}

/// The original crop, where the frame's detail is wanted.
struct Old {
    components: Planes,
    /// How far the new picture agrees with it, 0..1.
    agreement: Vec<f32>,
}

/// The original crop, and how far the new picture agrees with it.
type OldTiles<const N: usize> = (Tile<N>, Tile<1>);

impl Picture {
    /// What `patch` has to show of `face`, in components of `color`; `None` where it is empty or has not as many bytes as its
    /// size says.
    #[multiversion::multiversion(targets("x86_64+avx2+fma+bmi1+bmi2"))]
    pub fn of(patch: &Patch, face: &Face, style: &Style, color: &ColorMap) -> Option<Picture> {
        let &Patch { width, height, .. } = patch;
        let mut new = planes(patch)?;
        if style.match_color
            && let (Some(was), Some(is)) = (ring_mean(&face.crop), ring_mean(patch))
        {
            for (n, plane) in new.iter_mut().enumerate() {
                let shift = was[n] - is[n];
                plane.iter_mut().for_each(|value| *value = (*value + shift).clamp(0.0, 255.0));
            }
        }
        // Without a crop there is nothing to compare with.
        let old = (style.detail == Detail::Frame).then(|| stretched(&face.crop, width, height)).flatten();
        let old = old.map(|mut old| {
            let mut agreement = vec![0.0f32; width * height];
            for (new, old) in new.iter().zip(&old) {
                for ((most, new), old) in agreement.iter_mut().zip(new).zip(old) {
                    *most = most.max((new - old).abs());
                }
            }
            most_around(width, &mut agreement);
            agreement.iter_mut().for_each(|value| *value = (1.0 - *value / FOREIGN).max(0.0));
            to_components(&mut old, color);
            Old { components: old, agreement }
        });
        to_components(&mut new, color);
        Some(Picture { width, height, new, old })
    }

    /// The components `first..first + N`, and of the original crop where there is one.
    #[inline(always)]
    pub fn tiles<const N: usize>(&self, first: usize) -> Option<(Tile<N>, Option<OldTiles<N>>)> {
        let group = |planes: &Planes| self.tile(std::array::from_fn::<_, N, _>(|n| &planes[first + n][..]));
        let old = self.old.as_ref().map(|old| Some((group(&old.components)?, self.tile([&old.agreement])?)));
        Some((group(&self.new)?, old.flatten()))
    }

    #[inline(always)]
    fn tile<const N: usize>(&self, planes: [&[f32]; N]) -> Option<Tile<N>> {
        Tile::new([0, 0], self.width, self.height, |y, row| {
            let planes = planes.map(|plane| &plane[y * self.width..][..row.len()]);
            row.iter_mut().enumerate().for_each(|(x, sample)| *sample = std::array::from_fn(|n| planes[n][x]));
        })
    }
}

/// The pixels of `image`; `None` where it is empty or has not as many bytes as its size says.
#[inline(always)]
fn planes(image: &RgbImage) -> Option<Planes> {
    let &RgbImage { width, height, ref data } = image;
    let fits = width.checked_mul(height).and_then(|n| n.checked_mul(3)) == Some(data.len());
    let (pixels, _) = data.as_chunks::<3>();
    if !fits || data.is_empty() {
        return None;
    }
    // Not by `map`, which would be compiled apart from who calls this.
    let plane = |n: usize| pixels.iter().map(|rgb| f32::from(rgb[n])).collect();
    Some([plane(0), plane(1), plane(2)])
}

/// The same, stretched to another size.
fn stretched(image: &RgbImage, width: usize, height: usize) -> Option<Planes> {
    if [image.width, image.height] == [width, height] {
        return planes(image);
    }
    let tile = Tile::of_rgb(image)?;
    let (sx, sy) = (image.width as f32 / width as f32, image.height as f32 / height as f32);
    let mut planes: Planes = Default::default();
    for y in 0..height {
        for x in 0..width {
            let pixel = tile.between((x as f32 + 0.5) * sx - 0.5, (y as f32 + 0.5) * sy - 0.5);
            planes.iter_mut().zip(pixel).for_each(|(plane, value)| plane.push(value));
        }
    }
    Some(planes)
}

/// R, G and B become a frame's components.
#[inline(always)]
fn to_components([first, second, third]: &mut Planes, color: &ColorMap) {
    for ((a, b), c) in first.iter_mut().zip(second).zip(third) {
        [*a, *b, *c] = color.from_rgb([*a, *b, *c]);
    }
}

/// Each place gets the largest value of the 3 × 3 around it: where two pictures cross, a lone place may look the same.
#[inline(always)]
fn most_around(width: usize, values: &mut [f32]) {
    for row in values.chunks_exact_mut(width) {
        let mut before = 0.0f32;
        for x in 0..width {
            let own = row[x];
            row[x] = own.max(before).max(row.get(x + 1).copied().unwrap_or(0.0));
            before = own;
        }
    }
    let (mut before, mut own) = (vec![0.0f32; width], vec![0.0f32; width]);
    for start in (0..values.len()).step_by(width) {
        let (row, after) = values[start..].split_at_mut(width);
        own.copy_from_slice(row);
        for (value, before) in row.iter_mut().zip(&before) {
            *value = value.max(*before);
        }
        for (value, after) in row.iter_mut().zip(after) {
            *value = value.max(*after);
        }
        std::mem::swap(&mut before, &mut own);
    }
}

/// The mean R, G, B along the border; `None` for an empty or broken picture.
#[inline(always)]
fn ring_mean(image: &RgbImage) -> Option<[f32; 3]> {
    let &RgbImage { width, height, ref data } = image;
    let ring = |length: usize| ((length as f32 * RING).ceil() as usize).max(1);
    let (across, down) = (ring(width), ring(height));
    let (mut sum, mut count) = ([0u64; 3], 0);
    let mut add = |pixels: &[[u8; 3]]| {
        pixels.iter().for_each(|rgb| (0..3).for_each(|n| sum[n] += u64::from(rgb[n])));
        count += pixels.len();
    };
    let (pixels, _) = data.as_chunks();
    for (y, row) in pixels.chunks_exact(width.max(1)).enumerate() {
        if y < down || y + down >= height || 2 * across >= width {
            add(row);
        } else {
            add(&row[..across]);
            add(&row[width - across..]);
        }
    }
    (count > 0).then(|| sum.map(|sum| sum as f32 / count as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_around_a_place_is_found_across_and_down() {
        let mut values = vec![0.0; 20];
        values[7] = 3.0;
        most_around(5, &mut values);
        let expected: Vec<f32> =
            (0..20).map(|k| if (1..4).contains(&(k % 5)) && k / 5 < 3 { 3.0 } else { 0.0 }).collect();
        assert_eq!(values, expected);
    }

    #[test]
    fn the_ring_leaves_the_middle_out() {
        let mut image = RgbImage { width: 32, height: 16, data: vec![50; 32 * 16 * 3] };
        for y in 1..15 {
            for x in 2..30 {
                image.data[(y * 32 + x) * 3] = 255;
            }
        }
        assert_eq!(ring_mean(&image), Some([50.0; 3]));
        assert_eq!(ring_mean(&RgbImage { width: 0, height: 0, data: vec![] }), None);
    }
}
