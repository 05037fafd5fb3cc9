// SPDX-License-Identifier: MPL-2.0
//! Fuzz targets: which rows belong to a frame, and what graphs may answer.

use std::path::PathBuf;
use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};
use parking_lot::Mutex;

use super::generator::{self, Generator};
use super::memory::{Recall, Recalls};
use super::tensors::FaceInput;
use super::window::{RowStore, Window};
use crate::face_meta::{Generated, LANDMARKS, RgbImage};
use crate::fuzzing::{Info, Scripted, many, numbers};
use crate::model::Model;
use crate::model::manifest::{End, Rows};
use crate::model::points::PointSet;
use crate::runtime::{Backend, Options, RuntimeError, SharedSession};

/// Running time, ns.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Time {
    Any(i64),
    Milliseconds(i16),
}

impl Time {
    fn ns(self) -> i64 {
        match self {
            Self::Any(ns) => ns,
            Self::Milliseconds(ms) => i64::from(ms) * 1_000_000,
        }
    }
}

/// What happens to a store.
#[derive(Arbitrary, Debug)]
enum Step {
    Push {
        time: Time,
        offset: i64,
        discont: bool,
        silent: bool,
        rows: u8,
    },
    /// Rows that follow those before.
    Follow {
        silent: bool,
        rows: u8,
    },
    End,
    Clear,
    Forget(Time),
    Look(Time),
}

/// Rows come, are looked at and forgotten in any order; their times and numbers are what buffers say.
pub fn rows(data: &[u8]) {
    let _ = any_rows(&mut Unstructured::new(data));
}

fn any_rows(u: &mut Unstructured) -> Result<()> {
    let width = u.int_in_range(1..=3)?;
    let rate = (u.int_in_range(4000..=192_000)?, *u.choose(&[160, 200, 320, 640, 1, 192_000_000])?);
    let wanted = Rows {
        before: u.int_in_range(0..=10_000)? >> u.int_in_range(0..=13)?,
        count: (u.int_in_range(1..=10_000)? >> u.int_in_range(0..=13)?).max(1),
        end: *u.choose(&[End::Zero, End::Edge, End::Clamp])?,
        rate: u.arbitrary::<bool>()?.then(|| u.int_in_range(1..=1000)).transpose()?,
    };
    let beyond = u.int_in_range(0..=10_000)? >> u.int_in_range(0..=13)?;
    // One remembers everything.
    let [mut whole, mut forgetful] = [(); 2].map(|()| RowStore::new(width, rate, beyond));
    let (mut next, mut forgotten) = (0i64, i64::MIN);
    for step in u.arbitrary_iter::<Step>()? {
        let stores = [&mut whole, &mut forgetful];
        match step? {
            Step::Push { time, offset, discont, silent, rows } => {
                let numbers = vec![f32::from(rows); usize::from(rows) * width];
                stores.into_iter().for_each(|store| store.push(time.ns(), offset, discont, silent, &numbers));
                next = offset.saturating_add(rows.into());
            }
            Step::Follow { silent, rows } => {
                let numbers: Vec<f32> = (0..usize::from(rows) * width).map(|k| k as f32).collect();
                stores.into_iter().for_each(|store| store.push(0, next, false, silent, &numbers));
                next = next.saturating_add(rows.into());
            }
            Step::End => stores.into_iter().for_each(RowStore::end),
            Step::Clear => {
                stores.into_iter().for_each(RowStore::clear);
                forgotten = i64::MIN;
            }
            Step::Forget(time) => {
                forgetful.forget(time.ns(), wanted);
                forgotten = forgotten.max(time.ns());
            }
            Step::Look(time) => look(&whole, &forgetful, time.ns(), forgotten, width, wanted),
        }
        let _ = (whole.known_until(), forgetful.known_until());
    }
    Ok(())
}

fn look(whole: &RowStore, forgetful: &RowStore, time: i64, forgotten: i64, width: usize, wanted: Rows) {
    for store in [whole, forgetful] {
        let window = store.window(time, wanted);
        if let Window::Rows(rows) = &window {
            assert_eq!(rows.len(), wanted.count as usize * width);
        }
        assert_eq!(store.is_ready(time, wanted), window != Window::Wait);
        store.voice(time, wanted);
    }
    if time >= forgotten {
        assert_eq!(whole.window(time, wanted), forgetful.window(time, wanted));
        assert_eq!(whole.voice(time, wanted), forgetful.voice(time, wanted));
    }
}

const HEAD: &str = r#"
name = "fuzz"
[audiofeatures]
id = "x"
kind = "fbank"
sample-rate = 16000
n-mels = 4
[facecrop]
size = [8, 8]
rule = "box"
"#;

/// What a manifest has to say of its graphs, and their inputs and outputs.
type Chain = (&'static str, &'static [(&'static [Info<'static>], &'static [Info<'static>])]);

