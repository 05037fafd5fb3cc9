// SPDX-License-Identifier: MPL-2.0
//! A memory of each person's own mouth: of all crops of a track so far, the one that shows most of the mouth's inside, and the one
//! that shows closed lips best. Pure.
//!
//! Frames come in their order, each once, also those for which nothing is generated, so what is remembered at a frame is the
//! same for any batch size.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mouth_inside::Look;
use super::{mouth_closed, mouth_inside};
use crate::face_meta::{Face, LANDMARKS, RgbImage};
use crate::geometry::Point;
use crate::model::manifest::Remembered;
use crate::moment::Moment;

/// A crop takes the place of the one that is kept where its score is so many times as high: another one each time lips open a
/// bit wider would only be restless.
const BETTER: f32 = 1.15;

/// How long what is remembered takes to count in full, ns, …
const RISE: f32 = 300e6;
/// … and not to count any more, before another takes its place.
const FALL: f32 = 200e6;

/// Frames without a face after which nobody remembers it; 20 s at 25 fps.
const GONE: u32 = 500;

/// More than faces can be in one frame. Each takes four crops at most.
const MAX_TRACKS: usize = 64;

/// Of a clip that repeats, so many frames are known not to need another look: an hour and a quarter at 30 fps, 16 KiB a track.
const MAX_MOMENTS: u64 = 1 << 17;

/// What is remembered of a face at a frame.
#[derive(Clone, Debug)]
pub struct Recall {
    pub crop: Arc<RgbImage>,
    /// x, y in fractions of that crop.
    pub landmarks: [Point; LANDMARKS],
    /// How much of it is to be shown, 0..1.
    pub weight: f32,
}

/// … and of each of its looks.
#[derive(Clone, Debug, Default)]
pub struct Recalls {
    pub open: Option<Recall>,
    pub closed: Option<Recall>,
}

impl Recalls {
    pub fn of(&self, remembered: Remembered) -> Option<&Recall> {
        match remembered {
            Remembered::Open => self.open.as_ref(),
            Remembered::Closed => self.closed.as_ref(),
        }
    }
}

/// The faces of a stream, by track.
#[derive(Debug, Default)]
pub struct Memory {
    tracks: BTreeMap<u32, Track>,
    /// Of the last frame, ns.
    time: Option<i64>,
}

#[derive(Debug, Default)]
struct Track {
    open: Best,
    closed: Best,
    /// Frames since it was last seen.
    absent: u32,
    moments: Moments,
}

/// The best crop of a kind.
#[derive(Debug, Default)]
struct Best {
    kept: Option<Kept>,
    /// What is to be kept instead, as soon as nothing is seen of `kept` any more.
    next: Option<Kept>,
    weight: f32,
}

#[derive(Debug)]
struct Kept {
    crop: Arc<RgbImage>,
    landmarks: [Point; LANDMARKS],
    score: f32,
}

impl Memory {
    /// The faces of the next frame are these. `time`: its running time, ns, if it has one; `moment`: where it comes from.
    pub fn watch(&mut self, time: Option<i64>, moment: Option<Moment>, faces: &[Arc<Face>]) {
        self.pass(time);
        for face in faces {
            let look = Look::of(face).filter(|_| face.reason.is_none());
            self.see(face.track, moment, &face.crop, look.as_ref());
        }
        self.bound();
    }

    fn bound(&mut self) {
        while self.tracks.len() > MAX_TRACKS {
            // Of those that are away the longest, the oldest: tracks are numbered as they come.
            let oldest = self.tracks.iter().max_by_key(|(id, track)| (track.absent, std::cmp::Reverse(**id)));
            let Some(id) = oldest.map(|(id, _)| *id) else { break };
            self.tracks.remove(&id);
        }
    }

    /// The faces of a frame that comes later: what is remembered of it counts from the first frame on.
    pub fn preview(&mut self, moment: Option<Moment>, faces: &[Arc<Face>]) {
        for face in faces {
            let look = Look::of(face).filter(|_| face.reason.is_none());
            self.see(face.track, moment, &face.crop, look.as_ref());
            if let Some(track) = self.tracks.get_mut(&face.track) {
                track.open.settle();
                track.closed.settle();
            }
        }
        self.bound();
    }

    /// Time passes, and with it what was remembered comes and goes.
    fn pass(&mut self, time: Option<i64>) {
        // It may step back, at a seek for example.
        let passed = time.zip(self.time).map_or(0, |(now, before)| now.saturating_sub(before).max(0)) as f32;
        self.time = time.or(self.time);
        self.tracks.retain(|_, track| {
            track.open.pass(passed);
            track.closed.pass(passed);
            track.absent += 1;
            track.absent <= GONE
        });
    }

