// SPDX-License-Identifier: MPL-2.0
//! Models that name their landmark network.

use gstlipsync::model::points::PointSet;

use super::*;

const MESH: &str = "landmarks = \"face_landmarks_478\"";
const MESHES: [(&str, PointSet); 2] =
    [(MESH, PointSet::MediaPipe478), ("landmarks = \"face_landmarks_468\"", PointSet::MediaPipe468)];

/// A mouth from corner to corner, by points that only the mesh has.
fn model(name: &str, crop: &str, select: &str) -> BoxModel {
    let model = BoxModel::with(name, &format!("{BOX}\n{crop}"));
    let file = model.0.join("model.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let input = format!(
        "[[lipsyncgen.graph.input]]\nname = \"lips\"\nfrom = \"landmarks\"\nlayout = \"npc\"\npoints = \"mediapipe-478\"\n\
         select = {select}\n[lipsyncgen.output]"
    );
    std::fs::write(&file, text.replacen("[lipsyncgen.output]", &input, 1)).unwrap();
    model
}

#[test]
fn a_model_gets_the_landmarks_that_it_asks_for() {
    for (name, (mesh, points)) in CLIPS.iter().flat_map(|name| MESHES.map(|mesh| (*name, mesh))) {
        let model = BoxModel::with("mesh", &format!("{BOX}\n{mesh}"));
        let (Some(file), Some(truth)) = (common::media(name), Truth::of(name)) else { return };
        let (frames, messages) =
            run(&format!("{} ! facecrop model={} ! appsink name=out", decoded(&file), model.0.display()));
        assert_eq!(error(&messages), None, "{name}");
        let (errors, found) = errors(&frames, &truth);
        let mean = errors.iter().sum::<f32>() / errors.len() as f32;
        let faded = frames.iter().flat_map(|frame| &frame.faces).filter(|face| face.reason.is_some()).count();
        println!("{name}, {points:?}: found {:.1} %, corners {mean:.2} % mean, {faded} faces fade", 100.0 * found);
        assert!(found >= 0.99 && mean <= 3.5, "{name}: {found} {mean}");
        for face in frames.iter().flat_map(|frame| &frame.faces) {
            assert_eq!((face.points.len(), face.point_set), (points.count(), points));
            // Smoothed alike.
            for (own, ibug) in [(61, 48), (291, 54), (152, 8), (13, 62)] {
                let ([x, y], [u, v]) = (face.points[own], face.landmarks[ibug]);
                assert!((x - u).hypot(y - v) < 1e-2, "{name}: {own} {ibug}");
            }
        }
    }
}

#[test]
fn a_generator_is_fed_the_networks_own_points() {
    let Some(face) = common::media("portrait/man_generated_1024x1536.png") else { return };
    let model = model("mesh-fed", MESH, "[61, 291, 61]");
    std::fs::write(
        model.0.join("graph.toml"),
        "inputs = [{ name = \"lips\", shape = [0, 3, 2] }]\noutputs = [{ name = \"out\", shape = [0, 3, 80, 96] }]\n\
         range = [0, 1]",
    )
    .unwrap();
    let file = model.0.join("model.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("graph.onnx", "graph.toml")).unwrap();
    let (frames, messages) = run(&format!(
        "{} ! imagefreeze num-buffers=10 ! video/x-raw,framerate=25/1 ! facecrop ! lipsyncgen name=g model={} backend=test ! \
         appsink name=out audiotestsrc num-buffers=100 ! audio/x-raw,rate=16000 ! queue ! audiofeatures ! g.features",
        decoded(&face),
        model.0.display()
    ));
    assert_eq!(error(&messages), None);
    let made = frames.iter().flat_map(|frame| &frame.faces).filter_map(|face| {
        let to_crop = face.crop_to_frame.invert()?;
        let at = |i: usize| {
            let [x, y] = to_crop.apply(face.points[i]);
            x / 96.0 + y / 80.0
        };
        match face.generated.as_ref()? {
            // The mean of the six numbers.
            gstlipsync::face_meta::Generated::Image(patch) => Some((patch.data[0], (2.0 * at(61) + at(291)) / 6.0)),
            _ => None,
        }
    });
    let made: Vec<_> = made.collect();
    assert!(!made.is_empty());
    for (grey, mean) in made {
        assert!((f32::from(grey) / 255.0 - mean).abs() < 0.01, "{grey} {mean}");
    }
}

#[test]
fn points_that_the_network_does_not_find_are_named_before_anything_plays() {
    common::init();
    let failure = |properties: &str| {
        let pipeline = gst::parse::launch(&format!("videotestsrc ! facecrop {properties} ! fakesink")).unwrap();
        assert!(pipeline.set_state(gst::State::Ready).is_err(), "{properties}");
        let bus = pipeline.bus().unwrap();
        let messages: Vec<_> = std::iter::from_fn(|| bus.pop()).collect();
        pipeline.set_state(gst::State::Null).unwrap();
        error(&messages).unwrap_or_default()
    };
    let default = model("mesh-default", "", "[61]");
    let nowhere = model("mesh-nowhere", "landmarks = \"no-such-network\"", "[61]");
    let out = model("mesh-out", "landmarks = \"../../x\"", "[61]");
    let wanted = model("mesh-wanted", MESH, "[61]");
    // A detector that brings landmarks of its own keeps them.
    let detector = std::env::temp_dir().join(format!("facecrop-mesh-detector-{}", std::process::id()));
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/face_landmark_68");
    std::fs::create_dir_all(&detector).unwrap();
    for file in ["face_landmark_68.onnx", "landmarks.toml"] {
        std::fs::copy(network.join(file), detector.join(file)).unwrap();
    }
    let with_detector = format!("model={} detector={}", wanted.0.display(), detector.display());
    let named = |model: &BoxModel| format!("model={}", model.0.display());
    for (properties, words) in [
        (
            named(&default),
            &["input \"lips\" takes points = \"mediapipe-478\"", "finds ibug-68", "`landmarks` in [facecrop]"][..],
        ),
        (named(&nowhere), &["model.toml: landmarks = \"no-such-network\"", "was not found"]),
        (named(&out), &["landmarks = \"../../x\": leads out of the folder"]),
        (with_detector, &["finds ibug-68", "which the detector's folder brings"]),
    ] {
        let error = failure(&properties);
        assert!(words.iter().all(|word| error.contains(word)), "{properties}: {error}");
    }
    std::fs::remove_dir_all(&detector).unwrap();
}
