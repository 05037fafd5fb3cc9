// SPDX-License-Identifier: MPL-2.0
//! The keys of `[audiofeatures]` as they are written, and which belong to which kind.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::super::super::values::{Checked, Fraction, Name, OneOrMany};
use super::*;

/// A window of one run may hold this many numbers: more than any network is meant for. What stands in for sound beyond its ends
/// may hold so many numbers and samples.
const MAX_WINDOW: usize = 1 << 23;

/// Seconds of sound in a window: all that follows waits for it.
const MAX_SECONDS: usize = 60;

/// Tensors that a network keeps in mind: two for each layer of a deep one.
const MAX_STATES: usize = 64;

/// Rows that are computed each second. Speech has no more to tell, and each costs a Fourier transform.
const MAX_ROWS: u32 = 1000;

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    LogMel,
    Fbank,
    Waveform,
    Encoder,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::LogMel => "log-mel",
            Self::Fbank => "fbank",
            Self::Waveform => "waveform",
            Self::Encoder => "encoder",
        }
    }
}

/// Every key of every kind: one struct, so that a wrong value's error points at its own line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Section {
    kind: Kind,
    id: Option<Name>,
    sample_rate: Option<Checked<u32, 4000, 192_000>>,
    // log-mel, fbank
    preemphasis: Option<Fraction>,
    n_fft: Option<Checked<u32, 16, 65_536>>,
    win_length: Option<Checked<u32, 16, 65_536>>,
    hop_length: Option<Checked<u32, 1, 65_536>>,
    window: Option<Window>,
    center: Option<Center>,
    n_mels: Option<Checked<u32, 1, 1024>>,
    mel_scale: Option<MelScale>,
    mel_norm: Option<MelNorm>,
    f_min: Option<Checked<f64, 0, 96_000>>,
    f_max: Option<Checked<f64, 1, 96_000>>,
    power: Option<Checked<u32, 1, 2>>,
    level: Option<Level>,
    scale: Option<Checked<f64, 1, 1_000_000_000>>,
    // encoder
    front: Option<Box<Section>>,
    file: Option<OneOrMany<Name>>,
    input: Option<Name>,
    layout: Option<Layout>,
    lengths: Option<Name>,
    state: Option<BTreeMap<Name, Name>>,
    output: Option<Name>,
    width: Option<Checked<u32, 1, 1_048_576>>,
    rate: Option<Rate>,
    context: Option<[Checked<u32, 0, 8_388_608>; 2]>,
    offset: Option<Checked<f64, 0, 60>>,
    pad: Option<Padding>,
    beyond: Option<Checked<u32, 0, 10_000>>,
    normalise: Option<NormaliseName>,
    dynamic_db: Option<Checked<f64, 1, 1000>>,
}

/// `window` is a shape, or of an encoder a number of rows.
enum Window {
    Shape(WindowShape),
    Rows(usize),
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWritten;
        impl Visitor<'_> for AsWritten {
            type Value = Window;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("\"hann\", \"hamming\" or \"povey\", or of an encoder a number of rows")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Window, E> {
                match text {
                    "hann" => Ok(Window::Shape(WindowShape::Hann)),
                    "hamming" => Ok(Window::Shape(WindowShape::Hamming)),
                    "povey" => Ok(Window::Shape(WindowShape::Povey)),
                    _ => Err(E::unknown_variant(text, &["hann", "hamming", "povey"])),
                }
            }
            fn visit_i64<E: Error>(self, rows: i64) -> Result<Window, E> {
                match usize::try_from(rows) {
                    Ok(rows) if (1..=MAX_WINDOW).contains(&rows) => Ok(Window::Rows(rows)),
                    _ => Err(E::custom(format!("{rows}: expected a whole number from 1 to {MAX_WINDOW}"))),
                }
            }
        }
        deserializer.deserialize_any(AsWritten)
    }
}

/// The axes of a tensor, a letter or a 1 each.
struct Layout(Vec<WindowAxis>);

