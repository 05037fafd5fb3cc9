// SPDX-License-Identifier: MPL-2.0
//! Which mouth each face shows, and how strongly, when there is a new one and when there is none. Pure.

use std::collections::HashMap;

use crate::face_meta::{Face, Generated, Reason};

/// How long a mouth takes to fade out or in, ns.
const FADE: f32 = 120e6;

/// The last mouth of every face, and how present mouths are.
#[derive(Debug, Default)]
pub struct Mouth {
    last: HashMap<u32, Generated>,
    /// 0: the frame stays untouched, 1: the mouth is shown in full.
    presence: f32,
    time: Option<i64>,
}

impl Mouth {
    /// Moves on to the frame at `time` (ns). `speaking`: it has a new mouth; `hold`: where it has none, the last one fades
    /// instead of vanishing. The first frame starts as it is.
    pub fn advance(&mut self, time: Option<i64>, speaking: bool, hold: bool) {
        let target = if speaking { 1.0 } else { 0.0 };
        let step = match (self.time, time) {
            (Some(before), Some(now)) => (now - before).max(0) as f32 / FADE,
            (None, _) => 1.0,
            (Some(_), None) => 0.0,
        };
        self.presence =
            if !speaking && !hold { 0.0 } else { self.presence + (target - self.presence).clamp(-step, step) };
        self.time = time.or(self.time);
    }

    /// Gives `face` its new mouth, or the last one at the face's present place, or nothing.
    pub fn show(&mut self, face: &mut Face, new: Option<Generated>, reason: Option<Reason>) {
        let is_new = new.is_some();
        if let Some(generated) = new {
            self.last.insert(face.track, generated);
        }
        face.reason = face.reason.or(reason);
        face.weight *= self.presence;
        face.generated = if face.weight > 0.0 { self.last.get(&face.track).cloned() } else { None };
        if !is_new && face.generated.is_none() {
            self.last.remove(&face.track);
        }
    }

    /// Forgets faces that are not among `tracks`.
    pub fn keep(&mut self, tracks: &[u32]) {
        self.last.retain(|track, _| tracks.contains(track));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_mouth_fades_over_120_ms_and_returns_likewise() {
        let mut mouth = Mouth::default();
        mouth.advance(Some(0), true, true);
        assert_eq!(mouth.presence, 1.0);
        let mut shown = Vec::new();
        for frame in 1..=4 {
            mouth.advance(Some(frame * 40_000_000), false, true);
            shown.push((mouth.presence * 3.0).round() as i32);
        }
        assert_eq!(shown, [2, 1, 0, 0]);
        mouth.advance(Some(200_000_000), true, true);
        assert_eq!((mouth.presence * 3.0).round(), 1.0);
    }

    #[test]
    fn passthrough_is_immediate() {
        let mut mouth = Mouth::default();
        mouth.advance(Some(0), true, true);
        mouth.advance(Some(1), false, false);
        assert_eq!(mouth.presence, 0.0);
    }

    #[test]
    fn a_stream_that_begins_without_sound_begins_untouched() {
        let mut mouth = Mouth::default();
        mouth.advance(Some(0), false, true);
        assert_eq!(mouth.presence, 0.0);
    }
}
