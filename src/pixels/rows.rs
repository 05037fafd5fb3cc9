// SPDX-License-Identifier: MPL-2.0
//! A plane of numbers seen through a map, row by row.

use std::ops::Range;

use super::Tile;
use crate::geometry::Affine;

/// What a tile holds where `map` maps the samples (x, y) of another raster: between its samples, and the mean of several places
/// where taps are given.
pub struct Rows<'a> {
    tile: &'a Tile<1>,
    map: Affine,
    taps: &'a [[f32; 2]],
    upright: Option<Upright>,
}

/// Where every column lies in a column, and every row in a row: most of the work is the same for all rows.
struct Upright {
    /// The first of the columns.
    first: usize,
    /// Of each column and tap, the tile's column before it, and how far it is from there to the next one.
    places: Vec<(u32, f32)>,
    /// Taps across.
    across: usize,
    /// The tile's columns that count.
    used: Range<usize>,
    /// Between two of the tile's rows.
    line: Vec<f32>,
}

impl<'a> Rows<'a> {
    /// Of `columns`. `taps` are offsets in the tile; at least one.
    pub fn new(tile: &'a Tile<1>, map: &Affine, columns: Range<usize>, taps: &'a [[f32; 2]]) -> Self {
        let upright = map.0[1] == 0.0 && map.0[3] == 0.0;
        let upright = upright.then(|| Upright::new(tile, map, columns, taps));
        Self { tile, map: *map, taps, upright }
    }

    /// Row `y`, from column `x` on, of which and of whose followers `new` was told.
    pub fn row(&mut self, x: usize, y: usize, row: &mut [f32]) {
        let share = 1.0 / self.taps.len() as f32;
        if let Some(upright) = &mut self.upright {
            let down =
                self.taps.iter().step_by(upright.across).map(|tap| self.map.0[4] * y as f32 + self.map.0[5] + tap[1]);
            upright.line.fill(0.0);
            for y in down {
                self.tile.add_between_rows(y, upright.used.clone(), &mut upright.line);
            }
            upright.pick(x, share, row);
            return;
        }
        for (k, value) in row.iter_mut().enumerate() {
            let p = self.map.apply([(x + k) as f32, y as f32]);
            *value = self.taps.iter().map(|[dx, dy]| self.tile.between(p[0] + dx, p[1] + dy)[0]).sum::<f32>() * share;
        }
    }
}

impl Upright {
    fn new(tile: &Tile<1>, map: &Affine, columns: Range<usize>, taps: &[[f32; 2]]) -> Self {
        // They come row by row.
        let across = taps.iter().take_while(|tap| tap[1] == taps[0][1]).count().max(1);
        let places: Vec<(u32, f32)> = columns
            .clone()
            .flat_map(|x| {
                let at = map.0[0] * x as f32 + map.0[2];
                taps[..across].iter().map(move |tap| tile.column(at + tap[0]))
            })
            .collect();
        let least = places.iter().map(|place| place.0).min().unwrap_or(0) as usize;
        let most = places.iter().map(|place| place.0).max().unwrap_or(0) as usize;
        let used = least..most + 2;
        let places = places.into_iter().map(|(at, share)| (at - least as u32, share)).collect();
        Self { first: columns.start, places, across, line: vec![0.0; used.len()], used }
    }

    /// From the line to the columns from `x` on.
    fn pick(&self, x: usize, share: f32, row: &mut [f32]) {
        let line = &self.line;
        let between = |&(at, part): &(u32, f32)| {
            let pair = &line[at as usize..at as usize + 2];
            pair[0] + (pair[1] - pair[0]) * part
        };
        let places = &self.places[(x - self.first) * self.across..];
        if self.across == 1 {
            row.iter_mut().zip(places).for_each(|(value, place)| *value = between(place) * share);
        } else {
            for (value, places) in row.iter_mut().zip(places.chunks_exact(self.across)) {
                *value = places.iter().map(between).sum::<f32>() * share;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::taps;
    use super::*;

    /// Both ways give the same, for larger and smaller pictures, turned over and beyond all edges.
    #[test]
    fn upright_maps_are_a_shortcut() {
        let tile = Tile::new([0, 0], 20, 9, |y, row| {
            row.iter_mut().enumerate().for_each(|(x, sample)| *sample = [((x * 37 + y * 101) % 256) as f32]);
        });
        let tile = tile.unwrap();
        for map in [[0.31, 0.0, -3.0, 0.0, 0.4, -2.0], [2.6, 0.0, 0.3, 0.0, 3.4, 1.0], [-1.7, 0.0, 30.0, 0.0, 0.2, 3.0]]
        {
            let map = Affine(map);
            let taps = taps(&map);
            let mut short = Rows::new(&tile, &map, 3..40, &taps);
            assert!(short.upright.is_some());
            let mut long = Rows { tile: &tile, map, taps: &taps, upright: None };
            for y in 0..12 {
                let mut rows = [[0.0; 30]; 2];
                short.row(5, y, &mut rows[0]);
                long.row(5, y, &mut rows[1]);
                let near = rows[0].iter().zip(&rows[1]).all(|(a, b)| (a - b).abs() < 1e-3);
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
            let mut row = [0.0; 4];
            Rows::new(&tile, &map, 0..4, &taps).row(0, 3, &mut row);
            assert_eq!(row, [7.0; 4]);
        }
    }
}
