// SPDX-License-Identifier: MPL-2.0
//! Pasting a warp: the frame's own pixels, moved.
//!
//! Above the upper lip's lower edge the frame shows itself displaced one way, below the lower lip's upper edge another way,
//! and between the two the inside of the mouth. Everything but the inside is the frame's own pixels at its own resolution.

use wide::f32x4;

use super::grid::{COVER, Content, Grid, Knot, Knots, Side, WEIGHT};
use super::place::Place;
use crate::face_meta::{Face, InnerGrid, Warp};
use crate::pixels::{Canvas, Tile, blend, walk};

/// A finer grid than this cannot be meant.
const MAX_GRID: usize = 4096;

/// A pixel of which no more than this lies between the lips shows the lips only: less than a quarter of a level.
const SLIVER: f32 = 1e-3;

/// Applies `warp` to the canvas, shown by `opacity` (0..1). The error says what is wrong with the warp.
pub fn paste(canvas: &mut Canvas, face: &Face, warp: &Warp, opacity: f32) -> Result<(), String> {
    check(warp)?;
    let Some(place) = Place::of(face) else { return Ok(()) };
    let Some(grid) = Grid::new(warp, &place, canvas) else { return Ok(()) };
    if canvas.subsampled() {
        paste_components::<1>(canvas, 0, &grid, opacity);
        paste_components::<2>(canvas, 1, &grid, opacity);
    } else {
        paste_components::<3>(canvas, 0, &grid, opacity);
    }
    Ok(())
}

fn check(warp: &Warp) -> Result<(), String> {
    let &Warp { width, height, .. } = warp;
    if !(2..=MAX_GRID).contains(&width) || !(2..=MAX_GRID).contains(&height) {
        return Err(format!("its grid is {width} × {height}, expected 2 to {MAX_GRID} each way"));
    }
    let (mut inner_width, mut inner_height) = (width, height);
    if let Some(InnerGrid { width, height, area }) = warp.inner_grid {
        if !(2..=MAX_GRID).contains(&width) || !(2..=MAX_GRID).contains(&height) {
            return Err(format!("the grid of its inside is {width} × {height}, expected 2 to {MAX_GRID} each way"));
        }
        let [left, top, right, bottom] = area;
        // Also where one of them is no number.
        if !(0.0 <= left && left < right && right <= 1.0 && 0.0 <= top && top < bottom && bottom <= 1.0) {
            return Err(format!("its inside spans {area:?}, expected left, top, right and bottom within 0 to 1"));
        }
        (inner_width, inner_height) = (width, height);
    }
    let planes = [
        ("upper", &warp.upper, 2, [width, height]),
        ("lower", &warp.lower, 2, [width, height]),
        ("edges", &warp.edges, 2, [width, height]),
        ("inner", &warp.inner, 4, [inner_width, inner_height]),
        ("weight", &warp.weight, 1, [width, height]),
    ];
    for (name, values, count, [width, height]) in planes {
        if values.len() != count * width * height {
            return Err(format!("{name} has {} values, expected {count} × {height} × {width}", values.len()));
        }
        // All of them are looked at: that the compiler can vectorise.
        if !values.iter().fold(true, |finite, v| finite & v.is_finite()) {
            return Err(format!("{name} has a value that is no finite number"));
        }
    }
    Ok(())
}

