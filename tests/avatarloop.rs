// SPDX-License-Identifier: MPL-2.0
//! Frames here are 4×2 grey pixels (8 bytes), all of them the frame's number.

use std::collections::HashSet;
use std::time::Duration;

use gst::prelude::*;

use crate::common;

const MS: u64 = 1_000_000;
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(10);

struct Loop {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Loop {
    fn new(properties: &str) -> Self {
        Self::with_caps(properties, "video/x-raw,format=GRAY8,width=4,height=2,framerate=25/1")
    }

    fn with_caps(properties: &str, caps: &str) -> Self {
        common::init();
        let text = format!(
            "appsrc name=source format=time handle-segment-change=true ! avatarloop name=loop {properties} ! \
             appsink name=sink sync=false max-buffers=4"
        );
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("source").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
        source.set_caps(Some(&caps.parse().unwrap()));
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, source, sink }
    }

    /// A clip of frames that start at these milliseconds, and its end.
    fn play(&self, starts: &[u64], last_duration: Option<u64>) {
        for (number, start) in starts.iter().enumerate() {
            let duration = match starts.get(number + 1) {
                Some(next) => Some((next - start) * MS),
                None => last_duration.map(|d| d * MS),
            };
            self.source.push_buffer(frame(number as u8, Some(start * MS), duration)).unwrap();
        }
        self.source.end_of_stream().unwrap();
    }

    fn pull(&self) -> gst::Sample {
        self.sink.try_pull_sample(PATIENCE).unwrap_or_else(|| panic!("no frame: {:?}", self.error()))
    }

    /// Number and start (ms) of the next frames.
    fn take(&self, count: usize) -> Vec<(u8, u64)> {
        (0..count)
            .map(|_| {
                let sample = self.pull();
                let buffer = sample.buffer().unwrap();
                let time =
                    sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap().to_running_time(buffer.pts());
                (buffer.map_readable().unwrap()[0], time.unwrap().nseconds() / MS)
            })
            .collect()
    }

    fn error(&self) -> Option<String> {
        let message = self.pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

fn frame(number: u8, pts: Option<u64>, duration: Option<u64>) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![number; 8]);
    let inner = buffer.get_mut().unwrap();
    inner.set_pts(pts.map(gst::ClockTime::from_nseconds));
    inner.set_duration(duration.map(gst::ClockTime::from_nseconds));
    buffer
}

fn numbers(frames: &[(u8, u64)]) -> Vec<u8> {
    frames.iter().map(|(number, _)| *number).collect()
}

fn starts(frames: &[(u8, u64)]) -> Vec<u64> {
    frames.iter().map(|(_, start)| *start).collect()
}

#[test]
fn forward_and_pingpong_follow_their_order() {
    let clip = Loop::new("mode=forward");
    clip.play(&[0, 40, 80], Some(40));
    let frames = clip.take(8);
    assert_eq!(numbers(&frames), [0, 1, 2, 0, 1, 2, 0, 1]);
    assert_eq!(starts(&frames), (0..8).map(|k| k * 40).collect::<Vec<_>>());

    let clip = Loop::new("mode=pingpong");
    clip.play(&[0, 40, 80, 120], Some(40));
    assert_eq!(numbers(&clip.take(14)), [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
}

#[test]
fn by_default_a_clip_is_played_once() {
    let clip = Loop::new("");
    clip.play(&[0, 40], Some(40));
    assert_eq!(numbers(&clip.take(2)), [0, 1]);
    assert!(clip.sink.try_pull_sample(PATIENCE).is_none());
    assert!(clip.sink.is_eos());
}

#[test]
fn a_variable_rate_is_kept() {
    let clip = Loop::new("mode=pingpong");
    clip.play(&[1000, 1010, 1043, 1143], Some(20));
    let frames = clip.take(10);
    // How long each is shown: 10, 33, 100 and 20 ms.
    assert_eq!(numbers(&frames), [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]);
    assert_eq!(starts(&frames), [1000, 1010, 1043, 1143, 1163, 1263, 1296, 1306, 1339, 1439]);
}

#[test]
fn a_still_picture_becomes_25_frames_per_second() {
    let clip = Loop::with_caps("mode=forward", "video/x-raw,format=GRAY8,width=4,height=2,framerate=0/1");
    clip.source.push_buffer(frame(7, None, None)).unwrap();
    clip.source.end_of_stream().unwrap();
    let caps = clip.pull().caps().unwrap().to_owned();
    assert_eq!(caps.structure(0).unwrap().get::<gst::Fraction>("framerate").unwrap(), gst::Fraction::new(25, 1));
    assert_eq!(clip.take(3), [(7, 40), (7, 80), (7, 120)]);
}

#[test]
fn a_still_picture_meets_a_rate_asked_for_downstream() {
    common::init();
    let text = "videotestsrc num-buffers=1 ! video/x-raw,framerate=0/1,width=64,height=48 ! avatarloop mode=forward ! \
                video/x-raw,framerate=25/1 ! identity eos-after=5 ! fakesink name=sink";
    let pipeline = gst::parse::launch(text).unwrap();
    assert_eq!(run_to_end(&pipeline), Ok(()));
}

/// Plays to the end; the error in words otherwise.
fn run_to_end(pipeline: &gst::Element) -> Result<(), String> {
    pipeline.set_state(gst::State::Playing).unwrap();
    let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
    let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &kinds);
    pipeline.set_state(gst::State::Null).unwrap();
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(error)) => Err(error.error().to_string()),
        _ => Err("nothing within 10 s".into()),
    }
}

