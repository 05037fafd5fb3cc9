// SPDX-License-Identifier: MPL-2.0
//! The sessions of a process, by file, device and options.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Options, RuntimeError, Session, SharedSession};

/// A session busy for that long is taken for hanging.
const HANGS: Duration = Duration::from_secs(5);

type Sessions = HashMap<(PathBuf, Options), Vec<Weak<Mutex<dyn Session>>>>;

static OPEN: Mutex<Option<Sessions>> = Mutex::new(None);

/// A session under this key: another one by `open` where there are fewer than `most`, else the one with the fewest users.
/// Opening holds the lock: a second pipeline that wants the same graph waits for the first one's instead of loading it again.
pub fn get_or_open(
    file: &Path,
    options: &Options,
    most: usize,
    open: impl FnOnce() -> Result<SharedSession, RuntimeError>,
) -> Result<SharedSession, RuntimeError> {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
    let mut guard = OPEN.lock();
    let sessions = guard.get_or_insert_default();
    sessions.retain(|_, open| {
        open.retain(|session| session.strong_count() > 0);
        !open.is_empty()
    });
    let open_already = sessions.entry((file, options.clone())).or_default();
    if open_already.len() >= most {
        open_already.sort_by_key(Weak::strong_count);
        // One that does not answer hangs in a run; a new one takes its place.
        let answers = |session: &SharedSession| session.try_lock_for(HANGS).is_some();
        if let Some(session) = open_already.iter().filter_map(Weak::upgrade).find(answers) {
            return Ok(session);
        }
    }
    let session = open()?;
    open_already.push(Arc::downgrade(&session));
    Ok(session)
}

/// Nobody else gets `session` from now on.
pub fn forget(session: &SharedSession) {
    for open in OPEN.lock().iter_mut().flat_map(HashMap::values_mut) {
        open.retain(|other| !std::ptr::addr_eq(other.as_ptr(), Arc::as_ptr(session)));
    }
}
