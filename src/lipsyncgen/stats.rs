// SPDX-License-Identifier: MPL-2.0
//! What the read-only property `stats` tells.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Inference times kept for the percentiles.
const KEPT: usize = 256;

#[derive(Debug, Default)]
pub struct Stats {
    /// Frames sent on.
    pub frames: u64,
    /// Frames with at least one newly generated mouth.
    pub generated: u64,
    /// Frames sent on without any mouth.
    pub passed: u64,
    /// Frames whose mouth was not ready in time.
    pub late: u64,
    /// Runs that failed.
    pub errors: u64,
    /// Running time of the last frame sent on, ns.
    pub sent: Option<i64>,
    /// Time per frame of the last runs.
    times: VecDeque<Duration>,
}

/// What is in the element at the moment.
#[derive(Debug, Default)]
pub struct Levels {
    pub frames: usize,
    /// Running times, ns, of the newest frame and of the end of the newest row.
    pub picture: Option<i64>,
    pub sound: Option<i64>,
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let seconds =
            |time: Option<i64>| time.map_or_else(|| "none".into(), |time| format!("{:.2} s", time as f64 / 1e9));
        let (picture, sound) = (seconds(self.picture), seconds(self.sound));
        write!(f, "sink: {} frames wait, up to {picture}; features: sound up to {sound}", self.frames)
    }
}

impl Stats {
    /// One run of the graphs on `frames` frames took `time`.
    pub fn ran(&mut self, time: Duration, frames: usize) {
        self.times.push_back(time / frames.max(1) as u32);
        if self.times.len() > KEPT {
            self.times.pop_front();
        }
    }

    /// How long a run on `frames` frames usually takes; `None` where there was none yet.
    pub fn usual(&self, frames: usize) -> Option<Duration> {
        self.times.iter().max().map(|time| *time * frames as u32)
    }

    fn percentile_ms(&self, percent: usize) -> f64 {
        let mut times: Vec<_> = self.times.iter().collect();
        times.sort();
        match times.len() {
            0 => 0.0,
            n => times[(n - 1) * percent / 100].as_secs_f64() * 1000.0,
        }
    }

    /// `frames-held`: frames that wait for their rows; `sound-held-ms`: rows beyond the last frame that was sent; `skew-ms`: by how
    /// much the sound has come further than the picture.
    pub fn structure(&self, levels: &Levels) -> gst::Structure {
        let ms = |from: Option<i64>, to: Option<i64>| from.zip(to).map_or(0.0, |(from, to)| (to - from) as f64 / 1e6);
        let picture = levels.picture.max(self.sent);
        gst::Structure::builder("application/x-lipsync-stats")
            .field("frames", self.frames)
            .field("generated", self.generated)
            .field("passed", self.passed)
            .field("late", self.late)
            .field("errors", self.errors)
            .field("infer-ms-p50", self.percentile_ms(50))
            .field("infer-ms-p95", self.percentile_ms(95))
            .field("frames-held", levels.frames as u64)
            .field("sound-held-ms", ms(self.sent, levels.sound).max(0.0))
            .field("skew-ms", ms(picture, levels.sound))
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_per_frame_and_of_the_last_runs() {
        let mut stats = Stats::default();
        for ms in 0..1000 {
            stats.ran(Duration::from_millis(ms * 2), 2);
        }
        assert_eq!(stats.times.len(), KEPT);
        assert_eq!(stats.percentile_ms(50).round(), 871.0);
        assert_eq!(Stats::default().percentile_ms(95), 0.0);
    }
}
