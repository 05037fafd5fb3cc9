// SPDX-License-Identifier: MPL-2.0
//! Following faces from frame to frame.
//!
//! A face is followed by its own landmarks: where they were tells where to look for them in the next frame. Landmarks that
//! do not look like a face, or that jumped, are not believed; then, and from time to time, a detector says where faces are.

use std::sync::Arc;
use std::time::Duration;

use super::FaceSelect;
use super::fade::{Fade, ramp, target};
use super::landmarks::Points;
use super::shape::{Placement, mean_face, pose};
use super::smooth::{Smoother, cutoff};
use crate::face_meta::{Pose, Reason, RgbImage};
use crate::geometry::{Affine, Point, Rect};

/// Root mean square distance from the mean face, in widths of the jaw line. On the test clips (heads turned by up to 45°,
/// mouths wide open, a drawing) it is at most 0.081; where there is no face it is below 0.12 in one case of twenty.
const SURELY_A_FACE: f32 = 0.085;
const NO_FACE: f32 = 0.13;

/// The same of the points of a network that says itself whether there is a face. MediaPipe's make a face of anything, so its shape
/// tells little: on the test clips it differs from the mean by at most 0.108, and where there is no face, in half of all cases by
/// less than 0.115. Its word does: it takes one of a hundred places without a face for one.
const SURELY_SHAPED: f32 = 0.16;
const NOT_SHAPED: f32 = 0.25;

/// Below that a network that says whether there is a face is believed that there is none.
const LEAST_PRESENCE: f32 = 0.5;

/// From one frame to the next the face stays in the network's crop: it moves by less than this part of its width, …
const MAX_MOVE: f32 = 0.35;
/// … grows or shrinks by less than this factor …
const MAX_ZOOM: f32 = 1.33;
/// … and tilts by less than this (radians).
const MAX_TURN: f32 = 0.45;

/// A box belongs to a face if they overlap by that much (intersection over union).
const SAME_FACE: f32 = 0.3;

/// Two tracks that overlap by that much follow one face.
const DOUBLE: f32 = 0.5;

/// So many detections in a row that do not see a face end its track, …
const MAX_MISSES: u32 = 3;
/// … and so many where it is tilted by more than this (radians), which detectors do not like.
const MAX_MISSES_TILTED: u32 = 12;
pub const TILTED: f32 = 0.6;

/// Another face must be that much larger or nearer to the centre to be chosen instead.
const CHANGE_OF_CHOICE: f32 = 1.3;

/// Each face costs a run of the landmark network per frame.
const MAX_FACES: usize = 16;

/// Steps of time that a smoothing filter is told at least and at most: timestamps may repeat, and may leap.
const SMOOTHING_STEP: [f32; 2] = [0.004, 0.5];

/// What the user chose.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    pub select: FaceSelect,
    /// Width of a face's box, px.
    pub min_width: f32,
    /// 0..1
    pub smoothing: f32,
    /// Where the face is by the user's word.
    pub region: Option<Placement>,
    /// There is a face in the region whatever it looks like.
    pub trusted: bool,
}

/// A face came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Found(u32),
    Lost(u32),
}

/// One face.
#[derive(Debug)]
pub struct Track {
    pub id: u32,
    pub placement: Placement,
    pub points: Points,
    pub confidence: f32,
    pub pose: Pose,
    pub reason: Option<Reason>,
    /// The last crop; shown again while a lost face fades.
    pub cut_out: Option<(Affine, Arc<RgbImage>)>,
    followed: Followed,
    chosen: bool,
    misses: u32,
    smoother: Smoother,
    fade: Fade,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    Yes,
    /// The last landmarks were not believed.
    Doubtful,
    No,
}

impl Track {
    pub fn weight(&self) -> f32 {
        self.fade.weight()
    }

    pub fn is_lost(&self) -> bool {
        self.followed == Followed::No
    }
}

