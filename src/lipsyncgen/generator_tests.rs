// SPDX-License-Identifier: MPL-2.0
use std::path::PathBuf;

use super::*;
use crate::runtime::Backend;

const HEAD: &str = r#"
name = "chain"
[audiofeatures]
id = "x"
kind = "log-mel"
sample-rate = 16000
n-fft = 800
hop-length = 200
center = "reflect"
n-mels = 4
mel-scale = "slaney"
mel-norm = "slaney"
f-min = 55
f-max = 7600
power = 1
level = { floor = 1e-5 }
[facecrop]
size = [8, 8]
rule = "box"
[lipsyncgen.output]
kind = "image"
name = "out"
range = [0, 1]
"#;

/// Two encoders of the same file, a generator and a decoder, as MuseTalk has them.
const CHAIN: &str = r#"
[[lipsyncgen.graph]]
file = "encoder.toml"
cache = true
outputs = { latent = "masked-latent" }
[[lipsyncgen.graph.input]]
name = "picture"
from = "masked"
layout = "nchw"
mask = { rows = [4, 8], fill = 0 }
[[lipsyncgen.graph]]
file = "encoder.toml"
cache = true
[[lipsyncgen.graph.input]]
name = "picture"
from = "reference"
layout = "nchw"
[[lipsyncgen.graph]]
file = "unet.toml"
[[lipsyncgen.graph.input]]
name = "latents"
from = ["masked-latent", "latent"]
[[lipsyncgen.graph.input]]
name = "sound"
from = "features"
rows = { before = 0, count = 2, end = "edge" }
layout = "nrw"
[[lipsyncgen.graph.input]]
name = "step"
from = "constant"
value = 0
shape = [1]
[[lipsyncgen.graph]]
file = "decoder.toml"
"#;

const ENCODER: &str = r#"
inputs = [{ name = "picture", shape = [0, 3, 8, 8] }]
outputs = [{ name = "latent", shape = [0, 4, 2, 2] }]
range = [0, 1]
"#;
const UNET: &str = r#"
inputs = [{ name = "latents", shape = [0, 8, 2, 2] }, { name = "sound", shape = [0, 2, 4] }, { name = "step", shape = [1] }]
outputs = [{ name = "new", shape = [0, 4, 2, 2] }]
range = [0, 1]
"#;
const DECODER: &str = r#"
inputs = [{ name = "new", shape = [0, 4, 2, 2] }]
outputs = [{ name = "out", shape = [0, 3, 8, 8] }]
range = [0, 1]
"#;

