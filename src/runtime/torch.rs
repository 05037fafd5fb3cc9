// SPDX-License-Identifier: MPL-2.0
//! libtorch: graphs in TorchScript.
//!
//! TorchScript knows neither names nor shapes of its tensors, so a graph must say them itself: its method `signature() -> str`
//! returns TOML, tensors in the order of `forward`'s arguments and results, −1 for an axis of any length:
//!
//! ```toml
//! inputs = [{ name = "mel", element = "float32", shape = [-1, 1, 80, 16] }]
//! outputs = [{ name = "out", element = "float32", shape = [-1, 3, 96, 96] }]
//! ```
//!
//! models/graphs.py writes such files. `forward` returns a tensor, or a tuple or list of them.

use std::path::{Path, PathBuf};
use std::sync::Once;

use half::f16;
use serde::Deserialize;
use tch::{CModule, Cuda, Device, IValue, Kind, TchError};

use super::{Element, Options, RuntimeError, Session, Tensor, TensorInfo, device, threads};

pub struct TorchSession {
    module: CModule,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    file: PathBuf,
    device: Device,
    device_name: String,
    refused: Vec<String>,
    /// A graph shows only when it runs whether it suits a device. Until it has, `device=auto` may fall back to the CPU.
    may_fall_back: bool,
    threads: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    inputs: Vec<Border>,
    outputs: Vec<Border>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Border {
    name: String,
    element: Element,
    shape: Vec<i64>,
}

impl TorchSession {
    pub fn open(file: &Path, options: &Options) -> Result<Self, RuntimeError> {
        let fail = |what: &dyn std::fmt::Display| RuntimeError(format!("{}: {what}", file.display()));
        let size = std::fs::metadata(file).map_err(|e| fail(&e))?.len();
        // The pool for tasks that a graph starts beside its own run. It can be set once, before it is used.
        static INTEROP: Once = Once::new();
        INTEROP.call_once(|| tch::set_num_interop_threads(1));

        let mut refused = Vec::new();
        let mut choices = choices(&options.device)?.into_iter().peekable();
        let (module, device) = loop {
            // The list is never empty, and its last choice ends the loop.
            let Some(device) = choices.next() else {
                return Err(fail(&format!("device=\"{}\" names nothing to run on", options.device)));
            };
            match load(file, device) {
                Ok(module) => break (module, device),
                Err(e) if choices.peek().is_some() => refused.push(does_not_work(device, &e)),
                Err(e) => return Err(fail(&format!("libtorch cannot load it as TorchScript: {e}"))),
            }
        };
        let signature = signature(&module).map_err(|e| fail(&e))?;
        Ok(Self {
            inputs: infos(signature.inputs),
            outputs: infos(signature.outputs),
            module,
            file: file.into(),
            device,
            device_name: name(device),
            refused,
            may_fall_back: choices.peek().is_some(),
            threads: threads(options, size) as i32,
        })
    }

    fn fail(&self, what: &dyn std::fmt::Display) -> RuntimeError {
        RuntimeError(format!("{}: {what}", self.file.display()))
    }

    /// What `forward` makes of `inputs`: as many tensors as the signature says.
    fn forward(&self, inputs: &[&Tensor]) -> Result<Vec<tch::Tensor>, String> {
        let _no_gradients = tch::no_grad_guard();
        // OpenMP keeps this number per calling thread, but MKL keeps one for the process: sessions that run at the same time
        // with different `threads` may take each other's.
        tch::set_num_threads(self.threads);
        // The optimiser watches the first runs and then compiles what it saw. Frames would wait for that, and be computed in
        // another way from then on.
        tch::jit::f_set_graph_executor_optimize(false).map_err(words)?;
        let values = self
            .inputs
            .iter()
            .zip(inputs)
            .map(|(info, tensor)| Ok(IValue::Tensor(to_torch(tensor, info.element, self.device).map_err(words)?)))
            .collect::<Result<Vec<_>, String>>()?;
        let result = match self.module.forward_is(&values) {
            Ok(result) => result,
            Err(error) => {
                // tch does not free what it handed over when a run fails; at least the numbers in it can go.
                for value in values {
                    if let IValue::Tensor(mut tensor) = value {
                        let _ = tensor.f_set_();
                    }
                }
                return Err(words(error));
            }
        };
        let tensors = tensors(result)?;
        if tensors.len() == self.outputs.len() {
            return Ok(tensors);
        }
        Err(format!("`forward` returns {} tensors, but its signature says {}", tensors.len(), self.outputs.len()))
    }
}

impl Session for TorchSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn device(&self) -> &str {
        &self.device_name
    }

