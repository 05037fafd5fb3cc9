// SPDX-License-Identifier: MPL-2.0
//! Pasting a warp: the frame's own pixels, moved.
//!
//! Above the upper lip's lower edge the frame shows itself displaced one way, below the lower lip's upper edge another way,
//! and between the two the inside of the mouth. Everything but the inside is the frame's own pixels at its own resolution.

use super::place::Place;
use crate::face_meta::{Face, Warp};
use crate::geometry::Affine;
use crate::pixels::{Canvas, Layout, Tile};

/// A finer grid than this cannot be meant.
const MAX_GRID: usize = 4096;

/// A pixel of which no more than this lies between the lips shows the lips only: less than a quarter of a level.
const SLIVER: f32 = 1e-3;

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
        if !values.iter().all(|v| v.is_finite()) {
            return Err(format!("{name} has a value that is no finite number"));
        }
    }
    Ok(())
}

/// What is known at a grid point, next to each other so that one interpolation gives all of it:
/// displacement of the upper and of the lower side in samples, coverage of both sides before clamping, weight.
type Knot = [f32; 8];
const UPPER: usize = 0;
const LOWER: usize = 2;
const COVER_UPPER: usize = 4;
const COVER_LOWER: usize = 5;
const WEIGHT: usize = 6;

fn knots(warp: &Warp, place: &Place, layout: &Layout, opacity: f32) -> Vec<Knot> {
    let count = warp.width * warp.height;
    let displacement = |n: usize, k: usize| {
        let d = |n: usize| warp.displacement[n * count + k].clamp(-1.0, 1.0);
        place.vector(layout, [d(n), d(n + 1)])
    };
    // An edge is one sample wide: of luma where the luma is, of chroma where the chroma is.
    let [x, y] = place.vector(layout, [1.0, 0.0]);
    let scale = x.hypot(y);
    (0..count)
        .map(|k| {
            let [ux, uy] = displacement(0, k);
            let [lx, ly] = displacement(2, k);
            let cover = |n: usize| warp.edges[n * count + k].clamp(-4.0, 4.0) * scale + 0.5;
            [ux, uy, lx, ly, cover(0), cover(1), warp.weight[k].clamp(0.0, 1.0) * opacity, 0.0]
        })
        .collect()
}

/// The mouth's inside in the frame's components, premultiplied, and its alpha.
fn inner(warp: &Warp, canvas: &Canvas) -> Vec<[f32; 4]> {
    let count = warp.width * warp.height;
    let color = canvas.color();
    let black = color.from_rgb([0.0; 3]);
    (0..count)
        .map(|k| {
            let [r, g, b, alpha] = std::array::from_fn(|n| warp.inner[n * count + k].clamp(0.0, 1.0));
            let value = color.from_rgb([r, g, b].map(|v| v * 255.0));
            // from_rgb adds black once, premultiplied colour has it alpha times.
            let value: [f32; 3] = std::array::from_fn(|n| value[n] - black[n] * (1.0 - alpha));
            [value[0], value[1], value[2], alpha]
        })
        .collect()
}

/// Bilinear interpolation on a grid.
#[derive(Clone, Copy)]
struct Cell {
    top: usize,
    bottom: usize,
    fx: f32,
    fy: f32,
}

impl Cell {
    /// The cell around grid coordinates (x, y), which lie within the grid.
    #[inline(always)]
    fn at(x: f32, y: f32, width: usize, height: usize) -> Self {
        let (x0, y0) = ((x as usize).min(width - 2), (y as usize).min(height - 2));
        let top = y0 * width + x0;
        Self { top, bottom: top + width, fx: x - x0 as f32, fy: y - y0 as f32 }
    }

