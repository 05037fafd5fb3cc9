// SPDX-License-Identifier: MPL-2.0
//! How `[facepaste]` of a manifest lays a generated picture over the frame.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gstlipsync::model::ModelError;

use super::*;

/// A model in a temporary folder, as long as this lives: the test model `flash` with another `[facepaste]`.
struct TestModel(PathBuf);

impl TestModel {
    fn new(facepaste: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lipsync-paste-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let flash = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/models/flash");
        let manifest = fs::read_to_string(flash.join("model.toml")).unwrap();
        let (rest, _) = manifest.split_once("[facepaste]").unwrap();
        fs::write(folder.join("model.toml"), format!("{rest}[facepaste]\n{facepaste}\n")).unwrap();
        fs::copy(flash.join("graph.toml"), folder.join("graph.toml")).unwrap();
        Self(folder)
    }

    /// With a grey picture.
    fn mask(self, width: u32, data: &[u8]) -> Self {
        self.png(png::ColorType::Grayscale, width, data)
    }

    fn png(self, color: png::ColorType, width: u32, data: &[u8]) -> Self {
        let height = (data.len() / color.samples()) as u32 / width;
        let mut encoder = png::Encoder::new(fs::File::create(self.0.join("weight.png")).unwrap(), width, height);
        encoder.set_color(color);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.0.join(name), text).unwrap();
        self
    }

    fn open(&self) -> Result<Arc<Model>, ModelError> {
        init();
        Model::open(self.0.to_str().unwrap())
    }
}

impl Drop for TestModel {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn picture(size: usize, color: impl Fn(f32, f32) -> [u8; 3]) -> RgbImage {
    let at = |k: usize| (k as f32 + 0.5) / size as f32;
    let data = (0..size * size).flat_map(|k| color(at(k % size), at(k / size))).collect();
    RgbImage { width: size, height: size, data }
}

fn flat(size: usize, value: u8) -> RgbImage {
    picture(size, |_, _| [value; 3])
}

/// A face of `model` whose crop is `crop` (CROP × CROP) and whose picture is `patch`; it has landmarks at `landmarks`, crop
/// fractions, and all others in their middle.
fn made(model: &Arc<Model>, place: Affine, crop: RgbImage, patch: RgbImage, landmarks: &[[f32; 2]]) -> Face {
    let side = CROP as f32;
    let middle = landmarks.iter().fold([0.0; 2], |sum, p| [0, 1].map(|n| sum[n] + p[n] / landmarks.len() as f32));
    let at = |k: usize| {
        let [x, y] = landmarks.get(k).copied().unwrap_or(middle);
        place.apply([x * side, y * side])
    };
    Face {
        model: model.clone(),
        crop: Arc::new(crop),
        landmarks: std::array::from_fn(at),
        ..face(place, Some(Generated::Image(Arc::new(patch))))
    }
}

/// A picture whose every pixel is `value`.
fn even(info: &VideoInfo, value: u8) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![value; info.size()]);
    let made = buffer.get_mut().unwrap();
    made.set_pts(gst::ClockTime::from_mseconds(120));
    made.set_duration(gst::ClockTime::from_mseconds(40));
    buffer
}

/// The first component along row `y` of an RGB picture.
fn row(info: &VideoInfo, buffer: &gst::Buffer, y: usize) -> Vec<u8> {
    let start = y * info.stride()[0] as usize;
    bytes(buffer)[start..start + info.width() as usize * 3].iter().step_by(3).copied().collect()
}

const FACE: [[f32; 2]; 4] = [[0.2, 0.4], [0.85, 0.35], [0.7, 0.9], [0.35, 0.95]];

const PARSING: &str = "blend = \"parsing\"\nparsing = { file = \"parts.toml\", input = \"x\", output = \"y\", size = [32, 32], classes = [1], feather = FEATHER }";

/// Its classes are red, green and blue: the largest number is that of the strongest colour.
const PARTS: &str = "inputs = [{ name = \"x\", shape = [1, 3, 32, 32] }]\noutputs = [{ name = \"y\", shape = [1, 3, 32, 32] }]\nrange = [0, 1]\necho = true";

