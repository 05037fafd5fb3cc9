// SPDX-License-Identifier: MPL-2.0
//! A model's graphs, opened, checked against its manifest, and run one after the other.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::cache::{self, Cache};
use super::memory::Recalls;
use super::tensors::{self, FaceInput, Sizes};
use crate::face_meta::{Generated, LANDMARKS, RgbImage};
use crate::model::Model;
use crate::model::manifest::{Graph, Input, Output, Picture, Rows, Source};
use crate::model::points::PointSet;
use crate::runtime::{self, Options, RuntimeError, SharedSession, Tensor, TensorInfo};

/// Graphs that are fixed to a larger batch would be fed copies of one face for the most part, …
const MAX_BATCH: usize = 64;
/// … and memory is needed for all of them: so many numbers (512 MiB) for an input.
const MAX_RUN: usize = 1 << 27;

pub struct Generator {
    stages: Vec<Stage>,
    output: Output,
    sizes: Sizes,
    /// The batch that the graphs are fixed to, `None` = any.
    batch: Option<usize>,
    /// What the run took by which it was tried out, for one face.
    tried: Duration,
}

struct Stage {
    session: SharedSession,
    file: PathBuf,
    inputs: Vec<Feed>,
    /// Outputs that later stages or the result need: the graph's name, and the one it has from here on.
    outputs: Vec<(String, String)>,
    /// Where what it yields depends on the picture alone.
    cache: Option<Mutex<Cache>>,
}

/// What fills an input.
struct Feed {
    name: String,
    source: Source,
    /// Of [`Source::Features`]: the position of its window.
    window: usize,
}

/// The feature windows that a frame needs, in the manifest's order.
pub fn windows(model: &Model) -> Vec<Rows> {
    let rows = |input: &Input| match input.source {
        Source::Features { rows, .. } => Some(rows),
        _ => None,
    };
    inputs(model).filter_map(rows).collect()
}

/// Whether an input shows the first crop of the face's track.
pub fn needs_reference(model: &Model) -> bool {
    inputs(model).any(
        |input| matches!(&input.source, Source::Pictures { pictures, .. } if pictures.contains(&Picture::Reference)),
    )
}

/// Whether an input shows what is remembered of the face's track, or tells of it.
pub fn needs_memory(model: &Model) -> bool {
    inputs(model).any(|input| match &input.source {
        Source::Pictures { pictures, .. } => pictures.iter().any(|picture| matches!(picture, Picture::Memory(_))),
        source => matches!(source, Source::MemoryLandmarks(_) | Source::MemoryWeight(_)),
    })
}

fn inputs(model: &Model) -> impl Iterator<Item = &Input> {
    model.manifest.lipsyncgen.graph.iter().flat_map(|graph| &graph.input)
}

impl Generator {
    /// Opens all graphs of `model` and runs them once, so that a graph that does not fit fails here, in words, and the first
    /// frame is as fast as the others.
    pub fn open(model: &Model, options: &Options) -> Result<Self, RuntimeError> {
        Self::of(model, |graph| {
            let file = runtime::choose(model, &graph.file.0, options.backend)?;
            Ok((runtime::open(&file, options)?, file))
        })
    }

    /// `open` opens a graph, and says which of its files it took.
    pub fn of(
        model: &Model,
        open: impl Fn(&Graph) -> Result<(SharedSession, PathBuf), RuntimeError>,
    ) -> Result<Self, RuntimeError> {
        let manifest = &model.manifest;
        let sizes = Sizes {
            row: manifest.audiofeatures.width(),
            crop_width: manifest.facecrop.size.width,
            crop_height: manifest.facecrop.size.height,
            color: manifest.facecrop.color,
        };
        let output = manifest.lipsyncgen.output.clone();
        let mut chain = Chain { sizes, ..Chain::default() };
        for graph in &manifest.lipsyncgen.graph {
            let (session, file) = open(graph)?;
            chain.add(graph, session, file)?;
        }
        let Chain { mut stages, batch, known, .. } = chain;
        if let Some(name) = tensors::output_names(&output).iter().find(|n| known.iter().all(|k| k.info.name != **n)) {
            return Err(RuntimeError(format!(
                "model \"{}\": [lipsyncgen.output] names \"{name}\", but the graphs yield: {}",
                &*manifest.name,
                list(known.iter().map(|k| &k.info))
            )));
        }
        let mut needed: Vec<String> = tensors::output_names(&output).iter().map(|n| n.to_string()).collect();
        for stage in stages.iter_mut().rev() {
            stage.outputs.retain(|(_, name)| needed.contains(name));
            let earlier = stage.inputs.iter().filter_map(|feed| match &feed.source {
                Source::Earlier(names) => Some(names.iter().map(|name| name.to_string())),
                _ => None,
            });
            needed.extend(earlier.flatten());
        }
        let mut generator = Self { stages, output, sizes, batch, tried: Duration::ZERO };
        let start = Instant::now();
        generator.run(&[generator.blank(model)])?;
        generator.tried = start.elapsed();
        Ok(generator)
    }

