// SPDX-License-Identifier: MPL-2.0
//! From a frame to its faces: cuts, detection where it is due, following, cropping.

use std::sync::Arc;
use std::time::Duration;

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::cut::CutDetector;
use super::detector::{self, Detector};
use super::landmarks::{self, LandmarkNet};
use super::looks::Looks;
use super::memory::{Memory, Seen};
use super::rule::{Cutter, Place};
use super::search::search;
use super::shape::Placement;
use super::tracker::{Choice, Event, Tracker};
use super::{FaceSelect, tracker};
use crate::face_meta::{Face, RgbImage};
use crate::geometry::Rect;
use crate::model::manifest::{CropRule, Interpolation};
use crate::model::{self, Model};
use crate::moment::Moment;
use crate::pixels::{Kernel, resample};
use crate::runtime::Cancel;

/// Frames from one detection to the next while all is well, …
const INTERVAL: u64 = 50;
/// … while a face that is followed was not detected, …
const INTERVAL_MISSED: u64 = 5;
/// … and while there is no face: a new one should show up soon, yet a stream without faces should cost little.
const INTERVAL_NO_FACE: u64 = 10;
/// After so many detections without a face there is no hurry.
const PATIENCE: u32 = 10;

/// How old landmarks may become where they do not have to be new in every frame.
const LOOK: Duration = Duration::from_millis(100);

/// What the user set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Frames, 0 = as tracking needs.
    pub detect_interval: u64,
    pub select: FaceSelect,
    /// Width of a face's box, px.
    pub min_face_size: u32,
    /// 0..1
    pub smoothing: f32,
    /// Where the face is, px; nothing is detected then.
    pub region: Option<Rect>,
}

/// Everything that is remembered from frame to frame.
pub struct Analysis {
    net: LandmarkNet,
    /// The detector's folder brings it: it stays, whatever a model wants.
    fixed: bool,
    cancel: Cancel,
    detector: Detector,
    cuts: CutDetector,
    tracker: Tracker,
    /// Of a clip that is repeated.
    memory: Memory,
    /// How the model of the last frame wants its crops.
    cutter: Option<(Arc<Model>, Cutter)>,
    /// Frames until the next detection.
    countdown: u64,
    /// Detections in this scene.
    detections: u32,
    /// Detections without a face in a row.
    faceless: u32,
    /// How old the landmarks are.
    unmeasured: Duration,
    /// At cuts.
    looks: Looks,
    /// The next detection is one.
    at_cut: bool,
}

impl Analysis {
    /// `detector`, `cancel`: see [`detector::open`]. Where the detector's folder brings no landmark network this is the default's
    /// until a model wants another. The error is for the user.
    pub fn open(detector: &str, cancel: &Cancel) -> Result<Self, String> {
        match detector::open(detector, cancel)? {
            (detector, Some(net)) => Ok(Self { cancel: cancel.clone(), ..Self::of(detector, net) }),
            (detector, None) => {
                let net = LandmarkNet::open_default(cancel)?;
                Ok(Self { fixed: false, cancel: cancel.clone(), ..Self::of(detector, net) })
            }
        }
    }

    /// The landmark network is this one for all models.
    pub fn of(detector: Detector, net: LandmarkNet) -> Self {
        Self {
            net,
            fixed: true,
            cancel: Cancel::default(),
            detector,
            cuts: CutDetector::default(),
            tracker: Tracker::default(),
            memory: Memory::default(),
            cutter: None,
            countdown: 0,
            detections: 0,
            faceless: 0,
            unmeasured: Duration::ZERO,
            looks: Looks::default(),
            at_cut: false,
        }
    }

