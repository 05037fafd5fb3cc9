// SPDX-License-Identifier: MPL-2.0
//! Looking on while graphs run. Where nobody does, sessions are what they are.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{RuntimeError, Session, SharedSession, Tensor, TensorInfo};

/// One run of a graph.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The graph's.
    pub file: &'a Path,
    /// By name, as the element fed them.
    pub inputs: &'a [(&'a str, &'a Tensor)],
    /// By name, those that the element asked for.
    pub outputs: &'a [(&'a str, &'a Tensor)],
}

type Watcher = dyn Fn(Run) + Send + Sync;

static WATCHER: OnceLock<Box<Watcher>> = OnceLock::new();

/// Lets `watcher` see every run that works, warm-ups too, of every graph that this process opens from now on; it is called on
/// the thread that ran it. `false` where there is a watcher already: there can be only one, and it stays.
pub fn watch(watcher: impl Fn(Run) + Send + Sync + 'static) -> bool {
    WATCHER.set(Box::new(watcher)).is_ok()
}

/// `session`, under the eyes of the watcher where there is one.
pub fn watched(file: &Path, session: SharedSession) -> SharedSession {
    let Some(watcher) = WATCHER.get() else { return session };
    let watched = {
        let open = session.lock();
        Watched {
            file: file.into(),
            inputs: open.inputs().into(),
            outputs: open.outputs().into(),
            device: open.device().into(),
            refused: open.refused().into(),
            session: session.clone(),
            watcher,
        }
    };
    Arc::new(Mutex::new(watched))
}

struct Watched {
    file: PathBuf,
    session: SharedSession,
    watcher: &'static Watcher,
    // What the session says of itself.
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    device: String,
    refused: Vec<String>,
}

impl Session for Watched {
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
        let made = self.session.lock().run(inputs, outputs)?;
        let named: Vec<(&str, &Tensor)> = outputs.iter().copied().zip(&made).collect();
        (self.watcher)(Run { file: &self.file, inputs, outputs: &named });
        Ok(made)
    }
}
