// SPDX-License-Identifier: MPL-2.0
//! `model.toml`: four sections, each read by the element of the same name.
//!
//! Parsing checks every key: an unknown, missing or out-of-range one is an error that names the key and the line. Whatever
//! a [`Manifest`] holds is therefore within its documented range.

mod audiofeatures;
mod expression;
mod facecrop;
mod facepaste;
mod lipsyncgen;

use serde::Deserialize;

pub use self::audiofeatures::*;
pub use self::expression::{Expression, Values};
pub use self::facecrop::*;
pub use self::facepaste::*;
pub use self::lipsyncgen::*;
use super::points::PointSet;
pub use super::values::{Area, InnerArea, Range};
use super::values::{Checked, Name};

/// A whole `model.toml`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: Name,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub licence: String,
    #[serde(default)]
    pub url: String,
    /// Frames per second the model was trained for. Informative: frames are matched to sound by their timestamps.
    #[serde(default)]
    pub fps: Option<Checked<f64, 1, 1000>>,
    pub audiofeatures: AudioFeatures,
    pub facecrop: FaceCrop,
    pub lipsyncgen: LipsyncGen,
    #[serde(default)]
    pub facepaste: FacePaste,
}

impl Manifest {
    /// What no section can know of itself: whether it fits the others. The error names the key that does not.
    pub fn check(&self) -> Result<(), String> {
        self.lipsyncgen.check(&self.audiofeatures, self.facecrop.size)?;
        let mut own = self.own_points();
        if let Some((first, set)) = own.next()
            && let Some((other, another)) = own.find(|(_, another)| *another != set)
        {
            return Err(format!(
                "input \"{other}\" takes points = \"{}\", but input \"{first}\" takes \"{}\": a face has those of one network",
                another.name(),
                set.name()
            ));
        }
        self.facepaste.check(&self.lipsyncgen.output)
    }

    /// Whether a picture is made or pasted by the face's landmarks.
    pub fn draws_by_landmarks(&self) -> bool {
        self.inputs().any(|input| match &input.source {
            // What is worth remembering is judged by them.
            Source::Landmarks(_) | Source::MemoryLandmarks(_) | Source::MemoryWeight(_) => true,
            Source::Pictures { pictures, .. } => pictures.iter().any(|picture| matches!(picture, Picture::Memory(_))),
            _ => false,
        }) || matches!(self.facepaste.blend, Some(Blend::Hull { .. }))
    }

    /// The inputs that take landmarks in another numbering than iBUG's, and in which.
    pub fn own_points(&self) -> impl Iterator<Item = (&str, PointSet)> {
        self.inputs().filter_map(|input| match &input.source {
            Source::Landmarks(select) if select.points != PointSet::Ibug68 => Some((&*input.name, select.points)),
            _ => None,
        })
    }

    fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.lipsyncgen.graph.iter().flat_map(|graph| &graph.input)
    }
}

/// Order of the colours in a tensor.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Color {
    #[default]
    Rgb,
    Bgr,
}
