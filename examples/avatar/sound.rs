// SPDX-License-Identifier: MPL-2.0
//! The body of a request becomes samples: what kind of sound it is, and a small pipeline of GStreamer's that converts it while
//! it arrives.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::speech::{RATE, Writer};

/// Bytes of a body that may wait for conversion.
const MOST_WAITING: u64 = 64 * 1024;

/// How a body without a header holds its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Pcm {
    /// GStreamer's name for it, such as S16LE.
    format: String,
    rate: i32,
    channels: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Wav,
    Pcm(Pcm),
}

#[derive(Debug, PartialEq)]
pub enum Error {
    /// The speech is not in the queue any more.
    Cut,
    /// It is no sound, and why.
    Unreadable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Cut => write!(f, "the speech was interrupted, or nothing came of it for 10 seconds"),
            Self::Unreadable(why) => write!(f, "this is no sound that could be read: {why}"),
        }
    }
}

impl Pcm {
    /// What the request says of its body: `Content-Type: audio/L16;rate=24000;channels=1` (as RFC 2586 has it, the higher byte
    /// first) or `audio/pcm;rate=…` (the lower byte first), or `?format=F32LE&rate=…&channels=…`. `None` where it says nothing.
    pub fn of(content_type: &str, query: &str) -> Result<Option<Self>, String> {
        let mut words = content_type.split(';').map(str::trim);
        let mut format = match words.next().unwrap_or("").to_ascii_lowercase().as_str() {
            "audio/l16" => Some("S16BE"),
            "audio/pcm" => Some("S16LE"),
            _ => None,
        };
        let (mut rate, mut channels) = (None, None);
        for (name, value) in words.chain(query.split('&')).filter_map(|word| word.split_once('=')) {
            let number = |most| value.parse().ok().filter(|n| (1..=most).contains(n));
            match name.to_ascii_lowercase().as_str() {
                "format" => format = Some(value),
                "rate" => rate = Some(number(384_000).ok_or(format!("rate={value}: expected 1 to 384000"))?),
                "channels" => channels = Some(number(64).ok_or(format!("channels={value}: expected 1 to 64"))?),
                _ => {}
            }
        }
        let Some(rate) = rate else {
            let unclear = format.is_some() || channels.is_some();
            return if unclear { Err("rate=, the samples a second, is missing".into()) } else { Ok(None) };
        };
        let format = format.unwrap_or("S16LE");
        let known = gst_audio::AudioFormat::from_string(format);
        if matches!(known, gst_audio::AudioFormat::Unknown | gst_audio::AudioFormat::Encoded) {
            return Err(format!("format={format}: expected one such as S16LE, S16BE, S24LE, S32LE, U8 or F32LE"));
        }
        Ok(Some(Self { format: format.into(), rate, channels: channels.unwrap_or(1) }))
    }
}

impl Kind {
    /// By the first twelve bytes, or what the request said of them.
    pub fn of(start: &[u8], said: Option<Pcm>) -> Result<Self, Error> {
        match (start, said) {
            ([b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..], _) => Ok(Self::Wav),
            (_, Some(pcm)) => Ok(Self::Pcm(pcm)),
            _ => Err(Error::Unreadable(
                "it does not begin like a wav file. Samples without a header need Content-Type: audio/L16;rate=…;channels=… \
                 or ?format=S16LE&rate=…&channels=…"
                    .into(),
            )),
        }
    }

    fn caps(&self) -> gst::Caps {
        match self {
            Self::Wav => gst::Caps::new_empty_simple("audio/x-wav"),
            Self::Pcm(Pcm { format, rate, channels }) => {
                let caps = gst::Caps::builder("audio/x-raw").field("format", format).field("layout", "interleaved");
                let caps = caps.field("rate", rate).field("channels", channels);
                // More than two channels must have places: the usual ones for so many.
                let places = gst_audio::AudioChannelPosition::fallback_mask(*channels as u32);
                if *channels > 2 { caps.field("channel-mask", gst::Bitmask::new(places)).build() } else { caps.build() }
            }
        }
    }
}

/// Converts one body, and writes the samples to its speech.
pub struct Converter {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    error: Arc<Mutex<Option<Error>>>,
}