/// Green where x is from 0.3 to 0.8, red elsewhere.
fn striped(size: usize) -> RgbImage {
    picture(size, |x, _| if (0.3..0.8).contains(&x) { [20, 200, 40] } else { [200, 20, 40] })
}

#[test]
fn a_mask_is_the_weight_of_the_generated_or_of_the_original() {
    let info = info(VideoFormat::Rgb, 100, 100);
    for (of, range) in [("generated", "[0, 255]"), ("original", "[0, 255]"), ("generated", "[55, 155]")] {
        let manifest = format!("blend = \"mask\"\nmask = \"weight.png\"\nmask-of = \"{of}\"\nmask-range = {range}");
        let folder = TestModel::new(&manifest).mask(4, &[0, 0, 105, 255]);
        let model = folder.open().unwrap();
        let shown = made(&model, square(10.0, 20.0, 80.0, 0.0), flat(CROP, 0), flat(16, 200), &FACE);
        let out = paste(&info, even(&info, 0), vec![shown.clone()]);
        let middle = row(&info, &out, 60);
        let weight = |k: usize| match (of, range) {
            ("original", _) => [1.0, 1.0, 150.0 / 255.0, 0.0][k],
            (_, "[0, 255]") => [0.0, 0.0, 105.0 / 255.0, 1.0][k],
            _ => [0.0, 0.0, 0.5, 1.0][k],
        };
        // The mask's pixels are 20 wide; their centres lie at 20, 40, 60, 80.
        for (k, x) in [20, 40, 60, 80].into_iter().enumerate() {
            let mean = (f32::from(middle[x - 1]) + f32::from(middle[x])) / 2.0;
            assert!((mean - 200.0 * weight(k)).abs() < 4.0, "{of} {range} at {x}: {mean}, weight {}", weight(k));
        }
        assert!((0..100).all(|x| (10..90).contains(&x) || middle[x] == 0), "{middle:?}");
        assert!(row(&info, &out, 19).iter().all(|&v| v == 0));
        // Faded by half, half of it shows.
        let half = paste(&info, even(&info, 0), vec![Face { weight: 0.5, ..shown }]);
        let pairs = middle.iter().zip(row(&info, &half, 60));
        assert!(pairs.into_iter().all(|(&full, half)| half.abs_diff(full / 2) <= 1));
    }
}

/// Whether a place of the crop, in fractions, is shown.
type Shape = fn([f32; 2]) -> bool;