fn paste_components<const N: usize>(canvas: &mut Canvas, first: usize, grid: &Grid, opacity: f32) {
    let layout = canvas.layouts()[first];
    let (place, cells) = (grid.place, &grid.cells);
    let [upper, lower] = [Side::Upper, Side::Lower].map(|side| grid.knots(side, &layout, opacity));
    let (columns, rows) = place.samples(&layout, cells.part(), [0.0; 4]);
    let (across, down) = place.samples(&layout, cells.part(), reach(&upper, &lower));
    let Some(source) = canvas.copy::<N>(first, across, down) else { return };
    let to_grid = place.samples_to_fractions(&layout).then(&cells.fractions_to_grid());
    let mut row = vec![[0; N]; columns.len()];
    let (mut new, mut weights) = (vec![[0.0; N]; columns.len()], vec![0.0; columns.len()]);
    for y in rows {
        let columns = cells.columns(&to_grid, columns.clone(), y);
        if columns.is_empty() {
            // It may begin behind the last sample.
            continue;
        }
        let (row, new, weights) = (&mut row[..columns.len()], &mut new[..columns.len()], &mut weights[..columns.len()]);
        // What it is not set for stays as it is, whatever is left in `new`.
        weights.fill(0.0);
        let points = walk(&to_grid, columns.start as f32, y as f32);
        // Stepped instead of made anew: a vector put together from numbers costs more than the addition.
        let mut next = f32x4::from([columns.start as f32, y as f32, 0.0, 0.0]);
        for ((new, weight), point) in new.iter_mut().zip(&mut *weights).zip(points) {
            let here = next;
            next += f32x4::from([1.0, 0.0, 0.0, 0.0]);
            let Some((content, cell, inside)) = cells.at(point) else { continue };
            (*new, *weight) = match content {
                Content::Same => continue,
                Content::Upper => shift(&source, here, upper.between(cell, inside)),
                Content::Lower => shift(&source, here, lower.between(cell, inside)),
                Content::Both => {
                    let (upper, lower) = (upper.between(cell, inside), lower.between(cell, inside));
                    let inner = || grid.inside.at(point, cell, inside);
                    (join(&source, here, upper, lower, inner, first), upper.to_array()[WEIGHT])
                }
            };
        }
        canvas.read(first, columns.start, y, row);
        blend(row, new, weights);
        canvas.write(first, columns.start, y, row);
    }
}

/// How far beyond the crop the displacements read: left, right, top, bottom, in samples.
fn reach(upper: &Knots, lower: &Knots) -> [f32; 4] {
    let knots = || upper.values.iter().chain(&lower.values);
    let [right, bottom, ..] = knots().fold(f32x4::ZERO, |most, knot| most.fast_max(*knot)).to_array();
    let [left, top, ..] = knots().fold(f32x4::ZERO, |most, knot| most.fast_max(-*knot)).to_array();
    [left, right, top, bottom]
}

/// A sample that one side covers, and its weight.
#[inline(always)]
fn shift<const N: usize>(source: &Tile<N>, here: f32x4, knot: Knot) -> ([f32; N], f32) {
    // The knot's other two numbers are of no account there.
    let there = here + knot;
    // Skin must stay as sharp as around the warp. Colour at half the resolution has no detail to lose.
    let value = if N == 2 { source.at(there) } else { source.sharp_at(there) };
    (value, knot.to_array()[WEIGHT])
}

/// A sample where both sides, or neither, may be.
#[inline(always)]
fn join<const N: usize>(
    source: &Tile<N>,
    here: f32x4,
    upper: Knot,
    lower: Knot,
    inner: impl FnOnce() -> Knot,
    first: usize,
) -> [f32; N] {
    let [over, under] = [upper, lower].map(|side| side.to_array()[COVER]);
    let (mut u, mut l) = (over.clamp(0.0, 1.0), under.clamp(0.0, 1.0));
    if u + l > 1.0 {
        (u, l) = (u / (u + l), l / (u + l));
    }
    let between = 1.0 - u - l;
    let sides = |u: f32, l: f32| mix(u, || shift(source, here, upper).0, l, || shift(source, here, lower).0);
    if between > SLIVER {
        // What the sides leave free shows the inside, and behind it the nearer side.
        let inner = inner().to_array();
        let behind = between * (1.0 - inner[3]);
        let nearer = ((over - under) * 0.5 + 0.5).clamp(0.0, 1.0);
        let mut value = sides(u + behind * nearer, l + behind * (1.0 - nearer));
        for n in 0..N {
            value[n] += between * inner[first + n];
        }
        value
    } else {
        sides(u, l)
    }
}

/// u · upper + l · lower, sampling only what counts.
#[inline(always)]
fn mix<const N: usize>(u: f32, upper: impl Fn() -> [f32; N], l: f32, lower: impl Fn() -> [f32; N]) -> [f32; N] {
    if l <= 0.0 {
        return scale(u, upper());
    }
    if u <= 0.0 {
        return scale(l, lower());
    }
    let (mut a, b) = (scale(u, upper()), lower());
    for n in 0..N {
        a[n] += l * b[n];
    }
    a
}

#[inline(always)]
fn scale<const N: usize>(by: f32, mut values: [f32; N]) -> [f32; N] {
    for v in &mut values {
        *v *= by;
    }
    values
}
