// SPDX-License-Identifier: MPL-2.0
//! Random pipelines, as text.

use fastrand::Rng;

const FORMATS: [&str; 11] = ["I420", "NV12", "YV12", "Y42B", "Y444", "RGB", "BGR", "RGBA", "BGRA", "RGBx", "BGRx"];
const FRAME_RATES: [&str; 7] = ["25/1", "30000/1001", "24000/1001", "30/1", "50/1", "60/1", "7/1"];
const SOUND_RATES: [u32; 5] = [8000, 16000, 22050, 44100, 48000];
const SOUND_FORMATS: [&str; 4] = ["S16LE", "F32LE", "S24LE", "F64LE"];
const WAVES: [&str; 4] = ["sine", "silence", "white-noise", "ticks"];

/// A pipeline, and what may be asked of it.
pub struct Plan {
    pub text: String,
    pub live: bool,
    /// All in one `lipsyncbin`.
    pub bin: bool,
    /// A tee made by hand, with queues of any size.
    pub may_stall: bool,
    /// The model is ordered to fail, and that ends the stream.
    pub may_fail: bool,
    /// The model is ordered to hang.
    pub may_hang: bool,
    /// The picture goes on when its source has ended.
    pub endless: bool,
    /// The picture ends where the sound does.
    pub ends_with_sound: bool,
    /// Ends in a muxer, which takes no other caps later.
    pub muxed: bool,
    /// The frame rate must stay as it is.
    pub still: bool,
}

/// Muxers take few formats without an encoder before them.
pub fn picture_caps(rng: &mut Rng, muxed: bool) -> String {
    let format = if muxed { "I420" } else { rng.choice(FORMATS).unwrap_or("I420") };
    let rate = rng.choice(FRAME_RATES).unwrap_or("25/1");
    let (width, height) = (rng.u32(16..500), rng.u32(16..400));
    format!("video/x-raw,format={format},width={width},height={height},framerate={rate}")
}

pub fn sound_caps(rng: &mut Rng, muxed: bool) -> String {
    let format = if muxed { "S16LE" } else { rng.choice(SOUND_FORMATS).unwrap_or("S16LE") };
    let rate = rng.choice(SOUND_RATES).unwrap_or(48000);
    format!("audio/x-raw,format={format},rate={rate},channels={},layout=interleaved", rng.u32(1..3))
}

/// A queue of any size, or none.
fn queue(rng: &mut Rng) -> String {
    match rng.u32(0..4) {
        0 => String::new(),
        1 => " ! queue max-size-bytes=0 max-size-time=0 max-size-buffers=1".into(),
        2 => format!(" ! queue max-size-bytes=0 max-size-time=0 max-size-buffers={}", rng.u32(1..200)),
        _ => " ! queue".into(),
    }
}

/// An element that takes its time for every buffer, at first none.
fn brake(name: &str) -> String {
    format!(" ! identity name={name} silent=true")
}