/// A model folder that is gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, chain: &str, files: [(&str, &str); 3]) -> Self {
        let folder = std::env::temp_dir().join(format!("lipsync-generator-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (top, output) = HEAD.split_at(HEAD.find("[lipsyncgen.output]").unwrap());
        std::fs::write(folder.join("model.toml"), format!("{top}{chain}{output}")).unwrap();
        for (file, text) in files {
            std::fs::write(folder.join(file), text).unwrap();
        }
        Self(folder)
    }

    fn open(&self, device: &str) -> Result<Generator, RuntimeError> {
        let model = Model::open(self.0.to_str().unwrap()).unwrap();
        Generator::open(&model, &Options { backend: Backend::Test, device: device.into(), threads: 1 })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn files() -> [(&'static str, &'static str); 3] {
    [("encoder.toml", ENCODER), ("unet.toml", UNET), ("decoder.toml", DECODER)]
}

/// A face of one grey.
fn face(grey: u8) -> FaceInput {
    let crop = Arc::new(RgbImage { width: 8, height: 8, data: vec![grey; 192] });
    FaceInput {
        windows: Arc::new(vec![vec![0.0; 8]]),
        landmarks: [[0.5; 2]; LANDMARKS],
        points: Vec::new(),
        point_set: PointSet::Ibug68,
        reference: Arc::new(RgbImage { width: 8, height: 8, data: vec![200; 192] }),
        crop,
        memory: Recalls::default(),
    }
}

fn greys(made: &[Generated]) -> Vec<u8> {
    let grey = |made: &Generated| match made {
        Generated::Image(image) => image.data[0],
        other => panic!("{other:?}"),
    };
    made.iter().map(grey).collect()
}

#[test]
fn a_chain_feeds_outputs_to_inputs_by_name() {
    let folder = Folder::new("chain", CHAIN, files());
    let made = folder.open("cpu").unwrap().run(&[face(100), face(40)]).unwrap();
    // Half of the picture is masked; the mean of its latent and the reference's goes through.
    assert_eq!(greys(&made), [(100 / 2 + 200) / 2, (40 / 2 + 200) / 2]);
}

#[test]
fn a_picture_that_comes_again_is_not_encoded_again() {
    // The warm-up is run −1. Every second run of an encoder would fail.
    let folder = Folder::new("cache", CHAIN, files());
    let generator = folder.open("error-at=1").unwrap();
    let first = generator.stages[0].run(&generator.sizes, &[&face(1)], |_| None);
    assert!(first.is_ok() && generator.stages[0].run(&generator.sizes, &[&face(1)], |_| None).is_err());

    let mut generator = folder.open("error-at=1").unwrap();
    // Only the encoders are looked at.
    generator.stages.truncate(2);
    generator.output = Output::Image {
        name: "latent".into(),
        range: crate::model::manifest::Range([0.0, 1.0]),
        round: Default::default(),
        color: Default::default(),
    };
    let run = |faces: &[FaceInput]| generator.run(faces).map_err(|e| e.0);
    // The result has a latent's shape, which is no picture: that is said after the encoders have run.
    for _ in 0..3 {
        let error = run(&[face(10), face(20)]).unwrap_err();
        assert!(error.contains("shape"), "{error}");
    }
    assert!(run(&[face(10), face(30)]).unwrap_err().contains("ordered to fail"));
}

#[test]
fn known_and_new_pictures_may_come_together() {
    let folder = Folder::new("mixed", CHAIN, files());
    let generator = folder.open("cpu").unwrap();
    generator.run(&[face(60)]).unwrap();
    let made = generator.run(&[face(20), face(60), face(20), face(100)]).unwrap();
    assert_eq!(greys(&made), [105, 115, 105, 125]);
}

#[test]
fn graphs_of_a_fixed_batch_are_filled_up() {
    let fixed = [ENCODER, UNET, DECODER].map(|graph| graph.replace("shape = [0,", "shape = [3,"));
    let names = ["encoder.toml", "unet.toml", "decoder.toml"];
    let files = std::array::from_fn(|k| (names[k], fixed[k].as_str()));
    let folder = Folder::new("fixed", CHAIN, files);
    let made = folder.open("cpu").unwrap().run(&[20, 60, 100, 20].map(face)).unwrap();
    assert_eq!(greys(&made), [105, 115, 125, 105]);
}

#[test]
fn chains_that_do_not_fit_are_explained() {
    let mistakes = [
        (
            "from = [\"masked-latent\", \"latent\"]",
            "from = [\"masked-latent\", \"latents\"]",
            "\"latents\", which no earlier graph yields",
        ),
        ("outputs = { latent = \"masked-latent\" }", "", "an earlier graph has an output \"latent\" too"),
        ("outputs = { latent = \"masked-latent\" }", "outputs = { lament = \"m\" }", "renames \"lament\""),
        ("rows = [4, 8]", "rows = [4, 9]", "ends at row 9"),
        ("count = 2", "count = 3", "input sound (?, 2, 4) does not fit: the manifest makes (batch, 3, 4)"),
        ("shape = [1]", "", "input step (1) does not fit: the manifest makes ()"),
        ("name = \"step\"", "name = \"stop\"", "feeds an input \"stop\", but the graph has: latents"),
        ("file = \"unet.toml\"", "file = \"unet.toml\"\ncache = true", "takes features"),
        ("from = \"reference\"", "from = \"masked-latent\"", "`layout` means nothing"),
        ("file = \"decoder.toml\"", "file = \"unit.toml\"", "unit.toml is missing"),
    ];
    for (right, wrong, words) in mistakes {
        let folder = Folder::new("mistake", &CHAIN.replacen(right, wrong, 1), files());
        let error = match Model::open(folder.0.to_str().unwrap()) {
            Ok(_) => folder.open("cpu").err().unwrap_or_else(|| panic!("{wrong}")).0,
            Err(error) => error.to_string(),
        };
        assert!(error.contains(words), "{wrong}: {error}");
    }
    let batches =
        [("encoder.toml", ENCODER), ("unet.toml", UNET), ("decoder.toml", &*DECODER.replace("[0, 4", "[2, 4"))];
    assert!(Folder::new("batch", CHAIN, batches).open("cpu").is_ok());
    let encoder = ENCODER.replace("[0, 3", "[3, 3");
    let batches = [("encoder.toml", &*encoder), batches[1], batches[2]];
    let error = Folder::new("batches", CHAIN, batches).open("cpu").err().unwrap().0;
    assert!(error.contains("batch of 2") && error.contains("has 3"), "{error}");
    let encoder = ENCODER.replace("[0, 3", "[65, 3");
    let error = Folder::new("copies", CHAIN, [("encoder.toml", &*encoder), batches[1], batches[2]]).open("cpu").err();
    let error = error.unwrap().0;
    assert!(error.contains("has a batch of 65, expected at most 64"), "{error}");
}