#[test]
fn a_later_segment_does_not_break_the_timeline() {
    let clip = Loop::new("mode=forward");
    // appsrc puts a sample's segment before its frame.
    let push = |number: u8, pts: u64, start: u64, base: u64| {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(gst::ClockTime::from_mseconds(start));
        segment.set_base(gst::ClockTime::from_mseconds(base));
        segment.set_stop(gst::ClockTime::from_mseconds(start + 1000));
        let caps = clip.source.caps().unwrap();
        let buffer = frame(number, Some(pts * MS), Some(40 * MS));
        clip.source.push_sample(&gst::Sample::builder().buffer(&buffer).caps(&caps).segment(&segment).build()).unwrap();
    };
    push(9, 400, 500, 0); // before the segment's start: not shown
    push(0, 500, 500, 0);
    push(1, 540, 500, 0);
    push(2, 2000, 2000, 80);
    clip.source.end_of_stream().unwrap();
    assert_eq!(clip.take(6), [(0, 0), (1, 40), (2, 80), (0, 120), (1, 160), (2, 200)]);
    assert!(clip.pull().segment().unwrap().stop().is_none(), "an endless picture in a segment that ends");
}

/// `count` frames of a small clip in `format`, looped.
fn looped_frames(format: &str, properties: &str, count: usize) -> Vec<Vec<u8>> {
    // At the end in a format that has no unused bytes between the rows. The source cannot be had again: it feeds somebody else, too.
    let text = format!(
        "videotestsrc num-buffers=5 horizontal-speed=3 ! \
         video/x-raw,format={format},width=33,height=17,framerate=30/1 ! tee name=t ! queue ! avatarloop mode=pingpong {properties} ! \
         videoconvert ! video/x-raw,format=RGBA ! appsink name=sink sync=false max-buffers=2 t. ! queue ! fakesink"
    );
    frames_of(&text, count, false)
}

/// The first `count` frames that arrive at the appsink `sink`. With `late` it says that of each, as sinks that show frames do.
fn frames_of(text: &str, count: usize, late: bool) -> Vec<Vec<u8>> {
    common::init();
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let pad = sink.static_pad("sink").unwrap();
    let frames = (0..count)
        .map(|_| {
            let sample = sink.try_pull_sample(PATIENCE).unwrap();
            let buffer = sample.buffer().unwrap();
            if late {
                pad.push_event(gst::event::Qos::new(gst::QOSType::Underflow, 2.0, 40_000_000, buffer.pts().unwrap()));
            }
            buffer.map_readable().unwrap().to_vec()
        })
        .collect();
    pipeline.set_state(gst::State::Null).unwrap();
    frames
}

