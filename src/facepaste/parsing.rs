// SPDX-License-Identifier: MPL-2.0
//! Weights from a network that tells the parts of a face apart.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use super::cover::smooth;
use super::weights::Weights;
use crate::face_meta::RgbImage;
use crate::model::manifest::Parsing;
use crate::model::{Model, ModelError};
use crate::pixels::{GrayImage, Tile};
use crate::runtime::{self, Aside, Cancel, Options, Outcome, RuntimeError, SharedSession, Tensor, TensorInfo};

/// What remembered weights may take. A clip that loops is parsed once; at 512 × 512 this is 20 s at 25 fps.
const MAX_REMEMBERED: usize = 128 << 20;

/// More places than this (4096 × 4096) in an answer are a mistake.
const MAX_ANSWER: usize = 1 << 24;

/// A parsing graph, opened and checked, and its answers to the last pictures.
pub struct Parser {
    session: Aside<Tensor, Result<Vec<Tensor>, RuntimeError>>,
    cancel: Cancel,
    wish: Parsing,
    /// Left, top, right, bottom of the crop: beyond it nothing is shown.
    rectangle: [f32; 4],
    remembered: Remembered,
}

impl Parser {
    /// Opens the graph and runs it once, so that one that does not fit fails here, in words. `cancel` ends a run that is waited
    /// for.
    pub fn open(model: &Model, wish: &Parsing, cancel: &Cancel) -> Result<Self, ModelError> {
        let file = model.file(&wish.file)?;
        // The runtime's errors name the file already.
        let session = runtime::open(&file, &Options::default()).map_err(|e| ModelError::Invalid(e.to_string()))?;
        Self::of(session, &file, wish, model.manifest.facepaste.rectangle, cancel)
    }

    /// The session of what `file` holds is open already.
    pub fn of(
        session: SharedSession,
        file: &Path,
        wish: &Parsing,
        rectangle: [f32; 4],
        cancel: &Cancel,
    ) -> Result<Self, ModelError> {
        let fail = |what: &str| ModelError::Invalid(format!("{}: {what}", file.display()));
        {
            let session = session.lock();
            check(wish, session.inputs(), session.outputs()).map_err(|what| fail(&what))?;
        }
        let parser = Self::on(session, wish, rectangle, cancel);
        let parser = parser.map_err(|e| fail(&format!("no thread to run it on: {e}")))?;
        let (width, height) = (wish.size.width, wish.size.height);
        parser
            .parse(&RgbImage { width, height, data: vec![128; width * height * 3] }, 0.0)
            .map_err(|what| fail(&what))?;
        Ok(parser)
    }

    fn on(session: SharedSession, wish: &Parsing, rectangle: [f32; 4], cancel: &Cancel) -> std::io::Result<Self> {
        let (input, output) = (wish.input.clone(), wish.output.clone());
        let session = Aside::start("facepaste-parse", move || {
            move |tensor: Tensor| session.lock().run(&[(&input, &tensor)], &[&output])
        })?;
        let remembered = Remembered::default();
        Ok(Self { session, cancel: cancel.clone(), wish: wish.clone(), rectangle, remembered })
    }

    /// Where the crop shows the wanted parts, with a border of `feather` (fraction of the crop) inside them. The same picture
    /// is parsed once.
    pub fn weights(&mut self, crop: &RgbImage, feather: f32) -> Result<Arc<Weights>, String> {
        let mut hasher = DefaultHasher::new();
        (crop.width, crop.height, &crop.data, feather.to_bits()).hash(&mut hasher);
        let key = hasher.finish();
        if let Some(weights) = self.remembered.answers.get(&key) {
            return Ok(weights.clone());
        }
        let weights = Arc::new(self.parse(crop, feather)?);
        self.remembered.add(key, weights.clone());
        Ok(weights)
    }

