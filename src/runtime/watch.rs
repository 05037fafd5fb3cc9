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
    match WATCHER.get() {
        Some(watcher) => Arc::new(Mutex::new(Watched::new(file, session, watcher))),
        None => session,
    }
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

impl Watched {
    fn new(file: &Path, session: SharedSession, watcher: &'static Watcher) -> Self {
        let open = session.lock();
        let (inputs, outputs) = (open.inputs().into(), open.outputs().into());
        let (device, refused) = (open.device().into(), open.refused().into());
        drop(open);
        Self { file: file.into(), session, watcher, inputs, outputs, device, refused }
    }
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

#[cfg(all(test, feature = "test-runtime"))]
mod tests {
    use super::super::{Backend, Options};
    use super::*;

    #[test]
    fn a_watcher_sees_the_runs_that_work_and_changes_nothing() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/flash/graph.toml");
        let options = Options { backend: Backend::Test, device: "error-at=1".into(), threads: 1 };
        let open = || super::super::open(&file, &options).unwrap();
        let seen: &'static Mutex<Vec<String>> = Box::leak(Box::default());
        let watcher = Box::leak(Box::new(|run: Run| seen.lock().push(format!("{run:?}"))));
        let (plain, watched) = (open(), Watched::new(&file, open(), watcher));
        let watched: SharedSession = Arc::new(Mutex::new(watched));
        assert_eq!(watched.lock().inputs(), plain.lock().inputs());
        assert_eq!(watched.lock().outputs(), plain.lock().outputs());
        let features = Tensor::new([1, 4, 8], (0..32).map(|v| v as f32).collect());
        let face = Tensor::new([1, 3, 16, 16], vec![0.5; 768]);
        let inputs = [("features", &features), ("face", &face)];
        for run in 0..3 {
            let [made, same] = [&plain, &watched].map(|session| session.lock().run(&inputs, &["out"]));
            assert_eq!(made, same);
            assert_eq!(made.is_err(), run == 2);
        }
        let made = plain.lock().run(&inputs, &["out"]).unwrap();
        let expected = Run { file: &file, inputs: &inputs, outputs: &[("out", &made[0])] };
        assert_eq!(*seen.lock(), [format!("{expected:?}"), format!("{expected:?}")]);
    }
}
