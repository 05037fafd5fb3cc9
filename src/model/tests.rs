// SPDX-License-Identifier: MPL-2.0
use std::path::PathBuf;

use super::manifest::*;
use super::values::Length;
use super::{Model, ModelError};

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
        ("min-db = -100", "min-db = -1e-38", "expected a number from -1000.0 to -1.0", 4),
        ("ref-db = 20", "ref-db = 1e38", "expected a number from -1000.0 to 1000.0", 4),
        (
            "hop-length = 200",
            "hop-length = 15",
            "hop-length = 15: expected 16 or more, for at most 1000 rows a second",
            4,
        ),
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
        ("from = [\"masked\", \"face\"]", "from = [\"masked\", \"memory-weight\"]", "\"memory\" and \"closed\"", 29),
        (
            "from = \"features\"",
            "from = \"memory-weight\"",
            "`rows` means nothing for input \"mel\", which is from",
            29,
        ),
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
        ("name = \"mel\"", "name = \"m\\u0000l\"", "\"m\\0l\": expected a text without control characters", 30),
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
            "[[lipsyncgen.graph.input]]\nname = \"t\"\nfrom = \"constant\"\nvalue = 0\nshape = [1000000, 1000000, 1000000, 1000000]\n\
             [lipsyncgen.output]",
            "of input \"t\": expected axes that hold at most 33554432 numbers",
            29,
        ),
        (
            "[lipsyncgen.output]",
            "[[lipsyncgen.graph.input]]\nname = \"t\"\nfrom = \"constant\"\nvalue = [1, 2]\nshape = [3]\n[lipsyncgen.output]",
            "shape = [3] holds 3",
            29,
        ),
        (
            "[lipsyncgen.output]",
            "[[lipsyncgen.graph.input]]\nname = \"t\"\nfrom = \"landmarks\"\nlayout = \"npc\"\nselect = [0, 68]\n[lipsyncgen.output]",
            "select of input \"t\": 68: expected 0 to 67 (points = \"ibug-68\")",
            29,
        ),
        (
            "[lipsyncgen.output]",
            "[[lipsyncgen.graph.input]]\nname = \"t\"\nfrom = \"landmarks\"\nlayout = \"npc\"\nselect = []\n[lipsyncgen.output]",
            "select of input \"t\" has 0 numbers, expected 1 to 1024",
            29,
        ),
        ("from = \"features\"", "from = \"features\"\nselect = [1]", "`select` means nothing for input \"mel\"", 29),
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