    #[inline(always)]
    fn mix<const N: usize>(&self, knots: &[[f32; N]]) -> [f32; N] {
        let (top, bottom) = (&knots[self.top..self.top + 2], &knots[self.bottom..self.bottom + 2]);
        let [a, b, c, d] = [
            (1.0 - self.fx) * (1.0 - self.fy),
            self.fx * (1.0 - self.fy),
            (1.0 - self.fx) * self.fy,
            self.fx * self.fy,
        ];
        std::array::from_fn(|n| top[0][n] * a + top[1][n] * b + bottom[0][n] * c + bottom[1][n] * d)
    }
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
    let (columns, rows) = place.samples(&layout, [0.0; 4]);
    let knots = knots(warp, place, &layout, opacity);
    let (across, down) = place.samples(&layout, reach(&knots));
    let Some(source) = canvas.copy::<N>(first, across, down) else { return };
    let (right, bottom) = ((warp.width - 1) as f32, (warp.height - 1) as f32);
    let to_grid = place.samples_to_fractions(&layout).then(&Affine::scale(right, bottom));
    for y in rows {
        for x in columns.clone() {
            let [gx, gy] = to_grid.apply([x as f32, y as f32]);
            if !(gx >= 0.0 && gx <= right && gy >= 0.0 && gy <= bottom) {
                continue;
            }
            let cell = Cell::at(gx, gy, warp.width, warp.height);
            let knot = cell.mix(&knots);
            let weight = knot[WEIGHT];
            if weight <= 0.0 {
                continue;
            }
            let new = sample(&source, [x as f32, y as f32], &knot, || cell.mix(inner), first);
            let old = source.at(x, y);
            for n in 0..N {
                canvas.set(first + n, x, y, old[n] + weight * (new[n] - old[n]));
            }
        }
    }
}

/// How far beyond the crop the displacements read: left, right, top, bottom, in samples.
fn reach(knots: &[Knot]) -> [f32; 4] {
    let mut reach = [0.0f32; 4];
    for knot in knots {
        for side in [UPPER, LOWER] {
            for axis in 0..2 {
                let d = knot[side + axis];
                reach[2 * axis] = reach[2 * axis].max(-d);
                reach[2 * axis + 1] = reach[2 * axis + 1].max(d);
            }
        }
    }
    reach
}

/// The new components of the sample at `p`.
#[inline(always)]
fn sample<const N: usize>(
    source: &Tile<u8, N>,
    p: [f32; 2],
    knot: &Knot,
    inner: impl FnOnce() -> [f32; 4],
    first: usize,
) -> [f32; N] {
    let upper = || source.between(p[0] + knot[UPPER], p[1] + knot[UPPER + 1]);
    let lower = || source.between(p[0] + knot[LOWER], p[1] + knot[LOWER + 1]);
    let (mut u, mut l) = (knot[COVER_UPPER].clamp(0.0, 1.0), knot[COVER_LOWER].clamp(0.0, 1.0));
    if u + l > 1.0 {
        (u, l) = (u / (u + l), l / (u + l));
    }
    let between = 1.0 - u - l;
    if between > SLIVER {
        // What the sides leave free shows the inside, and behind it the nearer side.
        let inner = inner();
        let behind = between * (1.0 - inner[3]);
        let nearer = ((knot[COVER_UPPER] - knot[COVER_LOWER]) * 0.5 + 0.5).clamp(0.0, 1.0);
        u += behind * nearer;
        l += behind * (1.0 - nearer);
        let sides = mix(u, upper, l, lower);
        std::array::from_fn(|n| sides[n] + between * inner[first + n])
    } else {
        mix(u, upper, l, lower)
    }
}

/// u · upper + l · lower, sampling only what counts.
#[inline(always)]
fn mix<const N: usize>(u: f32, upper: impl Fn() -> [f32; N], l: f32, lower: impl Fn() -> [f32; N]) -> [f32; N] {
    if l <= 0.0 {
        return upper().map(|v| u * v);
    }
    if u <= 0.0 {
        return lower().map(|v| l * v);
    }
    let (a, b) = (upper(), lower());
    std::array::from_fn(|n| u * a[n] + l * b[n])
}
