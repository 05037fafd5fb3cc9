// SPDX-License-Identifier: MPL-2.0
//! A plane of numbers seen through a map, row by row.

use std::ops::Range;

use super::Tile;
use super::places::Places;
use super::points::{Plane, Points};
use crate::geometry::Affine;

/// What a tile holds where `map` maps the samples (x, y) of another raster: between its samples, and the mean of several places
/// where taps are given.
pub struct Rows<'a, const N: usize> {
    tile: &'a Tile<N>,
    map: Affine,
    taps: &'a [[f32; 2]],
    way: Way<N>,
}

enum Way<const N: usize> {
    Upright(Upright<N>),
    Turned(Turned<N>),
}

/// Where columns do not lie in columns.
struct Turned<const N: usize> {
    /// Of each column and component.
    points: Points,
    /// What is there for one of several taps.
    picked: Vec<[f32; N]>,
}

/// Where every column lies in a column, and every row in a row: most of the work is the same for all rows.
struct Upright<const N: usize> {
    /// The first of the columns.
    first: usize,
    /// Of each tap across, where the columns lie in a line of the tile's columns `used`; of the taps down, how many there are.
    across: Vec<Places>,
    down: usize,
    /// The tile's columns that count.
    used: Range<usize>,
    /// Between two of the tile's rows, and what a tap picks of it.
    line: Vec<[f32; N]>,
    picked: Vec<[f32; N]>,
    /// Rows of the tile, already as wide as the columns: an enlarged picture needs the same two for several rows.
    wide: [(Option<u32>, Vec<[f32; N]>); 2],
}

impl<'a, const N: usize> Rows<'a, N> {
    /// Of `columns`. `taps` are offsets in the tile; at least one.
    pub fn new(tile: &'a Tile<N>, map: &Affine, columns: Range<usize>, taps: &'a [[f32; 2]]) -> Self {
        let way = match [map.0[1], map.0[3]] {
            [0.0, 0.0] => Way::Upright(Upright::new(tile, map, columns, taps)),
            _ => {
                let picked = vec![[0.0; N]; if taps.len() > 1 { columns.len() } else { 0 }];
                Way::Turned(Turned { points: Points::new(columns.len() * N), picked })
            }
        };
        Self { tile, map: *map, taps, way }
    }

    /// Row `y`, from column `x` on, of which and of whose followers `new` was told.
    #[inline(always)]
    pub fn row(&mut self, x: usize, y: usize, row: &mut [[f32; N]]) {
        match &mut self.way {
            Way::Upright(upright) => {
                let y = self.map.0[4] * y as f32 + self.map.0[5];
                if upright.down == 1 {
                    upright.between_wide_rows(self.tile, y + self.taps[0][1], x, row);
                } else {
                    let down = self.taps.iter().step_by(upright.across.len()).map(|tap| y + tap[1]);
                    upright.mean_of_rows(self.tile, down, x, row);
                }
            }
            Way::Turned(turned) => turned.row(self.tile, &self.map, self.taps, [x, y], row),
        }
    }
}

impl<const N: usize> Turned<N> {
    #[inline(always)]
    fn row(&mut self, tile: &Tile<N>, map: &Affine, taps: &[[f32; 2]], [x, y]: [usize; 2], row: &mut [[f32; N]]) {
        let Self { points, picked } = self;
        let [x, y] = map.apply([x as f32, y as f32]);
        let mut pick = |tap: &[f32; 2], row: &mut [f32]| {
            let [x, y] = [x + tap[0], y + tap[1]];
            points.set(row.len(), tile.gaps(), |k| {
                // By way of i32 because the processor has an instruction for that.
                let column = (k / N) as i32 as f32;
                let (at, parts) = tile.place(x + map.0[0] * column, y + map.0[3] * column);
                (at + (k % N) as i32, parts)
            });
            points.pick(Plane::Floats(tile.numbers()), row);
        };
        let row = row.as_flattened_mut();
        if let [tap] = taps {
            pick(tap, row);
            return;
        }
        row.fill(0.0);
        let picked = &mut picked.as_flattened_mut()[..row.len()];
        for tap in taps {
            pick(tap, picked);
            row.iter_mut().zip(&*picked).for_each(|(sum, value)| *sum += value);
        }
        let share = 1.0 / taps.len() as f32;
        row.iter_mut().for_each(|value| *value *= share);
    }
}

impl<const N: usize> Upright<N> {
    fn new(tile: &Tile<N>, map: &Affine, columns: Range<usize>, taps: &[[f32; 2]]) -> Self {
        // They come row by row.
        let across = taps.iter().take_while(|tap| tap[1] == taps[0][1]).count().max(1);
        let places = |tap: &[f32; 2]| -> Vec<(u32, f32)> {
            let [a, _, c, ..] = map.0;
            columns.clone().map(|x| tile.column(a * x as f32 + c + tap[0])).collect()
        };
        let places: Vec<_> = taps[..across].iter().map(places).collect();
        let at = || places.iter().flatten().map(|place| place.0 as usize);
        let used = at().min().unwrap_or(0)..at().max().unwrap_or(0) + 2;
        let of_all = |&(at, part): &(u32, f32)| {
            let start = (at as usize - used.start) * N;
            (start..start + N).map(move |at| (at, part))
        };
        let row = || vec![[0.0; N]; columns.len()];
        Self {
            first: columns.start,
            across: places.iter().map(|places| Places::new(places.iter().flat_map(of_all), N)).collect(),
            down: taps.len() / across,
            line: vec![[0.0; N]; used.len()],
            picked: if across > 1 { row() } else { Vec::new() },
            used,
            wide: [(); 2].map(|()| (None, row())),
        }
    }

