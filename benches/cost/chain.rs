// SPDX-License-Identifier: MPL-2.0
//! The elements at work.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gst::prelude::*;
use gstlipsync::face_meta::{Face, FaceMeta};
use parking_lot::Mutex;

use crate::clock;
use crate::feed::{self, Cost, FPS, Feed};
use crate::material::{Material, SOUND_RATE};

const SOUND: &str =
    "appsrc name=sound format=time max-bytes=0 caps=audio/x-raw,format=F32LE,layout=interleaved,channels=1,rate=16000";

/// With it the next faces are looked for while the graph runs: two batches of them.
const QUEUE: &str = "queue max-size-buffers=16 max-size-bytes=0 max-size-time=0";

/// What the threads are called, and what they do.
const THREADS: [(&str, &str); 5] = [
    ("video:src", "facecrop: cuts, crops, landmark network"),
    ("facecrop-detect", "facecrop: detector"),
    ("sound:src", "audiofeatures"),
    ("lipsyncgen-infe", "lipsyncgen: tensors, the model's graph"),
    ("g:src", "lipsyncgen: frames; facepaste"),
];

/// `facecrop ! lipsyncgen ! facepaste`, fed from memory.
pub struct Chain {
    feed: Feed,
    sound: gst_app::AppSrc,
    samples: Vec<f32>,
    heard: usize,
    face: Arc<Mutex<Option<Arc<Face>>>>,
}

impl Chain {
    /// Every run will be of `frames` frames. `facecrop` and `lipsyncgen` are the elements' properties.
    pub fn start(
        material: Arc<Material>,
        sound: &[f32],
        frames: usize,
        facecrop: &str,
        lipsyncgen: &str,
    ) -> Result<Self, String> {
        let feed = Feed::start(
            &format!(
                "appsrc name=video format=time max-bytes=0 ! facecrop {facecrop} ! {QUEUE} ! lipsyncgen name=g {lipsyncgen} ! \
                 facepaste name=paste ! fakesink name=sink {SOUND} ! audiofeatures ! g.features"
            ),
            material,
        )?;
        let source = feed.pipeline.by_name("sound").and_downcast::<gst_app::AppSrc>().ok_or("no source")?;
        let pad = feed.pipeline.by_name("paste").and_then(|e| e.static_pad("sink")).ok_or("no pad")?;
        let face = Arc::new(Mutex::new(None));
        let seen = face.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(face) = info.buffer().and_then(|b| FaceMeta::faces(b).into_iter().next()) {
                *seen.lock() = Some(face);
            }
            gst::PadProbeReturn::Ok
        });
        let mut chain = Self { feed, sound: source, samples: sound.to_vec(), heard: 0, face };
        // From here on the sound is one run ahead: whatever the look-ahead, the last frame of a run has all its rows.
        chain.hear(frames)?;
        // The first frame leaves alone, the others in batches.
        chain.run(1)?;
        Ok(chain)
    }

    pub fn size(&self) -> [u32; 2] {
        [self.feed.material.info.width(), self.feed.material.info.height()]
    }

    /// The last face that went by, with its mouth.
    pub fn face(&self) -> Result<Arc<Face>, String> {
        self.face.lock().clone().ok_or_else(|| "no face was found in the frames".into())
    }

    /// Pushes `count` frames and their sound and waits until they have come out.
    pub fn run(&mut self, count: usize) -> Result<Cost, String> {
        self.hear(count)?;
        self.feed.run(count, |_| Ok(()))
    }

    /// Pushes the sound of the next `frames` frames.
    fn hear(&mut self, frames: usize) -> Result<(), String> {
        let length = frames * SOUND_RATE / FPS as usize;
        let samples = (self.heard..self.heard + length).map(|k| self.samples[k % self.samples.len()]);
        self.sound.push_buffer(buffer(samples, self.heard)?).map_err(|e| e.to_string())?;
        self.heard += length;
        Ok(())
    }
}

/// A buffer of sound that begins with sample `start`.
fn buffer(samples: impl Iterator<Item = f32>, start: usize) -> Result<gst::Buffer, String> {
    let bytes: Vec<u8> = samples.flat_map(f32::to_le_bytes).collect();
    let mut buffer = gst::Buffer::from_slice(bytes);
    let time = gst::ClockTime::from_nseconds(start as u64 * 1_000_000_000 / SOUND_RATE as u64);
    buffer.get_mut().ok_or("just made")?.set_pts(time);
    Ok(buffer)
}

/// What each stage took, seconds; the rest comes last.
pub fn stages(cost: &Cost) -> Vec<(&'static str, f64)> {
    let mut stages: Vec<_> =
        THREADS.iter().map(|&(name, what)| (what, *cost.threads.get(name).unwrap_or(&0.0))).collect();
    let rest = cost.cpu - stages.iter().map(|stage| stage.1).sum::<f64>();
    stages.push(("the rest: ONNX Runtime's own threads, GStreamer", rest));
    stages
}

/// Decodes and dubs a file from its beginning to its end. Returns the number of frames and CPU and wall seconds; start-up
/// is counted.
pub fn from_file(video: &Path, sound: &[f32]) -> Result<(usize, f64, f64), String> {
    let pipeline = gst::parse::launch(&format!(
        "filesrc name=file ! decodebin ! queue ! facecrop ! {QUEUE} ! lipsyncgen name=g ! facepaste ! fakesink name=sink sync=false \
         {SOUND} ! audiofeatures ! g.features"
    ))
    .map_err(|e| e.to_string())?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "no pipeline")?;
    pipeline.by_name("file").ok_or("no source")?.set_property("location", video);
    let source = pipeline.by_name("sound").and_downcast::<gst_app::AppSrc>().ok_or("no source")?;
    let pad = pipeline.by_name("sink").and_then(|e| e.static_pad("sink")).ok_or("no pad")?;
    let frames = Arc::new(Mutex::new(0));
    let count = frames.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        *count.lock() += 1;
        gst::PadProbeReturn::Ok
    });
    let minute = buffer(sound.iter().copied().cycle().take(60 * SOUND_RATE), 0)?;
    let (start, cpu) = (Instant::now(), clock::process());
    pipeline.set_state(gst::State::Playing).map_err(|e| feed::error(&pipeline).unwrap_or_else(|| e.to_string()))?;
    source.push_buffer(minute).map_err(|e| e.to_string())?;
    source.end_of_stream().map_err(|e| e.to_string())?;
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().and_then(|bus| bus.timed_pop_filtered(None, &ends));
    let (cpu, wall) = (clock::process() - cpu, start.elapsed().as_secs_f64());
    let _ = pipeline.set_state(gst::State::Null);
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Error(error)) => Err(format!("{}: {}", video.display(), error.error())),
        _ => Ok((*frames.lock(), cpu, wall)),
    }
}
