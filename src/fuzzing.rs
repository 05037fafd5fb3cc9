// SPDX-License-Identifier: MPL-2.0
//! Where `fuzz/` gets in: each target is a function of any bytes, which checks what came of them and must not panic.
//!
//! The bodies lie beside what they are about, in files called `fuzz.rs`; here is what they share. `cargo test` runs them on what
//! `fuzz/seeds` holds and on bytes that are as good as random.

use arbitrary::{Error, Result, Unstructured};

pub use crate::audiofeatures::fuzz::sound;
pub use crate::lipsyncgen::fuzz::rows;
pub use crate::model::fuzz::model;
use crate::runtime::{Element, RuntimeError, Session, Tensor, TensorInfo};

/// Name and body.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 5] =
    [("model", model), ("rows", rows), ("pixels", pixels), ("outputs", outputs), ("sound", sound)];

/// Pictures cut out of frames, and put into them.
pub fn pixels(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let _ = match u.arbitrary() {
        Ok(true) => crate::facepaste::fuzz::paste(&mut u),
        _ => crate::pixels::fuzz::cut(&mut u),
    };
}

/// What graphs may answer, to each of the elements that run any.
pub fn outputs(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let _ = match u.int_in_range(0..=3) {
        Ok(1) => crate::facecrop::fuzz::faces(&mut u),
        Ok(2) => crate::facepaste::fuzz::parse(&mut u),
        Ok(3) => crate::audiofeatures::fuzz::hear(&mut u),
        _ => crate::lipsyncgen::fuzz::generate(&mut u),
    };
}

/// Any number, most of all those that hurt. Where no bytes are left it is a half.
pub(crate) fn number(u: &mut Unstructured) -> Result<f32> {
    const SPECIAL: [f32; 14] = [
        0.5,
        0.0,
        1.0,
        -1.0,
        0.25,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        -0.0,
        1e9,
        -1e9,
    ];
    let k = u.int_in_range(0..=2 * SPECIAL.len())?;
    match SPECIAL.get(k) {
        Some(special) => Ok(*special),
        None if k % 3 == 0 => u.arbitrary(),
        // Of a picture's size.
        None => Ok(f32::from(u.arbitrary::<i16>()?) / 256.0),
    }
}

pub(crate) fn numbers<const N: usize>(u: &mut Unstructured) -> Result<[f32; N]> {
    let mut all = [0.0; N];
    for one in &mut all {
        *one = number(u)?;
    }
    Ok(all)
}

/// So many numbers, a few over and over.
pub(crate) fn many(u: &mut Unstructured, count: usize) -> Result<Vec<f32>> {
    let pattern = (0..u.int_in_range(1..=9)?).map(|_| number(u)).collect::<Result<Vec<_>>>()?;
    Ok(pattern.into_iter().cycle().take(count).collect())
}

/// A graph that answers what its script says, whatever it is asked.
pub(crate) struct Scripted {
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    script: Vec<u8>,
    at: usize,
}

/// Name and axes of a tensor; 0 is any length.
pub(crate) type Info<'a> = (&'a str, &'a [usize]);

impl Scripted {
    /// Has these tensors, or almost. The script is a part of `u`.
    pub fn new(u: &mut Unstructured, inputs: &[Info], outputs: &[Info]) -> Result<Self> {
        let length = u.arbitrary_len::<u8>()?.min(400);
        let script = u.bytes(length)?.to_vec();
        let mut infos = |list: &[Info]| list.iter().map(|info| tensor_info(u, info)).collect::<Result<Vec<_>>>();
        Ok(Self { inputs: infos(inputs)?, outputs: infos(outputs)?, script, at: 0 })
    }

    fn answers(&self, u: &mut Unstructured, batch: usize, outputs: &[&str]) -> Result<Vec<Tensor>> {
        let asked = outputs.iter().filter_map(|name| self.outputs.iter().find(|info| info.name == *name));
        let mut made = asked.map(|info| answer(u, info, batch)).collect::<Result<Vec<_>>>()?;
        if u.ratio(1, 50)? {
            made.pop();
        }
        Ok(made)
    }
}

fn tensor_info(u: &mut Unstructured, (name, axes): &Info) -> Result<TensorInfo> {
    let mut shape: Vec<Option<usize>> = axes.iter().map(|&n| (n > 0).then_some(n)).collect();
    if u.ratio(1, 20)?
        && let Some(axis) = shape.first_mut()
    {
        *axis = *u.choose(&[Some(1), Some(3), Some(0), Some(64), Some(usize::MAX)])?;
    }
    if u.ratio(1, 50)? {
        shape.push(None);
    }
    let element = *u.choose(&[Element::F32, Element::F16, Element::I64, Element::I32])?;
    Ok(TensorInfo { name: (*name).into(), shape, element })
}

fn answer(u: &mut Unstructured, info: &TensorInfo, batch: usize) -> Result<Tensor> {
    let mut shape: Vec<usize> = Vec::new();
    for (k, axis) in info.shape.iter().enumerate() {
        shape.push(match axis {
            Some(n) => *n,
            None if k == 0 => batch,
            None => u.int_in_range(4..=9)?,
        });
    }
    match u.int_in_range(0..=15)? {
        0..12 => {}
        12 if !shape.is_empty() => {
            let k = u.choose_index(shape.len())?;
            shape[k] = u.int_in_range(0..=6)?;
        }
        13 => shape.insert(0, *u.choose(&[1, 2])?),
        14 => shape = [0].into_iter().chain((0..u.int_in_range(0..=4)?).map(|k| usize::MAX >> (16 * k))).collect(),
        _ => shape = (0..u.int_in_range(0..=5)?).map(|_| u.int_in_range(0..=4)).collect::<Result<_>>()?,
    }
    let product = |product: usize, axis: &usize| product.saturating_mul(*axis);
    let count = if shape.contains(&0) { 0 } else { shape.iter().fold(1, product) };
    if count > 1 << 16 {
        return Err(Error::IncorrectFormat);
    }
    Ok(Tensor { shape, data: many(u, count)? })
}

impl Session for Scripted {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn device(&self) -> &str {
        "script"
    }

    fn refused(&self) -> &[String] {
        &[]
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> std::result::Result<Vec<Tensor>, RuntimeError> {
        for (name, Tensor { shape, data }) in inputs {
            let count = if shape.contains(&0) { 0 } else { shape.iter().product() };
            assert_eq!(data.len(), count, "{name} {shape:?}");
        }
        let batch = inputs.first().and_then(|(_, tensor)| tensor.shape.first().copied()).unwrap_or(1);
        let mut u = Unstructured::new(&self.script[self.at..]);
        let made = if u.ratio(1, 100).unwrap_or(false) {
            Err(Error::IncorrectFormat)
        } else {
            self.answers(&mut u, batch, outputs)
        };
        self.at = self.script.len() - u.len();
        made.map_err(|e| RuntimeError(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of bytes for each target.
    const ROUNDS: usize = 300;

    /// Bytes that are as good as random, and always the same: Knuth's generator (MMIX).
    fn bytes(round: usize) -> Vec<u8> {
        let mut state = round as u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(16 * (round % 64)).collect()
    }

    #[test]
    fn targets_take_what_is_known_and_what_is_random() {
        for (name, target) in TARGETS {
            let seeds = format!("{}/fuzz/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
            for seed in std::fs::read_dir(seeds).into_iter().flatten() {
                let seed = seed.unwrap().path();
                println!("{}", seed.display());
                target(&std::fs::read(seed).unwrap());
            }
            println!("{name}: random bytes");
            (0..ROUNDS).for_each(|round| target(&bytes(round)));
        }
    }
}
