// SPDX-License-Identifier: MPL-2.0
//! Work on a thread of its own: a graph may take long or never come back, and a flush or a state change must not wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::RuntimeError;

/// Says that whoever waits for an [`Aside`] should give up: an element flushes, or stops. The two come from different threads,
/// and the end of a flush must not undo a stop. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicU8>);

const FLUSHING: u8 = 1;
const STOPPED: u8 = 2;

impl Cancel {
    pub fn flush_start(&self) {
        self.0.fetch_or(FLUSHING, Ordering::AcqRel);
    }

    pub fn flush_stop(&self) {
        self.0.fetch_and(!FLUSHING, Ordering::AcqRel);
    }

    pub fn stop(&self) {
        self.0.fetch_or(STOPPED, Ordering::AcqRel);
    }

    /// After a stop nothing is left of a flush either.
    pub fn start(&self) {
        self.0.store(0, Ordering::Release);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

/// How often whoever waits looks whether it should go on, and whether the thread still lives.
const LOOK: Duration = Duration::from_millis(20);

/// What became of a job.
pub enum Outcome<A> {
    /// The answer, and how long the work took.
    Done(A, Duration),
    Failed(RuntimeError),
    /// Not done by the deadline; the answer will be thrown away.
    Late,
    /// Given up; the answer will be thrown away.
    Aborted,
}

/// A thread that turns one job after the other into an answer. Dropping this lets it end by itself, after its current job.
pub struct Aside<J, A> {
    desk: Arc<Desk<J, A>>,
    thread: JoinHandle<()>,
}

/// Where the two threads meet.
struct Desk<J, A> {
    papers: Mutex<Papers<J, A>>,
    changed: Condvar,
}

struct Papers<J, A> {
    /// Number of the last job that was handed in.
    ticket: u64,
    job: Option<J>,
    /// Of the job that the thread is at.
    busy: Option<(u64, Instant)>,
    answer: Option<(u64, Outcome<A>)>,
    /// A job with a deadline was given up behind the one that the thread is at.
    behind: bool,
    closed: bool,
}

impl<J: Send + 'static, A: Send + 'static> Aside<J, A> {
    /// Starts the thread. `make` runs on it, and makes what does the work.
    pub fn start<W: FnMut(J) -> A>(name: &str, make: impl FnOnce() -> W + Send + 'static) -> std::io::Result<Self> {
        let papers = Papers { ticket: 0, job: None, busy: None, answer: None, behind: false, closed: false };
        let desk = Arc::new(Desk { papers: Mutex::new(papers), changed: Condvar::new() });
        let own = desk.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || own.work(make()))?;
        Ok(Self { desk, thread })
    }

    /// How long the thread has been at what it is doing; `None` where it waits for a job.
    pub fn busy(&self) -> Option<Duration> {
        self.desk.papers.lock().busy.map(|(_, since)| since.elapsed())
    }

    /// Has `job` done and waits for the answer: until `deadline` where there is one, and as long as it is not `given_up`.
    pub fn run(&self, job: J, deadline: Option<Instant>, given_up: impl Fn() -> bool) -> Outcome<A> {
        if given_up() {
            return Outcome::Aborted;
        }
        let mut papers = self.desk.papers.lock();
        // Behind a job that is late, one may wait; the next ones would only be late as well.
        if deadline.is_some_and(|deadline| deadline <= Instant::now() || papers.behind && papers.busy.is_some()) {
            return Outcome::Late;
        }
        papers.ticket += 1;
        let ticket = papers.ticket;
        papers.job = Some(job);
        papers.answer = None;
        papers.behind = false;
        self.desk.changed.notify_all();
        loop {
            if let Some((_, answer)) = papers.answer.take_if(|(answered, _)| *answered == ticket) {
                return answer;
            }
            let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if late || given_up() {
                papers.behind = papers.job.take().is_some() && late;
                return if late { Outcome::Late } else { Outcome::Aborted };
            }
            if self.thread.is_finished() {
                return Outcome::Failed(RuntimeError("its thread has died".into()));
            }
            let left = deadline.map_or(LOOK, |deadline| deadline.saturating_duration_since(Instant::now()).min(LOOK));
            self.desk.changed.wait_for(&mut papers, left);
        }
    }
}

impl<J, A> Drop for Aside<J, A> {
    fn drop(&mut self) {
        self.desk.papers.lock().closed = true;
        self.desk.changed.notify_all();
    }
}

impl<J, A> Desk<J, A> {
    fn work(&self, mut work: impl FnMut(J) -> A) {
        while let Some((ticket, job)) = self.next() {
            let start = Instant::now();
            let answer = match catch_unwind(AssertUnwindSafe(|| work(job))) {
                Ok(answer) => Outcome::Done(answer, start.elapsed()),
                Err(_) => Outcome::Failed(RuntimeError("it panicked".into())),
            };
            let mut papers = self.papers.lock();
            papers.busy = None;
            papers.answer = Some((ticket, answer));
            drop(papers);
            self.changed.notify_all();
        }
    }

