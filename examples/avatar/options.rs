// SPDX-License-Identifier: MPL-2.0
//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

pub const USAGE: &str = "usage: avatar --face FILE [OPTION]...

  --face FILE         a video or a picture, repeated back and forth
  --listen HOST:PORT  where requests are taken; 127.0.0.1:8090 where nothing is said
  --rtmp URL          goes to this RTMP server, and connects again when that was away
  --file OUT          goes to a file: .mkv or .flv
  --webrtc HOST:PORT  goes to browsers that open http://HOST:PORT; takes the next port too
  --window            goes to the screen and the loudspeakers
  --model NAME        the lip-sync model: a name, or the path of its folder
  --device NAME       where the model runs: cpu, cuda:0, …

Without --rtmp, --file, --webrtc and --window the avatar speaks to nobody.";

#[derive(Debug)]
pub struct Options {
    pub face: PathBuf,
    pub listen: SocketAddr,
    pub rtmp: Option<String>,
    pub file: Option<PathBuf>,
    pub webrtc: Option<SocketAddr>,
    pub window: bool,
    pub model: Option<String>,
    pub device: Option<String>,
}

impl Options {
    /// `None` where help is asked for.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            face: PathBuf::new(),
            listen: ([127, 0, 0, 1], 8090).into(),
            rtmp: None,
            file: None,
            webrtc: None,
            window: false,
            model: None,
            device: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().filter(|v| !v.is_empty()).ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--face" => options.face = value()?.into(),
                "--listen" => options.listen = address("--listen", &value()?)?,
                "--webrtc" => options.webrtc = Some(address("--webrtc", &value()?)?),
                "--rtmp" => options.rtmp = Some(value()?),
                "--file" => options.file = Some(value()?.into()),
                "--model" => options.model = Some(value()?),
                "--device" => options.device = Some(value()?),
                "--window" => options.window = true,
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("{argument} is not known (--help tells what is)")),
            }
        }
        options.check().map(|()| Some(options))
    }

    fn check(&self) -> Result<(), String> {
        if self.face.as_os_str().is_empty() {
            return Err("--face is missing (--help tells more)".into());
        }
        if !self.face.is_file() {
            return Err(format!("{}: there is no such file", self.face.display()));
        }
        if let Some(url) = self.rtmp.as_ref().filter(|url| !url.starts_with("rtmp://") && !url.starts_with("rtmps://"))
        {
            return Err(format!("--rtmp {url}: expected rtmp://HOST/APPLICATION/STREAM"));
        }
        let known = |file: &PathBuf| file.extension().is_some_and(|end| end == "mkv" || end == "flv");
        if let Some(file) = self.file.as_ref().filter(|file| !known(file)) {
            return Err(format!("--file {}: the name must end in .mkv or .flv", file.display()));
        }
        Ok(())
    }
}

fn address(option: &str, text: &str) -> Result<SocketAddr, String> {
    let wrong = |why: String| format!("{option} {text}: {why}; expected such as 127.0.0.1:8090");
    text.to_socket_addrs().map_err(|e| wrong(e.to_string()))?.next().ok_or_else(|| wrong("no address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Options>, String> {
        Options::parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn what_is_wrong_is_said() {
        let face = concat!("--face ", env!("CARGO_MANIFEST_DIR"), "/demo/face.mp4 ").to_owned();
        for (text, words) in [
            (String::new(), "--face is missing"),
            ("--face".into(), "needs a value"),
            ("--face nowhere.mp4".into(), "no such file"),
            (face.clone() + "--rtmp http://a/b/c", "expected rtmp://"),
            (face.clone() + "--file out.mp4", ".mkv or .flv"),
            (face.clone() + "--listen 8090", "--listen 8090"),
            (face.clone() + "--webrtc 8080", "--webrtc 8080"),
            (face.clone() + "--bogus", "not known"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(parse("--help").unwrap().is_none());
        let options = parse(&(face + "--file out.mkv --window")).unwrap().unwrap();
        assert!(options.window && options.rtmp.is_none() && options.file.is_some());
    }
}
