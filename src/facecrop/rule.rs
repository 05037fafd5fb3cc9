// SPDX-License-Identifier: MPL-2.0
//! The manifest's crop rules: from a face's box and landmarks to the map from crop pixels to frame pixels.

use super::shape::Landmarks;
use crate::geometry::{Affine, Point, Rect};
use crate::model::manifest::{CropRule, FaceCrop};

/// Outer eye corners, left and right in the picture.
const EYES: [usize; 2] = [36, 45];

/// `None` where the face leaves no area to cut out.
pub fn crop_to_frame(crop: &FaceCrop, bbox: &Rect, points: &Landmarks) -> Option<Affine> {
    let [width, height] = [crop.size.width as f32, crop.size.height as f32];
    let map = match &crop.rule {
        CropRule::Box { pad: [left, top, right, bottom] } => {
            let (w, h) = (left + bbox.w + right, top + bbox.h + bottom);
            if w <= 0.0 || h <= 0.0 {
                return None;
            }
            Affine([w / width, 0.0, bbox.x - left, 0.0, h / height, bbox.y - top])
        }
        CropRule::Similarity { anchor, span, scale, shift } => {
            let [from, to] = [mean(points, &span[0]), mean(points, &span[1])];
            let side = scale * (to[0] - from[0]).hypot(to[1] - from[1]);
            let [left, right] = EYES.map(|i| points[i]);
            let eyes = [right[0] - left[0], right[1] - left[1]];
            let length = eyes[0].hypot(eyes[1]);
            let [c, s] = eyes.map(|v| v / length * side);
            let [x, y] = mean(points, anchor);
            // Of the crop's corner, in sides and in the face's axes.
            let corner = shift.map(|v| v - 0.5);
            let origin = [x + c * corner[0] - s * corner[1], y + s * corner[0] + c * corner[1]];
            Affine([c / width, -s / height, origin[0], s / width, c / height, origin[1]])
        }
    };
    map.invert().map(|_| map)
}

fn mean(points: &Landmarks, indices: &[usize]) -> Point {
    let n = indices.len() as f32;
    indices.iter().fold([0.0; 2], |sum, &i| [sum[0] + points[i][0] / n, sum[1] + points[i][1] / n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facecrop::shape::{Placement, mean_face};

    fn crop(rule: &str) -> FaceCrop {
        toml::from_str(rule).unwrap()
    }

    fn close(a: Point, b: Point) -> bool {
        (a[0] - b[0]).abs() < 1e-2 && (a[1] - b[1]).abs() < 1e-2
    }

    #[test]
    fn a_box_grows_by_its_pad_and_is_stretched() {
        let rule = "size = [96, 32]\nrule = \"box\"\npad = { left = \"1px\", top = \"2px\", right = \"3px\", bottom = \"10px\" }";
        let points = mean_face(Placement { center: [0.0, 0.0], size: 50.0, roll: 0.0 });
        let map = crop_to_frame(&crop(rule), &Rect::new(100.0, 50.0, 40.0, 60.0), &points).unwrap();
        assert!(close(map.apply([0.0, 0.0]), [99.0, 48.0]));
        assert!(close(map.apply([96.0, 32.0]), [143.0, 120.0]));
        let shrink = "size = [96, 32]\nrule = \"box\"\npad = { right = \"-41px\" }";
        assert_eq!(crop_to_frame(&crop(shrink), &Rect::new(100.0, 50.0, 40.0, 60.0), &points), None);
    }

    const SIMILARITY: &str = "size = [64, 128]
        rule = \"similarity\"
        anchor = [48, 54]
        span = [[36, 45], [48, 54]]
        scale = 2.0
        shift = [0.0, 0.25]";

    #[test]
    fn a_square_stands_upright_in_the_face() {
        for roll in [0.0, 0.5] {
            let placed = Placement { center: [200.0, 100.0], size: 100.0, roll };
            let points = mean_face(placed);
            let map = crop_to_frame(&crop(SIMILARITY), &Rect::default(), &points).unwrap();
            // In the mean face: the mouth's corners lie at y = 0.168, the outer corners of the eyes at −0.319.
            let side = 2.0 * (0.168 + 0.319);
            let middle = placed.to_frame().apply([0.0, 0.168 + 0.25 * side]);
            assert!(close(map.apply([32.0, 64.0]), middle), "{:?} {middle:?}", map.apply([32.0, 64.0]));
            let corner = placed.to_frame().apply([-side / 2.0, 0.168 + (0.25 - 0.5) * side]);
            assert!(close(map.apply([0.0, 0.0]), corner), "{:?} {corner:?}", map.apply([0.0, 0.0]));
        }
    }

    #[test]
    fn a_face_without_extent_has_no_crop() {
        for points in [[[3.0, 3.0]; 68], [[f32::NAN; 2]; 68]] {
            assert_eq!(crop_to_frame(&crop(SIMILARITY), &Rect::default(), &points), None);
        }
    }
}