    fn parse(&self, crop: &RgbImage, feather: f32) -> Result<Weights, String> {
        let input = tensor(crop, &self.wish).ok_or("its crop is empty or broken")?;
        let outputs = match self.session.run(input, None, || self.cancel.is_cancelled()) {
            Outcome::Done(answer, _) => answer.map_err(|e| e.to_string())?,
            Outcome::Failed(error) => return Err(format!("the parsing failed: {error}")),
            Outcome::Aborted | Outcome::Late => return Err("the parsing was given up".into()),
        };
        let answer = outputs.first().ok_or("the graph answered nothing")?;
        let shown = shown(answer, &self.wish, self.rectangle)?;
        Weights::new(soften(shown, feather)).ok_or_else(|| "the graph's answer is empty".into())
    }
}

/// The answers to the last pictures, by the pictures' hash: that two of them share one of 2⁶⁴ does not happen.
#[derive(Default)]
struct Remembered {
    answers: HashMap<u64, Arc<Weights>>,
    /// The oldest first.
    order: VecDeque<u64>,
    size: usize,
}

impl Remembered {
    fn add(&mut self, key: u64, weights: Arc<Weights>) {
        self.size += weights.size();
        self.order.push_back(key);
        if let Some(before) = self.answers.insert(key, weights) {
            self.size -= before.size();
        }
        while self.size > MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.size -= self.answers.remove(&oldest).map_or(0, |weights| weights.size());
        }
    }
}

/// Whether the graph has what the manifest names, in the shapes that the element makes and expects.
fn check(wish: &Parsing, inputs: &[TensorInfo], outputs: &[TensorInfo]) -> Result<(), String> {
    let list = |infos: &[TensorInfo]| infos.iter().map(TensorInfo::to_string).collect::<Vec<_>>().join(", ");
    let find = |key: &str, name: &str, infos: &[TensorInfo]| {
        let info = infos.iter().find(|info| info.name == name).cloned();
        info.ok_or_else(|| format!("[facepaste] parsing.{key} = \"{name}\", but the graph has: {}", list(infos)))
    };
    let input = find("input", &wish.input, inputs)?;
    let output = find("output", &wish.output, outputs)?;
    if inputs.len() > 1 {
        return Err(format!("expected a graph with one input, found: {}", list(inputs)));
    }
    let wanted = [1, 3, wish.size.height, wish.size.width];
    let fits = input.shape.len() == 4 && input.shape.iter().zip(wanted).all(|(axis, n)| axis.is_none_or(|a| a == n));
    if !fits {
        return Err(format!("input {input} does not fit: [facepaste] parsing makes {wanted:?}"));
    }
    if output.shape.len() != 4 || output.shape[0].is_some_and(|n| n != 1) {
        return Err(format!("output {output} does not fit: expected (1, classes, height, width)"));
    }
    match (output.shape[1], unknown(wish, output.shape[1])) {
        (Some(count), Some(class)) => Err(unknown_class(class, count)),
        _ => Ok(()),
    }
}

/// A class that a graph of `count` classes does not have.
fn unknown(wish: &Parsing, count: Option<usize>) -> Option<usize> {
    wish.classes.iter().copied().find(|class| count.is_some_and(|count| *class >= count))
}

fn unknown_class(class: usize, count: usize) -> String {
    format!(
        "[facepaste] parsing.classes has {class}: expected 0 to {}, as the graph tells {count} classes apart",
        count - 1
    )
}

/// (1, 3, height, width): the crop stretched to the graph's size. `None` where it has not the bytes that its size says.
fn tensor(crop: &RgbImage, wish: &Parsing) -> Option<Tensor> {
    let picture = Tile::of_rgb(crop)?;
    let (width, height) = (wish.size.width, wish.size.height);
    let (sx, sy) = (crop.width as f32 / width as f32, crop.height as f32 / height as f32);
    let mut data = vec![0.0; 3 * width * height];
    for k in 0..width * height {
        let (x, y) = ((k % width) as f32 + 0.5, (k / width) as f32 + 0.5);
        let rgb = picture.between(x * sx - 0.5, y * sy - 0.5);
        for c in 0..3 {
            data[c * width * height + k] = (rgb[c] / 255.0 - wish.mean[c]) / wish.std[c];
        }
    }
    Some(Tensor::new([1, 3, height, width], data))
}

