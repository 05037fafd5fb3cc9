// SPDX-License-Identifier: MPL-2.0
//! What finds new faces: SeetaFace, or a graph, as a folder says.

use std::path::Path;

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::boxes::Found;
use super::graph::Graph;
use super::landmarks::{self, LandmarkNet};
use super::recipe::{self, DetectorRecipe, Fit, Heads, NetworkRecipe};
use super::seeta::Seeta;
use super::shape::Placement;
use crate::geometry::{Affine, Rect};
use crate::model::find_folder;
use crate::runtime::Cancel;

/// What the property `detector` calls the folder `models/seetaface`.
pub const SEETA: &str = "seeta";

const SEETA_FOLDER: &str = "seetaface";

/// Where a folder says what its detector is.
const FILE: &str = "detector.toml";

pub enum Detector {
    Seeta(Seeta),
    Network(Box<Network>),
}

/// Opens what `spec` names: `seeta`, or a folder (name or path) with a `detector.toml`, a `landmarks.toml` or both. A detector
/// that the folder does not bring is the default's; landmarks that it does not bring are `None`. `cancel` ends whatever is
/// waited for. The error is for the user.
pub fn open(spec: &str, cancel: &Cancel) -> Result<(Detector, Option<LandmarkNet>), String> {
    let named = |name: &str| find_folder(name).map_err(|e| format!("detector: {e}"));
    let folder = named(if spec == SEETA { SEETA_FOLDER } else { spec })?;
    let (own, recipe) = (folder.join(landmarks::FILE), recipe::read::<DetectorRecipe>(&folder, FILE)?);
    let net = match recipe.as_ref().and_then(|recipe| recipe.landmarks.as_deref()) {
        Some(name) => Some(LandmarkNet::open(&landmarks::folder_called(name, &folder, FILE)?, cancel)?),
        None if own.is_file() => Some(LandmarkNet::open(&folder, cancel)?),
        None if recipe.is_some() => None,
        None => {
            return Err(format!(
                "detector \"{spec}\": {} holds neither a {FILE} nor a {}; set detector to \"{SEETA}\" or to a folder that does",
                folder.display(),
                landmarks::FILE
            ));
        }
    };
    let detector = match recipe {
        Some(recipe) => Detector::open(&folder, &recipe, cancel)?,
        None => {
            let folder = named(SEETA_FOLDER)?;
            let recipe = recipe::read(&folder, FILE)?.ok_or_else(|| format!("{} holds no {FILE}", folder.display()))?;
            Detector::open(&folder, &recipe, cancel)?
        }
    };
    Ok((detector, net))
}

impl Detector {
    fn open(folder: &Path, recipe: &DetectorRecipe, cancel: &Cancel) -> Result<Self, String> {
        let file = recipe::file_in(folder, FILE, &recipe.file)?;
        match &recipe.network {
            None => Seeta::open(&file, cancel).map(Self::Seeta),
            Some(network) => Network::open(&file, network, cancel).map(|network| Self::Network(Box::new(network))),
        }
    }
}

/// A detector that is a graph.
pub struct Network {
    graph: Graph,
    recipe: NetworkRecipe,
}

impl Network {
    fn open(file: &Path, recipe: &NetworkRecipe, cancel: &Cancel) -> Result<Self, String> {
        Self::of(Graph::open(file, &recipe.picture, &[], cancel)?, recipe)
    }

    pub fn of(mut graph: Graph, recipe: &NetworkRecipe) -> Result<Self, String> {
        let (tensors, found) = graph.try_out()?;
        recipe
            .faces(&tensors)
            .map_err(|expected| format!("{}: expected {expected}, found {found}", graph.file.display()))?;
        Ok(Self { graph, recipe: recipe.clone() })
    }

    /// The faces in a frame, best first. The error is for the user.
    pub fn detect(&mut self, frame: &VideoFrameRef<&gst::BufferRef>) -> Result<Vec<Placement>, String> {
        let placement = |face: &Found| {
            let by_points = face.points.and_then(|[left_eye, right_eye, _, left, right]| {
                Placement::from_features(&[left_eye, right_eye, left, right])
            });
            by_points.unwrap_or_else(|| Placement::from_box(&face.bbox))
        };
        Ok(self.faces(frame)?.iter().map(placement).collect())
    }

    /// In pixels of the frame.
    fn faces(&mut self, frame: &VideoFrameRef<&gst::BufferRef>) -> Result<Vec<Found>, String> {
        let found = self.faces_at(frame, 1.0)?;
        // Trained on faces in crowds, it does not see one that fills the picture.
        if found.is_empty() && matches!(self.recipe.heads, Heads::Scrfd { .. }) {
            return self.faces_at(frame, 0.5);
        }
        Ok(found)
    }

