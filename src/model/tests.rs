// SPDX-License-Identifier: MPL-2.0
use super::manifest::*;
use super::values::Length;

const WAV2LIP: &str = r#"
name = "wav2lip"
fps = 25
[audiofeatures]
id = "wav2lip-mel"
kind = "log-mel"
sample-rate = 16000
preemphasis = 0.97
n-fft = 800
win-length = 800
hop-length = 200
window = "hann"
center = "reflect"
n-mels = 80
mel-scale = "slaney"
mel-norm = "slaney"
f-min = 55
f-max = 7600
power = 1
level = { floor = 1e-5, ref-db = 20, min-db = -100, range = [-4, 4] }
[facecrop]
size = [96, 96]
rule = "box"
pad = { bottom = "10px" }
interpolation = "bilinear"
color = "bgr"
[[lipsyncgen.graph]]
file = "wav2lip.onnx"
[[lipsyncgen.graph.input]]
name = "mel"
from = "features"
rows = { before = 0, count = 16, end = "clamp" }
layout = "n1wr"
[[lipsyncgen.graph.input]]
name = "faces"
from = ["masked", "face"]
layout = "nchw"
range = [0, 1]
mask = { rows = [48, 96], fill = 0 }
[lipsyncgen.output]
kind = "image"
name = "out"
range = [0, 1]
round = "truncate"
color = "bgr"
[facepaste]
blend = "hard"
"#;

#[test]
fn the_documented_example_reads_as_documented() {
    let manifest: Manifest = toml::from_str(WAV2LIP).unwrap();
    assert_eq!(manifest.audiofeatures.width(), 80);
    assert_eq!(manifest.audiofeatures.rate(), (16000, 200));
    let px = Length::Px;
    assert_eq!(manifest.facecrop.rule, CropRule::Box { pad: [px(0.0), px(0.0), px(0.0), px(10.0)], whole: false });
    let inputs = &manifest.lipsyncgen.graph[0].input;
    let Source::Features { rows, layout, shape: None } = &inputs[0].source else { panic!("{:?}", inputs[0]) };
    assert_eq!(*rows, Rows { before: 0, count: 16, end: End::Clamp, rate: None });
    assert_eq!(layout.shape(16, 80), [1, 80, 16]);
    assert!(!layout.is_row_by_row());
    assert!(matches!(&inputs[1].source, Source::Pictures { pictures, mask: Some(_), .. }
        if pictures[..] == [Picture::Masked, Picture::Face]));
}

