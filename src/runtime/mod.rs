// SPDX-License-Identifier: MPL-2.0
//! Running a graph: one trait, and the libraries behind it.
//!
//! A [`Session`] is a loaded graph. Opening the same file with the same [`Options`] twice in a process yields the same
//! session, so the weights are in memory once; runs take turns.

mod device;
mod onnx;
mod share;
#[cfg(feature = "test-runtime")]
mod test;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gst::glib;
use parking_lot::Mutex;

pub use self::watch::{Run, watch};
use crate::model::{Model, Name};

/// A dense float tensor, last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

impl Tensor {
    /// `data` must hold as many values as `shape` says.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { shape, data }
    }
}

/// How a graph keeps the numbers of a tensor. Sessions convert: what they are given and give is `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Element {
    #[default]
    F32,
    F16,
    I64,
    I32,
}

/// Name, shape and type of a graph's input or output; `None` is an axis of any length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
    pub shape: Vec<Option<usize>>,
    pub element: Element,
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} (", self.name)?;
        for (i, axis) in self.shape.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match axis {
                Some(n) => write!(f, "{comma}{n}")?,
                None => write!(f, "{comma}?")?,
            }
        }
        f.write_str(")")?;
        f.write_str(match self.element {
            Element::F32 => "",
            Element::F16 => " float16",
            Element::I64 => " int64",
            Element::I32 => " int32",
        })
    }
}

/// Which library runs the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, glib::Enum)]
#[enum_type(name = "GstLipsyncBackend")]
pub enum Backend {
    #[default]
    #[enum_value(name = "Auto: by the file's kind", nick = "auto")]
    Auto,
    #[enum_value(name = "ONNX Runtime", nick = "ort")]
    Ort,
    #[enum_value(name = "libtorch (TorchScript)", nick = "torch")]
    Torch,
    #[cfg(feature = "test-runtime")]
    #[enum_value(name = "Test: makes what `device` orders", nick = "test")]
    Test,
}

impl Backend {
    /// What users write.
    pub fn nick(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ort => "ort",
            Self::Torch => "torch",
            #[cfg(feature = "test-runtime")]
            Self::Test => "test",
        }
    }
}

/// How to run a graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    pub backend: Backend,
    /// `cpu`, `cuda:0`, …, or `auto` for the best there is.
    pub device: String,
    /// Threads per run, 0 = as many as there are cores, one for a small graph.
    pub threads: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { backend: Backend::Auto, device: "auto".into(), threads: 0 }
    }
}

/// Why a graph cannot be opened or run, in words for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeError(pub String);

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RuntimeError {}

/// A graph that is ready to run.
pub trait Session: Send {
    fn inputs(&self) -> &[TensorInfo];

    fn outputs(&self) -> &[TensorInfo];

    /// What it runs on.
    fn device(&self) -> &str;

    /// With `device=auto`: better devices that seem to be there but failed, and why.
    fn refused(&self) -> &[String];

    /// Runs the graph on `inputs` (by name) and returns the named `outputs`, in their order.
    fn run(&mut self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> Result<Vec<Tensor>, RuntimeError>;
}

/// A session that several elements may use.
pub type SharedSession = Arc<Mutex<dyn Session>>;

/// Of `files` in the folder of `model`, which hold the same graph, the first that is there and that `backend` can run.
pub fn choose(model: &Model, files: &[Name], backend: Backend) -> Result<PathBuf, RuntimeError> {
    let whose = format!("backend={}", backend.nick());
    model.first_file(files, &whose, |file| accepts(backend, file)).map_err(|e| RuntimeError(e.to_string()))
}

/// ONNX Runtime runs `.onnx` and `.ort`, libtorch `.pt`, `.pth` and `.ts`.
fn accepts(backend: Backend, file: &Path) -> bool {
    let is_torch = matches!(file.extension().and_then(|e| e.to_str()), Some("pt" | "pth" | "ts"));
    match backend {
        Backend::Auto | Backend::Ort => !is_torch,
        Backend::Torch => is_torch,
        #[cfg(feature = "test-runtime")]
        Backend::Test => true,
    }
}

/// Opens the graph in `file`, or finds it open already.
pub fn open(file: &Path, options: &Options) -> Result<SharedSession, RuntimeError> {
    open_unseen(file, options).map(|session| watch::watched(file, session))
}

fn open_unseen(file: &Path, options: &Options) -> Result<SharedSession, RuntimeError> {
    // A test counts the runs of its own session.
    #[cfg(feature = "test-runtime")]
    if options.backend == Backend::Test || options.backend == Backend::Auto && file.extension() == Some("toml".as_ref())
    {
        return Ok(Arc::new(Mutex::new(test::TestSession::open(file, options)?)));
    }
    share::get_or_open(file, options, || match options.backend {
        Backend::Torch => Err(RuntimeError("backend=torch: this plugin was built without libtorch".into())),
        _ => Ok(Arc::new(Mutex::new(onnx::OnnxSession::open(file, options)?))),
    })
}
