// SPDX-License-Identifier: MPL-2.0
//! The example avatar: its plain parts, whose tests are beside them, and the program, over HTTP and into a file.

#[allow(dead_code)]
#[path = "../examples/avatar/options.rs"]
mod options;
#[allow(dead_code)]
#[path = "../examples/avatar/sound.rs"]
mod sound;
#[allow(dead_code)]
#[path = "../examples/avatar/speech.rs"]
mod speech;

use std::f32::consts::TAU;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::common::init;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the test sends, and looks for.
const RATE: usize = 24_000;

/// Tones, in Hz: several periods of each make a window.
const TONES: [usize; 5] = [600, 1000, 1500, 2200, 3000];

/// Samples in which one tone is looked for: 10 ms.
const WINDOW: usize = RATE / 100;

struct Avatar {
    process: Child,
    address: String,
}

impl Avatar {
    fn start(out: &Path) -> Self {
        Self::start_with(&["--file".as_ref(), out.as_os_str()])
    }

    fn start_with(outputs: &[&OsStr]) -> Self {
        // Cargo builds no examples for a test; where this one is up to date, that takes no time.
        let features = if cfg!(feature = "torch") { "test-runtime,torch" } else { "test-runtime" };
        let built = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["build", "--quiet", "--example", "avatar", "--features", features])
            .args((!cfg!(debug_assertions)).then_some("--release"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "the example does not compile");
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().and_then(Path::parent).unwrap().join("examples/avatar");
        // A port that is free now.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().to_string();
        let mut process = Command::new(program)
            .args(["--face", concat!(env!("CARGO_MANIFEST_DIR"), "/demo/face.mp4"), "--listen", &address])
            .args(outputs)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("listening at http://")), "it says when it listens");
        // What it prints later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { address, process }
    }

    /// A request whose head is sent.
    fn open(&self, request: &str, header: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: avatar\r\nConnection: close\r\n{header}\r\n\r\n").unwrap();
        stream
    }

    fn ask(&self, request: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.open(request, &format!("Content-Length: {}", body.len()));
        stream.write_all(body).unwrap();
        answer(stream)
    }

    /// A number of the statistics.
    fn stat(&self, name: &str) -> f64 {
        let (status, text) = self.ask("GET /stats", &[]);
        assert_eq!(status, 200, "{text}");
        let after = text.split_once(&format!("\"{name}\": ")).unwrap_or_else(|| panic!("no {name} in {text}")).1;
        after.split([',', '}']).next().unwrap().parse().unwrap()
    }

    fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As Ctrl-C does.
    fn end(mut self) {
        // SAFETY: a signal to a process that was started here, and has not been waited for.
        unsafe { libc::kill(self.process.id() as i32, libc::SIGTERM) };
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Avatar {
    fn drop(&mut self) {
        let _ = self.process.kill();
    }
}

fn answer(stream: TcpStream) -> (u16, String) {
    let mut reader = BufReader::new(stream);
    let head: Vec<_> = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).expect("a length").parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head[0].split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
}

/// 16-bit samples.
fn tone(frequency: usize, seconds: f32) -> Vec<u8> {
    let angle = |i: usize| (i * frequency) as f32 / RATE as f32 * TAU;
    let samples = (0..(seconds * RATE as f32) as usize).map(|i| (angle(i).sin() * 10_000.0) as i16);
    samples.flat_map(i16::to_le_bytes).collect()
}

/// With a header in which the length is not known yet, as those who speak while they think write it.
fn wav(samples: Vec<u8>) -> Vec<u8> {
    let rate = (RATE as u32).to_le_bytes();
    let bytes = (2 * RATE as u32).to_le_bytes();
    let head = [
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0".as_slice(),
        &rate,
        &bytes,
        b"\x02\0\x10\0data\xff\xff\xff\xff",
    ];
    [&head.concat()[..], &samples].concat()
}

