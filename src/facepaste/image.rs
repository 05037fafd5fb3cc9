// SPDX-License-Identifier: MPL-2.0
//! Pasting a picture: the generated crop, laid over the frame.

use super::cover::Cover;
use super::place::{Place, WHOLE};
use crate::face_meta::{Face, Patch, RgbImage};
use crate::geometry::Affine;
use crate::model::manifest::Detail;
use crate::pixels::{Canvas, ColorMap, Tile, taps};

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
    let Some(rgb) = Tile::of_rgb(patch) else {
        return Err(format!("its picture of {width} × {height} has {} bytes", data.len()));
    };
    let Some(place) = Place::of(face) else { return Ok(()) };
    let shift = match (style.match_color, ring_mean(&face.crop), ring_mean(patch)) {
        (true, Some(old), Some(new)) => [old[0] - new[0], old[1] - new[1], old[2] - new[2]],
        _ => [0.0; 3],
    };
    let Some(picture) = Picture::new(width, height, &rgb, shift, &face.crop, style.detail, canvas.color()) else {
        return Ok(());
    };
    if canvas.subsampled() {
        paste_components::<1>(canvas, 0, &place, &picture, style);
        paste_components::<2>(canvas, 1, &place, &picture, style);
    } else {
        paste_components::<3>(canvas, 0, &place, &picture, style);
    }
    Ok(())
}

/// A generated picture in the frame's components.
struct Picture {
    /// Width and height.
    size: Affine,
    new: Tile<3>,
    /// The original crop, where the frame's detail is wanted: with how far the new picture agrees with it, 0..1.
    old: Option<Tile<4>>,
}

impl Picture {
    /// From R, G, B of the patch, to which `shift` is added.
    fn new(
        width: usize,
        height: usize,
        patch: &Tile<3>,
        shift: [f32; 3],
        crop: &RgbImage,
        detail: Detail,
        color: &ColorMap,
    ) -> Option<Self> {
        let new = |x: usize, y: usize| {
            let rgb = patch.between(x as f32, y as f32);
            [0, 1, 2].map(|n| (rgb[n] + shift[n]).clamp(0.0, 255.0))
        };
        // Where the crop has another size it is stretched; without a crop there is nothing to compare with.
        let crop = (detail == Detail::Frame).then_some(crop).and_then(|c| Some((Tile::of_rgb(c)?, c.width, c.height)));
        let old = crop.and_then(|(tile, crop_width, crop_height)| {
            let (sx, sy) = (crop_width as f32 / width as f32, crop_height as f32 / height as f32);
            let old = |x: usize, y: usize| tile.between((x as f32 + 0.5) * sx - 0.5, (y as f32 + 0.5) * sy - 0.5);
            let difference = |k: usize| {
                let (a, b) = (new(k % width, k / width), old(k % width, k / width));
                (0..3).fold(0.0f32, |most, n| most.max((a[n] - b[n]).abs()))
            };
            let differences = most_around(width, (0..width * height).map(difference).collect());
            Tile::new([0, 0], width, height, |y, row| {
                for (x, sample) in row.iter_mut().enumerate() {
                    let [a, b, c] = color.from_rgb(old(x, y));
                    *sample = [a, b, c, (1.0 - differences[y * width + x] / FOREIGN).max(0.0)];
                }
            })
        });
        let new = Tile::new([0, 0], width, height, |y, row| {
            row.iter_mut().enumerate().for_each(|(x, sample)| *sample = color.from_rgb(new(x, y)));
        })?;
        Some(Self { size: Affine::scale(width as f32, height as f32), new, old })
    }
}

/// Each place gets the largest value of the 3 × 3 around it: where two pictures cross, a lone place may look the same.
fn most_around(width: usize, values: Vec<f32>) -> Vec<f32> {
    let over = |values: &[f32], step: usize, joined: &dyn Fn(usize) -> [bool; 2]| -> Vec<f32> {
        let most = |k: usize| {
            let [before, after] = joined(k);
            let before = if before { values[k - step] } else { 0.0 };
            let after = if after { values[k + step] } else { 0.0 };
            values[k].max(before).max(after)
        };
        (0..values.len()).map(most).collect()
    };
    let length = values.len();
    let across = over(&values, 1, &|k| [k % width > 0, k % width + 1 < width]);
    over(&across, width, &|k| [k >= width, k + width < length])
}

fn paste_components<const N: usize>(
    canvas: &mut Canvas,
    first: usize,
    place: &Place,
    picture: &Picture,
    style: &Style,
) {
    let layout = canvas.layouts()[first];
    let (columns, rows) = place.samples(&layout, WHOLE, [0.0; 4]);
    let to_fraction = place.samples_to_fractions(&layout);
    let step = [to_fraction.0[0], to_fraction.0[3]];
    let to_picture = to_fraction.then(&picture.size);
    // A sample reaches half a step to each side of its centre, and a pixel's centre is half a pixel from its corner.
    let corner = Affine([1.0, 0.0, -0.5, 0.0, 1.0, -0.5]);
    let from_corner = corner.then(&to_picture).then(&corner);
    let taps = taps(&to_picture);
    let share = 1.0 / taps.len() as f32;
    let mut weights = vec![0.0; columns.len()];
    let mut samples = vec![[0; N]; columns.len()];
    for y in rows {
        style.cover.row(to_fraction.apply([columns.start as f32, y as f32]), step, &mut weights);
        let shown = |weight: &f32| *weight > 0.0;
        let Some(start) = weights.iter().position(shown) else { continue };
        let end = weights.iter().rposition(shown).unwrap_or(start) + 1;
        let row = &mut samples[start..end];
        canvas.read(first, columns.start + start, y, row);
        for (k, (sample, weight)) in row.iter_mut().zip(&weights[start..end]).enumerate().filter(|(_, (_, w))| shown(w))
        {
            let weight = style.opacity * weight;
            let p = from_corner.apply([(columns.start + start + k) as f32, y as f32]);
            let (mut new, mut old) = ([0.0; 3], [0.0; 4]);
            for [dx, dy] in &taps {
                let value = picture.new.between(p[0] + dx, p[1] + dy);
                for n in 0..3 {
                    new[n] += value[n] * share;
                }
                if let Some(tile) = &picture.old {
                    let value = tile.between(p[0] + dx, p[1] + dy);
                    for n in 0..4 {
                        old[n] += value[n] * share;
                    }
                }
            }
            let agreement = old[3];
            for n in 0..N {
                let was = sample[n] as f32;
                let detail = agreement * (was - old[first + n]);
                // `as` saturates.
                sample[n] = (was + weight * (new[first + n] + detail - was) + 0.5) as u8;
            }
        }
        canvas.write(first, columns.start + start, y, row);
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
        let most = most_around(5, values);
        let expected: Vec<f32> =
            (0..20).map(|k| if (1..4).contains(&(k % 5)) && k / 5 < 3 { 3.0 } else { 0.0 }).collect();
        assert_eq!(most, expected);
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
