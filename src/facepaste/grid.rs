// SPDX-License-Identifier: MPL-2.0
//! The grid of a warp: what its cells show, and what is known at its points.

use std::ops::Range;

use wide::f32x4;

use super::inside::Inside;
use super::place::Place;
use crate::face_meta::Warp;
use crate::geometry::Affine;
use crate::pixels::{Canvas, Fixed, Layout};

/// Samples that move less are not moved: a level at most, where neighbours differ by no more than 64.
const STILL: f32 = 1.0 / 64.0;

/// What a cell of the grid shows, so that most samples cost little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Content {
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

#[derive(Clone, Copy)]
pub enum Side {
    Upper,
    Lower,
}

/// What is known at a grid point, next to each other so that one interpolation gives all of it. Of a side: displacement x, y
/// in samples, coverage by this side before clamping, weight. Of the mouth's inside: three components, premultiplied, and
/// alpha.
pub type Knot = f32x4;
pub const COVER: usize = 2;
pub const WEIGHT: usize = 3;

/// The knots of those rows of the grid that count.
pub struct Knots {
    pub values: Vec<Knot>,
    pub width: usize,
    /// Of the first knot, in the whole grid.
    pub start: usize,
}

impl Knots {
    /// What there is at `place` (0..1 across and down) in the cell whose upper left corner is grid point `cell`.
    #[inline(always)]
    pub fn between(&self, cell: usize, place: [f32; 2]) -> Knot {
        let cell = cell - self.start;
        let (top, bottom) = (&self.values[cell..cell + 2], &self.values[cell + self.width..cell + self.width + 2]);
        let [x, y] = place.map(f32x4::splat);
        let top = top[0] + (top[1] - top[0]) * x;
        let bottom = bottom[0] + (bottom[1] - bottom[0]) * x;
        top + (bottom - top) * y
    }
}

/// A warp on its way into a frame.
pub struct Grid<'a> {
    warp: &'a Warp,
    pub place: &'a Place,
    pub cells: Cells,
    pub inside: Inside,
}

impl<'a> Grid<'a> {
    /// `warp` has been checked. `None` where it leaves the frame as it is.
    pub fn new(warp: &'a Warp, place: &'a Place, canvas: &Canvas) -> Option<Self> {
        let cells = Cells::of(warp, place, canvas.layouts())?;
        let inside = Inside::of(warp, &cells, canvas.color());
        Some(Self { warp, place, cells, inside })
    }

    /// The knots of one side, for components of one layout.
    pub fn knots(&self, side: Side, layout: &Layout, opacity: f32) -> Knots {
        let (warp, points) = (self.warp, self.cells.points());
        let count = warp.width * warp.height;
        let plane = |planes: &'a [f32], n: usize| &planes[n * count..][points.clone()];
        let displacement = match side {
            Side::Upper => &warp.upper,
            Side::Lower => &warp.lower,
        };
        let [x, y] = [0, 1].map(|axis| plane(displacement, axis));
        let (edge, weight) = (plane(&warp.edges, side as usize), plane(&warp.weight, 0));
        // An edge is one sample wide: of luma where the luma is, of chroma where the chroma is.
        let (vector, scale) = (self.place.vectors(layout), edge_scale(self.place, layout));
        let knot = |(((x, y), edge), weight): (((&f32, &f32), &f32), &f32)| {
            let [x, y] = vector([x, y].map(|d| d.clamp(-1.0, 1.0)));
            [x, y, edge.clamp(-4.0, 4.0) * scale + 0.5, weight.clamp(0.0, 1.0) * opacity].into()
        };
        let values = x.iter().zip(y).zip(edge).zip(weight).map(knot).collect();
        Knots { values, width: warp.width, start: points.start }
    }
}

/// Samples of a component to the width of the crop.
fn edge_scale(place: &Place, layout: &Layout) -> f32 {
    let [x, y] = place.vectors(layout)([1.0, 0.0]);
    x.hypot(y)
}

/// What the cells show.
pub struct Cells {
    width: usize,
    height: usize,
    /// Each at the index of its upper left grid point.
    contents: Vec<Content>,
    /// In each row, from the first to the last cell that does not show the frame as it is.
    spans: Vec<Range<usize>>,
    /// The rows that have such a cell.
    rows: Range<usize>,
}

impl Cells {
    /// `None` where all cells show the frame as it is.
    fn of(warp: &Warp, place: &Place, layouts: &[Layout; 3]) -> Option<Self> {
        let &Warp { width, height, .. } = warp;
        let points = points(warp, place, layouts);
        // Beyond the last column and row no cell begins; what they are given is never looked at.
        let beside = points.iter().zip(&points[1..]).map(|(a, b)| a & b).chain([0]).collect::<Vec<_>>();
        let all = beside.iter().zip(&beside[width..]).map(|(a, b)| a & b);
        let contents: Vec<Content> = all.map(content).collect();
        let changes = |content: &Content| *content != Content::Same;
        let span = |row: &[Content]| {
            let row = &row[..width - 1];
            row.iter().position(changes).map_or(0..0, |first| first..row.iter().rposition(changes).unwrap_or(first) + 1)
        };
        let spans: Vec<Range<usize>> = contents.chunks_exact(width).map(span).collect();
        let first = spans.iter().position(|span| !span.is_empty())?;
        let last = spans.iter().rposition(|span| !span.is_empty())?;
        Some(Self { width, height, contents, spans, rows: first..last + 1 })
    }

