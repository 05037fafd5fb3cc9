// SPDX-License-Identifier: MPL-2.0
//! Graphs as ONNX Runtime optimised them, kept in the user's cache folder.
//!
//! Optimising a graph as large as Wav2Lip's takes a tenth of a second and 70 MB, which the process keeps; what was optimised
//! once is loaded without either.

use std::fmt::Display;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use gst::glib;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("lipsync-graphs", gst::DebugColorFlags::empty(), Some("Optimised graphs"))
});

/// Bytes of a graph that is worth it: smaller ones are optimised at once, and nobody expects copies of larger ones.
const SIZES: RangeInclusive<u64> = 4 << 20..=256 << 20;

/// What nobody used for so long is removed.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where the optimised form of a graph is, or will be.
pub struct Optimized {
    folder: PathBuf,
    /// Its file's name begins with the graph, the runtime and the processor, …
    whose: String,
    /// … and goes on with the graph's state.
    name: String,
}

impl Optimized {
    /// That of the graph in `file`, by the ONNX Runtime that calls itself `runtime`, on this processor; `None` where none is kept.
    pub fn of(file: &Path, runtime: &str) -> Option<Self> {
        Self::within(glib::user_cache_dir().join("lipsync").join("graphs"), file, runtime, SIZES)
    }

    fn within(folder: PathBuf, file: &Path, runtime: &str, sizes: RangeInclusive<u64>) -> Option<Self> {
        let file = file.canonicalize().ok()?;
        let state = fs::metadata(&file).ok()?;
        if !sizes.contains(&state.len()) || file.extension()? != "onnx" {
            return None;
        }
        let whose = hash(&(&file, runtime, processor()));
        let name = format!("{whose}-{}.onnx", hash(&(state.len(), state.modified().ok()?)));
        Some(Self { folder, whose, name })
    }

    /// Opens it by `load`, after `save` has made the file if it is not there. `None` where one of them fails, and the reason is
    /// in the log: then nothing is kept, as where the folder cannot be written.
    pub fn open<T, E: Display>(
        &self,
        load: impl Fn(&Path) -> Result<T, E>,
        save: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Option<T> {
        let path = self.folder.join(&self.name);
        if let Ok(file) = File::open(&path) {
            match load(&path) {
                Ok(opened) => {
                    let _ = file.set_modified(SystemTime::now());
                    return Some(opened);
                }
                Err(e) => log(&path, &e),
            }
        }
        // Others may be at the same: a file under its own name is a whole one.
        let beginning = self.folder.join(format!("{}.{}", self.name, std::process::id()));
        let kept = fs::create_dir_all(&self.folder).map_err(|e| log(&self.folder, &e)).and_then(|()| {
            save(&beginning).map_err(|e| log(&beginning, &e))?;
            fs::rename(&beginning, &path).map_err(|e| log(&path, &e))
        });
        let opened = kept.and_then(|()| load(&path).map_err(|e| log(&path, &e)));
        if opened.is_err() {
            let _ = fs::remove_file(&beginning);
            let _ = fs::remove_file(&path);
        }
        self.tidy();
        opened.ok()
    }

    /// Removes the same graph's earlier states, and what was not used for long.
    fn tidy(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let earlier = name.starts_with(&self.whose) && name.ends_with(".onnx") && *name != self.name;
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|used| used.elapsed().ok());
            if earlier || age.is_some_and(|age| age > FORGOTTEN) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn log(path: &Path, error: &dyn Display) {
    gst::info!(CAT, "no optimised graph is kept in {}: {error}", path.display());
}

fn hash(of: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What ONNX Runtime lays a graph out for.
fn processor() -> [bool; 4] {
    #[cfg(target_arch = "x86_64")]
    return [
        std::arch::is_x86_feature_detected!("avx2"),
        std::arch::is_x86_feature_detected!("avx512f"),
        std::arch::is_x86_feature_detected!("avx512vnni"),
        std::arch::is_x86_feature_detected!("avxvnni"),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    [cfg!(target_arch = "aarch64"), false, false, false]
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A graph and a folder for what is made of it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let place = std::env::temp_dir().join(format!("lipsync-optimized-{}-{name}", std::process::id()));
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("x.onnx"), "graph").unwrap();
            Self(place)
        }

        fn kept(&self) -> Optimized {
            Optimized::within(self.0.join("kept"), &self.0.join("x.onnx"), "1", 1..=9).unwrap()
        }

        /// What was loaded, and how often it was saved.
        fn open(&self) -> (Option<String>, u32) {
            let saved = Cell::new(0);
            let save = |to: &Path| {
                saved.set(saved.get() + 1);
                fs::write(to, "optimised")
            };
            let load = |from: &Path| {
                fs::read_to_string(from).and_then(|text| match text.as_str() {
                    "optimised" => Ok(text),
                    _ => Err(std::io::Error::other("broken")),
                })
            };
            (self.kept().open(load, save), saved.get())
        }

        fn files(&self) -> Vec<PathBuf> {
            fs::read_dir(self.0.join("kept")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn it_is_made_once_for_each_state_of_a_graph() {
        let place = Place::new("once");
        let done = Some("optimised".to_string());
        assert_eq!([place.open(), place.open()], [(done.clone(), 1), (done.clone(), 0)]);
        fs::write(place.0.join("x.onnx"), "another").unwrap();
        assert_eq!([place.open(), place.open()], [(done.clone(), 1), (done.clone(), 0)]);
        assert_eq!(place.files().len(), 1);
        fs::write(&place.files()[0], "garbage").unwrap();
        assert_eq!([place.open(), place.open()], [(done.clone(), 1), (done, 0)]);
    }

    #[test]
    fn what_cannot_be_kept_is_not() {
        let place = Place::new("not");
        let fail = |_: &Path| Err::<(), _>("full");
        assert_eq!(
            place.kept().open(fail, |to| {
                fs::write(to, "half").unwrap();
                Err("full")
            }),
            None
        );
        assert_eq!(
            place.kept().open(fail, |to| {
                fs::write(to, "whole").unwrap();
                Ok(())
            }),
            None
        );
        assert!(place.files().is_empty());
        fs::remove_dir(place.0.join("kept")).unwrap();
        fs::write(place.0.join("kept"), "no folder").unwrap();
        assert_eq!(place.open(), (None, 0));
        let of = |name, sizes| Optimized::within(place.0.clone(), &place.0.join(name), "1", sizes).is_some();
        fs::write(place.0.join("x.ort"), "graph").unwrap();
        assert_eq!(
            [of("x.onnx", 1..=9), of("x.onnx", 6..=9), of("x.ort", 1..=9), of("y.onnx", 1..=9)],
            [true, false, false, false]
        );
    }

    #[test]
    fn what_nobody_used_for_long_goes() {
        let place = Place::new("old");
        fs::create_dir_all(place.0.join("kept")).unwrap();
        for (name, days) in [("a.onnx", 40), ("b.onnx", 10)] {
            let file = File::create(place.0.join("kept").join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60)).unwrap();
        }
        place.open();
        let mut names: Vec<_> = place.files().iter().filter_map(|file| Some(file.file_name()?.to_owned())).collect();
        names.sort_by_key(|name| name != "b.onnx");
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(names[0], "b.onnx");
    }
}
