// SPDX-License-Identifier: MPL-2.0
//! The inside of the mouth: on the grid of the warp, or on a finer one that spans the mouth alone.

use std::ops::Range;

use wide::f32x4;

use super::grid::{Cells, Knot, Knots};
use crate::face_meta::{InnerGrid, Warp};
use crate::pixels::{ColorMap, Fixed, ONE};

/// What shows between the lips. Its knots are the frame's components, premultiplied, and alpha.
pub struct Inside {
    knots: Knots,
    own: Option<Own>,
}

/// A grid of its own.
struct Own {
    /// From points of the warp's grid to points of this one: by how much, and then to where, across and down.
    scale: [f32; 2],
    shift: [f32; 2],
    /// The last column and row.
    last: [f32; 2],
    /// The rows of cells that have knots.
    rows: Range<usize>,
}

impl Inside {
    /// `warp` has been checked; `cells` are those of its grid.
    pub fn of(warp: &Warp, cells: &Cells, color: &ColorMap) -> Self {
        let Some(grid) = warp.inner_grid else {
            let size = [warp.width, warp.height];
            return Self { knots: knots(warp, size, cells.open_rows(), color), own: None };
        };
        let InnerGrid { width, height, area: [left, top, right, bottom] } = grid;
        let last = [width - 1, height - 1].map(|cells| cells as f32);
        let per_fraction = [last[0] / (right - left), last[1] / (bottom - top)];
        let cells_across = [warp.width - 1, warp.height - 1].map(|cells| cells as f32);
        let scale = [0, 1].map(|axis| per_fraction[axis] / cells_across[axis]);
        let shift = [-left * per_fraction[0], -top * per_fraction[1]];
        // The rows that pixels may lie in, and one more on either side, for rounding. Casting saturates.
        let open = cells.open_rows();
        let [first, end] = [open.start, open.end].map(|row| row as f32 * scale[1] + shift[1]);
        let start = ((first - 1.0) as usize).min(height - 1);
        let end = if open.is_empty() { start } else { ((end + 2.0) as usize).clamp(start, height - 1) };
        let rows = start..end;
        let knots = knots(warp, [width, height], rows.clone(), color);
        Self { knots, own: Some(Own { scale, shift, last, rows }) }
    }

    /// What shows at `point` of the warp's grid, which lies in `cell` of that, at `place` (0..1 across and down).
    #[inline(always)]
    pub fn at(&self, point: [Fixed; 2], cell: usize, place: [f32; 2]) -> Knot {
        match &self.own {
            None => self.knots.between(cell, place),
            Some(own) => own.find(point).map_or(f32x4::ZERO, |(cell, place)| {
                let cell = cell[1] * self.knots.width + cell[0];
                self.knots.between(cell, place)
            }),
        }
    }
}

impl Own {
    /// The column and row of the cell in which a point of the warp's grid lies, and its place in that; `None` outside.
    #[inline(always)]
    fn find(&self, point: [Fixed; 2]) -> Option<([usize; 2], [f32; 2])> {
        let at = [0, 1].map(|axis| point[axis] as f32 * (1.0 / ONE as f32) * self.scale[axis] + self.shift[axis]);
        // What is no number is outside, too.
        if !(at[0] >= 0.0 && at[0] <= self.last[0] && at[1] >= 0.0 && at[1] <= self.last[1]) {
            return None;
        }
        // The last column and row of points are the end of the last cells.
        let cell = [0, 1].map(|axis| (at[axis] as usize).min(self.last[axis] as usize - 1));
        self.rows.contains(&cell[1]).then(|| (cell, [0, 1].map(|axis| at[axis] - cell[axis] as f32)))
    }
}

/// The knots around the rows of cells `rows` of the inside's grid, which is so many points across and down.
fn knots(warp: &Warp, [width, height]: [usize; 2], rows: Range<usize>, color: &ColorMap) -> Knots {
    let count = width * height;
    let points = if rows.is_empty() { 0..0 } else { rows.start * width..(rows.end + 1) * width };
    let black = color.from_rgb([0.0; 3]);
    let knot = |k: usize| {
        let [r, g, b, alpha] = std::array::from_fn(|n| warp.inner[n * count + k].clamp(0.0, 1.0));
        if [r, g, b, alpha] == [0.0; 4] {
            // Nothing, as it is almost everywhere.
            return f32x4::ZERO;
        }
        let value = color.from_rgb([r, g, b].map(|v| v * 255.0));
        // from_rgb adds black once, premultiplied colour has it alpha times.
        let value: [f32; 3] = std::array::from_fn(|n| value[n] - black[n] * (1.0 - alpha));
        [value[0], value[1], value[2], alpha].into()
    };
    Knots { start: points.start, values: points.map(knot).collect(), width }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(grid: [usize; 2], inner: [usize; 2], [left, top, right, bottom]: [f32; 4]) -> Own {
        let last = inner.map(|points| points as f32 - 1.0);
        let per_fraction = [last[0] / (right - left), last[1] / (bottom - top)];
        let scale = [0, 1].map(|axis| per_fraction[axis] / (grid[axis] as f32 - 1.0));
        Own { scale, shift: [-left * per_fraction[0], -top * per_fraction[1]], last, rows: 0..inner[1] - 1 }
    }

    #[test]
    fn a_grid_of_its_own_spans_its_area_corners_included() {
        let own = own([9, 5], [7, 3], [0.25, 0.5, 0.75, 1.0]);
        let find = |x: f32, y: f32| own.find([x * 8.0, y * 4.0].map(|v| (f64::from(v) * ONE as f64) as Fixed));
        assert_eq!(find(0.25, 0.5), Some(([0, 0], [0.0, 0.0])));
        assert_eq!(find(0.75, 1.0), Some(([5, 1], [1.0, 1.0])));
        assert_eq!(find(0.5, 0.625), Some(([3, 0], [0.0, 0.5])));
        for (x, y) in [(0.24, 0.6), (0.76, 0.6), (0.5, 0.49), (0.5, 1.01), (-1e6, 0.6)] {
            assert_eq!(find(x, y), None, "{x}, {y}");
        }
    }
}
