// SPDX-License-Identifier: MPL-2.0
use super::manifest::*;

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
    assert_eq!(manifest.facecrop.rule, CropRule::Box { pad: [0.0, 0.0, 0.0, 10.0] });
    let inputs = &manifest.lipsyncgen.graph[0].input;
    assert_eq!(
        inputs[0].source,
        Source::Features { rows: Rows { before: 0, count: 16, end: End::Clamp }, layout: FeatureLayout::N1wr }
    );
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
        ("window = \"hann\"", "window = \"hamming\"", "hamming", 12),
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
        ("from = [\"masked\", \"face\"]", "from = [\"masked\", \"features\"]", "stand alone", 29),
        ("mask = { rows = [48, 96], fill = 0 }", "", "\"masked\" and `mask` need each other", 29),
        ("kind = \"image\"", "kind = \"picture\"", "picture", 41),
        ("round = \"truncate\"", "round = \"up\"", "up", 40),
        ("blend = \"hard\"", "blend = \"soft\"", "soft", 47),
        ("blend = \"hard\"", "blend = \"hard\"\nfeather = 2", "2: expected a number from 0 to 0.5", 48),
    ];
    for (right, wrong, expected, line) in mistakes {
        let text = WAV2LIP.replacen(right, wrong, 1);
        assert_ne!(text, WAV2LIP, "{right}");
        let error = toml::from_str::<Manifest>(&text).expect_err(wrong).to_string();
        assert!(error.contains(expected), "{wrong}: {error}");
        assert!(error.contains("line "), "{wrong}: {error}");
        let found: usize = error.split("line ").nth(1).and_then(|t| t.split(',').next()).unwrap().parse().unwrap();
        assert_eq!(found, line, "{wrong}: {error}");
    }
}
