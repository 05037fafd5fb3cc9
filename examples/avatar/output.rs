// SPDX-License-Identifier: MPL-2.0
//! Where the encoded streams go. Each output is a pipeline of its own, with a thread that starts it again when it fails: what
//! happens to a server does not happen to the avatar. Nothing is encoded twice.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gst::ClockTime;
use gst::prelude::*;

/// More than this does not wait for a slow output: it loses pictures, up to the next from which a decoder can start.
const MOST_WAITING: ClockTime = ClockTime::from_seconds(2);

/// An output that takes nothing for so long is started again.
const STUCK: Duration = Duration::from_secs(10);

/// Buffers that a sink may take while it is still connecting.
const HELD: u64 = 8;

/// Between attempts.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// AAC encoders begin with 1024 samples of silence; the picture waits as long.
const AAC_DELAY: ClockTime = ClockTime::from_nseconds(1024 * 1_000_000_000 / super::speech::RATE as u64);

#[derive(Clone, Copy, PartialEq)]
pub enum Stream {
    Picture,
    Sound,
}

#[derive(Clone)]
pub enum Target {
    Rtmp(String),
    File(PathBuf),
}

impl Target {
    /// Not the whole address, which may hold a key.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rtmp(_) => "rtmp",
            Self::File(_) => "file",
        }
    }

    /// Makes the pipeline.
    fn pipeline(&self) -> Result<gst::Pipeline, String> {
        let (muxer, sink, location) = match self {
            Self::Rtmp(url) => ("flvmux streamable=true", "rtmp2sink sync=false", url.clone()),
            Self::File(file) if file.extension().is_some_and(|end| end == "flv") => {
                ("flvmux", "filesink", file.display().to_string())
            }
            Self::File(file) => ("matroskamux", "filesink", file.display().to_string()),
        };
        // Not live: the muxer has both streams for all times, and should wait for them.
        let source = "format=time max-bytes=0 max-time=0 max-buffers=0";
        let pipeline = gst::parse::launch(&format!(
            "appsrc name=pictures {source} ! video/x-h264 ! mux. appsrc name=sounds {source} ! audio/mpeg ! mux. \
             {muxer} name=mux ! {sink} name=sink"
        ));
        let pipeline = pipeline.map_err(|e| e.to_string())?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        pipeline.by_name("sink").ok_or("no sink")?.set_property("location", location);
        Ok(pipeline)
    }
}

/// What the avatar hands to an output, without ever waiting for it.
#[derive(Default)]
pub struct Feed {
    link: Mutex<Link>,
    /// Buffers that the server, or the file, has taken.
    pub sent: AtomicU64,
    /// Times it has been started.
    pub starts: AtomicU64,
}

#[derive(Default)]
struct Link {
    /// Of the output that takes something now.
    sources: Option<[gst_app::AppSrc; 2]>,
    /// Since the first picture from which a decoder can start.
    flowing: bool,
    /// Sound that may belong to that picture: it comes before it, because a picture waits for the sound around it.
    early: VecDeque<gst::Sample>,
    /// Too much waits, since then.
    behind: Option<Instant>,
    ended: [bool; 2],
}

impl Feed {
    pub fn push(&self, stream: Stream, sample: &gst::Sample) {
        let Some(sample) = at_running_time(stream, sample) else { return };
        let mut link = self.lock();
        let Some(sources) = link.sources.clone() else { return };
        let waiting = |source: &gst_app::AppSrc| source.property::<u64>("current-level-time") > MOST_WAITING.nseconds();
        if sources.iter().any(waiting) {
            link.flowing = false;
            link.early.clear();
            link.behind.get_or_insert_with(Instant::now);
            return;
        }
        let [pictures, sounds] = &sources;
        // An error is that of the whole output, whose thread hears of it.
        match stream {
            Stream::Picture => {
                let buffer = sample.buffer();
                if !link.flowing && buffer.is_some_and(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT)) {
                    (link.flowing, link.behind) = (true, None);
                    let start = buffer.and_then(|buffer| buffer.pts());
                    for early in link.early.drain(..).filter(|early| early.buffer().and_then(|b| b.pts()) >= start) {
                        let _ = sounds.push_sample(&early);
                    }
                }
                if link.flowing {
                    let _ = pictures.push_sample(&sample);
                }
            }
            Stream::Sound if link.flowing => _ = sounds.push_sample(&sample),
            Stream::Sound => {
                // Some 20 ms each: a second.
                if link.early.len() == 50 {
                    link.early.pop_front();
                }
                link.early.push_back(sample);
            }
        }
    }

    /// The stream is over.
    pub fn end(&self, stream: Stream) {
        let mut link = self.lock();
        link.ended[stream as usize] = true;
        if let Some(sources) = &link.sources {
            let _ = sources[stream as usize].end_of_stream();
        }
    }

    /// Whether both streams are over.
    fn ended(&self) -> bool {
        self.lock().ended == [true; 2]
    }

    /// Feeds these from now on, or nobody.
    fn lead_to(&self, sources: Option<[gst_app::AppSrc; 2]>) {
        let mut link = self.lock();
        for (source, _) in sources.iter().flatten().zip(link.ended).filter(|(_, ended)| *ended) {
            let _ = source.end_of_stream();
        }
        *link = Link { sources, ended: link.ended, ..Link::default() };
    }

    fn is_stuck(&self) -> bool {
        self.lock().behind.is_some_and(|since| since.elapsed() > STUCK)
    }

    fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same sample on the avatar's own timeline, which all outputs share. (Encoders have timelines of their own.)
