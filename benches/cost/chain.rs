// SPDX-License-Identifier: MPL-2.0
//! The elements at work.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstlipsync::face_meta::{Face, FaceMeta};
use parking_lot::{Condvar, Mutex};

use crate::clock;
use crate::material::{Material, SOUND_RATE};

/// Frames per second.
const FPS: u64 = 25;

/// Frames that exist at once: those that lipsyncgen holds, and some on their way.
const POOL: u32 = 24;

/// No frame takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a stretch of frames cost, seconds.
pub struct Cost {
    pub cpu: f64,
    pub wall: f64,
    /// By what the threads do.
    pub threads: Vec<(String, f64)>,
}

/// What the threads are called, and what they do.
const THREADS: [(&str, &str); 5] = [
    ("video:src", "facecrop: cuts, crops, landmark network"),
    ("facecrop-detect", "facecrop: detector"),
    ("sound:src", "audiofeatures"),
    ("lipsyncgen-infe", "lipsyncgen: tensors, the model's graph"),
    ("g:src", "lipsyncgen: frames; facepaste"),
];

#[derive(Default)]
struct Arrived {
    frames: Mutex<(usize, Option<Arc<Face>>)>,
    more: Condvar,
}

/// `facecrop ! lipsyncgen ! facepaste`, fed from memory. A pipeline that stands still is one that has nothing left to do,
/// so its cost can be told exactly.
pub struct Chain {
    pipeline: gst::Pipeline,
    video: gst_app::AppSrc,
    sound: gst_app::AppSrc,
    pool: gst::BufferPool,
    material: Material,
    samples: Vec<f32>,
    pushed: usize,
    heard: usize,
    arrived: Arc<Arrived>,
}

impl Chain {
    /// Every run will be of `frames` frames.
    pub fn start(material: Material, sound: &[f32], frames: usize) -> Result<Self, String> {
        let pipeline = gst::parse::launch(&format!(
            "appsrc name=video format=time max-bytes=0 ! facecrop ! lipsyncgen name=g ! facepaste name=paste ! fakesink name=sink \
             appsrc name=sound format=time max-bytes=0 caps=audio/x-raw,format=F32LE,layout=interleaved,channels=1,rate={SOUND_RATE} ! \
             audiofeatures ! g.features"
        ))
        .map_err(|e| e.to_string())?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "no pipeline")?;
        let source = |name: &str| pipeline.by_name(name).and_downcast::<gst_app::AppSrc>().ok_or("no source");
        let (video, sound_source) = (source("video")?, source("sound")?);
        let caps = material.info.to_caps().map_err(|e| e.to_string())?;
        video.set_caps(Some(&caps));
        let pool = gst_video::VideoBufferPool::new();
        let mut config = pool.config();
        config.set_params(Some(&caps), material.info.size() as u32, POOL, POOL);
        pool.set_config(config).map_err(|e| e.to_string())?;
        pool.set_active(true).map_err(|e| e.to_string())?;

