// SPDX-License-Identifier: MPL-2.0
//! Pasting a warp: the frame's own pixels, moved.
//!
//! Above the upper lip's lower edge the frame shows itself displaced one way, below the lower lip's upper edge another way,
//! and between the two the inside of the mouth. Everything but the inside is the frame's own pixels at its own resolution.

use super::place::Place;
use crate::face_meta::{Face, Warp};
use crate::geometry::Affine;
use crate::pixels::{Canvas, Fixed, Layout, ONE, Tile, walk};

/// A finer grid than this cannot be meant.
const MAX_GRID: usize = 4096;

/// A pixel of which no more than this lies between the lips shows the lips only: less than a quarter of a level.
const SLIVER: f32 = 1e-3;

/// Samples that move less are not moved: less than a level, whatever the picture.
const STILL: f32 = 1.0 / 256.0;

/// Applies `warp` to the canvas, shown by `opacity` (0..1). The error says what is wrong with the warp.
pub fn paste(canvas: &mut Canvas, face: &Face, warp: &Warp, opacity: f32) -> Result<(), String> {
    check(warp)?;
    let Some(place) = Place::of(face) else { return Ok(()) };
    let inner = inner(warp, canvas);
    if canvas.subsampled() {
        paste_components::<1>(canvas, 0, &place, warp, &inner, opacity);
        paste_components::<2>(canvas, 1, &place, warp, &inner, opacity);
    } else {
        paste_components::<3>(canvas, 0, &place, warp, &inner, opacity);
    }
    Ok(())
}