#[test]
fn frames_come_back_unchanged_from_memory_and_from_disk() {
    for format in ["I420", "NV12", "RGBA", "BGR", "Y444_10LE", "v210"] {
        let in_memory = looped_frames(format, "", 20);
        assert_ne!(in_memory[0], in_memory[1]);
        for (k, frame) in in_memory.iter().enumerate() {
            let original = [0, 1, 2, 3, 4, 3, 2, 1][k % 8];
            assert!(*frame == in_memory[original], "{format}: frame {k} differs from frame {original}");
        }
        // None, and about one.
        for bytes in [0, 33 * 17 * 4] {
            let on_disk = looped_frames(format, &format!("max-memory={bytes}"), 20);
            assert!(on_disk == in_memory, "{format}: frames from the file differ");
        }
    }
}

/// A clip that memory does not hold is decoded again, forward and backward: frame for frame the same, at the same times.
#[test]
fn a_long_clip_is_decoded_again() {
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/face.mp4");
    for rate in ["", "! videorate ! video/x-raw,framerate=20/1"] {
        for mode in ["forward", "pingpong"] {
            let looped = |properties: &str| {
                let text = format!(
                    "filesrc location={clip} ! decodebin ! videoconvert ! videoscale ! video/x-raw,width=64,height=64 {rate} ! \
                     avatarloop mode={mode} {properties} ! appsink name=sink sync=false max-buffers=2"
                );
                frames_of(&text, 400, true)
            };
            let (kept, again) = (looped(""), looped("max-memory=1000000 max-disk=0"));
            let different: Vec<_> = (0..kept.len()).filter(|&k| kept[k] != again[k]).collect();
            assert!(different.is_empty(), "{mode}{rate}: frames {different:?} of {}", kept.len());
        }
    }
}

#[test]
fn a_frame_with_a_layout_of_its_own_is_stored_in_the_plain_one() {
    let clip = Loop::new("mode=forward");
    // Rows of 4 pixels, 10 bytes apart, after 3 bytes of something else.
    let mut buffer = gst::Buffer::from_mut_slice((0..32).collect::<Vec<u8>>());
    let inner = buffer.get_mut().unwrap();
    inner.set_pts(gst::ClockTime::ZERO);
    let format = gst_video::VideoFormat::Gray8;
    gst_video::VideoMeta::add_full(inner, gst_video::VideoFrameFlags::empty(), format, 4, 2, &[3], &[10]).unwrap();
    clip.source.push_buffer(buffer).unwrap();
    clip.source.end_of_stream().unwrap();
    clip.pull();
    assert_eq!(clip.pull().buffer().unwrap().map_readable().unwrap()[..8], [3, 4, 5, 6, 13, 14, 15, 16]);
}

#[test]
fn a_clip_too_long_for_the_disk_is_an_error_in_words() {
    let clip = Loop::new("mode=forward max-memory=16 max-disk=23");
    clip.play(&[0, 40, 80, 120, 160], None);
    assert_eq!(clip.take(2).len(), 2);
    let error = clip.error().unwrap();
    assert!(error.contains("max-disk (23 bytes)") && error.contains("mode=none"), "{error}");
}

#[test]
fn a_change_of_format_is_an_error_in_words() {
    let clip = Loop::new("mode=forward");
    clip.source.push_buffer(frame(0, Some(0), None)).unwrap();
    clip.source.set_caps(Some(&"video/x-raw,format=GRAY8,width=2,height=4,framerate=25/1".parse().unwrap()));
    clip.source.push_buffer(frame(1, Some(40 * MS), None)).unwrap();
    let error = clip.error().unwrap();
    assert!(error.contains("GRAY8 4×2") && error.contains("GRAY8 2×4"), "{error}");
}

#[test]
fn it_ends_when_downstream_has_enough() {
    common::init();
    // The first run ends while it loops, the second within the clip itself.
    for enough in [50, 3] {
        let text = format!(
            "videotestsrc num-buffers=10 ! avatarloop name=loop mode=pingpong ! identity eos-after={enough} ! fakesink"
        );
        let pipeline = gst::parse::launch(&text).unwrap();
        assert_eq!(run_to_end(&pipeline), Ok(()));
    }
}