    /// What the graphs run on, each device once.
    pub fn devices(&self) -> Vec<String> {
        let mut devices: Vec<String> = self.stages.iter().map(|s| s.session.lock().device().to_string()).collect();
        devices.dedup();
        devices
    }

    /// How long a run for `faces` faces may be expected to take while none has been timed: a large model needs a minute for a
    /// batch where there is no graphics card.
    pub fn expected(&self, faces: usize) -> Duration {
        self.tried.saturating_mul(faces.try_into().unwrap_or(u32::MAX))
    }

    /// Its sessions hang: whoever opens the same graphs gets others.
    pub fn abandon(&self) {
        self.stages.iter().for_each(|stage| runtime::abandon(&stage.session));
    }

    /// Better devices that failed, and why.
    pub fn refused(&self) -> Vec<String> {
        let mut refused: Vec<String> = self.stages.iter().flat_map(|s| s.session.lock().refused().to_vec()).collect();
        refused.dedup();
        refused
    }

    /// A grey face in silence.
    fn blank(&self, model: &Model) -> FaceInput {
        let (width, height) = (self.sizes.crop_width, self.sizes.crop_height);
        let mut landmarks = [[0.5, 0.5]; LANDMARKS];
        for (i, point) in landmarks.iter_mut().enumerate() {
            // Any 68 different points: a graph may divide by distances between them.
            *point = [0.2 + 0.6 * (i % 9) as f32 / 8.0, 0.2 + 0.6 * (i / 9) as f32 / 8.0];
        }
        let crop = Arc::new(RgbImage { width, height, data: vec![128; width * height * 3] });
        // The numbering of the points that the graphs take.
        let point_set = model.manifest.own_points().next().map_or(PointSet::Ibug68, |(_, set)| set);
        let points = (0..point_set.count()).map(|i| landmarks[i % LANDMARKS]).collect();
        FaceInput {
            windows: windows(model)
                .iter()
                .map(|r| vec![0.0; r.count as usize * self.sizes.row])
                .collect::<Vec<_>>()
                .into(),
            landmarks,
            points,
            point_set,
            reference: crop.clone(),
            crop,
            memory: Recalls::default(),
        }
    }

    /// What the model makes of each of `faces`, in their order.
    pub fn run(&self, faces: &[FaceInput]) -> Result<Vec<Generated>, RuntimeError> {
        let mut made = Vec::with_capacity(faces.len());
        for chunk in faces.chunks(self.batch.unwrap_or(faces.len().max(1))) {
            let mut generated = self.run_batch(&chunk.iter().collect::<Vec<_>>())?;
            generated.truncate(faces.len() - made.len());
            made.extend(generated);
        }
        Ok(made)
    }

    fn run_batch(&self, faces: &[&FaceInput]) -> Result<Vec<Generated>, RuntimeError> {
        // Graphs of a fixed batch get the first face again and again.
        let mut faces = faces.to_vec();
        faces.resize(self.batch.unwrap_or(faces.len()), faces[0]);
        let caches = self.stages.iter().any(|stage| stage.cache.is_some());
        let keys: Vec<u64> = faces.iter().filter(|_| caches).map(|face| cache::key(face)).collect();
        let mut known: HashMap<&str, Tensor> = HashMap::new();
        for stage in &self.stages {
            let outputs = match &stage.cache {
                None => stage.run(&self.sizes, &faces, |name| known.get(name))?,
                Some(cache) => stage.recall(cache, &self.sizes, &faces, &keys, &known, self.batch)?,
            };
            known.extend(stage.outputs.iter().map(|(_, name)| name.as_str()).zip(outputs));
        }
        let outputs: Vec<Tensor> = tensors::output_names(&self.output)
            .iter()
            .map(|name| known.remove(name).ok_or_else(|| RuntimeError(format!("output \"{name}\" was not made"))))
            .collect::<Result<_, _>>()?;
        tensors::output(&self.output, &self.sizes, faces.len(), outputs).map_err(RuntimeError)
    }
}

impl Stage {
    fn fail(&self, what: &str) -> RuntimeError {
        RuntimeError(format!("{}: {what}", self.file.display()))
    }

