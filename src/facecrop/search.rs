// SPDX-License-Identifier: MPL-2.0
//! Where, and how closely, the detector looks. What it costs grows with the pixels that it gets.

use std::f32::consts::FRAC_PI_2;

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::FaceSelect;
use super::analysis::Config;
use super::detector::Detector;
use super::seeta::{MIN_FACE, Seeta};
use super::shape::Placement;
use super::tracker::{TILTED, Tracker};
use crate::geometry::Rect;
use crate::pixels::{GrayImage, luma};

/// A face that much larger than the smallest that the detector sees is not missed.
const SAFELY: f32 = 1.25;

/// Widths of the pictures of the frame that the detector gets, one after the other until it finds a face for certain.
const WIDTHS: [usize; 2] = [320, 640];
/// Faces that are too small for those are looked for in a picture of so many pixels, where the search is to be thorough.
const MAX_PIXELS: f32 = 1280.0 * 720.0;

/// At every so many-th search, the first of a scene among them, small faces are looked for too.
const THOROUGH: u32 = 8;

/// Side of the square in which a followed face is looked for, in widths of its box. From frame to frame it moves by much
/// less.
const SURROUNDINGS: f32 = 2.5;

/// A box that overlaps another by that much (intersection over union) shows the same face.
const SAME_FACE: f32 = 0.3;

/// Asks the detector for the faces in `frame`; `number` counts such searches from the scene's first, 0. The error is for the user.
pub fn search(
    detector: &mut Detector,
    frame: &VideoFrameRef<&gst::BufferRef>,
    config: &Config,
    tracker: &Tracker,
    number: u32,
) -> Result<Vec<Placement>, String> {
    let thorough = number.is_multiple_of(THOROUGH);
    let detector = match detector {
        // It sees the whole frame at once, in a picture of one size.
        Detector::Network(network) => return network.detect(frame),
        Detector::Seeta(seeta) => seeta,
    };
    let size = [frame.width() as f32, frame.height() as f32];
    let whole = Rect::new(0.0, 0.0, size[0], size[1]);
    // The picture's width at which a face `w` px wide in the frame is found.
    let needed = |w: f32| size[0] * MIN_FACE as f32 / w.max(1.0);
    // A followed face must not be missed only because it is small.
    let smallest = tracker.boxes().map(|b| b.w).min_by(f32::total_cmp);
    let followed = smallest.map_or(0.0, |w| SAFELY * needed(w)) as usize;
    let one = matches!(config.select, FaceSelect::Largest | FaceSelect::Track);
    if one
        && !thorough
        && followed > WIDTHS[0]
        && tracker.rolls().all(|roll| roll.abs() <= TILTED)
        && let Some(found) = beside_the_known(detector, frame, &whole, tracker)?
    {
        return Ok(found);
    }

    let mut widths = WIDTHS.to_vec();
    if thorough || followed > WIDTHS[1] {
        widths.push((MAX_PIXELS * size[0] / size[1]).sqrt() as usize);
    }
    if one && followed > 0 {
        // A smaller face than the one that is followed does not count.
        widths.retain(|&w| w > followed);
        widths.push(followed);
    }
    // No wider than the frame, nor than the smallest face that counts asks for.
    let enough = needed(config.min_face_size as f32).min(size[0]) as usize;
    widths.iter_mut().for_each(|w| *w = (*w).min(enough));
    widths.sort_unstable();
    // Small ones beside a large one count too.
    let start = if one { 0 } else { widths.len() - 1 };
    widths.dedup();
    // Heads that lie on their sides are followed as they are, but seen only in a picture that is turned.
    let lying = tracker.rolls().find_map(Turn::of);
    let turns = match lying {
        Some(turn) => vec![Turn::None, turn],
        None if tracker.is_following() => vec![Turn::None],
        None if thorough => vec![Turn::None, Turn::Left, Turn::Right],
        None => vec![Turn::None, if number.is_multiple_of(2) { Turn::Left } else { Turn::Right }],
    };
    let mut all = Vec::new();
    for turn in turns {
        let mut found = Vec::new();
        for &width in &widths[start.min(widths.len() - 1)..] {
            let boxes = look(detector, frame, &whole, width, turn)?;
            let Some(largest) = boxes.iter().map(|b| b.w).max_by(f32::total_cmp) else { continue };
            found = boxes;
            // One so large proves that no larger one was too small to be seen; a face that is followed is the one.
            if largest * width as f32 >= SAFELY * MIN_FACE as f32 * size[0] || tracker.is_following() {
                break;
            }
        }
        all.extend(found.iter().map(|found| Placement::from_seeta(found, turn.roll())));
        if !all.is_empty() && lying.is_none() {
            break;
        }
    }
    Ok(all)
}

/// How a picture is turned before the detector sees it: it finds heads that are tilted by up to 50°.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    None,
    /// By a quarter, counterclockwise: what was on the right comes to the top.
    Left,
    /// By a quarter, clockwise.
    Right,
}