        let arrived = Arc::new(Arrived::default());
        let pad = |element: &str, pad: &str| pipeline.by_name(element).and_then(|e| e.static_pad(pad)).ok_or("no pad");
        let faces = arrived.clone();
        pad("paste", "sink")?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(face) = info.buffer().and_then(|b| FaceMeta::faces(b).into_iter().next()) {
                faces.frames.lock().1 = Some(face);
            }
            gst::PadProbeReturn::Ok
        });
        let counted = arrived.clone();
        pad("sink", "sink")?.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            counted.frames.lock().0 += 1;
            counted.more.notify_one();
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).map_err(|e| e.to_string())?;
        let mut chain = Self {
            pipeline,
            video,
            sound: sound_source,
            pool: pool.upcast(),
            material,
            samples: sound.to_vec(),
            pushed: 0,
            heard: 0,
            arrived,
        };
        // From here on the sound is one run ahead: whatever the look-ahead, the last frame of a run has all its rows.
        chain.hear(frames)?;
        Ok(chain)
    }

    pub fn size(&self) -> [u32; 2] {
        [self.material.info.width(), self.material.info.height()]
    }

    /// The last face that went by.
    pub fn sample(&self) -> Result<Arc<Face>, String> {
        self.arrived.frames.lock().1.clone().ok_or_else(|| "no face was found in the frames".into())
    }

    pub fn face_width(&self) -> f32 {
        self.sample().map_or(f32::NAN, |face| face.bbox.w)
    }

    /// Pushes `count` frames and their sound and waits until they have come out. What this thread does is not counted.
    pub fn run(&mut self, count: usize) -> Result<Cost, String> {
        let (start, cpu, own, threads) = (Instant::now(), clock::process(), clock::thread(), clock::threads());
        self.hear(count)?;
        for _ in 0..count {
            let mut buffer = self.pool.acquire_buffer(None).map_err(|e| e.to_string())?;
            {
                let buffer = buffer.get_mut().ok_or("a pool's buffer is not its own")?;
                let time = |k: usize| gst::ClockTime::from_nseconds(k as u64 * 1_000_000_000 / FPS);
                buffer.set_pts(time(self.pushed));
                buffer.set_duration(time(1));
                let frame = self.material.frame(self.pushed);
                buffer.map_writable().map_err(|e| e.to_string())?[..frame.len()].copy_from_slice(frame);
            }
            self.video.push_buffer(buffer).map_err(|e| e.to_string())?;
            self.pushed += 1;
        }
        let mut frames = self.arrived.frames.lock();
        while frames.0 < self.pushed {
            if self.arrived.more.wait_for(&mut frames, PATIENCE).timed_out() {
                let error = self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
                return Err(format!("the pipeline stands still after {} frames: {error:?}", frames.0));
            }
        }
        drop(frames);
        let wall = start.elapsed().as_secs_f64();
        let cpu = clock::process() - cpu - (clock::thread() - own);
        Ok(Cost { cpu, wall, threads: shares(&threads, cpu) })
    }

    /// Pushes the sound of the next `frames` frames.
    fn hear(&mut self, frames: usize) -> Result<(), String> {
        let length = frames * SOUND_RATE / FPS as usize;
        let samples = (self.heard..self.heard + length).map(|k| self.samples[k % self.samples.len()]);
        let bytes: Vec<u8> = samples.flat_map(f32::to_le_bytes).collect();
        let time = |k: usize| gst::ClockTime::from_nseconds(k as u64 * 1_000_000_000 / SOUND_RATE as u64);
        let mut buffer = gst::Buffer::from_slice(bytes);
        {
            let buffer = buffer.get_mut().ok_or("just made")?;
            buffer.set_pts(time(self.heard));
            buffer.set_duration(time(length));
        }
        self.heard += length;
        self.sound.push_buffer(buffer).map_err(|e| e.to_string())?;
        Ok(())
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
        let _ = self.pool.set_active(false);
    }
}

/// What each stage took of `cpu` since `before`; the rest comes last.
fn shares(before: &std::collections::BTreeMap<String, f64>, cpu: f64) -> Vec<(String, f64)> {
    let now = clock::threads();
    let mut rest = cpu;
    let mut shares: Vec<(String, f64)> = THREADS
        .iter()
        .map(|(name, what)| {
            let spent = now.get(*name).unwrap_or(&0.0) - before.get(*name).unwrap_or(&0.0);
            rest -= spent;
            (what.to_string(), spent)
        })
        .collect();
    shares.push(("the rest: ONNX Runtime's own threads, GStreamer".into(), rest));
    shares
}

/// A whole file, and how many frames it had.
pub struct Whole {
    pub frames: usize,
    pub cost: Cost,
}

/// Decodes and dubs a file from its beginning to its end; start-up is counted.
pub fn from_file(video: &Path, sound: &[f32]) -> Result<Whole, String> {
    let pipeline = gst::parse::launch(&format!(
        "filesrc name=file ! decodebin ! queue ! facecrop ! lipsyncgen name=g ! facepaste ! fakesink name=sink sync=false \
         appsrc name=sound format=time max-bytes=0 caps=audio/x-raw,format=F32LE,layout=interleaved,channels=1,rate={SOUND_RATE} ! \
         audiofeatures ! g.features"
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
    let bytes: Vec<u8> = sound.iter().copied().cycle().take(60 * SOUND_RATE).flat_map(f32::to_le_bytes).collect();
    let mut buffer = gst::Buffer::from_slice(bytes);
    buffer.get_mut().ok_or("just made")?.set_pts(gst::ClockTime::ZERO);
    let (start, cpu) = (Instant::now(), clock::process());
    pipeline.set_state(gst::State::Playing).map_err(|e| e.to_string())?;
    source.push_buffer(buffer).map_err(|e| e.to_string())?;
    source.end_of_stream().map_err(|e| e.to_string())?;
    let bus = pipeline.bus().ok_or("no bus")?;
    let message = bus.timed_pop_filtered(None, &[gst::MessageType::Eos, gst::MessageType::Error]);
    let cost = Cost { cpu: clock::process() - cpu, wall: start.elapsed().as_secs_f64(), threads: Vec::new() };
    let _ = pipeline.set_state(gst::State::Null);
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Error(error)) => Err(format!("{}: {}", video.display(), error.error())),
        _ => Ok(Whole { frames: *frames.lock(), cost }),
    }
}
