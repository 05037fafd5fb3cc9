// SPDX-License-Identifier: MPL-2.0
//! Times of samples and rows, always counted from the stretch's first sample so that rounding never adds up.

use gst::ClockTime;

/// A timestamp further than this from where the samples put it starts a new stretch; up to here it is jitter. GStreamer's
/// audio encoders and sinks draw the line at the same place, so sound and lips jump together or not at all.
pub const TOLERANCE: ClockTime = ClockTime::from_mseconds(40);

/// The clock of one stretch of sound.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Time of the first sample.
    pub anchor: ClockTime,
    /// Hz
    pub sample_rate: u32,
    /// Samples from one row to the next.
    pub hop: usize,
    /// Rows before that of the first sample. Their time is the anchor too: there may be none before it.
    pub beyond: u64,
}

impl Timeline {
    /// Time of sample `n`.
    pub fn sample(&self, n: u64) -> ClockTime {
        self.anchor.saturating_add(duration(u128::from(n), self.sample_rate))
    }

    /// Time of row `k`.
    pub fn row(&self, k: u64) -> ClockTime {
        let samples = u128::from(k.saturating_sub(self.beyond)) * self.hop as u128;
        self.anchor.saturating_add(duration(samples, self.sample_rate))
    }

    /// How long `samples` at so many a second last.
    pub fn duration(samples: u64, sample_rate: u32) -> ClockTime {
        duration(u128::from(samples), sample_rate)
    }

    /// Whether sound at `time` goes on where `n` samples ended.
    pub fn continues(&self, n: u64, time: ClockTime) -> bool {
        self.sample(n).absdiff(time) <= TOLERANCE
    }
}

fn duration(samples: u128, sample_rate: u32) -> ClockTime {
    let ns = samples * 1_000_000_000 / u128::from(sample_rate);
    ClockTime::try_from(u64::try_from(ns).unwrap_or(u64::MAX - 1)).unwrap_or(ClockTime::MAX)
}

/// How long one waits for `samples`: their duration, rounded up.
pub fn wait_for(samples: usize, sample_rate: u32) -> ClockTime {
    ClockTime::from_nseconds((samples as u64 * 1_000_000_000).div_ceil(u64::from(sample_rate)))
}

/// Samples in `duration`, to the nearest.
pub fn samples_in(duration: ClockTime, sample_rate: u32) -> u64 {
    let scaled = u128::from(duration.nseconds()) * u128::from(sample_rate);
    // At most u64::MAX ns × 192 kHz / 1e9, which fits.
    ((scaled + 500_000_000) / 1_000_000_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMELINE: Timeline =
        Timeline { anchor: ClockTime::from_nseconds(123_456_789), sample_rate: 44_100, hop: 441, beyond: 0 };

    /// Ten hours of rows: every time is within 1 ns of the exact one, so durations by difference leave no gap.
    #[test]
    fn rows_do_not_drift() {
        for k in (0..3_600_000).step_by(997) {
            assert_eq!(TIMELINE.row(k), TIMELINE.anchor + ClockTime::from_mseconds(10) * k);
        }
        let thirds = Timeline { sample_rate: 30_000, hop: 10_000, ..TIMELINE };
        assert_eq!(thirds.row(1) - thirds.anchor, ClockTime::from_nseconds(333_333_333));
        assert_eq!(thirds.row(3 * 36_000) - thirds.anchor, ClockTime::from_seconds(36_000));
    }

    #[test]
    fn jitter_continues_and_jumps_do_not() {
        let end = TIMELINE.sample(44_100);
        assert_eq!(end, TIMELINE.anchor + ClockTime::SECOND);
        assert!(TIMELINE.continues(44_100, end + TOLERANCE));
        assert!(TIMELINE.continues(44_100, end - TOLERANCE));
        assert!(!TIMELINE.continues(44_100, end + TOLERANCE + ClockTime::NSECOND));
        assert!(!TIMELINE.continues(44_100, end - TOLERANCE - ClockTime::NSECOND));
    }

    #[test]
    fn extreme_times_saturate() {
        let late = Timeline { anchor: ClockTime::MAX, ..TIMELINE };
        assert_eq!(late.row(u64::MAX), ClockTime::MAX);
        assert_eq!(TIMELINE.sample(u64::MAX), ClockTime::MAX);
        assert!(samples_in(ClockTime::MAX, 192_000) > 0);
    }

    #[test]
    fn samples_and_durations_round_as_documented() {
        assert_eq!(wait_for(200, 16_000), ClockTime::from_useconds(12_500));
        assert_eq!(wait_for(1, 44_100), ClockTime::from_nseconds(22_676));
        assert_eq!(samples_in(ClockTime::from_mseconds(10), 44_100), 441);
        assert_eq!(samples_in(ClockTime::from_nseconds(22_675), 44_100), 1);
        assert_eq!(samples_in(ClockTime::from_nseconds(11_337), 44_100), 0);
    }
}