impl<'de> Deserialize<'de> for Layout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let axes: Option<Vec<WindowAxis>> = text
            .chars()
            .map(|c| match c {
                'n' | '1' => Some(WindowAxis::One),
                'r' => Some(WindowAxis::Row),
                'w' => Some(WindowAxis::Width),
                _ => None,
            })
            .collect();
        let count = |c| text.chars().filter(|x| *x == c).count();
        match axes {
            Some(axes) if count('n') == 1 && count('r') == 1 && count('w') <= 1 && axes.len() <= 8 => Ok(Self(axes)),
            _ => Err(D::Error::custom(format!(
                "layout = \"{text}\": expected n, r, w and any number of 1, such as \"nrw\" or \"n1wr\""
            ))),
        }
    }
}

/// Rows per second: `50` or `"25/1"`.
struct Rate(u32, u32);

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWritten;
        impl Visitor<'_> for AsWritten {
            type Value = Rate;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("rows per second, such as 50 or \"25/1\"")
            }
            fn visit_i64<E: Error>(self, rows: i64) -> Result<Rate, E> {
                self.visit_str(&format!("{rows}/1"))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
                let fraction = text.split_once('/').unwrap_or((text, "1"));
                match (fraction.0.parse(), fraction.1.parse()) {
                    (Ok(rows @ 1..=1_000_000), Ok(seconds @ 1..=1000)) => Ok(Rate(rows, seconds)),
                    _ => Err(E::custom(format!("rate = {text}: expected rows per second, such as 50 or \"25/1\""))),
                }
            }
        }
        deserializer.deserialize_any(AsWritten)
    }
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum NormaliseName {
    None,
    Dynamic,
    MeanVariance,
}

impl TryFrom<Section> for AudioFeatures {
    type Error = String;

    fn try_from(mut raw: Section) -> Result<Self, String> {
        raw.check_keys(true)?;
        let id = raw.id.take().ok_or("missing field `id`")?;
        let sample_rate = raw.sample_rate.ok_or("missing field `sample-rate`")?.0;
        if raw.kind == Kind::Waveform {
            return Err("kind = \"waveform\" is for the front of an encoder; expected log-mel, fbank or encoder".into());
        }
        if raw.kind != Kind::Encoder {
            return Ok(Self { id, front: raw.front(sample_rate)?, encoder: None });
        }
        let front = *raw.front.take().ok_or_else(|| raw.needs("front"))?;
        front.check_keys(false).map_err(|e| format!("front: {e}"))?;
        if front.kind == Kind::Encoder {
            return Err("front: expected kind = \"log-mel\", \"fbank\" or \"waveform\"".into());
        }
        let front = front.front(sample_rate).map_err(|e| format!("front: {e}"))?;
        let encoder = Some(raw.encoder(&front)?);
        Ok(Self { id, front, encoder })
    }
}

impl Section {
    fn needs(&self, key: &str) -> String {
        format!("kind = \"{}\" needs `{key}`", self.kind.name())
    }