fn check(warp: &Warp) -> Result<(), String> {
    let &Warp { width, height, .. } = warp;
    if !(2..=MAX_GRID).contains(&width) || !(2..=MAX_GRID).contains(&height) {
        return Err(format!("its grid is {width} × {height}, expected 2 to {MAX_GRID} each way"));
    }
    let planes = [
        ("upper and lower", &warp.displacement, 4),
        ("edges", &warp.edges, 2),
        ("inner", &warp.inner, 4),
        ("weight", &warp.weight, 1),
    ];
    for (name, values, count) in planes {
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

/// What is known of one side at a grid point, next to each other so that one interpolation gives all of it: displacement
/// x, y in samples, coverage by this side before clamping, weight.
type Knot = [f32; 4];
const COVER: usize = 2;
const WEIGHT: usize = 3;

/// The knots of one side: displacement planes `side`, `side + 1` and edge plane `side / 2`.
fn knots(warp: &Warp, side: usize, place: &Place, layout: &Layout, opacity: f32) -> Vec<Knot> {
    let count = warp.width * warp.height;
    // An edge is one sample wide: of luma where the luma is, of chroma where the chroma is.
    let [x, y] = place.vector(layout, [1.0, 0.0]);
    let scale = x.hypot(y);
    (0..count)
        .map(|k| {
            let d = |n: usize| warp.displacement[n * count + k].clamp(-1.0, 1.0);
            let [x, y] = place.vector(layout, [d(side), d(side + 1)]);
            let cover = warp.edges[side / 2 * count + k].clamp(-4.0, 4.0) * scale + 0.5;
            [x, y, cover, warp.weight[k].clamp(0.0, 1.0) * opacity]
        })
        .collect()
}

/// What a cell of the grid shows, so that most samples cost little.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    /// The frame as it is.
    Same,
    Upper,
    Lower,
    Both,
}

/// What holds at a grid point; bits, because a cell's content is what holds at all its corners.
mod holds {
    pub const NO_WEIGHT: u8 = 1;
    pub const UPPER: u8 = 2;
    pub const LOWER: u8 = 4;
    pub const UPPER_STILL: u8 = 8;
    pub const LOWER_STILL: u8 = 16;
}

/// The content of the cells, each at the index of its upper left grid point.
fn contents(width: usize, upper: &[Knot], lower: &[Knot]) -> Vec<Content> {
    let bit = |holds: bool, bit: u8| if holds { bit } else { 0 };
    let still = |knot: &Knot| knot[0].abs() <= STILL && knot[1].abs() <= STILL;
    let shows = |this: &Knot, other: &Knot| this[COVER] >= 1.0 && other[COVER] <= 0.0;
    let points = upper.iter().zip(lower).map(|(u, l)| {
        bit(u[WEIGHT] <= 0.0, holds::NO_WEIGHT)
            | bit(shows(u, l), holds::UPPER)
            | bit(shows(l, u), holds::LOWER)
            | bit(still(u), holds::UPPER_STILL)
            | bit(still(l), holds::LOWER_STILL)
    });
    let points: Vec<u8> = points.collect();
    let content = |k: usize| {
        // Beyond the last column and row nothing holds, and no cell begins there.
        let at = |k: usize| points.get(k).copied().unwrap_or(0);
        let all = points[k] & at(k + 1) & at(k + width) & at(k + width + 1);
        let has = |bits: u8| all & bits == bits;
        match () {
            _ if has(holds::NO_WEIGHT) => Content::Same,
            _ if has(holds::UPPER | holds::UPPER_STILL) || has(holds::LOWER | holds::LOWER_STILL) => Content::Same,
            _ if has(holds::UPPER) => Content::Upper,
            _ if has(holds::LOWER) => Content::Lower,
            _ => Content::Both,
        }
    };
    (0..points.len()).map(content).collect()
}

/// The smallest rectangle of cells around those whose content is not the frame's own, in crop fractions: left, top, right,
/// bottom. `None` where there is none.
fn changing(width: usize, height: usize, contents: &[Content]) -> Option<[f32; 4]> {
    let changes = |content: &Content| *content != Content::Same;
    let rows = || contents.chunks_exact(width).take(height - 1).map(|row| &row[..width - 1]);
    let top = rows().position(|row| row.iter().any(changes))?;
    let bottom = rows().rposition(|row| row.iter().any(changes))?;
    let left = rows().filter_map(|row| row.iter().position(changes)).min()?;
    let right = rows().filter_map(|row| row.iter().rposition(changes)).max()?;
    let [across, down] = [width - 1, height - 1].map(|cells| cells as f32);
    Some([left as f32 / across, top as f32 / down, (right + 1) as f32 / across, (bottom + 1) as f32 / down])
}

/// The mouth's inside in the frame's components, premultiplied, and its alpha.
fn inner(warp: &Warp, canvas: &Canvas) -> Vec<[f32; 4]> {
    let count = warp.width * warp.height;
    let color = canvas.color();
    let black = color.from_rgb([0.0; 3]);
    (0..count)
        .map(|k| {
            let [r, g, b, alpha] = std::array::from_fn(|n| warp.inner[n * count + k].clamp(0.0, 1.0));
            if [r, g, b, alpha] == [0.0; 4] {
                // Nothing, as it is almost everywhere.
                return [0.0; 4];
            }
            let value = color.from_rgb([r, g, b].map(|v| v * 255.0));
            // from_rgb adds black once, premultiplied colour has it alpha times.
            let value: [f32; 3] = std::array::from_fn(|n| value[n] - black[n] * (1.0 - alpha));
            [value[0], value[1], value[2], alpha]
        })
        .collect()
}

/// Shares of a cell's four corners (left and right, above and below) at a place inside it.
#[inline(always)]
fn shares(gx: Fixed, gy: Fixed, column: usize, row: usize) -> [f32; 4] {
    let fraction = |v: Fixed, cell: usize| (v - ((cell as Fixed) << 32)) as f32 * (1.0 / ONE as f32);
    let (x, y) = (fraction(gx, column), fraction(gy, row));
    let xy = x * y;
    [1.0 - x - y + xy, x - xy, y - xy, xy]
}

/// What `shares` makes of the four corners of the cell whose upper left one is `cell`.
#[inline(always)]
fn interpolate(knots: &[[f32; 4]], width: usize, cell: usize, shares: &[f32; 4]) -> [f32; 4] {
    let (top, bottom) = (&knots[cell..cell + 2], &knots[cell + width..cell + width + 2]);
    let mut mean = [0.0; 4];
    for n in 0..4 {
        mean[n] = top[0][n] * shares[0] + top[1][n] * shares[1] + bottom[0][n] * shares[2] + bottom[1][n] * shares[3];
    }
    mean
}

fn paste_components<const N: usize>(
    canvas: &mut Canvas,
    first: usize,
    place: &Place,
    warp: &Warp,
    inner: &[[f32; 4]],
    opacity: f32,
) {
    let layout = canvas.layouts()[first];
    let upper = knots(warp, 0, place, &layout, opacity);
    let lower = knots(warp, 2, place, &layout, opacity);
    let contents = contents(warp.width, &upper, &lower);
    let Some(part) = changing(warp.width, warp.height, &contents) else { return };
    let (columns, rows) = place.samples(&layout, part, [0.0; 4]);
    let (across, down) = place.samples(&layout, part, reach(&upper, &lower));
    let Some(source) = canvas.copy::<N>(first, across, down) else { return };
    let [right, bottom] = [warp.width - 1, warp.height - 1];
    let to_grid = place.samples_to_fractions(&layout).then(&Affine::scale(right as f32, bottom as f32));
    let mut row = vec![[0; N]; columns.len()];
    for y in rows {
        canvas.read(first, columns.start, y, &mut row);
        let grid = walk(&to_grid, columns.start as f32, y as f32);
        for ((x, sample), [gx, gy]) in columns.clone().zip(&mut row).zip(grid) {
            if gx < 0 || gy < 0 || gx > (right as Fixed) << 32 || gy > (bottom as Fixed) << 32 {
                continue;
            }
            let (i, j) = (((gx >> 32) as usize).min(right - 1), ((gy >> 32) as usize).min(bottom - 1));
            let cell = j * warp.width + i;
            let content = contents[cell];
            if content == Content::Same {
                continue;
            }
            let (x, y) = (x as f32, y as f32);
            let shares = shares(gx, gy, i, j);
            let knot = |knots: &[[f32; 4]]| interpolate(knots, warp.width, cell, &shares);
            let (new, weight) = match content {
                Content::Upper => shift(&source, x, y, knot(&upper)),
                Content::Lower => shift(&source, x, y, knot(&lower)),
                _ => {
                    let (upper, lower) = (knot(&upper), knot(&lower));
                    (join(&source, x, y, &upper, &lower, || knot(inner), first), upper[WEIGHT])
                }
            };
            for n in 0..N {
                let old = sample[n] as f32;
                // `as` saturates.
                sample[n] = (old + weight * (new[n] - old) + 0.5) as u8;
            }
        }
        canvas.write(first, columns.start, y, &row);
    }
}

/// How far beyond the crop the displacements read: left, right, top, bottom, in samples.
fn reach(upper: &[Knot], lower: &[Knot]) -> [f32; 4] {
    upper.iter().chain(lower).fold([0.0f32; 4], |[left, right, top, bottom], &[x, y, ..]| {
        [left.max(-x), right.max(x), top.max(-y), bottom.max(y)]
    })
}

/// A sample that one side covers, and its weight.
#[inline(always)]
fn shift<const N: usize>(source: &Tile<N>, x: f32, y: f32, knot: Knot) -> ([f32; N], f32) {
    let (x, y) = (x + knot[0], y + knot[1]);
    // Skin must stay as sharp as around the warp. Colour at half the resolution has no detail to lose.
    let value = if N == 2 { source.between(x, y) } else { source.between_sharp(x, y) };
    (value, knot[WEIGHT])
}

/// A sample where both sides, or neither, may be.
#[inline(always)]
fn join<const N: usize>(
    source: &Tile<N>,
    x: f32,
    y: f32,
    upper: &Knot,
    lower: &Knot,
    inner: impl FnOnce() -> [f32; 4],
    first: usize,
) -> [f32; N] {
    let (mut u, mut l) = (upper[COVER].clamp(0.0, 1.0), lower[COVER].clamp(0.0, 1.0));
    if u + l > 1.0 {
        (u, l) = (u / (u + l), l / (u + l));
    }
    let between = 1.0 - u - l;
    let sides = |u: f32, l: f32| mix(u, || shift(source, x, y, *upper).0, l, || shift(source, x, y, *lower).0);
    if between > SLIVER {
        // What the sides leave free shows the inside, and behind it the nearer side.
        let inner = inner();
        let behind = between * (1.0 - inner[3]);
        let nearer = ((upper[COVER] - lower[COVER]) * 0.5 + 0.5).clamp(0.0, 1.0);
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
