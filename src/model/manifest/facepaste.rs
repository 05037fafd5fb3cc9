// SPDX-License-Identifier: MPL-2.0
//! `[facepaste]`: how the result goes back into the frame.

use serde::Deserialize;

use super::super::values::Fraction;

/// How the result goes back into the frame.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Default)]
#[serde(deny_unknown_fields, default)]
pub struct FacePaste {
    pub blend: Blend,
    /// Width of the soft border as a fraction of the crop.
    pub feather: Option<Fraction>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Blend {
    /// The whole crop replaces what was there.
    Hard,
    /// As `hard`, with a soft border.
    #[default]
    Feather,
    /// The weight comes from the graph (kind `warp`).
    Weight,
}