    /// Whether every key that is there belongs to the kind.
    fn check_keys(&self, is_outermost: bool) -> Result<(), String> {
        use Kind::{Encoder as E, Fbank as F, LogMel as L};
        let keys: [(&str, bool, &[Kind]); 29] = [
            ("preemphasis", self.preemphasis.is_some(), &[L, F]),
            ("n-fft", self.n_fft.is_some(), &[L]),
            ("win-length", self.win_length.is_some(), &[L, F]),
            ("hop-length", self.hop_length.is_some(), &[L, F]),
            ("window", self.window.is_some(), &[L, F, E]),
            ("center", self.center.is_some(), &[L]),
            ("n-mels", self.n_mels.is_some(), &[L, F]),
            ("mel-scale", self.mel_scale.is_some(), &[L]),
            ("mel-norm", self.mel_norm.is_some(), &[L]),
            ("f-min", self.f_min.is_some(), &[L, F]),
            ("f-max", self.f_max.is_some(), &[L, F]),
            ("power", self.power.is_some(), &[L]),
            ("level", self.level.is_some(), &[L]),
            ("scale", self.scale.is_some(), &[F]),
            ("front", self.front.is_some(), &[E]),
            ("file", self.file.is_some(), &[E]),
            ("input", self.input.is_some(), &[E]),
            ("layout", self.layout.is_some(), &[E]),
            ("lengths", self.lengths.is_some(), &[E]),
            ("state", self.state.is_some(), &[E]),
            ("output", self.output.is_some(), &[E]),
            ("width", self.width.is_some(), &[E]),
            ("rate", self.rate.is_some(), &[E]),
            ("context", self.context.is_some(), &[E]),
            ("offset", self.offset.is_some(), &[E]),
            ("pad", self.pad.is_some(), &[E]),
            ("beyond", self.beyond.is_some(), &[E]),
            ("normalise", self.normalise.is_some(), &[E]),
            ("dynamic-db", self.dynamic_db.is_some(), &[E]),
        ];
        let foreign = keys.iter().find(|(_, is_there, kinds)| *is_there && !kinds.contains(&self.kind));
        if let Some((key, _, kinds)) = foreign {
            let kinds: Vec<_> = kinds.iter().map(|kind| format!("\"{}\"", kind.name())).collect();
            return Err(format!(
                "`{key}` belongs to kind = {}, but the kind is \"{}\"",
                kinds.join(" or "),
                self.kind.name()
            ));
        }
        match (is_outermost, &self.id, &self.sample_rate) {
            (true, ..) | (false, None, None) => Ok(()),
            _ => Err("`id` and `sample-rate` are those of the whole section".into()),
        }
    }

    fn front(&self, sample_rate: u32) -> Result<Front, String> {
        Ok(match self.kind {
            Kind::LogMel => Front::LogMel(self.log_mel(sample_rate)?),
            Kind::Fbank => Front::Fbank(self.fbank(sample_rate)?),
            Kind::Waveform | Kind::Encoder => Front::Waveform { sample_rate },
        })
    }

    fn log_mel(&self, sample_rate: u32) -> Result<LogMel, String> {
        let n_fft = self.n_fft.ok_or_else(|| self.needs("n-fft"))?.0;
        let win_length = self.win_length.map_or(n_fft, |w| w.0);
        if win_length > n_fft {
            return Err(format!("win-length = {win_length} must not exceed n-fft = {n_fft}"));
        }
        if n_fft % 2 != 0 {
            return Err(format!("n-fft = {n_fft} must be even"));
        }
        if !matches!(self.window, None | Some(Window::Shape(WindowShape::Hann))) {
            return Err("window of kind = \"log-mel\": expected \"hann\"".into());
        }
        let (f_min, f_max) =
            (self.f_min.ok_or_else(|| self.needs("f-min"))?, self.f_max.ok_or_else(|| self.needs("f-max"))?);
        let (f_min, f_max) = band(f_min.0, f_max.0, sample_rate)?;
        let level = self.level.ok_or_else(|| self.needs("level"))?;
        check_level(&level)?;
        Ok(LogMel {
            sample_rate,
            preemphasis: self.preemphasis.map_or(0.0, |p| p.0),
            n_fft: n_fft as usize,
            win_length: win_length as usize,
            hop_length: hop(self.hop_length.ok_or_else(|| self.needs("hop-length"))?.0, sample_rate)?,
            center: self.center.ok_or_else(|| self.needs("center"))?,
            n_mels: self.n_mels.ok_or_else(|| self.needs("n-mels"))?.0 as usize,
            mel_scale: self.mel_scale.ok_or_else(|| self.needs("mel-scale"))?,
            mel_norm: self.mel_norm.ok_or_else(|| self.needs("mel-norm"))?,
            f_min,
            f_max,
            power: self.power.ok_or_else(|| self.needs("power"))?.0,
            level,
        })
    }

