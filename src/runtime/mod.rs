// SPDX-License-Identifier: MPL-2.0
//! Running a graph: one trait, and the libraries behind it.
//!
//! A [`Session`] is a loaded graph. Opening the same file with the same [`Options`] twice in a process yields the same
//! session, so the weights are in memory once; runs take turns. A small graph, which one thread runs, is opened once per core
//! at most: eight streams that took turns at it left most of 16 cores idle.

mod aside;
mod device;
mod onnx;
mod optimized;
mod share;
#[cfg(feature = "test-runtime")]
mod test;
#[cfg(feature = "torch")]
mod torch;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gst::glib;
use parking_lot::Mutex;
use serde::Deserialize;

pub use self::aside::{Aside, Cancel, Outcome};
pub use self::onnx::no_telemetry;
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
        // An axis of length 0 may stand beside any others.
        debug_assert_eq!(shape.iter().fold(1usize, |product, axis| product.saturating_mul(*axis)), data.len());
        Self { shape, data }
    }
}

/// How a graph keeps the numbers of a tensor. Sessions convert: what they are given and give is `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Element {
    #[default]
    #[serde(rename = "float32")]
    F32,
    #[serde(rename = "float16")]
    F16,
    #[serde(rename = "int64")]
    I64,
    #[serde(rename = "int32")]
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
    #[enum_value(name = "By the file's kind; where a model has both, ONNX", nick = "auto")]
    Auto,
    #[enum_value(name = "ONNX Runtime", nick = "ort")]
    Ort,
    #[cfg_attr(feature = "torch", enum_value(name = "libtorch (TorchScript)", nick = "torch"))]
    #[cfg_attr(
        not(feature = "torch"),
        enum_value(name = "libtorch (TorchScript), which this plugin was built without", nick = "torch")
    )]
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

/// Of `files` in the folder of `model`, which hold the same graph, the first that is there and that `backend` can run; for
/// `auto` TorchScript comes last.
pub fn choose(model: &Model, files: &[Name], backend: Backend) -> Result<PathBuf, RuntimeError> {
    let mut files = files.to_vec();
    if backend == Backend::Auto {
        files.sort_by_key(|file| is_torch(Path::new(&**file)));
    }
    let whose = format!("backend={}", backend.nick());
    model.first_file(&files, &whose, |file| accepts(backend, file)).map_err(|e| RuntimeError(e.to_string()))
}

/// ONNX Runtime runs `.onnx` and `.ort`, libtorch `.pt`, `.pth` and `.ts`.
fn is_torch(file: &Path) -> bool {
    matches!(file.extension().and_then(|e| e.to_str()), Some("pt" | "pth" | "ts"))
}

fn accepts(backend: Backend, file: &Path) -> bool {
    match backend {
        Backend::Auto => true,
        Backend::Ort => !is_torch(file),
        Backend::Torch => is_torch(file),
        #[cfg(feature = "test-runtime")]
        Backend::Test => true,
    }
}

/// A graph whose file is smaller is run sooner by one thread than several are woken up (the default model: 2.3 ms of CPU time
/// a frame instead of 4.0), and leaves the other cores to the other elements.
const SMALL_GRAPH_BYTES: u64 = 4 << 20;

/// How many threads run a graph whose file has `bytes`.
fn threads(options: &Options, bytes: u64) -> usize {
    match options.threads {
        0 if bytes < SMALL_GRAPH_BYTES => 1,
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n as usize,
    }
}

/// How often the graph in `file` may be in memory.
fn copies(file: &Path, options: &Options) -> usize {
    let bytes = std::fs::metadata(file).map_or(u64::MAX, |file| file.len());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if bytes < SMALL_GRAPH_BYTES { (cores / threads(options, bytes)).max(1) } else { 1 }
}

/// Nobody who opens a graph from now on gets this session, which hangs.
pub fn abandon(session: &SharedSession) {
    share::forget(session);
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
    let torch = match options.backend {
        Backend::Auto => is_torch(file),
        backend => backend == Backend::Torch,
    };
    share::get_or_open(file, options, copies(file, options), || match torch {
        true => open_torch(file, options),
        false => Ok(Arc::new(Mutex::new(onnx::OnnxSession::open(file, options)?))),
    })
}

#[cfg(feature = "torch")]
fn open_torch(file: &Path, options: &Options) -> Result<SharedSession, RuntimeError> {
    Ok(Arc::new(Mutex::new(torch::TorchSession::open(file, options)?)))
}

#[cfg(not(feature = "torch"))]
fn open_torch(file: &Path, _: &Options) -> Result<SharedSession, RuntimeError> {
    Err(RuntimeError(format!(
        "{}: this plugin was built without libtorch, which runs TorchScript. Build it by ./setup.sh --torch in the project's \
         folder, or give the graph as ONNX",
        file.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model with these files, all empty.
    struct Folder(Model);

    impl Folder {
        fn new(name: &str, files: &[&str]) -> Self {
            let flash = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash")).unwrap();
            let folder = std::env::temp_dir().join(format!("lipsync-runtime-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            for file in files {
                std::fs::write(folder.join(file), "").unwrap();
            }
            Self(Model { folder: folder.canonicalize().unwrap(), manifest: flash.manifest.clone() })
        }

        fn choose(&self, backend: Backend) -> Result<String, String> {
            let chosen = choose(&self.0, &["x.pt".into(), "x.onnx".into()], backend).map_err(|e| e.0)?;
            Ok(chosen.file_name().unwrap().to_string_lossy().into_owned())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0.folder);
        }
    }

    #[test]
    fn a_backend_gets_its_kind_of_file_and_auto_prefers_onnx() {
        let both = Folder::new("both", &["x.pt", "x.onnx"]);
        let [auto, ort, torch] = [Backend::Auto, Backend::Ort, Backend::Torch];
        assert_eq!([auto, ort, torch].map(|b| both.choose(b).unwrap()), ["x.onnx", "x.onnx", "x.pt"]);
        let one = Folder::new("one", &["x.pt"]);
        assert_eq!([auto, torch].map(|b| one.choose(b).unwrap()), ["x.pt", "x.pt"]);
        assert!(one.choose(ort).unwrap_err().contains("x.onnx is missing"));
        assert!(choose(&one.0, &["x.onnx".into()], torch).unwrap_err().0.contains("is for backend=torch"));
    }

    #[cfg(not(feature = "torch"))]
    #[test]
    fn without_libtorch_the_way_to_get_it_is_told() {
        for backend in [Backend::Auto, Backend::Torch] {
            let options = Options { backend, ..Options::default() };
            let error = open(Path::new("x.pt"), &options).err().unwrap().0;
            assert!(error.contains("x.pt: this plugin was built without libtorch"), "{error}");
            assert!(error.contains("setup.sh --torch"), "{error}");
        }
    }
}
