// SPDX-License-Identifier: MPL-2.0
//! Pasting a picture: the generated crop, laid over the frame.

use super::cover::Cover;
use super::place::{Place, WHOLE};
use crate::face_meta::{Face, Patch, RgbImage};
use crate::geometry::Affine;
use crate::model::manifest::Detail;
use crate::pixels::{Canvas, ColorMap, Rows, Tile, blend, taps};

/// The ring along the border that `match_color` compares, as a fraction of the picture.
const RING: f32 = 1.0 / 16.0;

/// Levels (of 255) by which a picture differs from the original crop where none of the frame's own detail fits it any more.
/// With half of that, skin that a network has redrawn loses its texture; with twice that, the old lips shine through.
const FOREIGN: f32 = 40.0;

/// How a picture is laid over the frame.
#[derive(Clone, Debug)]
pub struct Style {
    pub cover: Cover,
    pub detail: Detail,
    /// Shift the picture's mean colour to that of the original along the border.
    pub match_color: bool,
    /// 0..1
    pub opacity: f32,
}

/// Lays `patch` over the canvas. The error says what is wrong with the patch.
pub fn paste(canvas: &mut Canvas, face: &Face, patch: &Patch, style: &Style) -> Result<(), String> {
    let &Patch { width, height, ref data } = patch;
    let Some(new) = pixels(patch).filter(|pixels| !pixels.is_empty()) else {
        return Err(format!("its picture of {width} × {height} has {} bytes", data.len()));
    };
    let Some(place) = Place::of(face) else { return Ok(()) };
    let shift = match (style.match_color, ring_mean(&face.crop), ring_mean(patch)) {
        (true, Some(old), Some(new)) => [old[0] - new[0], old[1] - new[1], old[2] - new[2]],
        _ => [0.0; 3],
    };
    let old = (style.detail == Detail::Frame).then(|| stretched(&face.crop, width, height)).flatten();
    let Some(picture) = Picture::new([width, height], new, shift, old, canvas.color()) else { return Ok(()) };
    let groups: &[&[usize]] = if canvas.subsampled() { &[&[0], &[1, 2]] } else { &[&[0, 1, 2]] };
    for group in groups {
        paste_components(canvas, group, &place, &picture, style);
    }
    Ok(())
}

/// The pixels of `image`, R, G, B; `None` where it has not as many bytes as its size says.
fn pixels(image: &RgbImage) -> Option<Vec<[f32; 3]>> {
    let &RgbImage { width, height, ref data } = image;
    let fits = width.checked_mul(height).and_then(|n| n.checked_mul(3)) == Some(data.len());
    fits.then(|| data.as_chunks().0.iter().map(|rgb: &[u8; 3]| rgb.map(f32::from)).collect())
}

/// The pixels of `image`, stretched to another size; `None` where it is empty or broken.
fn stretched(image: &RgbImage, width: usize, height: usize) -> Option<Vec<[f32; 3]>> {
    if [image.width, image.height] == [width, height] {
        return pixels(image).filter(|pixels| !pixels.is_empty());
    }
    let tile = Tile::of_rgb(image)?;
    let (sx, sy) = (image.width as f32 / width as f32, image.height as f32 / height as f32);
    let at = |x: usize, y: usize| tile.between((x as f32 + 0.5) * sx - 0.5, (y as f32 + 0.5) * sy - 0.5);
    Some((0..height).flat_map(|y| (0..width).map(move |x| at(x, y)).collect::<Vec<_>>()).collect())
}

/// A generated picture in the frame's components.
struct Picture {
    /// Width and height.
    size: Affine,
    new: [Tile<1>; 3],
    old: Option<Old>,
}

/// The original crop, where the frame's detail is wanted.
struct Old {
    components: [Tile<1>; 3],
    /// How far the new picture agrees with it, 0..1.
    agreement: Tile<1>,
}

impl Picture {
    /// From pixels of R, G, B, to which `shift` is added; `None` where there are none.
    fn new(
        [width, height]: [usize; 2],
        mut new: Vec<[f32; 3]>,
        shift: [f32; 3],
        old: Option<Vec<[f32; 3]>>,
        color: &ColorMap,
    ) -> Option<Self> {
        if shift != [0.0; 3] {
            for pixel in &mut new {
                *pixel = std::array::from_fn(|n| (pixel[n] + shift[n]).clamp(0.0, 255.0));
            }
        }
        // Without a crop there is nothing to compare with.
        let old = match old {
            None => None,
            Some(old) => {
                let difference =
                    |(a, b): (&[f32; 3], &[f32; 3])| (0..3).fold(0.0f32, |most, n| most.max((a[n] - b[n]).abs()));
                let mut agreement: Vec<f32> = new.iter().zip(&old).map(difference).collect();
                most_around(width, &mut agreement);
                agreement.iter_mut().for_each(|value| *value = (1.0 - *value / FOREIGN).max(0.0));
                let agreement = Tile::new([0, 0], width, height, |y, row| {
                    row.as_flattened_mut().copy_from_slice(&agreement[y * width..][..width])
                })?;
                Some(Old { components: components(width, height, old, color)?, agreement })
            }
        };
        let size = Affine::scale(width as f32, height as f32);
        Some(Self { size, new: components(width, height, new, color)?, old })
    }
}

