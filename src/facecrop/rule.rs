// SPDX-License-Identifier: MPL-2.0
//! The manifest's crop rules: from a face's box and landmarks to the map from crop pixels to frame pixels.

use super::shape::Placement;
use crate::geometry::{Affine, Point, Rect};
use crate::model::manifest::{CropRule, FaceCrop, Values};
use crate::model::points::PointSet;

/// Outer eye corners, left and right in the picture.
const EYES: [usize; 2] = [36, 45];

/// Where a crop lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub crop_to_frame: Affine,
    /// The rule's rectangle in the frame (left, top, right, bottom) where that is made of whole pixels: nothing beyond it is
    /// looked at then, as if it had been cut out first and resized after.
    pub edges: Option<[f32; 4]>,
}

/// A manifest's crop, fit for the landmarks that there are.
#[derive(Clone, Debug)]
pub struct Cutter {
    pub crop: FaceCrop,
    /// The rule's numbers are those of the landmark network's own points.
    own: bool,
}

impl Cutter {
    /// `network`: the points that the landmark network finds. The error is for the user.
    pub fn new(crop: &FaceCrop, network: PointSet) -> Result<Self, String> {
        let own = crop.points != PointSet::Ibug68 && crop.points == network;
        let crop = if own { Ok(crop.clone()) } else { crop.clone().among_ibug() };
        crop.map(|crop| Self { crop, own }).map_err(|e| {
            let own = network.name();
            format!("{e}, and the landmark network's own are {own}; take another point, or a detector's folder with such a network")
        })
    }

    /// `landmarks`: iBUG's 68; `own`: the network's, empty where they are the same. `None` where the face leaves no area to
    /// cut out.
    pub fn place(&self, bbox: &Rect, landmarks: &[Point], own: &[Point]) -> Option<Place> {
        place(&self.crop, bbox, if self.own { own } else { landmarks })
    }
}

