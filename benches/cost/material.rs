// SPDX-License-Identifier: MPL-2.0
//! The frames and the sound that are pushed through the elements.

use std::path::Path;

use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use gstlipsync::face_meta::FaceMeta;
use gstlipsync::geometry::Rect;

use crate::feed;

/// Frames of a clip that are looked at and kept.
const KEPT: usize = 64;

pub const SOUND_RATE: usize = 16_000;

/// What is in a clip.
pub struct Seen {
    pub size: [u32; 2],
    /// Its box in the middle of the clip.
    pub face: Rect,
}

/// Frames in memory.
pub struct Material {
    pub info: VideoInfo,
    /// The face's box in them.
    pub face: Rect,
    pub frames: Vec<Vec<u8>>,
}

impl Material {
    /// The clip's first frames in frames of `size`, scaled so that the face's box is `width` px wide and in the middle as
    /// far as possible. What they leave free shows the same clip, stretched and upside down: something to look through for
    /// the detector, with no face.
    pub fn prepare(video: &Path, seen: &Seen, width: f32, [w, h]: [u32; 2]) -> Result<Self, String> {
        let scale = width / seen.face.w;
        let [sw, sh] = seen.size.map(|v| (v as f32 * scale).round() as i32);
        let place = |center: f32, outer: u32, inner: i32| {
            let wanted = (outer as f32 / 2.0 - center * scale) as i32;
            let slack = outer as i32 - inner;
            // Even, for the chroma.
            wanted.clamp(slack.min(0), slack.max(0)) / 2 * 2
        };
        let [cx, cy] = seen.face.center();
        let (x, y) = (place(cx, w, sw), place(cy, h, sh));
        let frames = samples(
            &format!(
                "filesrc name=file ! decodebin ! videoconvert ! video/x-raw,format=I420 ! tee name=t \
                 compositor name=c sink_0::width={w} sink_0::height={h} \
                 sink_1::xpos={x} sink_1::ypos={y} sink_1::width={sw} sink_1::height={sh} \
                 t. ! queue ! videoflip method=rotate-180 ! c.sink_0 t. ! queue ! c.sink_1 \
                 c. ! video/x-raw,format=I420,width={w},height={h} ! appsink name=sink sync=false max-buffers=2"
            ),
            video,
            KEPT,
        )?;
        let caps = "video/x-raw,format=I420,framerate=25/1,pixel-aspect-ratio=1/1,interlace-mode=progressive";
        let mut caps: gst::Caps = caps.parse().map_err(|_| "caps".to_string())?;
        let colorimetry = frames[0].caps().and_then(|c| c.structure(0)?.get::<String>("colorimetry").ok());
        {
            let caps = caps.make_mut();
            caps.set("width", w as i32);
            caps.set("height", h as i32);
            if let Some(colorimetry) = colorimetry {
                caps.set("colorimetry", colorimetry);
            }
        }
        let info = VideoInfo::from_caps(&caps).map_err(|e| e.to_string())?;
        let frames = frames.iter().filter_map(|s| Some(s.buffer()?.map_readable().ok()?.to_vec())).collect();
        let [left, top] = [seen.face.x * scale + x as f32, seen.face.y * scale + y as f32];
        let face = Rect { x: left, y: top, w: width, h: seen.face.h * scale };
        Ok(Self { info, face, frames })
    }

    /// The same frames as I420 or NV12.
    pub fn in_format(&self, format: VideoFormat) -> Result<Self, String> {
        let info = VideoInfo::builder(format, self.info.width(), self.info.height())
            .fps(self.info.fps())
            .colorimetry(&self.info.colorimetry())
            .build()
            .map_err(|e| e.to_string())?;
        let convert = |frame: &Vec<u8>| {
            let mut frame = frame.clone();
            if format == VideoFormat::Nv12 {
                // The sizes are even and multiples of 8, so there is no padding.
                let luma = (self.info.width() * self.info.height()) as usize;
                let (u, v) = frame[luma..].split_at(luma / 4);
                let chroma: Vec<u8> = u.iter().zip(v).flat_map(|(&u, &v)| [u, v]).collect();
                frame.splice(luma.., chroma);
            }
            frame
        };
        Ok(Self { info, face: self.face, frames: self.frames.iter().map(convert).collect() })
    }

    /// Frame `k` of a clip without end, played forwards and backwards.
    pub fn frame(&self, k: usize) -> &[u8] {
        let last = self.frames.len() - 1;
        let phase = k % (2 * last).max(1);
        &self.frames[if phase <= last { phase } else { 2 * last - phase }]
    }
}

/// Finds the face in `video`.
pub fn face_in(video: &Path) -> Result<Seen, String> {
    let samples = samples(
        "filesrc name=file ! decodebin ! videoconvert ! facecrop ! appsink name=sink sync=false max-buffers=2",
        video,
        KEPT,
    )?;
    let info = samples[0].caps().and_then(|caps| VideoInfo::from_caps(caps).ok()).ok_or("no video")?;
    let faces: Vec<Rect> = samples.iter().filter_map(|s| Some(FaceMeta::faces(s.buffer()?).first()?.bbox)).collect();
    let face = *faces.get(faces.len() / 2).ok_or_else(|| format!("{}: no face in it", video.display()))?;
    Ok(Seen { size: [info.width(), info.height()], face })
}

/// The sound as the default model hears it: mono, `SOUND_RATE`.
pub fn decode_sound(file: &Path) -> Result<Vec<f32>, String> {
    let samples = samples(
        &format!(
            "filesrc name=file ! decodebin ! audioconvert ! audioresample ! \
             audio/x-raw,format=F32LE,channels=1,rate={SOUND_RATE} ! appsink name=sink sync=false max-buffers=2"
        ),
        file,
        usize::MAX,
    )?;
    let bytes = samples.iter().filter_map(|s| Some(s.buffer()?.map_readable().ok()?.to_vec())).flatten();
    let bytes: Vec<u8> = bytes.collect();
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// The first `count` samples that a pipeline makes of `file`; at least one.
fn samples(description: &str, file: &Path, count: usize) -> Result<Vec<gst::Sample>, String> {
    let pipeline = gst::parse::launch(description).map_err(|e| e.to_string())?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
    let source = pipeline.by_name("file").ok_or("no source")?;
    source.set_property("location", file);
    let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>().ok_or("no sink")?;
    let named = |what: String| format!("{}: {what}", file.display());
    pipeline
        .set_state(gst::State::Playing)
        .map_err(|e| named(feed::error(&pipeline).unwrap_or_else(|| e.to_string())))?;
    let mut samples = Vec::new();
    while samples.len() < count
        && let Ok(sample) = sink.pull_sample()
    {
        samples.push(sample);
    }
    let error = feed::error(&pipeline);
    let _ = pipeline.set_state(gst::State::Null);
    match error {
        Some(error) => Err(named(error)),
        None if samples.is_empty() => Err(named("nothing in it".into())),
        None => Ok(samples),
    }
}
