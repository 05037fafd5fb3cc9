// SPDX-License-Identifier: MPL-2.0
//! From faces and rows to input tensors, from output tensors to what facepaste shows. Pure.

use std::sync::Arc;

use super::memory::Recalls;
use crate::face_meta::{Face, Generated, InnerGrid, LANDMARKS, Patch, RgbImage, Values, Warp};
use crate::geometry::Point;
use crate::model::manifest::{Area, Color, InnerArea, Mask, Normal, Output, Picture, Range, Round, Source};
use crate::model::points::PointSet;
use crate::runtime::Tensor;

/// What one face of one frame gives to the graphs.
#[derive(Clone, Debug)]
pub struct FaceInput {
    /// One window per input that takes features, in the manifest's order.
    pub windows: Arc<Vec<Vec<f32>>>,
    /// x, y in fractions of the crop.
    pub landmarks: [[f32; 2]; LANDMARKS],
    /// Likewise the landmark network's own, in this numbering.
    pub points: Vec<[f32; 2]>,
    pub point_set: PointSet,
    pub crop: Arc<RgbImage>,
    /// The first crop of the track.
    pub reference: Arc<RgbImage>,
    /// What is remembered of the track.
    pub memory: Recalls,
}

impl FaceInput {
    /// `None` where the face's crop does not map onto the frame.
    pub fn new(face: &Face, windows: Arc<Vec<Vec<f32>>>, reference: Arc<RgbImage>, memory: Recalls) -> Option<Self> {
        let fraction = crop_fractions(face)?;
        Some(Self {
            windows,
            landmarks: face.landmarks.map(&fraction),
            points: face.points.iter().copied().map(&fraction).collect(),
            point_set: face.point_set,
            crop: face.crop.clone(),
            reference,
            memory,
        })
    }

    /// The landmarks in the numbering `wanted`. The error says that there are none.
    fn landmarks(&self, wanted: PointSet) -> Result<&[[f32; 2]], String> {
        match wanted {
            PointSet::Ibug68 => Ok(&self.landmarks),
            _ if wanted == self.point_set && self.points.len() == wanted.count() => Ok(&self.points),
            _ => Err(format!(
                "an input takes points = \"{}\", but the face was found with {} {}; name a landmark network that finds them by \
                 `landmarks` in [facecrop]",
                wanted.name(),
                self.points.len().max(LANDMARKS),
                self.point_set.name()
            )),
        }
    }

    /// What `picture` shows, before anything is masked.
    fn picture(&self, picture: Picture) -> &RgbImage {
        match picture {
            Picture::Face | Picture::Masked => &self.crop,
            Picture::Reference => &self.reference,
            Picture::Memory(of) => self.memory.of(of).map_or(&self.crop, |memory| &memory.crop),
        }
    }
}

/// The face's landmarks in fractions of its crop; `None` where the crop does not map onto the frame.
pub fn in_crop(face: &Face) -> Option<[Point; LANDMARKS]> {
    Some(face.landmarks.map(crop_fractions(face)?))
}

/// From frame pixels to fractions of the face's crop; `None` where the crop does not map onto the frame.
fn crop_fractions(face: &Face) -> Option<impl Fn(Point) -> Point> {
    let to_crop = face.crop_to_frame.invert()?;
    let (w, h) = (face.crop.width as f32, face.crop.height as f32);
    Some(move |p| {
        let q = to_crop.apply(p);
        [q[0] / w, q[1] / h]
    })
}

/// Sizes that are the same for every face of a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Numbers in a feature row.
    pub row: usize,
    pub crop_width: usize,
    pub crop_height: usize,
    pub color: Color,
}