    fn run<'a>(
        &self,
        sizes: &Sizes,
        faces: &[&FaceInput],
        known: impl Fn(&str) -> Option<&'a Tensor>,
    ) -> Result<Vec<Tensor>, RuntimeError> {
        let built: Vec<Tensor> = self
            .inputs
            .iter()
            .map(|feed| {
                tensors::input(&feed.source, feed.window, sizes, faces, &known).map_err(|what| self.fail(&what))
            })
            .collect::<Result<_, _>>()?;
        let inputs: Vec<(&str, &Tensor)> = self.inputs.iter().map(|feed| feed.name.as_str()).zip(&built).collect();
        let names: Vec<&str> = self.outputs.iter().map(|(name, _)| name.as_str()).collect();
        let made = self.session.lock().run(&inputs, &names)?;
        if made.len() != names.len() {
            return Err(self.fail(&format!("{} tensors came of the outputs {names:?}", made.len())));
        }
        Ok(made)
    }

    /// As `run`, only for faces whose pictures were not seen before.
    fn recall(
        &self,
        cache: &Mutex<Cache>,
        sizes: &Sizes,
        faces: &[&FaceInput],
        keys: &[u64],
        known: &HashMap<&str, Tensor>,
        batch: Option<usize>,
    ) -> Result<Vec<Tensor>, RuntimeError> {
        let mut answers: Vec<Option<Arc<Vec<Tensor>>>> = {
            let mut cache = cache.lock();
            keys.iter().map(|key| cache.get(*key)).collect()
        };
        let missing: Vec<usize> = (0..faces.len()).filter(|&i| answers[i].is_none()).collect();
        if !missing.is_empty() {
            // A fixed batch stays whole.
            let wanted = if batch.is_some() { (0..faces.len()).collect() } else { missing.clone() };
            let chosen: Vec<&FaceInput> = wanted.iter().map(|&i| faces[i]).collect();
            let parts: HashMap<&str, Tensor> =
                known.iter().map(|(name, tensor)| (*name, tensors::select(tensor, &wanted, faces.len()))).collect();
            let made = self.run(sizes, &chosen, |name| parts.get(name))?;
            for ((name, _), tensor) in self.outputs.iter().zip(&made) {
                if tensor.shape.first() != Some(&chosen.len()) {
                    return Err(self.fail(&format!(
                        "output \"{name}\" has the shape {:?}, but cache = true needs one entry for each of {} pictures",
                        tensor.shape,
                        chosen.len()
                    )));
                }
            }
            let mut cache = cache.lock();
            for i in missing {
                let Some(at) = wanted.iter().position(|&w| w == i) else { continue };
                let answer: Arc<Vec<Tensor>> =
                    Arc::new(made.iter().map(|tensor| tensors::select(tensor, &[at], wanted.len())).collect());
                cache.insert(keys[i], answer.clone());
                answers[i] = Some(answer);
            }
        }
        let answers: Vec<Arc<Vec<Tensor>>> = answers.into_iter().flatten().collect();
        let stacked = |(n, (name, _)): (usize, &(String, String))| {
            let entries: Vec<&Tensor> = answers.iter().map(|answer| &answer[n]).collect();
            tensors::stack(&entries).map_err(|what| self.fail(&format!("output \"{name}\" {what}")))
        };
        self.outputs.iter().enumerate().map(stacked).collect()
    }
}

/// The stages so far, while a model is opened.
#[derive(Default)]
struct Chain {
    sizes: Sizes,
    stages: Vec<Stage>,
    batch: Option<usize>,
    known: Vec<Known>,
    windows: usize,
}

/// An output that later graphs can take.
struct Known {
    info: TensorInfo,
    /// It depends on the picture alone.
    cached: bool,
}

