// SPDX-License-Identifier: MPL-2.0
//! Caps of clips and of still pictures, which have no rate.

use gst::prelude::*;

/// Frames per second of a picture that has no rate of its own.
pub const STILL_RATE: gst::Fraction = gst::Fraction::from_integer(25);

pub fn same_but_for_rate(a: &gst_video::VideoInfo, b: &gst_video::VideoInfo) -> bool {
    let caps = |info: &gst_video::VideoInfo| {
        let mut caps = info.to_caps().ok()?;
        caps.make_mut().set("framerate", STILL_RATE);
        Some(caps)
    };
    caps(a).is_some() && caps(a) == caps(b)
}

pub fn describe(info: &gst_video::VideoInfo) -> String {
    format!("{} {}×{} at {} fps", info.format(), info.width(), info.height(), info.fps())
}

/// What `pad` allows of `caps`, in the order that `filter` prefers.
pub fn narrow(caps: &gst::Caps, pad: &gst::Pad, filter: Option<&gst::Caps>) -> gst::Caps {
    let caps = caps.intersect(&pad.pad_template_caps());
    match filter {
        Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
        None => caps,
    }
}

/// `caps` and, where they allow the rate of a still picture here, the same without a rate: that is how one arrives.
pub fn with_still_rate(caps: &gst::Caps) -> gst::Caps {
    let rate = gst::Structure::builder("video/x-raw").field("framerate", STILL_RATE).build();
    let mut result = caps.clone();
    for (structure, features) in caps.iter_with_features() {
        if structure.can_intersect(&rate) {
            let mut structure = structure.to_owned();
            structure.set("framerate", gst::Fraction::from_integer(0));
            result.make_mut().append_structure_full(structure, Some(features.to_owned()));
        }
    }
    result
}

pub fn without_still_rate(mut caps: gst::Caps) -> gst::Caps {
    for structure in caps.make_mut().iter_mut() {
        if structure.get::<gst::Fraction>("framerate").is_ok_and(|rate| rate.numer() <= 0) {
            structure.set("framerate", STILL_RATE);
        }
    }
    caps
}