    fn refused(&self) -> &[String] {
        &self.refused
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> Result<Vec<Tensor>, RuntimeError> {
        let mut given = Vec::with_capacity(self.inputs.len());
        for info in &self.inputs {
            let found = inputs.iter().find(|(name, _)| *name == info.name);
            let (_, tensor) = found.ok_or_else(|| self.fail(&format!("input {info} is missing")))?;
            if !fits(info, &tensor.shape) {
                return Err(self.fail(&format!("input {info} does not fit: found {:?}", tensor.shape)));
            }
            given.push(*tensor);
        }
        let wanted = outputs
            .iter()
            .map(|name| {
                let found = self.outputs.iter().position(|info| info.name == *name);
                found.ok_or_else(|| self.fail(&format!("no output \"{name}\"")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let made = match self.forward(&given) {
            Err(error) if self.may_fall_back => {
                self.module = load(&self.file, Device::Cpu).map_err(|e| self.fail(&e))?;
                self.refused.push(does_not_work(self.device, &error));
                self.device = Device::Cpu;
                self.device_name = name(self.device);
                self.forward(&given)
            }
            made => made,
        }
        .map_err(|e| self.fail(&e))?;
        self.may_fall_back = false;
        wanted
            .into_iter()
            .map(|at| {
                let info = &self.outputs[at];
                let tensor = from_torch(&made[at]).map_err(|e| self.fail(&format!("output {info}: {}", words(e))))?;
                if fits(info, &tensor.shape) {
                    return Ok(tensor);
                }
                Err(self.fail(&format!("output {info} is not what its signature says: found {:?}", tensor.shape)))
            })
            .collect()
    }
}

fn load(file: &Path, device: Device) -> Result<CModule, String> {
    let mut module = CModule::load_on_device(file, device).map_err(words)?;
    module.f_set_eval().map_err(words)?;
    Ok(module)
}

/// What to try for `device`, in this order.
fn choices(device: &str) -> Result<Vec<Device>, RuntimeError> {
    let there = if Cuda::is_available() { Cuda::device_count().max(0) } else { 0 };
    if device == "auto" {
        return Ok((0..there.min(1)).map(|_| Device::Cuda(0)).chain([Device::Cpu]).collect());
    }
    match device::parse(device)? {
        (device::CPU, _) => Ok(vec![Device::Cpu]),
        ("cuda", number) if i64::from(number) < there => Ok(vec![Device::Cuda(number as usize)]),
        ("cuda", _) => Err(RuntimeError(format!(
            "device=\"{device}\" is not there: this libtorch sees {there} graphics cards. Build the plugin against one that was \
             made for yours (see setup.sh --torch), or choose device=auto"
        ))),
        _ => Err(RuntimeError(format!(
            "device=\"{device}\": libtorch, which runs TorchScript, knows auto, cpu and cuda with a number, such as \"cuda:0\""
        ))),
    }
}

fn name(device: Device) -> String {
    match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        _ => device::CPU.into(),
    }
}

fn does_not_work(device: Device, error: &str) -> String {
    format!("{} is there but does not work: {error}", name(device))
}

fn signature(module: &CModule) -> Result<Signature, String> {
    let how = "models/recipe.py writes TorchScript that has one: give your file to the model's export.py";
    let text = match module.method_is::<IValue>("signature", &[]) {
        Ok(IValue::String(text)) => text,
        Ok(_) => return Err(format!("its method `signature` does not return a text; {how}")),
        Err(_) => return Err(format!("it has no method `signature`, which names its tensors; {how}")),
    };
    toml::from_str(&text).map_err(|e| format!("its method `signature` does not return what is expected: {e}"))
}

fn infos(borders: Vec<Border>) -> Vec<TensorInfo> {
    let info = |border: Border| TensorInfo {
        name: border.name,
        shape: border.shape.into_iter().map(|axis| usize::try_from(axis).ok()).collect(),
        element: border.element,
    };
    borders.into_iter().map(info).collect()
}

fn fits(info: &TensorInfo, shape: &[usize]) -> bool {
    info.shape.len() == shape.len() && info.shape.iter().zip(shape).all(|(a, b)| a.is_none_or(|a| a == *b))
}

/// The tensor as the graph wants it.
fn to_torch(tensor: &Tensor, element: Element, device: Device) -> Result<tch::Tensor, TchError> {
    let data = &tensor.data;
    // Casting saturates.
    let flat = match element {
        Element::F32 => tch::Tensor::f_from_slice(data)?,
        Element::F16 => tch::Tensor::f_from_slice(&data.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>())?,
        Element::I64 => tch::Tensor::f_from_slice(&data.iter().map(|v| v.round() as i64).collect::<Vec<_>>())?,
        Element::I32 => tch::Tensor::f_from_slice(&data.iter().map(|v| v.round() as i32).collect::<Vec<_>>())?,
    };
    let shape: Vec<i64> = tensor.shape.iter().map(|n| *n as i64).collect();
    flat.f_reshape(shape)?.f_to_device(device)
}

fn from_torch(tensor: &tch::Tensor) -> Result<Tensor, TchError> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let shape: Vec<usize> = tensor.size().into_iter().map(|axis| usize::try_from(axis).unwrap_or(0)).collect();
    let mut data = vec![0.0; shape.iter().product()];
    let count = data.len();
    tensor.f_copy_data(&mut data, count)?;
    Ok(Tensor { shape, data })
}

/// The tensors of a result.
fn tensors(result: IValue) -> Result<Vec<tch::Tensor>, String> {
    match result {
        IValue::Tensor(tensor) => Ok(vec![tensor]),
        IValue::TensorList(tensors) => Ok(tensors),
        IValue::Tuple(values) | IValue::GenericList(values) => {
            let tensor = |value| match value {
                IValue::Tensor(tensor) => Ok(tensor),
                _ => Err("`forward` returns something else among its tensors".to_string()),
            };
            values.into_iter().map(tensor).collect()
        }
        _ => Err("`forward` returns neither a tensor nor a tuple or list of tensors".into()),
    }
}

/// What went wrong, without the places in libtorch's and the graph's code.
fn words(error: TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text,
        other => return other.to_string(),
    };
    let text = text.split("\nException raised from").next().unwrap_or_default();
    // An error inside a graph has its traceback first, and then says what it is: "RuntimeError: …", "builtins.ValueError: …".
    let said = text.lines().rev().find_map(|line| match line.split_once(": ") {
        Some((kind, said)) if kind.ends_with("Error") && !kind.contains(' ') => Some(said),
        _ => None,
    });
    said.or_else(|| text.lines().find(|line| !line.trim().is_empty())).unwrap_or("it does not say why").trim().into()
}

#[cfg(test)]
#[path = "torch_tests.rs"]
mod tests;
