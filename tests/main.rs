// SPDX-License-Identifier: MPL-2.0
//! Tests of the elements in real pipelines, one module per element.

mod audiofeatures;
mod avatar;
mod avatarloop;
mod common;
mod encoders;
mod endurance;
mod facecrop;
mod facepaste;
mod lipsyncbin;
mod lipsyncgen;
mod lipsyncvoice;
mod stalls;
#[cfg(feature = "torch")]
mod torch;