/// The file's sound, from 0, and the times of its pictures.
fn play(file: &Path) -> (Vec<f32>, Vec<u64>) {
    init();
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! matroskademux name=d d. ! queue ! h264parse ! appsink name=pictures sync=false \
         d. ! queue ! aacparse ! avdec_aac ! audiorate skip-to-first=false ! audioconvert ! audioresample ! \
         appsink name=sound sync=false caps=audio/x-raw,format=F32LE,channels=1,rate={RATE}",
        file.display()
    ));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let pull = |name: &str| {
        let sink = pipeline.by_name(name).unwrap().downcast::<gst_app::AppSink>().unwrap();
        std::iter::from_fn(move || sink.pull_sample().ok()?.buffer_owned())
    };
    let (sound, times) = std::thread::scope(|scope| {
        let times = scope.spawn(|| pull("pictures").map(|buffer| buffer.pts().unwrap().mseconds()).collect());
        let bytes: Vec<u8> = pull("sound").flat_map(|buffer| buffer.map_readable().unwrap().to_vec()).collect();
        let samples = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        (samples.collect(), times.join().unwrap())
    });
    pipeline.set_state(gst::State::Null).unwrap();
    (sound, times)
}

/// What is heard, one after the other: a tone, or `None` for silence, and how many windows long.
fn heard(sound: &[f32]) -> Vec<(Option<usize>, usize)> {
    let strength = |window: &[f32], frequency: usize| {
        let sum = window.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, sample)| {
            let angle = (i * frequency) as f32 / RATE as f32 * TAU;
            (re + sample * angle.cos(), im + sample * angle.sin())
        });
        sum.0.hypot(sum.1) * 2.0 / window.len() as f32
    };
    let mut all: Vec<(Option<usize>, usize)> = Vec::new();
    for window in sound.chunks_exact(WINDOW) {
        let loudest = TONES.into_iter().max_by(|a, b| strength(window, *a).total_cmp(&strength(window, *b)));
        let found = loudest.filter(|tone| strength(window, *tone) > 0.15);
        match all.last_mut() {
            Some((last, count)) if *last == found => *count += 1,
            _ => all.push((found, 1)),
        }
    }
    all
}

/// A disk that is full takes no file any more, and the broadcast goes on; the end says what failed.
#[test]
fn an_output_fails_alone() {
    let full = std::env::temp_dir().join(format!("avatar-full-{}.mkv", std::process::id()));
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let [file, rtmp, address] = ["--file", "--rtmp", "rtmp://127.0.0.1:1/live/nobody"].map(OsStr::new);
    let mut avatar = Avatar::start_with(&[file, full.as_os_str(), rtmp, address]);
    // More than a muxer keeps to itself is written by now.
    avatar.wait_until("pictures", |avatar| avatar.stat("frames") > 100.0);
    assert!(avatar.process.try_wait().unwrap().is_none(), "it has ended");
    // SAFETY: a signal to a process that was started here, and has not been waited for.
    unsafe { libc::kill(avatar.process.id() as i32, libc::SIGTERM) };
    assert!(!avatar.process.wait().unwrap().success());
    std::fs::remove_file(&full).unwrap();
}

