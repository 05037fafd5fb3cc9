// SPDX-License-Identifier: MPL-2.0
//! Fuzz targets: sound in any pieces, and what an encoder may answer.

use std::path::PathBuf;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use gst::ClockTime;
use parking_lot::Mutex;

use super::extractor::Extractor;
use super::flow;
use super::graph::{Graph, Heard, Mind};
use super::stream::{Run, Stream, reach};
use crate::fuzzing::{Info, Scripted, number};
use crate::model::Model;
use crate::model::manifest::AudioFeatures;
use crate::runtime::{Backend, Options};

/// −50 dBFS
const SILENCE: f64 = 1e-5;

/// Sound cut to pieces in two ways gives the same rows, bit by bit.
pub fn sound(data: &[u8]) {
    let _ = any_sound(&mut Unstructured::new(data));
}

fn any_sound(u: &mut Unstructured) -> Result<()> {
    let text = recipe(u)?;
    let Ok(recipe) = toml::from_str::<AudioFeatures>(&text) else { return Ok(()) };
    let numbers = (0..u.int_in_range(0..=40)?).map(|_| number(u)).collect::<Result<Vec<_>>>()?;
    let length = u.int_in_range(0..=4000)?;
    let bytes: Vec<u8> = numbers.iter().cycle().take(length).flat_map(|v| v.to_le_bytes()).collect();
    let cuts = (0..u.int_in_range(1..=9)?).map(|_| u.int_in_range(0..=900)).collect::<Result<Vec<_>>>()?;
    let (samples, _) = flow::samples(&bytes);
    let [whole, pieces] = [&[samples.len()], &cuts[..]].map(|cuts| rows(&recipe, &samples, cuts));
    assert_eq!(whole, pieces, "{text}");
    let finite = |bits: &u32| f32::from_bits(*bits).is_finite();
    assert!(recipe.encoder.is_some() || whole.0.iter().all(finite), "{text}");
    Ok(())
}

/// A section of any kind, which may be wrong.
fn recipe(u: &mut Unstructured) -> Result<String> {
    let kind = *u.choose(&["log-mel", "fbank", "encoder"])?;
    let head = format!("id = \"x\"\nsample-rate = {}\n", u.choose(&[4000, 8000, 16_000])?);
    let keys = |u: &mut Unstructured, kind: &str| {
        let hop = u.int_in_range(1..=200)?;
        Ok(match kind {
            "log-mel" => format!(
                "kind = \"log-mel\", n-fft = {}, win-length = {}, hop-length = {hop}, preemphasis = {}, center = \"{}\", \
                 n-mels = {}, mel-scale = \"{}\", mel-norm = \"{}\", f-min = {}, f-max = {}, power = {}, level = {{ {} }}",
                2 * u.int_in_range(8..=200)?,
                u.int_in_range(16..=400)?,
                f64::from(u.arbitrary::<u8>()?) / 255.0,
                u.choose(&["reflect", "zero"])?,
                u.int_in_range(1..=40)?,
                u.choose(&["slaney", "htk"])?,
                u.choose(&["slaney", "none"])?,
                u.int_in_range(0..=900)?,
                u.int_in_range(1..=8000)?,
                u.int_in_range(1..=2)?,
                u.choose(&[
                    "",
                    "floor = 1e-30, add = 1e30",
                    "range = [-4, 4]",
                    "range = [-1e6, 1e6], min-db = -1, clip = \"none\""
                ])?,
            ),
            "fbank" => format!(
                "kind = \"fbank\", win-length = {}, hop-length = {hop}, window = \"{}\", n-mels = {}, f-max = {}, scale = {}",
                u.int_in_range(16..=400)?,
                u.choose(&["hann", "hamming", "povey"])?,
                u.int_in_range(1..=40)?,
                u.int_in_range(1..=8000)?,
                u.choose(&[1, 32_768, 1_000_000_000])?,
            ),
            _ => "kind = \"waveform\"".into(),
        })
    };
    if kind != "encoder" {
        return Ok(head + &keys(u, kind)?.replace(", ", "\n").replace("}\n", "}, "));
    }
    let front = *u.choose(&["waveform", "log-mel", "fbank"])?;
    let front = keys(u, front)?;
    let (context, window) = ([u.int_in_range(0..=60)?, u.int_in_range(0..=60)?], u.int_in_range(1..=900)?);
    let rate = *u.choose(&["1000/1", "100/1", "50/1", "25/1", "20/1", "10/1", "1/1", "1/2"])?;
    Ok(format!(
        "{head}kind = \"encoder\"\nfront = {{ {front} }}\nfile = \"x\"\ninput = \"in\"\noutput = \"out\"\nlayout = \"nrw\"\n\
         width = {}\nrate = \"{rate}\"\nwindow = {window}\ncontext = {context:?}\nbeyond = {}\npad = \"{}\"\nnormalise = \"{}\"\noffset = {}\n",
        u.int_in_range(1..=3)?,
        u.int_in_range(0..=9)?,
        u.choose(&["zero", "edge"])?,
        u.choose(&["none", "dynamic", "mean-variance"])?,
        u.choose(&[0.0, 0.01, 0.5])?,
    ))
}

