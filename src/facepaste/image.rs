// SPDX-License-Identifier: MPL-2.0
//! Pasting a picture: the generated crop, laid over the frame.

use super::cover::{Cover, Shown};
use super::picture::Picture;
use super::place::{Place, WHOLE};
use crate::face_meta::{Face, Patch};
use crate::geometry::Affine;
use crate::model::manifest::Detail;
use crate::pixels::{Canvas, Rows, blend, round, taps};

/// So many rows before it is its turn, a row is fetched from memory.
const AHEAD: usize = 4;

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
    let Some(picture) = Picture::of(patch, face, style, canvas.color()) else {
        return Err(format!("its picture of {width} × {height} has {} bytes", data.len()));
    };
    let Some(place) = Place::of(face) else { return Ok(()) };
    if canvas.subsampled() {
        paste_components::<1>(canvas, 0, &place, &picture, style);
        paste_components::<2>(canvas, 1, &place, &picture, style);
    } else {
        paste_components::<3>(canvas, 0, &place, &picture, style);
    }
    Ok(())
}

/// Pastes the components `first..first + N`, which have the same subsampling.
#[multiversion::multiversion(targets("x86_64+avx2+fma+bmi1+bmi2"))]
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
    let to_picture = to_fraction.then(&Affine::scale(picture.width as f32, picture.height as f32));
    // A sample reaches half a step to each side of its centre, and a pixel's centre is half a pixel from its corner.
    let corner = Affine([1.0, 0.0, -0.5, 0.0, 1.0, -0.5]);
    let from_corner = corner.then(&to_picture).then(&corner);
    let taps = taps(&to_picture);

    let Some((new, old)) = picture.tiles::<N>(first) else { return };
    let mut new_rows = Rows::new(&new, &from_corner, columns.clone(), &taps);
    let mut old_rows = old.as_ref().map(|(old, agreement)| {
        let rows = Rows::new(old, &from_corner, columns.clone(), &taps);
        (rows, Rows::new(agreement, &from_corner, columns.clone(), &taps))
    });

    let [mut weights, mut agreement] = [(); 2].map(|()| vec![0.0; columns.len()]);
    let [mut new, mut old] = [(); 2].map(|()| vec![[0.0; N]; columns.len()]);
    let mut samples = vec![[0; N]; columns.len()];
    let hides = style.opacity == 1.0 && old_rows.is_none();
    for y in rows {
        let start = to_fraction.apply([columns.start as f32, y as f32]);
        let Shown { shown, full } = style.cover.row(start, step, &mut weights);
        if shown.is_empty() {
            continue;
        }
        canvas.prefetch::<N>(first, columns.start + shown.start, y + AHEAD, shown.len());
        new_rows.row(columns.start + shown.start, y, &mut new[shown.clone()]);
        // Where nothing of the frame is left to be seen it is not read either.
        let full = if hides {
            full
        } else {
            weights[full].fill(1.0);
            shown.start..shown.start
        };
        round(&mut samples[full.clone()], &new[full.clone()]);
        for part in [shown.start..full.start, full.end..shown.end] {
            if part.is_empty() {
                continue;
            }
            let x = columns.start + part.start;
            let (samples, new, weights) =
                (&mut samples[part.clone()], &mut new[part.clone()], &mut weights[part.clone()]);
            canvas.read(first, x, y, samples);
            if let Some((old_rows, agreements)) = &mut old_rows {
                let (old, agreement) = (&mut old[part.clone()], &mut agreement[part]);
                old_rows.row(x, y, old);
                agreements.row(x, y, agreement.as_chunks_mut().0);
                // What the frame has that its crop has not.
                for (((new, old), agreement), was) in new.iter_mut().zip(&*old).zip(&*agreement).zip(&*samples) {
                    for n in 0..N {
                        new[n] += agreement * (f32::from(was[n]) - old[n]);
                    }
                }
            }
            weights.iter_mut().for_each(|weight| *weight *= style.opacity);
            blend(samples, new, weights);
        }
        canvas.write(first, columns.start + shown.start, y, &samples[shown]);
    }
}
