// SPDX-License-Identifier: MPL-2.0
//! CPU time of the process and of its threads, seconds.

use std::collections::BTreeMap;
use std::fs;

/// User + system time of all threads.
pub fn process() -> f64 {
    time(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// User + system time of this thread.
pub fn thread() -> f64 {
    time(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn time(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for the call; both clocks exist since Linux 2.6.12.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The CPU time of every living thread, added up by name (the kernel's, 15 characters).
pub fn threads() -> BTreeMap<String, f64> {
    let mut times = BTreeMap::new();
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return times };
    for task in tasks.filter_map(Result::ok) {
        // A thread may end while it is looked at.
        let read = |file: &str| fs::read_to_string(task.path().join(file)).ok();
        let nanoseconds = |text: String| text.split_whitespace().next()?.parse::<f64>().ok();
        if let (Some(name), Some(time)) = (read("comm"), read("schedstat").and_then(nanoseconds)) {
            *times.entry(name.trim().to_string()).or_default() += time * 1e-9;
        }
    }
    times
}

pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
