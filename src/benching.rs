// SPDX-License-Identifier: MPL-2.0
//! Where `benches/parts.rs` gets in: parts that need no pipeline. The bodies lie beside what they measure, in files called
//! `bench.rs`.

pub use crate::audiofeatures::bench::rows;
pub use crate::facepaste::bench::paste;
pub use crate::lipsyncgen::bench::inputs;