/// Pixels of R, G, B as planes of the frame's components.
#[multiversion::multiversion(targets("x86_64+avx2+fma+bmi1+bmi2"))]
fn components(width: usize, height: usize, mut pixels: Vec<[f32; 3]>, color: &ColorMap) -> Option<[Tile<1>; 3]> {
    pixels.iter_mut().for_each(|pixel| *pixel = color.from_rgb(*pixel));
    let plane = |n: usize| {
        Tile::new([0, 0], width, height, |y, row| {
            row.iter_mut().zip(&pixels[y * width..]).for_each(|(sample, pixel)| *sample = [pixel[n]]);
        })
    };
    Some([plane(0)?, plane(1)?, plane(2)?])
}

/// Each place gets the largest value of the 3 × 3 around it: where two pictures cross, a lone place may look the same.
#[multiversion::multiversion(targets("x86_64+avx2+fma+bmi1+bmi2"))]
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

/// Pastes the components `group`, which have the same subsampling.
#[multiversion::multiversion(targets("x86_64+avx2+fma+bmi1+bmi2"))]
fn paste_components(canvas: &mut Canvas, group: &[usize], place: &Place, picture: &Picture, style: &Style) {
    let layout = canvas.layouts()[group[0]];
    let (columns, rows) = place.samples(&layout, WHOLE, [0.0; 4]);
    let to_fraction = place.samples_to_fractions(&layout);
    let step = [to_fraction.0[0], to_fraction.0[3]];
    let to_picture = to_fraction.then(&picture.size);
    // A sample reaches half a step to each side of its centre, and a pixel's centre is half a pixel from its corner.
    let corner = Affine([1.0, 0.0, -0.5, 0.0, 1.0, -0.5]);
    let from_corner = corner.then(&to_picture).then(&corner);
    let taps = taps(&to_picture);
    let seen = |tile| Rows::new(tile, &from_corner, columns.clone(), &taps);
    let source = |&n: &usize| (n, seen(&picture.new[n]), picture.old.as_ref().map(|old| seen(&old.components[n])));
    let mut sources: Vec<_> = group.iter().map(source).collect();

    let mut agreements = picture.old.as_ref().map(|old| seen(&old.agreement));
    let [mut weights, mut new, mut old, mut agreement] = std::array::from_fn(|_| vec![0.0; columns.len()]);
    let mut samples = vec![[0]; columns.len()];
    for y in rows {
        style.cover.row(to_fraction.apply([columns.start as f32, y as f32]), step, &mut weights);
        let shown = |weight: &f32| *weight > 0.0;
        let Some(start) = weights.iter().position(shown) else { continue };
        let end = weights.iter().rposition(shown).unwrap_or(start) + 1;
        let x = columns.start + start;
        let [weights, new, old, agreement] =
            [&mut weights, &mut new, &mut old, &mut agreement].map(|row| &mut row[start..end]);
        let samples = &mut samples[start..end];
        weights.iter_mut().for_each(|weight| *weight *= style.opacity);
        if let Some(agreements) = &mut agreements {
            agreements.row(x, y, agreement);
        }
        for (n, new_rows, old_rows) in &mut sources {
            new_rows.row(x, y, new);
            canvas.read(*n, x, y, samples);
            if let Some(old_rows) = old_rows {
                old_rows.row(x, y, old);
                // What the frame has that its crop has not.
                for (((new, old), agreement), [was]) in new.iter_mut().zip(&*old).zip(&*agreement).zip(&*samples) {
                    *new += agreement * (f32::from(*was) - old);
                }
            }
            blend(samples, new.as_chunks().0, weights);
            canvas.write(*n, x, y, samples);
        }
    }
}

/// The mean R, G, B along the border; `None` for an empty or broken picture.
fn ring_mean(image: &RgbImage) -> Option<[f32; 3]> {
    let &RgbImage { width, height, ref data } = image;
    let ring = |length: usize| ((length as f32 * RING).ceil() as usize).max(1);
    let (across, down) = (ring(width), ring(height));
    let (mut sum, mut count) = ([0u64; 3], 0u64);
    for (k, rgb) in data.chunks_exact(3).enumerate() {
        let (x, y) = (k % width.max(1), k / width.max(1));
        if x < across || x + across >= width || y < down || y + down >= height {
            for n in 0..3 {
                sum[n] += rgb[n] as u64;
            }
            count += 1;
        }
    }
    (count > 0).then(|| sum.map(|s| s as f32 / count as f32))
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