    /// The defaults are what recognisers of 16 kHz speech are trained with.
    fn fbank(&self, sample_rate: u32) -> Result<Fbank, String> {
        let window = match &self.window {
            None => WindowShape::Povey,
            Some(Window::Shape(shape)) => *shape,
            Some(Window::Rows(_)) => {
                return Err("window of kind = \"fbank\": expected \"povey\", \"hann\" or \"hamming\"".into());
            }
        };
        let (f_min, f_max) = (self.f_min.map_or(20.0, |f| f.0), self.f_max.map_or(8000.0, |f| f.0));
        let (f_min, f_max) = band(f_min, f_max, sample_rate)?;
        Ok(Fbank {
            sample_rate,
            preemphasis: self.preemphasis.map_or(0.97, |p| p.0),
            win_length: self.win_length.map_or(400, |w| w.0 as usize),
            hop_length: hop(self.hop_length.map_or(160, |h| h.0), sample_rate)?,
            window,
            n_mels: self.n_mels.map_or(80, |n| n.0 as usize),
            f_min,
            f_max,
            scale: self.scale.map_or(32_768.0, |s| s.0 as f32),
        })
    }

    fn encoder(self, front: &Front) -> Result<Encoder, String> {
        let need = |key| format!("kind = \"encoder\" needs `{key}`");
        let window = match self.window {
            Some(Window::Rows(rows)) => rows,
            Some(Window::Shape(_)) => {
                return Err("window of kind = \"encoder\": expected a number of front rows".into());
            }
            None => return Err(need("window")),
        };
        let context = self.context.ok_or_else(|| need("context"))?.map(|rows| rows.0 as usize);
        let layout = self.layout.map_or(vec![WindowAxis::One, WindowAxis::Row, WindowAxis::Width], |layout| layout.0);
        if front.width() > 1 && !layout.contains(&WindowAxis::Width) {
            return Err("layout: w may be left out only where a front row is one number".into());
        }
        let files = self.file.ok_or_else(|| need("file"))?.0;
        if files.is_empty() {
            return Err("file = []: expected a file's name, or a list of some".into());
        }
        let Rate(rows, per) = self.rate.ok_or_else(|| need("rate"))?;
        // Front rows per answer, as a fraction.
        let stride = (u64::from(front.sample_rate()) * u64::from(per), front.hop() as u64 * u64::from(rows));
        if stride.0 % stride.1 != 0 {
            return Err(format!(
                "rate = {rows}/{per}: expected the rate of the front's rows, {}/{}, or a whole part of it",
                front.sample_rate(),
                front.hop()
            ));
        }
        let seconds = self.offset.map_or(0.0, |offset| offset.0);
        let offset = seconds * f64::from(front.sample_rate()) / front.hop() as f64;
        if (offset - offset.round()).abs() > 1e-3 || offset.round() >= window as f64 {
            return Err(format!(
                "offset = {seconds}: expected a whole number of front rows, {} s each, below window = {window}",
                front.hop() as f64 / f64::from(front.sample_rate())
            ));
        }
        let normalise = match (self.normalise.unwrap_or(NormaliseName::None), front) {
            (NormaliseName::Dynamic, Front::Waveform { .. }) => {
                return Err("normalise = \"dynamic\" is for levels, and the front is the waveform".into());
            }
            (NormaliseName::Dynamic, front) => {
                let per_db = match front {
                    Front::LogMel(recipe) => recipe.level.per_db(),
                    _ => std::f32::consts::LN_10 / 10.0,
                };
                Normalise::Dynamic { below: self.dynamic_db.map_or(80.0, |db| db.0 as f32) * per_db }
            }
            _ if self.dynamic_db.is_some() => {
                return Err("`dynamic-db` belongs to normalise = \"dynamic\"".into());
            }
            (NormaliseName::None, _) => Normalise::None,
            (NormaliseName::MeanVariance, _) => Normalise::MeanVariance,
        };
        let numbers = window.saturating_mul(front.width());
        let seconds = window.saturating_mul(front.hop()).div_ceil(front.sample_rate() as usize);
        if numbers > MAX_WINDOW || seconds > MAX_SECONDS {
            return Err(format!(
                "window = {window} rows are {numbers} numbers from {seconds} s of sound: expected at most {MAX_WINDOW} from \
                 {MAX_SECONDS} s"
            ));
        }
        let stride = stride.0 / stride.1;
        if stride > window as u64 {
            return Err(format!(
                "rate = {rows}/{per}: expected an answer every {window} front rows or more often, as window = {window}, found one \
                 every {stride}"
            ));
        }
        let beyond = self.beyond.map_or(0, |rows| rows.0 as usize);
        let most = MAX_WINDOW / (stride as usize * front.hop().max(front.width()));
        if beyond > most {
            return Err(format!("beyond = {beyond}: expected at most {most}, as a row is of {stride} front rows"));
        }
        let encoder = Encoder {
            files,
            input: self.input.ok_or_else(|| need("input"))?,
            layout,
            lengths: self.lengths,
            state: self.state.map_or_else(Vec::new, carried),
            output: self.output.ok_or_else(|| need("output"))?,
            width: self.width.ok_or_else(|| need("width"))?.0 as usize,
            window,
            context,
            offset: offset.round() as usize,
            stride: stride as usize,
            pad: self.pad.unwrap_or_default(),
            beyond,
            normalise,
        };
        encoder.check_state()?;
        if context[0] + context[1] >= window || encoder.used() == 0 {
            return Err(format!(
                "context = {context:?} leaves no answer of window = {window} with one every {} front rows",
                encoder.stride
            ));
        }
        Ok(encoder)
    }
}

