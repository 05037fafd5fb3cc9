// SPDX-License-Identifier: MPL-2.0
//! From faces and rows to input tensors, from output tensors to what facepaste shows. Pure.

use std::sync::Arc;

use crate::face_meta::{Face, Generated, LANDMARKS, Patch, RgbImage, Warp};
use crate::model::manifest::{Color, FeatureLayout, Mask, Output, Picture, Round, Source};
use crate::runtime::Tensor;

/// What one face of one frame gives to the graphs.
#[derive(Clone, Debug)]
pub struct FaceInput {
    /// One window per input that takes features, in the manifest's order.
    pub windows: Arc<Vec<Vec<f32>>>,
    /// x, y in fractions of the crop.
    pub landmarks: [[f32; 2]; LANDMARKS],
    pub crop: Arc<RgbImage>,
}

impl FaceInput {
    /// `None` where the face's crop does not map onto the frame.
    pub fn new(face: &Face, windows: Arc<Vec<Vec<f32>>>) -> Option<Self> {
        let to_crop = face.crop_to_frame.invert()?;
        let (w, h) = (face.crop.width as f32, face.crop.height as f32);
        let landmarks = face.landmarks.map(|p| {
            let q = to_crop.apply(p);
            [q[0] / w, q[1] / h]
        });
        Some(Self { windows, landmarks, crop: face.crop.clone() })
    }
}

/// Sizes that are the same for every face of a model.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Numbers in a feature row.
    pub row: usize,
    pub crop_width: usize,
    pub crop_height: usize,
    pub color: Color,
}

/// The shape of the tensor that `source` fills, without the batch axis.
pub fn input_shape(source: &Source, sizes: &Sizes) -> Vec<usize> {
    match source {
        Source::Features { rows, layout } => {
            let (r, w) = (rows.count as usize, sizes.row);
            match layout {
                FeatureLayout::Nrw => vec![r, w],
                FeatureLayout::Nwr => vec![w, r],
                FeatureLayout::N1rw => vec![1, r, w],
                FeatureLayout::N1wr => vec![1, w, r],
            }
        }
        Source::Landmarks => vec![LANDMARKS, 2],
        Source::Pictures { pictures, .. } => vec![3 * pictures.len(), sizes.crop_height, sizes.crop_width],
    }
}

/// Fills the tensor of `source` for all `faces`. `window` is the position of its window in [`FaceInput::windows`].
pub fn input(source: &Source, window: usize, sizes: &Sizes, faces: &[FaceInput]) -> Tensor {
    let mut shape = vec![faces.len()];
    shape.extend(input_shape(source, sizes));
    let mut data = Vec::with_capacity(shape.iter().product());
    for face in faces {
        match source {
            Source::Features { layout, .. } => {
                let rows = &face.windows[window];
                match layout {
                    FeatureLayout::Nrw | FeatureLayout::N1rw => data.extend_from_slice(rows),
                    FeatureLayout::Nwr | FeatureLayout::N1wr => {
                        for column in 0..sizes.row {
                            data.extend(rows.iter().skip(column).step_by(sizes.row));
                        }
                    }
                }
            }
            Source::Landmarks => data.extend(face.landmarks.iter().flatten()),
            Source::Pictures { pictures, range, mask } => {
                for picture in pictures {
                    let mask = mask.as_ref().filter(|_| *picture == Picture::Masked);
                    push_picture(&face.crop, sizes.color, *range, mask, &mut data);
                }
            }
        }
    }
    Tensor::new(shape, data)
}

fn channels(color: Color) -> [usize; 3] {
    match color {
        Color::Rgb => [0, 1, 2],
        Color::Bgr => [2, 1, 0],
    }
}

