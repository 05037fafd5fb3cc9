// SPDX-License-Identifier: MPL-2.0
//! `[[lipsyncgen.graph.input]]`: what fills a tensor.

use serde::Deserialize;

use super::super::super::points::PointSet;
use super::super::super::values::{Checked, Name, OneOrMany, Range, Size};
use super::{AudioFeatures, MAX_NUMBERS};
use crate::face_meta::LANDMARKS;

/// One input tensor and what it is filled with. Tensors are converted to the element type that the graph asks for.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "RawInput")]
pub struct Input {
    pub name: Name,
    pub source: Source,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Rows of features around the frame's time. `shape` are the axes after the batch where the layout's are not meant.
    Features { rows: Rows, layout: FeatureLayout, shape: Option<Vec<usize>> },
    /// (N, points, 2) landmarks in crop fractions.
    Landmarks(Select),
    /// (N, 68, 2) landmarks of what [`Picture::Memory`] shows, in fractions of that crop; where nothing is remembered, those of
    /// the present one.
    MemoryLandmarks(Remembered),
    /// (N, 1) how much of [`Picture::Memory`] is to be used: 0 where nothing is remembered, or it was remembered at this very
    /// frame; 1 from 300 ms of running time after that. Before another crop takes the place of the one that is remembered, the
    /// weight falls to 0 within 200 ms.
    MemoryWeight(Remembered),
    /// (N, 3·k, H, W): the k pictures one after the other along the channels, colours in the order of `[facecrop] color`.
    Pictures { pictures: Vec<Picture>, range: Range, mask: Option<Mask>, normal: Option<Normal> },
    /// The same for all frames; `shape` is the whole shape, without a batch axis.
    Constant { value: Vec<f32>, shape: Vec<usize> },
    /// Outputs of earlier graphs, joined along axis 1.
    Earlier(Vec<Name>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// The crop.
    Face,
    /// The crop with the mask's rectangle filled.
    Masked,
    /// The first crop of the face's track.
    Reference,
    /// Of all crops of the face's track so far, the best of a kind. Where there was none yet: the present crop. See
    /// [`Source::MemoryWeight`].
    Memory(Remembered),
}

/// Of which look of a person's mouth the best crop is kept: facing the camera, sharp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// `memory`: it shows most of the mouth's inside, lips apart by 8 % of the mouth's width or more, and teeth between them.
    Open,
    /// `closed`: lips apart by 3 % of the mouth's width or less.
    Closed,
}

/// Which landmarks, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    pub points: PointSet,
    /// Numbers in `points`; the same one may come twice.
    pub indices: Vec<usize>,
}

/// An input takes so many landmarks at most: more than any set has.
const MAX_SELECT: usize = 1024;

/// Which rows belong to a frame: `count` rows, the first one `before` rows ahead of the frame's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    pub before: u32,
    pub count: u32,
    pub end: End,
    /// Frames a second of the videos that the model knows, where several rows make one of these frames: a frame's own row
    /// is the first one of the last of them that has begun by its time.
    pub rate: Option<u32>,
}

/// What stands where a window reaches beyond the sound.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Zeros.
    Zero,
    /// The first or last row again.
    Edge,
    /// The nearest whole window (the first or the last).
    Clamp,
}

/// Seconds of sound behind a frame's time that a model may wait for: meanwhile all frames are held.
const MAX_AHEAD: usize = 10;

impl Input {
    /// How many numbers fill it for each face, as far as the manifest says; see [`super::LipsyncGen::check`].
    pub(super) fn numbers(&self, features: &AudioFeatures, crop: Size) -> Result<usize, String> {
        let row = features.width();
        let numbers = match &self.source {
            Source::Features { rows, shape, .. } => {
                let (count, before) = (rows.count as usize, rows.before as usize);
                if count.max(before) * row > MAX_NUMBERS {
                    return Err(format!(
                        "rows of input \"{}\": before = {before}, count = {count} rows of {row} numbers: expected at most {MAX_NUMBERS} \
                         numbers",
                        &*self.name
                    ));
                }
                let (rate, hop) = (features.sample_rate() as usize, features.hop());
                let after = count.saturating_sub(before + 1);
                if after * hop > MAX_AHEAD * rate {
                    return Err(format!(
                        "rows of input \"{}\": before = {before}, count = {count} reach {} s beyond the frame's time, expected at most \
                         {MAX_AHEAD} s",
                        &*self.name,
                        (after * hop).div_ceil(rate)
                    ));
                }
                if let Some(shape) = shape
                    && product(shape) != Some(count * row)
                {
                    return Err(format!(
                        "shape = {shape:?} of input \"{}\": expected axes that hold rows.count = {count} rows of {row} numbers",
                        &*self.name
                    ));
                }
                count * row
            }
            Source::Landmarks(select) => select.indices.len() * 2,
            Source::MemoryLandmarks(_) => LANDMARKS * 2,
            Source::MemoryWeight(_) => 1,
            Source::Pictures { pictures, .. } => 3 * pictures.len() * crop.width * crop.height,
            Source::Constant { value, .. } => value.len(),
            Source::Earlier(_) => 0,
        };
        Ok(numbers)
    }
}