    /// Makes ready for the model's frames: opens the landmark network that it wants where that is another one, and sees whether
    /// its crops can be cut out, and its graphs fed, with the landmarks that there are. The error is for the user; where the
    /// wait for the network was given up it means nothing.
    pub fn prepare(&mut self, model: &Arc<Model>) -> Result<(), String> {
        if self.cutter.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, model)) {
            return Ok(());
        }
        if !self.fixed {
            let folder = landmarks::folder_for(model)?;
            if !self.net.is_of(&folder) {
                self.net = LandmarkNet::open_aside(&folder, &self.cancel)?;
                // Points of another network are not followed by this one.
                self.reset();
            }
        }
        let fail = |what: String| format!("{}: {what}", model.folder.join(model::FILE).display());
        let (crop, points) = (&model.manifest.facecrop, self.net.points());
        let cutter = Cutter::new(crop, points).map_err(fail)?;
        if let Some((input, wanted)) = model.manifest.own_points().find(|(_, wanted)| *wanted != points) {
            let remedy = match self.fixed {
                true => {
                    "which the detector's folder brings; take a detector without landmarks of its own, or with such ones"
                }
                false => "name a folder with such a network by `landmarks` in [facecrop]",
            };
            return Err(fail(format!(
                "input \"{input}\" takes points = \"{}\", but the landmark network in {} finds {}: {remedy}",
                wanted.name(),
                self.net.folder().display(),
                points.name()
            )));
        }
        self.cutter = Some((model.clone(), cutter));
        Ok(())
    }

    /// What comes next has nothing to do with what came before.
    pub fn reset(&mut self) {
        self.cutter = None;
        self.memory = Memory::default();
        self.cuts = CutDetector::default();
        self.begin_scene();
    }

    fn begin_scene(&mut self) {
        self.tracker.reset();
        self.countdown = 0;
        self.detections = 0;
        self.faceless = 0;
    }

    /// Faces that came and went until the frame of this moment; one that was looked at before had some of its own.
    pub fn take_events(&mut self, moment: Option<Moment>) -> Vec<Event> {
        let mut events = moment.map_or_else(Vec::new, |moment| self.memory.told(moment));
        events.append(&mut self.tracker.take_events());
        events
    }

    /// What [`Self::take_events`] would tell is told when that frame is processed again.
    pub fn tell_later(&mut self, moment: Moment) {
        let events = self.tracker.take_events();
        self.memory.tell_later(moment, events);
    }

    /// The faces of the next frame, `dt` after the last one; `moment`: where it comes from. The error is for the user.
    pub fn process(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        moment: Option<Moment>,
        dt: Duration,
        config: &Config,
        model: &Arc<Model>,
    ) -> Result<Vec<Face>, String> {
        self.prepare(model)?;
        let known = moment.and_then(|moment| self.memory.recall(moment, config, model));
        if let (Some(known), Some((_, cutter))) = (known, &self.cutter) {
            return Ok(known.iter().map(|seen| again(seen, frame, cutter)).collect());
        }
        let found = self.find(frame, dt, config, model)?;
        if let Some(moment) = moment {
            self.memory.keep(moment, found.clone());
        }
        Ok(found.into_iter().map(|seen| seen.face).collect())
    }

    fn find(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        dt: Duration,
        config: &Config,
        model: &Arc<Model>,
    ) -> Result<Vec<Seen>, String> {
        self.looks.frame();
        if self.cuts.is_cut(frame) && (self.looks.are_left() || self.tracker.is_following()) {
            self.begin_scene();
            self.at_cut = true;
        }
        let region = config.region.map(|r| Placement::from_seeta(&square(&r), 0.0));
        let choice = Choice {
            select: config.select,
            min_width: if region.is_some() { 0.0 } else { config.min_face_size as f32 },
            smoothing: config.smoothing,
            region,
            // A crop of the region itself needs no landmarks.
            trusted: region.is_some() && matches!(model.manifest.facecrop.rule, CropRule::Box { .. }),
        };
        let net = &mut self.net;
        let measure: tracker::Measure<String> = &mut |p, last| net.run(frame, p, last).map_err(|e| e.to_string());
        self.unmeasured += dt;
        // Then they only tell whether the mouth is closed.
        if !choice.trusted || model.manifest.draws_by_landmarks() || self.unmeasured >= LOOK {
            self.tracker.follow(std::mem::take(&mut self.unmeasured), &choice, measure)?;
        }

        let due = match region {
            Some(_) => self.tracker.is_doubtful() || !self.tracker.is_following(),
            None => self.tracker.is_doubtful() || self.countdown == 0,
        };
        if due {
            let found = match region {
                Some(region) => vec![region],
                None => search(&mut self.detector, frame, config, &self.tracker, self.detections)?,
            };
            self.detections = self.detections.wrapping_add(1);
            let middle = [frame.width() as f32 / 2.0, frame.height() as f32 / 2.0];
            self.tracker.detected(found, &choice, middle, measure)?;
            if self.tracker.is_following() {
                self.faceless = 0;
            } else {
                self.faceless = self.faceless.saturating_add(1);
                if self.at_cut {
                    self.looks.found_nothing();
                }
            }
            self.at_cut = false;
            self.countdown = self.interval(config);
        }
        self.countdown = self.countdown.saturating_sub(1);
        self.tracker.finish(dt, &choice);
        Ok(self.cut_out(frame, config.region, model))
    }

    fn interval(&self, config: &Config) -> u64 {
        match config.detect_interval {
            0 if self.tracker.is_missed() => INTERVAL_MISSED,
            0 if self.faceless == 0 || self.faceless > PATIENCE => INTERVAL,
            0 => INTERVAL_NO_FACE,
            n => n,
        }
    }

    fn cut_out(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        region: Option<Rect>,
        model: &Arc<Model>,
    ) -> Vec<Seen> {
        // `process` has just seen to it.
        let Some((_, cutter)) = &self.cutter else { return Vec::new() };
        let set = self.net.points();
        let boxed = region.filter(|_| matches!(cutter.crop.rule, CropRule::Box { .. }));
        let faces = self.tracker.faces().filter_map(|track| {
            let bbox = boxed.unwrap_or_else(|| track.placement.bbox());
            let place = if track.is_lost() {
                None
            } else {
                let place = cutter.place(&bbox, &track.points.ibug, &track.points.own);
                track.cut_out = place.map(|place| (place.crop_to_frame, Arc::new(cut(frame, &place, cutter))));
                place
            };
            let (crop_to_frame, crop) = track.cut_out.clone()?;
            let face = Face {
                model: model.clone(),
                track: track.id,
                bbox,
                landmarks: track.points.ibug,
                points: track.points.own.as_slice().into(),
                point_set: set,
                confidence: track.confidence,
                pose: track.pose,
                crop_to_frame,
                crop,
                generated: None,
                weight: track.weight(),
                reason: track.reason,
            };
            Some(Seen { face, place })
        });
        faces.collect()
    }
}