#[test]
fn it_says_what_is_sent_to_it() {
    let out = std::env::temp_dir().join(format!("avatar-{}.mkv", std::process::id()));
    let avatar = Avatar::start(&out);
    let [first, second, pieces, long, last] = TONES;
    avatar.wait_until("pictures", |avatar| avatar.stat("frames") > 10.0);

    // A wav file, and samples behind it.
    assert_eq!(avatar.ask("POST /speech", &wav(tone(first, 0.6))).0, 200);
    assert_eq!(avatar.ask(&format!("POST /speech?rate={RATE}"), &tone(second, 0.4)).0, 200);
    avatar.wait_until("both are said", |avatar| avatar.stat("speeches") == 0.0);
    // The one that has been said is told from the next by the silence between.
    std::thread::sleep(Duration::from_millis(200));

    // Pieces of one speech, the second after the first has been said.
    let header = format!("Transfer-Encoding: chunked\r\nContent-Type: audio/pcm;rate={RATE}");
    let mut stream = avatar.open("POST /speech", &header);
    let mut frames = Vec::new();
    for _ in 0..2 {
        let piece = tone(pieces, 0.3);
        write!(stream, "{:x}\r\n", piece.len()).unwrap();
        stream.write_all(&[&piece[..], b"\r\n"].concat()).unwrap();
        std::thread::sleep(Duration::from_millis(600));
        frames.push(avatar.stat("frames"));
    }
    assert_eq!(avatar.stat("speeches"), 1.0);
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(answer(stream).0, 200);
    assert!(frames[1] > frames[0], "the picture goes on while the sender is late");

    // Another one waits behind a long one; both are interrupted.
    let mut waiting = avatar.open(&format!("POST /speech?rate={RATE}"), "Content-Length: 2000000");
    waiting.write_all(&tone(long, 30.0)).unwrap();
    avatar.wait_until("half a second is said", |avatar| {
        avatar.stat("waiting-seconds") > 9.0 && avatar.stat("speech-delay-ms") > 0.0
    });
    assert_eq!(avatar.ask("POST /speech?rate=24000", &tone(second, 0.5)).0, 200);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(avatar.ask("POST /interrupt", &[]).0, 200);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(avatar.ask("POST /speech", &wav(tone(last, 0.5))).0, 200);
    let (status, text) = answer(waiting);
    assert_eq!(status, 409, "{text}");
    avatar.wait_until("the last is said", |avatar| avatar.stat("speeches") == 0.0);
    // And heard: what is not is dropped by the interruption below.
    std::thread::sleep(Duration::from_millis(600));

    // What is no speech.
    for (request, body, expected) in [
        ("POST /speech", &b"this is no wav file"[..], 415),
        ("POST /speech", b"RIFF....WAVEthis is none either", 415),
        ("POST /speech", b"", 400),
        ("POST /speech?rate=0", b"0123", 400),
        ("GET /speech", b"", 405),
        ("GET /nothing", b"", 404),
        ("GET /", b"", 200),
    ] {
        let (status, text) = avatar.ask(request, body);
        assert!(status == expected && text.len() > 10, "{request}: {status} {text}");
    }
    assert_eq!(answer(avatar.open("POST /speech", "Content-Length: 4000000000")).0, 413);
    // Those that were refused are in the queue until the next sound is made.
    avatar.wait_until("the queue is empty", |avatar| avatar.stat("speeches") == 0.0);
    // Speeches of which nothing comes take all the room there is, until they are interrupted.
    let idle: Vec<_> = (0..16).map(|_| avatar.open("POST /speech", "Transfer-Encoding: chunked")).collect();
    avatar.wait_until("the queue is full", |avatar| avatar.stat("speeches") == 16.0);
    assert_eq!(avatar.ask("POST /speech", &wav(tone(first, 0.1))).0, 503);
    assert_eq!(avatar.ask("POST /interrupt", &[]).0, 200);
    assert_eq!(avatar.stat("speeches"), 0.0);
    drop(idle);
    // An interruption drops the sound that waits for its time. At an end right behind it there is no other.
    std::thread::sleep(Duration::from_millis(500));
    avatar.end();

    let (sound, times) = play(&out);
    std::fs::remove_file(&out).unwrap();
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX);
    assert!(gap <= 41, "{gap} ms between two pictures");
    let ends = [times.last().copied().unwrap_or(0), (sound.len() * 1000 / RATE) as u64];
    assert!(ends[0].abs_diff(ends[1]) < 150, "picture and sound end at {ends:?} ms");
    let said = heard(&sound);
    // A window between two tones may be of either or none, and an encoder smears a little.
    let is = |k: usize, tone, least: usize, most: usize| {
        assert!(
            said.get(k).is_some_and(|(found, count)| *found == tone && (least..=most).contains(count)),
            "{k}: expected {tone:?} for {least} to {most} windows of 10 ms: {said:?}"
        );
    };
    is(0, None, 1, 10_000);
    is(1, Some(first), 58, 62);
    is(2, Some(second), 38, 42);
    is(3, None, 1, 1000);
    is(4, Some(pieces), 28, 32);
    is(5, None, 25, 200);
    is(6, Some(pieces), 28, 32);
    is(7, None, 25, 200);
    // What was on its way to the lips is not heard any more.
    is(8, Some(long), 20, 500);
    is(9, None, 1, 500);
    is(10, Some(last), 48, 52);
    assert!(said.len() <= 12, "{said:?}");
}
