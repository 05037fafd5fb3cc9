// SPDX-License-Identifier: MPL-2.0
//! What a frame costs, in CPU time, beside the two networks run alone:
//!
//!     cargo bench --bench cost [-- VIDEO [SOUND]]
//!
//! The face in VIDEO is scaled to 250 px and put into frames of 720, 1080 and 2160 lines, which are held in memory and
//! pushed through `facecrop ! lipsyncgen ! facepaste`; decoding, scaling and handing out the frames is not counted. Every
//! round measures each size, and after it as many runs of the networks' sessions, which are the elements' own: same
//! batches, same threads. The figures are medians of the rounds. CPU time is user + system of all threads, so it
//! means something on a busy machine too; the speed is wall time and does not.
//!
//! Without arguments VIDEO is a clip of the private test media, or the demo where these are absent.

mod chain;
mod clock;
mod material;
mod networks;

use std::path::PathBuf;

use chain::Chain;
use clock::median;
use material::Material;
use networks::Networks;

/// Width of the face's box, px.
const FACE: f32 = 250.0;

const SIZES: [[u32; 2]; 3] = [[1280, 720], [1920, 1080], [3840, 2160]];

const ROUNDS: usize = 7;

/// A whole number of batches (8), and of detections (every 25 frames), one of them at full resolution.
const FRAMES: usize = 200;

/// What the rounds of one size of frame gave.
#[derive(Default)]
struct Series {
    chain: Vec<f64>,
    bare: Vec<f64>,
    ratio: Vec<f64>,
    fps: Vec<f64>,
    stages: Vec<Vec<(String, f64)>>,
}

fn main() -> Result<(), String> {
    gst::init().map_err(|e| e.to_string())?;
    gstlipsync::plugin_register_static().map_err(|e| e.to_string())?;
    let mut files = std::env::args().skip(1).filter(|a| !a.starts_with("--")).map(PathBuf::from);
    let video = files.next().unwrap_or_else(|| default_file("video/woman_indoor_1280x720_30fps_h264.mp4", "demo/face.mp4"));
    let sound = files.next().unwrap_or_else(|| default_file("audio/en_44k1_stereo_s16.wav", "demo/voice.wav"));

    let seen = material::face_in(&video)?;
    println!("{}: {} × {}, the face {:.0} px wide", video.display(), seen.size[0], seen.size[1], seen.face.w);
    let sound = material::decode_sound(&sound)?;
    let mut chains = Vec::new();
    for size in SIZES {
        let material = Material::prepare(&video, &seen, FACE, size)?;
        let mut chain = Chain::start(material, &sound, FRAMES)?;
        // Everything is loaded, and its memory there.
        chain.run(FRAMES)?;
        chains.push(chain);
    }
    let mut networks = Networks::open(&*chains[0].sample()?)?;
    networks.run(FRAMES);

    let mut series: Vec<Series> = SIZES.iter().map(|_| Series::default()).collect();
    for _ in 0..ROUNDS {
        for (chain, series) in chains.iter_mut().zip(&mut series) {
            let cost = chain.run(FRAMES)?;
            let bare = networks.run(FRAMES);
            let per_frame = 1e3 / FRAMES as f64;
            series.chain.push(cost.cpu * per_frame);
            series.bare.push(bare * per_frame);
            series.ratio.push(cost.cpu / bare);
            series.fps.push(FRAMES as f64 / cost.wall);
            series.stages.push(cost.threads.into_iter().map(|(name, s)| (name, s * per_frame)).collect());
        }
    }
    report(&chains, &series, &mut networks);
    let whole = chain::from_file(&video, &sound)?;
    println!(
        "\nFrom the file, decoding included ({} frames of {} × {}): {:.2} ms CPU per frame, {:.0} frames/s",
        whole.frames,
        seen.size[0],
        seen.size[1],
        whole.cost.cpu * 1e3 / whole.frames as f64,
        whole.frames as f64 / whole.cost.wall
    );
    Ok(())
}

fn default_file(media: &str, demo: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let media = root.join("../shared/media").join(media);
    if media.exists() { media } else { root.join(demo) }
}

fn report(chains: &[Chain], series: &[Series], networks: &mut Networks) {
    println!("\nms CPU per frame (medians of {ROUNDS} rounds of {FRAMES} frames)");
    println!("{:<24}{:>10}{:>10}{:>10}{:>10}{:>14}", "I420", "face, px", "chain", "networks", "ratio", "frames/s");
    for (chain, series) in chains.iter().zip(series) {
        let [w, h] = chain.size();
        println!(
            "{:<24}{:>10.0}{:>10.2}{:>10.2}{:>10.2}{:>14.0}",
            format!("{w} × {h}"),
            chain.face_width(),
            median(&series.chain),
            median(&series.bare),
            median(&series.ratio),
            median(&series.fps)
        );
    }
    let [landmarks, mouth] = networks.apart(FRAMES).map(|s| s * 1e3 / FRAMES as f64);
    println!("the networks: landmarks {landmarks:.2}, the model's graph {mouth:.2}");
    println!(
        "{} × {} costs {:.2} times what {} × {} costs",
        SIZES[2][0],
        SIZES[2][1],
        median(&series[2].chain) / median(&series[0].chain),
        SIZES[0][0],
        SIZES[0][1]
    );
    println!("\nby thread, ms CPU per frame");
    let names: Vec<&String> = series[0].stages[0].iter().map(|(name, _)| name).collect();
    for name in names {
        print!("{name:<44}");
        for series in series {
            let of = |stages: &Vec<(String, f64)>| stages.iter().find(|(n, _)| n == name).map_or(0.0, |s| s.1);
            print!("{:>10.2}", median(&series.stages.iter().map(of).collect::<Vec<_>>()));
        }
        println!();
    }
}
