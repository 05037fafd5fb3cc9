// SPDX-License-Identifier: MPL-2.0
//! ONNX Runtime, loaded when the first graph is opened.

use std::path::{Path, PathBuf};

use half::f16;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel as Level, SessionBuilder};
use ort::session::{RunOptions, Session as OrtSession, SessionInputValue};
use ort::value::{DynValue, Tensor as OrtTensor, TensorElementType, TensorRef, ValueType};
use parking_lot::Mutex;

use super::optimized::Optimized;
use super::{Element, Options, RuntimeError, Session, Tensor, TensorInfo, device, threads};
use crate::model::plugin_folder;

/// A graph bigger than this cannot be meant for real time; ONNX itself ends at 2 GiB.
const MAX_GRAPH_BYTES: u64 = 2 << 30;

pub struct OnnxSession {
    session: OrtSession,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    file: PathBuf,
    device: String,
    refused: Vec<String>,
}

impl OnnxSession {
    pub fn open(file: &Path, options: &Options) -> Result<Self, RuntimeError> {
        let fail = |what: &dyn std::fmt::Display| RuntimeError(format!("{}: {what}", file.display()));
        let size = std::fs::metadata(file).map_err(|e| fail(&e))?.len();
        if size > MAX_GRAPH_BYTES {
            return Err(fail(&format!("{size} bytes are more than a graph may have ({MAX_GRAPH_BYTES})")));
        }
        let environment = environment()?;
        let threads = threads(options, size);
        let mut refused = Vec::new();
        let mut choices = device::choices(&options.device, threads)?.into_iter().peekable();
        let (session, device) = loop {
            // The list is never empty, and its last choice ends the loop.
            let Some((name, provider)) = choices.next() else {
                return Err(fail(&format!("device=\"{}\" names nothing to run on", options.device)));
            };
            match commit(&environment, file, threads, provider) {
                Ok(session) => break (session, name),
                Err(e) if choices.peek().is_some() => refused.push(format!("{name} is there but does not work: {e}")),
                Err(e) => return Err(fail(&e)),
            }
        };
        let info = |outlet: &ort::value::Outlet| {
            let wrong = || {
                let (name, found) = (outlet.name(), outlet.dtype());
                fail(&format!("tensor \"{name}\" is {found}, expected a tensor of float32, float16, int64 or int32"))
            };
            let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else { return Err(wrong()) };
            Ok(TensorInfo {
                name: outlet.name().into(),
                shape: shape.iter().map(|&axis| usize::try_from(axis).ok()).collect(),
                element: element(*ty).ok_or_else(wrong)?,
            })
        };
        let inputs = session.inputs().iter().map(info).collect::<Result<_, _>>()?;
        let outputs = session.outputs().iter().map(info).collect::<Result<_, _>>()?;
        Ok(Self { session, inputs, outputs, file: file.into(), device, refused })
    }
}

/// Loads the graph in `file` for one device.
fn commit(
    environment: &Environment,
    file: &Path,
    threads: usize,
    provider: Option<ort::ep::ExecutionProviderDispatch>,
) -> Result<OrtSession, ort::Error> {
    // For another device than the processor it would hold what that device made of it.
    let kept = provider.is_none().then(|| Optimized::of(file, ort::info())).flatten();
    let load =
        |file: &Path| builder(environment, threads)?.with_optimization_level(Level::Disable)?.commit_from_file(file);
    let save = |to: &Path| {
        // It warns that the file is for this machine.
        let builder = builder(environment, threads)?.with_log_level(LogLevel::Error)?;
        builder.with_optimization_level(Level::All)?.with_optimized_model_path(to)?.commit_from_file(file).map(drop)
    };
    let session = match kept.and_then(|kept| kept.open::<_, ort::Error>(load, save)) {
        Some(session) => Ok(session),
        None => {
            let builder = builder(environment, threads)?.with_optimization_level(Level::All)?;
            builder.with_execution_providers(provider.as_slice())?.commit_from_file(file)
        }
    };
    give_back_memory();
    session
}

fn builder(environment: &Environment, threads: usize) -> Result<SessionBuilder, ort::Error> {
    // Spinning worker threads would take the cores from the decoder and the encoder between two runs.
    let builder = OrtSession::builder(environment)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        // The pattern is a block for all tensors of a run beside those of the first one: in batches of 8 a graph as large as
        // Wav2Lip's took 470 MB instead of 310, and as much time.
        .with_memory_pattern(false)?;
    Ok(builder)
}

/// Reading a graph takes twice the memory of its weights for a moment, and what is free stays with the process unless it is told
/// to give it back: with a graph as large as Wav2Lip's 60 MB of 140.
fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, and glibc's allocator may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn element(of: TensorElementType) -> Option<Element> {
    match of {
        TensorElementType::Float32 => Some(Element::F32),
        TensorElementType::Float16 => Some(Element::F16),
        TensorElementType::Int64 => Some(Element::I64),
        TensorElementType::Int32 => Some(Element::I32),
        _ => None,
    }
}

