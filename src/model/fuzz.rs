// SPDX-License-Identifier: MPL-2.0
//! Fuzz target: a model's folder, filled by anybody.

use std::fs;
use std::path::PathBuf;

use super::Model;

/// What begins another file: the rest of its line is the name.
const SEPARATOR: &[u8] = b"\n--- ";

/// Files that a folder can have: what `SEPARATOR` names is one of them, so that names of anything else do no harm.
const NAMES: [&str; 7] =
    ["model.toml", "graph.toml", "other.toml", "mask.png", "detector.toml", "landmarks.toml", "sub/graph.toml"];

/// `data` is a `model.toml`, and behind it other files: a line of `---`, a space and a name, then what the file holds.
pub fn model(data: &[u8]) {
    let _ = gst::init();
    let folder = Folder::new();
    for (name, content) in files(data) {
        fs::write(folder.0.join(name), content).expect("a temporary folder can be written to");
    }
    match folder.0.to_str().map(Model::open) {
        Some(Ok(model)) => {
            crate::audiofeatures::fuzz::open(&model);
            crate::facecrop::fuzz::open(&model);
            crate::lipsyncgen::fuzz::open(&model);
            crate::facepaste::fuzz::open(&model);
            model.features_caps();
        }
        Some(Err(error)) => assert!(!error.to_string().is_empty() && !error.to_string().contains('\0')),
        None => {}
    }
    crate::facecrop::fuzz::open_detector(&folder.0);
}

fn files(data: &[u8]) -> Vec<(&'static str, &[u8])> {
    let mut files = Vec::new();
    let (mut name, mut rest) = (NAMES[0], data);
    loop {
        let end = rest.windows(SEPARATOR.len()).position(|bytes| bytes == SEPARATOR);
        files.push((name, &rest[..end.unwrap_or(rest.len())]));
        let Some(end) = end else { return files };
        rest = &rest[end + SEPARATOR.len()..];
        let line = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        name = NAMES.iter().find(|name| name.as_bytes() == &rest[..line]).unwrap_or(&NAMES[1]);
        rest = rest.get(line + 1..).unwrap_or(&[]);
    }
}

/// A folder that is gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("lipsync-fuzz-{}", std::process::id()));
        fs::create_dir_all(folder.join("sub")).expect("a temporary folder can be made");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