impl Chain {
    fn add(&mut self, graph: &Graph, session: SharedSession, file: PathBuf) -> Result<(), RuntimeError> {
        let fail = |what: String| RuntimeError(format!("{}: {what}", file.display()));
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
        if let Some(name) = graph.outputs.keys().find(|name| outputs.iter().all(|info| info.name != ***name)) {
            return Err(fail(format!("`outputs` renames \"{}\", but the graph yields: {}", &**name, list(&outputs))));
        }
        let mut feeds = Vec::new();
        for info in &inputs {
            let source = match graph.input.iter().find(|input| *input.name == info.name) {
                Some(input) => input.source.clone(),
                None => match model_name(&self.known, &info.name) {
                    Some(name) => Source::Earlier(vec![name]),
                    None => {
                        return Err(fail(format!(
                            "input {info} is fed by nothing: give it a [[lipsyncgen.graph.input]], or let an earlier graph \
                             have an output of that name"
                        )));
                    }
                },
            };
            self.check(info, &source, graph.cache).map_err(fail)?;
            if !matches!(source, Source::Constant { .. })
                && let Some(Some(fixed)) = info.shape.first().copied()
            {
                let shape = tensors::input_shape(&source, &self.sizes);
                let most = MAX_BATCH.min(MAX_RUN / shape.into_iter().flatten().flatten().product::<usize>().max(1));
                if fixed > most {
                    return Err(fail(format!("input {info} has a batch of {fixed}, expected at most {most}")));
                }
                match self.batch {
                    Some(batch) if batch != fixed.max(1) => {
                        return Err(fail(format!(
                            "input {info} has a batch of {fixed}, but another input of the model has {batch}"
                        )));
                    }
                    _ => self.batch = Some(fixed.max(1)),
                }
            }
            let window = self.windows;
            self.windows += usize::from(matches!(source, Source::Features { .. }));
            feeds.push(Feed { name: info.name.clone(), source, window });
        }
        // Windows are numbered in the manifest's order, which need not be the graph's.
        let first = self.windows - feeds.iter().filter(|feed| matches!(feed.source, Source::Features { .. })).count();
        let mut window = first;
        for input in &graph.input {
            if matches!(input.source, Source::Features { .. })
                && let Some(feed) = feeds.iter_mut().find(|feed| feed.name == *input.name)
            {
                feed.window = window;
                window += 1;
            }
        }
        let mut renamed = Vec::new();
        for mut info in outputs {
            let given = info.name.clone();
            if let Some((_, new)) = graph.outputs.iter().find(|(old, _)| ***old == given) {
                info.name = new.to_string();
            }
            if self.known.iter().any(|known| known.info.name == info.name) {
                return Err(fail(format!(
                    "an earlier graph has an output \"{}\" too: give this one another name by outputs = {{ {given} = \"…\" }}",
                    info.name
                )));
            }
            renamed.push((given, info.name.clone()));
            self.known.push(Known { info, cached: graph.cache });
        }
        let cache = graph.cache.then(Mutex::default);
        self.stages.push(Stage { session, file, inputs: feeds, outputs: renamed, cache });
        Ok(())
    }

    /// Whether what `source` makes fits the input `info`.
    fn check(&self, info: &TensorInfo, source: &Source, cache: bool) -> Result<(), String> {
        if let Source::Earlier(names) = source {
            for name in names {
                match self.known.iter().find(|known| known.info.name == **name) {
                    None => {
                        return Err(format!(
                            "input {info} is from \"{}\", which no earlier graph yields; there is: {}",
                            &**name,
                            list(self.known.iter().map(|k| &k.info))
                        ));
                    }
                    Some(known) if cache && !known.cached => {
                        return Err(format!(
                            "cache = true is for what depends on the picture alone, but input \"{}\" is from \"{}\", whose graph \
                             has no cache = true",
                            info.name, &**name
                        ));
                    }
                    Some(_) => {}
                }
            }
            return Ok(());
        }
        if let Source::Pictures { mask: Some(mask), .. } = source {
            let (width, height) = (self.sizes.crop_width, self.sizes.crop_height);
            let columns = if mask.columns[1] == usize::MAX { width } else { mask.columns[1] };
            if mask.rows[1] > height || columns > width {
                return Err(format!(
                    "mask of input \"{}\" ends at row {} and column {columns}, but the crop has {height} rows and {width} columns",
                    info.name, mask.rows[1]
                ));
            }
        }
        let Some(made) = tensors::input_shape(source, &self.sizes) else { return Ok(()) };
        let fits = info.shape.len() == made.len()
            && info.shape.iter().zip(&made).all(|(a, b)| a.is_none_or(|a| b.is_none_or(|b| a == b)));
        if fits {
            return Ok(());
        }
        let made =
            made.iter().map(|axis| axis.map_or("batch".into(), |n| n.to_string())).collect::<Vec<_>>().join(", ");
        Err(format!("input {info} does not fit: the manifest makes ({made})"))
    }
}

/// The name under which an earlier output of that name is known.
fn model_name(known: &[Known], name: &str) -> Option<crate::model::Name> {
    known.iter().find(|known| known.info.name == name).map(|known| crate::model::Name::from(known.info.name.as_str()))
}

fn list<'a>(tensors: impl IntoIterator<Item = &'a TensorInfo>) -> String {
    tensors.into_iter().map(TensorInfo::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(all(test, feature = "test-runtime"))]
#[path = "generator_tests.rs"]
mod tests;
