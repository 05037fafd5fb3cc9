// SPDX-License-Identifier: MPL-2.0
//! Random pipelines of the elements, and random things done to them: nothing may hang, panic, complain of misuse, or lose or
//! reorder a buffer between flushes.
//!
//! `cargo test --features test-runtime --test chaos -- --pipelines 300 --operations 40 --seed 1`
//!
//! Each pipeline has a seed of its own, which is printed where something is wrong: `--seed` that one with `--pipelines 1` does
//! the same again, as far as threads let it. `--verbose` tells every operation. Where nothing moves for ten seconds, the stacks
//! of all threads are printed (by gdb, where it is installed). With `GST_TRACERS=leaks` it is also checked that no more objects
//! are alive in the end than half-way.

#[path = "../common/leaks.rs"]
mod leaks;
mod ledger;
mod operations;
mod plan;
mod subject;
mod watch;

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use gst::State;
use gst::prelude::*;

use self::plan::Plan;
use self::subject::Subject;

struct Options {
    pipelines: u64,
    operations: u64,
    seed: u64,
    verbose: bool,
}

/// `None` where other tests are meant.
fn options() -> Option<Options> {
    let mut options = Options { pipelines: 8, operations: 30, seed: 1, verbose: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number =
            || words.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{word} needs a number"));
        match &*word {
            "--pipelines" => options.pipelines = number(),
            "--operations" => options.operations = number(),
            "--seed" => options.seed = number(),
            "--verbose" => options.verbose = true,
            // The names of tests that cargo was asked for.
            filter if !filter.starts_with('-') && !"chaos".contains(filter) => return None,
            _ => {}
        }
    }
    Some(options)
}

fn main() {
    let Some(options) = options() else { return };
    gst::init().expect("GStreamer starts");
    gstlipsync::plugin_register_static().expect("the plugin registers");
    watch::start();
    let mut wrong = Vec::new();
    let (mut frames, mut operations) = (0, 0);
    // Some things are made once and stay: after the first pipelines all of them are there.
    let mut before = None;
    for seed in options.seed..options.seed + options.pipelines {
        match run(seed, &options) {
            Ok(left) => frames += left,
            Err(what) => {
                eprintln!("{what}\n");
                wrong.push(seed);
            }
        }
        operations += options.operations;
        if seed == options.seed + options.pipelines / 2 {
            before = leaks::alive();
        }
    }
    println!("chaos: {} pipelines, {operations} operations, {frames} frames left", options.pipelines);
    let mut good = wrong.is_empty();
    if !good {
        eprintln!("chaos: {} pipelines failed, of the seeds {wrong:?}", wrong.len());
    }
    if let (Some(before), Some(mut after)) = (before, leaks::alive()) {
        let more = |(name, alive): &(&String, &Vec<String>)| alive.len() > before.get(*name).map_or(0, Vec::len);
        // A stopped streaming thread lets go of its task a moment after whoever waited for it goes on.
        for _ in 0..20 {
            if !after.iter().any(|kind| more(&kind)) {
                break;
            }
            thread::sleep(Duration::from_millis(100));
            after = leaks::alive().unwrap_or_default();
        }
        for (name, alive) in &after {
            println!("chaos: alive in the end, by the leaks tracer: {} × {name}", alive.len());
            if more(&(name, alive)) {
                good = false;
                eprintln!("chaos: which is more than half-way:\n{}", alive.join("\n"));
            }
        }
    }
    std::process::exit(i32::from(!good));
}