/// Models whose shown part is known.
fn shapes() -> Vec<(TestModel, Shape)> {
    fn hull([x, y]: [f32; 2]) -> bool {
        let inside = |k: usize| {
            let ([ax, ay], [bx, by]) = (FACE[k], FACE[(k + 1) % 4]);
            // A whisker more than the hull, for rounding.
            (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= -1e-5
        };
        (0..4).all(inside)
    }
    fn part([x, y]: [f32; 2]) -> bool {
        (0.2..=0.7).contains(&x) && (0.5..=1.0).contains(&y)
    }
    // Between two places of the network the weights are interpolated: half a place more.
    fn stripe([x, y]: [f32; 2]) -> bool {
        (0.3 - 1.0 / 32.0..=0.8 + 1.0 / 32.0).contains(&x) && (0.5..=1.0).contains(&y)
    }
    vec![
        (TestModel::new("blend = \"hull\"\nhull = { points = [3, 0, 1, 2, 40], grow = 0, feather = 0 }"), hull),
        (TestModel::new("blend = \"hull\"\nhull = { points = [0, 1, 2, 3], grow = 0, feather = 0.1 }"), hull),
        (TestModel::new("blend = \"hard\"\nrectangle = [0.2, 0.5, 0.7, 1]"), part),
        (TestModel::new("feather = 0.1\nrectangle = [0.2, 0.5, 0.7, 1]"), part),
        (
            TestModel::new("blend = \"mask\"\nmask = \"weight.png\"\nrectangle = [0.2, 0.5, 0.7, 1]").mask(1, &[255]),
            part,
        ),
        (
            TestModel::new(&format!("{}\nrectangle = [0, 0.5, 1, 1]", PARSING.replace("FEATHER", "0")))
                .file("parts.toml", PARTS),
            stripe,
        ),
        (
            TestModel::new(&format!("{}\nrectangle = [0, 0.5, 1, 1]", PARSING.replace("FEATHER", "0.2")))
                .file("parts.toml", PARTS),
            stripe,
        ),
    ]
}

#[test]
fn no_byte_outside_the_shape_changes_in_any_format() {
    for (model, shape) in shapes() {
        let model = model.open().unwrap();
        for &format in FORMATS {
            let info = info(format, 213, 161);
            for place in [square(60.0, 20.0, 101.5, 12.0), square(150.0, 100.0, 90.0, -30.0)] {
                let before = frame(&info, 8);
                let shown = made(&model, place, striped(CROP), flat(CROP, 250), &FACE);
                let after = paste(&info, before.copy_deep().unwrap(), vec![shown]);
                let marks = touched_part(&info, &before, &place, shape);
                let (old, new) = (bytes(&before), bytes(&after));
                let (mut changed, mut inside) = (0, 0);
                for k in 0..old.len() {
                    assert!(marks[k] || old[k] == new[k], "{format}, {:?}: byte {k}", model.manifest.facepaste);
                    inside += usize::from(marks[k]);
                    changed += usize::from(old[k] != new[k]);
                }
                assert!(changed * 2 > inside, "{format}: only {changed} of {inside} bytes changed");
            }
        }
    }
}

#[test]
fn the_parsed_part_is_shown_with_its_soft_border() {
    let info = info(VideoFormat::Rgb, 120, 120);
    let folder = TestModel::new(&PARSING.replace("FEATHER", "0.2")).file("parts.toml", PARTS);
    let model = folder.open().unwrap();
    let shown = made(&model, square(10.0, 10.0, 100.0, 0.0), striped(CROP), flat(CROP, 255), &FACE);
    let mut element = Paste::new("facepaste", &info);
    let middle = row(&info, &element.push(even(&info, 0), vec![shown.clone()]), 60);
    assert!(middle[..38].iter().chain(&middle[93..]).all(|&v| v == 0), "{middle:?}");
    assert!(middle[39..60].windows(2).all(|w| w[0] <= w[1]) && middle[70..92].windows(2).all(|w| w[0] >= w[1]));
    assert!(middle[62] > 250 && (20..235).contains(&middle[50]), "{middle:?}");
    // The property says another width, and again the model's.
    let object = element.harness.find_element("facepaste").unwrap();
    object.set_property("feather", 0.0f32);
    let hard = row(&info, &element.push(even(&info, 0), vec![shown.clone()]), 60);
    assert!(hard[44..86].iter().all(|&v| v == 255) && hard[..36].iter().all(|&v| v == 0), "{hard:?}");
    object.set_property("feather", -1.0f32);
    assert_eq!(row(&info, &element.push(even(&info, 0), vec![shown.clone()]), 60), middle);
    // The class is nowhere in this picture.
    let none = Face { crop: Arc::new(picture(CROP, |_, _| [9, 9, 200])), ..shown };
    let original = even(&info, 70);
    let out = element.push(original.copy(), vec![none]);
    assert_eq!(address(&out), address(&original), "nothing to paste, nothing copied");
}

#[test]
fn properties_override_the_manifest() {
    let info = info(VideoFormat::Rgb, 100, 100);
    // The graph is no graph: only blend=model opens it.
    let parsing = TestModel::new(&PARSING.replace("FEATHER", "0.1")).file("parts.toml", "nonsense");
    let models = [
        TestModel::new("blend = \"mask\"\nmask = \"weight.png\"").mask(1, &[0]),
        TestModel::new("blend = \"hull\"\nhull = { points = [0, 1, 2], feather = 0.3 }"),
        parsing,
    ];
    for model in models.iter().map(|m| m.open().unwrap()) {
        let shown = || vec![made(&model, square(10.0, 10.0, 80.0, 0.0), flat(CROP, 0), flat(8, 255), &FACE)];
        let hard = row(&info, &Paste::new("facepaste blend=hard", &info).push(even(&info, 0), shown()), 50);
        assert!((0..100).all(|x| hard[x] == if (10..90).contains(&x) { 255 } else { 0 }), "{hard:?}");
        let soft = Paste::new("facepaste blend=feather feather=0.25", &info).push(even(&info, 0), shown());
        let soft = row(&info, &soft, 50);
        assert!((10..29).all(|x| soft[x] < soft[x + 1]) && soft[9] == 0 && soft[31] == 255, "{soft:?}");
    }
    // A hull takes the width from the property.
    let hull =
        TestModel::new("blend = \"hull\"\nhull = { points = [0, 1, 2, 3], grow = 0, feather = 0.3 }").open().unwrap();
    let shown = || vec![made(&hull, square(10.0, 10.0, 80.0, 0.0), flat(CROP, 0), flat(8, 255), &FACE)];
    let own = row(&info, &paste(&info, even(&info, 0), shown()), 60);
    let hard = row(&info, &Paste::new("facepaste feather=0", &info).push(even(&info, 0), shown()), 60);
    assert!(own.iter().any(|v| (30..220).contains(v)) && hard.iter().all(|v| [0, 255].contains(v)), "{own:?} {hard:?}");
}

#[test]
fn a_picture_like_the_crop_leaves_the_frame_as_it_is() {
    let model = TestModel::new("feather = 0").open().unwrap();
    let same = || picture(CROP, |x, y| [(200.0 * x) as u8, (250.0 * y) as u8, 77]);
    for &format in FORMATS {
        let info = info(format, 141, 99);
        let before = frame(&info, 8);
        let shown = made(&model, square(20.3, 8.7, 81.0, 20.0), same(), same(), &FACE);
        let after = paste(&info, before.copy_deep().unwrap(), vec![shown.clone()]);
        assert_eq!(bytes(&before), bytes(&after), "{format}");
        let replaced = Paste::new("facepaste blend=hard", &info).push(before.copy_deep().unwrap(), vec![shown]);
        assert_ne!(bytes(&before), bytes(&replaced), "{format}");
    }
}

#[test]
fn detail_is_the_frame_s_where_the_picture_agrees_with_the_crop() {
    let info = info(VideoFormat::Rgb, 120, 120);
    // The left half of the picture is 8 levels brighter than the crop, the right half another picture.
    let patch = picture(CROP, |x, _| if x < 0.5 { [108; 3] } else { [190; 3] });
    let out = |manifest: &str| {
        let model = TestModel::new(manifest).open().unwrap();
        let shown = made(&model, square(10.0, 10.0, 100.0, 0.0), flat(CROP, 100), patch.clone(), &FACE);
        row(&info, &paste(&info, frame(&info, 0), vec![shown]), 60)
    };
    let before = row(&info, &frame(&info, 0), 60);
    for manifest in ["blend = \"hard\"\ndetail = \"frame\"", "feather = 0"] {
        let mixed = out(manifest);
        for x in 12..106 {
            let wanted = match x {
                // 8 of 40 levels: four fifths of the frame's detail.
                ..56 => 108.0 + 0.8 * (f32::from(before[x]) - 100.0),
                64.. => 190.0,
                _ => continue,
            };
            assert!((f32::from(mixed[x]) - wanted).abs() <= 1.0, "{x}: {}, not {wanted}", mixed[x]);
        }
    }
    for manifest in ["blend = \"hard\"", "feather = 0\ndetail = \"generated\""] {
        let replaced = out(manifest);
        assert!((12..56).all(|x| replaced[x] == 108) && (64..106).all(|x| replaced[x] == 190), "{replaced:?}");
    }
}

/// What OpenCV's resize with INTER_LINEAR makes of a picture, from its documentation: a pixel's centre lies at
/// (i + ½) · scale − ½ of the source, between the four pixels around it.
fn resized(image: &RgbImage, width: usize, height: usize) -> Vec<f32> {
    let axis = |k: usize, to: usize, from: usize| {
        let at = ((k as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
        (at as usize, (at as usize + 1).min(from - 1), at.fract())
    };
    let pixel = |x: usize, y: usize, c: usize| f32::from(image.data[(y * image.width + x) * 3 + c]);
    let mut made = Vec::new();
    for y in 0..height {
        let (top, bottom, v) = axis(y, height, image.height);
        for x in 0..width {
            let (left, right, u) = axis(x, width, image.width);
            for c in 0..3 {
                let line = |y: usize| pixel(left, y, c) * (1.0 - u) + pixel(right, y, c) * u;
                made.push(line(top) * (1.0 - v) + line(bottom) * v);
            }
        }
    }
    made
}

#[test]
fn a_hard_paste_is_a_plain_bilinear_resize() {
    let model = TestModel::new("blend = \"hard\"").open().unwrap();
    let info = info(VideoFormat::Rgb, 300, 300);
    let patch = picture(96, |x, y| [(x * 977.0) as u8, (y * 611.0) as u8, (x * y * 3000.0) as u8]);
    // Enlarged, as it is, and down to half the size.
    for (w, h) in [(178, 268), (96, 96), (60, 49)] {
        let place = Affine([w as f32 / CROP as f32, 0.0, 17.0, 0.0, h as f32 / CROP as f32, 23.0]);
        let out = bytes(&paste(&info, frame(&info, 0), vec![made(&model, place, flat(CROP, 9), patch.clone(), &FACE)]));
        let before = bytes(&frame(&info, 0));
        let wanted = resized(&patch, w, h);
        for (k, &byte) in out.iter().enumerate() {
            let (x, y, c) = (k % 900 / 3, k / 900, k % 3);
            if (17..17 + w).contains(&x) && (23..23 + h).contains(&y) {
                let wanted = wanted[((y - 23) * w + x - 17) * 3 + c];
                assert!((f32::from(byte) - wanted).abs() < 0.51, "{w} × {h} ({x}, {y}): {byte}, not {wanted}");
            } else {
                assert_eq!(byte, before[k]);
            }
        }
    }
}

#[test]
fn landmarks_without_a_hull_are_reported_and_nothing_is_shown() {
    let model = TestModel::new("blend = \"hull\"\nhull = { points = [0, 1, 2] }").open().unwrap();
    let info = info(VideoFormat::I420, 64, 64);
    for landmarks in [[[0.5, 0.5]; 3], [[0.1, 0.5], [0.5, f32::NAN], [0.9, 0.1]]] {
        let mut element = Paste::new("facepaste", &info);
        let bus = crate::common::OwnBus::of(&element.harness.element().unwrap());
        for _ in 0..2 {
            let shown = made(&model, square(5.0, 5.0, 40.0, 0.0), flat(CROP, 0), flat(8, 255), &landmarks);
            let before = frame(&info, 0);
            assert_eq!(address(&element.push(before.copy(), vec![shown])), address(&before));
        }
        let warnings: Vec<_> = bus.iter_filtered(&[gst::MessageType::Warning]).collect();
        assert_eq!(warnings.len(), 1);
        let gst::MessageView::Warning(warning) = warnings[0].view() else { unreachable!() };
        assert!(warning.error().to_string().contains("landmarks enclose no area"), "{warning:?}");
    }
}

#[test]
fn a_parsing_graph_that_does_not_fit_is_an_error_at_the_first_face() {
    let info = info(VideoFormat::I420, 64, 64);
    let manifest = PARSING.replace("FEATHER", "0.1");
    for (parts, expected) in [
        ("nonsense", "parts.toml: "),
        (&PARTS.replace("\"x\"", "\"z\""), "parsing.input = \"x\", but the graph has: z (1, 3, 32, 32)"),
        (&PARTS.replace("\"y\"", "\"z\""), "parsing.output = \"y\", but the graph has: z (1, 3, 32, 32)"),
        (
            &PARTS.replacen("32, 32", "32, 64", 1),
            "x (1, 3, 32, 64) does not fit: [facepaste] parsing makes [1, 3, 32, 32]",
        ),
        (&PARTS.replace("\"y\", shape = [1, 3", "\"y\", shape = [1, 1"), "parsing.classes has 1: expected 0 to 0"),
    ] {
        let folder = TestModel::new(&manifest).file("parts.toml", parts);
        let model = folder.open().unwrap();
        let mut element = Paste::new("facepaste", &info);
        let bus = crate::common::OwnBus::of(&element.harness.element().unwrap());
        let mut buffer = frame(&info, 0);
        // A face without a mouth is enough.
        let shown = made(&model, square(5.0, 5.0, 40.0, 0.0), striped(CROP), flat(8, 255), &FACE);
        FaceMeta::add(buffer.get_mut().unwrap(), Arc::new(Face { generated: None, ..shown }));
        assert_eq!(element.harness.push(buffer), Err(gst::FlowError::Error), "{parts}");
        let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = message.view() else { unreachable!() };
        let text = error.error().to_string();
        assert!(text.contains("parts.toml") && text.contains(expected), "{text}");
        assert!(error.error().matches(gst::ResourceError::Settings));
    }
}

/// Neither a flush nor a state change waits for a graph that never comes back.
#[test]
fn a_hanging_parsing_graph_is_left_behind() {
    let info = info(VideoFormat::I420, 64, 64);
    for flush in [true, false] {
        let parts = format!("orders = \"hang-at=0\"\n{PARTS}");
        let folder = TestModel::new(&PARSING.replace("FEATHER", "0.1")).file("parts.toml", &parts);
        let model = folder.open().unwrap();
        let mut harness = Paste::new("facepaste", &info).harness;
        let element = harness.element().unwrap();
        let mut buffer = frame(&info, 0);
        let shown = made(&model, square(5.0, 5.0, 40.0, 0.0), striped(CROP), flat(8, 255), &FACE);
        FaceMeta::add(buffer.get_mut().unwrap(), Arc::new(shown));
        let pushing = thread::spawn(move || (harness.push(buffer), harness));
        thread::sleep(Duration::from_millis(200));
        assert!(!pushing.is_finished(), "the graph does not hang");
        let (done, stopped) = mpsc::channel();
        thread::spawn(move || {
            if flush {
                element.static_pad("sink").unwrap().send_event(gst::event::FlushStart::new());
            } else {
                element.set_state(gst::State::Ready).unwrap();
            }
            done.send(()).unwrap();
        });
        stopped.recv_timeout(Duration::from_secs(20)).expect("it waits for the graph");
        assert_eq!(pushing.join().unwrap().0, Err(gst::FlowError::Flushing));
    }
}

#[test]
fn files_that_cannot_be_used_are_errors_when_the_model_is_opened() {
    let error = |model: TestModel| model.open().map(|m| m.manifest.name.to_string()).unwrap_err();
    let mask = || TestModel::new("blend = \"mask\"\nmask = \"weight.png\"");
    let missing = error(mask());
    assert!(matches!(&missing, ModelError::NotFound(text) if text.contains("weight.png is missing")), "{missing}");
    for (model, expected) in [
        (mask().file("weight.png", "no picture"), "weight.png: expected a grey PNG picture, found"),
        (
            mask().png(png::ColorType::Rgb, 1, &[1, 2, 3]),
            "weight.png: expected grey without alpha, at most 8 bits per pixel, found Rgb",
        ),
        (TestModel::new("blend = \"mask\"\nmask = \"../weight.png\""), "leads out of the model's folder"),
        (
            TestModel::new("blend = \"weight\""),
            "model.toml: [facepaste] blend = \"weight\" needs [lipsyncgen.output] kind = \"warp\"",
        ),
        (
            TestModel::new("blend = \"hull\"\nhull = { points = [1, 2] }"),
            "hull.points = [1, 2]: expected at least three",
        ),
    ] {
        let error = error(model);
        assert!(matches!(&error, ModelError::Invalid(text) if text.contains(expected)), "{error}");
    }
    let parsing = error(TestModel::new(&PARSING.replace("FEATHER", "0.1")));
    assert!(matches!(&parsing, ModelError::NotFound(text) if text.contains("parts.toml is missing")), "{parsing}");
}
