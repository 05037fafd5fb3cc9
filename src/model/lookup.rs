// SPDX-License-Identifier: MPL-2.0
//! Where models are looked for.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gst::glib;

use super::ModelError;

/// Said wherever something could not be found.
const DATA_FOLDERS_HELP: &str = "set LIPSYNC_MODEL_PATH to the folder that holds the models' folders";

static PLUGIN_FILE: OnceLock<PathBuf> = OnceLock::new();

/// Remembers where the plugin was loaded from; models installed with it are found relative to that.
pub fn set_plugin_file(path: PathBuf) {
    PLUGIN_FILE.get_or_init(|| path);
}

/// The folder of the model called `spec`.
///
/// With a "/" it is a path. Otherwise it is looked up in the folders of `LIPSYNC_MODEL_PATH`, in `lipsync/models` of the
/// user's data folder, in `lipsync/models` beside the plugin's folder (where meson installs them), and, going up from the
/// plugin's file, in `models` of each parent.
pub fn find_folder(spec: &str) -> Result<PathBuf, ModelError> {
    if spec.contains('/') {
        let folder = PathBuf::from(spec);
        return if folder.is_dir() {
            Ok(folder)
        } else {
            Err(ModelError::NotFound(format!("model \"{spec}\": there is no such folder")))
        };
    }
    if spec.is_empty() || spec == "." || spec == ".." {
        return Err(ModelError::NotFound(format!("model \"{spec}\" is neither a name nor a folder's path")));
    }
    let roots = roots();
    match roots.iter().map(|root| root.join(spec)).find(|folder| folder.is_dir()) {
        Some(folder) => Ok(folder),
        None => Err(ModelError::NotFound(format!(
            "model \"{spec}\" was not found in {}; {DATA_FOLDERS_HELP}, or give the path of the model's folder",
            roots.iter().map(|r| r.display().to_string()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn roots() -> Vec<PathBuf> {
    let mut roots = Vec::new();
    if let Some(path) = std::env::var_os("LIPSYNC_MODEL_PATH") {
        roots.extend(std::env::split_paths(&path).filter(|p| !p.as_os_str().is_empty()));
    }
    roots.push(glib::user_data_dir().join("lipsync/models"));
    if let Some(folder) = plugin_folder() {
        roots.push(folder.join("../lipsync/models"));
        roots.extend(folder.ancestors().map(|parent| parent.join("models")).filter(|models| models.is_dir()));
    }
    roots
}

/// The folder of the plugin's file; where the plugin is linked into a program, the program's.
pub(crate) fn plugin_folder() -> Option<PathBuf> {
    let file = PLUGIN_FILE.get().cloned().or_else(|| std::env::current_exe().ok())?;
    file.canonicalize().unwrap_or(file).parent().map(Path::to_path_buf)
}