/// Runs the landmark network on the face at a placement, whose points in the last frame are known or not.
pub type Measure<'a, E> = &'a mut dyn FnMut(&Placement, Option<&Points>) -> Result<Points, E>;

/// All faces of a stream.
#[derive(Debug)]
pub struct Tracker {
    tracks: Vec<Track>,
    next_id: u32,
    /// Faces found now were not missing before: the stream or the scene begins.
    fresh: bool,
    events: Vec<Event>,
}

impl Default for Tracker {
    fn default() -> Self {
        Self { tracks: Vec::new(), next_id: 0, fresh: true, events: Vec::new() }
    }
}

impl Tracker {
    /// A new scene: nothing goes on.
    pub fn reset(&mut self) {
        for track in self.tracks.drain(..) {
            if !track.is_lost() {
                self.events.push(Event::Lost(track.id));
            }
        }
        self.fresh = true;
    }

    /// The faces to put on the frame, oldest first.
    pub fn faces(&mut self) -> impl Iterator<Item = &mut Track> {
        self.tracks.iter_mut().filter(|t| t.chosen || t.fade.weight() > 0.0)
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub fn is_following(&self) -> bool {
        self.tracks.iter().any(|t| !t.is_lost())
    }

    /// Whether a detector should be asked at once.
    pub fn is_doubtful(&self) -> bool {
        self.tracks.iter().any(|t| t.followed == Followed::Doubtful)
    }

    /// Whether a detector should look again soon: it missed a face that is being followed.
    pub fn is_missed(&self) -> bool {
        self.tracks.iter().any(|t| t.misses > 0 && !t.is_lost())
    }

    /// The boxes of the faces that are followed.
    pub fn boxes(&self) -> impl Iterator<Item = Rect> {
        self.tracks.iter().filter(|t| !t.is_lost()).map(|t| t.placement.bbox())
    }

    /// The rolls of the faces that are followed, radians.
    pub fn rolls(&self) -> impl Iterator<Item = f32> {
        self.tracks.iter().filter(|t| !t.is_lost()).map(|t| t.placement.roll)
    }

    /// Measures every followed face in the next frame.
    pub fn follow<E>(&mut self, dt: Duration, choice: &Choice, measure: Measure<E>) -> Result<(), E> {
        let dt = dt.as_secs_f32().clamp(SMOOTHING_STEP[0], SMOOTHING_STEP[1]);
        for track in self.tracks.iter_mut().filter(|t| !t.is_lost()) {
            let raw = measure(&track.placement, Some(&track.points))?;
            let believed = Placement::fit(&raw.ibug)
                .map(|p| (p, choice.confidence(&p, &raw)))
                .filter(|(p, confidence)| *confidence > 0.0 && choice.is_next(&track.placement, p));
            if let Some(region) = choice.region.filter(|_| choice.trusted && believed.is_none()) {
                track.place(region, Points { ibug: mean_face(region), ..raw }, 1.0);
                continue;
            }
            let Some((placement, confidence)) = believed else {
                track.followed = Followed::Doubtful;
                continue;
            };
            let (placement, points) = track.smoother.step(placement, &raw, dt, cutoff(choice.smoothing));
            track.place(placement, points, confidence);
        }
        self.merge();
        Ok(())
    }

    /// Takes note of what a detector found in this frame.
    ///
    /// `middle`: of the frame. Faces that are not `found` again, and were doubtful, are lost.
    pub fn detected<E>(
        &mut self,
        mut found: Vec<Placement>,
        choice: &Choice,
        middle: Point,
        measure: Measure<E>,
    ) -> Result<(), E> {
        for track in &mut self.tracks {
            let bbox = track.placement.bbox();
            let same = |p: &Placement| bbox.iou(&p.bbox());
            let best = (0..found.len()).max_by(|&a, &b| same(&found[a]).total_cmp(&same(&found[b])));
            let Some(best) = best.filter(|&k| same(&found[k]) >= SAME_FACE).map(|k| found.swap_remove(k)) else {
                track.misses += 1;
                let most = if track.placement.roll.abs() > TILTED { MAX_MISSES_TILTED } else { MAX_MISSES };
                let end = track.followed == Followed::Doubtful || track.misses >= most;
                if end && !track.is_lost() {
                    track.followed = Followed::No;
                    self.events.push(Event::Lost(track.id));
                }
                continue;
            };
            track.misses = 0;
            if track.followed == Followed::Yes {
                continue;
            }
            let again = find(&best, choice, measure)?;
            let was_lost = track.is_lost();
            match again {
                Some((placement, points, confidence)) => {
                    track.smoother = Smoother::new(placement, &points);
                    track.place(placement, points, confidence);
                    if was_lost {
                        self.events.push(Event::Found(track.id));
                    }
                }
                None => {
                    track.followed = Followed::No;
                    if !was_lost {
                        self.events.push(Event::Lost(track.id));
                    }
                }
            }
        }
        self.merge();
        self.choose(found, choice, middle, measure)?;
        self.fresh = false;
        Ok(())
    }

    /// Decides which faces are shown; those of `found` that are, are followed from now on.
    fn choose<E>(
        &mut self,
        found: Vec<Placement>,
        choice: &Choice,
        middle: Point,
        measure: Measure<E>,
    ) -> Result<(), E> {
        // Lower is better. `current` is whether the face is the one that was chosen before.
        let rank = |p: &Placement, current: bool| {
            let bonus = if current { CHANGE_OF_CHOICE } else { 1.0 };
            match choice.select {
                FaceSelect::Track if current => f32::NEG_INFINITY,
                FaceSelect::Largest | FaceSelect::Track => -p.size * bonus,
                FaceSelect::Central => (p.center[0] - middle[0]).hypot(p.center[1] - middle[1]) / bonus,
                FaceSelect::All => 0.0,
            }
        };
        enum Candidate {
            Known(usize),
            New(Placement),
        }
        let known = self.tracks.iter().enumerate().filter(|(_, t)| !t.is_lost());
        let mut candidates: Vec<(f32, Candidate)> = known
            .map(|(k, t)| (rank(&t.placement, t.chosen), Candidate::Known(k)))
            .chain(found.into_iter().map(|p| (rank(&p, false), Candidate::New(p))))
            .collect();
        // Stable: among equals the older track, then the detector's order.
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted = if choice.select == FaceSelect::All { MAX_FACES } else { 1 };
        let mut chosen = vec![false; self.tracks.len()];
        for (_, candidate) in candidates {
            if chosen.iter().filter(|&&c| c).count() >= wanted {
                break;
            }
            match candidate {
                Candidate::Known(k) => chosen[k] = true,
                Candidate::New(p) => {
                    let bbox = |t: &Track| t.placement.bbox();
                    if let Some((placement, points, confidence)) = find(&p, choice, measure)?
                        && !self.tracks.iter().any(|t| !t.is_lost() && bbox(t).iou(&placement.bbox()) > DOUBLE)
                    {
                        self.admit(placement, points, confidence);
                        chosen.push(true);
                    }
                }
            }
        }
        for (track, chosen) in self.tracks.iter_mut().zip(chosen) {
            track.chosen = chosen || track.is_lost() && track.chosen;
        }
        Ok(())
    }

    /// Follows one more face, and shows it.
    fn admit(&mut self, placement: Placement, points: Points, confidence: f32) {
        let mut track = Track {
            id: self.next_id,
            placement,
            confidence,
            pose: Pose::default(),
            reason: None,
            cut_out: None,
            followed: Followed::Yes,
            chosen: true,
            misses: 0,
            smoother: Smoother::new(placement, &points),
            fade: if self.fresh { Fade::at_once() } else { Fade::from_nothing() },
            points,
        };
        track.pose = pose(placement, &track.points.ibug);
        self.events.push(Event::Found(track.id));
        self.next_id = self.next_id.wrapping_add(1);
        self.tracks.push(track);
    }

    /// Two tracks that came to lie on the same face: the older one stays.
    fn merge(&mut self) {
        let mut k = 0;
        while k < self.tracks.len() {
            let (older, rest) = self.tracks.split_at_mut(k);
            let track = &rest[0];
            let same = |o: &&mut Track| !o.is_lost() && o.placement.bbox().iou(&track.placement.bbox()) > DOUBLE;
            match older.iter_mut().find(same).filter(|_| !track.is_lost()) {
                Some(older) => {
                    older.chosen |= track.chosen;
                    self.events.push(Event::Lost(track.id));
                    self.tracks.remove(k);
                }
                None => k += 1,
            }
        }
    }

    /// Ends a frame: moves the weights and lets go of faces that have faded.
    pub fn finish(&mut self, dt: Duration, choice: &Choice) {
        for track in &mut self.tracks {
            // Nothing is known of a face that is one by the user's word alone, nor which way it is turned.
            let pose = if choice.trusted { Pose::default() } else { track.pose };
            let (mut weight, mut reason) = target(track.placement.bbox().w, choice.min_width, pose, track.confidence);
            if track.is_lost() {
                (weight, reason) = (0.0, Some(Reason::Lost));
            } else if !track.chosen {
                weight = 0.0;
            }
            track.fade.step(weight, dt);
            track.reason = reason;
        }
        let events = &mut self.events;
        self.tracks.retain(|t| {
            let keep = t.fade.weight() > 0.0 || t.chosen && !t.is_lost();
            if !keep && !t.is_lost() {
                events.push(Event::Lost(t.id));
            }
            keep
        });
    }
}

impl Track {
    fn place(&mut self, placement: Placement, points: Points, confidence: f32) {
        self.placement = placement;
        self.pose = pose(placement, &points.ibug);
        self.points = points;
        self.confidence = confidence;
        self.followed = Followed::Yes;
    }
}

impl Choice {
    fn confidence(&self, placement: &Placement, points: &Points) -> f32 {
        let shape = |surely, not| 1.0 - ramp(placement.residual(&points.ibug), surely, not);
        match points.presence {
            _ if self.trusted => 1.0,
            None => shape(SURELY_A_FACE, NO_FACE),
            Some(presence) if presence >= LEAST_PRESENCE => presence.min(shape(SURELY_SHAPED, NOT_SHAPED)),
            Some(_) => 0.0,
        }
    }

