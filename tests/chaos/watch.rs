// SPDX-License-Identifier: MPL-2.0
//! Ends the program with every thread's stack when nothing has moved for [`PATIENCE`], and notes what must never happen.

use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gst::glib;
use parking_lot::Mutex;

/// How long a call, or a stream that should flow, may stand still.
pub const PATIENCE: Duration = Duration::from_secs(10);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static LAST: AtomicU64 = AtomicU64::new(0);
static DOING: Mutex<String> = Mutex::new(String::new());
static NEVER: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What the test runtime says when it panics as it was told to.
const ORDERED: &str = "ordered to panic";

/// Something moves: a buffer, or the driver.
pub fn moved() {
    LAST.store(START.elapsed().as_millis() as u64, Ordering::Relaxed);
}

/// How long nothing has moved.
pub fn still() -> Duration {
    START.elapsed().saturating_sub(Duration::from_millis(LAST.load(Ordering::Relaxed)))
}

/// The driver begins something that must end within [`PATIENCE`]. `doing` is what to tell if it does not.
pub fn doing(doing: impl FnOnce(&mut String)) {
    doing(&mut DOING.lock());
    moved();
}

/// Panics and GLib's criticals and warnings since the last call.
pub fn never() -> Vec<String> {
    std::mem::take(&mut NEVER.lock())
}

pub fn start() {
    moved();
    glib::log_set_default_handler(|domain, level, text| {
        let text =
            format!("{} {level:?}: {text}\n{}", domain.unwrap_or(""), std::backtrace::Backtrace::force_capture());
        if matches!(level, glib::LogLevel::Error | glib::LogLevel::Critical | glib::LogLevel::Warning) {
            eprintln!("{}\n{text}", DOING.lock());
            NEVER.lock().push(text);
        }
    });
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        if !text.contains(ORDERED) {
            let text = format!("{text}\n{}", std::backtrace::Backtrace::force_capture());
            eprintln!("{text}");
            NEVER.lock().push(text);
        }
    }));
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(200));
            if still() > PATIENCE {
                eprintln!("{}\nnothing has moved for {PATIENCE:?}", DOING.lock());
                stacks();
                std::process::exit(1);
            }
        }
    });
}

/// Prints the stacks of all threads by gdb; without gdb, what the threads are called and wait for.
pub fn stacks() {
    let process = std::process::id();
    let mut gdb = Command::new("gdb");
    gdb.args([
        "-p",
        &process.to_string(),
        "-batch",
        "-ex",
        "set pagination off",
        "-ex",
        "thread apply all backtrace 40",
    ]);
    if gdb.stdout(std::io::stderr()).stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success()) {
        return;
    }
    for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        eprintln!("{} {} {}", thread.file_name().display(), read("comm").trim(), read("wchan"));
    }
}