/// 255 where the largest number is that of a wanted class and the place lies in the rectangle.
fn shown(answer: &Tensor, wish: &Parsing, [left, top, right, bottom]: [f32; 4]) -> Result<GrayImage, String> {
    let &[1, count, height, width] = &answer.shape[..] else {
        return Err(format!(
            "output \"{}\" has the shape {:?}, expected [1, classes, height, width]",
            &*wish.output, answer.shape
        ));
    };
    let area = width.checked_mul(height).filter(|area| *area > 0 && *area <= MAX_ANSWER);
    let Some(area) = area.filter(|area| area.checked_mul(count) == Some(answer.data.len()) && count > 0) else {
        return Err(format!(
            "output \"{}\" of shape {:?} has {} numbers, expected those of 1 to {MAX_ANSWER} places",
            &*wish.output,
            answer.shape,
            answer.data.len()
        ));
    };
    if let Some(class) = unknown(wish, Some(count)) {
        return Err(unknown_class(class, count));
    }
    // All values are looked at: that the compiler can vectorise.
    if !answer.data.iter().fold(true, |finite, value| finite & value.is_finite()) {
        return Err(format!("output \"{}\" holds NaN or infinity", &*wish.output));
    }
    let (mut largest, mut class) = (answer.data[..area].to_vec(), vec![0usize; area]);
    for (n, plane) in answer.data.chunks_exact(area).enumerate().skip(1) {
        for ((largest, class), &value) in largest.iter_mut().zip(&mut class).zip(plane) {
            if value > *largest {
                (*largest, *class) = (value, n);
            }
        }
    }
    let within = |k: usize, length: usize, from: f32, to: f32| {
        let at = (k as f32 + 0.5) / length as f32;
        from <= at && at <= to
    };
    let data = class.iter().enumerate().map(|(k, class)| {
        let inside = within(k % width, width, left, right) && within(k / width, height, top, bottom);
        if inside && wish.classes.contains(class) { 255 } else { 0 }
    });
    Ok(GrayImage { width, height, data: data.collect() })
}

/// What is 255 gets a border inside it that rises from 0 over `feather` of the picture's sides.
///
/// The mean over a surrounding of that size is a half on a straight border and 1 where all of the surrounding is inside; a
/// lone wrong place hardly changes it.
fn soften(mut picture: GrayImage, feather: f32) -> GrayImage {
    let GrayImage { width, height, ref mut data } = picture;
    // Two means over 2 · radius + 1 places reach 2 · radius places far.
    let [across, down] = [width, height].map(|length| (feather * length as f32 / 2.0).round() as usize);
    if across == 0 && down == 0 {
        return picture;
    }
    let mut values: Vec<f32> = data.iter().map(|&v| f32::from(v) / 255.0).collect();
    for _ in 0..2 {
        for row in values.chunks_exact_mut(width) {
            mean(row, across);
        }
        let mut column = vec![0.0; height];
        for x in 0..width {
            column.iter_mut().zip(values[x..].iter().step_by(width)).for_each(|(to, from)| *to = *from);
            mean(&mut column, down);
            values[x..].iter_mut().step_by(width).zip(&column).for_each(|(to, from)| *to = *from);
        }
    }
    for (byte, mean) in data.iter_mut().zip(&values) {
        *byte = (smooth((2.0 * mean - 1.0).clamp(0.0, 1.0)) * 255.0 + 0.5) as u8;
    }
    picture
}