/// The shape of the tensor that `source` fills; `None` is the batch axis. `None` where the graphs themselves say it.
pub fn input_shape(source: &Source, sizes: &Sizes) -> Option<Vec<Option<usize>>> {
    let per_face = |axes: &[usize]| Some([None].into_iter().chain(axes.iter().copied().map(Some)).collect());
    match source {
        Source::Features { shape: Some(shape), .. } => per_face(shape),
        Source::Features { rows, layout, .. } => per_face(&layout.shape(rows.count as usize, sizes.row)),
        Source::Landmarks(select) => per_face(&[select.indices.len(), 2]),
        Source::MemoryLandmarks(_) => per_face(&[LANDMARKS, 2]),
        Source::MemoryWeight(_) => per_face(&[1]),
        Source::Pictures { pictures, .. } => per_face(&[3 * pictures.len(), sizes.crop_height, sizes.crop_width]),
        Source::Constant { shape, .. } => Some(shape.iter().copied().map(Some).collect()),
        Source::Earlier(_) => None,
    }
}

/// Fills the tensor of `source` for all `faces`. `window` is the position of its window in [`FaceInput::windows`]; `known`
/// are the outputs of earlier graphs.
pub fn input<'a>(
    source: &Source,
    window: usize,
    sizes: &Sizes,
    faces: &[&FaceInput],
    known: impl Fn(&str) -> Option<&'a Tensor>,
) -> Result<Tensor, String> {
    let mut data = Vec::new();
    match source {
        Source::Features { layout, .. } => {
            for face in faces {
                let rows = &face.windows[window];
                if layout.is_row_by_row() {
                    data.extend_from_slice(rows);
                } else {
                    for column in 0..sizes.row {
                        data.extend(rows.iter().skip(column).step_by(sizes.row));
                    }
                }
            }
        }
        Source::Landmarks(select) => {
            for face in faces {
                let points = face.landmarks(select.points)?;
                data.extend(select.indices.iter().flat_map(|&i| points[i]));
            }
        }
        Source::MemoryLandmarks(of) => {
            for face in faces {
                let points = face.memory.of(*of).map_or(&face.landmarks, |memory| &memory.landmarks);
                data.extend(points.iter().flatten());
            }
        }
        Source::MemoryWeight(of) => {
            data.extend(faces.iter().map(|face| face.memory.of(*of).map_or(0.0, |memory| memory.weight)));
        }
        Source::Pictures { pictures, range, mask, normal } => {
            data.reserve_exact(faces.len() * pictures.len() * 3 * sizes.crop_height * sizes.crop_width);
            for face in faces {
                for picture in pictures {
                    let image = face.picture(*picture);
                    let mask = mask.as_ref().filter(|_| *picture == Picture::Masked);
                    push_picture(image, sizes.color, *range, mask, normal.as_ref(), &mut data);
                }
            }
        }
        Source::Constant { value, shape } => return Ok(Tensor::new(shape.clone(), value.clone())),
        Source::Earlier(names) => {
            let parts: Vec<&Tensor> = names
                .iter()
                .map(|name| known(name).ok_or_else(|| format!("output \"{}\" was not made", &**name)))
                .collect::<Result<_, _>>()?;
            return join(names, &parts);
        }
    }
    let shape = input_shape(source, sizes).unwrap_or_default();
    Ok(Tensor::new(shape.iter().map(|axis| axis.unwrap_or(faces.len())).collect::<Vec<_>>(), data))
}

/// Joins tensors along axis 1; all other axes must agree.
fn join(names: &[impl std::ops::Deref<Target = str>], parts: &[&Tensor]) -> Result<Tensor, String> {
    let [first, rest @ ..] = parts else { return Err("nothing to join".into()) };
    if rest.is_empty() {
        return Ok((*first).clone());
    }
    for (name, part) in names.iter().zip(parts) {
        let fits = part.shape.len() >= 2
            && part.shape.len() == first.shape.len()
            && part.shape[0] == first.shape[0]
            && part.shape[2..] == first.shape[2..];
        if !fits {
            return Err(format!(
                "outputs cannot be joined along axis 1: \"{}\" has the shape {:?}, \"{}\" {:?}",
                &*names[0], first.shape, &**name, part.shape
            ));
        }
    }
    let mut shape = first.shape.clone();
    shape[1] = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.shape[1]));
    let mut data = Vec::with_capacity(parts.iter().map(|part| part.data.len()).sum());
    for entry in 0..shape[0] {
        for part in parts {
            let size = part.data.len() / shape[0];
            data.extend_from_slice(&part.data[entry * size..(entry + 1) * size]);
        }
    }
    Ok(Tensor::new(shape, data))
}