impl Converter {
    pub fn start(kind: &Kind, speech: Writer) -> Result<Self, Error> {
        let parse = if *kind == Kind::Wav { "wavparse !" } else { "rawaudioparse use-sink-caps=true !" };
        let pipeline = gst::parse::launch(&format!(
            "appsrc name=source block=true max-bytes={MOST_WAITING} ! {parse} audioconvert ! audioresample ! \
             appsink name=sink sync=false max-buffers=4 caps=audio/x-raw,format=F32LE,layout=interleaved,rate={RATE},channels=1"
        ));
        let unusable =
            |text: String| Error::Unreadable(format!("GStreamer's base and good plugins are needed: {text}"));
        let pipeline = pipeline.map_err(|e| unusable(e.to_string()))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| unusable("no pipeline".into()))?;
        let source = pipeline.by_name("source").and_downcast::<gst_app::AppSrc>();
        let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>();
        let (Some(source), Some(sink), Some(bus)) = (source, sink, pipeline.bus()) else {
            return Err(unusable("no appsrc or appsink".into()));
        };
        source.set_caps(Some(&kind.caps()));

        let error = Arc::new(Mutex::new(None));
        // The first error is the cause. Whoever waits to push more must hear of it.
        let fail = {
            let (error, source) = (error.clone(), source.downgrade());
            move |new: Error| {
                error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(new);
                source.upgrade().map(|source| source.end_of_stream());
            }
        };
        let cut = fail.clone();
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    let map = sample.buffer().and_then(|buffer| buffer.map_readable().ok());
                    let bytes = map.as_ref().map_or(&[][..], |map| map.as_slice());
                    let samples = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                    speech.write(&samples.collect::<Vec<_>>()).map_err(|_| {
                        cut(Error::Cut);
                        gst::FlowError::Eos
                    })?;
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(text) = message.view() {
                fail(Error::Unreadable(text.error().message().into()));
            }
            gst::BusSyncReply::Pass
        });
        let converter = Self { pipeline, source, error };
        converter.pipeline.set_state(gst::State::Playing).map_err(|e| unusable(e.to_string()))?;
        Ok(converter)
    }

    /// Waits where too much is there already.
    pub fn push(&self, bytes: Vec<u8>) -> Result<(), Error> {
        self.source.push_buffer(gst::Buffer::from_mut_slice(bytes)).map(|_| ()).map_err(|_| self.error())
    }

    /// Waits until all of it has gone to the speech.
    pub fn finish(self) -> Result<(), Error> {
        let _ = self.source.end_of_stream();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        self.pipeline.bus().and_then(|bus| bus.timed_pop_filtered(gst::ClockTime::NONE, &ends));
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map_or(Ok(()), Err)
    }

    fn error(&self) -> Error {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Error::Cut)
    }
}

impl Drop for Converter {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::super::speech::Queue;
    use super::*;

    fn pcm(format: &str, rate: i32, channels: i32) -> Option<Pcm> {
        Some(Pcm { format: format.into(), rate, channels })
    }

    #[test]
    fn what_a_request_says_of_its_body() {
        for (content_type, query, expected) in [
            ("", "", None),
            ("audio/wav", "", None),
            ("application/x-www-form-urlencoded", "", None),
            ("audio/L16; rate=24000; channels=2", "", pcm("S16BE", 24000, 2)),
            ("audio/l16;rate=8000", "", pcm("S16BE", 8000, 1)),
            ("audio/pcm;rate=24000", "", pcm("S16LE", 24000, 1)),
            ("", "rate=16000", pcm("S16LE", 16000, 1)),
            ("audio/L16;rate=8000", "format=F32LE&rate=16000&channels=6", pcm("F32LE", 16000, 6)),
        ] {
            assert_eq!(Pcm::of(content_type, query), Ok(expected), "{content_type} {query}");
        }
        for (content_type, query, words) in [
            ("audio/L16", "", "rate=, the samples"),
            ("", "channels=2", "rate=, the samples"),
            ("", "rate=0", "rate=0"),
            ("", "rate=fast", "rate=fast"),
            ("", "rate=16000&channels=100", "channels=100"),
            ("", "rate=16000&format=mp3", "format=mp3"),
        ] {
            let error = Pcm::of(content_type, query).unwrap_err();
            assert!(error.contains(words), "{content_type} {query}: {error}");
        }
        assert_eq!(Kind::of(b"RIFF\xff\xff\xff\xffWAVEfmt ", pcm("S16LE", 8000, 1)), Ok(Kind::Wav));
        assert!(matches!(Kind::of(b"RIFF", None), Err(Error::Unreadable(_))));
        assert!(matches!(Kind::of(b"ID3\x04..........", None), Err(Error::Unreadable(_))));
    }