/// How many numbers a tensor of that shape holds; `None` for more than [`MAX_NUMBERS`].
fn product(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1usize, |product, axis| product.checked_mul(*axis));
    product.filter(|numbers| *numbers <= MAX_NUMBERS)
}

/// Order of the axes after the batch, of which exactly one is `Rows` and one is `Width`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureLayout(Vec<Axis>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Rows,
    Width,
    One,
}

impl FeatureLayout {
    /// Reads "nrw" and the like: n batch, r rows, w width (the numbers of one row), 1 an axis of length one.
    fn parse(text: &str) -> Option<Self> {
        let axes = text.strip_prefix('n')?.chars().map(|c| match c {
            'r' => Some(Axis::Rows),
            'w' => Some(Axis::Width),
            '1' => Some(Axis::One),
            _ => None,
        });
        let axes = axes.collect::<Option<Vec<_>>>()?;
        let one = |axis: Axis| axes.iter().filter(|a| **a == axis).count() == 1;
        (one(Axis::Rows) && one(Axis::Width) && axes.len() <= 6).then_some(Self(axes))
    }

    /// The axes after the batch.
    pub fn shape(&self, rows: usize, width: usize) -> Vec<usize> {
        let length = |axis: &Axis| match axis {
            Axis::Rows => rows,
            Axis::Width => width,
            Axis::One => 1,
        };
        self.0.iter().map(length).collect()
    }

    /// Whether the numbers of one row lie side by side.
    pub fn is_row_by_row(&self) -> bool {
        self.0.iter().find(|axis| **axis != Axis::One) == Some(&Axis::Rows)
    }
}

/// A rectangle in crop pixels (end exclusive) and the value, in the tensor's range, that fills it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    pub rows: [usize; 2],
    pub columns: [usize; 2],
    pub fill: f32,
}