#[test]
fn an_error_downstream_ends_it() {
    common::init();
    let text = "videotestsrc num-buffers=10 ! avatarloop mode=pingpong ! identity error-after=50 ! fakesink";
    let pipeline = gst::parse::launch(text).unwrap();
    assert!(run_to_end(&pipeline).unwrap_err().contains("Failed after iterations"));
}

#[test]
fn a_flush_begins_anew() {
    let clip = Loop::new("mode=forward");
    clip.play(&[0, 40], Some(40));
    assert_eq!(numbers(&clip.take(6)), [0, 1, 0, 1, 0, 1]);
    let pad = clip.pipeline.by_name("loop").unwrap().static_pad("sink").unwrap();
    // The pad counts as ended only when the event's handler, which starts the loop, is back; a flush before that would not
    // take the end away.
    while !pad.pad_flags().contains(gst::PadFlags::EOS) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(pad.send_event(gst::event::FlushStart::new()));
    assert!(pad.send_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(pad.send_event(gst::event::Segment::new(&segment)));
    for (number, start) in [(5, 0), (6, 40)] {
        pad.chain(frame(number, Some(start * MS), Some(40 * MS))).unwrap();
    }
    assert!(pad.send_event(gst::event::Eos::new()));
    assert_eq!(clip.take(5), [(5, 0), (6, 40), (5, 80), (6, 120), (5, 160)]);
}

#[test]
fn it_is_endless_and_cannot_be_sought_in() {
    let clip = Loop::new("mode=forward");
    clip.play(&[0, 40], Some(40));
    clip.take(5);
    let pad = clip.pipeline.by_name("loop").unwrap().static_pad("src").unwrap();
    assert_eq!(pad.query_duration::<gst::ClockTime>(), None);
    let mut query = gst::query::Seeking::new(gst::Format::Time);
    assert!(pad.query(&mut query));
    assert!(!query.result().0);
    assert!(!pad.send_event(gst::event::Seek::new(
        1.0,
        gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        gst::ClockTime::ZERO,
        gst::SeekType::None,
        gst::ClockTime::NONE,
    )));
    assert_eq!(numbers(&clip.take(2)).len(), 2);
}

/// A buffer of `pool`, which has to come back first; not waiting in the pool keeps a failing test from hanging.
fn free_buffer(pool: &gst::BufferPool) -> Option<gst::Buffer> {
    let at_once = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
    (0..1000).find_map(|_| {
        pool.acquire_buffer(Some(&at_once)).ok().or_else(|| {
            std::thread::sleep(Duration::from_millis(5));
            None
        })
    })
}

#[test]
fn a_decoder_with_few_buffers_does_not_starve() {
    let clip = Loop::new("mode=forward");
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    config.set_params(Some(&clip.source.caps().unwrap()), 8, 2, 2);
    pool.set_config(config).unwrap();
    pool.set_active(true).unwrap();
    let taken = std::thread::scope(|scope| {
        let taken = scope.spawn(|| clip.take(40).len());
        for number in 0..20 {
            let mut buffer = free_buffer(&pool).expect("a buffer comes back to the pool");
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(40 * number));
            clip.source.push_buffer(buffer).unwrap();
        }
        clip.source.end_of_stream().unwrap();
        taken.join().unwrap()
    });
    assert_eq!(taken, 40);
    pool.set_active(false).unwrap();
}

#[test]
fn looping_takes_no_further_memory() {
    let clip = Loop::new("mode=pingpong");
    clip.play(&[0, 40, 80, 120], Some(40));
    clip.take(4);
    let memories: HashSet<_> =
        (0..100).map(|_| clip.pull().buffer().unwrap().peek_memory(0).as_ptr() as usize).collect();
    assert!(memories.len() <= 4, "{} memories for 4 frames", memories.len());
}

