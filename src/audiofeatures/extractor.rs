// SPDX-License-Identifier: MPL-2.0
//! Sound with timestamps in, buffers of rows with timestamps out.

use gst::ClockTime;

use super::graph::{Answers, Heard, Mind};
use super::stream::{Run, Stream};
use super::timeline::{Timeline, samples_in};
use crate::model::manifest::AudioFeatures;

/// Rows of one stretch after another. A stretch is sound without a break, and the time of its first sample is the
/// anchor of all its rows' times.
pub struct Extractor {
    stream: Stream,
    sample_rate: u32,
    hop: usize,
    beyond: u64,
    /// `None` between stretches.
    timeline: Option<Timeline>,
    /// What a recurrent encoder made of the stretch so far.
    mind: Mind,
    /// Nothing of the stretch has come out yet.
    is_new: bool,
}

impl Extractor {
    pub fn new(recipe: &AudioFeatures) -> Self {
        Self {
            stream: Stream::new(recipe),
            sample_rate: recipe.sample_rate(),
            hop: recipe.hop(),
            beyond: recipe.beyond() as u64,
            timeline: None,
            mind: Mind::new(),
            is_new: true,
        }
    }

    /// Whether sound that starts at `pts` belongs to the present stretch. Sound without a time goes on where it was.
    pub fn continues(&self, pts: Option<ClockTime>) -> bool {
        match (self.timeline, pts) {
            (Some(timeline), Some(pts)) => timeline.continues(self.stream.len(), pts),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// The mean square of the loudest row of all stretches so far.
    pub fn loudest(&self) -> f64 {
        self.stream.loudest()
    }

    /// Where the sound of the stretch ends so far.
    pub fn end(&self) -> Option<ClockTime> {
        Some(self.timeline?.sample(self.stream.len()))
    }

    /// Starts a stretch whose first sample is at `anchor`. Whatever an earlier one still holds is lost: see
    /// [`Self::finish`].
    pub fn begin(&mut self, anchor: ClockTime) {
        self.reset();
        self.timeline = Some(Timeline { anchor, sample_rate: self.sample_rate, hop: self.hop, beyond: self.beyond });
    }

    /// Adds finite samples to the stretch. Rows quieter than `silence`, a mean square, are flagged GAP. Where there is
    /// an encoder, rows come by [`Self::window`] and [`Self::answer`].
    pub fn push(&mut self, samples: &[f32], silence: f64) -> Vec<gst::Buffer> {
        if self.timeline.is_none() {
            return Vec::new();
        }
        let runs = self.stream.push(samples, silence);
        self.buffers(runs)
    }

    /// What the encoder is to hear next; see [`Stream::window`].
    pub fn window(&self) -> Option<Heard> {
        self.stream.window().map(|window| Heard { window, mind: self.mind.clone() })
    }

    /// Takes what the encoder answers to the last [`Self::window`].
    pub fn answer(&mut self, answers: Answers) -> Vec<gst::Buffer> {
        self.mind = answers.mind;
        let runs = self.stream.answer(&answers.rows);
        self.buffers(runs)
    }

    /// Samples missing from the end of the stretch to `time`.
    pub fn samples_until(&self, time: ClockTime) -> u64 {
        let Some(timeline) = self.timeline else { return 0 };
        samples_in(time.saturating_sub(timeline.anchor), self.sample_rate).saturating_sub(self.stream.len())
    }

    /// Ends the stretch and returns its last rows, or has [`Self::window`] ask for them. [`Self::reset`] is to follow.
    pub fn finish(&mut self, silence: f64) -> Vec<gst::Buffer> {
        let runs = self.stream.finish(silence);
        self.buffers(runs)
    }

    /// Forgets the stretch.
    pub fn reset(&mut self) {
        self.stream.reset();
        self.mind.clear();
        self.timeline = None;
        self.is_new = true;
    }

    fn buffers(&mut self, runs: Vec<Run>) -> Vec<gst::Buffer> {
        let Some(timeline) = self.timeline else { return Vec::new() };
        runs.into_iter().map(|run| buffer(&run, &timeline, std::mem::take(&mut self.is_new))).collect()
    }
}

fn buffer(run: &Run, timeline: &Timeline, is_new: bool) -> gst::Buffer {
    let bytes: Vec<u8> = run.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let end = run.first_row + run.rows;
    let (start_time, end_time) = (timeline.row(run.first_row), timeline.row(end));
    // Just made, so nobody else holds it.
    let header = buffer.make_mut();
    header.set_pts(start_time);
    header.set_duration(end_time.saturating_sub(start_time));
    header.set_offset(run.first_row);
    header.set_offset_end(end);
    if is_new {
        header.set_flags(gst::BufferFlags::DISCONT);
    }
    if run.silent {
        header.set_flags(gst::BufferFlags::GAP);
    }
    buffer
}