fn place(crop: &FaceCrop, bbox: &Rect, points: &[Point]) -> Option<Place> {
    // Of what the rule describes, margin and all.
    let [width, height] = [crop.size.width, crop.size.height].map(|v| (v + 2 * crop.margin) as f32);
    let stretched = |[left, top, right, bottom]: [f32; 4], whole: bool| {
        let (w, h) = (right - left, bottom - top);
        (w > 0.0 && h > 0.0).then(|| Place {
            crop_to_frame: Affine([w / width, 0.0, left, 0.0, h / height, top]),
            edges: whole.then_some([left, top, right, bottom]),
        })
    };
    let Place { crop_to_frame: map, edges } = match &crop.rule {
        CropRule::Box { pad: [left, top, right, bottom], whole } => {
            let (left, right) = (left.of(bbox.w), right.of(bbox.w));
            let (top, bottom) = (top.of(bbox.h), bottom.of(bbox.h));
            if *whole {
                let sides = [bbox.x - left, bbox.y - top, bbox.x + bbox.w + right, bbox.y + bbox.h + bottom];
                stretched(sides.map(f32::floor), true)?
            } else {
                let (w, h) = (left + bbox.w + right, top + bbox.h + bottom);
                if w <= 0.0 || h <= 0.0 {
                    return None;
                }
                Place {
                    crop_to_frame: Affine([w / width, 0.0, bbox.x - left, 0.0, h / height, bbox.y - top]),
                    edges: None,
                }
            }
        }
        CropRule::Rectangle { sides, whole } => {
            let mut values = Values::new(points);
            let mut found = [0.0; 4];
            for (k, side) in sides.iter().enumerate() {
                let value = side.value(&values);
                found[k] = if *whole { value.floor() } else { value };
                values.set_side(k, found[k]);
            }
            let [left, right, top, bottom] = found.map(|v| v as f32);
            stretched([left, top, right, bottom], *whole)?
        }
        CropRule::Similarity { anchor, span, scale, shift } => {
            let [from, to] = [mean(points, &span[0])?, mean(points, &span[1])?];
            let side = scale * (to[0] - from[0]).hypot(to[1] - from[1]);
            let [left, right] = [*points.get(EYES[0])?, *points.get(EYES[1])?];
            let eyes = [right[0] - left[0], right[1] - left[1]];
            let length = eyes[0].hypot(eyes[1]);
            let [c, s] = eyes.map(|v| v / length * side);
            let [x, y] = mean(points, anchor)?;
            // Of the crop's corner, in sides and in the face's axes.
            let corner = shift.map(|v| v - 0.5);
            let origin = [x + c * corner[0] - s * corner[1], y + s * corner[0] + c * corner[1]];
            let map = Affine([c / width, -s / height, origin[0], s / width, c / height, origin[1]]);
            Place { crop_to_frame: map, edges: None }
        }
        CropRule::Template(places) => {
            let at = |i: usize| points.get(i).copied().unwrap_or([f32::NAN; 2]);
            let pairs = || {
                places.iter().map(|([a, b], place)| {
                    let (a, b) = (at(*a), at(*b));
                    ([(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0], *place)
                })
            };
            Place { crop_to_frame: Placement::fit_pairs(pairs)?.to_frame().invert()?, edges: None }
        }
    };
    let inner = match crop.margin {
        0 => map,
        margin => Affine([1.0, 0.0, margin as f32, 0.0, 1.0, margin as f32]).then(&map),
    };
    inner.invert().map(|_| Place { crop_to_frame: inner, edges })
}

/// `None` where a point is missing.
fn mean(points: &[Point], indices: &[usize]) -> Option<Point> {
    let n = indices.len() as f32;
    indices.iter().try_fold([0.0; 2], |sum, &i| {
        let p = points.get(i)?;
        Some([sum[0] + p[0] / n, sum[1] + p[1] / n])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facecrop::shape::mean_face;

    fn crop(rule: &str) -> FaceCrop {
        toml::from_str(rule).unwrap()
    }

    fn crop_to_frame(crop: &FaceCrop, bbox: &Rect, points: &[Point]) -> Option<Affine> {
        Cutter::new(crop, PointSet::Ibug68).unwrap().place(bbox, points, &[]).map(|place| place.crop_to_frame)
    }

    fn close(a: Point, b: Point) -> bool {
        (a[0] - b[0]).abs() < 1e-2 && (a[1] - b[1]).abs() < 1e-2
    }

    /// Where the crop's corners lie in the frame: left, top, right, bottom.
    fn corners(crop: &FaceCrop, map: &Affine) -> [f32; 4] {
        let [left, top] = map.apply([0.0, 0.0]);
        let [right, bottom] = map.apply([crop.size.width as f32, crop.size.height as f32]);
        [left, top, right, bottom]
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
        let fraction =
            crop("size = [96, 32]\nrule = \"box\"\npad = { left = \"0.1\", bottom = \"0.25\", top = \"-1px\" }");
        let map = crop_to_frame(&fraction, &Rect::new(100.0, 50.0, 40.0, 60.0), &points).unwrap();
        assert_eq!(corners(&fraction, &map).map(f32::round), [96.0, 51.0, 140.0, 125.0]);
        let whole = crop("size = [96, 32]\nrule = \"box\"\nwhole = true\npad = { bottom = \"10px\" }");
        let place = place(&whole, &Rect::new(100.7, 50.2, 40.0, 60.9), &points).unwrap();
        assert_eq!(place.edges, Some([100.0, 50.0, 140.0, 121.0]));
        assert_eq!(corners(&whole, &place.crop_to_frame).map(f32::round), [100.0, 50.0, 140.0, 121.0]);
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

    /// The mean face has the jaw's ends at x = ±0.5, y = −0.299 and spans y from −0.489 to 0.489.
    const PLACED: Placement = Placement { center: [500.0, 300.0], size: 200.0, roll: 0.0 };

    #[test]
    fn rectangles_of_known_models_lie_where_their_code_puts_them() {
        let points = mean_face(PLACED);
        let y = |v: f32| 300.0 + 200.0 * v;
        // MuseTalk: from the leftmost to the rightmost landmark; as far above 29 as the lowest is below, and 10 px more below.
        let musetalk = "size = [256, 256]\nrule = \"rectangle\"\nleft = \"min-x\"\nright = \"max-x\"\n\
             top = \"y29 - (max-y - y29)\"\nbottom = \"max-y + 10\"\ninterpolation = \"lanczos\"";
        // HeyGem: k = width of the landmarks' box / 0.97; 1.5 k wide, from 0.15 k above it.
        let heygem = "size = [256, 256]\nmargin = 5\nrule = \"rectangle\"\ninterpolation = \"cubic\"\n\
             left = \"(min-x + max-x) / 2 - 0.75 * (max-x - min-x) / 0.97\"\n\
             right = \"left + 1.5 * (max-x - min-x) / 0.97\"\ntop = \"min-y - 0.15 * (right - left) / 1.5\"\n\
             bottom = \"top + right - left\"";
        let k = 200.0 / 0.97;
        let ultralight = "size = [160, 160]\nmargin = 4\nrule = \"rectangle\"\ninterpolation = \"area\"\n\
             points = \"pfld-110\"\nleft = \"x1\"\nright = \"x31\"\ntop = \"y52\"\nbottom = \"top + right - left\"";
        let w = 200.0 * (0.5 + 0.489);
        for (rule, outer) in [
            (musetalk, [400.0, y(-0.136) - (y(0.489) - y(-0.136)), 600.0, y(0.489) + 10.0]),
            (heygem, [500.0 - 0.75 * k, y(-0.489) - 0.15 * k, 500.0 + 0.75 * k, y(-0.489) + 1.35 * k]),
            (ultralight, [500.0 - w / 2.0, y(-0.307), 500.0 + w / 2.0, y(-0.307) + w]),
        ] {
            let crop = crop(rule);
            let map = crop_to_frame(&crop, &Rect::default(), &points).unwrap();
            // The inner part, by the margin's share.
            let side = (crop.size.width + 2 * crop.margin) as f32;
            let inset = [outer[2] - outer[0], outer[3] - outer[1]].map(|v| v * crop.margin as f32 / side);
            let inner = [outer[0] + inset[0], outer[1] + inset[1], outer[2] - inset[0], outer[3] - inset[1]];
            let found = corners(&crop, &map);
            assert!(inner.iter().zip(found).all(|(a, b)| (a - b).abs() < 0.02), "{rule}: {found:?}, not {inner:?}");
        }
    }

    #[test]
    fn whole_sides_are_rounded_before_they_are_used() {
        let rule = "size = [160, 160]\nmargin = 4\nrule = \"rectangle\"\nwhole = true\nleft = \"x0\"\nright = \"x16\"\n\
             top = \"y27\"\nbottom = \"top + right - left\"";
        let mut points = mean_face(PLACED);
        (points[0][0], points[16][0], points[27][1]) = (400.9, 600.2, 238.7);
        let place = place(&crop(rule), &Rect::default(), &points).unwrap();
        assert_eq!(place.edges, Some([400.0, 238.0, 600.0, 438.0]));
    }

    #[test]
    fn a_template_brings_landmarks_to_their_places() {
        let rule = "size = [96, 96]\nmargin = 3\nrule = \"template\"\ntemplate = [[36, 30, 40], [45, 70, 40]]";
        let points = mean_face(Placement { roll: 0.4, ..PLACED });
        let map = crop_to_frame(&crop(rule), &Rect::default(), &points).unwrap();
        // Places count from the margin's corner.
        assert!(close(map.apply([27.0, 37.0]), points[36]) && close(map.apply([67.0, 37.0]), points[45]));
        let together = [[5.0, 5.0]; 68];
        assert_eq!(crop_to_frame(&crop(rule), &Rect::default(), &together), None);
    }

    #[test]
    fn the_networks_own_points_are_taken_where_they_are_the_rules() {
        let rule = crop(
            "size = [96, 96]\nrule = \"rectangle\"\npoints = \"wflw-98\"\nleft = \"x96\"\nright = \"x97\"\n\
             top = \"y96\"\nbottom = \"top + 10\"",
        );
        let error = Cutter::new(&rule, PointSet::Ibug68).unwrap_err();
        assert!(error.contains("point 96 of points = \"wflw-98\" has no counterpart"), "{error}");
        let cutter = Cutter::new(&rule, PointSet::Wflw98).unwrap();
        let own: Vec<Point> = (0..98).map(|i| [i as f32, 7.0]).collect();
        let place = cutter.place(&Rect::default(), &mean_face(PLACED), &own).unwrap();
        assert!(close(place.crop_to_frame.apply([0.0, 0.0]), [96.0, 7.0]));
        // A face of which nothing but the 68 is known.
        assert_eq!(cutter.place(&Rect::default(), &mean_face(PLACED), &[]), None);
    }

    #[test]
    fn a_face_without_extent_has_no_crop() {
        let rectangle = "size = [96, 96]\nrule = \"rectangle\"\nleft = \"min-x\"\nright = \"max-x\"\ntop = \"min-y\"\n\
             bottom = \"max-y / (x0 - x0)\"";
        let template = "size = [96, 96]\nrule = \"template\"\ntemplate = [[36, 30, 40], [45, 70, 40]]";
        for rule in [SIMILARITY, rectangle, template] {
            for points in [[[3.0, 3.0]; 68], [[f32::NAN; 2]; 68], [[f32::INFINITY; 2]; 68]] {
                assert_eq!(crop_to_frame(&crop(rule), &Rect::default(), &points), None, "{rule}");
            }
        }
    }
}
