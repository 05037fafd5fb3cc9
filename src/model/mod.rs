// SPDX-License-Identifier: MPL-2.0
//! A lip-sync model: a folder with a `model.toml`, and how elements find and share it.

mod context;
pub(crate) mod folder;
#[cfg(any(feature = "fuzzing", all(test, feature = "test-runtime")))]
pub(crate) mod fuzz;
mod gray_png;
mod lookup;
pub mod manifest;
pub mod points;
pub(crate) mod values;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use context::{answer, ask};
pub(crate) use lookup::plugin_folder;
pub use lookup::{find_folder, set_plugin_file};
pub use manifest::Manifest;
pub use values::Name;

use self::folder::Fault;
use self::manifest::Blend;
use crate::pixels::GrayImage;

/// The model used where none is named.
pub const DEFAULT_MODEL: &str = "mouthwarp";

/// The manifest's file in a model's folder.
pub(crate) const FILE: &str = "model.toml";

/// A model's folder and its checked manifest. The graphs are opened by the runtime, and shared there.
#[derive(Debug, PartialEq)]
pub struct Model {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

/// Why a model cannot be used. The text names the file and says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelError {
    NotFound(String),
    Invalid(String),
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NotFound(text) | Self::Invalid(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ModelError {}

impl From<ModelError> for gst::ErrorMessage {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::NotFound(text) => gst::error_msg!(gst::ResourceError::NotFound, ("{text}")),
            ModelError::Invalid(text) => gst::error_msg!(gst::ResourceError::Settings, ("{text}")),
        }
    }
}

impl Model {
    /// Opens the model called `spec`: a name, looked up as [`find_folder`] says, or with a "/" in it a folder's path.
    pub fn open(spec: &str) -> Result<Arc<Self>, ModelError> {
        // The same folder is the same model, by whatever path it was named.
        let folder = find_folder(spec)?;
        let folder = folder.canonicalize().unwrap_or(folder);
        let file = folder.join(FILE);
        let manifest = match folder::file(&folder, FILE) {
            Ok(real) => folder::read(&real),
            Err(Fault::Missing(e)) => {
                let text = format!("model \"{spec}\": cannot read {}: {e}", file.display());
                return Err(ModelError::NotFound(text));
            }
            Err(fault) => Err(fault.to_string()),
        };
        let manifest = manifest.map_err(|what| ModelError::Invalid(format!("{}: {what}", file.display())))?;
        let model = Self { folder, manifest };
        model.check_files()?;
        Ok(Arc::new(model))
    }

    fn check_files(&self) -> Result<(), ModelError> {
        if self.manifest.lipsyncgen.graph.is_empty() {
            return Err(self.invalid("[lipsyncgen] needs at least one [[lipsyncgen.graph]]"));
        }
        self.manifest.check().map_err(|what| self.invalid(&what))?;
        for graph in &self.manifest.lipsyncgen.graph {
            self.first_file(&graph.file.0, "any backend", |_| true)?;
        }
        if let Some(encoder) = &self.manifest.audiofeatures.encoder {
            self.first_file(&encoder.files, "any backend", |_| true)?;
        }
        match &self.manifest.facepaste.blend {
            Some(Blend::Mask { file, .. }) => self.gray_png(file).map(|_| ()),
            Some(Blend::Parsing(parsing)) => self.file(&parsing.file).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// An error about the manifest.
    fn invalid(&self, what: &str) -> ModelError {
        ModelError::Invalid(format!("{}: {what}", self.folder.join(FILE).display()))
    }

    /// The grey PNG picture of that name; see [`Model::file`].
    pub fn gray_png(&self, name: &str) -> Result<GrayImage, ModelError> {
        let file = self.file(name)?;
        gray_png::read(&file).map_err(|what| ModelError::Invalid(format!("{}: {what}", file.display())))
    }

    /// The first of `files` that is `fit` and there. `whose` says what it must fit.
    pub fn first_file(&self, files: &[Name], whose: &str, fit: impl Fn(&Path) -> bool) -> Result<PathBuf, ModelError> {
        let mut missing = None;
        for name in files.iter().filter(|name| fit(Path::new(&***name))) {
            match self.file(name) {
                Ok(path) => return Ok(path),
                Err(error @ ModelError::Invalid(_)) => return Err(error),
                Err(error) => missing = missing.or(Some(error)),
            }
        }
        Err(missing.unwrap_or_else(|| {
            let names: Vec<&str> = files.iter().map(|name| &**name).collect();
            self.invalid(&format!("none of the files {names:?} is for {whose}"))
        }))
    }

    /// The path of a file that the manifest names. It must exist and lie inside the model's folder.
    pub fn file(&self, name: &str) -> Result<PathBuf, ModelError> {
        folder::file(&self.folder, name).map_err(|fault| match fault {
            Fault::Outside => self.invalid(&format!("file = \"{name}\" leads out of the model's folder")),
            Fault::NoFile => self.invalid(&format!("file = \"{name}\" is no regular file")),
            Fault::Missing(e) => ModelError::NotFound(format!(
                "model \"{}\": {} is missing ({e}); the model's README says how to get or make it",
                &*self.manifest.name,
                self.folder.join(name).display()
            )),
        })
    }

    /// Numbers in a feature row and rows per second, as negotiated in caps.
    pub fn features_caps(&self) -> gst::Caps {
        let features = &self.manifest.audiofeatures;
        let (rows, seconds) = features.rate();
        gst::Caps::builder("application/x-lipsync-features")
            .field("features", &*features.id)
            .field("width", features.width() as i32)
            .field("rate", gst::Fraction::new(rows as i32, seconds as i32))
            .field("format", "F32LE")
            .build()
    }
}

#[cfg(test)]
mod tests;
