// SPDX-License-Identifier: MPL-2.0
//! Any model's pipeline beside the session of its graph alone, and beside other streams.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use gstlipsync::runtime::Options;

use crate::arguments::Beside;
use crate::chain::{self, Chain};
use crate::clock::median;
use crate::material::{Material, Seen};
use crate::networks::Network;
use crate::{FACE, ROUNDS};

/// Prints, per round, the wall and CPU seconds of the pipeline and of the session, and then the ratios' medians.
pub fn run(asked: &Beside, video: &Path, seen: &Seen, sound: &[f32]) -> Result<(), String> {
    let size = [asked.lines * 16 / 9 / 2 * 2, asked.lines];
    let material = Arc::new(Material::prepare(video, seen, FACE, size)?);
    let mut chain = start(asked, material.clone(), sound)?;
    let mut network = Network::mouth(&*chain.face()?, &asked.options)?;
    network.batches(asked.frames);
    let (mut walls, mut cpus, mut fps, mut stages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    println!("{} frames of {} × {} a round; seconds, wall and CPU:", asked.frames, size[0], size[1]);
    for _ in 0..ROUNDS {
        let cost = chain.run(asked.frames)?;
        let [wall, cpu] = network.batches(asked.frames);
        println!("pipeline {:.3} {:.3}   session {wall:.3} {cpu:.3}", cost.wall, cost.cpu);
        walls.push(cost.wall / wall);
        cpus.push(cost.cpu / cpu);
        fps.push(asked.frames as f64 / cost.wall);
        stages = chain::stages(&cost);
    }
    let threads = stages.iter().map(|(what, cpu)| format!("{what} {:.2}", cpu * 1e3 / asked.frames as f64));
    println!("ms CPU per frame, of the last round: {}", threads.collect::<Vec<_>>().join(", "));
    println!(
        "pipeline / session, medians of {ROUNDS}: wall {:.3}, CPU {:.3}; the pipeline makes {:.1} frames/s",
        median(&walls),
        median(&cpus),
        median(&fps)
    );
    drop((chain, network));
    for streams in 2..=asked.streams {
        let together = at_once(streams, asked, &material, sound)?;
        println!(
            "{streams} streams at once: {together:.1} frames/s in all, {:.2} times one's",
            together / median(&fps)
        );
    }
    Ok(())
}

/// The elements, once everything is loaded and its memory there.
fn start(asked: &Beside, material: Arc<Material>, sound: &[f32]) -> Result<Chain, String> {
    let face = material.face;
    let Options { backend, device, threads } = &asked.options;
    let region = match asked.find {
        true => String::new(),
        false => format!("region=\"{:.0},{:.0},{:.0},{:.0}\"", face.x, face.y, face.w, face.h),
    };
    let lipsyncgen = format!("model=\"{}\" backend={} device={device} threads={threads}", asked.model, backend.nick());
    let mut chain = Chain::start(material, sound, asked.frames, &region, &lipsyncgen)?;
    chain.run(asked.frames)?;
    Ok(chain)
}

/// Frames per second of so many streams in this process, all together; the median of the rounds.
fn at_once(streams: usize, asked: &Beside, material: &Arc<Material>, sound: &[f32]) -> Result<f64, String> {
    let barrier = Barrier::new(streams + 1);
    std::thread::scope(|scope| {
        let stream = || {
            let mut chain = start(asked, material.clone(), sound);
            barrier.wait();
            for _ in 0..ROUNDS {
                // One that failed still comes to the barrier.
                let ran = chain.as_mut().map_err(|e| e.clone()).and_then(|chain| chain.run(asked.frames));
                barrier.wait();
                if let Err(e) = ran {
                    chain = Err(e);
                }
            }
            chain.map(drop)
        };
        let threads: Vec<_> = (0..streams).map(|_| scope.spawn(stream)).collect();
        barrier.wait();
        let mut fps = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            barrier.wait();
            fps.push((streams * asked.frames) as f64 / start.elapsed().as_secs_f64());
        }
        let ended: Result<Vec<()>, String> =
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a stream's thread panicked")?).collect();
        ended.map(|_| median(&fps))
    })
}
