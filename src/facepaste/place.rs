// SPDX-License-Identifier: MPL-2.0
//! Where a face's crop lies in the frame.

use std::ops::Range;

use crate::face_meta::Face;
use crate::geometry::{Affine, Point, Rect};
use crate::pixels::Layout;

/// All of the crop.
pub const WHOLE: [f32; 4] = [0.0, 0.0, 1.0, 1.0];

/// The map between crop fractions (0, 0)..(1, 1) and frame pixels, invertible and finite.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    to_frame: Affine,
    from_frame: Affine,
}

impl Place {
    /// `None` where the face's geometry is no map at all.
    pub fn of(face: &Face) -> Option<Self> {
        let to_frame = Affine::scale(face.crop.width as f32, face.crop.height as f32).then(&face.crop_to_frame);
        let from_frame = to_frame.invert()?;
        Some(Self { to_frame, from_frame })
    }

    /// The crop's corners in frame pixels, around the outline.
    pub fn corners(&self) -> [Point; 4] {
        self.corners_of(WHOLE)
    }

    fn corners_of(&self, [left, top, right, bottom]: [f32; 4]) -> [Point; 4] {
        [[left, top], [right, top], [right, bottom], [left, bottom]].map(|p| self.to_frame.apply(p))
    }

    /// The map from vectors of crop fractions to vectors of a component's samples.
    pub fn vectors(&self, layout: &Layout) -> impl Fn([f32; 2]) -> [f32; 2] + use<> {
        let [a, b, _, c, d, _] = self.to_frame.0;
        let [sx, sy] = layout.sub.map(|s| s as f32);
        let [a, b, c, d] = [a / sx, b / sx, c / sy, d / sy];
        move |[x, y]| [a * x + b * y, c * x + d * y]
    }

    /// From a component's samples (whole numbers are centres) to crop fractions.
    pub fn samples_to_fractions(&self, layout: &Layout) -> Affine {
        layout.samples_to_frame().then(&self.from_frame)
    }

    /// The columns and rows of a component's samples that may lie inside `part` of the crop (left, top, right, bottom in crop
    /// fractions), grown by `margin` samples (left, right, top, bottom) and cut to the component.
    pub fn samples(&self, layout: &Layout, part: [f32; 4], margin: [f32; 4]) -> (Range<usize>, Range<usize>) {
        let corners = self.corners_of(part).map(|p| layout.frame_to_samples().apply(p));
        // Four points: there is a rectangle.
        let Rect { x, y, w, h } = Rect::around(&corners).unwrap_or_default();
        // Casting saturates, and NaN becomes 0.
        let range = |low: f32, high: f32, length: usize| {
            let start = (low.floor() as usize).min(length);
            start..((high.ceil() + 1.0).max(0.0) as usize).clamp(start, length)
        };
        (range(x - margin[0], x + w + margin[1], layout.width), range(y - margin[2], y + h + margin[3], layout.height))
    }
}