    /// `scale`: 1 = the frame fills the network's picture.
    fn faces_at(&mut self, frame: &VideoFrameRef<&gst::BufferRef>, scale: f32) -> Result<Vec<Found>, String> {
        let size = self.recipe.picture.size;
        let (w, h) = (frame.width() as f32, frame.height() as f32);
        let (across, down) = (size.width as f32 / w * scale, size.height as f32 / h * scale);
        let (across, down) = match self.recipe.fit {
            Fit::Stretch => (across, down),
            Fit::Letterbox => (across.min(down), across.min(down)),
        };
        let width = ((w * across).round() as usize).clamp(1, size.width);
        let height = ((h * down).round() as usize).clamp(1, size.height);
        let to_frame = Affine::scale(w / width as f32, h / height as f32);
        let tensors = self.graph.look(frame, &to_frame, [width, height]).map_err(|e| e.to_string())?;
        let mut faces = self.recipe.faces(&tensors).map_err(|expected| {
            format!("{}: expected {expected}, found other tensors than at first", self.graph.file.display())
        })?;
        for face in &mut faces {
            let Rect { x, y, w, h } = face.bbox;
            let ([x, y], [right, bottom]) = (to_frame.apply([x, y]), to_frame.apply([x + w, y + h]));
            face.bbox = Rect::new(x, y, right - x, bottom - y);
            face.points.iter_mut().flatten().for_each(|p| *p = to_frame.apply(*p));
        }
        Ok(faces)
    }
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;

    /// A folder of this name that goes with this value.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("facecrop-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn error(&self) -> String {
            open(self.0.to_str().unwrap(), &Cancel::default()).err().unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_wrong_with_a_folder_is_said_in_words() {
        let folder = Folder::new("detector");
        let error = folder.error();
        assert!(error.contains("holds neither a detector.toml nor a landmarks.toml"), "{error}");
        for (toml, words) in [
            ("kind = \"scrfd\"", &["detector.toml", "line 1", "missing field `file`"][..]),
            ("kind = \"scrfd\"\nfile = \"../x.onnx\"", &["file = \"../x.onnx\": expected a file inside the folder"]),
            ("kind = \"scrfd\"\nfile = \"x.onnx\"", &["file = \"x.onnx\": there is no", "README.md"]),
            ("kind = \"seeta\"\nfile = \"no.bin\"", &["no.bin"]),
            ("kind = \"seeta\"\nfile = \"no.bin\"\nlandmarks = \"nowhere\"", &["\"nowhere\" was not found"]),
            ("kind = \"seeta\"\nfile = \"no.bin\"\nlandmarks = \"./sub\"", &["sub holds no landmarks.toml"]),
            (
                "kind = \"seeta\"\nfile = \"no.bin\"\nlandmarks = \"../../x\"",
                &["landmarks = \"../../x\": leads out of the folder"],
            ),
            ("kind = \"seeta\"\nfile = \"no.bin\"\nlandmarks = \"./../x\"", &["landmarks = \"./../x\": leads out"]),
        ] {
            std::fs::write(folder.0.join(FILE), toml).unwrap();
            std::fs::write(folder.0.join("no.bin"), b"not a model").unwrap();
            let error = folder.error();
            assert!(words.iter().all(|w| error.contains(w)), "{toml}: {error}");
        }
    }

    /// The landmark network is a graph with other tensors than any detector.
    #[test]
    fn a_graph_of_another_kind_is_said_to_be_one() {
        let folder = Folder::new("other-kind");
        let graph = concat!(env!("CARGO_MANIFEST_DIR"), "/models/face_landmark_68/face_landmark_68.onnx");
        std::fs::copy(graph, folder.0.join("x.onnx")).unwrap();
        for (toml, words) in [
            ("kind = \"scrfd\"", "expected one input (1, 3, 640, 640), found input (?, 3, 112, 112)"),
            (
                "kind = \"scrfd\"\nsize = [112, 112]",
                "expected of stride 8, scores (392, 1) and boxes (392, 4), found landmarks (1, 136)",
            ),
            (
                "kind = \"retinaface\"\nsize = [112, 112]",
                "expected scores (522, 2) and boxes (522, 4), found landmarks",
            ),
        ] {
            std::fs::write(folder.0.join(FILE), format!("file = \"x.onnx\"\n{toml}")).unwrap();
            let error = folder.error();
            assert!(error.contains("x.onnx") && error.contains(words), "{toml}: {error}");
        }
        std::fs::remove_file(folder.0.join(FILE)).unwrap();
        for (toml, words) in [
            ("size = [96, 96]", "expected one input (1, 3, 96, 96), found input (?, 3, 112, 112)"),
            ("size = [112, 112]\noutput = \"points\"", "expected an output \"points\", found landmarks (?, 136)"),
            (
                "size = [112, 112]\npoints = \"wflw-98\"",
                "points = \"wflw-98\": expected one output of 196 numbers, found landmarks (1, 136)",
            ),
            (
                "size = [112, 112]\noutput = \"landmarks\"\npresence = \"landmarks\"",
                "presence = \"landmarks\": expected an output of one number, found landmarks (1, 136)",
            ),
            ("size = [112, 112]\ndimensions = 3", "expected one output of 204 numbers, found landmarks (1, 136)"),
            (
                "size = [112, 112]\nlayout = \"heatmap\"",
                "expected one output (1, 204, rows, columns), found landmarks (1, 136)",
            ),
        ] {
            std::fs::write(folder.0.join(landmarks::FILE), format!("file = \"x.onnx\"\n{toml}")).unwrap();
            let error = folder.error();
            assert!(error.contains("x.onnx") && error.contains(words), "{toml}: {error}");
        }
    }