/// The bits of all rows, and which are silent.
fn rows(recipe: &AudioFeatures, samples: &[f32], cuts: &[usize]) -> (Vec<u32>, Vec<bool>) {
    let mut stream = Stream::new(recipe);
    let (mut bits, mut silent) = (Vec::new(), Vec::new());
    let mut take = |runs: Vec<Run>| {
        for run in runs {
            assert_eq!(run.first_row, silent.len() as u64);
            assert_eq!(run.values.len(), run.rows as usize * recipe.width());
            bits.extend(run.values.iter().map(|v| v.to_bits()));
            silent.extend(std::iter::repeat_n(run.silent, run.rows as usize));
        }
    };
    let mut hear = |stream: &mut Stream, runs| {
        take(runs);
        while let Some(window) = stream.window() {
            take(stream.answer(&ear(recipe, &window)));
        }
    };
    let mut rest = samples;
    // Cuts of nothing only would never come to the end.
    for &cut in cuts.iter().chain(&[1]).cycle() {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        let runs = stream.push(piece, SILENCE);
        hear(&mut stream, runs);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let runs = stream.finish(SILENCE);
    hear(&mut stream, runs);
    (bits, silent)
}

/// An encoder that says something of all that it hears.
fn ear(recipe: &AudioFeatures, window: &[f32]) -> Vec<f32> {
    let rows = recipe.encoder.as_ref().map_or(0, |encoder| encoder.skipped() + encoder.used());
    let all = window.iter().fold(0u32, |all, v| all.rotate_left(5) ^ v.to_bits());
    (0..rows * recipe.width()).map(|k| f32::from_bits(all.wrapping_add(k as u32) >> 4)).collect()
}

const ENCODER: &str = "id = \"x\"\nkind = \"encoder\"\nsample-rate = 16000\nfront = { kind = \"fbank\", n-mels = 3 }\nfile = \"x\"\n\
     input = \"in\"\noutput = \"out\"\nlengths = \"n\"\nwidth = 6\nstate = { h0 = \"hn\", c0 = \"cn\" }\nrate = \"50/1\"\nwindow = 20\ncontext = [4, 4]\nbeyond = 1\n";

/// An encoder that answers anything.
pub fn hear(u: &mut Unstructured) -> Result<()> {
    let flash = include_str!("../../tests/models/flash/model.toml");
    let mut manifest: crate::model::Manifest = toml::from_str(flash).expect("a test's model");
    manifest.audiofeatures = toml::from_str(ENCODER).expect("checked by a plain test");
    let model = Model { folder: PathBuf::new(), manifest };
    let recipe = &model.manifest.audiofeatures;
    let Some(encoder) = &recipe.encoder else { return Ok(()) };
    let inputs: [Info; 4] = [("in", &[1, 20, 3]), ("n", &[1]), ("h0", &[2, 1, 4]), ("c0", &[5])];
    let outputs: [Info; 3] = [("out", &[1, 10, 2, 3]), ("hn", &[2, 1, 4]), ("cn", &[5])];
    let session = Scripted::new(u, &inputs, &outputs)?;
    let Ok(graph) = Graph::of(Arc::new(Mutex::new(session)), "x".into(), &model, encoder) else { return Ok(()) };
    let mut extractor = Extractor::new(recipe);
    extractor.begin(ClockTime::from_nseconds(u.arbitrary::<u64>()?.min(u64::MAX - 1)));
    for _ in 0..u.int_in_range(1..=4)? {
        extractor.push(&vec![0.25; u.int_in_range(0..=4000)?], SILENCE);
        while let Some(window) = extractor.window() {
            let Ok(answers) = graph.run(window) else { return Ok(()) };
            for buffer in extractor.answer(answers) {
                let map = buffer.map_readable().expect("memory of one's own");
                assert!(map.len().is_multiple_of(24) && flow::samples(&map).1 == 0);
            }
        }
    }
    extractor.finish(SILENCE);
    Ok(())
}

/// What the element does with a model.
pub fn open(model: &Model) {
    let recipe = &model.manifest.audiofeatures;
    let mut extractor = Extractor::new(recipe);
    extractor.begin(ClockTime::ZERO);
    extractor.push(&vec![0.25; reach(recipe).min(1 << 16)], SILENCE);
    extractor.finish(SILENCE);
    let _ = extractor.window();
    if let Some(encoder) = &recipe.encoder {
        let options = Options { backend: Backend::Test, device: "cpu".into(), threads: 1 };
        let window = vec![0.0; encoder.window * recipe.front.width()];
        let _ = Graph::open(model, encoder, &options).map(|graph| graph.run(Heard { window, mind: Mind::new() }));
    }
}