    /// Waits for a job; `None`: there will be no more.
    fn next(&self) -> Option<(u64, J)> {
        let mut papers = self.papers.lock();
        loop {
            if papers.closed {
                return None;
            }
            if let Some(job) = papers.job.take() {
                papers.busy = Some((papers.ticket, Instant::now()));
                return Some((papers.ticket, job));
            }
            self.changed.wait(&mut papers);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Answers each number with its double; 13 panics, and 0 waits until the channel says so.
    fn doubler(wait: Receiver<()>) -> Aside<u32, u32> {
        Aside::start("doubler", move || {
            move |n: u32| {
                assert!(n != 13, "unlucky");
                if n == 0 {
                    let _ = wait.recv();
                }
                2 * n
            }
        })
        .unwrap()
    }

    fn answer(outcome: Outcome<u32>) -> Result<u32, String> {
        match outcome {
            Outcome::Done(answer, _) => Ok(answer),
            Outcome::Failed(error) => Err(error.0),
            Outcome::Late => Err("late".into()),
            Outcome::Aborted => Err("aborted".into()),
        }
    }

    #[test]
    fn jobs_are_answered_and_a_panic_is_an_error() {
        let aside = doubler(channel().1);
        let run = |n| answer(aside.run(n, None, || false));
        assert_eq!([run(1), run(13), run(2)], [Ok(2), Err("it panicked".into()), Ok(4)]);
    }

    #[test]
    fn whoever_waits_may_give_up() {
        let (go_on, wait) = channel();
        let aside = doubler(wait);
        let cancel = Cancel::default();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| answer(aside.run(0, None, || cancel.is_cancelled())));
            thread::sleep(2 * LOOK);
            assert!(!waiting.is_finished());
            cancel.stop();
            assert_eq!(waiting.join().unwrap(), Err("aborted".into()));
        });
        assert_eq!(answer(aside.run(1, None, || true)), Err("aborted".into()));
        // The thread is still at the old job; its answer is nobody's.
        go_on.send(()).unwrap();
        assert_eq!(answer(aside.run(3, None, || false)), Ok(6));
    }

    #[test]
    fn the_end_of_a_flush_does_not_undo_a_stop() {
        let cancel = Cancel::default();
        cancel.flush_start();
        cancel.stop();
        cancel.flush_stop();
        assert!(cancel.is_cancelled());
        cancel.flush_start();
        cancel.start();
        assert!(!cancel.is_cancelled());
    }

    #[test]
    fn behind_a_late_job_one_may_wait() {
        let (go_on, wait) = channel();
        let aside = doubler(wait);
        let soon = || Some(Instant::now() + 2 * LOOK);
        let run = |n| answer(aside.run(n, soon(), || false));
        assert_eq!([run(0), run(1)], ["late", "late"].map(|late| Err(late.into())));
        // At once now.
        let far = Some(Instant::now() + Duration::from_secs(3600));
        assert_eq!(answer(aside.run(2, far, || false)), Err("late".into()));
        go_on.send(()).unwrap();
        while aside.desk.papers.lock().busy.is_some() {
            thread::sleep(LOOK);
        }
        assert_eq!(answer(aside.run(4, far, || false)), Ok(8));
        assert_eq!(answer(aside.run(5, Some(Instant::now()), || false)), Err("late".into()));
    }
}
