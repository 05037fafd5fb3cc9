// SPDX-License-Identifier: MPL-2.0
//! Files of a folder that somebody else has filled.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;

/// Nobody writes a manifest this long; a larger file is something else.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Why a name in a folder is no file to read.
#[derive(Debug)]
pub enum Fault {
    /// It leads out of the folder, by itself or as a link.
    Outside,
    Missing(io::Error),
    /// A folder, a pipe or a device.
    NoFile,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Outside => f.write_str("leads out of the folder"),
            Self::Missing(e) => e.fmt(f),
            Self::NoFile => f.write_str("is no regular file"),
        }
    }
}

/// Where what is called `name` lies, which must be in `folder`, however deep, with all links followed.
pub fn inside(folder: &Path, name: &str) -> Result<PathBuf, Fault> {
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(Fault::Outside);
    }
    let [folder, path] = [folder, &folder.join(name)].map(|path| path.canonicalize().map_err(Fault::Missing));
    let (folder, path) = (folder?, path?);
    if path.starts_with(folder) { Ok(path) } else { Err(Fault::Outside) }
}

/// As [`inside`], of a regular file: nothing else has an end, or can be read without waiting.
pub fn file(folder: &Path, name: &str) -> Result<PathBuf, Fault> {
    let path = inside(folder, name)?;
    if fs::metadata(&path).map_err(Fault::Missing)?.is_file() { Ok(path) } else { Err(Fault::NoFile) }
}

/// What a regular file says in TOML. The error says what is wrong with it.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    // What it quotes may hold a NUL, which ends a text of GLib's.
    toml::from_str(&text(file)?).map_err(|e| e.to_string().replace('\0', "\u{fffd}"))
}

fn text(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    // Not by its size: that may change.
    let found = File::open(file).and_then(|file| file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes));
    match found.map_err(|e| e.to_string())? as u64 {
        0..=MAX_TEXT_BYTES => String::from_utf8(bytes).map_err(|e| e.to_string()),
        _ => Err(format!("expected at most {MAX_TEXT_BYTES} bytes of text, found more")),
    }
}
