// SPDX-License-Identifier: MPL-2.0
//! SeetaFace on a thread of its own (its detector cannot be sent from one thread to another).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use gst::glib;
use rustface::ImageData;

use super::CAT;
use crate::geometry::Rect;
use crate::pixels::GrayImage;
use crate::runtime::{Aside, Cancel, Outcome};

/// The one model there is, `seeta_fd_frontal_v1.0.bin`. The library takes places in memory and sizes from it as they are, so
/// another file could make it read anything.
const MODEL_BYTES: u64 = 1_209_904;
const MODEL_SHA256: &str = "c4619d066ed35e84d9a8e842860b0dff567aba0cbb139881075538761db3ff5d";

/// The smallest face that is found, px of the picture that the detector gets.
pub const MIN_FACE: usize = 40;

/// The library's own choice: lower finds more faces that are none.
const SCORE_THRESHOLD: f64 = 2.0;

/// A detection takes some 10 ms; only a broken detector takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running detector.
pub struct Seeta {
    /// No picture: whether the model could be read.
    thread: Aside<Option<GrayImage>, Result<Vec<Rect>, String>>,
    cancel: Cancel,
}

impl Seeta {
    /// Opens SeetaFace's model. `cancel` ends a detection that is waited for. The error is for the user.
    pub fn open(file: &Path, cancel: &Cancel) -> Result<Self, String> {
        let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
        let size = std::fs::metadata(file).map_err(|e| fail(&e))?.len();
        let expected = "expected SeetaFace's own model, seeta_fd_frontal_v1.0.bin";
        if size != MODEL_BYTES {
            return Err(fail(&format!("{expected} of {MODEL_BYTES} bytes, found {size} bytes")));
        }
        let bytes = std::fs::read(file).map_err(|e| fail(&e))?;
        let found = glib::compute_checksum_for_data(glib::ChecksumType::Sha256, &bytes).unwrap_or_default();
        if found != MODEL_SHA256 {
            return Err(fail(&format!("{expected} with the SHA-256 {MODEL_SHA256}, found {found}")));
        }
        let thread = Aside::start("facecrop-detect", move || work(bytes)).map_err(|e| fail(&e))?;
        let detector = Self { thread, cancel: cancel.clone() };
        detector.ask(None).map_err(|e| fail(&e))?;
        Ok(detector)
    }

    /// Boxes in pixels of `image`, best first. Waits for the answer, though not forever.
    pub fn detect(&mut self, image: GrayImage) -> Result<Vec<Rect>, String> {
        if image.width < MIN_FACE || image.height < MIN_FACE {
            return Ok(Vec::new());
        }
        self.ask(Some(image))
    }

    fn ask(&self, image: Option<GrayImage>) -> Result<Vec<Rect>, String> {
        match self.thread.run(image, Some(Instant::now() + PATIENCE), || self.cancel.is_cancelled()) {
            Outcome::Done(answer, _) => answer,
            Outcome::Failed(error) => Err(format!("the face detector failed: {error}")),
            Outcome::Late => Err(format!("the face detector did not answer for {} s", PATIENCE.as_secs())),
            Outcome::Aborted => Err("the face detector was given up".into()),
        }
    }
}

/// Reads the model; what looks at pictures with it. The library panics on input that it does not expect.
fn work(model: Vec<u8>) -> impl FnMut(Option<GrayImage>) -> Result<Vec<Rect>, String> {
    let opened = catch_unwind(|| rustface::read_model(&model[..]).map(rustface::create_detector_with_model));
    let mut detector =
        opened.map_err(|_| "not a SeetaFace model".to_string()).and_then(|d| d.map_err(|e| e.to_string()));
    if let Ok(detector) = &mut detector {
        detector.set_score_thresh(SCORE_THRESHOLD);
    }
    move |image| {
        let detector = detector.as_mut().map_err(|e| e.clone())?;
        let Some(image) = image else { return Ok(Vec::new()) };
        let picture = ImageData::new(&image.data, image.width as u32, image.height as u32);
        let found = catch_unwind(AssertUnwindSafe(|| detector.detect(&picture)));
        let mut faces = found.unwrap_or_else(|_| {
            // One picture that it cannot look at is no reason to end the stream.
            gst::warning!(CAT, "SeetaFace failed on a picture of {} × {} pixels", image.width, image.height);
            Vec::new()
        });
        faces.sort_by(|a, b| b.score().total_cmp(&a.score()));
        let rect = |f: &rustface::FaceInfo| {
            let b = f.bbox();
            Rect::new(b.x() as f32, b.y() as f32, b.width() as f32, b.height() as f32)
        };
        Ok(faces.iter().map(rect).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_model_is_refused() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/seetaface/seeta_fd_frontal_v1.0.bin");
        let mut bytes = std::fs::read(file).unwrap();
        bytes[20] ^= 1;
        let other = std::env::temp_dir().join(format!("lipsync-seeta-{}.bin", std::process::id()));
        for (bytes, words) in [(&bytes[..], "with the SHA-256 c4619d06"), (&bytes[1..], "found 1209903 bytes")] {
            std::fs::write(&other, bytes).unwrap();
            let error = Seeta::open(&other, &Cancel::default()).err().unwrap();
            assert!(error.contains("expected SeetaFace's own model") && error.contains(words), "{error}");
        }
        std::fs::remove_file(other).unwrap();
    }

    #[test]
    fn pictures_without_a_face_and_tiny_ones_are_answered() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/seetaface/seeta_fd_frontal_v1.0.bin");
        let mut detector = Seeta::open(Path::new(file), &Cancel::default()).unwrap();
        for (width, height) in [(0, 0), (1, 1), (39, 300), (40, 40), (320, 41), (320, 180)] {
            let data = (0..width * height).map(|k| (k * 7 % 251) as u8).collect();
            assert_eq!(detector.detect(GrayImage { width, height, data }), Ok(Vec::new()));
        }
    }
}
