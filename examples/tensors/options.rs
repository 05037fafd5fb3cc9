// SPDX-License-Identifier: MPL-2.0
//! The command line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What must be there.
const NEEDED: [&str; 5] = ["model", "video", "sound", "frames", "out"];

/// Properties of elements that have an option of the same name.
const FACECROP: [&str; 4] = ["region", "detector", "face-select", "smoothing"];
const LIPSYNCGEN: [&str; 5] = ["model", "av-offset", "backend", "device", "threads"];
const AUDIOFEATURES: [&str; 3] = ["backend", "device", "threads"];

/// More frames than any comparison needs.
const MOST_FRAMES: usize = 100_000;

pub struct Options {
    pub model: String,
    pub frames: BTreeSet<usize>,
    pub out: PathBuf,
    /// All of them, by name.
    given: BTreeMap<String, String>,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let known = || NEEDED.iter().chain(&FACECROP).chain(&LIPSYNCGEN[1..]).chain(&["format"]);
        let list = || known().map(|name| format!("--{name}")).collect::<Vec<_>>().join(", ");
        let mut given = BTreeMap::new();
        while let Some(argument) = arguments.next() {
            let name = argument.strip_prefix("--").filter(|name| known().any(|known| known == name));
            let name = name.ok_or_else(|| format!("{argument} is not known; there are {}", list()))?;
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
            given.insert(name.to_string(), value);
        }
        let needed = |name: &str| given.get(name).cloned().ok_or_else(|| format!("--{name} is missing"));
        for name in NEEDED {
            needed(name)?;
        }
        let frames = frames(&needed("frames")?)?;
        Ok(Self { model: needed("model")?, frames, out: needed("out")?.into(), given })
    }

    /// The elements, in gst-launch's words.
    pub fn pipeline(&self) -> String {
        let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        let value = |name: &str| quoted(self.given.get(name).map_or("", String::as_str));
        let properties = |names: &[&str]| -> String {
            names.iter().filter(|name| self.given.contains_key(**name)).map(|n| format!(" {n}={}", value(n))).collect()
        };
        let format = match self.given.get("format") {
            None => String::new(),
            Some(format) => format!("capsfilter caps={} ! ", quoted(&format!("video/x-raw,format={format}"))),
        };
        // One frame at a time: what the graphs were given last is the frame's that comes out next.
        format!(
            "filesrc location={} ! decodebin ! queue ! videoconvert ! {format}facecrop{} ! lipsyncgen name=generator batch-size=1{} ! \
             facepaste name=paste ! fakesink sync=false \
             filesrc location={} ! decodebin ! queue ! audioconvert ! audioresample ! audiofeatures{} ! generator.features",
            value("video"),
            properties(&FACECROP),
            properties(&LIPSYNCGEN),
            value("sound"),
            properties(&AUDIOFEATURES),
        )
    }
}

/// Numbers, and ranges without their ends.
fn frames(text: &str) -> Result<BTreeSet<usize>, String> {
    let wrong = || format!("--frames {text}: expected numbers such as 7, 0..50 or 1,7,30..40");
    let number = |text: &str| text.trim().parse().ok().filter(|n: &usize| *n < MOST_FRAMES);
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        match part.split_once("..") {
            Some((start, end)) => all.extend(number(start).ok_or_else(wrong)?..number(end).ok_or_else(wrong)?),
            None => all.extend([number(part).ok_or_else(wrong)?]),
        }
    }
    if all.is_empty() { Err(wrong()) } else { Ok(all) }
}