/// Each mistake must be answered with the key (or value) and its line.
#[test]
fn mistakes_name_the_key_and_the_line() {
    let mistakes = [
        ("fps = 25", "fbs = 25", "fbs", 3),
        ("fps = 25", "fps = 0", "0: expected a number from 1 to 1000", 3),
        ("name = \"wav2lip\"", "name = \"\"", "not empty", 2),
        ("n-fft = 800", "n-ftt = 800", "n-ftt", 9),
        ("n-fft = 800", "n-fft = 8.5", "8.5: expected a whole number", 9),
        ("n-fft = 800", "", "n-fft", 4),
        ("win-length = 800", "win-length = 900", "win-length = 900 must not exceed n-fft = 800", 4),
        ("window = \"hann\"", "window = \"hammock\"", "hammock", 12),
        ("window = \"hann\"", "window = \"hamming\"", "window of kind = \"log-mel\": expected \"hann\"", 4),
        ("f-max = 7600", "f-max = 9000", "f-max = 9000", 4),
        ("power = 1", "power = 3", "3: expected a whole number from 1 to 2", 19),
        ("floor = 1e-5", "floor = 0", "level.floor", 4),
        ("range = [-4, 4] }", "range = [4, -4] }", "level.range", 4),
        ("size = [96, 96]", "size = [96]", "length", 22),
        ("size = [96, 96]", "size = [96, 4]", "4: expected a whole number from 8 to 2048", 22),
        ("rule = \"box\"", "rule = \"bocks\"", "bocks", 23),
        ("rule = \"box\"", "rule = \"box\"\nscale = 2", "`scale` belongs to rule = \"similarity\"", 21),
        ("\"10px\"", "10", "expected a string", 24),
        ("\"10px\"", "\"ten\"", "\"ten\": expected a length such as \"10px\"", 24),
        ("count = 16", "count = 0", "0: expected a whole number from 1", 32),
        ("end = \"clamp\"", "end = \"wrap\"", "wrap", 32),
        ("layout = \"n1wr\"", "layout = \"nhwc\"", "layout = \"nhwc\" of input \"mel\"", 29),
        ("from = [\"masked\", \"face\"]", "from = [\"masked\", \"features\"]", "names of earlier outputs", 29),
        ("layout = \"n1wr\"", "layout = \"nrr\"", "layout = \"nrr\" of input \"mel\"", 29),
        ("layout = \"n1wr\"", "layout = \"n1wr\"\nrange = [0, 1]", "`range` means nothing for input \"mel\"", 29),
        ("layout = \"n1wr\"", "layout = \"n1wr\"\nshape = [0]", "0: expected a whole number from 1", 34),
        ("name = \"faces\"", "name = \"mel\"", "two inputs \"mel\"", 27),
        ("from = [\"masked\", \"face\"]", "from = []", "empty list", 29),
        ("from = [\"masked\", \"face\"]", "from = \"latent\"", "`layout` means nothing for input \"faces\"", 29),
        ("mask = { rows = [48, 96], fill = 0 }", "", "\"masked\" and `mask` need each other", 29),
        ("rows = [48, 96], fill", "rows = [96, 48], fill", "first < end", 29),
        ("rows = [48, 96], fill", "rows = [48, 9600], fill", "9600: expected a whole number from 0 to 2048", 39),
        ("layout = \"n1wr\"", "layout = \"n1wr\"\nrate = 0", "0: expected a whole number from 1 to 1000", 34),
        ("mask = {", "rate = 25\nmask = {", "`rate` means nothing for input \"faces\"", 29),
        ("mask = {", "std = [0, 1, 1]\nmask = {", "`std` of three above 0", 29),
        ("layout = \"nchw\"\nrange = [0, 1]", "layout = \"nchw\"\nrange = [1, 0]", "[1, 0]: expected [low, high]", 38),
        ("file = \"wav2lip.onnx\"", "file = []", "empty list", 27),
        ("file = \"wav2lip.onnx\"", "file = \"wav2lip.onnx\"\ncache = true", "takes features", 27),
        ("file = \"wav2lip.onnx\"", "file = \"wav2lip.onnx\"\noutputs = { a = \"c\", b = \"c\" }", "\"c\" twice", 27),
        (
            "[lipsyncgen.output]",
            "[[lipsyncgen.graph.input]]\nname = \"t\"\nfrom = \"constant\"\n[lipsyncgen.output]",
            "needs `value`",
            29,
        ),
        (
            "[lipsyncgen.output]",
            "[[lipsyncgen.graph.input]]\nname = \"t\"\nfrom = \"constant\"\nvalue = [1, 2]\nshape = [3]\n[lipsyncgen.output]",
            "shape = [3] holds 3",
            29,
        ),
        ("kind = \"image\"", "kind = \"picture\"", "picture", 41),
        ("round = \"truncate\"", "round = \"up\"", "up", 40),
        ("blend = \"hard\"", "blend = \"soft\"", "soft", 47),
        ("blend = \"hard\"", "blend = \"hard\"\nfeather = 2", "2: expected a number from 0 to 0.5", 48),
    ];
    let mut wrongly = Vec::new();
    for (right, wrong, expected, line) in mistakes {
        let text = WAV2LIP.replacen(right, wrong, 1);
        assert_ne!(text, WAV2LIP, "{right}");
        let error = toml::from_str::<Manifest>(&text).expect_err(wrong).to_string();
        let found = error.split("line ").nth(1).and_then(|t| t.split(',').next()).and_then(|n| n.parse().ok());
        if !error.contains(expected) || found != Some(line) {
            wrongly.push(format!("{wrong}: expected \"{expected}\" in line {line}, found: {error}"));
        }
    }
    assert!(wrongly.is_empty(), "{}", wrongly.join("\n"));
}

/// Those in `models`, and what a recipe puts in place of a section.
#[test]
fn the_manifests_of_the_project_are_read() {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let mut read = Vec::new();
    for folder in std::fs::read_dir(models).unwrap().map(|entry| entry.unwrap().path()) {
        if let Ok(text) = std::fs::read_to_string(folder.join("model.toml")) {
            let manifest = toml::from_str::<Manifest>(&text).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
            read.push(manifest.name.to_string());
        }
    }
    assert!(read.len() >= 6, "{read:?}");
    #[derive(serde::Deserialize)]
    struct Part {
        audiofeatures: AudioFeatures,
    }
    for part in ["wenet", "ave"] {
        let text = std::fs::read_to_string(format!("{models}/ultralight/{part}.toml")).unwrap();
        let part: Part = toml::from_str(&text).unwrap_or_else(|e| panic!("{part}: {e}"));
        assert!(part.audiofeatures.encoder.is_some());
    }
}

/// `[audiofeatures]` alone.
fn section(text: &str) -> Result<AudioFeatures, String> {
    toml::from_str::<AudioFeatures>(text).map_err(|e| e.to_string())
}

const ENCODER: &str = r#"
id = "x"
kind = "encoder"
sample-rate = 16000
front = { kind = "waveform" }
file = "hubert.onnx"
input = "input_values"
layout = "nr"
output = "last_hidden_state"
width = 1024
rate = 50
window = 32080
context = [8000, 8400]
normalise = "mean-variance"
"#;