fn push_picture(image: &RgbImage, color: Color, [low, high]: [f32; 2], mask: Option<&Mask>, data: &mut Vec<f32>) {
    let scale = (high - low) / 255.0;
    for channel in channels(color) {
        let start = data.len();
        data.extend(image.data.chunks_exact(3).map(|pixel| low + scale * f32::from(pixel[channel])));
        if let Some(mask) = mask {
            let columns = mask.columns[0].min(image.width)..mask.columns[1].min(image.width);
            for row in mask.rows[0].min(image.height)..mask.rows[1].min(image.height) {
                let row = start + row * image.width;
                data[row + columns.start..(row + columns.end).max(row + columns.start)].fill(mask.fill);
            }
        }
    }
}

/// The names of the tensors that `output` is made of.
pub fn output_names(output: &Output) -> Vec<&str> {
    match output {
        Output::Image { name, .. } => vec![name],
        Output::Warp { upper, lower, edges, inner, weight } => vec![upper, lower, edges, inner, weight],
    }
}

/// Splits the tensors named by [`output_names`] into what was made for each of `faces` faces. Nothing in them is trusted.
pub fn output(output: &Output, sizes: &Sizes, faces: usize, tensors: &[Tensor]) -> Result<Vec<Generated>, String> {
    let names = output_names(output);
    // All values are looked at: that the compiler can vectorise.
    let finite = |tensor: &Tensor| tensor.data.iter().fold(true, |finite, value| finite & value.is_finite());
    if let Some((name, _)) = names.iter().zip(tensors).find(|(_, tensor)| !finite(tensor)) {
        return Err(format!("output \"{name}\" holds NaN or infinity"));
    }
    let check = |i: usize, axes: [usize; 3]| {
        let [c, h, w] = axes;
        let expected = [faces, c, h, w];
        if tensors[i].shape != expected || tensors[i].data.len() != faces * c * h * w {
            return Err(format!("output \"{}\" has the shape {:?}, expected {expected:?}", names[i], tensors[i].shape));
        }
        Ok(tensors[i].data.chunks_exact(c * h * w))
    };
    match output {
        Output::Image { range, round, color, .. } => {
            let (width, height) = (sizes.crop_width, sizes.crop_height);
            let made = check(0, [3, height, width])?;
            Ok(made
                .map(|planes| Generated::Image(Arc::new(to_patch(planes, width, height, *range, *round, *color))))
                .collect())
        }
        Output::Warp { .. } => {
            let (h, w) = match tensors[0].shape[..] {
                [_, _, h, w] if (2..=512).contains(&h) && (2..=512).contains(&w) => (h, w),
                _ => {
                    return Err(format!(
                        "output \"{}\" has the shape {:?}, expected (n, 2, h, w) with h and w from 2 to 512",
                        names[0], tensors[0].shape
                    ));
                }
            };
            let (upper, lower) = (check(0, [2, h, w])?, check(1, [2, h, w])?);
            let (edges, inner, weight) = (check(2, [2, h, w])?, check(3, [4, h, w])?, check(4, [1, h, w])?);
            Ok(upper
                .zip(lower)
                .zip(edges)
                .zip(inner)
                .zip(weight)
                .map(|((((upper, lower), edges), inner), weight)| {
                    Generated::Warp(Arc::new(Warp {
                        width: w,
                        height: h,
                        displacement: [upper, lower].concat(),
                        edges: edges.to_vec(),
                        inner: inner.to_vec(),
                        weight: weight.to_vec(),
                    }))
                })
                .collect())
        }
    }
}

