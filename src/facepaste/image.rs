// SPDX-License-Identifier: MPL-2.0
//! Pasting a picture: the generated crop, laid over the frame.

use super::place::{Place, WHOLE};
use crate::face_meta::{Face, Patch, RgbImage};
use crate::geometry::Affine;
use crate::pixels::{Canvas, Tile, taps};

/// The ring along the border that `match_color` compares, as a fraction of the picture.
const RING: f32 = 1.0 / 16.0;

/// How a picture is laid over the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Width of the soft border as a fraction of the crop, 0 = none.
    pub feather: f32,
    /// Shift the picture's mean colour to that of the original along the border.
    pub match_color: bool,
    /// 0..1
    pub opacity: f32,
}

/// Lays `patch` over the canvas. The error says what is wrong with the patch.
pub fn paste(canvas: &mut Canvas, face: &Face, patch: &Patch, style: &Style) -> Result<(), String> {
    let &Patch { width, height, ref data } = patch;
    if width.checked_mul(height).and_then(|n| n.checked_mul(3)) != Some(data.len()) || data.is_empty() {
        return Err(format!("its picture of {width} × {height} has {} bytes", data.len()));
    }
    let Some(place) = Place::of(face) else { return Ok(()) };
    let shift = match (style.match_color, ring_mean(&face.crop), ring_mean(patch)) {
        (true, Some(old), Some(new)) => [old[0] - new[0], old[1] - new[1], old[2] - new[2]],
        _ => [0.0; 3],
    };
    let color = canvas.color();
    let picture = Tile::new([0, 0], width, height, |y, row: &mut [[f32; 3]]| {
        for (sample, rgb) in row.iter_mut().zip(data[y * width * 3..].chunks_exact(3)) {
            *sample = color.from_rgb(std::array::from_fn(|n| (rgb[n] as f32 + shift[n]).clamp(0.0, 255.0)));
        }
    });
    let Some(picture) = picture else { return Ok(()) };
    let size = Affine::scale(width as f32, height as f32);
    if canvas.subsampled() {
        paste_components::<1>(canvas, 0, &place, &picture, &size, style);
        paste_components::<2>(canvas, 1, &place, &picture, &size, style);
    } else {
        paste_components::<3>(canvas, 0, &place, &picture, &size, style);
    }
    Ok(())
}

fn paste_components<const N: usize>(
    canvas: &mut Canvas,
    first: usize,
    place: &Place,
    picture: &Tile<3>,
    size: &Affine,
    style: &Style,
) {
    let layout = canvas.layouts()[first];
    let (columns, rows) = place.samples(&layout, WHOLE, [0.0; 4]);
    let to_fraction = place.samples_to_fractions(&layout);
    let to_picture = to_fraction.then(size);
    // A sample reaches half a step to each side of its centre, and a pixel's centre is half a pixel from its corner.
    let corner = Affine([1.0, 0.0, -0.5, 0.0, 1.0, -0.5]);
    let from_corner = corner.then(&to_picture).then(&corner);
    let taps = taps(&to_picture);
    let share = 1.0 / taps.len() as f32;
    let mut row = vec![[0; N]; columns.len()];
    for y in rows {
        canvas.read(first, columns.start, y, &mut row);
        for (x, sample) in columns.clone().zip(&mut row) {
            let p = [x as f32, y as f32];
            let weight = style.opacity * cover(to_fraction.apply(p), style.feather);
            if weight <= 0.0 {
                continue;
            }
            let p = from_corner.apply(p);
            let mut new = [0.0; 3];
            for tap in &taps {
                let value = picture.between(p[0] + tap[0], p[1] + tap[1]);
                for n in 0..3 {
                    new[n] += value[n] * share;
                }
            }
            for n in 0..N {
                let old = sample[n] as f32;
                // `as` saturates.
                sample[n] = (old + weight * (new[first + n] - old) + 0.5) as u8;
            }
        }
        canvas.write(first, columns.start, y, &row);
    }
}

/// How much of the picture is shown at the crop fraction `p`: 0 outside, 1 inside, a smooth step over `feather`.
#[inline]
fn cover(p: [f32; 2], feather: f32) -> f32 {
    if !p.iter().all(|v| (0.0..=1.0).contains(v)) {
        return 0.0;
    }
    let border = p[0].min(1.0 - p[0]).min(p[1].min(1.0 - p[1]));
    if border >= feather {
        return 1.0;
    }
    let t = border / feather;
    t * t * (3.0 - 2.0 * t)
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
    fn the_border_is_as_soft_as_asked() {
        assert_eq!(cover([0.5, 0.0], 0.0), 1.0);
        assert_eq!(cover([0.5, -0.001], 0.0), 0.0);
        assert_eq!(cover([0.5, 1.001], 0.1), 0.0);
        assert_eq!(cover([0.05, 0.5], 0.1), 0.5);
        assert_eq!(cover([0.5, 0.9], 0.1), 1.0);
        assert_eq!(cover([f32::NAN, 0.5], 0.1), 0.0);
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
