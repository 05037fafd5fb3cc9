// SPDX-License-Identifier: MPL-2.0
//! One session per file, device and options in a process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Options, RuntimeError, Session, SharedSession};

/// A session busy for that long is taken for hanging.
const HANGS: Duration = Duration::from_secs(5);

type Sessions = HashMap<(PathBuf, Options), Weak<Mutex<dyn Session>>>;

static OPEN: Mutex<Option<Sessions>> = Mutex::new(None);

/// The session under this key, opened by `open` where there is none. Opening holds the lock: a second pipeline that wants
/// the same graph waits for the first one's instead of loading it again.
pub fn get_or_open(
    file: &Path,
    options: &Options,
    open: impl FnOnce() -> Result<SharedSession, RuntimeError>,
) -> Result<SharedSession, RuntimeError> {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
    let mut guard = OPEN.lock();
    let sessions = guard.get_or_insert_default();
    sessions.retain(|_, session| session.strong_count() > 0);
    let key = (file, options.clone());
    if let Some(session) = sessions.get(&key).and_then(Weak::upgrade) {
        // One that does not answer hangs in a run; a new one takes its place.
        if session.try_lock_for(HANGS).is_some() {
            return Ok(session);
        }
    }
    let session = open()?;
    sessions.insert(key, Arc::downgrade(&session));
    Ok(session)
}
