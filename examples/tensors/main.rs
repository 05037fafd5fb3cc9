// SPDX-License-Identifier: MPL-2.0
//! Writes what a model is given for a frame, and what becomes of it, as NumPy arrays: to compare with a Python program of one's
//! own.
//!
//!     cargo run --release --example tensors -- --model wav2lip --video VIDEO --sound SOUND --frames 7 --out FOLDER
//!
//! The elements themselves run, and are watched. `--frames` counts the video's frames from 0: `7`, `0..50` (without 50), or a
//! list of such with commas. `--format BGR` is what the frames are converted to first; without it they stay as they are
//! decoded. `--region x,y,w,h`, `--detector`, `--face-select` and `--smoothing` are those of facecrop; `--av-offset`,
//! `--backend`, `--device` and `--threads` those of lipsyncgen, the last three of audiofeatures, too.
//!
//! FOLDER gets a folder per frame, called by its number. In it, with a `-2` for another face or another run of the same graph:
//!
//! | file | shape | |
//! |---|---|---|
//! | `GRAPH.TENSOR` | the tensor's | each input of each graph, and each of its outputs that is used; GRAPH without its ending |
//! | `crop` | h, w, 3 | red, green, blue |
//! | `crop-to-frame` | 2, 3 | from crop pixels to frame pixels; pixel (0, 0) has its centre at (0.5, 0.5) in both |
//! | `landmarks`, `box` | 68, 2; 4 | frame pixels; in iBUG's numbering; left, top, width, height |
//! | `points` | n, 2 | frame pixels; the landmark network's own, where it has others |
//! | `image` | h, w, 3 | what an image model made; red, green, blue |
//! | `frame-before`, `frame-after` | h, w, … | before and after facepaste; where a format has several planes, each: `…-0`, `…-1` |
//!
//! and `sound`: `features` (rows, width), the rows that lipsyncgen had got by then, and what the model's encoder of sound was
//! given and gave, run after run.

mod capture;
mod npy;
mod options;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use capture::{Capture, Event, Named};
use gst::prelude::*;
use options::Options;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tensors: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let options = Options::parse(std::env::args().skip(1))?;
    gst::init().map_err(|e| e.to_string())?;
    gstlipsync::plugin_register_static().map_err(|e| e.to_string())?;
    let pipeline = gst::parse::launch(&options.pipeline()).map_err(|e| e.to_string())?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
    let capture = Capture::start(&pipeline, &options)?;
    let done = watch(&pipeline, &options, &capture);
    let _ = pipeline.set_state(gst::State::Null);
    done?;
    write(&options.out.join("sound"), &capture.sound())
}

/// Plays until the last frame that is wanted has come out.
fn watch(pipeline: &gst::Pipeline, options: &Options, capture: &Capture) -> Result<(), String> {
    // Models are opened, and run for the first time, on the way to READY.
    let failed = |e: gst::StateChangeError| capture.error().unwrap_or_else(|| e.to_string());
    pipeline.set_state(gst::State::Ready).map_err(failed)?;
    capture.forget();
    pipeline.set_state(gst::State::Playing).map_err(failed)?;
    let mut missing = options.frames.clone();
    while let Some(first) = missing.first().copied() {
        match capture.next() {
            Event::Frame(number, arrays) => {
                missing.remove(&number);
                write(&options.out.join(number.to_string()), &arrays)?;
            }
            Event::Ended => return Err(format!("the video ends before frame {first}")),
            Event::Failed(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes the arrays and prints a line for each.
fn write(folder: &Path, arrays: &[Named]) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    println!("{}", folder.display());
    println!("    {:32} {:20} {:>10} {:>10} {:>10}", "", "shape", "min", "max", "mean");
    for (name, array) in arrays {
        // Graphs may have slashes and colons in their tensors' names.
        let file = folder.join(format!("{}.npy", name.replace(['/', ':'], "_")));
        array.write(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let shape = array.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let [low, high, mean] = array.summary();
        println!("    {name:32} {shape:20} {low:>10.4} {high:>10.4} {mean:>10.4}");
    }
    Ok(())
}
