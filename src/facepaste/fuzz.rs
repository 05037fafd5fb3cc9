// SPDX-License-Identifier: MPL-2.0
//! Fuzz targets: pasting anything anywhere, and what a parsing graph may answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use parking_lot::Mutex;

use super::blender::Blender;
use super::cover::{self, Cover};
use super::parsing::Parser;
use super::weights::Weights;
use super::{debug, image, warp};
use crate::face_meta::{Face, InnerGrid, LANDMARKS, RgbImage, Warp};
use crate::fuzzing::{Scripted, many, number, numbers};
use crate::geometry::Rect;
use crate::model::Model;
use crate::model::manifest::{self, Detail, FacePaste};
use crate::model::points::PointSet;
use crate::pixels::GrayImage;
use crate::pixels::fuzz::{Frame, map};
use crate::runtime::Cancel;

const MODEL: &str = include_str!("../../tests/models/flash/model.toml");

/// A face with any geometry.
fn face(u: &mut Unstructured) -> Result<Face> {
    let [x, y, w, h] = numbers(u)?;
    let model = Model { folder: PathBuf::new(), manifest: toml::from_str(MODEL).expect("a test's model") };
    let (a, b) = (numbers(u)?, numbers(u)?);
    Ok(Face {
        model: Arc::new(model),
        track: 0,
        bbox: Rect::new(x, y, w, h),
        landmarks: std::array::from_fn(|i| if i % 2 == 0 { a } else { b }),
        points: Arc::default(),
        point_set: PointSet::Ibug68,
        confidence: number(u)?,
        pose: Default::default(),
        crop_to_frame: map(u)?,
        crop: Arc::new(picture(u)?),
        generated: None,
        weight: 1.0,
        reason: None,
    })
}

/// One that may have other bytes than its size says.
fn picture(u: &mut Unstructured) -> Result<RgbImage> {
    let (width, height) = (u.int_in_range(0..=20)?, u.int_in_range(0..=20)?);
    let size = if u.ratio(1, 20)? { u.int_in_range(0..=1300)? } else { width * height * 3 };
    let pattern: [u8; 5] = u.arbitrary()?;
    Ok(RgbImage { width, height, data: pattern.into_iter().cycle().take(size).collect() })
}

fn sides(u: &mut Unstructured) -> Result<Vec<cover::Side>> {
    if u.arbitrary()? {
        return Ok(cover::rectangle(numbers(u)?));
    }
    let points = (0..u.int_in_range(0..=LANDMARKS)?).map(|_| numbers(u)).collect::<Result<Vec<_>>>()?;
    Ok(cover::hull(&points).unwrap_or_default())
}

/// A picture or a warp goes into a frame, and the debugging marks with it.
pub fn paste(u: &mut Unstructured) -> Result<()> {
    let Some(mut frame) = Frame::new(u)? else { return Ok(()) };
    let (face, opacity) = (face(u)?, f32::from(u.arbitrary::<u8>()?) / 255.0);
    if u.arbitrary()? {
        let [width, height] = [u.int_in_range(0..=9)?, u.int_in_range(0..=9)?];
        let mut plane = |count: usize| {
            let size = if u.ratio(1, 40)? { u.int_in_range(0..=200)? } else { count * width * height };
            many(u, size).map(Into::into)
        };
        let (upper, lower, edges, mut inner, weight) = (plane(2)?, plane(2)?, plane(2)?, plane(4)?, plane(1)?);
        let mut inner_grid = None;
        if u.arbitrary()? {
            let [width, height] = [u.int_in_range(0..=9)?, u.int_in_range(0..=9)?];
            inner = many(u, 4 * width * height)?.into();
            let area = if u.arbitrary()? { numbers(u)? } else { [0.25, 0.0, 1.0, 0.5] };
            inner_grid = Some(InnerGrid { width, height, area });
        }
        let warp = Warp { width, height, upper, lower, edges, inner, inner_grid, weight };
        frame.write(|canvas| drop(warp::paste(canvas, &face, &warp, opacity)));
    } else {
        let patch = picture(u)?;
        let grey = u.arbitrary::<bool>()?.then(|| picture(u)).transpose()?;
        let grey = grey.map(|p| GrayImage { width: p.width, height: p.height, data: p.data });
        let cover = Cover {
            sides: sides(u)?,
            feather: f32::from(u.arbitrary::<u8>()?) / 510.0,
            weights: grey.and_then(Weights::new).map(Arc::new),
        };
        let detail = *u.choose(&[Detail::Generated, Detail::Frame])?;
        let style = image::Style { cover, detail, match_color: u.arbitrary()?, opacity };
        frame.write(|canvas| drop(image::paste(canvas, &face, &patch, &style)));
    }
    if u.arbitrary()? {
        frame.write(|canvas| debug::draw(canvas, &face));
    }
    Ok(())
}

/// Crops are parsed by a graph that answers anything.
pub fn parse(u: &mut Unstructured) -> Result<()> {
    let text = "blend = \"parsing\"\nparsing = { file = \"x\", input = \"in\", output = \"out\", size = [8, 9], classes = [0, 3] }";
    let manifest: FacePaste = toml::from_str(text).expect("checked by a plain test");
    let Some(manifest::Blend::Parsing(wish)) = manifest.blend else { return Ok(()) };
    let session = Scripted::new(u, &[("in", &[1, 3, 9, 8])], &[("out", &[1, 0, 0, 0])])?;
    let rectangle = numbers(u)?;
    let Ok(mut parser) =
        Parser::of(Arc::new(Mutex::new(session)), Path::new("x"), &wish, rectangle, &Cancel::default())
    else {
        return Ok(());
    };
    for _ in 0..u.int_in_range(1..=3)? {
        let feather = f32::from(u.arbitrary::<u8>()?) / 510.0;
        if let Ok(weights) = parser.weights(&picture(u)?, feather) {
            assert!((0.0..=1.0).contains(&weights.at(numbers(u)?)));
        }
    }
    Ok(())
}

/// What the element does with a model.
pub fn open(model: &Arc<Model>) {
    if super::blender::needs_files(&model.manifest.facepaste, super::Blend::Model) {
        let _ = Blender::open(model.clone(), &Cancel::default()).map(|blender| blender.is_of(model));
    }
}