    #[derive(serde::Deserialize)]
    struct Truth {
        frames: Vec<Vec<TrueFace>>,
    }

    #[derive(serde::Deserialize)]
    struct TrueFace {
        r#box: [f32; 4],
        kps: [[f32; 2]; 5],
    }

    /// What the detector finds on stills lies where the test media's truth says, itself SCRFD's. The points too, where there
    /// are some. The boxes of others are looser, and each may be wrong once: to UltraFace the cat is a face.
    #[test]
    fn boxes_and_points_lie_on_the_faces() {
        gst::init().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let media = root.join("../shared/media");
        if !media.exists() {
            return eprintln!("skipped: {} is not there", media.display());
        }
        #[derive(serde::Deserialize)]
        struct Wrapped {
            truth: Truth,
        }
        for (folder, file, least, wrong) in [
            ("scrfd", "scrfd_2.5g_kps.onnx", 0.95, 0),
            ("ultraface", "ulfg_RFB-320.onnx", 0.75, 1),
            ("retinaface", "openseeface_retinaface_640x640_opt.onnx", 0.75, 1),
        ] {
            let recipe: DetectorRecipe = recipe::read(&root.join("models").join(folder), FILE).unwrap().unwrap();
            let mut network =
                Network::open(&media.join("models").join(file), &recipe.network.unwrap(), &Cancel::default()).unwrap();
            let mut mistakes = 0;
            for still in [
                "man_generated_1024x1536.png",
                "painting_monalisa_720x1280.jpg",
                "painted_woman_508x504.png",
                "cartoon3d_boy_852x852.jpg",
                "four_people_1024x484.jpg",
                "noface_cat_1080x1439.jpg",
            ] {
                let json = std::fs::read_to_string(media.join(format!("truth/portrait/{still}.json"))).unwrap();
                // What these files use of JSON is TOML but for the colons.
                let truth: Wrapped = toml::from_str(&format!("truth = {}", json.trim().replace("\":", "\"="))).unwrap();
                let pipeline = gst::parse::launch(&format!(
                    "filesrc location={} ! decodebin ! videoconvert ! video/x-raw,format=I420 ! appsink name=out",
                    media.join("portrait").join(still).display()
                ));
                let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
                let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
                pipeline.set_state(gst::State::Playing).unwrap();
                let sample = sink.pull_sample().unwrap();
                pipeline.set_state(gst::State::Null).unwrap();
                let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
                let frame = VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info).unwrap();
                let found = network.faces(&frame).unwrap();
                let wanted = &truth.truth.frames[0];
                mistakes += found.len().saturating_sub(wanted.len());
                for face in wanted {
                    let [left, top, right, bottom] = face.r#box;
                    let bbox = Rect::new(left, top, right - left, bottom - top);
                    let overlap = |f: &&Found| f.bbox.iou(&bbox);
                    let best = found.iter().max_by(|a, b| overlap(a).total_cmp(&overlap(b)));
                    println!("{folder} {still}: overlap {:.2}", best.as_ref().map_or(0.0, overlap));
                    let Some(best) = best.filter(|f| overlap(f) >= least) else {
                        mistakes += 1;
                        continue;
                    };
                    for (p, q) in best.points.iter().flatten().zip(face.kps) {
                        let off = (p[0] - q[0]).hypot(p[1] - q[1]) / bbox.w;
                        assert!(off < 0.1, "{folder} {still}: {p:?}, not {q:?}");
                    }
                }
            }
            assert!(mistakes <= wrong, "{folder}: {mistakes} mistakes");
        }
    }
}
