// SPDX-License-Identifier: MPL-2.0
//! Networks on their own, in the sessions that the elements use.

use std::time::Instant;

use gstlipsync::face_meta::Face;
use gstlipsync::model::{find_folder, manifest};
use gstlipsync::runtime::{self, Options, SharedSession, Tensor};

use crate::clock;

/// lipsyncgen's own, where it is not live.
const BATCH: usize = 8;

/// One of them, with what it is fed.
pub struct Network {
    session: SharedSession,
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<String>,
}

impl Network {
    /// The landmark network that the model names, once per frame.
    fn landmarks(face: &Face) -> Result<Self, String> {
        let name = face.model.manifest.facecrop.landmarks.as_deref().unwrap_or("face_landmark_68");
        let file = find_folder(name).map_err(|e| e.to_string())?.join(format!("{name}.onnx"));
        let options = Options { device: "cpu".into(), threads: 1, ..Options::default() };
        let session = runtime::open(&file, &options).map_err(|e| e.to_string())?;
        let (inputs, outputs) = {
            let open = session.lock();
            let input = open.inputs().first().ok_or("the landmark network takes nothing")?;
            let shape: Vec<usize> = input.shape.iter().map(|axis| axis.unwrap_or(1)).collect();
            let pixels = face.crop.data.iter().map(|&v| f32::from(v)).cycle().take(shape.iter().product()).collect();
            let outputs = open.outputs().iter().map(|info| info.name.clone()).collect();
            (vec![(input.name.clone(), Tensor::new(shape, pixels))], outputs)
        };
        Ok(Self { session, inputs, outputs })
    }

    /// The graph of the model that `face` was cut out for, once per `BATCH` frames.
    pub fn mouth(face: &Face, options: &Options) -> Result<Self, String> {
        let manifest = &face.model.manifest;
        let [graph] = &manifest.lipsyncgen.graph[..] else { return Err("the model has several graphs".into()) };
        let file = runtime::choose(&face.model, &graph.file.0, options.backend).map_err(|e| e.to_string())?;
        let session = runtime::open(&file, options).map_err(|e| e.to_string())?;
        let to_crop = face.crop_to_frame.invert().ok_or("the face has no crop")?;
        let [w, h] = [face.crop.width, face.crop.height];
        let inputs = graph.input.iter().map(|input| {
            let (shape, one): (Vec<usize>, Vec<f32>) = match &input.source {
                manifest::Source::Features { rows, layout, .. } => {
                    let shape = layout.shape(rows.count as usize, manifest.audiofeatures.width());
                    let count = shape.iter().product();
                    (shape, (0..count).map(|k| (k as f32 * 0.37).sin()).collect())
                }
                manifest::Source::Landmarks(select) => {
                    let all = if face.points.is_empty() { &face.landmarks[..] } else { &face.points };
                    let points = select.indices.iter().filter_map(|&i| all.get(i)).map(|p| to_crop.apply(*p));
                    let numbers = points.flat_map(|p| [p[0] / w as f32, p[1] / h as f32]).collect();
                    (vec![select.indices.len(), 2], numbers)
                }
                manifest::Source::Pictures { pictures, .. } => {
                    let plane = |c: usize| face.crop.data.iter().skip(c).step_by(3).map(|&v| f32::from(v) / 255.0);
                    let picture: Vec<f32> = (0..3).flat_map(plane).collect();
                    (vec![3 * pictures.len(), h, w], picture.repeat(pictures.len()))
                }
                manifest::Source::MemoryLandmarks(_) => {
                    let points = face.landmarks.iter().map(|p| to_crop.apply(*p));
                    (vec![face.landmarks.len(), 2], points.flat_map(|p| [p[0] / w as f32, p[1] / h as f32]).collect())
                }
                manifest::Source::MemoryWeight(_) => (vec![1], vec![1.0]),
                other => return Err(format!("an input such as {other:?} is not known here")),
            };
            Ok((input.name.to_string(), Tensor::new([&[BATCH], &shape[..]].concat(), one.repeat(BATCH))))
        });
        let inputs = inputs.collect::<Result<_, String>>()?;
        let outputs: Vec<&str> = match &manifest.lipsyncgen.output {
            manifest::Output::Image { name, .. } => vec![name],
            manifest::Output::Warp { upper, lower, edges, inner, weight, .. } => {
                vec![upper, lower, edges, inner, weight]
            }
        };
        Ok(Self { session, inputs, outputs: outputs.into_iter().map(String::from).collect() })
    }

    /// The runs that `frames` frames need of a model's graph: wall seconds, and CPU seconds of the process.
    pub fn batches(&mut self, frames: usize) -> [f64; 2] {
        let (start, cpu) = (Instant::now(), clock::process());
        self.run(frames / BATCH);
        [start.elapsed().as_secs_f64(), clock::process() - cpu]
    }

    /// CPU seconds of this thread.
    fn run(&mut self, times: usize) -> f64 {
        let inputs: Vec<(&str, &Tensor)> = self.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let outputs: Vec<&str> = self.outputs.iter().map(String::as_str).collect();
        let mut session = self.session.lock();
        let start = clock::thread();
        for _ in 0..times {
            session.run(&inputs, &outputs).expect("what the elements run, runs");
        }
        clock::thread() - start
    }
}

/// The two networks of the default model's chain: one after the other, and both at once as in the chain.
pub struct Networks {
    landmarks: Network,
    mouth: Network,
}

impl Networks {
    pub fn open(face: &Face) -> Result<Self, String> {
        Ok(Self { landmarks: Network::landmarks(face)?, mouth: Network::mouth(face, &Options::default())? })
    }

    /// CPU seconds of the runs that `frames` frames with one face need, one after the other: of the landmark network, of the
    /// model's graph.
    pub fn run(&mut self, frames: usize) -> [f64; 2] {
        [self.landmarks.run(frames), self.mouth.run(frames / BATCH)]
    }

    /// As [`Self::run`], both at once. Alone, each has the cores' shared cache and memory to itself, as it never has in a
    /// pipeline.
    pub fn run_at_once(&mut self, frames: usize) -> [f64; 2] {
        let Self { landmarks, mouth } = self;
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| landmarks.run(frames));
            let mouth = mouth.run(frames / BATCH);
            [beside.join().expect("what the elements run, runs"), mouth]
        })
    }
}