/// What is remembered of a face, its pictures and points, and how much of it is to be used.
#[test]
fn inputs_from_memory_read_as_documented() {
    let input = |text: &str| toml::from_str::<Input>(&format!("name = \"x\"\n{text}")).map_err(|e| e.to_string());
    assert_eq!(input("from = \"memory-weight\"").unwrap().source, Source::MemoryWeight(Remembered::Open));
    assert_eq!(
        input("from = \"memory-landmarks\"\nlayout = \"npc\"").unwrap().source,
        Source::MemoryLandmarks(Remembered::Open)
    );
    assert_eq!(input("from = \"closed-weight\"").unwrap().source, Source::MemoryWeight(Remembered::Closed));
    assert_eq!(
        input("from = \"closed-landmarks\"\nlayout = \"npc\"").unwrap().source,
        Source::MemoryLandmarks(Remembered::Closed)
    );
    let pictures =
        input("from = [\"face\", \"memory\", \"closed\"]\nlayout = \"nchw\"\nrange = [-1, 1]").unwrap().source;
    assert!(matches!(&pictures, Source::Pictures { pictures, range, .. }
        if *pictures == [Picture::Face, Picture::Memory(Remembered::Open), Picture::Memory(Remembered::Closed)] && range.0 == [-1.0, 1.0]));
    for (text, expected) in [
        ("from = \"memory\"", "input \"x\" needs `layout`: \"nchw\""),
        ("from = \"memory-landmarks\"", "input \"x\" needs `layout`: \"npc\""),
        ("from = \"memory-landmarks\"\nlayout = \"ncp\"", "layout = \"ncp\" of input \"x\": expected \"npc\""),
        ("from = \"memory-weight\"\nlayout = \"n1\"", "`layout` means nothing for input \"x\""),
        ("from = [\"memory\", \"memory-weight\"]\nlayout = \"nchw\"", "\"closed-weight\" or \"constant\" alone"),
    ] {
        let error = input(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let mut manifest = toml::from_str::<Manifest>(WAV2LIP).unwrap();
    assert!(!manifest.draws_by_landmarks());
    for text in
        ["from = \"memory\"\nlayout = \"nchw\"", "from = \"memory-weight\"", "from = \"closed\"\nlayout = \"nchw\""]
    {
        manifest.lipsyncgen.graph[0].input[1] = input(text).unwrap();
        assert!(manifest.draws_by_landmarks(), "{text}");
    }
}

/// The inside of the mouth may span a part of the crop, on a grid of its own.
#[test]
fn warps_read_as_documented() {
    const WARP: &str = "kind = \"warp\"\nupper = \"u\"\nlower = \"l\"\nedges = \"e\"\ninner = \"i\"\nweight = \"w\"\n";
    let read = |more: &str| toml::from_str::<Output>(&format!("{WARP}{more}")).map_err(|e| e.to_string());
    let area = |more: &str| match read(more).unwrap() {
        Output::Warp { inner_area, .. } => inner_area,
        other => panic!("{other:?}"),
    };
    assert_eq!(area(""), None);
    let fixed = InnerArea::Fixed(Area([0.25, 0.0, 0.75, 1.0]));
    assert_eq!(area("inner-area = [0.25, 0, 0.75, 1]"), Some(fixed));
    assert_eq!(area("inner-area = \"place\""), Some(InnerArea::Output("place".into())));
    for (wrong, expected) in [
        (
            "inner-area = [0.5, 0, 0.5, 1]",
            "inner-area: [0.5, 0.0, 0.5, 1.0]: expected [left, top, right, bottom] with 0 ≤ left",
        ),
        ("inner-area = [0, 0.5, 1, 1.5]", "inner-area: [0.0, 0.5, 1.0, 1.5]: expected"),
        ("inner-area = [0, nan, 1, 1]", "inner-area: [0.0, NaN, 1.0, 1.0]: expected"),
        ("inner-area = [0, 0, 1]", "length 4"),
        ("inner-area = 0.5", "expected inner-area: [left, top, right, bottom] or the name of an output"),
        ("inner_area = [0, 0, 1, 1]", "unknown field `inner_area`"),
    ] {
        let error = read(wrong).unwrap_err();
        assert!(error.contains(expected), "{wrong}: {error}");
    }
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

    let state = section(&ENCODER.replace("rate = 50", "rate = 50\nstate = { h0 = \"hn\", c0 = \"cn\" }"));
    let state = state.unwrap().encoder.unwrap().state;
    let names: Vec<_> = state.iter().map(|carried| (&*carried.input, &*carried.output)).collect();
    assert_eq!(names, [("c0", "cn"), ("h0", "hn")]);

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
        ("rate = 50", "rate = \"1/3\"", "rate = 1/3: expected an answer every 32080 front rows or more often"),
        ("rate = 50", "rate = 1\nbeyond = 1000", "beyond = 1000: expected at most 524"),
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
        ("width = 1024", "width = 1024\nstate = { input_values = \"hn\" }", "state: \"input_values\" is input already"),
        ("width = 1024", "width = 1024\nlengths = \"n\"\nstate = { n = \"hn\" }", "state: \"n\" is lengths already"),
        ("width = 1024", "width = 1024\nstate = { h0 = \"\" }", "expected a text that is not empty"),
        ("width = 1024", "width = 1024\nstate = \"h0\"", "expected a map"),
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
    let error = section(&format!("{plain}\nstate = {{ h0 = \"hn\" }}")).unwrap_err();
    assert!(error.contains("`state` belongs to kind = \"encoder\""), "{error}");
    let many: String = (0..65).map(|k| format!("h{k} = \"x\", ")).collect();
    let error = section(&ENCODER.replace("rate = 50", &format!("rate = 50\nstate = {{ {many} }}"))).unwrap_err();
    assert!(error.contains("state has 65 inputs: expected at most 64"), "{error}");
}

#[test]
fn a_window_of_hours_is_refused() {
    let hours = ENCODER
        .replace("kind = \"waveform\"", "kind = \"fbank\"")
        .replace("\"nr\"", "\"nrw\"")
        .replace("window = 32080", "window = 100000");
    let error = section(&hours).unwrap_err();
    assert!(error.contains("window = 100000 rows are 8000000 numbers from 1000 s of sound: expected"), "{error}");
}

/// Each section may be right by itself.
#[test]
fn inputs_that_take_too_much_or_another_shape_are_named() {
    let check = |right: &str, wrong: &str| toml::from_str::<Manifest>(&WAV2LIP.replace(right, wrong)).unwrap().check();
    assert_eq!(check("", ""), Ok(()));
    let faces = format!("\"masked\", {}", "\"face\", ".repeat(1300));
    for (right, wrong, words) in [
        (
            "layout = \"n1wr\"",
            "layout = \"n1wr\"\nshape = [3, 5]",
            "shape = [3, 5] of input \"mel\": expected axes that hold rows.count = 16 rows of 80 numbers",
        ),
        (
            "count = 16",
            "count = 802",
            "before = 0, count = 802 reach 11 s beyond the frame's time, expected at most 10 s",
        ),
        ("\"masked\", \"face\"", &faces, "\"faces\": with those before it, the inputs hold 35971328 numbers"),
    ] {
        let error = check(right, wrong).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let points = |name: &str, set: &str| {
        format!(
            "[[lipsyncgen.graph.input]]\nname = \"{name}\"\nfrom = \"landmarks\"\nlayout = \"npc\"\npoints = \"{set}\"\n\
             select = [1, 1]\n"
        )
    };
    let with = |sets: [&str; 2]| format!("{}{}[lipsyncgen.output]", points("a", sets[0]), points("b", sets[1]));
    let output = "[lipsyncgen.output]";
    for same in [["ibug-68", "mediapipe-478"], ["mediapipe-478", "mediapipe-478"]] {
        assert_eq!(check(output, &with(same)), Ok(()));
    }
    let error = check(output, &with(["wflw-98", "mediapipe-478"])).unwrap_err();
    assert!(
        error.contains("input \"b\" takes points = \"mediapipe-478\", but input \"a\" takes \"wflw-98\""),
        "{error}"
    );
    let mut manifest = toml::from_str::<Manifest>(&WAV2LIP.replace("count = 16", "count = 33")).unwrap();
    manifest.audiofeatures = section(&ENCODER.replace("width = 1024", "width = 1048576")).unwrap();
    let error = manifest.check().unwrap_err();
    assert!(error.contains("count = 33 rows of 1048576 numbers: expected at most 33554432"), "{error}");
}

/// A model's folder that is gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lipsync-model-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("model.toml"), WAV2LIP).unwrap();
        std::fs::write(folder.join("wav2lip.onnx"), "").unwrap();
        Self(folder)
    }

    fn open(&self) -> Result<std::sync::Arc<Model>, ModelError> {
        Model::open(self.0.to_str().unwrap())
    }

    /// What is said where something else lies in the place of a file.
    fn error(&self, file: &str, put: impl FnOnce(&std::path::Path)) -> String {
        let (path, aside) = (self.0.join(file), self.0.join("aside"));
        std::fs::rename(&path, &aside).unwrap();
        put(&path);
        let error = self.open().unwrap_err().to_string();
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
        std::fs::rename(aside, path).unwrap();
        error
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn only_regular_files_inside_the_folder_are_read() {
    use std::os::unix::fs::symlink;
    let (folder, other) = (Folder::new("folder"), Folder::new("other"));
    folder.open().unwrap();
    for file in ["model.toml", "wav2lip.onnx"] {
        let said = |error: String, words: &str| assert!(error.contains(file) && error.contains(words), "{error}");
        let link = folder.error(file, |path| symlink(other.0.join(file), path).unwrap());
        said(link, "leads out of the");
        said(folder.error(file, |path| std::fs::create_dir(path).unwrap()), "is no regular file");
        let pipe = folder.error(file, |path| {
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        });
        said(pipe, "is no regular file");
        said(folder.error(file, |_| ()), "No such file");
    }
    let long = folder.error("model.toml", |path| std::fs::write(path, "#".repeat((1 << 20) + 1)).unwrap());
    assert!(long.contains("model.toml: expected at most 1048576 bytes of text"), "{long}");
    let nul = folder.error("model.toml", |path| std::fs::write(path, "name = \"a\0b\"").unwrap());
    assert!(nul.contains("line 1") && !nul.contains('\0'), "{nul}");
    let device = folder.error("model.toml", |path| symlink("/dev/zero", path).unwrap());
    assert!(device.contains("leads out of the folder"), "{device}");
    // A link inside is as good as the file.
    std::fs::rename(folder.0.join("wav2lip.onnx"), folder.0.join("real.onnx")).unwrap();
    symlink("real.onnx", folder.0.join("wav2lip.onnx")).unwrap();
    folder.open().unwrap();
    for name in ["../other/wav2lip.onnx", "/etc/passwd", "real.onnx/../../x", "real.onnx/x"] {
        assert!(folder.open().unwrap().file(name).is_err(), "{name}");
    }
}