    /// A face whose crop has something to show, where `look` is.
    fn see(&mut self, track: u32, moment: Option<Moment>, crop: &Arc<RgbImage>, look: Option<&Look>) {
        let track = self.tracks.entry(track).or_default();
        track.absent = 0;
        let known = moment.is_some_and(|moment| !track.moments.add(moment));
        let Some(look) = look.filter(|_| !known) else { return };
        track.open.offer(crop, look, mouth_inside::score);
        track.closed.offer(crop, look, mouth_closed::score);
    }

    /// What is remembered of a face, at the frame that was watched last.
    pub fn recall(&self, track: u32) -> Recalls {
        self.tracks
            .get(&track)
            .map_or_else(Recalls::default, |track| Recalls { open: track.open.recall(), closed: track.closed.recall() })
    }
}

impl Best {
    /// `score` tells how good the crop is, where that is above a limit.
    fn offer(&mut self, crop: &Arc<RgbImage>, look: &Look, score: fn(&RgbImage, &Look, f32) -> Option<f32>) {
        let limit = self.next.as_ref().or(self.kept.as_ref()).map_or(0.0, |kept| kept.score * BETTER);
        let Some(score) = score(crop, look, limit) else { return };
        let new = Some(Kept { crop: crop.clone(), landmarks: look.landmarks, score });
        match self.kept {
            None => self.kept = new,
            Some(_) => self.next = new,
        }
    }

    /// Nothing is shown yet: the better one takes its place at once.
    fn settle(&mut self) {
        self.kept = self.next.take().or_else(|| self.kept.take());
        self.weight = if self.kept.is_some() { 1.0 } else { 0.0 };
    }

    fn recall(&self) -> Option<Recall> {
        let kept = self.kept.as_ref()?;
        Some(Recall { crop: kept.crop.clone(), landmarks: kept.landmarks, weight: self.weight })
    }

    fn pass(&mut self, mut passed: f32) {
        if self.next.is_some() {
            let needed = self.weight * FALL;
            // A microsecond is rounding.
            if needed - passed > 1e3 {
                self.weight -= passed / FALL;
                return;
            }
            passed = (passed - needed).max(0.0);
            self.weight = 0.0;
            self.kept = self.next.take();
        }
        if self.kept.is_some() {
            self.weight = (self.weight + passed / RISE).min(1.0);
        }
    }
}

/// The frames of a clip that were looked at: when they come again they are no better.
#[derive(Debug, Default)]
struct Moments {
    clip: Option<u64>,
    /// A bit a frame.
    seen: Vec<u64>,
}