#[test]
fn it_stops_wherever_it_is() {
    for round in 0..100 {
        let clip = Loop::new("mode=pingpong max-memory=16");
        clip.play(&[0, 40, 80], Some(40));
        // Stopped before the loop, in it, and while its task waits for the full sink.
        clip.take(round % 10);
        if round % 3 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Pads send what they sent before once more when their offset changes, not all of it as queues hold back what they know.
#[test]
fn a_stream_may_start_twice() {
    common::init();
    let mut harness = gst_check::Harness::new_parse("avatarloop mode=forward");
    harness.set_src_caps_str("video/x-raw,format=GRAY8,width=4,height=2,framerate=25/1");
    harness.push(frame(0, Some(0), Some(40 * MS))).unwrap();
    let start = harness.srcpad().unwrap().sticky_event::<gst::event::StreamStart>(0).unwrap();
    assert!(harness.push_event(start.to_owned().into()));
    harness.push(frame(1, Some(40 * MS), Some(40 * MS))).unwrap();
    assert!(harness.push_event(gst::event::Eos::new()));
    let numbers: Vec<u8> = (0..5).map(|_| harness.pull().unwrap().map_readable().unwrap()[0]).collect();
    assert_eq!(numbers, [0, 1, 0, 1, 0]);
}

/// A clip as from a file, if `recorded`, before somebody who wants to see so many frames before they are played. What was seen by then, and the
/// first frames that are played.
fn previewed(properties: &str, recorded: bool, wanted: usize) -> (Vec<u8>, Vec<u8>) {
    common::init();
    let kind = if recorded { "seekable" } else { "stream" };
    let text = format!(
        "appsrc name=source format=time stream-type={kind} caps=video/x-raw,format=GRAY8,width=4,height=2,framerate=25/1 ! \
         avatarloop name=loop {properties} ! appsink name=sink sync=false max-buffers=1"
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("source").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    source.set_callbacks(gst_app::AppSrcCallbacks::builder().seek_data(|_, _| true).build());
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sees = seen.clone();
    let pad = pipeline.by_name("loop").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, move |_, info| {
        let Some(query) = info.query() else { return gst::PadProbeReturn::Ok };
        let Some(about) = query.structure().filter(|about| about.name() == "lipsync-preview") else {
            return gst::PadProbeReturn::Ok;
        };
        let mut seen = sees.lock().unwrap();
        if seen.len() == wanted {
            return gst::PadProbeReturn::Ok;
        }
        let frame = about.get::<gst::Buffer>("frame").unwrap();
        seen.push(frame.map_readable().unwrap()[0]);
        gst::PadProbeReturn::Handled
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    for number in 0..6 {
        source.push_buffer(frame(number, Some(u64::from(number) * 40 * MS), Some(40 * MS))).unwrap();
    }
    source.end_of_stream().unwrap();
    let first = sink.try_pull_sample(PATIENCE).unwrap();
    let seen = seen.lock().unwrap().clone();
    let mut played = vec![first];
    played.extend(std::iter::from_fn(|| sink.try_pull_sample(PATIENCE)).take(8));
    let times: Vec<_> = played.iter().map(|sample| sample.buffer().unwrap().pts().unwrap().mseconds()).collect();
    assert_eq!(times, (0..played.len() as u64).map(|k| k * 40).collect::<Vec<_>>());
    pipeline.set_state(gst::State::Null).unwrap();
    (seen, played.iter().map(|sample| sample.buffer().unwrap().map_readable().unwrap()[0]).collect())
}

#[test]
fn a_clip_is_shown_before_it_is_played_to_those_who_want_it() {
    let (once, looped) = ((0..6).collect::<Vec<u8>>(), [0, 1, 2, 3, 4, 5, 4, 3, 2].to_vec());
    let all = once.clone();
    assert_eq!(previewed("", true, 100), (all.clone(), once.clone()));
    assert_eq!(previewed("mode=pingpong", true, 100), (all, looped.clone()));
    // Nobody wants to see it, or no more of it.
    assert_eq!(previewed("mode=pingpong", true, 0), (vec![], looped.clone()));
    assert_eq!(previewed("mode=pingpong", true, 2), (vec![0, 1], looped.clone()));
    // It is made while it is played.
    assert_eq!(previewed("mode=pingpong", false, 100), (vec![], looped));
    assert_eq!(previewed("", false, 100), (vec![], once.clone()));
    // Three frames of eight bytes fit into a quarter of this.
    assert_eq!(previewed("max-memory=96", true, 100), (vec![0, 1, 2], once));
}