/// The tensor as the graph wants it.
fn to_value(tensor: &Tensor, element: Element) -> Result<SessionInputValue<'_>, ort::Error> {
    let shape = tensor.shape.clone();
    let converted = |to: fn(f32) -> i64| tensor.data.iter().map(move |v| to(v.round()));
    Ok(match element {
        Element::F32 => TensorRef::from_array_view((shape, tensor.data.as_slice()))?.into(),
        Element::F16 => {
            OrtTensor::from_array((shape, tensor.data.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>()))?.into()
        }
        // Casting saturates.
        Element::I64 => OrtTensor::from_array((shape, converted(|v| v as i64).collect::<Vec<_>>()))?.into(),
        Element::I32 => {
            OrtTensor::from_array((shape, converted(|v| v as i64).map(|v| v as i32).collect::<Vec<_>>()))?.into()
        }
    })
}

fn from_value(value: &DynValue) -> Result<Tensor, ort::Error> {
    fn read<T: ort::value::PrimitiveTensorElementType + Copy + std::fmt::Debug>(
        value: &DynValue,
        to: impl Fn(T) -> f32,
    ) -> Result<Tensor, ort::Error> {
        let (shape, data) = value.try_extract_tensor::<T>()?;
        Ok(Tensor {
            shape: shape.iter().map(|&axis| usize::try_from(axis).unwrap_or(0)).collect(),
            data: data.iter().map(|v| to(*v)).collect(),
        })
    }
    match value.dtype().tensor_type() {
        Some(TensorElementType::Float16) => read(value, f16::to_f32),
        Some(TensorElementType::Int64) => read(value, |v: i64| v as f32),
        Some(TensorElementType::Int32) => read(value, |v: i32| v as f32),
        _ => {
            // What is not float32 here says so itself.
            let (shape, data) = value.try_extract_tensor::<f32>()?;
            Ok(Tensor {
                shape: shape.iter().map(|&axis| usize::try_from(axis).unwrap_or(0)).collect(),
                data: data.to_vec(),
            })
        }
    }
}

impl Session for OnnxSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn device(&self) -> &str {
        &self.device
    }

    fn refused(&self) -> &[String] {
        &self.refused
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> Result<Vec<Tensor>, RuntimeError> {
        let file = &self.file;
        let fail = |e: ort::Error| RuntimeError(format!("{}: {e}", file.display()));
        let values = inputs
            .iter()
            .map(|(name, tensor)| {
                let element = self.inputs.iter().find(|info| info.name == *name).map_or(Element::F32, |i| i.element);
                Ok((*name, to_value(tensor, element).map_err(fail)?))
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
                from_value(value).map_err(fail)
            })
            .collect()
    }
}

/// Builds of ONNX Runtime send events to their maker, and keep them in the home folder until then, unless this variable is set when the
/// library is loaded; its own switch, in [`environment`], comes too late. A value that somebody has set stays.
pub fn no_telemetry() {
    const SWITCH: &str = "ORT_DISABLE_TELEMETRY";
    if gst::glib::getenv(SWITCH).is_none() {
        // SAFETY: called while the plugin is loaded, under GStreamer's registry lock. GLib and Rust's library lock their own reading and
        // writing of the environment; code in C that reads it at this moment, in another thread, is the risk that remains.
        let set = unsafe { gst::glib::setenv(SWITCH, "1", false) };
        if let Err(error) = set {
            gst::warning!(gst::CAT_DEFAULT, "{SWITCH} cannot be set, ONNX Runtime may send events: {error}");
        }
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
            Err(RuntimeError(format!(
                "ORT_DYLIB_PATH = {} is not a file; unset it, or name ONNX Runtime's libonnxruntime.so",
                path.display()
            )))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Backend;

    #[test]
    fn openvino_computes_the_same() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/face_landmark_68/face_landmark_68.onnx");
        let run = |device: &str| {
            let options = Options { backend: Backend::Ort, device: device.into(), threads: 1 };
            let mut session = OnnxSession::open(&file, &options).unwrap();
            assert!(session.device().starts_with(device));
            let (input, output) = (session.inputs()[0].clone(), session.outputs()[0].name.clone());
            let shape: Vec<usize> = input.shape.iter().map(|axis| axis.unwrap_or(1)).collect();
            let data = (0..shape.iter().product()).map(|k| (k * 37 % 101) as f32 / 101.0).collect();
            let made = session.run(&[(&input.name, &Tensor { shape, data })], &[&output]).unwrap();
            made[0].data.clone()
        };
        let expected = run("cpu");
        // Bfloat16 has 8 bits.
        for (device, tolerance) in [("openvino", 1e-4), ("openvino-bf16", 0.02)] {
            if let Err(e) = device::choices(device, 1) {
                eprintln!("not tested: {e}");
                continue;
            }
            let made = run(device);
            let most = expected.iter().zip(&made).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
            assert_eq!(made.len(), expected.len());
            assert!(most < tolerance, "{device}: {most} of {expected:?}");
        }
    }
}