impl Turn {
    /// In which a head of that roll is upright enough; `None` where it is so as it is.
    fn of(roll: f32) -> Option<Self> {
        (roll.abs() > TILTED).then_some(if roll > 0.0 { Self::Left } else { Self::Right })
    }

    /// Of a face that is upright in the turned picture.
    fn roll(self) -> f32 {
        match self {
            Self::None => 0.0,
            Self::Left => FRAC_PI_2,
            Self::Right => -FRAC_PI_2,
        }
    }

    fn picture(self, image: GrayImage) -> GrayImage {
        let GrayImage { width: w, height: h, data } = image;
        let turned = |at: &dyn Fn(usize, usize) -> usize| (0..w * h).map(|i| data[at(i % h, i / h)]).collect();
        match self {
            Self::None => GrayImage { width: w, height: h, data },
            Self::Left => GrayImage { width: h, height: w, data: turned(&|x, y| x * w + w - 1 - y) },
            Self::Right => GrayImage { width: h, height: w, data: turned(&|x, y| (h - 1 - x) * w + y) },
        }
    }

    /// A box in the turned picture of one of `w` × `h`, in that one.
    fn back(self, b: &Rect, [w, h]: [f32; 2]) -> Rect {
        match self {
            Self::None => *b,
            Self::Left => Rect::new(w - b.y - b.h, b.x, b.h, b.w),
            Self::Right => Rect::new(b.y, h - b.x - b.w, b.h, b.w),
        }
    }
}

/// Looks for small faces that are followed where they are, which costs less than to look that closely everywhere, and for
/// others in the smallest picture of the frame. `None` where one was not found again.
fn beside_the_known(
    detector: &mut Seeta,
    frame: &VideoFrameRef<&gst::BufferRef>,
    whole: &Rect,
    tracker: &Tracker,
) -> Result<Option<Vec<Placement>>, String> {
    let mut found: Vec<Rect> = Vec::new();
    for bbox in tracker.boxes() {
        let ([x, y], side) = (bbox.center(), SURROUNDINGS * bbox.w);
        let around = Rect::new(x - side / 2.0, y - side / 2.0, side, side);
        let boxes = look(detector, frame, &around, (SURROUNDINGS * SAFELY * MIN_FACE as f32) as usize, Turn::None)?;
        if boxes.is_empty() {
            return Ok(None);
        }
        found.extend(boxes);
    }
    let mut others = look(detector, frame, whole, WIDTHS[0], Turn::None)?;
    others.retain(|other| found.iter().all(|known| known.iou(other) < SAME_FACE));
    found.extend(others);
    Ok(Some(found.iter().map(|found| Placement::from_seeta(found, 0.0)).collect()))
}

/// The boxes that the detector finds in `part` of the frame, cut to it, in a picture `width` wide; best first, in pixels of
/// the frame.
fn look(
    detector: &mut Seeta,
    frame: &VideoFrameRef<&gst::BufferRef>,
    part: &Rect,
    width: usize,
    turn: Turn,
) -> Result<Vec<Rect>, String> {
    // Casting saturates, and NaN becomes 0.
    let [left, top] = [part.x, part.y].map(|v| v as usize);
    let [right, bottom] = [part.x + part.w, part.y + part.h].map(|v| v as usize);
    let (columns, rows) = (right.min(frame.width() as usize), bottom.min(frame.height() as usize));
    let (w, h) = (columns.saturating_sub(left), rows.saturating_sub(top));
    // As wide as asked where nothing is cut off.
    let gray = luma(frame, [left, top, w, h], (width as f32 * w as f32 / part.w.max(1.0)) as usize);
    let scale = w as f32 / gray.width as f32;
    let in_frame = |b: &Rect| Rect::new(left as f32 + b.x * scale, top as f32 + b.y * scale, b.w * scale, b.h * scale);
    let size = [gray.width as f32, gray.height as f32];
    Ok(detector.detect(turn.picture(gray))?.iter().map(|found| in_frame(&turn.back(found, size))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_box_shows_the_same_pixels() {
        let image = || GrayImage { width: 5, height: 3, data: (0..15).collect() };
        for turn in [Turn::None, Turn::Left, Turn::Right] {
            let turned = turn.picture(image());
            for (i, value) in turned.data.iter().enumerate() {
                let place = Rect::new((i % turned.width) as f32, (i / turned.width) as f32, 1.0, 1.0);
                let back = turn.back(&place, [5.0, 3.0]);
                assert_eq!(*value, back.x as u8 + 5 * back.y as u8, "{turn:?} {place:?} {back:?}");
            }
        }
        // Clockwise in the picture, as rolls are: what is on top of a head with that roll comes to the top.
        assert_eq!(Turn::Left.picture(image()).data[..3], [4, 9, 14]);
    }
}
