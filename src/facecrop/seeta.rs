// SPDX-License-Identifier: MPL-2.0
//! SeetaFace on a thread of its own (its detector cannot be sent from one thread to another).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gst::glib;
use rustface::ImageData;

use super::CAT;
use crate::geometry::Rect;
use crate::pixels::GrayImage;

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

/// A running detector. Dropping it ends its thread.
pub struct Seeta {
    requests: Option<SyncSender<GrayImage>>,
    answers: Receiver<Result<Vec<Rect>, String>>,
    thread: Option<JoinHandle<()>>,
}

impl Seeta {
    /// Opens SeetaFace's model. The error is for the user.
    pub fn open(file: &Path) -> Result<Self, String> {
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
        let (requests, queue) = sync_channel::<GrayImage>(1);
        let (reply, answers) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("facecrop-detect".into())
            .spawn(move || work(&bytes, &queue, &reply))
            .map_err(|e| fail(&e))?;
        let mut detector = Self { requests: Some(requests), answers, thread: Some(thread) };
        // The first answer says whether the model could be read.
        detector.answer().map_err(|e| fail(&e))?;
        Ok(detector)
    }

    /// Boxes in pixels of `image`, best first. Waits for the answer, though not forever.
    pub fn detect(&mut self, image: GrayImage) -> Result<Vec<Rect>, String> {
        if image.width < MIN_FACE || image.height < MIN_FACE {
            return Ok(Vec::new());
        }
        // A thread that is gone is noticed at the answer.
        let _ = self.requests.as_ref().map(|requests| requests.send(image));
        self.answer()
    }

    fn answer(&mut self) -> Result<Vec<Rect>, String> {
        self.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            // Not waited for any more: it may never end.
            (self.requests, self.thread) = (None, None);
            Err(match error {
                RecvTimeoutError::Timeout => format!("the face detector did not answer for {} s", PATIENCE.as_secs()),
                RecvTimeoutError::Disconnected => "the face detector's thread has ended".into(),
            })
        })
    }
}

impl Drop for Seeta {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(model: &[u8], queue: &Receiver<GrayImage>, reply: &SyncSender<Result<Vec<Rect>, String>>) {
    // The library panics on input that it does not expect.
    let opened = catch_unwind(|| rustface::read_model(model).map(rustface::create_detector_with_model));
    let mut detector = match opened {
        Ok(Ok(detector)) => detector,
        Ok(Err(e)) => return drop(reply.send(Err(e.to_string()))),
        Err(_) => return drop(reply.send(Err("not a SeetaFace model".into()))),
    };
    detector.set_score_thresh(SCORE_THRESHOLD);
    if reply.send(Ok(Vec::new())).is_err() {
        return;
    }
    while let Ok(image) = queue.recv() {
        let picture = ImageData::new(&image.data, image.width as u32, image.height as u32);
        let answer = catch_unwind(AssertUnwindSafe(|| detector.detect(&picture)))
            .map(|mut faces| {
                faces.sort_by(|a, b| b.score().total_cmp(&a.score()));
                let rect = |f: &rustface::FaceInfo| {
                    let b = f.bbox();
                    Rect::new(b.x() as f32, b.y() as f32, b.width() as f32, b.height() as f32)
                };
                faces.iter().map(rect).collect()
            })
            .unwrap_or_else(|_| {
                // One picture that it cannot look at is no reason to end the stream.
                gst::warning!(CAT, "SeetaFace failed on a picture of {} × {} pixels", image.width, image.height);
                Vec::new()
            });
        if reply.send(Ok(answer)).is_err() {
            return;
        }
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
            let error = Seeta::open(&other).err().unwrap();
            assert!(error.contains("expected SeetaFace's own model") && error.contains(words), "{error}");
        }
        std::fs::remove_file(other).unwrap();
    }

    #[test]
    fn pictures_without_a_face_and_tiny_ones_are_answered() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/seetaface/seeta_fd_frontal_v1.0.bin");
        let mut detector = Seeta::open(Path::new(file)).unwrap();
        for (width, height) in [(0, 0), (1, 1), (39, 300), (40, 40), (320, 41), (320, 180)] {
            let data = (0..width * height).map(|k| (k * 7 % 251) as u8).collect();
            assert_eq!(detector.detect(GrayImage { width, height, data }), Ok(Vec::new()));
        }
    }
}
