// SPDX-License-Identifier: MPL-2.0
//! Looks on while the elements work.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use gst::prelude::*;
use gst_video::VideoFrameRef;
use gst_video::prelude::*;
use gstlipsync::face_meta::{Face, FaceMeta, Generated, RgbImage};
use gstlipsync::model::Model;
use gstlipsync::runtime::{self, Run};
use parking_lot::Mutex;

use crate::npy::Array;
use crate::options::Options;

pub type Named = (String, Array);

pub enum Event {
    /// One that is wanted has come out.
    Frame(usize, Vec<Named>),
    Ended,
    Failed(String),
}

pub struct Capture {
    seen: Arc<Mutex<Seen>>,
    events: Receiver<Event>,
}

#[derive(Default)]
struct Seen {
    /// What the model's graphs were given and gave since the last frame left lipsyncgen. The name is the graph's.
    runs: Vec<(String, Vec<Named>)>,
    /// The same of the encoder of sound, since the beginning.
    heard: Vec<Vec<Named>>,
    features: Vec<f32>,
    width: usize,
    /// Frames that have left lipsyncgen, and facepaste.
    made: usize,
    pasted: usize,
    /// Of the frame between the two.
    arrays: Vec<Named>,
}

impl Capture {
    pub fn start(pipeline: &gst::Pipeline, options: &Options) -> Result<Self, String> {
        let model = Model::open(&options.model).map_err(|e| e.to_string())?;
        let width = model.manifest.audiofeatures.width();
        let seen = Arc::new(Mutex::new(Seen { width, ..Seen::default() }));
        let (events, received) = channel();
        watch_graphs(&model, &seen);
        watch_features(&pad(pipeline, "generator", "features")?, &seen);
        watch_frames(pipeline, &options.frames, &seen, &events)?;
        watch_bus(&pipeline.bus().ok_or("no bus")?, events);
        Ok(Self { seen, events: received })
    }

    /// Drops what was seen of the graphs.
    pub fn forget(&self) {
        self.seen.lock().runs.clear();
    }

    pub fn next(&self) -> Event {
        self.events.recv().unwrap_or(Event::Ended)
    }

    /// What went wrong so far.
    pub fn error(&self) -> Option<String> {
        self.events.try_iter().find_map(|event| match event {
            Event::Failed(error) => Some(error),
            _ => None,
        })
    }

    /// All that was heard.
    pub fn sound(&self) -> Vec<Named> {
        let mut seen = self.seen.lock();
        let features = std::mem::take(&mut seen.features);
        let mut arrays = vec![("features".into(), Array::floats([features.len() / seen.width, seen.width], features))];
        // The first run was to find out whether the graph fits.
        for (k, run) in std::mem::take(&mut seen.heard).into_iter().skip(1).enumerate() {
            arrays.extend(run.into_iter().map(|(name, array)| (format!("encoder-{k}.{name}"), array)));
        }
        arrays
    }
}

fn watch_graphs(model: &Model, seen: &Arc<Mutex<Seen>>) {
    let paths = |files: &[gstlipsync::model::Name]| files.iter().filter_map(|f| model.file(f).ok()).collect::<Vec<_>>();
    let made: Vec<PathBuf> = model.manifest.lipsyncgen.graph.iter().flat_map(|graph| paths(&graph.file.0)).collect();
    let heard = model.manifest.audiofeatures.encoder.as_ref().map_or_else(Vec::new, |encoder| paths(&encoder.files));
    let seen = seen.clone();
    // There is no other watcher in this program.
    let _ = runtime::watch(move |run: Run| {
        let is_made = made.iter().any(|file| file == run.file);
        if !is_made && !heard.iter().any(|file| file == run.file) {
            return;
        }
        let tensors = run.inputs.iter().chain(run.outputs);
        let tensors = tensors.map(|(name, tensor)| (name.to_string(), Array::from(*tensor))).collect();
        let mut seen = seen.lock();
        if is_made {
            let name = run.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            seen.runs.push((name, tensors));
        } else {
            seen.heard.push(tensors);
        }
    });
}

fn watch_features(pad: &gst::Pad, seen: &Arc<Mutex<Seen>>) {
    let seen = seen.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(map) = info.buffer().and_then(|buffer| buffer.map_readable().ok()) {
            let numbers = map.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            seen.lock().features.extend(numbers);
        }
        gst::PadProbeReturn::Ok
    });
}