    /// The grid points at the corners of cells that change, and those between them.
    fn points(&self) -> Range<usize> {
        self.rows.start * self.width..(self.rows.end + 1) * self.width
    }

    /// The rows that have a cell where something may show between the lips; none where they are closed.
    pub fn open_rows(&self) -> Range<usize> {
        let start = self.rows.start * self.width;
        let all = self.contents.get(start..self.rows.end * self.width).unwrap_or_default();
        let open = |content: &Content| *content == Content::Both;
        let row = |at: usize| (start + at) / self.width;
        match (all.iter().position(open), all.iter().rposition(open)) {
            (Some(first), Some(last)) => row(first)..row(last) + 1,
            _ => 0..0,
        }
    }

    /// The smallest rectangle around the cells that change, in crop fractions: left, top, right, bottom.
    pub fn part(&self) -> [f32; 4] {
        let spans = || self.spans.iter().filter(|span| !span.is_empty());
        let left = spans().map(|span| span.start).min().unwrap_or(0);
        let right = spans().map(|span| span.end).max().unwrap_or(0);
        let [across, down] = [self.width - 1, self.height - 1].map(|cells| cells as f32);
        [left as f32 / across, self.rows.start as f32 / down, right as f32 / across, self.rows.end as f32 / down]
    }

    /// From crop fractions to grid points.
    pub fn fractions_to_grid(&self) -> Affine {
        Affine::scale((self.width - 1) as f32, (self.height - 1) as f32)
    }

    /// Of the samples `columns` in row `y` of a component, those that may lie in a cell that changes.
    pub fn columns(&self, to_grid: &Affine, columns: Range<usize>, y: usize) -> Range<usize> {
        let none = columns.start..columns.start;
        if columns.is_empty() {
            return none;
        }
        let [[left, top], [_, bottom]] = [columns.start, columns.end - 1].map(|x| to_grid.apply([x as f32, y as f32]));
        // Casting saturates. One cell more, for rounding.
        let first = (top.min(bottom) - 1.0) as usize;
        let last = (top.max(bottom) + 1.0) as usize;
        let rows = first.clamp(self.rows.start, self.rows.end)..(last + 1).clamp(self.rows.start, self.rows.end);
        let spans = self.spans.get(rows).unwrap_or_default().iter().filter(|span| !span.is_empty());
        let Some(span) = spans.cloned().reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)) else { return none };
        let step = to_grid.0[0];
        if step.abs() < 1e-3 {
            return columns;
        }
        // One sample more, for rounding.
        let at = |cell: usize| (cell as f32 - left) / step;
        let (a, b) = (at(span.start), at(span.end));
        let [low, high] = [a.min(b) - 2.0, a.max(b) + 3.0].map(|x| (x as usize).min(columns.len()));
        columns.start + low..columns.start + high
    }

    /// What shows at a point of the grid, the index of its cell, and its place in that; `None` outside.
    #[inline(always)]
    pub fn at(&self, point: [Fixed; 2]) -> Option<(Content, usize, [f32; 2])> {
        let [i, j] = point.map(|v| (v >> 32) as usize);
        // Negative numbers have become very large ones.
        if i >= self.width - 1 || j >= self.height - 1 {
            return None;
        }
        let cell = j * self.width + i;
        // Of the fraction's bits those that f32 has.
        Some((self.contents[cell], cell, point.map(|v| (v as u32 >> 8) as i32 as f32 * (1.0 / (1 << 24) as f32))))
    }
}

/// What a cell shows at whose corners all of `bits` hold.
const fn content(bits: u8) -> Content {
    const UPPER_SAME: u8 = holds::UPPER | holds::UPPER_STILL;
    const LOWER_SAME: u8 = holds::LOWER | holds::LOWER_STILL;
    if bits & holds::NO_WEIGHT != 0 || bits & UPPER_SAME == UPPER_SAME || bits & LOWER_SAME == LOWER_SAME {
        Content::Same
    } else if bits & holds::UPPER != 0 {
        Content::Upper
    } else if bits & holds::LOWER != 0 {
        Content::Lower
    } else {
        Content::Both
    }
}

/// What holds at the grid points.
fn points(warp: &Warp, place: &Place, layouts: &[Layout; 3]) -> Vec<u8> {
    let count = warp.width * warp.height;
    let [[ux, uy], [lx, ly], [upper, lower]] =
        [&warp.upper, &warp.lower, &warp.edges].map(|planes| [0, 1].map(|n| &planes[n * count..][..count]));
    let weight = &warp.weight[..count];
    // What moves in no component moves least in the finest one; where only one side shows in all of them, it does in the
    // coarsest one.
    let vector = place.vectors(&layouts[0]);
    let half = 0.5 / edge_scale(place, &layouts[1]);
    let still = |x: f32, y: f32| {
        let [x, y] = vector([x, y]);
        (x.abs() <= STILL) & (y.abs() <= STILL)
    };
    let bit = |holds: bool, bit: u8| u8::from(holds) * bit;
    (0..count)
        .map(|k| {
            bit(weight[k] <= 0.0, holds::NO_WEIGHT)
                | bit((upper[k] >= half) & (lower[k] <= -half), holds::UPPER)
                | bit((lower[k] >= half) & (upper[k] <= -half), holds::LOWER)
                | bit(still(ux[k], uy[k]), holds::UPPER_STILL)
                | bit(still(lx[k], ly[k]), holds::LOWER_STILL)
        })
        .collect()
}
