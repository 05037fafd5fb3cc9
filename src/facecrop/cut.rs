// SPDX-License-Identifier: MPL-2.0
//! Noticing a cut: the picture changes far more than it did from frame to frame before.

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use crate::pixels::Component;

/// Places of a frame that are compared, across and down.
const GRID: [usize; 2] = [48, 27];

/// Samples in a row that are averaged at each place: next to each other, they cost one look into memory.
const RUN: usize = 4;

/// Mean difference per place (of 255) by which a frame must differ more from the last one than that did from the one before.
/// Within six clips of talking heads that is up to 3, from one clip to another 46 and more. A cut that is taken for motion
/// costs a face its track at worst; motion that is taken for a cut costs a detection.
const THRESHOLD: f32 = 15.0;

/// Remembers what the next frame is compared with.
#[derive(Clone, Debug, Default)]
pub struct CutDetector {
    last: Vec<u8>,
    difference: f32,
}

impl CutDetector {
    /// Whether a new scene begins with `frame`. The first frame is no cut.
    pub fn is_cut(&mut self, frame: &VideoFrameRef<&gst::BufferRef>) -> bool {
        self.compare(samples(frame))
    }

    fn compare(&mut self, samples: Vec<u8>) -> bool {
        let first = self.last.is_empty();
        let sum: u32 = samples.iter().zip(&self.last).map(|(a, b)| a.abs_diff(*b) as u32).sum();
        let difference = sum as f32 / samples.len().max(1) as f32;
        let cut = !first && difference - self.difference > THRESHOLD;
        self.last = samples;
        // After a cut the new scene's own motion counts, and that is not known yet.
        self.difference = if cut { 0.0 } else { difference };
        cut
    }
}

/// The brightness at each place: of luma, or of green, which has most of it.
fn samples(frame: &VideoFrameRef<&gst::BufferRef>) -> Vec<u8> {
    let Some(components) = Component::of(frame) else { return Vec::new() };
    let component = &components[usize::from(frame.info().is_rgb())];
    let [across, down] = GRID;
    let at = |k: usize, count: usize, length: usize| (2 * k + 1) * length / (2 * count);
    let place = |k: usize| {
        let row = component.row(at(k / across, down, component.layout.height));
        let x = at(k % across, across, component.layout.width).min(component.layout.width.saturating_sub(RUN));
        let run = row[x * component.layout.step..].iter().step_by(component.layout.step).take(RUN);
        let (count, sum) = run.fold((0, 0), |(count, sum), &v| (count + 1, sum + u32::from(v)));
        (sum / count) as u8
    };
    (0..across * down).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_frame_of_a_scene_is_a_cut() {
        let mut cuts = CutDetector::default();
        let found: Vec<bool> = [50, 52, 70, 75, 80, 40].map(|v| cuts.compare(vec![v; 100])).into();
        assert_eq!(found, [false, false, true, false, false, true]);
    }

    #[test]
    fn steady_motion_is_no_cut() {
        let mut cuts = CutDetector::default();
        assert!((0..10).map(|k| cuts.compare(vec![12 * k; 100])).all(|cut| !cut));
    }
}
