// SPDX-License-Identifier: MPL-2.0
//! What is remembered of a face's own mouth. The test runtime shows how much of it the model is given, as the patch's brightness.

use std::path::PathBuf;

use super::*;

const SIDE: usize = 64;

/// A model's folder that goes when it does.
struct Folder(PathBuf);

impl Folder {
    /// The test model flash, with these inputs before its own.
    fn new(name: &str, inputs: &str, graph: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lipsync-memory-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let flash = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/flash/model.toml");
        let text = std::fs::read_to_string(flash).unwrap();
        let text = text.replace("size = [16, 16]", &format!("size = [{SIDE}, {SIDE}]"));
        let text = text.replace("[lipsyncgen.output]", &format!("{inputs}\n[lipsyncgen.output]"));
        std::fs::write(folder.join("model.toml"), text).unwrap();
        let others = format!(
            "{{ name = \"features\", shape = [0, 4, 8] }}, {{ name = \"face\", shape = [0, 3, {SIDE}, {SIDE}] }}"
        );
        let output = format!("outputs = [{{ name = \"out\", shape = [0, 3, {SIDE}, {SIDE}] }}]\nrange = [0, 1]");
        std::fs::write(folder.join("graph.toml"), format!("inputs = [{graph}, {others}]\n{output}")).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const WEIGHT: (&str, &str) = (
    "[[lipsyncgen.graph.input]]\nname = \"weight\"\nfrom = \"memory-weight\"",
    "{ name = \"weight\", shape = [0, 1] }",
);
const PICTURE: (&str, &str) = (
    "[[lipsyncgen.graph.input]]\nname = \"own\"\nfrom = \"memory\"\nlayout = \"nchw\"",
    "{ name = \"own\", shape = [0, 3, 64, 64] }",
);

/// A mouth that is as wide open as said, in widths of itself, full of teeth, in a face of that grey.
fn face(test: &Pipeline, gap: f32, grey: u8, weight: f32) -> Face {
    let mut points = [[0.0f32; 2]; LANDMARKS];
    let mut ring = |first: usize, count: usize, height: f32| {
        for i in 0..count {
            let turn = i as f32 / count as f32 * std::f32::consts::TAU;
            points[first + i] = [32.0 - 16.0 * turn.cos(), 32.0 - height * turn.sin()];
        }
    };
    ring(48, 12, 14.0);
    ring(60, 8, 16.0 * gap / 0.8047);
    let pixel = |k: usize| {
        let (x, y) = (k % SIDE, k / SIDE);
        let dark = (x / 4 + y / 4) % 4 == 0;
        if gap > 0.0 && (14..50).contains(&x) && (26..38).contains(&y) && !dark { [230; 3] } else { [grey; 3] }
    };
    Face {
        model: test.model.clone(),
        track: 1,
        bbox: Rect::new(0.0, 0.0, 32.0, 32.0),
        landmarks: points.map(|[x, y]| [x / 2.0, y / 2.0]),
        points: Arc::default(),
        point_set: PointSet::Ibug68,
        confidence: 1.0,
        pose: Pose::default(),
        crop_to_frame: Affine([0.5, 0.0, 0.0, 0.0, 0.5, 0.0]),
        crop: Arc::new(RgbImage { width: SIDE, height: SIDE, data: (0..SIDE * SIDE).flat_map(pixel).collect() }),
        generated: None,
        weight,
        reason: None,
    }
}

/// What the patches show, 0..1, of 20 frames, the sound beginning with the frame `sound`. The mouth is open in frame 5, which
/// has no weight, and so is not generated; else it is closed.
fn shown_with(folder: &Folder, batch: u32, sound: u64) -> Vec<Option<f32>> {
    let test = Pipeline::of(folder.0.to_str().unwrap(), &format!("batch-size={batch}"));
    test.play();
    test.push_video((0..20u64).map(|i| {
        let mut buffer = test.frame(i * 40 * MS, 1.0);
        let buffer_mut = buffer.get_mut().unwrap();
        FaceMeta::take(buffer_mut);
        let face = if i == 5 { face(&test, 0.3, 120, 0.0) } else { face(&test, 0.0, 120, 1.0) };
        FaceMeta::add(buffer_mut, Arc::new(face));
        buffer
    }));
    test.push_rows([test.rows(sound * 40 * MS, 0, 100, |_| 50.0)]);
    test.end();
    let frames = test.all();
    assert_eq!(frames.len(), 20);
    let made = |frame: &gst::Buffer| {
        let face = FaceMeta::faces(frame).pop()?;
        let fresh = face.reason.is_none();
        shown(frame).filter(|_| fresh).map(|(value, _)| value / 100.0)
    };
    frames.iter().map(made).collect()
}

#[test]
fn what_was_seen_is_shown_from_then_on_whatever_the_batch() {
    let folder = Folder::new("weight", WEIGHT.0, WEIGHT.1);
    let first = shown_with(&folder, 1, 0);
    for (i, value) in first.iter().enumerate() {
        let expected = (i != 5).then_some((i.saturating_sub(5) as f32 * 40.0 / 300.0).min(1.0));
        assert_eq!(value.is_some(), expected.is_some(), "frame {i}");
        let off = value.unwrap_or(0.0) - expected.unwrap_or(0.0);
        assert!(off.abs() < 0.01, "frame {i}: {value:?}, expected {expected:?}");
    }
    for batch in [3, 8] {
        assert_eq!(shown_with(&folder, batch, 0), first, "batches of {batch}");
    }
}

/// Frames that nothing is generated for are seen, too.
#[test]
fn a_frame_without_sound_is_remembered() {
    let folder = Folder::new("silent", WEIGHT.0, WEIGHT.1);
    let values = shown_with(&folder, 4, 10);
    assert!(values[..10].iter().all(Option::is_none), "{values:?}");
    assert!((values[10].unwrap() - 200.0 / 300.0).abs() < 0.01 && values[13] == Some(1.0), "{values:?}");
}

/// What is shown before a clip is played counts from its first frame on; a model that remembers nothing wants to see nothing.
#[test]
fn a_preview_is_remembered() {
    let folder = Folder::new("preview", WEIGHT.0, WEIGHT.1);
    let test = Pipeline::of(folder.0.to_str().unwrap(), "");
    test.play();
    let asks = |test: &Pipeline, gap: f32| -> bool {
        let mut buffer = test.frame(0, 1.0);
        FaceMeta::take(buffer.get_mut().unwrap());
        FaceMeta::add(buffer.get_mut().unwrap(), Arc::new(face(test, gap, 120, 1.0)));
        let about = gst::Structure::builder("lipsync-preview")
            .field("frame", buffer)
            .field("caps", gst::Caps::new_any())
            .build();
        test.pipeline.by_name("g").unwrap().static_pad("sink").unwrap().query(&mut gst::query::Custom::new(about))
    };
    assert!(asks(&test, 0.3) && asks(&test, 0.0));
    test.push_video((0..3u64).map(|i| {
        let mut buffer = test.frame(i * 40 * MS, 1.0);
        FaceMeta::take(buffer.get_mut().unwrap());
        FaceMeta::add(buffer.get_mut().unwrap(), Arc::new(face(&test, 0.0, 120, 1.0)));
        buffer
    }));
    test.push_rows([test.rows(0, 0, 100, |_| 50.0)]);
    test.end();
    let weights: Vec<_> = test.all().iter().map(|frame| shown(frame).unwrap().0).collect();
    assert_eq!(weights, [100.0; 3]);

    let plain = Pipeline::new("");
    plain.play();
    assert!(!asks(&plain, 0.3));
}

#[test]
fn the_picture_is_the_present_one_until_there_is_another() {
    let folder = Folder::new("picture", PICTURE.0, PICTURE.1);
    let values = shown_with(&folder, 8, 0);
    let closed = 120.0 / 255.0;
    assert!(values[..5].iter().all(|value| (value.unwrap() - closed).abs() < 0.01), "{values:?}");
    assert!(values[6..].iter().all(|value| value.unwrap() > closed + 0.03), "{values:?}");
}