/// After the range: (v − mean) / std for each colour, in the tensor's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    name: Name,
    from: OneOrMany<Name>,
    rows: Option<RawRows>,
    rate: Option<Checked<u32, 1, 1000>>,
    layout: Option<Name>,
    shape: Option<Vec<Checked<u32, 1, 1_000_000>>>,
    range: Option<Range>,
    mask: Option<RawMask>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    value: Option<Value>,
    points: Option<PointSet>,
    select: Option<Vec<Checked<u32, 0, 1023>>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct RawRows {
    before: Checked<u32, 0, 10_000>,
    count: Checked<u32, 1, 10_000>,
    end: End,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct RawMask {
    rows: [Checked<u32, 0, 2048>; 2],
    columns: Option<[Checked<u32, 0, 2048>; 2]>,
    fill: f32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    One(f32),
    Many(Vec<f32>),
}

/// Keys that only some sources understand.
#[derive(Clone, Copy, PartialEq)]
enum Key {
    Rows,
    Rate,
    Layout,
    Shape,
    Range,
    Mask,
    Mean,
    Std,
    Value,
    Points,
    Select,
}

impl RawInput {
    /// An error where a key is given that is not among `known`.
    fn allow(&self, known: &[Key]) -> Result<(), String> {
        let keys = [
            ("rows", Key::Rows, self.rows.is_some()),
            ("rate", Key::Rate, self.rate.is_some()),
            ("layout", Key::Layout, self.layout.is_some()),
            ("shape", Key::Shape, self.shape.is_some()),
            ("range", Key::Range, self.range.is_some()),
            ("mask", Key::Mask, self.mask.is_some()),
            ("mean", Key::Mean, self.mean.is_some()),
            ("std", Key::Std, self.std.is_some()),
            ("value", Key::Value, self.value.is_some()),
            ("points", Key::Points, self.points.is_some()),
            ("select", Key::Select, self.select.is_some()),
        ];
        match keys.iter().find(|(_, key, given)| *given && !known.contains(key)) {
            Some((key, ..)) => {
                let from: Vec<&str> = self.from.0.iter().map(|f| &**f).collect();
                Err(format!("`{key}` means nothing for input \"{}\", which is from {from:?}", &*self.name))
            }
            None => Ok(()),
        }
    }

    fn layout(&self, expected: &str) -> Result<&str, String> {
        let name = &*self.name;
        self.layout.as_deref().ok_or_else(|| format!("input \"{name}\" needs `layout`: {expected}"))
    }

    fn features(&self) -> Result<Source, String> {
        self.allow(&[Key::Rows, Key::Rate, Key::Layout, Key::Shape])?;
        let name = &*self.name;
        let rows = self.rows.ok_or_else(|| {
            format!("input \"{name}\" needs `rows`, such as {{ before = 0, count = 16, end = \"edge\" }}")
        })?;
        let expected = "n, r, w and ones in the graph's order, such as \"nrw\" or \"n1wr\"";
        let layout = self.layout(expected)?;
        let layout = FeatureLayout::parse(layout)
            .ok_or_else(|| format!("layout = \"{layout}\" of input \"{name}\": expected {expected}"))?;
        let rate = self.rate.map(|rate| rate.0);
        let rows = Rows { before: rows.before.0, count: rows.count.0, end: rows.end, rate };
        Ok(Source::Features { rows, layout, shape: self.shape.as_deref().map(numbers) })
    }

    fn memory_landmarks(&self, of: Remembered) -> Result<Source, String> {
        self.allow(&[Key::Layout])?;
        self.points_layout().map(|()| Source::MemoryLandmarks(of))
    }

    /// The only layout of points.
    fn points_layout(&self) -> Result<(), String> {
        match self.layout("\"npc\"")? {
            "npc" => Ok(()),
            layout => Err(format!("layout = \"{layout}\" of input \"{}\": expected \"npc\"", &*self.name)),
        }
    }

    fn landmarks(&self) -> Result<Source, String> {
        self.allow(&[Key::Layout, Key::Points, Key::Select])?;
        self.points_layout()?;
        let name = &*self.name;
        let points = self.points.unwrap_or_default();
        let count = points.count();
        let Some(select) = &self.select else {
            return Ok(Source::Landmarks(Select { points, indices: (0..count).collect() }));
        };
        if select.is_empty() || select.len() > MAX_SELECT {
            return Err(format!("select of input \"{name}\" has {} numbers, expected 1 to {MAX_SELECT}", select.len()));
        }
        if let Some(beyond) = select.iter().find(|index| index.0 as usize >= count) {
            return Err(format!(
                "select of input \"{name}\": {}: expected 0 to {} (points = \"{}\")",
                beyond.0,
                count - 1,
                points.name()
            ));
        }
        Ok(Source::Landmarks(Select { points, indices: select.iter().map(|index| index.0 as usize).collect() }))
    }

    fn constant(&self) -> Result<Source, String> {
        self.allow(&[Key::Value, Key::Shape])?;
        let name = &*self.name;
        let shape = self.shape.as_deref().map_or_else(Vec::new, numbers);
        let count = product(&shape).ok_or_else(|| {
            format!("shape = {shape:?} of input \"{name}\": expected axes that hold at most {MAX_NUMBERS} numbers")
        })?;
        let value = match self.value.as_ref() {
            None => return Err(format!("input \"{name}\" is from \"constant\" and needs `value`: a number or a list")),
            Some(Value::One(v)) => vec![*v; count],
            Some(Value::Many(list)) => list.clone(),
        };
        if value.len() != count {
            return Err(format!(
                "value of input \"{name}\" has {} numbers, but shape = {shape:?} holds {count}",
                value.len()
            ));
        }
        if value.iter().any(|v| !v.is_finite()) {
            return Err(format!("value of input \"{name}\": expected finite numbers"));
        }
        Ok(Source::Constant { value, shape })
    }

    fn pictures(&self, pictures: Vec<Picture>) -> Result<Source, String> {
        self.allow(&[Key::Layout, Key::Range, Key::Mask, Key::Mean, Key::Std])?;
        let name = &*self.name;
        let layout = self.layout("\"nchw\"")?;
        if layout != "nchw" {
            return Err(format!("layout = \"{layout}\" of input \"{name}\": expected \"nchw\""));
        }
        let mask = self.mask.map(|m| {
            let [rows, columns] = [Some(m.rows), m.columns].map(|pair| pair.map(|p| p.map(|v| v.0 as usize)));
            Mask { rows: rows.unwrap_or_default(), columns: columns.unwrap_or([0, usize::MAX]), fill: m.fill }
        });
        if pictures.contains(&Picture::Masked) != mask.is_some() {
            return Err(format!("input \"{name}\": from = \"masked\" and `mask` need each other"));
        }
        if let Some(mask) = mask
            && (mask.rows[0] >= mask.rows[1] || mask.columns[0] >= mask.columns[1] || !mask.fill.is_finite())
        {
            return Err(format!(
                "mask of input \"{name}\": expected rows = [first, end] and columns likewise, with first < end, and a finite fill"
            ));
        }
        let normal = match (self.mean, self.std) {
            (None, None) => None,
            (mean, std) => Some(Normal { mean: mean.unwrap_or([0.0; 3]), std: std.unwrap_or([1.0; 3]) }),
        };
        if normal
            .is_some_and(|n| n.mean.iter().any(|v| !v.is_finite()) || n.std.iter().any(|v| v.is_nan() || *v <= 0.0))
        {
            return Err(format!(
                "input \"{name}\": expected `mean` of three finite numbers and `std` of three above 0"
            ));
        }
        Ok(Source::Pictures { pictures, range: self.range.unwrap_or(Range([0.0, 1.0])), mask, normal })
    }
}

fn numbers(list: &[Checked<u32, 1, 1_000_000>]) -> Vec<usize> {
    list.iter().map(|v| v.0 as usize).collect()
}

/// What fills a tensor by itself.
const ALONE: [&str; 7] =
    ["features", "landmarks", "memory-landmarks", "memory-weight", "closed-landmarks", "closed-weight", "constant"];

fn picture(name: &str) -> Option<Picture> {
    match name {
        "face" => Some(Picture::Face),
        "masked" => Some(Picture::Masked),
        "reference" => Some(Picture::Reference),
        "memory" => Some(Picture::Memory(Remembered::Open)),
        "closed" => Some(Picture::Memory(Remembered::Closed)),
        _ => None,
    }
}

impl TryFrom<RawInput> for Input {
    type Error = String;

    fn try_from(raw: RawInput) -> Result<Self, String> {
        let from: Vec<&str> = raw.from.0.iter().map(|f| &**f).collect();
        let pictures = from.iter().filter_map(|f| picture(f)).collect::<Vec<_>>();
        let source = match from.as_slice() {
            [] => return Err(format!("from of input \"{}\" is an empty list", &*raw.name)),
            ["features"] => raw.features()?,
            ["landmarks"] => raw.landmarks()?,
            ["memory-landmarks"] => raw.memory_landmarks(Remembered::Open)?,
            ["closed-landmarks"] => raw.memory_landmarks(Remembered::Closed)?,
            [name @ ("memory-weight" | "closed-weight")] => {
                raw.allow(&[])?;
                Source::MemoryWeight(if *name == "closed-weight" { Remembered::Closed } else { Remembered::Open })
            }
            ["constant"] => raw.constant()?,
            _ if pictures.len() == from.len() => raw.pictures(pictures)?,
            names if pictures.is_empty() && !names.iter().any(|name| ALONE.contains(name)) => {
                raw.allow(&[])?;
                Source::Earlier(raw.from.0.clone())
            }
            names => {
                return Err(format!(
                    "from = {names:?} of input \"{}\": expected \"{}\" or \"constant\" alone, one or more of \"face\", \"masked\", \
                     \"reference\", \"memory\" and \"closed\", or names of earlier outputs",
                    &*raw.name,
                    ALONE[..6].join("\", \"")
                ));
            }
        };
        Ok(Self { name: raw.name, source })
    }
}
