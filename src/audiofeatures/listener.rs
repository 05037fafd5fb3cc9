// SPDX-License-Identifier: MPL-2.0
//! An encoder on a thread of its own, so that a flush or a state change never has to wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::graph::Graph;
use crate::runtime::RuntimeError;

/// How often a wait looks whether the thread still lives.
const LIFE_CHECK: Duration = Duration::from_millis(500);

/// What became of a window.
pub enum Outcome {
    Heard(Vec<f32>),
    Failed(RuntimeError),
    /// [`Listener::cancel`] or [`Listener::abort`] was called.
    Aborted,
}

/// A thread that runs a [`Graph`]. Dropping the listener lets the thread end by itself after its current window.
pub struct Listener {
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

/// Where the two threads meet.
#[derive(Default)]
struct Desk {
    papers: Mutex<Papers>,
    changed: Condvar,
}

#[derive(Default)]
struct Papers {
    /// Number of the last window that was handed in.
    ticket: u64,
    window: Option<Vec<f32>>,
    answer: Option<(u64, Result<Vec<f32>, RuntimeError>)>,
    /// Nobody waits for this window or an earlier one any more.
    cancelled: u64,
    aborting: bool,
    closed: bool,
}

impl Listener {
    pub fn start(graph: Graph) -> std::io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let own = desk.clone();
        let thread = thread::Builder::new().name("audiofeatures-encoder".into()).spawn(move || own.work(&graph))?;
        Ok(Self { desk, thread })
    }

    /// Has the encoder hear `window` and waits for what it says.
    pub fn hear(&self, window: Vec<f32>) -> Outcome {
        let mut papers = self.desk.papers.lock();
        if papers.aborting {
            return Outcome::Aborted;
        }
        papers.ticket += 1;
        let ticket = papers.ticket;
        papers.window = Some(window);
        papers.answer = None;
        self.desk.changed.notify_all();
        loop {
            if papers.aborting || papers.cancelled >= ticket {
                papers.window = None;
                return Outcome::Aborted;
            }
            match papers.answer.take() {
                Some((answered, Ok(answers))) if answered == ticket => return Outcome::Heard(answers),
                Some((answered, Err(error))) if answered == ticket => return Outcome::Failed(error),
                // To a window that was given up.
                _ => {}
            }
            if self.thread.is_finished() {
                return Outcome::Failed(RuntimeError("the encoder's thread has died".into()));
            }
            self.desk.changed.wait_for(&mut papers, LIFE_CHECK);
        }
    }

    /// Makes the current [`Listener::hear`] return at once.
    pub fn cancel(&self) {
        let mut papers = self.desk.papers.lock();
        papers.cancelled = papers.ticket;
        self.desk.changed.notify_all();
    }

    /// Makes the current and every further [`Listener::hear`] return at once, until [`Listener::resume`].
    pub fn abort(&self) {
        self.desk.papers.lock().aborting = true;
        self.desk.changed.notify_all();
    }

    pub fn resume(&self) {
        self.desk.papers.lock().aborting = false;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.desk.papers.lock().closed = true;
        self.desk.changed.notify_all();
    }
}

impl Desk {
    fn work(&self, graph: &Graph) {
        loop {
            let (ticket, window) = {
                let mut papers = self.papers.lock();
                loop {
                    if papers.closed {
                        return;
                    }
                    if let Some(window) = papers.window.take() {
                        break (papers.ticket, window);
                    }
                    self.changed.wait(&mut papers);
                }
            };
            let answer = catch_unwind(AssertUnwindSafe(|| graph.run(window)))
                .unwrap_or_else(|_| Err(RuntimeError("the encoder panicked".into())));
            self.papers.lock().answer = Some((ticket, answer));
            self.changed.notify_all();
        }
    }
}