/// The entries `indices` of a tensor whose first axis is a batch of `batch`; another tensor as it is.
pub fn select(tensor: &Tensor, indices: &[usize], batch: usize) -> Tensor {
    if tensor.shape.first() != Some(&batch) || batch == 0 {
        return tensor.clone();
    }
    let size = tensor.data.len() / batch;
    let mut shape = tensor.shape.clone();
    shape[0] = indices.len();
    Tensor::new(
        shape,
        indices.iter().flat_map(|&i| &tensor.data[i * size..(i + 1) * size]).copied().collect::<Vec<_>>(),
    )
}

/// Entries, each a batch of one, as one tensor. The error says which of them has another shape than the first.
pub fn stack(entries: &[&Tensor]) -> Result<Tensor, String> {
    let mut shape = entries.first().map_or_else(Vec::new, |first| first.shape.clone());
    if let Some(other) = entries.iter().find(|entry| entry.shape != shape || shape.first() != Some(&1)) {
        return Err(format!("has the shape {:?} for one picture, and {shape:?} for another", other.shape));
    }
    if let Some(batch) = shape.first_mut() {
        *batch = entries.len();
    }
    Ok(Tensor::new(shape, entries.iter().flat_map(|entry| &entry.data).copied().collect::<Vec<_>>()))
}

fn channels(color: Color) -> [usize; 3] {
    match color {
        Color::Rgb => [0, 1, 2],
        Color::Bgr => [2, 1, 0],
    }
}

fn push_picture(
    image: &RgbImage,
    color: Color,
    Range([low, high]): Range,
    mask: Option<&Mask>,
    normal: Option<&Normal>,
    data: &mut Vec<f32>,
) {
    let scale = (high - low) / 255.0;
    for (n, channel) in channels(color).into_iter().enumerate() {
        let start = data.len();
        data.extend(image.data.chunks_exact(3).map(|pixel| low + scale * f32::from(pixel[channel])));
        if let Some(normal) = normal {
            data[start..].iter_mut().for_each(|v| *v = (*v - normal.mean[n]) / normal.std[n]);
        }
        if let Some(mask) = mask {
            let columns = mask.columns[0].min(image.width)..mask.columns[1].min(image.width);
            for row in mask.rows[0].min(image.height)..mask.rows[1].min(image.height) {
                let row = start + row * image.width;
                data[row + columns.start..row + columns.end].fill(mask.fill);
            }
        }
    }
}

/// The names of the tensors that `output` is made of.
pub fn output_names(output: &Output) -> Vec<&str> {
    match output {
        Output::Image { name, .. } => vec![name],
        Output::Warp { upper, lower, edges, inner, weight, inner_area } => {
            let mut names: Vec<&str> = vec![upper, lower, edges, inner, weight];
            if let Some(InnerArea::Output(area)) = inner_area {
                names.push(area);
            }
            names
        }
    }
}