impl Encoder {
    /// Whether what is carried has inputs of its own.
    fn check_state(&self) -> Result<(), String> {
        if self.state.len() > MAX_STATES {
            return Err(format!("state has {} inputs: expected at most {MAX_STATES}", self.state.len()));
        }
        for (key, name) in [("input", Some(&self.input)), ("lengths", self.lengths.as_ref())] {
            if let Some(name) = name.filter(|name| self.state.iter().any(|carried| carried.input == **name)) {
                let name = &**name;
                return Err(format!("state: \"{name}\" is {key} already, expected an input that nothing else fills"));
            }
        }
        Ok(())
    }
}

fn carried(state: BTreeMap<Name, Name>) -> Vec<Carried> {
    state.into_iter().map(|(input, output)| Carried { input, output }).collect()
}

fn hop(length: u32, sample_rate: u32) -> Result<usize, String> {
    let least = sample_rate.div_ceil(MAX_ROWS);
    if length < least {
        return Err(format!("hop-length = {length}: expected {least} or more, for at most {MAX_ROWS} rows a second"));
    }
    Ok(length as usize)
}

fn band(f_min: f64, f_max: f64, sample_rate: u32) -> Result<(f32, f32), String> {
    let (f_min, f_max, nyquist) = (f_min as f32, f_max as f32, sample_rate as f32 / 2.0);
    if f_min >= f_max || f_max > nyquist {
        return Err(format!(
            "f-min = {f_min} and f-max = {f_max}: expected 0 ≤ f-min < f-max ≤ sample-rate / 2 = {nyquist}"
        ));
    }
    Ok((f_min, f_max))
}

fn check_level(level: &Level) -> Result<(), String> {
    let within = |key: &str, value: f32, low: f32, high: f32| match value {
        _ if (low..=high).contains(&value) => Ok(()),
        _ => Err(format!("level.{key} = {value}: expected a number from {low:?} to {high:?}")),
    };
    within("floor", level.floor, 1e-30, 1e30)?;
    within("add", level.add, 0.0, 1e30)?;
    within("ref-db", level.ref_db, -1000.0, 1000.0)?;
    within("min-db", level.min_db, -1000.0, -1.0)?;
    if let Some([low, high]) = level.range {
        within("range", low, -1e6, 1e6)?;
        within("range", high, -1e6, 1e6)?;
        if low >= high {
            return Err(format!("level.range = [{low}, {high}]: expected [low, high]"));
        }
    }
    if level.range.is_none() && level.clip != Clip::Both {
        return Err("level.clip needs level.range, whose ends it is about".into());
    }
    Ok(())
}