fn to_patch(planes: &[f32], width: usize, height: usize, [low, high]: [f32; 2], round: Round, color: Color) -> Patch {
    let scale = 255.0 / (high - low);
    let rounding = if round == Round::Nearest { 0.5 } else { 0.0 };
    let area = width * height;
    let mut data = vec![0; area * 3];
    for (plane, channel) in planes.chunks_exact(area).zip(channels(color)) {
        for (pixel, value) in data.chunks_exact_mut(3).zip(plane) {
            // `as` clips to 0..255 and cuts the fraction off.
            pixel[channel] = ((value - low) * scale + rounding) as u8;
        }
    }
    RgbImage { width, height, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::{End, Rows};

    const SIZES: Sizes = Sizes { row: 3, crop_width: 2, crop_height: 2, color: Color::Bgr };

    fn face() -> FaceInput {
        FaceInput {
            windows: Arc::new(vec![vec![1., 2., 3., 4., 5., 6.]]),
            landmarks: [[0.25, 0.5]; LANDMARKS],
            crop: Arc::new(RgbImage { width: 2, height: 2, data: (0..12).map(|v| v * 20).collect() }),
        }
    }

    #[test]
    fn features_lie_as_the_layout_says() {
        let rows = Rows { before: 0, count: 2, end: End::Zero };
        let tensor = |layout| input(&Source::Features { rows, layout }, 0, &SIZES, &[face(), face()]);
        assert_eq!(tensor(FeatureLayout::Nrw).shape, [2, 2, 3]);
        assert_eq!(tensor(FeatureLayout::Nrw).data[..6], [1., 2., 3., 4., 5., 6.]);
        assert_eq!(tensor(FeatureLayout::N1wr).shape, [2, 1, 3, 2]);
        assert_eq!(tensor(FeatureLayout::N1wr).data[6..], [1., 4., 2., 5., 3., 6.]);
    }

    #[test]
    fn pictures_have_the_color_order_range_and_mask_of_the_manifest() {
        let source = Source::Pictures {
            pictures: vec![Picture::Masked, Picture::Face],
            range: [-1.0, 1.0],
            mask: Some(Mask { rows: [1, 2], columns: [0, usize::MAX], fill: -1.0 }),
        };
        let tensor = input(&source, 0, &SIZES, &[face()]);
        assert_eq!(tensor.shape, [1, 6, 2, 2]);
        let close = |plane: std::ops::Range<usize>, expected: [f32; 4]| {
            let found = &tensor.data[plane];
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}, expected {expected:?}");
        };
        let value = |byte: f32| -1.0 + byte * 2.0 / 255.0;
        close(0..4, [value(40.), value(100.), -1.0, -1.0]); // blue, lower row masked
        close(12..16, [value(40.), value(100.), value(160.), value(220.)]);
        close(20..24, [value(0.), value(60.), value(120.), value(180.)]); // red
    }

    #[test]
    fn an_image_comes_back_as_it_went_in() {
        let source = Source::Pictures { pictures: vec![Picture::Face], range: [0.0, 1.0], mask: None };
        let tensor = input(&source, 0, &SIZES, &[face()]);
        let kind =
            Output::Image { name: serde_name("out"), range: [0.0, 1.0], round: Round::Nearest, color: Color::Bgr };
        match &output(&kind, &SIZES, 1, &[tensor]).unwrap()[0] {
            Generated::Image(patch) => assert_eq!(**patch, *face().crop),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn outputs_are_not_trusted() {
        let kind =
            Output::Image { name: serde_name("out"), range: [0.0, 1.0], round: Round::Nearest, color: Color::Rgb };
        let wrong = Tensor::new([1, 3, 2, 1], vec![0.0; 6]);
        assert!(output(&kind, &SIZES, 1, &[wrong]).unwrap_err().contains("expected [1, 3, 2, 2]"));
        let nan = Tensor::new([1, 3, 2, 2], vec![f32::NAN; 12]);
        assert!(output(&kind, &SIZES, 1, &[nan]).unwrap_err().contains("NaN"));
        let warp = Output::Warp {
            upper: serde_name("u"),
            lower: serde_name("l"),
            edges: serde_name("e"),
            inner: serde_name("i"),
            weight: serde_name("w"),
        };
        let grid = |c: usize| Tensor::new([1, c, 4, 4], vec![0.0; c * 16]);
        assert!(output(&warp, &SIZES, 1, &[grid(2), grid(2), grid(2), grid(4), grid(1)]).is_ok());
        assert!(output(&warp, &SIZES, 1, &[grid(2), grid(2), grid(2), grid(3), grid(1)]).is_err());
    }

    fn serde_name(text: &str) -> crate::model::Name {
        crate::model::Name::new(text)
    }
}