/// The face in the same picture.
fn again(seen: &Seen, frame: &VideoFrameRef<&gst::BufferRef>, cutter: &Cutter) -> Face {
    let mut face = seen.face.clone();
    if let Some(place) = &seen.place {
        face.crop = Arc::new(cut(frame, place, cutter));
    }
    face
}

fn cut(frame: &VideoFrameRef<&gst::BufferRef>, place: &Place, cutter: &Cutter) -> RgbImage {
    let (width, height) = (cutter.crop.size.width, cutter.crop.size.height);
    let kernel = match cutter.crop.interpolation {
        Interpolation::Bilinear => Kernel::Linear,
        Interpolation::Cubic => Kernel::Cubic,
        Interpolation::Lanczos => Kernel::Lanczos,
        Interpolation::Area => Kernel::Area,
    };
    resample(frame, &place.crop_to_frame, [width, height], kernel, place.edges)
}

/// A detector's boxes are square.
fn square(r: &Rect) -> Rect {
    let [x, y] = r.center();
    let side = r.w.max(r.h);
    Rect::new(x - side / 2.0, y - side / 2.0, side, side)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facecrop::detector::SEETA;
    use crate::model::points::PointSet;

    /// The model in tests/models/flash, which asks for this landmark network.
    fn model(landmarks: Option<&str>) -> Arc<Model> {
        let flash = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/flash")).unwrap();
        let mut model = Model { folder: flash.folder.clone(), manifest: flash.manifest.clone() };
        model.manifest.facecrop.landmarks = landmarks.map(Into::into);
        Arc::new(model)
    }

    #[test]
    fn the_network_follows_the_model_and_can_be_given_up() {
        let cancel = Cancel::default();
        let mut analysis = Analysis::open(SEETA, &cancel).unwrap();
        let (plain, mesh) = (model(None), model(Some("face_landmarks_478")));
        analysis.prepare(&plain).unwrap();
        assert_eq!(analysis.net.points(), PointSet::Ibug68);
        cancel.flush_start();
        assert!(analysis.prepare(&mesh).unwrap_err().contains("given up"));
        assert_eq!(analysis.net.points(), PointSet::Ibug68);
        cancel.flush_stop();
        analysis.prepare(&mesh).unwrap();
        assert_eq!(analysis.net.points(), PointSet::MediaPipe478);
        analysis.prepare(&plain).unwrap();
        assert_eq!(analysis.net.points(), PointSet::Ibug68);
    }
}
