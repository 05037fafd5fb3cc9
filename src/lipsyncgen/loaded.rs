// SPDX-License-Identifier: MPL-2.0
//! What READY holds: the model and the thread that runs it; and another thread, should that one hang.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::generator::{self, Generator};
use super::imp::LipsyncGen;
use super::settings::Settings;
use super::tensors::FaceInput;
use super::window::RowStore;
use crate::face_meta::Generated;
use crate::model::manifest::{End, Rows};
use crate::model::{DEFAULT_MODEL, Model};
use crate::runtime::{Aside, Options, RuntimeError};

/// Runs the model's graphs on the faces of some frames.
pub(super) type Worker = Aside<Vec<FaceInput>, Result<Vec<Generated>, RuntimeError>>;

#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) model: Arc<Model>,
    /// Empty while a new thread opens it again.
    generator: Arc<OnceLock<Result<Generator, RuntimeError>>>,
    /// `None`: it hung, and so did the one that took its place.
    worker: Option<Arc<Worker>>,
    pub(super) windows: Arc<Vec<Rows>>,
    /// Covers all windows.
    pub(super) reach: Rows,
    /// The first crop of each track is an input.
    pub(super) keeps_reference: bool,
    /// So is what is remembered of it.
    pub(super) keeps_memory: bool,
    /// The settings it was loaded with.
    key: (Option<String>, Options),
}

impl Loaded {
    /// Whether it is what `settings` ask for, and works as far as is known.
    pub(super) fn is_for(&self, settings: &Settings) -> bool {
        (&self.key.0, &self.key.1) == (&settings.model, &settings.options) && self.worker.is_some()
    }

    /// What runs the model. The error says why nothing does at present.
    pub(super) fn worker(&self) -> Result<&Worker, RuntimeError> {
        match &self.worker {
            None => Err(RuntimeError("it hung twice; it is opened again when the element has been in READY".into())),
            Some(_) if self.generator.get().is_none() => Err(RuntimeError("it hung, and is being opened again".into())),
            Some(worker) => Ok(worker),
        }
    }

    /// How long after its time a frame's last row comes, ns.
    pub(super) fn look_ahead(&self) -> i64 {
        let (rows, seconds) = self.model.manifest.audiofeatures.rate();
        let after =
            self.windows.iter().map(|w| (i64::from(w.count) - i64::from(w.before) - 1).max(0)).max().unwrap_or(0);
        after * 1_000_000_000 * i64::from(seconds) / i64::from(rows)
    }

    /// How long a run for `faces` faces takes, as far as opening the model told.
    pub(super) fn expected(&self, faces: usize) -> Duration {
        self.generator.get().and_then(|made| made.as_ref().ok()).map_or(Duration::ZERO, |made| made.expected(faces))
    }

    /// Has another thread open the model again; the one there was is left to itself.
    fn start_again(&mut self) -> std::io::Result<()> {
        self.worker = None;
        let hanging = std::mem::take(&mut self.generator);
        let (model, options) = (self.model.clone(), self.key.1.clone());
        let open = move || {
            // Here, because it waits for whoever opens a graph at present.
            if let Some(Ok(hanging)) = hanging.get() {
                hanging.abandon();
            }
            Generator::open(&model, &options)
        };
        self.worker = Some(start(self.generator.clone(), open)?);
        Ok(())
    }
}

/// Starts a thread that makes the generator by `open`, where there is none, and runs it.
fn start(
    generator: Arc<OnceLock<Result<Generator, RuntimeError>>>,
    open: impl FnOnce() -> Result<Generator, RuntimeError> + Send + 'static,
) -> std::io::Result<Arc<Worker>> {
    let worker = Worker::start("lipsyncgen-infer", move || {
        generator.get_or_init(open);
        move |faces: Vec<FaceInput>| match generator.get() {
            Some(Ok(generator)) => generator.run(&faces),
            Some(Err(error)) => Err(error.clone()),
            None => Err(RuntimeError("it is not open".into())),
        }
    });
    worker.map(Arc::new)
}

/// Where the model's rows will be kept.
pub(super) fn new_rows(model: &Model) -> RowStore {
    let features = &model.manifest.audiofeatures;
    RowStore::new(features.width(), features.rate(), features.beyond() as u32)
}

impl LipsyncGen {
    /// Opens the model named by the settings and starts its thread.
    pub(super) fn load(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings.lock().clone();
        let name = settings.model.as_deref().unwrap_or(DEFAULT_MODEL);
        let progress = |type_, text: String| {
            let message = gst::message::Progress::builder(type_, "lipsync-model", &text).src(&*self.obj()).build();
            let _ = self.obj().post_message(message);
        };
        progress(gst::ProgressType::Start, format!("Loading model {name}"));
        let failed = |error: gst::ErrorMessage| {
            progress(gst::ProgressType::Error, format!("Model {name} could not be loaded"));
            error
        };
        let model = Model::open(name).map_err(|e| failed(e.into()))?;
        let generator = Generator::open(&model, &settings.options)
            .map_err(|e| failed(gst::error_msg!(gst::LibraryError::Init, ("{e}"))))?;
        for refused in generator.refused() {
            gst::element_imp_warning!(self, gst::LibraryError::Init, ("{refused}"));
        }
        let devices = generator.devices().join(", ");
        let generator = Arc::new(OnceLock::from(Ok(generator)));
        let worker = start(generator.clone(), || Err(RuntimeError("it is open already".into())))
            .map_err(|e| failed(gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("no thread for inference: {e}"))))?;
        let windows = Arc::new(generator::windows(&model));
        {
            let mut state = self.state.lock();
            state.rows = Some(new_rows(&model));
            state.hangs = 0;
        }
        let reach = Rows {
            before: windows.iter().map(|w| w.before).max().unwrap_or(0),
            count: windows.iter().map(|w| w.count).max().unwrap_or(1),
            end: End::Edge,
            rate: windows.iter().filter_map(|w| w.rate).min(),
        };
        let key = (settings.model.clone(), settings.options.clone());
        let keeps_reference = generator::needs_reference(&model);
        let keeps_memory = generator::needs_memory(&model);
        let worker = Some(worker);
        *self.loaded.lock() =
            Some(Loaded { model, generator, worker, windows, reach, keeps_reference, keeps_memory, key });
        progress(gst::ProgressType::Complete, format!("Model {name} is ready on {devices}"));
        Ok(())
    }

    /// The model does not come back from a run: it is opened again, aside. What hangs once more before it has answered is
    /// given up.
    pub(super) fn hung(&self) -> RuntimeError {
        let again = {
            let mut state = self.state.lock();
            state.hangs += 1;
            state.hangs > 1
        };
        let mut loaded = self.loaded.lock();
        if let Some(loaded) = loaded.as_mut() {
            if again {
                loaded.worker = None;
            } else if let Err(error) = loaded.start_again() {
                gst::warning!(super::CAT, imp = self, "no thread to open the model again: {error}");
            }
        }
        RuntimeError("it does not come back from a run".into())
    }
}
