// SPDX-License-Identifier: MPL-2.0
//! ONNX Runtime, loaded when the first graph is opened.

use std::path::{Path, PathBuf};

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{RunOptions, Session as OrtSession, SessionInputValue};
use ort::value::{Tensor as OrtTensor, TensorElementType, TensorRef, ValueType};
use parking_lot::Mutex;

use super::{Options, RuntimeError, Session, Tensor, TensorInfo};
use crate::model::plugin_folder;

/// A graph bigger than this cannot be meant for real time; ONNX itself ends at 2 GiB.
const MAX_GRAPH_BYTES: u64 = 2 << 30;

pub struct OnnxSession {
    session: OrtSession,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    /// Of the inputs.
    types: Vec<TensorElementType>,
    file: PathBuf,
}

impl OnnxSession {
    pub fn open(file: &Path, options: &Options) -> Result<Self, RuntimeError> {
        let fail = |what: &dyn std::fmt::Display| RuntimeError(format!("{}: {what}", file.display()));
        let size = std::fs::metadata(file).map_err(|e| fail(&e))?.len();
        if size > MAX_GRAPH_BYTES {
            return Err(fail(&format!("{size} bytes are more than a graph may have ({MAX_GRAPH_BYTES})")));
        }
        if !matches!(options.device.as_str(), "auto" | "cpu") {
            return Err(RuntimeError(format!("device=\"{}\" is not there; there is: cpu", options.device)));
        }
        let environment = environment()?;
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n as usize,
        };
        // Spinning worker threads would take the cores from the decoder and the encoder between two runs.
        let session = OrtSession::builder(&environment)
            .and_then(|b| Ok(b.with_intra_threads(threads)?))
            .and_then(|b| Ok(b.with_inter_threads(1)?))
            .and_then(|b| Ok(b.with_intra_op_spinning(false)?))
            .and_then(|b| Ok(b.with_optimization_level(GraphOptimizationLevel::All)?))
            .and_then(|mut b| b.commit_from_file(file))
            .map_err(|e| fail(&e))?;
        let info = |outlet: &ort::value::Outlet, types: &[TensorElementType]| match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } if types.contains(ty) => Ok((
                TensorInfo {
                    name: outlet.name().into(),
                    shape: shape.iter().map(|&axis| usize::try_from(axis).ok()).collect(),
                },
                *ty,
            )),
            other => Err(fail(&format!("tensor \"{}\" is {other}, expected float32", outlet.name()))),
        };
        const FLOAT: TensorElementType = TensorElementType::Float32;
        // Whole numbers are counts, such as a window's length.
        const IN: [TensorElementType; 3] = [FLOAT, TensorElementType::Int64, TensorElementType::Int32];
        let inputs = session.inputs().iter().map(|outlet| info(outlet, &IN)).collect::<Result<Vec<_>, _>>()?;
        let outputs = session.outputs().iter().map(|outlet| Ok(info(outlet, &[FLOAT])?.0)).collect::<Result<_, _>>()?;
        let (inputs, types) = inputs.into_iter().unzip();
        Ok(Self { session, inputs, outputs, types, file: file.into() })
    }
}

impl Session for OnnxSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> Result<Vec<Tensor>, RuntimeError> {
        let file = &self.file;
        let fail = |e: ort::Error| RuntimeError(format!("{}: {e}", file.display()));
        let values = inputs
            .iter()
            .map(|(name, tensor)| {
                let place = self.inputs.iter().position(|info| info.name == *name);
                let shape = tensor.shape.clone();
                let value = match place.map(|place| self.types[place]) {
                    Some(TensorElementType::Int64) => {
                        let whole: Vec<i64> = tensor.data.iter().map(|&value| value as i64).collect();
                        OrtTensor::from_array((shape, whole)).map_err(fail)?.into()
                    }
                    Some(TensorElementType::Int32) => {
                        let whole: Vec<i32> = tensor.data.iter().map(|&value| value as i32).collect();
                        OrtTensor::from_array((shape, whole)).map_err(fail)?.into()
                    }
                    _ => SessionInputValue::from(
                        TensorRef::from_array_view((shape, tensor.data.as_slice())).map_err(fail)?,
                    ),
                };
                Ok((*name, value))
            })
            .collect::<Result<Vec<_>, RuntimeError>>()?;
        let mut selected = ort::session::OutputSelector::no_default();
        for name in outputs {
            selected = selected.with(*name);
        }
        let run_options = RunOptions::new().map_err(fail)?.with_outputs(selected);
        let results = self.session.run_with_options(values, &run_options).map_err(fail)?;
        outputs
            .iter()
            .map(|name| {
                let value = results
                    .get(name)
                    .ok_or_else(|| RuntimeError(format!("{}: no output \"{name}\"", file.display())))?;
                let (shape, data) = value.try_extract_tensor::<f32>().map_err(fail)?;
                Ok(Tensor {
                    shape: shape.iter().map(|&axis| usize::try_from(axis).unwrap_or(0)).collect(),
                    data: data.to_vec(),
                })
            })
            .collect()
    }
}

/// The process's ONNX Runtime. A failure is not remembered: the library may be there at the next try.
fn environment() -> Result<Environment, RuntimeError> {
    static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);
    let mut environment = ENVIRONMENT.lock();
    if let Some(environment) = environment.as_ref() {
        return Ok(environment.clone());
    }
    let library = find_library()?;
    let opened = ort::init_from(&library)
        .map_err(|e| RuntimeError(format!("ONNX Runtime cannot be loaded: {e}")))?
        .with_name("lipsync")
        .with_telemetry(false)
        .build()
        .map_err(|e| RuntimeError(format!("{}: ONNX Runtime does not start: {e}", library.display())))?;
    Ok(environment.insert(opened).clone())
}

/// `ORT_DYLIB_PATH`, beside the plugin, the folder that the project's set-up fills, the system's library folders.
fn find_library() -> Result<PathBuf, RuntimeError> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(RuntimeError(format!("ORT_DYLIB_PATH = {} is not a file", path.display())))
        };
    }
    let mut folders = Vec::new();
    if let Some(folder) = plugin_folder() {
        folders.extend(folder.ancestors().map(|parent| parent.join(".deps/onnxruntime")));
        folders.insert(0, folder);
    }
    folders.extend(
        ["/usr/local/lib", "/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
            .map(PathBuf::from),
    );
    folders.iter().find_map(|folder| library_in(folder)).ok_or_else(|| {
        RuntimeError(
            "ONNX Runtime (libonnxruntime.so) was not found. Run the project's setup.sh, or take it from the Python package \
             onnxruntime (its folder onnxruntime/capi) and set ORT_DYLIB_PATH to the file"
                .into(),
        )
    })
}

/// `libonnxruntime.so` or, as the Python package names it, `libonnxruntime.so.1.x.y`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libonnxruntime.so")))
        .collect();
    found.sort();
    found.into_iter().next()
}