    /// Where there is one tap down, at `y`.
    #[inline(always)]
    fn between_wide_rows(&mut self, tile: &Tile<N>, y: f32, x: usize, row: &mut [[f32; N]]) {
        let (at, part) = tile.row(y);
        if self.wide[1].0 == Some(at) {
            self.wide.swap(0, 1);
        }
        for ((row, wide), wanted) in self.wide.iter_mut().zip(at..) {
            if *row != Some(wanted) {
                pick(tile.line(wanted, self.used.clone()), &self.across, &mut self.picked, wide);
                *row = Some(wanted);
            }
        }
        let [upper, lower] = &self.wide;
        let start = x - self.first;
        let (upper, lower) = (upper.1[start..].as_flattened(), lower.1[start..].as_flattened());
        for ((value, upper), lower) in row.as_flattened_mut().iter_mut().zip(upper).zip(lower) {
            *value = upper + (lower - upper) * part;
        }
    }

    /// Where there are several taps down.
    #[inline(always)]
    fn mean_of_rows(&mut self, tile: &Tile<N>, down: impl Iterator<Item = f32>, x: usize, row: &mut [[f32; N]]) {
        self.line.fill([0.0; N]);
        let share = 1.0 / self.down as f32;
        for y in down {
            let (at, part) = tile.row(y);
            let (upper, lower) = (tile.line(at, self.used.clone()), tile.line(at + 1, self.used.clone()));
            let (upper, lower) = (upper.as_flattened(), lower.as_flattened());
            for ((value, upper), lower) in self.line.as_flattened_mut().iter_mut().zip(upper).zip(lower) {
                *value += (upper + (lower - upper) * part) * share;
            }
        }
        let (_, whole) = &mut self.wide[0];
        pick(&self.line, &self.across, &mut self.picked, whole);
        row.copy_from_slice(&whole[x - self.first..][..row.len()]);
    }
}

/// Sets `row` to the mean of what lies in `line` at the places of each tap; `picked` is room for one of several.
#[inline(always)]
fn pick<const N: usize>(line: &[[f32; N]], taps: &[Places], picked: &mut [[f32; N]], row: &mut [[f32; N]]) {
    let (line, row) = (line.as_flattened(), row.as_flattened_mut());
    if let [places] = taps {
        places.pick(line, row);
        return;
    }
    row.fill(0.0);
    let picked = picked.as_flattened_mut();
    for places in taps {
        places.pick(line, picked);
        row.iter_mut().zip(&*picked).for_each(|(sum, value)| *sum += value);
    }
    let share = 1.0 / taps.len() as f32;
    row.iter_mut().for_each(|value| *value *= share);
}

#[cfg(test)]
mod tests {
    use super::super::taps;
    use super::*;

    /// Both ways give the same, for larger and smaller pictures, turned over and beyond all edges.
    #[test]
    fn upright_maps_are_a_shortcut() {
        let tile = Tile::new([0, 0], 20, 9, |y, row| {
            row.iter_mut().enumerate().for_each(|(x, sample)| *sample = [((x * 37 + y * 101) % 256) as f32, y as f32]);
        });
        let tile = tile.unwrap();
        for map in [[0.31, 0.0, -3.0, 0.0, 0.4, -2.0], [2.6, 0.0, 0.3, 0.0, 3.4, 1.0], [-1.7, 0.0, 30.0, 0.0, 0.2, 3.0]]
        {
            let map = Affine(map);
            let taps = taps(&map);
            let mut short = Rows::new(&tile, &map, 3..40, &taps);
            assert!(matches!(short.way, Way::Upright(_)));
            let points = Points::new(37 * 2);
            let way = Way::Turned(Turned { points, picked: vec![[0.0; 2]; 37] });
            let mut long = Rows { tile: &tile, map, taps: &taps, way };
            for y in 0..12 {
                let mut rows = [[[0.0; 2]; 30]; 2];
                short.row(5, y, &mut rows[0]);
                long.row(5, y, &mut rows[1]);
                let [a, b] = rows.each_ref().map(|row| row.as_flattened());
                let near = a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
                assert!(near, "{map:?}, row {y}: {rows:?}");
            }
        }
    }

    #[test]
    fn a_map_that_is_none_reads_something() {
        let tile = Tile::new([0, 0], 2, 2, |_, row| row.fill([7.0])).unwrap();
        for value in [f32::NAN, f32::INFINITY, f32::MAX] {
            let map = Affine([value, 0.0, value, 0.0, value, value]);
            let taps = taps(&map);
            let mut row = [[0.0]; 4];
            Rows::new(&tile, &map, 0..4, &taps).row(0, 3, &mut row);
            assert_eq!(row, [[7.0]; 4]);
        }
    }
}
