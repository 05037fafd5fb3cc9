// SPDX-License-Identifier: MPL-2.0
//! For benches/parts.rs.

use super::stream::Stream;
use crate::model::manifest::AudioFeatures;

/// −50 dBFS
const SILENCE: f64 = 1e-5;

/// How many rows come of `sound`, a second at a time.
pub fn rows(recipe: &AudioFeatures, sound: &[f32]) -> u64 {
    let mut stream = Stream::new(recipe);
    let pieces = sound.chunks(recipe.sample_rate() as usize);
    let pushed: u64 = pieces.flat_map(|piece| stream.push(piece, SILENCE)).map(|run| run.rows).sum();
    pushed + stream.finish(SILENCE).iter().map(|run| run.rows).sum::<u64>()
}