    /// Whether a face can move from `from` to `to` in one frame.
    fn is_next(&self, from: &Placement, to: &Placement) -> bool {
        match &self.region {
            Some(region) => is_near(region, to),
            None => {
                distance(from, to) < MAX_MOVE * from.size
                    && (1.0 / MAX_ZOOM..MAX_ZOOM).contains(&(to.size / from.size))
                    && (to.roll - from.roll).cos() > MAX_TURN.cos()
            }
        }
    }
}

/// Whether `found` can be the face that a box announced at `seed`.
fn is_near(seed: &Placement, found: &Placement) -> bool {
    distance(seed, found) < 0.6 * seed.size && (0.4..2.5).contains(&(found.size / seed.size))
}

fn distance(a: &Placement, b: &Placement) -> f32 {
    (a.center[0] - b.center[0]).hypot(a.center[1] - b.center[1])
}

/// The face in a detector's box: a look, and a second one from where that found it. `None` where there is none.
fn find<E>(seed: &Placement, choice: &Choice, measure: Measure<E>) -> Result<Option<(Placement, Points, f32)>, E> {
    let mut found: Option<(Placement, Points)> = None;
    for _ in 0..2 {
        let points = match &found {
            None => measure(seed, None)?,
            Some((placement, points)) => measure(placement, Some(points))?,
        };
        match Placement::fit(&points.ibug).filter(|p| is_near(seed, p)) {
            Some(placement) => found = Some((placement, points)),
            None if choice.trusted => {
                found = found.or_else(|| Some((*seed, Points { ibug: mean_face(*seed), ..points })));
                break;
            }
            None => return Ok(None),
        }
    }
    let Some((placement, points)) = found else { return Ok(None) };
    let confidence = choice.confidence(&placement, &points);
    Ok((confidence > 0.0).then_some((placement, points, confidence)))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::shape::Landmarks;
    use super::*;
    use crate::face_meta::LANDMARKS;

    const FRAME: Duration = Duration::from_millis(40);
    const MIDDLE: Point = [500.0, 300.0];

    fn at(x: f32, size: f32) -> Placement {
        Placement { center: [x, 300.0], size, roll: 0.0 }
    }

    fn choice(select: FaceSelect) -> Choice {
        Choice { select, min_width: 40.0, smoothing: 0.5, region: None, trusted: false }
    }

    /// A scene with faces in it, and a network that finds those it looks at.
    struct Scene {
        tracker: Tracker,
        choice: Choice,
    }

    impl Scene {
        fn new(select: FaceSelect) -> Self {
            Self { tracker: Tracker::default(), choice: choice(select) }
        }

        /// One frame. With `detect` the detector sees all `faces`.
        fn frame(&mut self, faces: &[Placement], detect: bool) {
            let measure: Measure<Infallible> = &mut |seed, _| {
                let face = faces.iter().find(|f| distance(seed, f) < 0.6 * seed.size);
                // Where there is no face the network's answer is no face either.
                Ok(face
                    .map_or(std::array::from_fn(|i| [(i * 37 % 101) as f32, (i * 53 % 97) as f32]), |f| mean_face(*f))
                    .into())
            };
            self.tracker.follow(FRAME, &self.choice, measure).unwrap();
            if detect || self.tracker.is_doubtful() {
                self.tracker.detected(faces.to_vec(), &self.choice, MIDDLE, measure).unwrap();
            }
            self.tracker.finish(FRAME, &self.choice);
        }

        /// Track, weight in per cent.
        fn shown(&mut self) -> Vec<(u32, i32)> {
            self.tracker.faces().map(|t| (t.id, (100.0 * t.weight()).round() as i32)).collect()
        }
    }

    #[test]
    fn a_face_that_moves_keeps_its_track() {
        let mut scene = Scene::new(FaceSelect::Largest);
        scene.frame(&[at(300.0, 100.0)], true);
        assert_eq!(scene.shown(), [(0, 100)]);
        for k in 1..40 {
            scene.frame(&[at(300.0 + 10.0 * k as f32, 100.0)], false);
            let track = scene.tracker.faces().next().unwrap();
            assert!((track.placement.center[0] - 300.0 - 10.0 * k as f32).abs() < 10.0);
            assert!((track.points.ibug[48][0] - mean_face(track.placement)[48][0]).abs() < 0.1);
        }
        assert_eq!(scene.shown(), [(0, 100)]);
        assert_eq!(scene.tracker.take_events(), [Event::Found(0)]);
    }

    #[test]
    fn a_lost_face_fades_where_it_was() {
        let mut scene = Scene::new(FaceSelect::Largest);
        scene.frame(&[at(300.0, 100.0)], true);
        scene.frame(&[], false);
        assert_eq!(scene.shown(), [(0, 67)]);
        let track = scene.tracker.faces().next().unwrap();
        assert_eq!(track.reason, Some(Reason::Lost));
        assert!(distance(&track.placement, &at(300.0, 100.0)) < 1e-3);
        scene.frame(&[], false);
        scene.frame(&[], false);
        assert_eq!(scene.shown(), []);
        assert_eq!(scene.tracker.take_events(), [Event::Found(0), Event::Lost(0)]);
    }

    #[test]
    fn a_face_that_comes_back_while_it_fades_is_the_same() {
        let mut scene = Scene::new(FaceSelect::Largest);
        scene.frame(&[at(300.0, 100.0)], true);
        scene.frame(&[], false);
        scene.frame(&[at(310.0, 100.0)], true);
        assert_eq!(scene.shown(), [(0, 100)]);
        assert_eq!(scene.tracker.take_events(), [Event::Found(0), Event::Lost(0), Event::Found(0)]);
    }

    #[test]
    fn only_a_fresh_face_is_there_at_once() {
        let mut scene = Scene::new(FaceSelect::Largest);
        scene.frame(&[], true);
        scene.frame(&[at(300.0, 100.0)], true);
        assert_eq!(scene.shown(), [(0, 33)]);
        scene.tracker.reset();
        scene.frame(&[at(600.0, 100.0)], true);
        assert_eq!(scene.shown(), [(1, 100)]);
        assert_eq!(scene.tracker.take_events(), [Event::Found(0), Event::Lost(0), Event::Found(1)]);
    }

    #[test]
    fn a_jump_is_believed_only_where_the_detector_agrees() {
        let mut scene = Scene::new(FaceSelect::Largest);
        scene.frame(&[at(300.0, 100.0)], true);
        // The network still sees the face at the edge of its crop.
        scene.frame(&[at(345.0, 100.0)], false);
        assert_eq!(scene.shown(), [(0, 100)]);
        assert!((scene.tracker.faces().next().unwrap().placement.center[0] - 345.0).abs() < 1e-3);
    }

    #[test]
    fn what_the_detector_never_sees_again_is_no_face() {
        let mut scene = Scene::new(FaceSelect::Largest);
        let faces = [at(300.0, 100.0)];
        scene.frame(&faces, true);
        for misses in 1..=MAX_MISSES {
            let measure: Measure<Infallible> = &mut |_, _| Ok(mean_face(faces[0]).into());
            scene.tracker.follow(FRAME, &scene.choice, measure).unwrap();
            scene.tracker.detected(Vec::new(), &scene.choice, MIDDLE, measure).unwrap();
            assert_eq!(scene.tracker.is_following(), misses < MAX_MISSES);
        }
    }

    #[test]
    fn two_tracks_on_one_face_become_one() {
        let mut scene = Scene::new(FaceSelect::All);
        scene.frame(&[at(300.0, 100.0), at(500.0, 100.0)], true);
        assert_eq!(scene.shown(), [(0, 100), (1, 100)]);
        for k in 1..=10 {
            scene.frame(&[at(300.0 + 20.0 * k as f32, 100.0), at(500.0, 100.0)], false);
        }
        assert_eq!(scene.shown().len(), 1);
        // A box beside the face that leads to the same landmarks adds nothing.
        let measure: Measure<Infallible> = &mut |_, _| Ok(mean_face(at(500.0, 100.0)).into());
        scene.tracker.detected(vec![at(500.0, 100.0), at(555.0, 100.0)], &scene.choice, MIDDLE, measure).unwrap();
        assert_eq!(scene.shown().len(), 1);
    }

    #[test]
    fn the_choice_among_faces_is_kept_until_another_is_clearly_better() {
        let near = at(400.0, 90.0);
        for (select, first, better) in
            [(FaceSelect::Largest, 1, at(100.0, 160.0)), (FaceSelect::Central, 0, at(505.0, 60.0))]
        {
            let mut scene = Scene::new(select);
            scene.frame(&[near, at(800.0, 100.0)], true);
            let center = |scene: &mut Scene| scene.tracker.faces().last().unwrap().placement.center[0].round();
            let wanted = [near.center[0], 800.0][first];
            assert_eq!(center(&mut scene), wanted, "{select:?}");
            // A little better is not enough.
            scene.frame(&[near, at(800.0, 100.0), at(190.0, 110.0)], true);
            assert_eq!(center(&mut scene), wanted, "{select:?}");
            scene.frame(&[near, at(800.0, 100.0), better], true);
            assert_eq!(center(&mut scene), better.center[0], "{select:?}");
            // The old one fades out, the new one in.
            assert_eq!(scene.shown(), [(0, 67), (1, 33)], "{select:?}");
        }
        let mut scene = Scene::new(FaceSelect::Track);
        scene.frame(&[near], true);
        scene.frame(&[near, at(800.0, 300.0)], true);
        assert_eq!(scene.shown(), [(0, 100)]);
    }

    #[test]
    fn noise_is_no_face() {
        let mut scene = Scene::new(FaceSelect::All);
        let measure: Measure<Infallible> = &mut |p, _| {
            let noisy: Landmarks = std::array::from_fn(|i: usize| {
                let noise = |k: usize| (i * k % 101) as f32 / 101.0 - 0.5;
                [p.center[0] + p.size * noise(37), p.center[1] + p.size * noise(53)]
            });
            Ok(noisy.into())
        };
        scene.tracker.detected(vec![at(300.0, 100.0)], &scene.choice, MIDDLE, measure).unwrap();
        assert_eq!(scene.shown(), []);
        let measure: Measure<Infallible> = &mut |_, _| Ok([[f32::NAN; 2]; LANDMARKS].into());
        scene.tracker.detected(vec![at(300.0, 100.0)], &scene.choice, MIDDLE, measure).unwrap();
        assert_eq!(scene.shown(), []);
    }

    #[test]
    fn a_network_that_sees_no_face_is_believed() {
        for (presence, there) in [(0.9, true), (0.5, true), (0.4, false), (f32::NAN, false)] {
            let mut scene = Scene::new(FaceSelect::Largest);
            let measure: Measure<Infallible> =
                &mut |p, _| Ok(Points { presence: Some(presence), ..mean_face(*p).into() });
            scene.tracker.detected(vec![at(300.0, 100.0)], &scene.choice, MIDDLE, measure).unwrap();
            assert_eq!(scene.tracker.is_following(), there, "{presence}");
        }
    }

    #[test]
    fn the_network_is_told_where_its_points_were() {
        let mut scene = Scene::new(FaceSelect::Largest);
        let mut told = Vec::new();
        let mut measure = |p: &Placement, last: Option<&Points>| {
            told.push(last.map(|points| points.own.clone()));
            let own = vec![[told.len() as f32, 0.0]];
            Ok::<_, Infallible>(Points { own, ..mean_face(*p).into() })
        };
        scene.choice.smoothing = 0.0;
        scene.tracker.detected(vec![at(300.0, 100.0)], &scene.choice, MIDDLE, &mut measure).unwrap();
        scene.tracker.follow(FRAME, &scene.choice, &mut measure).unwrap();
        let x: Vec<_> = told.iter().map(|own| own.as_ref().map(|own| own[0][0].round())).collect();
        assert_eq!(x, [None, Some(1.0), Some(2.0)]);
    }

    #[test]
    fn a_region_is_a_face_only_where_it_is_trusted() {
        for trusted in [true, false] {
            let mut scene = Scene::new(FaceSelect::Largest);
            let region = at(300.0, 100.0);
            scene.choice = Choice { region: Some(region), trusted, ..scene.choice };
            let nothing: Measure<Infallible> = &mut |_, _| Ok([[7.0; 2]; LANDMARKS].into());
            scene.tracker.detected(vec![region], &scene.choice, MIDDLE, nothing).unwrap();
            scene.tracker.finish(FRAME, &scene.choice);
            assert_eq!(scene.shown().len(), usize::from(trusted));
            scene.tracker.follow(FRAME, &scene.choice, nothing).unwrap();
            assert!(!scene.tracker.is_doubtful());
        }
    }
}
