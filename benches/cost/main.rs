// SPDX-License-Identifier: MPL-2.0
//! What a frame costs, in CPU time, beside the two networks on their own:
//!
//!     cargo bench --bench cost [-- VIDEO [SOUND]]
//!
//! The face in VIDEO is scaled to 250 px and put into frames of 720, 1080 and 2160 lines, which are held in memory and
//! pushed through `facecrop ! lipsyncgen ! facepaste`; decoding, scaling and handing out the frames is not counted. Every
//! round measures each size, and after it as many runs of the networks' sessions, which are the elements' own: same
//! batches, same threads: one after the other, and both at once as in the chain. The figures are medians of the rounds. CPU time is user + system of all threads, so it
//! means something on a busy machine too; the speed is wall time and does not. It runs on Linux.
//!
//! Without arguments VIDEO is a clip of the test media, or the demo where these are absent.
//!
//! `cargo bench --bench cost -- --crop-paste [--model MODEL] [VIDEO]` measures only cropping and pasting, where the face is
//! known, and prints a line per format; `benches/opencv.py` compares it with the usual way.
//!
//! `cargo bench --bench cost -- --model MODEL [OPTION …] [VIDEO [SOUND]]` runs any model's pipeline, the face's place given, and
//! its graph's session alone, in turns; then several such pipelines at once. The options are `--lines N` (720), `--frames N`
//! (200 a round), `--backend`, `--device` and `--threads` as of lipsyncgen, `--find` (the face) and `--streams N` (1 at most).

mod arguments;
mod beside;
mod chain;
mod clock;
mod crop_paste;
mod feed;
mod material;
mod networks;

use std::path::Path;
use std::sync::Arc;

use arguments::{Arguments, What};
use chain::Chain;
use clock::median;
use crop_paste::CropPaste;
use gst_video::VideoFormat;
use material::{Material, Seen};
use networks::Networks;

/// Width of the face's box, px.
const FACE: f32 = 250.0;

const SIZES: [[u32; 2]; 3] = [[1280, 720], [1920, 1080], [3840, 2160]];

const ROUNDS: usize = 5;

/// A whole number of batches (8), and of detections (every 50 frames); so many that it hardly counts that at the start and at
/// the end of a round only some of the elements have work.
const FRAMES: usize = 800;

/// Frames after which there is a mouth to paste.
const FIRST: usize = 80;

