// SPDX-License-Identifier: MPL-2.0
//! When live sound is, where its timestamps cannot be meant. Pure.
//!
//! In a file a jump of the timestamps is a hole in the sound. What comes in live is heard when it comes: stamps that go to and fro
//! around their place are jitter, and those of tomorrow are a mistake.

use gst::ClockTime;

use super::timeline::TOLERANCE;

/// Stamps further from their place than this are a jump and no jitter.
const JITTER: ClockTime = ClockTime::from_mseconds(400);

/// A small hole is one, unless sound was stamped before the end of what came before it since so much of it: nothing real does that.
const DISTRUST: ClockTime = ClockTime::from_seconds(2);

/// Sound that is out of place for so long stays there: GStreamer's sinks wait as long (`discont-wait`).
const WAIT: ClockTime = ClockTime::from_seconds(1);

/// A jump that ends further from the clock than this is a mistake. Voices that are made come faster than they are heard, but no
/// sentence is as long.
const FAR: ClockTime = ClockTime::from_seconds(60);

/// What is known of a live stream's timestamps.
#[derive(Debug, Default)]
pub struct Stamps {
    /// To be added to them, ns.
    shift: i64,
    /// So much sound in a row was out of place.
    out_of_place: ClockTime,
    /// So much more sound is looked at with distrust.
    distrust: ClockTime,
}

/// Where a buffer of sound belongs.
#[derive(Debug, PartialEq)]
pub struct Placed {
    /// `None`: where the sound before it ended.
    pub time: Option<ClockTime>,
    /// By how much its timestamp is off, ns, where that is news.
    pub jumped: Option<i64>,
}

impl Stamps {
    /// Places a buffer stamped `pts`, `lasts` long, that comes when the clock shows `now`, after sound that ended at `end`.
    pub fn place(&mut self, pts: ClockTime, lasts: ClockTime, end: Option<ClockTime>, now: ClockTime) -> Placed {
        let mut time = self.shifted(pts);
        let mut jumped = None;
        let continues = end.is_some_and(|end| time.absdiff(end) <= JITTER);
        if !continues && (time.absdiff(now) > FAR || self.shift != 0 && pts.absdiff(now) <= FAR) {
            let off = difference(pts, now);
            self.shift = if pts.absdiff(now) <= FAR { 0 } else { off.saturating_neg() };
            time = self.shifted(pts);
            jumped = Some(off);
        }
        let Some(end) = end else { return Placed { time: Some(time), jumped } };
        let off = time.absdiff(end);
        self.distrust = if time < end && off > TOLERANCE { DISTRUST } else { self.distrust.saturating_sub(lasts) };
        let jitters =
            off > TOLERANCE && off <= JITTER && self.distrust > ClockTime::ZERO && self.out_of_place + lasts < WAIT;
        self.out_of_place = if jitters { self.out_of_place + lasts } else { ClockTime::ZERO };
        Placed { time: (!jitters).then_some(time), jumped }
    }

    fn shifted(&self, pts: ClockTime) -> ClockTime {
        let time = pts.nseconds().saturating_add_signed(self.shift);
        ClockTime::from_nseconds(time.min(i64::MAX as u64))
    }
}

/// `a` − `b`, ns.
fn difference(a: ClockTime, b: ClockTime) -> i64 {
    let most = i64::MAX as u64;
    a.nseconds().min(most) as i64 - b.nseconds().min(most) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> ClockTime {
        ClockTime::from_mseconds(ms)
    }

    #[test]
    fn stamps_that_go_to_and_fro_are_jitter() {
        let mut stamps = Stamps::default();
        for k in 11..100 {
            let end = ms(20 * k);
            let stamp = if k % 2 == 0 { end + ms(160) } else { end.saturating_sub(ms(160)) };
            let placed = stamps.place(if k % 3 == 0 { end } else { stamp }, ms(20), Some(end), end);
            assert!(placed.time.is_none_or(|time| time == end) && placed.jumped.is_none(), "{k}: {placed:?}");
        }
        // What stays out of place is there.
        let placed: Vec<_> =
            (0..60).map(|k| stamps.place(ms(5100 + 20 * k), ms(20), Some(ms(5000 + 20 * k)), ms(5000))).collect();
        assert_eq!(placed.iter().position(|placed| placed.time.is_some()), Some(49));
    }

    #[test]
    fn a_hole_is_one_at_once() {
        for hole in [50, 150, 1000] {
            let placed = Stamps::default().place(ms(8000 + hole), ms(20), Some(ms(8000)), ms(8000));
            assert_eq!(placed, Placed { time: Some(ms(8000 + hole)), jumped: None });
        }
    }

    #[test]
    fn stamps_of_tomorrow_are_a_mistake() {
        let mut stamps = Stamps::default();
        let day = 24 * 3600 * 1000;
        assert_eq!(stamps.place(ms(1000), ms(20), Some(ms(1000)), ms(1000)).time, Some(ms(1000)));
        let placed = stamps.place(ms(1020 + day), ms(20), Some(ms(1020)), ms(1030));
        assert_eq!(placed, Placed { time: Some(ms(1030)), jumped: Some(day as i64 * 1_000_000 - 10_000_000) });
        let placed = stamps.place(ms(1040 + day), ms(20), Some(ms(1050)), ms(1055));
        assert_eq!(placed, Placed { time: Some(ms(1050)), jumped: None });
        // And back.
        let placed = stamps.place(ms(3000), ms(20), Some(ms(1070)), ms(3010));
        assert_eq!((placed.time, placed.jumped.is_some()), (Some(ms(3000)), true));
        // Before the clock too.
        let placed = stamps.place(ms(0), ms(20), Some(ms(200_000)), ms(200_000));
        assert_eq!((placed.time, placed.jumped), (Some(ms(200_000)), Some(-200_000_000_000)));
    }

    #[test]
    fn a_long_speech_that_is_there_at_once_is_none() {
        let mut stamps = Stamps::default();
        for k in 0..200 {
            let placed = stamps.place(ms(1000 * k), ms(1000), Some(ms(1000 * k)), ms(10));
            assert_eq!(placed, Placed { time: Some(ms(1000 * k)), jumped: None });
        }
    }
}