#[test]
fn encoders_read_as_documented() {
    let features = section(ENCODER).unwrap();
    let encoder = features.encoder.clone().unwrap();
    assert_eq!((features.width(), features.hop(), features.rate()), (1024, 320, (16_000, 320)));
    assert_eq!((encoder.stride, encoder.skipped(), encoder.used(), encoder.lead()), (320, 25, 49, 8000));
    assert_eq!(encoder.layout, [WindowAxis::One, WindowAxis::Row]);

    let fbank = "kind = \"fbank\", hop-length = 160";
    let chunks = ENCODER
        .replace("kind = \"waveform\"", fbank)
        .replace("\"nr\"", "\"n1rw\"")
        .replace("rate = 50", "rate = \"20/1\"");
    let chunks = chunks
        .replace("32080", "67")
        .replace("[8000, 8400]", "[0, 32]")
        .replace("normalise", "offset = 0.3\nnormalise");
    let features = section(&chunks).unwrap();
    let encoder = features.encoder.clone().unwrap();
    assert_eq!((features.hop(), encoder.stride, encoder.offset), (800, 5, 30));
    assert_eq!((encoder.skipped(), encoder.used(), encoder.lead()), (0, 1, 30));

    // 80 dB, in neper as fbank counts power.
    let dynamic = chunks.replace("\"mean-variance\"", "\"dynamic\"\ndynamic-db = 80");
    let normalise = section(&dynamic).unwrap().encoder.unwrap().normalise;
    assert!(matches!(normalise, Normalise::Dynamic { below } if (below - 18.4207).abs() < 1e-3), "{normalise:?}");
}

#[test]
fn mistakes_in_an_encoder_name_the_key() {
    let mistakes = [
        ("kind = \"waveform\"", "kind = \"encoder\"", "front: expected kind"),
        (
            "kind = \"waveform\"",
            "kind = \"waveform\", n-mels = 8",
            "front: `n-mels` belongs to kind = \"log-mel\" or \"fbank\"",
        ),
        ("kind = \"waveform\"", "kind = \"waveform\", sample-rate = 8000", "front: `id` and `sample-rate`"),
        ("kind = \"waveform\"", "kind = \"fbank\"", "layout: w may be left out only"),
        ("kind = \"waveform\"", "kind = \"fbank\", f-max = 9000", "front: f-min = 20 and f-max = 9000"),
        ("kind = \"waveform\"", "kind = \"log-mel\"", "front: kind = \"log-mel\" needs `n-fft`"),
        ("front = { kind = \"waveform\" }", "", "needs `front`"),
        ("file = \"hubert.onnx\"", "file = []", "file = []"),
        ("file = \"hubert.onnx\"", "power = 2", "`power` belongs to kind = \"log-mel\", but the kind is \"encoder\""),
        ("\"nr\"", "\"rr\"", "layout = \"rr\": expected n, r, w"),
        ("rate = 50", "rate = 0", "rate = 0/1: expected rows per second"),
        (
            "rate = 50",
            "rate = \"30/1\"",
            "rate = 30/1: expected the rate of the front's rows, 16000/1, or a whole part",
        ),
        ("window = 32080", "window = \"hann\"", "expected a number of front rows"),
        ("window = 32080", "window = 0", "0: expected a whole number from 1"),
        ("window = 32080", "window = 16400", "context = [8000, 8400] leaves no answer"),
        (
            "window = 32080",
            "window = 32080\noffset = 0.00001",
            "offset = 0.00001: expected a whole number of front rows",
        ),
        ("window = 32080", "window = 32080\noffset = 3", "below window = 32080"),
        ("window = 32080", "window = 32080\nbeyond = -1", "-1: expected a whole number from 0 to 10000"),
        ("context = [8000, 8400]", "", "needs `context`"),
        ("\"mean-variance\"", "\"dynamic\"", "is for levels"),
        ("\"mean-variance\"", "\"none\"\ndynamic-db = 80", "`dynamic-db` belongs to normalise = \"dynamic\""),
        ("kind = \"encoder\"", "kind = \"waveform\"", "`window` belongs to kind"),
    ];
    for (right, wrong, expected) in mistakes {
        let text = ENCODER.replacen(right, wrong, 1);
        assert_ne!(text, ENCODER, "{right}");
        let error = section(&text).expect_err(wrong);
        assert!(error.contains(expected), "{wrong}: {error}");
    }
    assert!(
        section("kind = \"waveform\"\nid = \"x\"\nsample-rate = 16000").unwrap_err().contains("front of an encoder")
    );
    let plain = "kind = \"fbank\"\nid = \"x\"\nsample-rate = 16000";
    assert!(section(&format!("{plain}\nwindow = 300")).unwrap_err().contains("\"povey\", \"hann\" or \"hamming\""));
    assert!(section(&plain.replace("id = \"x\"", "")).unwrap_err().contains("`id`"));
}
