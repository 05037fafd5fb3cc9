// SPDX-License-Identifier: MPL-2.0
//! Fuzz target: what the graphs of a detector's folder may answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use parking_lot::Mutex;

use super::FaceSelect;
use super::analysis::{Analysis, Config};
use super::detector::{self, Detector, Network};
use super::graph::Graph;
use super::landmarks::{self, LandmarkNet};
use super::recipe::{DetectorRecipe, LandmarksRecipe, Picture};
use super::rule::Cutter;
use crate::face_meta::{Face, LANDMARKS};
use crate::fuzzing::{Info, Scripted};
use crate::geometry::Rect;
use crate::model::Model;
use crate::model::points::PointSet;
use crate::pixels::fuzz::Frame;
use crate::runtime::Cancel;

const MODEL: &str = include_str!("../../tests/models/flash/model.toml");

/// A recipe and what its graph yields.
type Recipe = (&'static str, &'static [Info<'static>]);

const DETECTORS: [Recipe; 3] = [
    (
        "kind = \"scrfd\"\nsize = [16, 8]\nstrides = [8]",
        &[("scores", &[1, 4, 1]), ("boxes", &[1, 4, 4]), ("points", &[1, 4, 10])],
    ),
    ("kind = \"ultraface\"\nsize = [16, 8]", &[("scores", &[1, 0, 2]), ("boxes", &[1, 0, 4])]),
    (
        "kind = \"retinaface\"\nsize = [16, 8]\nstrides = [8]\nmin-sizes = [[4, 9]]",
        &[("scores", &[1, 4, 2]), ("boxes", &[1, 4, 4]), ("points", &[1, 4, 10])],
    ),
];

const NETWORKS: [Recipe; 4] = [
    ("size = [16, 8]", &[("points", &[1, 136])]),
    ("size = [16, 8]\npoints = \"wflw-98\"", &[("points", &[0, 98, 2])]),
    (
        "size = [16, 8]\npoints = \"mediapipe-478\"\ndimensions = 3\nrange = [0, 256]\noutput = \"points\"\n\
         presence = \"presence\"\naround = { points = 468, level = [33, 263], scale = 1.5 }",
        &[("points", &[1, 1434]), ("presence", &[1, 1])],
    ),
    ("size = [16, 8]\nlayout = \"heatmap\"\npoints = \"openseeface-66\"", &[("points", &[1, 198, 0, 0])]),
];

const RULES: [&str; 4] = [
    "rule = \"box\"\npad = { bottom = \"10px\", left = \"-0.5\" }\nwhole = true",
    "rule = \"rectangle\"\nleft = \"min-x\"\nright = \"max(x1, x2 + 1)\"\ntop = \"y27 / x27\"\nbottom = \"top + right - left\"",
    "rule = \"similarity\"\nanchor = [48, 54]\nspan = [[36, 45], [48, 54]]\nscale = 2.0",
    "rule = \"template\"\nmargin = 3\ntemplate = [[36, 3, 4], [45, 7, 4]]",
];

fn graph(
    u: &mut Unstructured,
    picture: &Picture,
    outputs: &[Info],
    wanted: &[&str],
) -> Result<std::result::Result<Graph, String>> {
    let session = Scripted::new(u, &[("in", &[1, 3, 8, 16])], outputs)?;
    Ok(Graph::of(Arc::new(Mutex::new(session)), Path::new("x"), picture, wanted, &Cancel::default()))
}

/// Faces are found, followed and cut out as the graphs answer.
pub fn faces(u: &mut Unstructured) -> Result<()> {
    let (text, outputs) = u.choose(&DETECTORS)?;
    let recipe: DetectorRecipe = toml::from_str(&format!("file = \"x\"\n{text}")).expect("checked by a plain test");
    let Some(recipe) = recipe.network else { return Ok(()) };
    let detector = graph(u, &recipe.picture, outputs, &[])?.and_then(|graph| Network::of(graph, &recipe));
    let (text, outputs) = u.choose(&NETWORKS)?;
    let recipe: LandmarksRecipe = toml::from_str(&format!("file = \"x\"\n{text}")).expect("checked by a plain test");
    let wanted: Vec<&str> = recipe.output.iter().chain(&recipe.presence).map(|name| &**name).collect();
    let net = graph(u, &recipe.picture, outputs, &wanted)?.and_then(|graph| LandmarkNet::of(graph, recipe));
    let (Ok(detector), Ok(net)) = (detector, net) else { return Ok(()) };
    let model = MODEL.replace("rule = \"box\"", u.choose(&RULES)?);
    let model = Model { folder: PathBuf::new(), manifest: toml::from_str(&model).expect("checked by a plain test") };
    let (model, mut analysis) = (Arc::new(model), Analysis::of(Detector::Network(Box::new(detector)), net));
    let select = [FaceSelect::Largest, FaceSelect::Central, FaceSelect::Track, FaceSelect::All];
    // As the properties allow.
    let region = |u: &mut Unstructured| {
        let [x, y, w, h] = u.arbitrary::<[i16; 4]>()?.map(f32::from);
        Ok(Rect::new(x, y, w.abs().max(1.0), h.abs().max(1.0)))
    };
    let config = Config {
        detect_interval: u.int_in_range(0..=3)?,
        select: *u.choose(&select)?,
        min_face_size: u.int_in_range(0..=64)?,
        smoothing: f32::from(u.arbitrary::<u8>()?) / 255.0,
        region: u.ratio(1, 4)?.then(|| region(u)).transpose()?,
    };
    let Some(frame) = Frame::new(u)? else { return Ok(()) };
    for _ in 0..u.int_in_range(1..=6)? {
        let dt = Duration::from_millis(u.arbitrary::<u16>()?.into());
        let found = frame.read(|frame| analysis.process(frame, None, dt, &config, &model));
        if let Some(Ok(faces)) = found {
            faces.iter().for_each(check);
        }
        analysis.take_events(None);
    }
    Ok(())
}

/// Whatever graphs answer, what leaves the element is a place in a plane.
fn check(face: &Face) {
    assert_eq!((face.crop.width, face.crop.height, face.crop.data.len()), (16, 16, 768));
    assert!(face.crop_to_frame.invert().is_some(), "{:?}", face.crop_to_frame);
    assert!((0.0..=1.0).contains(&face.weight) && (0.0..=1.0).contains(&face.confidence));
    assert!(face.points.is_empty() || face.points.len() == face.point_set.count());
    assert!(face.points.iter().flatten().all(|v| v.is_finite()), "{:?}", face.points);
    assert!(face.landmarks.iter().flatten().all(|v| v.is_finite()), "{:?}", face.landmarks);
    let Rect { x, y, w, h } = face.bbox;
    assert!([x, y, w, h].iter().all(|v| v.is_finite()), "{:?}", face.bbox);
}

/// What the element does with a model, and with a folder that may be a detector's too.
pub fn open(model: &Model) {
    if let Ok(cutter) = Cutter::new(&model.manifest.facecrop, PointSet::Ibug68) {
        let points = std::array::from_fn::<_, LANDMARKS, _>(|i| [(i % 9) as f32, (i / 9) as f32]);
        cutter.place(&Rect::new(1.0, 2.0, 9.0, 8.0), &points, &[]);
    }
}

/// What the element does with a detector's folder.
pub fn open_detector(folder: &Path) {
    if folder.join(landmarks::FILE).exists() {
        let _ = folder.to_str().map(|spec| detector::open(spec, &Cancel::default()));
    }
}