impl Moments {
    /// Whether it is new.
    fn add(&mut self, moment: Moment) -> bool {
        if self.clip != Some(moment.clip) {
            self.clip = Some(moment.clip);
            self.seen.clear();
        }
        if moment.frame >= MAX_MOMENTS {
            return true;
        }
        let (word, bit) = ((moment.frame / 64) as usize, 1 << (moment.frame % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::super::mouth_inside::testing::{crop, look, points};
    use super::*;

    const FRAME: i64 = 40_000_000;

    /// Watches one face, as wide open as said and with so many teeth, from frame to frame, 40 ms each.
    #[derive(Default)]
    struct Watcher {
        memory: Memory,
        frame: i64,
    }

    impl Watcher {
        /// The picture that is remembered then, and how much of it.
        fn see(&mut self, gap: f32, teeth: f32) -> Option<(Arc<RgbImage>, f32)> {
            self.see_moment(None, gap, teeth)
        }

        fn see_moment(&mut self, moment: Option<Moment>, gap: f32, teeth: f32) -> Option<(Arc<RgbImage>, f32)> {
            self.memory.pass(Some(self.frame * FRAME));
            self.frame += 1;
            self.memory.see(7, moment, &Arc::new(crop(gap, teeth)), Some(&look(gap)));
            self.memory.recall(7).open.map(|recall| (recall.crop, recall.weight))
        }
    }

    fn weights(watcher: &mut Watcher, frames: usize) -> Vec<i32> {
        let mut weight = || watcher.see(0.0, 0.0).map_or(-1.0, |(_, weight)| weight * 30.0);
        (0..frames).map(|_| weight().round() as i32).collect()
    }

    #[test]
    fn nothing_is_remembered_of_closed_lips_and_of_holes_without_teeth() {
        let mut watcher = Watcher::default();
        for (gap, teeth) in [(0.0, 0.0), (0.05, 1.0), (0.3, 0.0)] {
            assert!(watcher.see(gap, teeth).is_none(), "{gap}, {teeth}");
        }
        assert!(watcher.see(0.2, 0.5).is_some());
    }

    #[test]
    fn closed_lips_are_remembered_apart() {
        let mut watcher = Watcher::default();
        watcher.see(0.2, 0.5);
        assert!(watcher.memory.recall(7).closed.is_none());
        watcher.see(0.0, 0.0);
        watcher.see(0.3, 0.5);
        let recalls = watcher.memory.recall(7);
        assert_eq!(recalls.of(Remembered::Closed).unwrap().landmarks, points(0.0));
        assert_eq!(recalls.of(Remembered::Open).unwrap().landmarks, points(0.2));
    }

    #[test]
    fn what_is_remembered_comes_within_300_ms() {
        let mut watcher = Watcher::default();
        let (taken, weight) = watcher.see(0.2, 0.5).unwrap();
        assert_eq!((*taken == crop(0.2, 0.5), weight), (true, 0.0));
        assert_eq!(weights(&mut watcher, 9), [4, 8, 12, 16, 20, 24, 28, 30, 30]);
    }

    /// It goes within 200 ms before the better one comes; 40 ms are six thirtieths down, or four up.
    #[test]
    fn a_better_one_takes_its_place_without_a_jump() {
        let mut watcher = Watcher::default();
        let (first, _) = watcher.see(0.2, 0.5).unwrap();
        weights(&mut watcher, 10);
        let (same, _) = watcher.see(0.21, 0.5).unwrap();
        assert!(Arc::ptr_eq(&same, &first), "hardly better");
        assert_eq!(weights(&mut watcher, 1), [30]);
        let (same, weight) = watcher.see(0.35, 0.6).unwrap();
        assert!(Arc::ptr_eq(&same, &first) && weight == 1.0);
        let mut seen = Vec::new();
        for _ in 0..14 {
            let (picture, weight) = watcher.see(0.0, 0.0).unwrap();
            seen.push((Arc::ptr_eq(&picture, &first), (weight * 30.0).round() as i32));
        }
        let falls = [24, 18, 12, 6].map(|weight| (true, weight));
        let rises = [0, 4, 8, 12, 16, 20, 24, 28, 30, 30].map(|weight| (false, weight));
        assert_eq!(seen, [&falls[..], &rises[..]].concat());
    }

    /// Where frames are far apart it is all over at the next one.
    #[test]
    fn time_that_has_passed_counts_whatever_the_frame_rate() {
        let mut watcher = Watcher::default();
        let (first, _) = watcher.see(0.2, 0.5).unwrap();
        watcher.frame += 100;
        assert_eq!(watcher.see(0.35, 0.6).unwrap().1, 1.0);
        watcher.frame += 6;
        let (picture, weight) = watcher.see(0.0, 0.0).unwrap();
        assert!(!Arc::ptr_eq(&picture, &first) && (weight - 80.0 / 300.0).abs() < 1e-5, "{weight}");
        // A seek back.
        watcher.frame = 0;
        assert_eq!(weights(&mut watcher, 2), [8, 12]);
    }

    #[test]
    fn a_face_that_is_gone_is_forgotten_and_its_place_taken() {
        let mut watcher = Watcher::default();
        watcher.see(0.2, 0.5);
        for _ in 0..GONE {
            watcher.memory.pass(None);
        }
        assert!(watcher.memory.recall(7).open.is_some());
        watcher.memory.pass(None);
        assert!(watcher.memory.recall(7).open.is_none() && watcher.memory.tracks.is_empty());
        for track in 0..1000 {
            watcher.memory.watch(None, None, &[]);
            watcher.memory.see(track, None, &Arc::default(), None);
            assert!(watcher.memory.tracks.len() <= MAX_TRACKS + 1);
        }
        assert!(watcher.memory.tracks.contains_key(&999) && !watcher.memory.tracks.contains_key(&0));
    }

    #[test]
    fn a_flush_leaves_what_is_remembered() {
        let mut watcher = Watcher::default();
        watcher.see(0.2, 0.5);
        let mut state = super::super::state::State { memory: watcher.memory, ..Default::default() };
        state.flush();
        assert!(state.memory.recall(7).open.is_some());
    }

    #[test]
    fn a_clip_is_looked_at_once() {
        let mut watcher = Watcher::default();
        let moment = |clip, frame| Some(Moment { clip, frame });
        assert!(watcher.see_moment(moment(1, 3), 0.0, 0.0).is_none());
        // Another picture than the one before, which cannot be, and is not looked at.
        assert!(watcher.see_moment(moment(1, 3), 0.3, 0.5).is_none());
        assert!(watcher.see_moment(moment(1, 2), 0.3, 0.5).is_some());
        let mut moments = Moments::default();
        let new = [(1, 0), (1, 0), (1, 64), (2, 0), (1, MAX_MOMENTS), (1, MAX_MOMENTS), (1, u64::MAX)];
        let new = new.map(|(clip, frame)| moments.add(Moment { clip, frame }));
        assert_eq!(new, [true, false, true, true, true, true, true]);
        assert!(moments.seen.len() <= 2);
    }

    #[test]
    fn the_landmarks_are_those_of_the_crop_that_is_remembered() {
        let mut watcher = Watcher::default();
        watcher.see(0.2, 0.5);
        watcher.see(0.0, 0.0);
        assert_eq!(watcher.memory.recall(7).open.unwrap().landmarks, points(0.2));
        assert_eq!(watcher.memory.recall(7).closed.unwrap().landmarks, points(0.0));
    }
}
