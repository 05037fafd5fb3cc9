// SPDX-License-Identifier: MPL-2.0
//! The pipeline that never stops: a clip in a loop, and a sound that is silence until there is something to say.
//!
//! ```text
//! FACE ─► decode, scale to 25/s ─► b.video_sink ┐             ┌ b.video_src ─► tee ─┬─► x264enc ─────► appsink ─► outputs
//!                                               ├ lipsyncbin ─┤                     └─► window, browsers
//! silence, filled with speech ───► b.audio_sink ┘             └ b.audio_src ─► tee ─┬─► avenc_aac ───► appsink ─► outputs
//!                                                                                   └─► loudspeakers, browsers
//! ```
//!
//! The silence is a live source. It sets the pace: lipsyncbin keeps each frame for the sound around it. A speech does not become
//! a source of its own, it is written over the silence. So there is nothing to mix, link or wait for, and no way for a speech to
//! stop the picture or to come at a wrong time.

use std::net::SocketAddr;
use std::sync::Arc;

use gst::prelude::*;

use super::options::Options;
use super::output::{Feed, Stream};
use super::speech::{Queue, RATE};

/// A hundredth of a second: what a speech may have to wait before it is said.
const SAMPLES_PER_BUFFER: usize = RATE / 100;

/// Time for computing a frame on a busy machine.
const LATENCY: gst::ClockTime = gst::ClockTime::from_mseconds(40);

pub struct Avatar {
    pub pipeline: gst::Pipeline,
    bin: gst::Element,
    silence: gst::Element,
    pub speech: Arc<Queue>,
    watched: bool,
}

impl Avatar {
    /// What is said is what is in `speech`; the encoded streams go to `feeds`.
    pub fn new(options: &Options, speech: Arc<Queue>, feeds: Vec<Arc<Feed>>) -> Result<Self, String> {
        let pipeline = gst::parse::launch(&description(options, !feeds.is_empty())).map_err(|e| e.to_string())?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        let find = |name: &str| pipeline.by_name(name).ok_or_else(|| format!("the pipeline has no {name}"));
        let (bin, silence) = (find("b")?, find("silence")?);
        for (option, value) in [("model", &options.model), ("device", &options.device)] {
            if let Some(value) = value {
                bin.set_property_from_str(option, value);
            }
        }
        find("face")?.set_property("location", options.face.display().to_string());
        if let Some(address) = options.webrtc {
            serve_browsers(&find("browsers")?, address)?;
        }
        let pad = silence.static_pad("src").ok_or("audiotestsrc has no src pad")?;
        let queue = speech.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer_mut() {
                speak(buffer.make_mut(), &queue);
            }
            gst::PadProbeReturn::Ok
        });
        if !feeds.is_empty() {
            for (name, stream) in [("pictures", Stream::Picture), ("sounds", Stream::Sound)] {
                let sink = find(name)?.downcast::<gst_app::AppSink>().map_err(|_| format!("{name} is no appsink"))?;
                let (feeds, ended) = (feeds.clone(), feeds.clone());
                sink.set_callbacks(
                    gst_app::AppSinkCallbacks::builder()
                        .new_sample(move |sink| {
                            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                            feeds.iter().for_each(|feed| feed.push(stream, &sample));
                            Ok(gst::FlowSuccess::Ok)
                        })
                        .eos(move |_| ended.iter().for_each(|feed| feed.end(stream)))
                        .build(),
                );
            }
        }
        Ok(Self { pipeline, bin, silence, speech, watched: options.window || options.webrtc.is_some() })
    }

    /// Falls silent at once, and forgets what was still to be said.
    pub fn interrupt(&self) {
        self.speech.clear();
        self.bin.emit_by_name::<()>("interrupt", &[]);
    }

    /// Whether somebody may see it besides files and servers.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// The sound ends, and the picture with it.
    pub fn end(&self) {
        self.silence.send_event(gst::event::Eos::new());
    }

    pub fn stats(&self) -> gst::Structure {
        self.bin.property("stats")
    }

    /// From a sample's time to when the picture that belongs to it has come out, at the latest.
    pub fn latency(&self) -> Option<gst::ClockTime> {
        let mut query = gst::query::Latency::new();
        self.bin.static_pad("video_src")?.query(&mut query).then(|| query.result().1)
    }
}