fn watch_frames(
    pipeline: &gst::Pipeline,
    wanted: &BTreeSet<usize>,
    seen: &Arc<Mutex<Seen>>,
    events: &Sender<Event>,
) -> Result<(), String> {
    let (now, frames) = (seen.clone(), wanted.clone());
    pad(pipeline, "generator", "src")?.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let mut seen = now.lock();
        let runs = std::mem::take(&mut seen.runs);
        if let Some(buffer) = info.buffer()
            && frames.contains(&seen.made)
        {
            seen.arrays = of_runs(runs);
            let faces = FaceMeta::faces(buffer);
            match faces.iter().find_map(|face| face.reason) {
                Some(reason) => eprintln!("frame {}: its face has no new mouth: {}", seen.made, reason.as_str()),
                None if faces.is_empty() => eprintln!("frame {}: there is no face in it", seen.made),
                None => {}
            }
            for (k, face) in faces.iter().enumerate() {
                seen.arrays.extend(of_face(face).into_iter().map(|(name, array)| (again(name, k), array)));
            }
            seen.arrays.extend(planes("frame-before", pad, buffer));
        }
        seen.made += 1;
        gst::PadProbeReturn::Ok
    });
    let (now, frames, events) = (seen.clone(), wanted.clone(), events.clone());
    pad(pipeline, "paste", "src")?.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let mut seen = now.lock();
        if let Some(buffer) = info.buffer()
            && frames.contains(&seen.pasted)
        {
            let mut arrays = std::mem::take(&mut seen.arrays);
            arrays.extend(planes("frame-after", pad, buffer));
            let _ = events.send(Event::Frame(seen.pasted, arrays));
        }
        seen.pasted += 1;
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn watch_bus(bus: &gst::Bus, events: Sender<Event>) {
    bus.set_sync_handler(move |_, message| {
        let source = || message.src().map(|src| src.name()).unwrap_or_default();
        let _ = match message.view() {
            gst::MessageView::Eos(_) => events.send(Event::Ended),
            gst::MessageView::Error(error) => events.send(Event::Failed(format!("{}: {}", source(), error.error()))),
            gst::MessageView::Warning(warning) => {
                let more = warning.debug().unwrap_or_default();
                eprintln!("{}: {} {more}", source(), warning.error());
                Ok(())
            }
            _ => Ok(()),
        };
        gst::BusSyncReply::Drop
    });
}

fn pad(pipeline: &gst::Pipeline, element: &str, pad: &str) -> Result<gst::Pad, String> {
    let found = pipeline.by_name(element).and_then(|element| element.static_pad(pad));
    found.ok_or_else(|| format!("the element {element} has no pad {pad}"))
}

/// What a name is at its `k`th time, counted from 0.
fn again(name: &str, k: usize) -> String {
    if k == 0 { name.into() } else { format!("{name}-{}", k + 1) }
}

fn of_runs(runs: Vec<(String, Vec<Named>)>) -> Vec<Named> {
    let (mut arrays, mut graphs) = (Vec::new(), Vec::new());
    for (graph, tensors) in runs {
        let name = again(&graph, graphs.iter().filter(|earlier| **earlier == graph).count());
        arrays.extend(tensors.into_iter().map(|(tensor, array)| (format!("{name}.{tensor}"), array)));
        graphs.push(graph);
    }
    arrays
}

fn of_face(face: &Face) -> Vec<(&'static str, Array)> {
    let picture = |image: &RgbImage| Array::bytes([image.height, image.width, 3], image.data.clone());
    let mut arrays = vec![
        ("crop", picture(&face.crop)),
        ("crop-to-frame", Array::floats([2, 3], face.crop_to_frame.0.to_vec())),
        ("landmarks", Array::floats([face.landmarks.len(), 2], face.landmarks.as_flattened().to_vec())),
        ("box", Array::floats([4], vec![face.bbox.x, face.bbox.y, face.bbox.w, face.bbox.h])),
    ];
    if !face.points.is_empty() {
        arrays.push(("points", Array::floats([face.points.len(), 2], face.points.as_flattened().to_vec())));
    }
    if let Some(Generated::Image(image)) = &face.generated {
        arrays.push(("image", picture(image)));
    }
    arrays
}

/// The planes of a frame, without what pads their rows. Samples of a plane that lie side by side are its last axis.
fn planes(name: &str, pad: &gst::Pad, buffer: &gst::Buffer) -> Vec<Named> {
    let info = pad.current_caps().and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok());
    let Some(frame) = info.as_ref().and_then(|info| VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()) else {
        return Vec::new();
    };
    let info = frame.info();
    let plane = |plane: u32| {
        // Any of its components has its size.
        let component = (0..info.n_components()).find(|&c| info.comp_plane(c as u8) == plane).unwrap_or(0) as usize;
        let (width, height) = (info.comp_width(component as u8), info.comp_height(component as u8));
        let (step, stride) =
            (info.comp_pstride(component as u8) as usize, frame.plane_stride()[plane as usize] as usize);
        let rows = frame.plane_data(plane).unwrap_or(&[]).chunks(stride.max(1)).take(height as usize);
        let samples = rows.flat_map(|row| &row[..(width as usize * step).min(row.len())]).copied().collect();
        let mut shape = vec![height as usize, width as usize];
        shape.extend((step > 1).then_some(step));
        let name = if info.n_planes() > 1 { format!("{name}-{plane}") } else { name.into() };
        (name, Array::bytes(shape, samples))
    };
    (0..info.n_planes()).map(plane).collect()
}