/// What the rounds of one size of frame gave: ms CPU per frame, but frames per second.
#[derive(Default)]
struct Series {
    chain: Vec<f64>,
    bare: Vec<f64>,
    ratio: Vec<f64>,
    /// To the networks run at once.
    ratio_at_once: Vec<f64>,
    fps: Vec<f64>,
    stages: Vec<Vec<(&'static str, f64)>>,
}

fn main() -> Result<(), String> {
    gst::init().map_err(|e| e.to_string())?;
    gstlipsync::plugin_register_static().map_err(|e| e.to_string())?;
    let Arguments { what, video, sound } = Arguments::read()?;
    let seen = material::face_in(&video)?;
    let sound = material::decode_sound(&sound)?;
    match what {
        What::Chain => whole_chain(&video, &seen, &sound),
        What::CropPaste(model) => crop_and_paste(&model, &video, &seen, &sound),
        What::Beside(asked) => beside::run(&asked, &video, &seen, &sound),
    }
}

fn per_frame(seconds: f64) -> f64 {
    seconds * 1e3 / FRAMES as f64
}

fn whole_chain(video: &Path, seen: &Seen, sound: &[f32]) -> Result<(), String> {
    let [w, h] = seen.size;
    println!("{}: {w} × {h}, the face {:.0} px wide", video.display(), seen.face.w);
    let mut chains = Vec::new();
    for size in SIZES {
        let material = Arc::new(Material::prepare(video, seen, FACE, size)?);
        let mut chain = Chain::start(material, sound, FRAMES, "", "")?;
        // Everything is loaded, and its memory there.
        chain.run(FRAMES)?;
        chains.push(chain);
    }
    let mut networks = Networks::open(&*chains[0].face()?)?;
    networks.run(FRAMES);

    let mut series: Vec<Series> = SIZES.iter().map(|_| Series::default()).collect();
    let mut apart = Vec::new();
    for _ in 0..ROUNDS {
        for (chain, series) in chains.iter_mut().zip(&mut series) {
            let cost = chain.run(FRAMES)?;
            let each = networks.run(FRAMES);
            let bare: f64 = each.iter().sum();
            apart.push(each);
            series.chain.push(per_frame(cost.cpu));
            series.bare.push(per_frame(bare));
            series.ratio.push(cost.cpu / bare);
            series.ratio_at_once.push(cost.cpu / networks.run_at_once(FRAMES).iter().sum::<f64>());
            series.fps.push(FRAMES as f64 / cost.wall);
            series.stages.push(chain::stages(&cost).into_iter().map(|(name, s)| (name, per_frame(s))).collect());
        }
    }
    report(&chains, &series, &apart)?;
    let (frames, cpu, wall) = chain::from_file(video, sound)?;
    println!(
        "\nthe file as it is, decoding and start-up included ({frames} frames): {:.2} ms CPU per frame, {:.0} frames/s",
        cpu * 1e3 / frames as f64,
        frames as f64 / wall
    );
    Ok(())
}

fn report(chains: &[Chain], series: &[Series], apart: &[[f64; 2]]) -> Result<(), String> {
    println!("\nms CPU per frame (medians of {ROUNDS} rounds of {FRAMES} frames, I420)");
    println!(
        "{:<14}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}",
        "frame", "face, px", "chain", "networks", "ratio", "at once", "frames/s"
    );
    for (chain, series) in chains.iter().zip(series) {
        let [w, h] = chain.size();
        println!(
            "{:<14}{:>10.0}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>12.0}",
            format!("{w} × {h}"),
            chain.face()?.bbox.w,
            median(&series.chain),
            median(&series.bare),
            median(&series.ratio),
            median(&series.ratio_at_once),
            median(&series.fps)
        );
    }
    let network = |k: usize| median(&apart.iter().map(|each| per_frame(each[k])).collect::<Vec<_>>());
    println!("networks: landmarks {:.2}, the model's graph {:.2}", network(0), network(1));
    let ratios: Vec<f64> = series[2].chain.iter().zip(&series[0].chain).map(|(large, small)| large / small).collect();
    println!("a frame of {} lines costs {:.2} times one of {}", SIZES[2][1], median(&ratios), SIZES[0][1]);

    println!("\nby thread, ms CPU per frame");
    for (k, (name, _)) in series[0].stages[0].iter().enumerate() {
        print!("{name:<48}");
        for series in series {
            print!("{:>8.2}", median(&series.stages.iter().map(|stages| stages[k].1).collect::<Vec<_>>()));
        }
        println!();
    }
    Ok(())
}

/// Prints a line per format: its name, ms CPU per frame, and the width of the crop in the frame and in the model, px.
fn crop_and_paste(model: &str, video: &Path, seen: &Seen, sound: &[f32]) -> Result<(), String> {
    let material = Arc::new(Material::prepare(video, seen, FACE, SIZES[1])?);
    let model = if model.is_empty() { String::new() } else { format!("model=\"{model}\"") };
    let mut chain = Chain::start(material.clone(), sound, FIRST, "", &model)?;
    chain.run(FIRST)?;
    let face = chain.face()?;
    drop(chain);
    let [a, _, _, d, ..] = face.crop_to_frame.0;
    let side = a.hypot(d) * face.crop.width as f32;
    for format in [VideoFormat::I420, VideoFormat::Nv12] {
        let mut both = CropPaste::start(&material, format, face.clone())?;
        both.run(FRAMES)?;
        let costs: Vec<f64> = (0..ROUNDS).map(|_| both.run(FRAMES).map(per_frame)).collect::<Result<_, _>>()?;
        println!("{format} {:.4} {side:.0} {}", median(&costs), face.crop.width);
    }
    Ok(())
}
