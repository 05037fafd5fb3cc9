// SPDX-License-Identifier: MPL-2.0
//! A model's graphs, opened, checked against its manifest, and run one after the other.

use std::collections::HashMap;

use super::tensors::{self, FaceInput, Sizes};
use crate::face_meta::{Generated, LANDMARKS, RgbImage};
use crate::model::Model;
use crate::model::manifest::{Output, Rows, Source};
use crate::runtime::{self, Options, RuntimeError, SharedSession, Tensor, TensorInfo};

pub struct Generator {
    stages: Vec<Stage>,
    output: Output,
    sizes: Sizes,
    /// The batch that the graphs are fixed to, `None` = any.
    batch: Option<usize>,
}

struct Stage {
    session: SharedSession,
    inputs: Vec<(String, Feed)>,
    /// Outputs that later stages or the result need.
    outputs: Vec<String>,
}

/// What fills an input.
enum Feed {
    /// Made from the face; with the position of its feature window.
    Face(Source, usize),
    /// The output of the same name of an earlier graph.
    Earlier,
}

/// The feature windows that a frame needs, in the manifest's order.
pub fn windows(model: &Model) -> Vec<Rows> {
    let inputs = model.manifest.lipsyncgen.graph.iter().flat_map(|g| &g.input);
    inputs
        .filter_map(|input| match input.source {
            Source::Features { rows, .. } => Some(rows),
            _ => None,
        })
        .collect()
}

impl Generator {
    /// Opens all graphs of `model` and runs them once, so that a graph that does not fit fails here, in words, and the first
    /// frame is as fast as the others.
    pub fn open(model: &Model, options: &Options) -> Result<Self, RuntimeError> {
        let manifest = &model.manifest;
        let sizes = Sizes {
            row: manifest.audiofeatures.width(),
            crop_width: manifest.facecrop.size.width,
            crop_height: manifest.facecrop.size.height,
            color: manifest.facecrop.color,
        };
        let output = manifest.lipsyncgen.output.clone();
        let (mut stages, mut batch, mut known, mut windows) = (Vec::new(), None, Vec::<TensorInfo>::new(), 0);
        for graph in &manifest.lipsyncgen.graph {
            let file = model.file(&graph.file).map_err(|e| RuntimeError(e.to_string()))?;
            let fail = |what: String| RuntimeError(format!("{}: {what}", file.display()));
            let session = runtime::open(&file, options)?;
            let (inputs, outputs) = {
                let session = session.lock();
                (session.inputs().to_vec(), session.outputs().to_vec())
            };
            if let Some(input) = graph.input.iter().find(|i| inputs.iter().all(|info| info.name != *i.name)) {
                return Err(fail(format!(
                    "the manifest feeds an input \"{}\", but the graph has: {}",
                    &*input.name,
                    list(&inputs)
                )));
            }
            let mut feeds = Vec::new();
            for info in &inputs {
                let feed = match graph.input.iter().find(|input| *input.name == info.name) {
                    Some(input) => {
                        let expected = tensors::input_shape(&input.source, &sizes);
                        let fits = info.shape.len() == expected.len() + 1
                            && info.shape[1..].iter().zip(&expected).all(|(a, b)| a.is_none_or(|a| a == *b));
                        if !fits {
                            return Err(fail(format!(
                                "input {info} does not fit: the manifest makes (batch, {})",
                                expected.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
                            )));
                        }
                        if let Some(fixed) = info.shape[0] {
                            batch = Some(fixed.max(1));
                        }
                        let window = windows;
                        windows += usize::from(matches!(input.source, Source::Features { .. }));
                        Feed::Face(input.source.clone(), window)
                    }
                    None if known.iter().any(|k| k.name == info.name) => Feed::Earlier,
                    None => {
                        return Err(fail(format!(
                            "input {info} is fed by nothing: give it a [[lipsyncgen.graph.input]], or let an earlier graph have an output \
                             of that name"
                        )));
                    }
                };
                feeds.push((info.name.clone(), feed));
            }
            known.extend(outputs.iter().cloned());
            let outputs = outputs.into_iter().map(|info| info.name).collect();
            stages.push(Stage { session, inputs: feeds, outputs });
        }
        if let Some(name) = tensors::output_names(&output).iter().find(|n| known.iter().all(|k| k.name != **n)) {
            return Err(RuntimeError(format!(
                "model \"{}\": [lipsyncgen.output] names \"{name}\", but the graphs yield: {}",
                &*manifest.name,
                list(&known)
            )));
        }
        let mut needed: Vec<String> = tensors::output_names(&output).iter().map(|n| n.to_string()).collect();
        for stage in stages.iter_mut().rev() {
            stage.outputs.retain(|name| needed.contains(name));
            needed.extend(stage.inputs.iter().map(|(name, _)| name.clone()));
        }
        let generator = Self { stages, output, sizes, batch };
        generator.run(&[generator.blank(model)])?;
        Ok(generator)
    }