    /// A second of a square wave, so that a wrong order of bytes would show.
    fn square(rate: usize, channels: usize) -> Vec<i16> {
        (0..rate)
            .flat_map(|i| vec![if (i / (rate / 100)).is_multiple_of(2) { 8192 } else { -8192 }; channels])
            .collect()
    }

    fn wav(format: u16, rate: u32, channels: u16, length: u32, data: &[u8]) -> Vec<u8> {
        let rate_of_bytes = rate * u32::from(channels) * 2;
        [
            b"RIFF".as_slice(),
            &length.to_le_bytes(),
            b"WAVEfmt ",
            &16u32.to_le_bytes(),
            &format.to_le_bytes(),
            &channels.to_le_bytes(),
            &rate.to_le_bytes(),
            &rate_of_bytes.to_le_bytes(),
            &(channels * 2).to_le_bytes(),
            &16u16.to_le_bytes(),
            b"data",
            &length.to_le_bytes(),
            data,
        ]
        .concat()
    }

    fn convert(kind: Kind, body: &[u8], piece: usize) -> Result<Vec<f32>, Error> {
        gst::init().unwrap();
        let queue = Arc::new(Queue::default());
        let converter = Converter::start(&kind, queue.begin().unwrap())?;
        for piece in body.chunks(piece) {
            converter.push(piece.to_vec())?;
        }
        converter.finish()?;
        let mut samples = vec![0.0; (queue.status().seconds * RATE as f64).round() as usize];
        queue.fill(&mut samples);
        Ok(samples)
    }

    #[test]
    fn bodies_become_samples_however_they_are_cut() {
        for (rate, channels) in [(8000, 1), (24000, 2), (44100, 1), (48000, 6)] {
            let sound = square(rate, channels);
            let little: Vec<u8> = sound.iter().flat_map(|s| s.to_le_bytes()).collect();
            let big: Vec<u8> = sound.iter().flat_map(|s| s.to_be_bytes()).collect();
            let named = |format| Kind::Pcm(pcm(format, rate as i32, channels as i32).unwrap());
            let file = |length| wav(1, rate as u32, channels as u16, length, &little);
            for (what, kind, body) in [
                ("S16LE", named("S16LE"), little.clone()),
                ("S16BE", named("S16BE"), big),
                ("wav", Kind::Wav, file(little.len() as u32)),
                // As those who do not know its length yet write it.
                ("endless wav", Kind::Wav, file(u32::MAX)),
            ] {
                for piece in [777, 100_000] {
                    let samples = convert(kind.clone(), &body, piece).unwrap();
                    let around = |at: usize| samples[at - 50..at + 50].iter().sum::<f32>() / 100.0;
                    let name = format!("{what} {rate} {channels} {piece}");
                    assert!(samples.len().abs_diff(RATE) < RATE / 100, "{name}: {} samples", samples.len());
                    let (up, down) = (around(RATE / 200), around(RATE * 3 / 200));
                    assert!((up - 0.25).abs() < 0.03 && (down + 0.25).abs() < 0.03, "{name}: {up} {down}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_sound_is_refused_and_nobody_waits() {
        for body in [
            wav(1, 16000, 0, 100, &[0; 100]),
            wav(0x55, 16000, 1, 1_000_000, &[0; 1_000_000]),
            b"RIFF1234WAVEnothing that was ever heard of".to_vec(),
        ] {
            let result = convert(Kind::Wav, &body, 4096);
            assert!(matches!(result, Err(Error::Unreadable(_))), "{:?}", result.map(|samples| samples.len()));
        }
    }

    #[test]
    fn an_interruption_frees_whoever_pushes() {
        gst::init().unwrap();
        let queue = Arc::new(Queue::default());
        let kind = Kind::Pcm(pcm("S16LE", 48000, 1).unwrap());
        let converter = Converter::start(&kind, queue.begin().unwrap()).unwrap();
        std::thread::scope(|scope| {
            let pusher = scope.spawn(|| (0..).find_map(|_| converter.push(vec![1; 9600]).err()));
            while queue.status().seconds < 10.0 {
                std::thread::yield_now();
            }
            queue.clear();
            assert_eq!(pusher.join().unwrap(), Some(Error::Cut));
        });
    }
}
