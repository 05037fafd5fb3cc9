// SPDX-License-Identifier: MPL-2.0
//! A pipeline that is fed with frames from memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use parking_lot::{Condvar, Mutex};

use crate::clock;
use crate::material::Material;

/// Frames per second.
pub const FPS: u64 = 25;

/// Frames that exist at once: those that lipsyncgen and a queue hold, and some on their way.
const POOL: u32 = 48;

/// Frames that lipsyncgen may keep: where the voice pauses, frames are passed on that the graph has no part in, so a round is no whole
/// number of batches, and the last one waits to be filled, with what follows it.
const KEPT: usize = 16;

/// No frame takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that computes hardly anything for so long has nothing to do.
const STILL: Duration = Duration::from_millis(40);

/// What a stretch of frames cost, seconds.
pub struct Cost {
    pub cpu: f64,
    pub wall: f64,
    /// By thread, without the one that feeds.
    pub threads: BTreeMap<String, f64>,
}

/// A pipeline that stands still is one that has nothing left to do, so its cost can be told exactly.
pub struct Feed {
    pub pipeline: gst::Pipeline,
    pub material: Arc<Material>,
    video: gst_app::AppSrc,
    pool: gst::BufferPool,
    pushed: usize,
    arrived: Arc<(Mutex<usize>, Condvar)>,
}

impl Feed {
    /// `description` has an `appsrc name=video` and a `fakesink name=sink`.
    pub fn start(description: &str, material: Arc<Material>) -> Result<Self, String> {
        let pipeline = gst::parse::launch(description).map_err(|e| e.to_string())?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        let video = pipeline.by_name("video").and_downcast::<gst_app::AppSrc>().ok_or("no source")?;
        let caps = material.info.to_caps().map_err(|e| e.to_string())?;
        video.set_caps(Some(&caps));
        let pool = gst_video::VideoBufferPool::new();
        let mut config = pool.config();
        config.set_params(Some(&caps), material.info.size() as u32, POOL, POOL);
        pool.set_config(config).map_err(|e| e.to_string())?;
        pool.set_active(true).map_err(|e| e.to_string())?;
        let arrived = Arc::new((Mutex::new(0), Condvar::new()));
        let counted = arrived.clone();
        let sink = pipeline.by_name("sink").and_then(|e| e.static_pad("sink")).ok_or("no sink")?;
        sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            *counted.0.lock() += 1;
            counted.1.notify_one();
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).map_err(|e| error(&pipeline).unwrap_or_else(|| e.to_string()))?;
        Ok(Self { pipeline, material, video, pool: pool.upcast(), pushed: 0, arrived })
    }

    /// Pushes `count` frames, each after `before` saw it, and waits until they have come out, up to those of an unfilled batch, and the
    /// process has nothing left to do. What this thread does is not counted.
    pub fn run(
        &mut self,
        count: usize,
        mut before: impl FnMut(&mut gst::BufferRef) -> Result<(), String>,
    ) -> Result<Cost, String> {
        let (start, cpu, own, threads) = (Instant::now(), clock::process(), clock::thread(), clock::threads());
        for _ in 0..count {
            let mut buffer = self.pool.acquire_buffer(None).map_err(|e| e.to_string())?;
            {
                let buffer = buffer.get_mut().ok_or("a pool's buffer is not its own")?;
                let time = |k: usize| gst::ClockTime::from_nseconds(k as u64 * 1_000_000_000 / FPS);
                buffer.set_pts(time(self.pushed));
                buffer.set_duration(time(1));
                let frame = self.material.frame(self.pushed);
                buffer.map_writable().map_err(|e| e.to_string())?[..frame.len()].copy_from_slice(frame);
                before(buffer)?;
            }
            self.video.push_buffer(buffer).map_err(|e| e.to_string())?;
            self.pushed += 1;
        }
        let (arrived, more) = &*self.arrived;
        let mut arrived = arrived.lock();
        while *arrived + KEPT < self.pushed {
            if more.wait_for(&mut arrived, PATIENCE).timed_out() {
                let why = error(&self.pipeline).unwrap_or_default();
                return Err(format!("the pipeline stands still after {arrived} frames. {why}"));
            }
        }
        drop(arrived);
        let wall = start.elapsed().as_secs_f64();
        let mut before = clock::process();
        loop {
            std::thread::sleep(STILL);
            let now = clock::process();
            if now - before < 0.05 * STILL.as_secs_f64() {
                break;
            }
            before = now;
        }
        let cpu = clock::process() - cpu - (clock::thread() - own);
        let mut now = clock::threads();
        now.iter_mut().for_each(|(name, time)| *time -= threads.get(name).unwrap_or(&0.0));
        Ok(Cost { cpu, wall, threads: now })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
        let _ = self.pool.set_active(false);
    }
}

/// What went wrong in `pipeline`.
pub fn error(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(error.error().to_string()),
        _ => None,
    }
}