const CHAINS: [Chain; 3] = [
    (
        r#"
[[lipsyncgen.graph]]
file = "0"
[[lipsyncgen.graph.input]]
name = "sound"
from = "features"
rows = { before = 1, count = 3, end = "edge" }
layout = "n1wr"
[[lipsyncgen.graph.input]]
name = "pictures"
from = ["masked", "reference"]
layout = "nchw"
mask = { rows = [4, 8], fill = 0 }
[lipsyncgen.output]
kind = "image"
name = "out"
range = [-1, 1]
"#,
        &[(&[("sound", &[0, 1, 4, 3]), ("pictures", &[0, 6, 8, 8])], &[("out", &[0, 3, 8, 8])])],
    ),
    (
        r#"
[[lipsyncgen.graph]]
file = "0"
[[lipsyncgen.graph.input]]
name = "points"
from = "landmarks"
layout = "npc"
[[lipsyncgen.graph.input]]
name = "remembered"
from = ["face", "memory"]
layout = "nchw"
[[lipsyncgen.graph.input]]
name = "remembered-points"
from = "memory-landmarks"
layout = "npc"
[[lipsyncgen.graph.input]]
name = "remembered-weight"
from = "memory-weight"
[lipsyncgen.output]
kind = "warp"
upper = "u"
lower = "l"
edges = "e"
inner = "i"
weight = "w"
inner-area = [0.25, 0.5, 0.75, 1]
"#,
        &[(
            &[
                ("points", &[0, 68, 2]),
                ("remembered", &[0, 6, 8, 8]),
                ("remembered-points", &[0, 68, 2]),
                ("remembered-weight", &[0, 1]),
            ],
            &[
                ("u", &[0, 2, 5, 4]),
                ("l", &[0, 2, 5, 4]),
                ("e", &[0, 2, 5, 4]),
                ("i", &[0, 4, 7, 9]),
                ("w", &[0, 1, 5, 4]),
            ],
        )],
    ),
    (
        r#"
[[lipsyncgen.graph]]
file = "0"
cache = true
outputs = { latent = "first" }
[[lipsyncgen.graph.input]]
name = "picture"
from = "face"
layout = "nchw"
[[lipsyncgen.graph]]
file = "1"
cache = true
[[lipsyncgen.graph.input]]
name = "picture"
from = "reference"
layout = "nchw"
[[lipsyncgen.graph]]
file = "2"
[[lipsyncgen.graph.input]]
name = "latents"
from = ["first", "latent"]
[[lipsyncgen.graph.input]]
name = "step"
from = "constant"
value = 7
shape = [1]
[lipsyncgen.output]
kind = "image"
name = "out"
range = [0, 1]
round = "truncate"
"#,
        &[
            (&[("picture", &[0, 3, 8, 8])], &[("latent", &[0, 4, 0])]),
            (&[("picture", &[0, 3, 8, 8])], &[("latent", &[0, 4, 0])]),
            (&[("latents", &[0, 0, 0]), ("step", &[1])], &[("out", &[0, 3, 8, 8])]),
        ],
    ),
];

/// Faces go through a model's graphs.
pub fn generate(u: &mut Unstructured) -> Result<()> {
    let (chain, graphs) = u.choose(&CHAINS)?;
    let manifest = toml::from_str(&format!("{HEAD}{chain}"));
    let model = Model { folder: PathBuf::new(), manifest: manifest.expect("checked by a plain test") };
    let mut sessions = Vec::new();
    for (inputs, outputs) in *graphs {
        let session: SharedSession = Arc::new(Mutex::new(Scripted::new(u, inputs, outputs)?));
        sessions.push(session);
    }
    let opened = Generator::of(&model, |graph| {
        let file = &graph.file.0[0];
        let session = file.parse().ok().and_then(|k: usize| sessions.get(k));
        Ok((session.ok_or_else(|| RuntimeError("no such graph".into()))?.clone(), (&**file).into()))
    });
    let Ok(generator) = opened else { return Ok(()) };
    for _ in 0..u.int_in_range(1..=4)? {
        let faces = (0..u.int_in_range(1..=3)?).map(|_| face(u, &model)).collect::<Result<Vec<_>>>()?;
        if let Ok(made) = generator.run(&faces) {
            assert_eq!(made.len(), faces.len());
            made.iter().for_each(check);
        }
    }
    Ok(())
}

fn face(u: &mut Unstructured, model: &Model) -> Result<FaceInput> {
    let mut picture = || {
        let data = vec![u.arbitrary::<u8>()?; 8 * 8 * 3];
        Ok(Arc::new(RgbImage { width: 8, height: 8, data }))
    };
    let (crop, reference, remembered) = (picture()?, picture()?, picture()?);
    let rows = generator::windows(model).iter().map(|rows| many(u, rows.count as usize * 4)).collect::<Result<_>>()?;
    let landmarks = [numbers(u)?; LANDMARKS];
    let open = u.arbitrary::<bool>()?.then_some(Recall { crop: remembered, landmarks, weight: 0.5 });
    let memory = Recalls { open, closed: None };
    let (points, point_set) = (Vec::new(), PointSet::Ibug68);
    Ok(FaceInput { windows: Arc::new(rows), landmarks, points, point_set, crop, reference, memory })
}

/// Whatever graphs yield, what leaves the generator can be shown.
fn check(made: &Generated) {
    match made {
        Generated::Image(image) => assert_eq!((image.width, image.height, image.data.len()), (8, 8, 192)),
        Generated::Warp(warp) => {
            let size = warp.width * warp.height;
            let inner = warp.inner_grid.map_or(0, |grid| grid.width * grid.height);
            for (plane, count) in [
                (&warp.upper, 2 * size),
                (&warp.lower, 2 * size),
                (&warp.edges, 2 * size),
                (&warp.inner, 4 * inner),
                (&warp.weight, size),
            ] {
                assert!(plane.len() == count && plane.iter().all(|value| value.is_finite()));
            }
        }
    }
}

/// What the element does with a model.
pub fn open(model: &Model) {
    let options = Options { backend: Backend::Test, device: "cpu".into(), threads: 1 };
    let _ = Generator::open(model, &options).map(|generator| generator.devices());
}
