// SPDX-License-Identifier: MPL-2.0
//! Magnitudes of a Fourier transform.
//!
//! It is computed in `f64`: in `f32` the rounding of a loud tone drowns the quiet bands beside it. Once they are apart, `f32` is
//! enough.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// A transform of a fixed length with its working memory.
pub struct Spectrum {
    fft: Arc<dyn RealToComplex<f64>>,
    power: u32,
    /// n-fft samples: the windowed ones, then zeros.
    time: Vec<f64>,
    /// n-fft / 2 + 1 bins.
    bins: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    magnitudes: Vec<f32>,
}

impl Spectrum {
    /// Of `n_fft` samples, with magnitudes to the `power` of 1 or 2.
    pub fn new(n_fft: usize, power: u32) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(n_fft);
        Self {
            power,
            time: fft.make_input_vec(),
            bins: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            magnitudes: vec![0.0; n_fft / 2 + 1],
            fft,
        }
    }

    /// The n-fft / 2 + 1 magnitudes of `count` samples, n-fft at most, which zeros follow. `fill` sets them.
    #[inline(always)]
    pub fn of(&mut self, count: usize, fill: impl FnOnce(&mut [f64])) -> &[f32] {
        // Where in the transform the samples lie changes phases only, and those are dropped.
        let (samples, zeros) = self.time.split_at_mut(count);
        fill(samples);
        zeros.fill(0.0);
        // It fails only for buffers of a wrong length, and these were made by the transform itself.
        let transformed = self.fft.process_with_scratch(&mut self.time, &mut self.bins, &mut self.scratch);
        debug_assert!(transformed.is_ok());
        for (magnitude, bin) in self.magnitudes.iter_mut().zip(&self.bins) {
            let square = (bin.re * bin.re + bin.im * bin.im) as f32;
            *magnitude = if self.power == 1 { square.sqrt() } else { square };
        }
        &self.magnitudes
    }
}