/// Splits the tensors named by [`output_names`] into what was made for each of `faces` faces. Nothing in them is trusted.
pub fn output(output: &Output, sizes: &Sizes, faces: usize, tensors: Vec<Tensor>) -> Result<Vec<Generated>, String> {
    let names = output_names(output);
    // All values are looked at: that the compiler can vectorise.
    let finite = |tensor: &Tensor| tensor.data.iter().fold(true, |finite, value| finite & value.is_finite());
    if let Some((name, _)) = names.iter().zip(&tensors).find(|(_, tensor)| !finite(tensor)) {
        return Err(format!("output \"{name}\" holds NaN or infinity"));
    }
    // Each face has so many numbers of tensor `i`.
    let check = |i: usize, axes: [usize; 3]| {
        let [c, h, w] = axes;
        let expected = [faces, c, h, w];
        if tensors[i].shape != expected || tensors[i].data.len() != faces * c * h * w {
            return Err(format!("output \"{}\" has the shape {:?}, expected {expected:?}", names[i], tensors[i].shape));
        }
        Ok(c * h * w)
    };
    match output {
        Output::Image { range, round, color, .. } => {
            let (width, height) = (sizes.crop_width, sizes.crop_height);
            let size = check(0, [3, height, width])?;
            let patch = |planes: &[f32]| to_patch(planes, width, height, *range, *round, *color);
            Ok(tensors[0].data.chunks_exact(size).map(|planes| Generated::Image(Arc::new(patch(planes)))).collect())
        }
        Output::Warp { inner_area, .. } => {
            const PLANES: [usize; 5] = [2, 2, 2, 4, 1];
            const INNER: usize = 3;
            const AREA: usize = 5;
            let grid = |i: usize| match tensors[i].shape[..] {
                [_, _, h, w] if (2..=512).contains(&h) && (2..=512).contains(&w) => Ok([h, w]),
                _ => Err(format!(
                    "output \"{}\" has the shape {:?}, expected (n, {}, h, w) with h and w from 2 to 512",
                    names[i], tensors[i].shape, PLANES[i]
                )),
            };
            let [h, w] = grid(0)?;
            let inner_size = if inner_area.is_some() { grid(INNER)? } else { [h, w] };
            for (i, planes) in PLANES.into_iter().enumerate() {
                let [h, w] = if i == INNER { inner_size } else { [h, w] };
                check(i, [planes, h, w])?;
            }
            let areas = match inner_area {
                None => None,
                Some(InnerArea::Fixed(area)) => Some(vec![*area; faces]),
                Some(InnerArea::Output(_)) => {
                    Some(areas(&tensors[AREA], faces).map_err(|e| format!("output \"{}\" {e}", names[AREA]))?)
                }
            };
            let all: Vec<Arc<Vec<f32>>> = tensors.into_iter().map(|tensor| Arc::new(tensor.data)).collect();
            let warp = |face: usize| {
                let part = |i: usize| {
                    let size = all[i].len() / faces;
                    Values::part(&all[i], face * size..(face + 1) * size)
                };
                let [upper, lower, edges, inner, weight] = std::array::from_fn(part);
                let [height, width] = inner_size;
                let inner_grid = areas.as_ref().map(|areas| InnerGrid { width, height, area: areas[face].0 });
                Generated::Warp(Arc::new(Warp { width: w, height: h, upper, lower, edges, inner, inner_grid, weight }))
            };
            Ok((0..faces).map(warp).collect())
        }
    }
}

/// What the output that says it holds of the area of each face.
fn areas(tensor: &Tensor, faces: usize) -> Result<Vec<Area>, String> {
    let (rows, _) = tensor.data.as_chunks::<4>();
    if tensor.shape != [faces, 4] || rows.len() != faces {
        return Err(format!("has the shape {:?}, expected {:?}", tensor.shape, [faces, 4]));
    }
    rows.iter().map(|&row| Area::new(row).map_err(|error| format!("holds {error}"))).collect()
}