/// Each value becomes the mean of those up to `radius` places away; beyond the ends there are zeros.
fn mean(line: &mut [f32], radius: usize) {
    let before = line.to_vec();
    let at = |k: usize| f64::from(before.get(k).copied().unwrap_or(0.0));
    let mut sum: f64 = (0..radius).map(at).sum();
    for (k, value) in line.iter_mut().enumerate() {
        sum += at(k + radius);
        *value = (sum / (2 * radius + 1) as f64) as f32;
        if let Some(left) = k.checked_sub(radius) {
            sum -= at(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(classes: &[usize]) -> Parsing {
        let text = format!(
            "blend = \"parsing\"
             parsing = {{ file = \"p.onnx\", input = \"in\", output = \"out\", size = [8, 16], classes = {classes:?}, \
             mean = [0.5, 0.0, 0.25], std = [0.5, 1.0, 0.25] }}"
        );
        let manifest: crate::model::manifest::FacePaste = toml::from_str(&text).unwrap();
        match manifest.blend {
            Some(crate::model::manifest::Blend::Parsing(parsing)) => parsing,
            other => panic!("{other:?}"),
        }
    }

    use crate::runtime::Element;

    fn info(name: &str, shape: &[usize]) -> TensorInfo {
        TensorInfo {
            name: name.into(),
            shape: shape.iter().map(|&n| (n > 0).then_some(n)).collect(),
            element: Element::F32,
        }
    }

    #[test]
    fn a_graph_that_does_not_fit_is_told_what_was_expected() {
        let (input, output) = (info("in", &[0, 3, 16, 8]), info("out", &[1, 5, 0, 0]));
        let (fits, ok) = ([input.clone()], [output]);
        assert_eq!(check(&wish(&[0, 4]), &fits, &ok), Ok(()));
        let error = |classes: &[usize], inputs: &[TensorInfo], outputs: &[TensorInfo], expected: &str| {
            let error = check(&wish(classes), inputs, outputs).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        error(&[5], &fits, &ok, "classes has 5: expected 0 to 4");
        error(&[0], &[info("x", &[1])], &ok, "parsing.input = \"in\", but the graph has: x (1)");
        error(&[0], &fits, &[], "parsing.output = \"out\", but the graph has: ");
        error(
            &[0],
            &[info("in", &[1, 3, 8, 16])],
            &ok,
            "in (1, 3, 8, 16) does not fit: [facepaste] parsing makes [1, 3, 16, 8]",
        );
        error(&[0], &[input, info("more", &[1])], &ok, "expected a graph with one input");
        error(&[0], &fits, &[info("out", &[1, 8, 16])], "expected (1, classes, height, width)");
    }

    #[test]
    fn the_crop_is_stretched_and_normalised() {
        let crop = RgbImage { width: 4, height: 4, data: [255, 51, 0].repeat(16) };
        let made = tensor(&crop, &wish(&[0])).unwrap();
        assert_eq!(made.shape, [1, 3, 16, 8]);
        let means: Vec<f32> = made.data.chunks_exact(128).map(|plane| plane.iter().sum::<f32>() / 128.0).collect();
        assert!(means.iter().zip([1.0, 0.2, -1.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{means:?}");
        assert_eq!(tensor(&RgbImage { width: 4, height: 4, data: vec![0; 47] }, &wish(&[0])), None);
    }

    #[test]
    fn the_largest_number_counts_inside_the_rectangle() {
        // Classes along x: 0, 1, 2, 2.
        let mut data = vec![0.0; 3 * 8];
        for (x, class) in [0, 1, 2, 2].into_iter().enumerate() {
            data[class * 8 + x] = 1.0;
            data[class * 8 + 4 + x] = 0.5;
        }
        let answer = Tensor::new([1, 3, 2, 4], data);
        let all = shown(&answer, &wish(&[1, 2]), [0.0, 0.0, 1.0, 1.0]).unwrap();
        assert_eq!(all.data, [0, 255, 255, 255, 0, 255, 255, 255]);
        let part = shown(&answer, &wish(&[1, 2]), [0.0, 0.5, 0.75, 1.0]).unwrap();
        assert_eq!(part.data, [0, 0, 0, 0, 0, 255, 255, 0]);
        let error = |answer: Tensor, expected: &str| {
            let error = shown(&answer, &wish(&[2]), [0.0, 0.0, 1.0, 1.0]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        error(Tensor::new([1, 2, 1, 1], vec![0.0; 2]), "classes has 2: expected 0 to 1");
        error(Tensor::new([1, 3, 1, 1], vec![f32::NAN; 3]), "NaN");
        error(Tensor::new([1, 3, 0, 1], vec![]), "has 0 numbers");
        error(Tensor::new([2, 3, 1, 1], vec![0.0; 6]), "has the shape [2, 3, 1, 1], expected [1, classes");
    }

    #[test]
    fn the_border_rises_inward_and_ignores_specks() {
        let size = 64;
        let mut data = vec![0; size * size];
        for y in 0..size {
            data[y * size + 16..(y + 1) * size].fill(255);
        }
        data[32 * size + 50] = 0;
        let soft = soften(GrayImage { width: size, height: size, data: data.clone() }, 0.25);
        let row = &soft.data[32 * size..33 * size];
        assert!(row[..16].iter().all(|&v| v == 0), "nothing outside: {row:?}");
        assert!(row[16..33].windows(2).all(|w| w[0] <= w[1]) && row[16] < 16 && row[32] == 255, "{row:?}");
        assert!(row[45..48].iter().all(|&v| v > 245), "a speck hardly counts: {row:?}");
        // The picture's own border is one too.
        assert!(row[63] < 16 && soft.data[40] < 16, "{row:?}");
        let hard = soften(GrayImage { width: size, height: size, data: data.clone() }, 0.0);
        assert_eq!(hard.data, data);
    }

    #[cfg(feature = "test-runtime")]
    #[test]
    fn the_same_picture_is_parsed_once() {
        let graph = "inputs = [{ name = \"in\", shape = [1, 3, 16, 8] }]
            outputs = [{ name = \"out\", shape = [1, 3, 16, 8] }]\nrange = [0, 1]\necho = true";
        let file = std::env::temp_dir().join(format!("lipsync-{}-parsed-once.toml", std::process::id()));
        std::fs::write(&file, graph).unwrap();
        // The runtime fails in the third run.
        let options = Options { backend: runtime::Backend::Test, device: "error-at=1".into(), threads: 1 };
        let session = runtime::open(&file, &options).unwrap();
        std::fs::remove_file(file).unwrap();
        let rectangle = [0.0, 0.0, 1.0, 1.0];
        let mut parser = Parser::on(session, &wish(&[0]), rectangle, &Cancel::default()).unwrap();
        let picture = |value| RgbImage { width: 8, height: 8, data: vec![value; 192] };
        let first = parser.weights(&picture(1), 0.1).unwrap();
        assert!(Arc::ptr_eq(&first, &parser.weights(&picture(1), 0.1).unwrap()));
        assert!(!Arc::ptr_eq(&first, &parser.weights(&picture(2), 0.1).unwrap()));
        assert!(Arc::ptr_eq(&first, &parser.weights(&picture(1), 0.1).unwrap()));
        assert_eq!(parser.weights(&picture(1), 0.2), Err("ordered to fail".into()));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let mut remembered = Remembered::default();
        let side = 4096;
        let large =
            || Arc::new(Weights::new(GrayImage { width: side, height: side, data: vec![1; side * side] }).unwrap());
        (0..10).for_each(|key| remembered.add(key, large()));
        assert_eq!((remembered.answers.len(), remembered.size), (8, MAX_REMEMBERED));
        assert!(!remembered.answers.contains_key(&1) && remembered.answers.contains_key(&9));
    }
}
