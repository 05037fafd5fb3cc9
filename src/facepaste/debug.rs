// SPDX-License-Identifier: MPL-2.0
//! Drawing what is known of a face over the frame.

use super::place::Place;
use crate::face_meta::{Face, Reason};
use crate::geometry::Point;
use crate::pixels::Canvas;

const BOX: [f32; 3] = [0.0, 160.0, 255.0];
const LANDMARK: [f32; 3] = [0.0, 255.0, 160.0];

/// The crop's outline is green where the face has a new mouth, grey where it has none and nobody says why, else by reason.
fn outline(face: &Face) -> [f32; 3] {
    match face.reason {
        None if face.generated.is_some() => [0.0, 255.0, 0.0],
        None => [128.0, 128.0, 128.0],
        Some(Reason::TooSmall) => [0.0, 0.0, 255.0],
        Some(Reason::TurnedAway) => [255.0, 255.0, 0.0],
        Some(Reason::Uncertain) => [255.0, 128.0, 0.0],
        Some(Reason::Lost) => [0.0, 0.0, 0.0],
        Some(Reason::NoSpeech) => [255.0, 255.0, 255.0],
        Some(Reason::Late) => [255.0, 0.0, 255.0],
        Some(Reason::Failed) => [255.0, 0.0, 0.0],
    }
}

/// Draws the box, the landmarks and the crop's outline.
pub fn draw(canvas: &mut Canvas, face: &Face) {
    let (b, color) = (&face.bbox, outline(face));
    polygon(canvas, BOX, &[[b.x, b.y], [b.x + b.w, b.y], [b.x + b.w, b.y + b.h], [b.x, b.y + b.h]]);
    if let Some(place) = Place::of(face) {
        polygon(canvas, color, &place.corners());
    }
    for &p in &face.landmarks {
        dot(canvas, LANDMARK, p);
    }
}

fn polygon(canvas: &mut Canvas, rgb: [f32; 3], corners: &[Point]) {
    for (k, &from) in corners.iter().enumerate() {
        line(canvas, rgb, from, corners[(k + 1) % corners.len()]);
    }
}

fn line(canvas: &mut Canvas, rgb: [f32; 3], from: Point, to: Point) {
    let frame = canvas.layouts()[0];
    let Some((from, to)) = clip(from, to, [frame.width as f32, frame.height as f32]) else { return };
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    // No longer than the frame's diagonal: it was clipped.
    let steps = dx.abs().max(dy.abs()).ceil().max(1.0);
    for k in 0..=steps as usize {
        let t = k as f32 / steps;
        dot(canvas, rgb, [from[0] + t * dx, from[1] + t * dy]);
    }
}

/// The part of a line that lies in 0..size (Liang and Barsky); `None` where there is none or it is not finite.
fn clip(from: Point, to: Point, size: [f32; 2]) -> Option<(Point, Point)> {
    let (mut enter, mut leave) = (0.0f32, 1.0f32);
    for axis in 0..2 {
        let d = to[axis] - from[axis];
        if !d.is_finite() {
            return None;
        }
        if d == 0.0 {
            if !(0.0..=size[axis]).contains(&from[axis]) {
                return None;
            }
            continue;
        }
        let (a, b) = (-from[axis] / d, (size[axis] - from[axis]) / d);
        enter = enter.max(a.min(b));
        leave = leave.min(a.max(b));
    }
    let at = |t: f32| [from[0] + t * (to[0] - from[0]), from[1] + t * (to[1] - from[1])];
    (enter <= leave).then(|| (at(enter), at(leave)))
}

/// A square of 2 pixels in a frame of 540 lines, larger in a larger one.
fn dot(canvas: &mut Canvas, rgb: [f32; 3], p: Point) {
    let values = canvas.color().from_rgb(rgb);
    let layouts = *canvas.layouts();
    let size = (layouts[0].height as f32 / 270.0).round().max(2.0);
    for (c, layout) in layouts.iter().enumerate() {
        let range = |v: f32, sub: usize, length: usize| {
            // Casting saturates; NaN gives an empty range at 0.
            let start = ((v - size / 2.0) / sub as f32).round();
            let end = start + (size / sub as f32).ceil();
            (start as usize).min(length)..(end as usize).min(length)
        };
        for y in range(p[1], layout.sub[1], layout.height) {
            for x in range(p[0], layout.sub[0], layout.width) {
                canvas.set(c, x, y, values[c]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_to_the_frame() {
        let size = [10.0, 10.0];
        assert_eq!(clip([-10.0, 5.0], [20.0, 5.0], size), Some(([0.0, 5.0], [10.0, 5.0])));
        assert_eq!(clip([1.0, 1.0], [2.0, 3.0], size), Some(([1.0, 1.0], [2.0, 3.0])));
        assert_eq!(clip([-5.0, 0.0], [0.0, -5.0], size), None);
        assert_eq!(clip([3.0, 11.0], [3.0, 20.0], size), None);
        assert_eq!(clip([f32::NAN, 0.0], [5.0, 5.0], size), None);
        assert_eq!(clip([0.0, 0.0], [f32::INFINITY, 5.0], size), None);
    }
}