impl Plan {
    /// `flash` is the folder of the model for tests, `faces` a JPEG with faces in it.
    pub fn new(rng: &mut Rng, flash: &str, faces: &str) -> Self {
        let live = rng.u32(0..3) == 0;
        let bin = rng.u32(0..3) == 0;
        let [mut may_fail, mut may_hang] = [false; 2];

        let mut generator = String::new();
        if rng.u32(0..5) > 0 {
            let mut orders = Vec::new();
            if rng.bool() {
                orders.push(format!("delay={}", rng.u32(0..40)));
            }
            for order in ["error-at", "nan-at", "panic-at"] {
                if rng.u32(0..5) == 0 {
                    orders.push(format!("{order}={}", rng.u32(0..40)));
                }
            }
            let fails = orders.iter().any(|order| order.contains("-at"));
            if rng.u32(0..8) == 0 {
                orders.push(format!("hang-at={}", rng.u32(0..40)));
                may_hang = true;
            }
            if fails && rng.u32(0..3) == 0 {
                generator += " on-error=fail";
                may_fail = true;
            }
            generator += &format!(" model={flash} backend=test device=\"{}\"", orders.join(","));
        }
        let ends_with_sound = rng.u32(0..4) == 0;
        if ends_with_sound {
            generator += " on-audio-end=eos";
        }
        generator += &format!(" stall-timeout=4000000000 batch-size={}", rng.u32(0..12));
        if rng.bool() {
            generator += &format!(" latency={}", rng.u32(0..100_000_000));
        }

        let (still, muxed) = (!live && rng.u32(0..4) == 0, rng.u32(0..4) == 0);
        let caps = picture_caps(rng, muxed);
        let picture = if still {
            format!("filesrc location={faces} ! jpegdec ! imagefreeze name=picture ! videoconvert ! videoscale")
        } else {
            format!("videotestsrc name=picture is-live={live} pattern={} horizontal-speed=3", rng.u32(0..26))
        };
        let looped = !still && !live && rng.u32(0..5) == 0;
        let count = if looped { format!(" num-buffers={}", rng.u32(1..60)) } else { String::new() };
        let mode = format!("mode={} max-memory=300000", rng.choice(["forward", "pingpong"]).unwrap_or("forward"));
        let crop = if still && rng.bool() { String::new() } else { " region=4,4,60,60".into() };
        let sound = format!(
            "audiotestsrc name=sound is-live={live} wave={} samplesperbuffer={} ! capsfilter name=sound-caps caps=\"{}\"{}{}",
            rng.choice(WAVES).unwrap_or("sine"),
            rng.u32(256..4000),
            sound_caps(rng, muxed),
            brake("sound-brake"),
            queue(rng),
        );
        let picture = format!(
            "{picture}{count} ! capsfilter name=picture-caps caps=\"{caps}\"{}{}",
            brake("picture-brake"),
            queue(rng)
        );

        let (sync, picture_sync) = (rng.bool(), rng.bool());
        let (heard, seen) = match rng.u32(0..3) {
            _ if muxed => (
                format!(" ! queue max-size-buffers={} ! mux.", rng.u32(1..200)),
                format!("mux. matroskamux name=mux ! fakesink name=seen sync={sync}"),
            ),
            0 => (String::new(), format!("fakesink name=seen sync={picture_sync}")),
            _ => (
                format!("{} ! fakesink name=played sync={sync}", queue(rng)),
                format!("fakesink name=seen sync={picture_sync}"),
            ),
        };
        let may_stall = !bin && !heard.is_empty();
        let text = if bin {
            let mode = if looped { mode.replace("mode", "loop") } else { String::new() };
            let heard = if heard.is_empty() { String::new() } else { format!(" b.audio_src{heard}") };
            format!(
                "lipsyncbin name=b{generator}{crop} {mode} {picture} ! b.video_sink b.video_src{}{} ! {seen} {sound} ! b.audio_sink{heard}",
                brake("seen-brake"),
                queue(rng)
            )
        } else {
            let avatar = if looped { format!(" ! avatarloop {mode}") } else { String::new() };
            let (before, after, last) = (queue(rng), queue(rng), queue(rng));
            let features = format!(
                "{} ! audioconvert ! audioresample ! audiofeatures name=features ! generator.features",
                queue(rng)
            );
            let sound = if heard.is_empty() {
                format!("{sound}{features}")
            } else {
                format!("{sound} ! tee name=t t.{features} t.{heard}")
            };
            format!(
                "{picture}{avatar} ! facecrop name=crop{crop}{before} ! lipsyncgen name=generator{generator}{after} ! facepaste name=paste{}{last} \
                 ! {seen} {sound}",
                brake("seen-brake")
            )
        };
        Self { text, live, bin, may_stall, may_fail, may_hang, endless: looped, ends_with_sound, muxed, still }
    }
}
