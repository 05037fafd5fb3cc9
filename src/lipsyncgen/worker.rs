// SPDX-License-Identifier: MPL-2.0
//! Inference on a thread of its own, so that a flush or a state change never has to wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::generator::Generator;
use super::tensors::FaceInput;
use crate::face_meta::Generated;
use crate::runtime::RuntimeError;

struct Job {
    faces: Vec<FaceInput>,
    reply: Sender<Reply>,
    /// Nobody waits for the result any more.
    cancelled: Arc<AtomicBool>,
}

enum Reply {
    Done(Result<Vec<Generated>, RuntimeError>, Duration),
    Aborted,
}

/// What became of a request.
pub enum Outcome {
    /// One result per face, and how long the graphs ran.
    Done(Vec<Generated>, Duration),
    Failed(RuntimeError),
    /// Not done by the deadline; the result will be thrown away.
    Late,
    /// [`Worker::abort`] was called.
    Aborted,
}

/// Jobs that may be unfinished when a request with a deadline comes: one that runs late and one behind it.
const BACKLOG: usize = 2;

/// How often a wait without a deadline looks whether the thread still lives.
const LIFE_CHECK: Duration = Duration::from_millis(500);

/// A thread that runs a [`Generator`]. Dropping the worker lets the thread end by itself after its current job.
pub struct Worker {
    jobs: Sender<Job>,
    unfinished: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    reply: Option<Sender<Reply>>,
    aborting: bool,
}

impl Worker {
    pub fn start(generator: Arc<Generator>) -> std::io::Result<Self> {
        let (jobs, receiver) = channel::<Job>();
        let unfinished = Arc::new(AtomicUsize::new(0));
        let finished = unfinished.clone();
        let thread = thread::Builder::new().name("lipsyncgen-infer".into()).spawn(move || {
            while let Ok(job) = receiver.recv() {
                if job.cancelled.load(Ordering::Acquire) {
                    finished.fetch_sub(1, Ordering::AcqRel);
                    continue;
                }
                let start = Instant::now();
                let result = catch_unwind(AssertUnwindSafe(|| generator.run(&job.faces)))
                    .unwrap_or_else(|_| Err(RuntimeError("the generator panicked".into())));
                finished.fetch_sub(1, Ordering::AcqRel);
                // Nobody waits any more where the request was aborted or late.
                let _ = job.reply.send(Reply::Done(result, start.elapsed()));
            }
        })?;
        Ok(Self { jobs, unfinished, thread, waiting: Mutex::default() })
    }

    /// Runs the graphs on `faces` and waits for the result, at most until `deadline` where there is one.
    pub fn run(&self, faces: Vec<FaceInput>, deadline: Option<Instant>) -> Outcome {
        let too_late =
            |deadline: Instant| deadline <= Instant::now() || self.unfinished.load(Ordering::Acquire) >= BACKLOG;
        if deadline.is_some_and(too_late) {
            return Outcome::Late;
        }
        let expected = faces.len();
        let (reply, replies) = channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.aborting {
                return Outcome::Aborted;
            }
            waiting.reply = Some(reply.clone());
        }
        self.unfinished.fetch_add(1, Ordering::AcqRel);
        let cancelled = Arc::new(AtomicBool::new(false));
        let received = match self.jobs.send(Job { faces, reply, cancelled: cancelled.clone() }) {
            Ok(()) => loop {
                let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
                match replies.recv_timeout(left.unwrap_or(LIFE_CHECK).min(LIFE_CHECK)) {
                    Err(RecvTimeoutError::Timeout) if left.is_some_and(|left| left <= LIFE_CHECK) => {
                        break Err(RecvTimeoutError::Timeout);
                    }
                    Err(RecvTimeoutError::Timeout) if self.thread.is_finished() => {
                        break Err(RecvTimeoutError::Disconnected);
                    }
                    Err(RecvTimeoutError::Timeout) => continue,
                    other => break other,
                }
            },
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        self.waiting.lock().reply = None;
        cancelled.store(true, Ordering::Release);
        match received {
            Ok(Reply::Done(Ok(made), _)) if made.len() != expected => {
                Outcome::Failed(RuntimeError(format!("{} results for {expected} faces", made.len())))
            }
            Ok(Reply::Done(Ok(made), took)) => Outcome::Done(made, took),
            Ok(Reply::Done(Err(error), _)) => Outcome::Failed(error),
            Ok(Reply::Aborted) => Outcome::Aborted,
            Err(RecvTimeoutError::Timeout) => Outcome::Late,
            Err(RecvTimeoutError::Disconnected) => {
                Outcome::Failed(RuntimeError("the generator's thread has died".into()))
            }
        }
    }

    /// Makes the current and every further [`Worker::run`] return at once, until [`Worker::resume`].
    pub fn abort(&self) {
        let mut waiting = self.waiting.lock();
        waiting.aborting = true;
        if let Some(reply) = waiting.reply.take() {
            let _ = reply.send(Reply::Aborted);
        }
    }

    pub fn resume(&self) {
        self.waiting.lock().aborting = false;
    }
}