/// One pipeline from its start to its end. Returns how many frames left it.
fn run(seed: u64, options: &Options) -> Result<u64, String> {
    let mut rng = Rng::with_seed(seed);
    let root = env!("CARGO_MANIFEST_DIR");
    let model = if seed.is_multiple_of(2) { "flash" } else { "flash-memory" };
    let plan = Plan::new(&mut rng, &format!("{root}/tests/models/{model}"), &format!("{root}/docs/demo.jpg"));
    let mut story = format!("seed {seed}: {}", plan.text);
    if options.verbose {
        eprintln!("{story}");
    }
    watch::doing(|doing| doing.clone_from(&story));
    let told = |what: String| format!("{what}\nseed {seed}");
    let mut subject = Subject::new(plan).map_err(told)?;
    subject.set_state(
        *rng.choice([State::Playing, State::Playing, State::Paused, State::Ready]).as_ref().unwrap_or(&State::Playing),
    );
    let mut result = Ok(());
    for k in 0..options.operations {
        let mut tell = |what: String| {
            let _ = write!(story, "\n  {k}: {what}");
            if options.verbose {
                eprintln!("  {k}: {what}");
            }
            watch::doing(|doing| doing.clone_from(&story));
        };
        operations::operate(&mut subject, &mut rng, &mut tell);
        subject.tell_latency();
        result = verdict(&mut subject);
        if result.is_err() {
            break;
        }
    }
    let _ = write!(story, "\n  the end");
    watch::doing(|doing| doing.clone_from(&story));
    let result = result.and_then(|()| finish(&mut subject));
    subject.set_state(State::Null);
    watch::moved();
    let result = result.and_then(|()| verdict(&mut subject));
    result.map(|()| subject.picture.left()).map_err(|what| format!("{story}\n{what}"))
}

/// What is wrong so far.
fn verdict(subject: &mut Subject) -> Result<(), String> {
    let never = watch::never();
    if !never.is_empty() {
        return Err(never.join("\n"));
    }
    let unlinked = subject.failed_links.lock().join("\n");
    if !unlinked.is_empty() {
        return Err(unlinked);
    }
    let errors = subject.said.errors.lock().join("\n");
    let faults: Vec<String> = subject.ledgers().flat_map(|ledger| ledger.faults()).collect();
    // An error ends the stream, wherever it is.
    if !faults.is_empty() && errors.is_empty() {
        return Err(faults.join("\n"));
    }
    if !errors.is_empty() && !subject.provoked && !subject.plan.may_fail {
        return Err(format!("an error that nothing explains: {errors}"));
    }
    if let Some(stalled) = &*subject.said.stalled.lock()
        && !subject.plan.may_stall
        && !subject.plan.may_hang
    {
        return Err(format!("a stall that nothing explains: {stalled}"));
    }
    Ok(())
}

/// Lets the pipeline run to its end, undisturbed. After an error, it must work again from READY on.
fn finish(subject: &mut Subject) -> Result<(), String> {
    for brake in ["picture-brake", "sound-brake", "seen-brake"] {
        if let Some(brake) = subject.pipeline.by_name(brake) {
            brake.set_property("sleep-time", 0u32);
        }
    }
    for sink in ["seen", "played"] {
        // Queues may hold half a minute.
        if let Some(sink) = subject.pipeline.by_name(sink) {
            sink.set_property("sync", false);
        }
    }
    subject.switches.iter().for_each(|switch| switch.lock().gaps = 0);
    let failed = !subject.said.errors.lock().is_empty();
    if failed || subject.provoked || subject.has_ended() {
        subject.set_state(State::Ready);
        if failed {
            subject.ledgers().for_each(|ledger| ledger.excuse());
        }
        subject.said.errors.lock().clear();
        subject.provoked = false;
    }
    let before = subject.picture.left();
    subject.set_state(State::Playing);
    wait(subject, "no frame leaves", |subject| subject.picture.left() > before)?;
    if subject.plan.endless {
        return Ok(());
    }
    for which in &subject.switches {
        which.lock().ends = true;
    }
    wait(subject, "the end does not come", |_| false)
}

/// Waits until the stream has ended, has failed or stalled as it may, or `done`.
fn wait(subject: &mut Subject, what: &str, done: impl Fn(&Subject) -> bool) -> Result<(), String> {
    let start = Instant::now();
    loop {
        subject.tell_latency();
        verdict(subject)?;
        let excused = subject.plan.may_fail && !subject.said.errors.lock().is_empty();
        let stalled = subject.said.stalled.lock().is_some();
        if done(subject) || subject.said.ended.load(Ordering::Relaxed) || excused || stalled {
            return Ok(());
        }
        // A little before the watch ends it all. What moves may be the other stream.
        if watch::still() + Duration::from_secs(1) > watch::PATIENCE || start.elapsed() > 6 * watch::PATIENCE {
            watch::moved();
            watch::stacks();
            watch::moved();
            return Err(format!("{what}; errors: {:?}", subject.said.errors.lock()));
        }
        thread::sleep(Duration::from_millis(10));
    }
}
