// SPDX-License-Identifier: MPL-2.0
mod mesh;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gst::prelude::*;
use gstlipsync::face_meta::{Face, FaceMeta, Reason};
use gstlipsync::geometry::Rect;
use gstlipsync::model::{self, Model};

use crate::common;

/// A frame that came out of facecrop.
struct Frame {
    pts: Option<gst::ClockTime>,
    faces: Vec<Arc<Face>>,
}

/// Runs `description`, which ends in `appsink name=out`; the frames and the bus's messages, up to the end or an error.
fn run(description: &str) -> (Vec<Frame>, Vec<gst::Message>) {
    common::init();
    let pipeline = gst::parse::launch(description).expect("the pipeline is valid").downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    sink.set_sync(false);
    let _ = pipeline.set_state(gst::State::Playing);
    let mut frames = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().unwrap();
        frames.push(Frame { pts: buffer.pts(), faces: FaceMeta::faces(buffer) });
    }
    let bus = pipeline.bus().unwrap();
    let messages = std::iter::from_fn(|| bus.pop()).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    (frames, messages)
}

fn error(messages: &[gst::Message]) -> Option<String> {
    messages.iter().find_map(|m| match m.view() {
        gst::MessageView::Error(e) => Some(format!("{} {}", e.error(), e.debug().unwrap_or_default())),
        _ => None,
    })
}

fn events(messages: &[gst::Message]) -> Vec<(String, u32)> {
    messages
        .iter()
        .filter_map(|m| m.structure().filter(|s| s.name() == "application/x-lipsync-event" && s.has_field("track")))
        .map(|s| (s.get("type").unwrap(), s.get("track").unwrap()))
        .collect()
}

fn decoded(file: &Path) -> String {
    format!("filesrc location={} ! decodebin ! videoconvert", file.display())
}

/// What a far larger detector found in every so many-th frame.
#[derive(serde::Deserialize)]
struct Truth {
    frame_step: usize,
    frames: Vec<Vec<TrueFace>>,
}

#[derive(serde::Deserialize)]
struct TrueFace {
    r#box: [f32; 4],
    /// Eyes, nose, corners of the mouth.
    kps: [[f32; 2]; 5],
}

impl Truth {
    fn of(name: &str) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Wrapped {
            truth: Truth,
        }
        let json = std::fs::read_to_string(common::media(&format!("truth/{name}.json"))?).unwrap();
        // What these files use of JSON is TOML but for the colons.
        let text = format!("truth = {}", json.trim().replace("\":", "\"="));
        Some(toml::from_str::<Wrapped>(&text).unwrap().truth)
    }
}