impl Drop for Avatar {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The elements, in gst-launch's words.
fn description(options: &Options, encode: bool) -> String {
    let mut text = format!(
        "filesrc name=face ! decodebin caps=video/x-raw(ANY) expose-all-streams=false ! videoconvert ! videoflip video-direction=auto ! \
         videoscale add-borders=true ! videorate ! \
         video/x-raw,format=I420,width=[16,8192,2],height=[16,8192,2],pixel-aspect-ratio=1/1,framerate=25/1 ! b.video_sink \
         audiotestsrc name=silence is-live=true wave=silence samplesperbuffer={SAMPLES_PER_BUFFER} ! \
         audio/x-raw,format=F32LE,rate={RATE},channels=1 ! b.audio_sink \
         lipsyncbin name=b loop=pingpong on-audio-end=eos latency={LATENCY} \
         b.video_src ! tee name=v b.audio_src ! audiorate ! tee name=a ",
        LATENCY = LATENCY.nseconds()
    );
    // The leaky queues: an encoder or a screen that is too slow loses pictures, but holds nobody up.
    let pictures = "v. ! queue leaky=downstream max-size-buffers=12 max-size-bytes=0 max-size-time=0";
    let sounds =
        "a. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=5000000000 ! audioconvert ! audioresample";
    if encode {
        text += &format!(
            "{pictures} ! x264enc tune=zerolatency speed-preset=veryfast bitrate=2500 key-int-max=50 ! video/x-h264,profile=main ! \
             h264parse ! video/x-h264,stream-format=avc,alignment=au ! appsink name=pictures sync=false \
             {sounds} ! avenc_aac bitrate=128000 ! aacparse ! audio/mpeg,stream-format=raw ! appsink name=sounds sync=false "
        );
    }
    if options.webrtc.is_some() {
        // Browsers need longer to bring together what does not come at the same time.
        text += &format!(
            "{pictures} ! videoconvert ! clocksync ! browsers.video_0 {sounds} ! clocksync ! browsers.audio_0 \
             webrtcsink name=browsers video-caps=\"video/x-vp8;video/x-h264\" stun-server=NULL "
        );
    }
    if options.window {
        text += &format!("{pictures} ! videoconvert ! autovideosink {sounds} ! autoaudiosink ");
    }
    if !encode && options.webrtc.is_none() && !options.window {
        text += &format!("{pictures} ! fakesink sync=true {sounds} ! fakesink sync=true ");
    }
    text
}

/// Makes `webrtcsink` serve a page at `address`, and tell those who open it, one port above, what there is to see.
fn serve_browsers(browsers: &gst::Element, address: SocketAddr) -> Result<(), &'static str> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/webrtc");
    let signalling = address.port().checked_add(1).ok_or("--webrtc: there is no port above this one")?;
    if !browsers.has_property("run-web-server") {
        return Err("--webrtc: this webrtcsink has no web server; ./setup.sh --webrtc builds one that has");
    }
    browsers.set_property("run-signalling-server", true);
    browsers.set_property("signalling-server-host", address.ip().to_string());
    browsers.set_property("signalling-server-port", u32::from(signalling));
    browsers.set_property("run-web-server", true);
    browsers.set_property("web-server-host-addr", format!("http://{address}/"));
    browsers.set_property("web-server-directory", page);
    Ok(())
}

/// Writes what there is to say over a buffer of silence.
fn speak(buffer: &mut gst::BufferRef, speech: &Queue) {
    let mut samples = [0.0; SAMPLES_PER_BUFFER];
    let count = (buffer.size() / size_of::<f32>()).min(SAMPLES_PER_BUFFER);
    if !speech.fill(&mut samples[..count]) {
        return;
    }
    if let Ok(mut map) = buffer.map_writable() {
        for (to, sample) in map.chunks_exact_mut(size_of::<f32>()).zip(samples) {
            to.copy_from_slice(&sample.to_le_bytes());
        }
    }
    buffer.unset_flags(gst::BufferFlags::GAP);
}
