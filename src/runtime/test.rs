// SPDX-License-Identifier: MPL-2.0
//! A runtime for tests. Its "graph" is a TOML file that lists tensors; every output is filled with one value per batch entry,
//! the mean of the first input stretched from `range` to 0..1, so that a picture's brightness follows the sound. With
//! `echo = true` an output as large as the first input is that input.
//!
//! `device`, and `orders` in the file, order misbehaviour: `delay=MS` before every run, or from run `slow-from=N` until run
//! `slow-until=N`; and `error-at=N`, `nan-at=N`, `hang-at=N`, `panic-at=N` in run N, counted from 0 and without the warm-up.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::{Element, Options, RuntimeError, Session, Tensor, TensorInfo};

/// Of a tensor.
const MAX_NUMBERS: usize = 1 << 24;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Graph {
    inputs: Vec<Info>,
    outputs: Vec<Info>,
    range: [f32; 2],
    #[serde(default)]
    echo: bool,
    /// Orders for those who cannot give them as a device.
    #[serde(default)]
    orders: String,
}

/// The first axis is the batch, 0 = any.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    name: String,
    shape: Vec<usize>,
}

pub struct TestSession {
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    range: [f32; 2],
    echo: bool,
    delay: Duration,
    /// The runs that it comes before.
    slow: std::ops::Range<i64>,
    /// What happens in which run.
    orders: Vec<(String, i64)>,
    /// −1 is the warm-up.
    run: i64,
}

impl TestSession {
    pub fn open(file: &Path, options: &Options) -> Result<Self, RuntimeError> {
        let fail = |what: &dyn std::fmt::Display| RuntimeError(format!("{}: {what}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|e| fail(&e))?;
        let graph: Graph = toml::from_str(&text).map_err(|e| fail(&e))?;
        let mut tensors = graph.inputs.iter().chain(&graph.outputs);
        let size = |info: &Info| info.shape.iter().fold(1usize, |size, &axis| size.saturating_mul(axis.max(1)));
        if let Some(info) = tensors.find(|info| info.shape.is_empty() || size(info) > MAX_NUMBERS) {
            return Err(fail(&format!("{}: expected 1 to {MAX_NUMBERS} numbers with a batch axis", info.name)));
        }
        let infos = |list: Vec<Info>| {
            list.into_iter()
                .map(|i| TensorInfo {
                    name: i.name,
                    shape: i.shape.into_iter().map(|n| (n > 0).then_some(n)).collect(),
                    element: Element::F32,
                })
                .collect()
        };
        let mut orders = Vec::new();
        let (mut delay, mut slow) = (Duration::ZERO, 0..i64::MAX);
        for order in
            options.device.split(',').chain(graph.orders.split(',')).filter(|o| !matches!(*o, "" | "auto" | "cpu"))
        {
            let (name, number) = order.split_once('=').ok_or_else(|| fail(&format!("device: \"{order}\"")))?;
            let number: i64 = number.parse().map_err(|e| fail(&e))?;
            match name {
                "delay" => delay = Duration::from_millis(number.max(0) as u64),
                "slow-from" => slow.start = number,
                "slow-until" => slow.end = number,
                _ => orders.push((name.to_string(), number)),
            }
        }
        Ok(Self {
            inputs: infos(graph.inputs),
            outputs: infos(graph.outputs),
            range: graph.range,
            echo: graph.echo,
            delay,
            slow,
            orders,
            run: -1,
        })
    }
}

impl Session for TestSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn device(&self) -> &str {
        "test"
    }

    fn refused(&self) -> &[String] {
        &[]
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> Result<Vec<Tensor>, RuntimeError> {
        let run = self.run;
        self.run += 1;
        if self.slow.contains(&run) {
            thread::sleep(self.delay);
        }
        let mut nan = false;
        for (order, _) in self.orders.iter().filter(|(_, at)| *at == run) {
            match order.as_str() {
                "error-at" => return Err(RuntimeError("ordered to fail".into())),
                "nan-at" => nan = true,
                "panic-at" => panic!("ordered to panic"),
                "hang-at" => loop {
                    thread::park();
                },
                other => return Err(RuntimeError(format!("device: \"{other}\" is not an order"))),
            }
        }
        let first = self.inputs.first().and_then(|info| inputs.iter().find(|(name, _)| *name == info.name));
        let (_, tensor) = first.ok_or_else(|| RuntimeError("the first input is missing".into()))?;
        let batch = tensor.shape[0];
        let [low, high] = self.range;
        let values: Vec<f32> = tensor
            .data
            .chunks_exact((tensor.data.len() / batch.max(1)).max(1))
            .map(|entry| {
                let mean = entry.iter().sum::<f32>() / entry.len() as f32;
                if nan { f32::NAN } else { ((mean - low) / (high - low)).clamp(0.0, 1.0) }
            })
            .collect();
        outputs
            .iter()
            .map(|name| {
                let info = self.outputs.iter().find(|info| info.name == *name);
                let info = info.ok_or_else(|| RuntimeError(format!("no output \"{name}\"")))?;
                let mut shape: Vec<usize> = info.shape.iter().map(|n| n.unwrap_or(batch)).collect();
                shape[0] = batch;
                let entry: usize = shape[1..].iter().product();
                if self.echo && batch * entry == tensor.data.len() {
                    return Ok(Tensor::new(shape, tensor.data.clone()));
                }
                Ok(Tensor::new(shape, values.iter().flat_map(|v| std::iter::repeat_n(*v, entry)).collect()))
            })
            .collect()
    }
}
