// SPDX-License-Identifier: MPL-2.0
//! Which stored frame comes when. All times are nanoseconds.

use std::ops::Range;

use super::LoopMode;

/// One frame of the endless picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of the stored frame.
    pub frame: usize,
    pub pts: u64,
    pub duration: u64,
}

/// Frames of the clip that follow each other in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub frames: Range<usize>,
    /// The last of them is shown first.
    pub backward: bool,
}

/// A clip's frames in the order in which they are repeated. A frame is shown as long as it was in the clip, in either
/// direction; every time is computed from integers and the frame's number, so nothing adds up to a drift.
#[derive(Debug, PartialEq, Eq)]
pub struct Order {
    pingpong: bool,
    first_pts: u64,
    /// When frame i starts, counted from the first; one more entry for the end of the last.
    starts: Vec<u64>,
}

impl Order {
    /// `pts` of the stored frames, and how long the last of them lasts where that is known.
    ///
    /// Otherwise it lasts as long as most others do. A single frame has no rhythm of its own: it is repeated every `nominal`.
    /// `None` without frames.
    pub fn new(mode: LoopMode, pts: &[u64], last: Option<u64>, nominal: u64) -> Option<Self> {
        let first_pts = *pts.first()?;
        let mut starts = Vec::with_capacity(pts.len() + 1);
        let mut latest = 0;
        for pts in pts {
            // Time that runs backwards stands still here: what leaves must not.
            latest = pts.saturating_sub(first_pts).max(latest);
            starts.push(latest);
        }
        let last =
            last.filter(|&d| d > 0 && pts.len() > 1).or_else(|| median_spacing(&starts)).unwrap_or(nominal.max(1));
        starts.push(latest.saturating_add(last));
        Some(Self { pingpong: mode == LoopMode::Pingpong, first_pts, starts })
    }

    fn frames(&self) -> usize {
        self.starts.len() - 1
    }

    /// The `k`-th frame of the endless picture; the first `frames` of them are the clip itself.
    pub fn at(&self, k: u64) -> Step {
        let n = self.frames();
        let steps = if self.pingpong && n > 1 { 2 * n - 2 } else { n };
        let (round, step) = (k / steps as u64, (k % steps as u64) as usize);
        let end = self.starts[n];
        let (frame, start) = if step < n {
            (step, self.starts[step])
        } else {
            // On the way back: after the whole clip, and the frames between the last and this one.
            let frame = steps - step;
            (frame, end + (self.starts[n - 1] - self.starts[frame + 1]))
        };
        let cycle = if steps > n { end + (self.starts[n - 1] - self.starts[1]) } else { end };
        Step {
            frame,
            pts: self.first_pts.saturating_add(round.saturating_mul(cycle)).saturating_add(start),
            duration: self.starts[frame + 1] - self.starts[frame],
        }
    }

    /// What follows from the `k`-th frame on: up to the clip's end, or so many frames back.
    pub fn run(&self, k: u64, most_back: usize) -> Run {
        let first = self.at(k).frame;
        if self.pingpong && self.at(k + 1).frame < first {
            // The first frame is where it turns: it begins the way forward.
            let most = most_back.clamp(1, first);
            return Run { frames: first + 1 - most..first + 1, backward: true };
        }
        let last = self.frames();
        Run { frames: first..last, backward: false }
    }
}

fn median_spacing(starts: &[u64]) -> Option<u64> {
    let mut spacings: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).filter(|&d| d > 0).collect();
    spacings.sort_unstable();
    spacings.get(spacings.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(order: &Order, count: u64) -> Vec<usize> {
        (0..count).map(|k| order.at(k).frame).collect()
    }

    #[test]
    fn forward_starts_again() {
        let order = Order::new(LoopMode::Forward, &[0, 40, 80], Some(40), 1).unwrap();
        assert_eq!(frames(&order, 8), [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(order.at(7).pts, 280);
    }

    #[test]
    fn pingpong_does_not_double_the_ends() {
        let order = Order::new(LoopMode::Pingpong, &[0, 40, 80, 120], Some(40), 1).unwrap();
        assert_eq!(frames(&order, 13), [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]);
        assert_eq!((0..13).map(|k| order.at(k).pts).collect::<Vec<_>>(), (0..13).map(|k| k * 40).collect::<Vec<_>>());
        let two = Order::new(LoopMode::Pingpong, &[0, 40], Some(40), 1).unwrap();
        assert_eq!(frames(&two, 5), [0, 1, 0, 1, 0]);
        let one = Order::new(LoopMode::Pingpong, &[7], None, 40).unwrap();
        assert_eq!(one.at(3), Step { frame: 0, pts: 127, duration: 40 });
    }

    #[test]
    fn every_frame_keeps_its_own_length() {
        let order = Order::new(LoopMode::Pingpong, &[100, 110, 140, 145], Some(20), 1).unwrap();
        let durations: Vec<u64> = (0..8).map(|k| order.at(k).duration).collect();
        assert_eq!(durations, [10, 30, 5, 20, 5, 30, 10, 30]);
        let pts: Vec<u64> = (0..8).map(|k| order.at(k).pts).collect();
        assert_eq!(pts, [100, 110, 140, 145, 165, 170, 200, 210]);
    }

    #[test]
    fn the_last_frame_lasts_as_long_as_most() {
        let length = |pts: &[u64], last| {
            let order = Order::new(LoopMode::Forward, pts, last, 25).unwrap();
            order.at(pts.len() as u64 - 1).duration
        };
        assert_eq!(length(&[0, 40, 80, 500, 540], None), 40);
        assert_eq!(length(&[0, 40, 80], Some(13)), 13);
        assert_eq!(length(&[0, 40, 80], Some(0)), 40);
        assert_eq!(length(&[3], None), 25);
        assert_eq!(length(&[3], Some(5000)), 25);
        assert_eq!(Order::new(LoopMode::Forward, &[], None, 25), None);
    }

    proptest! {
        #[test]
        fn time_never_stops(
            spacings in prop::collection::vec(0u64..1_000_000_000, 0..20),
            last in prop::option::of(0u64..1_000_000_000),
            pingpong: bool,
            k in 0u64..1_000_000,
        ) {
            let mut pts = vec![12_345];
            for spacing in spacings {
                pts.push(pts[pts.len() - 1] + spacing);
            }
            let mode = if pingpong { LoopMode::Pingpong } else { LoopMode::Forward };
            let order = Order::new(mode, &pts, last, 40_000_000).unwrap();
            let (now, next) = (order.at(k), order.at(k + 1));
            prop_assert_eq!(now.pts + now.duration, next.pts);
            prop_assert!(order.at(k + 2 * pts.len() as u64).pts > now.pts);
            if let Some(&stored) = pts.get(k as usize) {
                prop_assert_eq!((now.frame as u64, now.pts), (k, stored));
            }
        }
    }
}
