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
    /// Taps across, and down.
    taps: [usize; 2],
    /// The tile's columns that count.
    used: Range<usize>,
    /// Between two of the tile's rows.
    line: Vec<f32>,
    /// Rows of the tile, already as wide as the columns: an enlarged picture needs the same two for several rows.
    wide: [(Option<u32>, Vec<f32>); 2],
}

impl<'a> Rows<'a> {
    /// Of `columns`. `taps` are offsets in the tile; at least one.
    pub fn new(tile: &'a Tile<1>, map: &Affine, columns: Range<usize>, taps: &'a [[f32; 2]]) -> Self {
        let upright = map.0[1] == 0.0 && map.0[3] == 0.0;
        let upright = upright.then(|| Upright::new(tile, map, columns, taps));
        Self { tile, map: *map, taps, upright }
    }

    /// Row `y`, from column `x` on, of which and of whose followers `new` was told.
    #[inline(always)]
    pub fn row(&mut self, x: usize, y: usize, row: &mut [f32]) {
        if let Some(upright) = &mut self.upright {
            let y = self.map.0[4] * y as f32 + self.map.0[5];
            if upright.taps[1] == 1 {
                upright.between_wide_rows(self.tile, y + self.taps[0][1], x, row);
            } else {
                let down = self.taps.iter().step_by(upright.taps[0]).map(|tap| y + tap[1]);
                upright.mean_of_rows(self.tile, down, x, row);
            }
            return;
        }
        let share = 1.0 / self.taps.len() as f32;
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
        let wide = [(); 2].map(|()| (None, vec![0.0; columns.len()]));
        let taps = [across, taps.len() / across];
        Self { first: columns.start, places, taps, line: vec![0.0; used.len()], used, wide }
    }

    /// Where there is one tap down, at `y`.
    #[inline(always)]
    fn between_wide_rows(&mut self, tile: &Tile<1>, y: f32, x: usize, row: &mut [f32]) {
        let (at, part) = tile.row(y);
        if self.wide[1].0 == Some(at) {
            self.wide.swap(0, 1);
        }
        for ((row, wide), wanted) in self.wide.iter_mut().zip(at..) {
            if *row != Some(wanted) {
                pick(tile.line(wanted, self.used.clone()), &self.places, self.taps[0], 1.0, wide);
                *row = Some(wanted);
            }
        }
        let [upper, lower] = &self.wide;
        let start = x - self.first;
        for ((value, upper), lower) in row.iter_mut().zip(&upper.1[start..]).zip(&lower.1[start..]) {
            *value = upper + (lower - upper) * part;
        }
    }

    /// Where there are several taps down.
    #[inline(always)]
    fn mean_of_rows(&mut self, tile: &Tile<1>, down: impl Iterator<Item = f32>, x: usize, row: &mut [f32]) {
        self.line.fill(0.0);
        for y in down {
            let (at, part) = tile.row(y);
            let (upper, lower) = (tile.line(at, self.used.clone()), tile.line(at + 1, self.used.clone()));
            for ((value, upper), lower) in self.line.iter_mut().zip(upper).zip(lower) {
                *value += upper + (lower - upper) * part;
            }
        }
        let places = &self.places[(x - self.first) * self.taps[0]..];
        pick(&self.line, places, self.taps[0], 1.0 / self.taps[1] as f32, row);
    }
}

/// From a line to the row whose columns lie, `across` for each, at `places` in it; all of them times `share`.
#[inline(always)]
fn pick(line: &[f32], places: &[(u32, f32)], across: usize, share: f32, row: &mut [f32]) {
    let between = |&(at, part): &(u32, f32)| {
        let pair = &line[at as usize..at as usize + 2];
        pair[0] + (pair[1] - pair[0]) * part
    };
    if across == 1 {
        row.iter_mut().zip(places).for_each(|(value, place)| *value = between(place) * share);
    } else {
        let share = share / across as f32;
        for (value, places) in row.iter_mut().zip(places.chunks_exact(across)) {
            *value = places.iter().map(between).sum::<f32>() * share;
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
