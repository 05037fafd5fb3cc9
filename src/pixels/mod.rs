// SPDX-License-Identifier: MPL-2.0
//! Reading and writing a rectangle of a video frame in any supported format.
//!
//! Every supported format is three 8-bit components (Y, U, V or R, G, B), each a grid of bytes with its own stride, step and
//! subsampling; nothing here knows more about a format than that, and nothing ever converts a whole frame.
//!
//! Chroma siting is simplified: a subsampled component's sample is taken to lie in the centre of the luma pixels that it
//! covers, whatever the caps say (reading and writing agree, so the at most half a pixel of error cancels out).

mod blend;
mod canvas;
mod color;
mod crop;
#[cfg(any(feature = "fuzzing", all(test, feature = "test-runtime")))]
pub(crate) mod fuzz;
mod layout;
mod luma;
mod places;
mod points;
mod prefetch;
mod resample;
mod rows;
mod shrink;
#[cfg(test)]
pub(crate) mod testing;
mod tile;
mod walk;

use gst_video::VideoFormat;

pub use blend::{blend, round};
pub use canvas::Canvas;
pub use color::ColorMap;
pub use crop::{crop_rgb, taps};
pub use layout::{Component, Layout};
pub use luma::{GrayImage, luma};
pub use resample::{Kernel, resample};
pub use rows::Rows;
pub use shrink::PlaneCrop;
pub use tile::Tile;
pub use walk::{Fixed, ONE, walk};

/// Takes back that pictures may come with a rectangle that is to be cut out of them: whoever reads them here sees all that they
/// hold, also what was to be cut away.
pub fn want_whole_pictures(query: &mut gst::query::Allocation) {
    while let Some(nth) = query.find_allocation_meta::<gst_video::VideoCropMeta>() {
        query.remove_nth_allocation_meta(nth);
    }
}

/// The formats that the elements accept, in order of preference.
pub const FORMATS: &[VideoFormat] = &[
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Yv12,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Argb,
    VideoFormat::Abgr,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
];

/// Raw video in [`FORMATS`], of any size and frame rate: what a pad template offers.
pub fn caps() -> gst::Caps {
    gst_video::VideoCapsBuilder::new().format_list(FORMATS.iter().copied()).build()
}