fn to_patch(
    planes: &[f32],
    width: usize,
    height: usize,
    Range([low, high]): Range,
    round: Round,
    color: Color,
) -> Patch {
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
    use super::super::memory::Recall;
    use super::*;
    use crate::model::manifest::Input;

    const SIZES: Sizes = Sizes { row: 3, crop_width: 2, crop_height: 2, color: Color::Bgr };

    fn face() -> FaceInput {
        FaceInput {
            windows: Arc::new(vec![vec![1., 2., 3., 4., 5., 6.]]),
            landmarks: [[0.25, 0.5]; LANDMARKS],
            points: (0..478).map(|i| [i as f32, 0.5]).collect(),
            point_set: PointSet::MediaPipe478,
            crop: Arc::new(RgbImage { width: 2, height: 2, data: (0..12).map(|v| v * 20).collect() }),
            reference: Arc::new(RgbImage { width: 2, height: 2, data: vec![255; 12] }),
            memory: Recalls::default(),
        }
    }

    /// The input that a piece of manifest describes.
    fn source(text: &str) -> Source {
        toml::from_str::<Input>(&format!("name = \"x\"\n{text}")).unwrap().source
    }

    fn filled(text: &str) -> Tensor {
        input(&source(text), 0, &SIZES, &[&face(), &face()], |_| None).unwrap()
    }

    fn close(found: &[f32], expected: &[f32]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near && found.len() == expected.len(), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn features_lie_as_the_layout_says() {
        let rows = "from = \"features\"\nrows = { before = 0, count = 2, end = \"zero\" }";
        let tensor = |layout: &str| filled(&format!("{rows}\nlayout = {layout}"));
        assert_eq!(tensor("\"nrw\"").shape, [2, 2, 3]);
        assert_eq!(tensor("\"nrw\"").data[..6], [1., 2., 3., 4., 5., 6.]);
        assert_eq!(tensor("\"n1wr\"").shape, [2, 1, 3, 2]);
        assert_eq!(tensor("\"n1wr\"").data[6..], [1., 4., 2., 5., 3., 6.]);
        let folded = tensor("\"nrw\"\nshape = [3, 2, 1]");
        assert_eq!((&folded.shape[..], &folded.data[..6]), (&[2, 3, 2, 1][..], &[1., 2., 3., 4., 5., 6.][..]));
    }

    #[test]
    fn pictures_have_the_color_order_range_and_mask_of_the_manifest() {
        let masked = "mask = { rows = [1, 2], fill = -1 }\nrange = [-1, 1]\nlayout = \"nchw\"";
        let tensor = filled(&format!("from = [\"masked\", \"face\", \"reference\"]\n{masked}"));
        assert_eq!(tensor.shape, [2, 9, 2, 2]);
        let value = |byte: f32| -1.0 + byte * 2.0 / 255.0;
        close(&tensor.data[0..4], &[value(40.), value(100.), -1.0, -1.0]); // blue, lower row masked
        close(&tensor.data[12..16], &[value(40.), value(100.), value(160.), value(220.)]);
        close(&tensor.data[20..24], &[value(0.), value(60.), value(120.), value(180.)]); // red
        close(&tensor.data[24..36], &[value(255.); 12]);
        let tensor = filled("from = \"face\"\nlayout = \"nchw\"\nmean = [0.5, 0, 0]\nstd = [0.25, 1, 1]");
        close(
            &tensor.data[0..5],
            &[40., 100., 160., 220.].map(|v: f32| (v / 255.0 - 0.5) / 0.25)[..]
                .iter()
                .copied()
                .chain([20. / 255.])
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn what_is_remembered_of_a_face_and_what_stands_for_it() {
        let crop = Arc::new(RgbImage { width: 2, height: 2, data: vec![51; 12] });
        let open = Some(Recall { crop, landmarks: [[0.75, 0.125]; LANDMARKS], weight: 0.5 });
        let memory = Recalls { open, closed: None };
        let faces = [&face(), &FaceInput { memory, ..face() }];
        let tensor = |text: &str| input(&source(text), 0, &SIZES, &faces, |_| None).unwrap();
        let points = tensor("from = \"memory-landmarks\"\nlayout = \"npc\"");
        assert_eq!((&points.shape[..], &points.data[..2]), (&[2, 68, 2][..], &[0.25, 0.5][..]));
        assert_eq!(points.data[136..138], [0.75, 0.125]);
        assert_eq!(tensor("from = \"memory-weight\""), Tensor::new([2, 1], vec![0.0, 0.5]));
        assert_eq!(tensor("from = \"closed-weight\""), Tensor::new([2, 1], vec![0.0; 2]));
        let pictures = tensor("from = [\"face\", \"memory\"]\nlayout = \"nchw\"\nrange = [0, 5]");
        assert_eq!((&pictures.shape[..], &pictures.data[..12]), (&[2, 6, 2, 2][..], &pictures.data[12..24]));
        assert_eq!(pictures.data[24..36], pictures.data[..12]);
        close(&pictures.data[36..], &[1.0; 12]);
    }

    #[test]
    fn landmarks_are_selected_in_the_order_of_the_manifest() {
        let all = filled("from = \"landmarks\"\nlayout = \"npc\"");
        assert_eq!((&all.shape[..], all.data[0]), (&[2, 68, 2][..], 0.25));
        let lips = "from = \"landmarks\"\nlayout = \"npc\"\npoints = \"mediapipe-478\"\nselect = [61, 477, 61]";
        let tensor = filled(lips);
        assert_eq!(tensor.shape, [2, 3, 2]);
        assert_eq!(tensor.data[6..], [61.0, 0.5, 477.0, 0.5, 61.0, 0.5]);
        assert_eq!(filled(&lips.replace("select = [61, 477, 61]", "")).shape, [2, 478, 2]);
        // A face that was found with other points.
        let other = FaceInput { points: Vec::new(), point_set: PointSet::Ibug68, ..face() };
        let error = input(&source(lips), 0, &SIZES, &[&other], |_| None).unwrap_err();
        assert!(error.contains("mediapipe-478") && error.contains("found with 68 ibug-68"), "{error}");
    }

    #[test]
    fn constants_and_earlier_outputs_are_inputs_too() {
        assert_eq!(filled("from = \"constant\"\nvalue = 7\nshape = [1]"), Tensor::new([1], vec![7.0]));
        assert_eq!(filled("from = \"constant\"\nvalue = 7"), Tensor::new([], vec![7.0]));
        let (a, b) = (
            Tensor::new([2, 1, 2], vec![1., 2., 3., 4.]),
            Tensor::new([2, 2, 2], (10..18).map(|v| v as f32).collect()),
        );
        let known = |name: &str| Some(if name == "a" { &a } else { &b });
        let both = input(&source("from = [\"a\", \"b\"]"), 0, &SIZES, &[], known).unwrap();
        assert_eq!(both, Tensor::new([2, 3, 2], vec![1., 2., 10., 11., 12., 13., 3., 4., 14., 15., 16., 17.]));
        let c = Tensor::new([2, 2, 3], vec![0.0; 12]);
        let known = |name: &str| Some(if name == "a" { &a } else { &c });
        let error = input(&source("from = [\"a\", \"c\"]"), 0, &SIZES, &[], known).unwrap_err();
        assert!(error.contains("[2, 1, 2]") && error.contains("[2, 2, 3]"), "{error}");
    }

    #[test]
    fn an_image_comes_back_as_it_went_in() {
        let tensor = input(&source("from = \"face\"\nlayout = \"nchw\""), 0, &SIZES, &[&face()], |_| None).unwrap();
        let kind = Output::Image {
            name: serde_name("out"),
            range: Range([0.0, 1.0]),
            round: Round::Nearest,
            color: Color::Bgr,
        };
        match &output(&kind, &SIZES, 1, vec![tensor]).unwrap()[0] {
            Generated::Image(patch) => assert_eq!(**patch, *face().crop),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn entries_are_stacked_where_they_are_alike() {
        let entry = |width: usize| Tensor::new([1, width], vec![width as f32; width]);
        assert_eq!(stack(&[&entry(2), &entry(2)]), Ok(Tensor::new([2, 2], vec![2.0; 4])));
        let error = stack(&[&entry(2), &entry(3)]).unwrap_err();
        assert!(error.contains("[1, 3] for one picture, and [1, 2]"), "{error}");
        assert!(stack(&[&Tensor::new([], vec![1.0])]).is_err());
    }

    #[test]
    fn outputs_are_not_trusted() {
        let kind = Output::Image {
            name: serde_name("out"),
            range: Range([0.0, 1.0]),
            round: Round::Nearest,
            color: Color::Rgb,
        };
        let wrong = Tensor::new([1, 3, 2, 1], vec![0.0; 6]);
        assert!(output(&kind, &SIZES, 1, vec![wrong]).unwrap_err().contains("expected [1, 3, 2, 2]"));
        let nan = Tensor::new([1, 3, 2, 2], vec![f32::NAN; 12]);
        assert!(output(&kind, &SIZES, 1, vec![nan]).unwrap_err().contains("NaN"));
        let grid = |c: usize| Tensor::new([1, c, 4, 4], vec![0.0; c * 16]);
        assert!(output(&warp(None), &SIZES, 1, vec![grid(2), grid(2), grid(2), grid(4), grid(1)]).is_ok());
        assert!(output(&warp(None), &SIZES, 1, vec![grid(2), grid(2), grid(2), grid(3), grid(1)]).is_err());
    }

    fn warp(inner_area: Option<InnerArea>) -> Output {
        let [upper, lower, edges, inner, weight] = ["u", "l", "e", "i", "w"].map(serde_name);
        Output::Warp { upper, lower, edges, inner, weight, inner_area }
    }

    #[test]
    fn the_inside_may_have_a_grid_of_its_own() {
        let area = [0.25, 0.5, 0.75, 1.0];
        let fixed = || Some(InnerArea::Fixed(Area(area)));
        let of = |area: Option<InnerArea>, [c, h, w]: [usize; 3]| {
            let grid = |c: usize, h: usize, w: usize| {
                Tensor::new([2, c, h, w], (0..2 * c * h * w).map(|v| v as f32).collect())
            };
            output(
                &warp(area),
                &SIZES,
                2,
                vec![grid(2, 4, 4), grid(2, 4, 4), grid(2, 4, 4), grid(c, h, w), grid(1, 4, 4)],
            )
        };
        let made = of(fixed(), [4, 3, 7]).unwrap();
        let [Generated::Warp(_), Generated::Warp(second)] = &made[..] else { panic!("{made:?}") };
        assert_eq!(second.inner_grid, Some(InnerGrid { width: 7, height: 3, area }));
        assert_eq!((second.inner.len(), second.inner[0], second.upper.len()), (84, 84.0, 32));
        for shape in [[3, 3, 7], [4, 1, 7], [4, 3, 513]] {
            let error = of(fixed(), shape).unwrap_err();
            assert!(error.contains("output \"i\" has the shape [2, ") && error.contains("expected"), "{error}");
        }
        assert!(
            of(None, [4, 3, 7]).unwrap_err().contains("output \"i\" has the shape [2, 4, 3, 7], expected [2, 4, 4, 4]")
        );
    }

    #[test]
    fn each_frame_may_say_where_its_inside_is() {
        let grid = |c: usize| Tensor::new([2, c, 4, 4], vec![0.0; 2 * c * 16]);
        let of = |shape: [usize; 2], areas: Vec<f32>| {
            let grids = [2, 2, 2, 4, 1].map(grid).into_iter();
            let areas = std::iter::once(Tensor::new(shape, areas));
            let kind = warp(Some(InnerArea::Output(serde_name("a"))));
            assert_eq!(output_names(&kind), ["u", "l", "e", "i", "w", "a"]);
            output(&kind, &SIZES, 2, grids.chain(areas).collect())
        };
        let first = [0.0, 0.0, 1.0, 1.0];
        let made = of([2, 4], [first, [0.25, 0.5, 0.75, 1.0]].concat()).unwrap();
        let [Generated::Warp(_), Generated::Warp(second)] = &made[..] else { panic!("{made:?}") };
        assert_eq!(second.inner_grid, Some(InnerGrid { width: 4, height: 4, area: [0.25, 0.5, 0.75, 1.0] }));
        assert_eq!(of([2, 2], vec![0.0; 4]).unwrap_err(), "output \"a\" has the shape [2, 2], expected [2, 4]");
        let error = of([2, 4], [first, [0.25, 0.5, 0.25, 1.0]].concat()).unwrap_err();
        assert!(error.starts_with("output \"a\" holds [0.25, 0.5, 0.25, 1.0]: expected [left, "), "{error}");
    }

    fn serde_name(text: &str) -> crate::model::Name {
        crate::model::Name::from(text)
    }
}