    /// A grey face in silence.
    fn blank(&self, model: &Model) -> FaceInput {
        let (width, height) = (self.sizes.crop_width, self.sizes.crop_height);
        let mut landmarks = [[0.5, 0.5]; LANDMARKS];
        for (i, point) in landmarks.iter_mut().enumerate() {
            // Any 68 different points: a graph may divide by distances between them.
            *point = [0.2 + 0.6 * (i % 9) as f32 / 8.0, 0.2 + 0.6 * (i / 9) as f32 / 8.0];
        }
        FaceInput {
            windows: windows(model)
                .iter()
                .map(|r| vec![0.0; r.count as usize * self.sizes.row])
                .collect::<Vec<_>>()
                .into(),
            landmarks,
            crop: RgbImage { width, height, data: vec![128; width * height * 3] }.into(),
        }
    }

    /// What the model makes of each of `faces`, in their order.
    pub fn run(&self, faces: &[FaceInput]) -> Result<Vec<Generated>, RuntimeError> {
        let mut made = Vec::with_capacity(faces.len());
        for chunk in faces.chunks(self.batch.unwrap_or(faces.len().max(1))) {
            let mut padded;
            let chunk = match self.batch {
                Some(fixed) if chunk.len() < fixed => {
                    padded = chunk.to_vec();
                    padded.resize(fixed, chunk[0].clone());
                    &padded[..]
                }
                _ => chunk,
            };
            let mut generated = self.run_batch(chunk)?;
            generated.truncate(faces.len() - made.len());
            made.extend(generated);
        }
        Ok(made)
    }

    fn run_batch(&self, faces: &[FaceInput]) -> Result<Vec<Generated>, RuntimeError> {
        let mut known: HashMap<&str, Tensor> = HashMap::new();
        for stage in &self.stages {
            let built: Vec<(&str, Option<Tensor>)> = stage
                .inputs
                .iter()
                .map(|(name, feed)| match feed {
                    Feed::Face(source, window) => {
                        (name.as_str(), Some(tensors::input(source, *window, &self.sizes, faces)))
                    }
                    Feed::Earlier => (name.as_str(), None),
                })
                .collect();
            let inputs: Vec<(&str, &Tensor)> = built
                .iter()
                .filter_map(|(name, tensor)| Some((*name, tensor.as_ref().or_else(|| known.get(name))?)))
                .collect();
            let names: Vec<&str> = stage.outputs.iter().map(String::as_str).collect();
            let outputs = stage.session.lock().run(&inputs, &names)?;
            known.extend(names.into_iter().zip(outputs));
        }
        let outputs: Vec<Tensor> = tensors::output_names(&self.output)
            .iter()
            .map(|name| known.remove(name).ok_or_else(|| RuntimeError(format!("output \"{name}\" was not made"))))
            .collect::<Result<_, _>>()?;
        tensors::output(&self.output, &self.sizes, faces.len(), &outputs).map_err(RuntimeError)
    }
}

fn list(tensors: &[TensorInfo]) -> String {
    tensors.iter().map(TensorInfo::to_string).collect::<Vec<_>>().join(", ")
}