fn at_running_time(stream: Stream, sample: &gst::Sample) -> Option<gst::Sample> {
    let segment = sample.segment()?.downcast_ref::<ClockTime>()?;
    let mut buffer = sample.buffer_owned()?;
    let delay = if stream == Stream::Picture { AAC_DELAY } else { ClockTime::ZERO };
    let time = |time| segment.to_running_time(time).map(|time| time + delay);
    let (pts, dts) = (time(buffer.pts()?), time(buffer.dts_or_pts()?));
    let inner = buffer.make_mut();
    inner.set_pts(pts);
    inner.set_dts(dts);
    Some(gst::Sample::builder().buffer(&buffer).caps(&sample.caps_owned()?).build())
}

pub struct Output {
    pub target: Target,
    pub feed: Arc<Feed>,
    thread: JoinHandle<Result<(), String>>,
}

impl Output {
    pub fn start(target: Target) -> Self {
        let feed = Arc::new(Feed::default());
        let (to, from) = (target.clone(), feed.clone());
        Self { target, feed, thread: std::thread::spawn(move || keep(&to, &from)) }
    }

    /// Whether it has ended, for better or worse.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    pub fn finish(self) -> Result<(), String> {
        let result = self.thread.join().unwrap_or_else(|_| Err("its thread has panicked".into()));
        result.map_err(|error| format!("{}: {error}", self.target.name()))
    }
}

/// Plays until the avatar ends; a server that fails is tried again, a file is not.
fn keep(target: &Target, feed: &Feed) -> Result<(), String> {
    let mut wait = FIRST_WAIT;
    loop {
        feed.starts.fetch_add(1, Ordering::Relaxed);
        let before = feed.sent.load(Ordering::Relaxed);
        let result = play(target, feed);
        feed.lead_to(None);
        match (result, target) {
            (Ok(()), _) => return Ok(()),
            (Err(error), Target::File(_)) => {
                eprintln!("avatar: {}: {error}; it ends here", target.name());
                return Err(error);
            }
            (Err(error), Target::Rtmp(_)) => {
                if feed.sent.load(Ordering::Relaxed) > before + 100 {
                    wait = FIRST_WAIT;
                }
                eprintln!("avatar: {}: {error}; next attempt in {} s", target.name(), wait.as_secs());
                let start = Instant::now();
                while start.elapsed() < wait {
                    if feed.ended() {
                        return Ok(());
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// Plays once, until the end of both streams or an error.
fn play(target: &Target, feed: &Feed) -> Result<(), String> {
    let pipeline = target.pipeline()?;
    let find = |name: &str| pipeline.by_name(name).and_downcast::<gst_app::AppSrc>().ok_or("no appsrc");
    let sources = [find("pictures")?, find("sounds")?];
    let bus = pipeline.bus().ok_or("no bus")?;
    let started = Instant::now();
    let result = (|| {
        let failed = || first_error(&bus).unwrap_or_else(|| "could not be started".into());
        pipeline.set_state(gst::State::Playing).map_err(|_| failed())?;
        feed.lead_to(Some(sources));
        let sink = pipeline.by_name("sink").and_then(|sink| sink.static_pad("sink")).ok_or("no sink")?;
        let taken = Arc::new(AtomicU64::new(0));
        let count = taken.clone();
        sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
        let mut seen = 0;
        loop {
            let message = bus
                .timed_pop_filtered(ClockTime::from_mseconds(100), &[gst::MessageType::Error, gst::MessageType::Eos]);
            let now = taken.load(Ordering::Relaxed).saturating_sub(HELD);
            if now > 0 && seen == 0 {
                eprintln!("avatar: {}: connected after {} ms", target.name(), started.elapsed().as_millis());
            }
            feed.sent.fetch_add(now - seen, Ordering::Relaxed);
            seen = now;
            match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Eos(_)) => return Ok(()),
                Some(gst::MessageView::Error(error)) => return Err(words(error)),
                _ if feed.is_stuck() => return Err(format!("takes nothing for {} s", STUCK.as_secs())),
                _ => {}
            }
        }
    })();
    let _ = pipeline.set_state(gst::State::Null);
    result
}

fn first_error(bus: &gst::Bus) -> Option<String> {
    bus.pop_filtered(&[gst::MessageType::Error]).and_then(|message| match message.view() {
        gst::MessageView::Error(error) => Some(words(error)),
        _ => None,
    })
}

fn words(error: &gst::message::Error) -> String {
    error.error().message().trim_end_matches('.').into()
}
