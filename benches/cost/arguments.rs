// SPDX-License-Identifier: MPL-2.0
//! The command line.

use std::path::PathBuf;

use gstlipsync::runtime::{Backend, Options};

pub struct Arguments {
    pub what: What,
    pub video: PathBuf,
    pub sound: PathBuf,
}

/// What is measured.
pub enum What {
    /// The default model's chain beside its networks.
    Chain,
    /// With this model; empty: the default one.
    CropPaste(String),
    Beside(Beside),
}

/// Another model's chain beside its graph.
pub struct Beside {
    pub model: String,
    /// Of each round; whole batches.
    pub frames: usize,
    /// The frame's height.
    pub lines: u32,
    /// Whether the face has to be found.
    pub find: bool,
    /// At most so many at once.
    pub streams: usize,
    pub options: Options,
}

impl Arguments {
    pub fn read() -> Result<Self, String> {
        let mut beside = Beside {
            model: String::new(),
            frames: 200,
            lines: 720,
            find: false,
            streams: 1,
            options: Options::default(),
        };
        let (mut crop_paste, mut files) = (false, Vec::new());
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
            let number = |text: String| text.parse::<u32>().map_err(|_| format!("{name} {text}: expected a number"));
            match name.as_str() {
                // cargo's own.
                "--bench" => {}
                "--crop-paste" => crop_paste = true,
                "--model" => beside.model = value()?,
                "--frames" => beside.frames = number(value()?)?.next_multiple_of(8) as usize,
                "--find" => beside.find = true,
                "--streams" => beside.streams = number(value()?)? as usize,
                "--lines" => beside.lines = number(value()?)?,
                "--threads" => beside.options.threads = number(value()?)?,
                "--device" => beside.options.device = value()?,
                "--backend" => beside.options.backend = backend(&value()?)?,
                _ if name.starts_with("--") => return Err(format!("{name} is not known; see benches/cost/main.rs")),
                _ => files.push(PathBuf::from(name)),
            }
        }
        let what = match (crop_paste, beside.model.is_empty()) {
            (true, _) => What::CropPaste(beside.model),
            (_, true) => What::Chain,
            _ => What::Beside(beside),
        };
        let mut files = files.into_iter();
        let mut file = |media, demo| files.next().unwrap_or_else(|| default_file(media, demo));
        let video = file("video/woman_indoor_1280x720_30fps_h264.mp4", "demo/face.mp4");
        Ok(Self { what, video, sound: file("audio/en_44k1_stereo_s16.wav", "demo/voice.wav") })
    }
}

fn backend(nick: &str) -> Result<Backend, String> {
    let known = [Backend::Auto, Backend::Ort, Backend::Torch];
    let found = known.into_iter().find(|backend| backend.nick() == nick);
    found.ok_or_else(|| format!("--backend {nick}: expected auto, ort or torch"))
}

fn default_file(media: &str, demo: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let media = root.join("../shared/media").join(media);
    if media.exists() { media } else { root.join(demo) }
}
