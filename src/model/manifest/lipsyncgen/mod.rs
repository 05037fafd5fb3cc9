// SPDX-License-Identifier: MPL-2.0
//! `[lipsyncgen]`: which graphs run, on which tensors.

mod input;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use self::input::*;
use super::super::values::{InnerArea, Name, OneOrMany, Range, Size};
use super::{AudioFeatures, Color};

/// Which graphs run, on which tensors.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LipsyncGen {
    /// Run in this order; an input that no `from` feeds takes the earlier output of the same name.
    pub graph: Vec<Graph>,
    pub output: Output,
}

/// All inputs of a model together may take so many numbers (128 MiB) of each face; more than any network is meant for. So may
/// the rows that a frame waits for.
pub const MAX_NUMBERS: usize = 1 << 25;

impl LipsyncGen {
    /// `features`: what the rows are; `crop`: the pictures' size. The error names the input that asks for too much, or for
    /// another shape than what fills it.
    pub fn check(&self, features: &AudioFeatures, crop: Size) -> Result<(), String> {
        let mut numbers = 0;
        for input in self.graph.iter().flat_map(|graph| &graph.input) {
            numbers += input.numbers(features, crop)?;
            if numbers > MAX_NUMBERS {
                return Err(format!(
                    "[[lipsyncgen.graph.input]] \"{}\": with those before it, the inputs hold {numbers} numbers for each face, \
                     expected at most {MAX_NUMBERS}",
                    &*input.name
                ));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "RawGraph")]
pub struct Graph {
    /// Inside the model's folder. A list holds the same graph for several backends.
    pub file: OneOrMany<Name>,
    /// What it yields depends on the picture alone; answers are kept for pictures that come again.
    pub cache: bool,
    /// Other names for its outputs, for the graphs after it.
    pub outputs: BTreeMap<Name, Name>,
    pub input: Vec<Input>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGraph {
    file: OneOrMany<Name>,
    #[serde(default)]
    cache: bool,
    #[serde(default)]
    outputs: BTreeMap<Name, Name>,
    #[serde(default)]
    input: Vec<Input>,
}

impl TryFrom<RawGraph> for Graph {
    type Error = String;

    fn try_from(raw: RawGraph) -> Result<Self, String> {
        let RawGraph { file, cache, outputs, input } = raw;
        let Some(first) = file.0.first() else {
            return Err("`file` is an empty list: expected the name of a graph's file".into());
        };
        for (k, one) in input.iter().enumerate() {
            if input[..k].iter().any(|other| other.name == one.name) {
                return Err(format!("graph \"{}\" has two inputs \"{}\"", &**first, &*one.name));
            }
            if cache && matches!(one.source, Source::Features { .. }) {
                return Err(format!(
                    "graph \"{}\": cache = true is for what depends on the picture alone, but input \"{}\" takes features",
                    &**first, &*one.name
                ));
            }
        }
        let mut new = outputs.values();
        while let Some(name) = new.next() {
            if new.clone().any(|other| other == name) {
                return Err(format!("graph \"{}\": `outputs` gives the name \"{}\" twice", &**first, &**name));
            }
        }
        Ok(Self { file, cache, outputs, input })
    }
}

/// What the graphs yield in the end.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Output {
    /// (N, 3, H, W): the new crop.
    Image {
        name: Name,
        range: Range,
        #[serde(default)]
        round: Round,
        #[serde(default)]
        color: Color,
    },
    /// Fields on an h × w grid over the crop, applied to the frame's own pixels; see [`crate::face_meta::Warp`]. Each side of a
    /// grid has 2 to 512 points.
    Warp {
        upper: Name,
        lower: Name,
        edges: Name,
        inner: Name,
        weight: Name,
        /// `inner-area`, in crop fractions, or an output (N, 4) that says it for each frame: `inner` is (N, 4, hi, wi), of any size,
        /// and spans this rectangle, the grid's corners lying in the rectangle's; beyond it the inside is transparent. Without it,
        /// `inner` is on the grid of the others.
        #[serde(default, rename = "inner-area")]
        inner_area: Option<InnerArea>,
    },
}

/// How a value becomes an integer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Round {
    #[default]
    Nearest,
    Truncate,
}