/// Errors in per cent of the true box's width, best first, and the share of true faces that were found.
fn errors(frames: &[Frame], truth: &Truth) -> (Vec<f32>, f32) {
    let (mut errors, mut faces, mut found) = (Vec::new(), 0, 0);
    for (frame, truth) in frames.iter().step_by(truth.frame_step).zip(&truth.frames) {
        let Some(truth) = truth.first() else { continue };
        faces += 1;
        let Some(face) = frame.faces.iter().find(|f| f.weight > 0.0) else { continue };
        found += 1;
        for (corner, landmark) in [(3, 48), (4, 54)] {
            let ([x, y], [u, v]) = (truth.kps[corner], face.landmarks[landmark]);
            errors.push(100.0 * (x - u).hypot(y - v) / (truth.r#box[2] - truth.r#box[0]));
        }
    }
    errors.sort_by(f32::total_cmp);
    (errors, found as f32 / faces.max(1) as f32)
}

#[test]
fn an_interlaced_picture_is_refused_in_words_and_taken_after_deinterlace() {
    let source = "videotestsrc num-buffers=3 ! video/x-raw,format=I420,interlace-mode=";
    for mode in ["interleaved", "mixed"] {
        let (frames, messages) = run(&format!("{source}{mode} ! facecrop ! appsink name=out"));
        let error = error(&messages).unwrap();
        assert!(frames.is_empty() && error.contains(mode) && error.contains("deinterlace"), "{error}");
    }
    for rest in ["progressive", "interleaved ! deinterlace fields=top"] {
        let (frames, messages) = run(&format!("{source}{rest} ! facecrop ! appsink name=out"));
        assert_eq!((frames.len(), error(&messages)), (3, None));
    }
}

#[test]
fn mouths_are_found_in_every_clip() {
    for name in [
        "woman_outdoor_540x960_25fps_h264.mp4",
        "woman_outdoor_1080x1920_25fps_hevc.mp4",
        "woman_indoor_1280x720_30fps_h264.mp4",
        "man_glasses_selfie_720x1280_30fps_noaudio.mp4",
        "man_expressions_480x480_30fps.mp4",
        "synthetic_woman_576x768_25fps_noaudio.mp4",
        "anime_man_704x1216_25fps_noaudio.mp4",
    ] {
        let (Some(file), Some(truth)) = (common::media(&format!("video/{name}")), Truth::of(&format!("video/{name}")))
        else {
            return;
        };
        let (frames, messages) = run(&format!("{} ! facecrop ! appsink name=out", decoded(&file)));
        assert_eq!(error(&messages), None, "{name}");
        assert!(frames.len() > 200, "{name}: {} frames", frames.len());
        let (errors, found) = errors(&frames, &truth);
        let mean = errors.iter().sum::<f32>() / errors.len() as f32;
        let p95 = errors[errors.len() * 95 / 100];
        let tracks = events(&messages).iter().filter(|(kind, _)| kind == "face-found").count();
        println!(
            "{name}: found {:.1} %, corners of the mouth {mean:.2} % mean, {p95:.2} % p95, {tracks} tracks",
            100.0 * found
        );
        assert!(found >= 0.99, "{name}: found in {found} of the frames");
        assert!(mean <= 2.5 && p95 <= 4.5, "{name}: {mean} {p95}");
    }
}

/// Root mean square, in per cent of the box's width, of what moves faster than three frames. Each frame has a face.
fn jitter(frames: &[Frame], landmarks: std::ops::Range<usize>) -> f32 {
    let faces: Vec<&Face> = frames.iter().map(|f| &*f.faces[0]).collect();
    let mut squares = Vec::new();
    for three in faces.windows(3) {
        for i in landmarks.clone() {
            let fast = |k: usize| three[1].landmarks[i][k] - three.iter().map(|f| f.landmarks[i][k]).sum::<f32>() / 3.0;
            squares.push((fast(0).powi(2) + fast(1).powi(2)) / three[1].bbox.w.powi(2));
        }
    }
    100.0 * (squares.iter().sum::<f32>() / squares.len() as f32).sqrt()
}

#[test]
fn a_face_that_hardly_moves_is_still() {
    let Some(file) = common::media("video/synthetic_woman_576x768_25fps_noaudio.mp4") else { return };
    let mut found = Vec::new();
    for smoothing in ["0", "0.5"] {
        let (frames, _) = run(&format!("{} ! facecrop smoothing={smoothing} ! appsink name=out", decoded(&file)));
        let (mouth, all) = (jitter(&frames, 48..68), jitter(&frames, 0..68));
        println!("smoothing {smoothing}: jitter of the mouth {mouth:.3} %, of all points {all:.3} %");
        found.push(all);
    }
    assert!(found[1] <= 0.1 && found[1] < 0.8 * found[0], "{found:?}");
}

#[test]
fn what_is_no_face_is_passed_untouched() {
    let Some(file) = common::media("portrait/noface_cat_1080x1439.jpg") else { return };
    for select in ["largest", "all"] {
        let (frames, messages) = run(&format!(
            "{} ! imagefreeze num-buffers=60 ! facecrop face-select={select} ! appsink name=out",
            decoded(&file)
        ));
        assert_eq!((frames.len(), error(&messages)), (60, None));
        assert!(frames.iter().all(|f| f.faces.is_empty()), "{select}");
        assert_eq!(events(&messages), []);
    }
}

#[test]
fn all_faces_are_found_where_all_are_wanted() {
    let name = "portrait/four_people_1024x484.jpg";
    let (Some(file), Some(truth)) = (common::media(name), Truth::of(name)) else { return };
    for (select, count) in [("all", 4), ("largest", 1), ("central", 1), ("track", 1)] {
        let (frames, messages) = run(&format!(
            "{} ! imagefreeze num-buffers=30 ! facecrop face-select={select} ! appsink name=out",
            decoded(&file)
        ));
        assert_eq!(error(&messages), None);
        for frame in &frames {
            assert_eq!(frame.faces.len(), count, "{select}");
            for face in &frame.faces {
                let near = |t: &&TrueFace| {
                    let ([x, y], [u, v]) = (t.kps[3], face.landmarks[48]);
                    (x - u).hypot(y - v) < 0.05 * (t.r#box[2] - t.r#box[0])
                };
                assert!(truth.frames[0].iter().any(|t| near(&t)), "{select}: {:?}", face.bbox);
                assert_eq!((face.weight, face.reason), (1.0, None), "{select}");
            }
        }
        assert_eq!(events(&messages).len(), count, "{select}");
    }
}

#[test]
fn stills_are_found() {
    for (name, limit) in [
        ("portrait/man_generated_1024x1536.png", 4.0),
        ("portrait/painting_monalisa_720x1280.jpg", 4.0),
        ("portrait/painted_woman_508x504.png", 4.0),
        ("portrait/cartoon3d_boy_852x852.jpg", 4.0),
    ] {
        let (Some(file), Some(truth)) = (common::media(name), Truth::of(name)) else { return };
        let (frames, _) = run(&format!("{} ! facecrop ! appsink name=out", decoded(&file)));
        let (errors, found) = errors(&frames, &truth);
        println!("{name}: found {found}, corners {errors:.2?} %");
        assert!(found == 1.0 && errors.iter().all(|&e| e <= limit), "{name}: {errors:?}");
    }
}

#[test]
fn the_same_frames_give_the_same_faces() {
    let Some(file) = common::media("video/man_expressions_480x480_30fps.mp4") else { return };
    let once = || {
        let (frames, _) = run(&format!("{} ! facecrop face-select=all ! appsink name=out", decoded(&file)));
        let faces = frames.iter().flat_map(|f| &f.faces);
        faces
            .map(|f| (f.track, f.bbox, f.landmarks, f.pose, f.confidence, f.weight, f.crop_to_frame, f.crop.clone()))
            .collect::<Vec<_>>()
    };
    let (first, second) = (once(), once());
    assert!(first.len() > 200 && first == second);
}

/// A frame of a clip that is repeated has the face that it had before, to the bit.
#[test]
fn a_repeated_frame_has_the_same_faces() {
    const CLIP: usize = 100;
    let clip = decoded(&Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/face.mp4"));
    for (mode, again) in [("forward", [CLIP + 7, 2 * CLIP + 7]), ("pingpong", [2 * CLIP - 2 - 7, 2 * CLIP - 2 + 7])] {
        let until = 2 * CLIP + 20;
        let (frames, messages) = run(&format!(
            "{clip} ! avatarloop mode={mode} ! identity eos-after={until} ! facecrop name=crop ! appsink name=out"
        ));
        assert_eq!(error(&messages), None);
        assert!(frames.len() > 2 * CLIP + 10);
        assert_eq!(events(&messages), [("face-found".into(), 0)]);
        for k in again {
            let (first, later) = (&frames[7].faces[0], &frames[k].faces[0]);
            assert_eq!((first.landmarks, first.crop_to_frame), (later.landmarks, later.crop_to_frame), "{mode} {k}");
            assert_eq!((first.bbox, first.weight, first.track), (later.bbox, later.weight, later.track));
            assert_eq!(first.crop, later.crop);
        }
        assert_ne!(frames[7].faces[0].landmarks, frames[CLIP + 20].faces[0].landmarks);
    }
}

#[test]
fn every_frame_leaves_with_its_time() {
    let Some(file) = common::media("video/man_expressions_480x480_30fps.mp4") else { return };
    let times = |element: &str| {
        let (frames, _) = run(&format!("{} ! {element} ! appsink name=out", decoded(&file)));
        frames.iter().map(|f| f.pts).collect::<Vec<_>>()
    };
    assert_eq!(times("facecrop"), times("identity"));
}

/// A still, `count` frames of it, scaled to `width` × `height`.
fn still(file: &Path, count: u32, width: u32, height: u32) -> String {
    format!(
        "{} ! imagefreeze num-buffers={count} ! videoscale ! video/x-raw,format=I420,width={width},height={height},\
         pixel-aspect-ratio=1/1,framerate=25/1",
        decoded(file)
    )
}

#[test]
fn a_cut_pops_and_a_scene_without_faces_has_none() {
    let Some(face) = common::media("portrait/painted_woman_508x504.png") else { return };
    let black = |count| {
        format!(
            "videotestsrc pattern=black num-buffers={count} ! \
             video/x-raw,format=I420,width=508,height=504,pixel-aspect-ratio=1/1,framerate=25/1"
        )
    };
    let (frames, messages) = run(&format!(
        "concat name=c ! facecrop ! appsink name=out  {} ! c.  {} ! c.  {} ! c.",
        black(7),
        still(&face, 6, 508, 504),
        black(5)
    ));
    assert_eq!(error(&messages), None);
    let weights: Vec<Option<f32>> = frames.iter().map(|f| f.faces.first().map(|f| f.weight)).collect();
    let expected: Vec<Option<f32>> = [vec![None; 7], vec![Some(1.0); 6], vec![None; 5]].into_iter().flatten().collect();
    assert_eq!(weights, expected);
    assert_eq!(events(&messages), [("face-found".into(), 0), ("face-lost".into(), 0)]);
}

/// What is found in a clip that is shown before it is played is the same, and is told when it is played.
#[test]
fn a_preview_changes_nothing() {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/face.mp4");
    let found = |wants: bool| {
        common::init();
        let text =
            format!("{} ! avatarloop ! queue ! facecrop name=crop ! appsink name=out sync=false", decoded(&clip));
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        let seen = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let sees = seen.clone();
        let pad = pipeline.by_name("crop").unwrap().static_pad("src").unwrap();
        pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, move |_, info| {
            let about = info.query().and_then(|query| query.structure()).filter(|s| s.name() == "lipsync-preview");
            let Some(about) = about.filter(|_| wants) else { return gst::PadProbeReturn::Ok };
            let faces = FaceMeta::faces(&about.get::<gst::Buffer>("frame").unwrap());
            sees.fetch_add(faces.len(), std::sync::atomic::Ordering::Relaxed);
            gst::PadProbeReturn::Handled
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        let frames: Vec<_> = std::iter::from_fn(|| sink.pull_sample().ok())
            .map(|sample| {
                let faces = FaceMeta::faces(sample.buffer().unwrap());
                faces.iter().map(|face| (face.track, face.bbox, face.landmarks, face.crop.clone())).collect::<Vec<_>>()
            })
            .collect();
        let bus = pipeline.bus().unwrap();
        let messages: Vec<_> = std::iter::from_fn(|| bus.pop()).collect();
        let times: Vec<Option<gst::ClockTime>> = messages
            .iter()
            .filter_map(|message| message.structure().filter(|s| s.has_field("track")))
            .map(|about| about.get("running-time").ok())
            .collect();
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(error(&messages), None);
        (frames, events(&messages), times, seen.load(std::sync::atomic::Ordering::Relaxed))
    };
    let (plain, shown) = (found(false), found(true));
    assert_eq!((plain.3, shown.3), (0, shown.0.len()));
    assert!(plain.0.len() > 50 && plain.1.len() == 1, "{} frames, {:?}", plain.0.len(), plain.1);
    assert!(plain.0 == shown.0 && (plain.1, plain.2) == (shown.1, shown.2));
}

/// A detector that wants heads upright gets the picture turned: a head that lies on its side is found, and stays.
#[test]
fn a_head_may_lie_on_its_side() {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/face.mp4");
    for (turn, expected) in [("90r", 90.0), ("90l", -90.0)] {
        let (frames, messages) =
            run(&format!("{} ! videoflip video-direction={turn} ! facecrop ! appsink name=out", decoded(&clip)));
        assert_eq!(events(&messages), [("face-found".into(), 0)], "{turn}");
        for frame in &frames {
            let roll = frame.faces.first().map(|face| face.pose.roll);
            assert!(roll.is_some_and(|roll| (roll - expected).abs() < 25.0), "{turn}: {roll:?}");
        }
    }
}

#[test]
fn the_size_may_change_midstream() {
    let Some(face) = common::media("portrait/painted_woman_508x504.png") else { return };
    let (frames, messages) = run(&format!(
        "concat name=c ! facecrop ! appsink name=out  {} ! c.  {} ! c.",
        still(&face, 5, 508, 504),
        still(&face, 5, 255, 253)
    ));
    assert_eq!((frames.len(), error(&messages)), (10, None));
    let width = |k: usize| frames[k].faces.first().map(|f| (f.weight, f.bbox.w)).unwrap();
    assert_eq!((width(0).0, width(5).0), (1.0, 1.0));
    let ratio = width(0).1 / width(9).1;
    assert!((1.9..2.1).contains(&ratio), "{ratio}");
}

fn warnings(messages: &[gst::Message]) -> Vec<String> {
    let text = |m: &gst::Message| match m.view() {
        gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
        _ => None,
    };
    messages.iter().filter_map(text).collect()
}

/// For how long nobody could speak, and why, each time that it was told.
fn absences(messages: &[gst::Message]) -> Vec<(u64, String)> {
    messages
        .iter()
        .filter_map(|m| m.structure().filter(|s| s.get::<&str>("type") == Ok("no-face")))
        .map(|s| (s.get("for-ms").unwrap(), s.get("reason").unwrap()))
        .collect()
}

#[test]
fn where_nobody_can_speak_it_says_so_and_why() {
    let (frames, messages) = run(
        "videotestsrc pattern=black num-buffers=120 ! video/x-raw,width=64,height=48,framerate=25/1 ! facecrop ! appsink name=out",
    );
    assert_eq!((frames.len(), error(&messages)), (120, None));
    assert_eq!(absences(&messages), [(2000, "none found".into()), (4000, "none found".into())]);

    let Some(face) = common::media("portrait/painted_woman_508x504.png") else { return };
    let (frames, messages) = run(&format!("{} ! facecrop ! appsink name=out", still(&face, 60, 508, 504)));
    assert_eq!((absences(&messages), warnings(&messages)), (vec![], vec![]));
    // So large that a mouth would hardly be seen, and larger.
    let wanted = (0.98 * frames[0].faces[0].bbox.w) as u32;
    let small = format!("{} ! facecrop min-face-size={wanted} ! appsink name=out", still(&face, 60, 508, 504));
    let (_, messages) = run(&small);
    assert_eq!(absences(&messages).first().map(|(_, reason)| reason.as_str()), Some("too small"));
    // A generator says so at the end, which is its end or the sound's.
    for (picture, told) in [
        (small, Some("no face was large enough")),
        (
            "videotestsrc pattern=black num-buffers=60 ! facecrop ! appsink name=out".into(),
            Some("no face was found in 60 frames"),
        ),
        (format!("{} ! facecrop ! appsink name=out", still(&face, 60, 508, 504)), None),
    ] {
        let flash = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash");
        let generator = format!("! lipsyncgen model={flash} backend=test ! appsink");
        let (_, messages) = run(&picture.replace("! appsink", &generator));
        let said = warnings(&messages).concat();
        assert!(told.map_or(said.is_empty(), |told| said.contains(told)), "{said}");
    }
}

/// A value that cannot be does not end a stream that runs.
#[test]
fn a_bad_value_while_it_runs_is_refused_and_said() {
    common::init();
    let mut harness = gst_check::Harness::new("facecrop");
    let element = harness.element().unwrap();
    let bus = common::OwnBus::of(&element);
    harness.set_src_caps_str("video/x-raw,format=I420,width=64,height=48,framerate=25/1");
    element.set_property("region", "8,8,32,32");
    let mut frame = |k: u64| {
        let mut buffer = gst::Buffer::from_mut_slice(vec![0u8; 64 * 48 * 3 / 2]);
        buffer.get_mut().unwrap().set_pts(k * 40.mseconds());
        harness.push_and_pull(buffer).expect("the stream goes on");
    };
    let said = || warnings(&std::iter::from_fn(|| bus.pop()).collect::<Vec<_>>()).concat();
    frame(0);
    element.set_property("region", "rubbish");
    frame(1);
    assert_eq!(element.property::<Option<String>>("region").as_deref(), Some("8,8,32,32"));
    assert!(said().contains("rubbish"));
    element.set_property("region", "1000,1000,50,50");
    (2..5).for_each(&mut frame);
    let text = said();
    assert_eq!(text.matches("outside the picture, which is 64 x 48").count(), 1, "{text}");
    element.set_property("detector", "scrfd");
    let text = said();
    assert!(text.contains("detector was set in state") && text.contains("NULL"), "{text}");
    element.set_property("smoothing", 0.2f32);
    assert_eq!(said(), "");
}

/// Who was cut out of the picture must not speak.
#[test]
fn a_crop_is_made_before_it_and_not_left_to_whoever_shows_the_picture() {
    common::init();
    for element in ["facecrop", "avatarloop mode=forward"] {
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=2 ! video/x-raw,format=I420,width=64,height=48 ! videocrop left=32 ! {element} ! fakesink name=end"
        ));
        let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
        let end = pipeline.by_name("end").unwrap().static_pad("sink").unwrap();
        // A sink that would take such pictures.
        end.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, |_, info| {
            if let Some(query) = info.query_mut()
                && let gst::QueryViewMut::Allocation(query) = query.view_mut()
            {
                query.add_allocation_meta::<gst_video::VideoMeta>(None);
                query.add_allocation_meta::<gst_video::VideoCropMeta>(None);
                return gst::PadProbeReturn::Handled;
            }
            gst::PadProbeReturn::Ok
        });
        let seen = Arc::new(std::sync::Mutex::new(None));
        let cropped = seen.clone();
        end.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer().unwrap();
            cropped.lock().unwrap().get_or_insert((buffer.size(), buffer.meta::<gst_video::VideoCropMeta>().is_some()));
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while seen.lock().unwrap().is_none() && std::time::Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(*seen.lock().unwrap(), Some((32 * 48 * 3 / 2, false)), "{element}");
    }
}

/// A facecrop fed by hand with one picture.
struct ByHand {
    harness: gst_check::Harness,
    picture: gst::Buffer,
    frames: u64,
}

impl ByHand {
    /// Feeds the first frame of `description`.
    fn new(description: &str) -> Self {
        common::init();
        let pipeline = gst::parse::launch(&format!("{description} ! appsink name=out")).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let sample = sink.pull_sample().expect("a picture");
        pipeline.set_state(gst::State::Null).unwrap();
        let mut harness = gst_check::Harness::new("facecrop");
        harness.set_src_caps(sample.caps().unwrap().to_owned());
        Self { harness, picture: sample.buffer_owned().unwrap(), frames: 0 }
    }

    /// Feeds the picture once more, 40 ms later.
    fn push(&mut self, flags: gst::BufferFlags) -> gst::Buffer {
        let mut buffer = self.picture.clone();
        {
            let buffer = buffer.make_mut();
            buffer.set_flags(flags);
            buffer.set_pts(self.frames * 40.mseconds());
        }
        self.frames += 1;
        self.harness.push_and_pull(buffer).unwrap()
    }
}

#[test]
fn a_face_that_is_too_small_fades_and_says_so() {
    let Some(face) = common::media("portrait/painted_woman_508x504.png") else { return };
    let mut facecrop = ByHand::new(&still(&face, 1, 508, 504));
    let mut shown = Vec::new();
    for min_face_size in [40u32, 400, 400, 400, 400, 40, 40, 40] {
        facecrop.harness.element().unwrap().set_property("min-face-size", min_face_size);
        let buffer = facecrop.push(gst::BufferFlags::empty());
        let faces = FaceMeta::faces(&buffer);
        assert_eq!(faces[0].reason, (min_face_size == 400).then_some(Reason::TooSmall));
        shown.push((3.0 * faces[0].weight).round());
    }
    assert_eq!(shown, [3.0, 2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn pixels_are_never_touched_and_flags_tell_nothing_about_faces() {
    let Some(face) = common::media("portrait/painted_woman_508x504.png") else { return };
    let mut facecrop = ByHand::new(&still(&face, 1, 508, 504));
    let (pointer, bytes) = {
        let map = facecrop.picture.map_readable().unwrap();
        (map.as_ptr(), map.to_vec())
    };
    // videorate's duplicates are GAP.
    for flags in [gst::BufferFlags::GAP, gst::BufferFlags::empty()] {
        let out = facecrop.push(flags);
        assert_eq!(FaceMeta::faces(&out).len(), 1);
        assert_eq!(out.flags().contains(gst::BufferFlags::GAP), flags == gst::BufferFlags::GAP);
        let map = out.map_readable().unwrap();
        assert!(map.as_ptr() == pointer && map.as_slice() == bytes);
    }
}

/// A model with a `[facecrop]` section and nothing else of interest. The folder goes when this does.
struct BoxModel(PathBuf);

/// The face's box, 10 px longer.
const BOX: &str = "size = [96, 80]\nrule = \"box\"\npad = { bottom = \"10px\" }";

impl BoxModel {
    fn new(name: &str) -> Self {
        Self::with(name, BOX)
    }

    fn with(name: &str, facecrop: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("facecrop-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let manifest = format!(
            r#"
            name = "boxed"
            [audiofeatures]
            id = "boxed-mel"
            kind = "log-mel"
            sample-rate = 16000
            n-fft = 512
            hop-length = 160
            center = "zero"
            n-mels = 80
            mel-scale = "htk"
            mel-norm = "none"
            f-min = 0
            f-max = 8000
            power = 2
            level = {{ floor = 1e-5 }}
            [facecrop]
            {facecrop}
            [[lipsyncgen.graph]]
            file = "graph.onnx"
            [lipsyncgen.output]
            kind = "image"
            name = "out"
            range = [0, 1]
        "#
        );
        std::fs::write(folder.join("model.toml"), manifest).unwrap();
        std::fs::write(folder.join("graph.onnx"), b"never opened here").unwrap();
        Self(folder)
    }
}

impl Drop for BoxModel {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_region_is_taken_at_its_word() {
    let Some(cat) = common::media("portrait/noface_cat_1080x1439.jpg") else { return };
    let model = BoxModel::new("region");
    let (frames, messages) = run(&format!(
        "{} ! imagefreeze num-buffers=3 ! facecrop region=400,300,250,300 model={} ! appsink name=out",
        decoded(&cat),
        model.0.display()
    ));
    assert_eq!((frames.len(), error(&messages)), (3, None));
    for frame in &frames {
        let face = frame.faces.first().expect("the region is a face");
        assert_eq!((face.crop.width, face.crop.height, face.weight), (96, 80, 1.0));
        assert_eq!([face.bbox.x, face.bbox.y, face.bbox.w, face.bbox.h], [400.0, 300.0, 250.0, 300.0]);
        let corners = [face.crop_to_frame.apply([0.0, 0.0]), face.crop_to_frame.apply([96.0, 80.0])];
        assert_eq!(corners, [[400.0, 300.0], [650.0, 610.0]]);
    }
}

#[test]
fn landmarks_that_nothing_is_drawn_by_are_measured_ten_times_a_second_at_most() {
    let Some(video) = common::media("video/anime_man_704x1216_25fps_noaudio.mp4") else { return };
    let model = BoxModel::new("seldom");
    let measured = |crop: &str| {
        let (frames, messages) = run(&format!("{} ! facecrop {crop} ! appsink name=out", decoded(&video)));
        assert_eq!(error(&messages), None);
        let landmarks: Vec<_> = frames[10..40].iter().map(|frame| frame.faces[0].landmarks).collect();
        landmarks.windows(2).filter(|two| two[0] != two[1]).count()
    };
    let region = "region=210,270,250,260";
    // 25 frames a second: every third.
    assert_eq!(measured(&format!("{region} model={}", model.0.display())), 10);
    assert_eq!(measured(&format!("model={}", model.0.display())), 29, "where the box follows the landmarks");
    assert_eq!(measured(region), 29, "where the model takes landmarks");
}

#[test]
fn the_generator_names_the_model() {
    common::init();
    let folder = BoxModel::new("asked");
    let other = BoxModel::new("own");
    let named = Model::open(folder.0.to_str().unwrap()).unwrap();
    for own in ["", &format!("model={}", other.0.display())] {
        let source = "videotestsrc num-buffers=2 ! video/x-raw,format=I420,width=64,height=48";
        let pipeline =
            gst::parse::launch(&format!("{source} ! facecrop {own} region=0,0,60,40 ! appsink name=out sync=false"))
                .unwrap()
                .downcast::<gst::Pipeline>()
                .unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        let named = named.clone();
        let answer = move |_: &gst::Pad, info: &mut gst::PadProbeInfo| match info.query_mut() {
            Some(query) => {
                let answered = model::answer(query, Some(named.clone()));
                if answered { gst::PadProbeReturn::Handled } else { gst::PadProbeReturn::Ok }
            }
            None => gst::PadProbeReturn::Ok,
        };
        sink.static_pad("sink")
            .unwrap()
            .add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, answer);
        let _ = pipeline.set_state(gst::State::Playing);
        let sample = sink.pull_sample();
        let messages: Vec<_> = std::iter::from_fn(|| pipeline.bus().unwrap().pop()).collect();
        pipeline.set_state(gst::State::Null).unwrap();
        if own.is_empty() {
            let sample = sample.unwrap_or_else(|_| panic!("{:?}", error(&messages)));
            let faces = FaceMeta::faces(sample.buffer().unwrap());
            assert_eq!(faces.first().map(|f| &f.model.folder), Some(&folder.0));
        } else {
            let error = error(&messages).expect("two models are an error");
            let named = |f: &BoxModel| error.contains(f.0.to_str().unwrap());
            assert!(sample.is_err() && named(&folder) && named(&other), "{error}");
        }
    }
}

#[test]
fn mistakes_are_named_before_anything_plays() {
    common::init();
    let failure = |properties: &str| {
        let pipeline = gst::parse::launch(&format!("videotestsrc ! facecrop {properties} ! fakesink")).unwrap();
        assert!(pipeline.set_state(gst::State::Ready).is_err(), "{properties}");
        let bus = pipeline.bus().unwrap();
        let messages: Vec<_> = std::iter::from_fn(|| bus.pop()).collect();
        pipeline.set_state(gst::State::Null).unwrap();
        error(&messages).unwrap_or_default()
    };
    // A pupil, which the landmark network does not find.
    let pupil = "size = [96, 96]\nrule = \"rectangle\"\npoints = \"wflw-98\"\nleft = \"x96\"\nright = \"x97\"\n\
         top = \"y96\"\nbottom = \"top + 9\"";
    let model = BoxModel::with("pupil", pupil);
    for (properties, words) in [
        ("model=no-such-model", "no-such-model"),
        ("detector=/no/such/folder", "/no/such/folder"),
        ("region=1,2,3", "1,2,3"),
        (&format!("model={}", model.0.display()), "model.toml: [facecrop] point 96 of points = \"wflw-98\""),
    ] {
        let error = failure(properties);
        assert!(error.contains(words), "{properties}: {error}");
    }
}

/// Neither a flush nor a state change waits for a graph that never comes back.
#[test]
fn a_hanging_network_is_left_behind() {
    common::init();
    let folder = std::env::temp_dir().join(format!("facecrop-hang-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).unwrap();
    write(
        "landmarks.toml",
        "file = \"graph.toml\"\ntitle = \"hangs\"\nlicence = \"MPL-2.0\"\nurl = \"none\"\npoints = \"ibug-68\"\nsize = [112, 112]\n\
         color = \"rgb\"\nmean = 0\nstd = 1\nscale = 1.25\nlayout = \"coordinates\"\nrange = [0, 1]\noutput = \"landmarks\"",
    );
    write(
        "graph.toml",
        "orders = \"hang-at=0\"\nrange = [0, 1]\ninputs = [{ name = \"x\", shape = [1, 3, 112, 112] }]\n\
         outputs = [{ name = \"landmarks\", shape = [1, 136] }]",
    );
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc ! facecrop name=crop region=20,20,100,100 detector={} ! fakesink name=out",
        folder.display()
    ));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    for flush in [true, false] {
        pipeline.set_state(gst::State::Playing).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(
            pipeline.by_name("out").unwrap().property::<Option<gst::Sample>>("last-sample").is_none(),
            "nothing hangs"
        );
        let (done, stopped) = std::sync::mpsc::channel();
        let (pad, whole) = (pipeline.by_name("crop").unwrap().static_pad("sink").unwrap(), pipeline.clone());
        std::thread::spawn(move || {
            if flush {
                pad.send_event(gst::event::FlushStart::new());
            }
            whole.set_state(gst::State::Null).unwrap();
            done.send(()).unwrap();
        });
        stopped.recv_timeout(std::time::Duration::from_secs(20)).expect("it waits for the network");
    }
    let errors: Vec<_> = pipeline.bus().unwrap().iter_filtered(&[gst::MessageType::Error]).collect();
    assert!(errors.is_empty(), "{errors:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A copy of folders of `models`, each with a file of the test media; `None` where that is not there.
struct Detectors(PathBuf);

impl Detectors {
    fn new(name: &str, files: &[(&str, &str, &str)]) -> Option<Self> {
        let root = std::env::temp_dir().join(format!("facecrop-detectors-{name}-{}", std::process::id()));
        let copy = Self(root);
        for (folder, file, source) in files {
            let source = common::media(&format!("models/{source}"))?;
            let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(folder), copy.0.join(folder));
            std::fs::create_dir_all(&to).unwrap();
            for toml in ["detector.toml", "landmarks.toml"].iter().filter(|toml| from.join(toml).exists()) {
                std::fs::copy(from.join(toml), to.join(toml)).unwrap();
            }
            std::fs::copy(source, to.join(file)).unwrap();
        }
        Some(copy)
    }
}

impl Drop for Detectors {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const SCRFD: (&str, &str, &str) = ("scrfd", "scrfd_2.5g_kps.onnx", "scrfd_2.5g_kps.onnx");
const ULTRAFACE: (&str, &str, &str) = ("ultraface", "version-RFB-320.onnx", "ulfg_RFB-320.onnx");
const RETINAFACE: (&str, &str, &str) =
    ("retinaface", "retinaface_640x640_opt.onnx", "openseeface_retinaface_640x640_opt.onnx");
const OPENSEEFACE: (&str, &str, &str) = ("openseeface", "lm_model0_opt.onnx", "openseeface_lm_model0_opt.onnx");

const CLIPS: [&str; 3] = [
    "video/woman_outdoor_540x960_25fps_h264.mp4",
    "video/woman_indoor_1280x720_30fps_h264.mp4",
    "video/man_expressions_480x480_30fps.mp4",
];

#[test]
fn other_detectors_find_the_same_faces() {
    for (files, clips) in [(SCRFD, &CLIPS[..]), (ULTRAFACE, &CLIPS[2..]), (RETINAFACE, &CLIPS[2..])] {
        let Some(detectors) = Detectors::new(files.0, &[files]) else { return };
        for name in clips {
            let (Some(file), Some(truth)) = (common::media(name), Truth::of(name)) else { return };
            let (frames, messages) = run(&format!(
                "{} ! facecrop detector={} ! appsink name=out",
                decoded(&file),
                detectors.0.join(files.0).display()
            ));
            assert_eq!(error(&messages), None, "{} {name}", files.0);
            let overlaps: Vec<f32> = (frames.iter().step_by(truth.frame_step).zip(&truth.frames))
                .filter_map(|(frame, truth)| {
                    let [left, top, right, bottom] = truth.first()?.r#box;
                    let wanted = Rect::new(left, top, right - left, bottom - top);
                    Some(frame.faces.first().map_or(0.0, |face| face.bbox.iou(&wanted)))
                })
                .collect();
            let good = overlaps.iter().filter(|&&iou| iou >= 0.7).count() as f32 / overlaps.len() as f32;
            let mean = overlaps.iter().sum::<f32>() / overlaps.len() as f32;
            println!("{} {name}: overlap {mean:.3} mean, at least 0.7 in {:.1} %", files.0, 100.0 * good);
            assert!(good >= 0.95, "{} {name}: {good}", files.0);
        }
    }
}

#[test]
fn another_landmark_network_marks_the_same_points() {
    let Some(detectors) = Detectors::new("landmarks", &[OPENSEEFACE]) else { return };
    for name in CLIPS {
        let (Some(file), Some(truth)) = (common::media(name), Truth::of(name)) else { return };
        let folder = detectors.0.join(OPENSEEFACE.0);
        // The default model wants another network's points.
        let (frames, messages) = run(&format!(
            "{} ! facecrop model={} detector={} ! appsink name=out",
            decoded(&file),
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash"),
            folder.display()
        ));
        assert_eq!(error(&messages), None, "{name}");
        let (errors, found) = errors(&frames, &truth);
        let mean = errors.iter().sum::<f32>() / errors.len() as f32;
        let p95 = errors[errors.len() * 95 / 100];
        let near = errors.iter().filter(|&&e| e <= 5.0).count() as f32 / errors.len() as f32;
        println!(
            "{name}: found {:.1} %, corners {mean:.2} % mean, {p95:.2} % p95, within 5 % in {:.1} %",
            100.0 * found,
            100.0 * near
        );
        // Of a mouth wide open it marks the corners further out, by whatever code it is run.
        assert!(found >= 0.99 && mean <= 3.5 && near >= 0.85, "{name}: {found} {mean} {near}");
    }
}

#[test]
fn a_rule_may_use_the_networks_own_points() {
    let Some(face) = common::media("portrait/man_generated_1024x1536.png") else { return };
    let Some(detectors) = Detectors::new("own", &[SCRFD, OPENSEEFACE]) else { return };
    let toml = detectors.0.join("scrfd/detector.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(&toml, format!("landmarks = \"../openseeface\"\n{text}")).unwrap();
    let rule = "size = [96, 96]\nmargin = 2\nrule = \"rectangle\"\nwhole = true\ninterpolation = \"area\"\n\
         points = \"openseeface-66\"\nleft = \"x58\"\nright = \"x62\"\ntop = \"y30\"\nbottom = \"max-y\"";
    let model = BoxModel::with("own-points", rule);
    let (frames, messages) = run(&format!(
        "{} ! facecrop detector={} model={} ! appsink name=out",
        decoded(&face),
        detectors.0.join("scrfd").display(),
        model.0.display()
    ));
    assert_eq!(error(&messages), None);
    let face = &frames[0].faces[0];
    let lowest = face.landmarks.iter().map(|p| p[1]).fold(0.0, f32::max);
    // Of what the rule describes, the crop is the inner 96 of 100 pixels.
    let [left, top] = face.crop_to_frame.apply([-2.0, -2.0]);
    let [right, bottom] = face.crop_to_frame.apply([98.0, 98.0]);
    let wanted = [face.landmarks[48][0], face.landmarks[30][1], face.landmarks[54][0], lowest].map(f32::floor);
    assert!([left, top, right, bottom].iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.01), "{wanted:?} {face:?}");
    assert_eq!((face.crop.width, face.crop.height), (96, 96));
}

/// A face is found in the same place however many columns or rows a picture is stored in.
#[test]
fn pixels_need_not_be_square() {
    let faces = |caps: &str| {
        let (frames, messages) = run(&format!(
            "{} ! videoscale ! video/x-raw,format=I420,{caps} ! facecrop ! appsink name=out",
            decoded(&Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/face.mp4"))
        ));
        assert_eq!(error(&messages), None);
        frames.into_iter().take(20).map(|frame| frame.faces.first().cloned()).collect::<Vec<_>>()
    };
    let plain = faces("width=480,height=480,pixel-aspect-ratio=1/1");
    assert!(plain.iter().flatten().count() > 15);
    for (caps, [sx, sy]) in [
        ("width=256,height=480,pixel-aspect-ratio=15/8", [256.0 / 480.0, 1.0]),
        ("width=480,height=320,pixel-aspect-ratio=2/3", [1.0, 320.0 / 480.0]),
    ] {
        for (plain, found) in plain.iter().zip(faces(caps)) {
            let (Some(plain), Some(found)) = (plain, found) else { continue };
            let width = plain.bbox.w;
            for (a, b) in plain.landmarks.iter().zip(&found.landmarks) {
                let apart = (a[0] - b[0] / sx).hypot(a[1] - b[1] / sy);
                assert!(apart < 0.04 * width, "{caps}: {apart} px apart of {width}");
            }
            // The crop is of the same shape, and is put back where it was.
            let corner = |face: &Face, at: [f32; 2]| face.crop_to_frame.apply(at);
            let (a, b) = (corner(plain, [0.0, 0.0]), corner(&found, [0.0, 0.0]));
            assert!((a[0] - b[0] / sx).hypot(a[1] - b[1] / sy) < 0.06 * width, "{caps}: {a:?}, {b:?}");
        }
    }
}
