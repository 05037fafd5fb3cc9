// SPDX-License-Identifier: MPL-2.0
//! Magnitudes of a Fourier transform.
//!
//! It is computed in `f64`: in `f32` the rounding of a loud tone drowns the quiet bands beside it. Once they are apart, `f32` is
//! enough.

use std::f64::consts::PI;
use std::sync::Arc;

use num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// A transform of a fixed length with its working memory.
///
/// Real samples are taken two by two as complex numbers, and the transform Z of those, of half the length h, is taken apart: the even
/// samples' transform E(k) is (Z(k) + Z(h − k)*) / 2 and the odd ones' O(k) is (Z(k) − Z(h − k)*) / 2i. Bin k is E(k) + w(k) · O(k) and
/// bin h − k the conjugate of E(k) − w(k) · O(k), with w(k) = exp(−iπk / h).
pub struct Spectrum {
    fft: Arc<dyn Fft<f64>>,
    power: u32,
    /// n-fft samples two by two: the windowed ones, then zeros.
    time: Vec<Complex<f64>>,
    /// Z
    transform: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    /// The real and the imaginary parts of w(1), w(2) …
    turns: [Vec<f64>; 2],
    /// Of the n-fft / 2 + 1 bins, then zeros: sums of eight at once end with them.
    magnitudes: Vec<f32>,
}

impl Spectrum {
    /// Of `n_fft` samples, an even number, with magnitudes to the `power` of 1 or 2.
    pub fn new(n_fft: usize, power: u32) -> Self {
        let half = n_fft / 2;
        let fft = FftPlanner::new().plan_fft_forward(half);
        let turns = (1..half.div_ceil(2)).map(|k| Complex::cis(-PI * k as f64 / half as f64));
        Self {
            power,
            time: vec![Complex::ZERO; half],
            transform: vec![Complex::ZERO; half],
            scratch: vec![Complex::ZERO; fft.get_outofplace_scratch_len()],
            turns: turns.map(|turn| (turn.re, turn.im)).unzip().into(),
            magnitudes: vec![0.0; (half + 1).next_multiple_of(8)],
            fft,
        }
    }

    /// The n-fft / 2 + 1 magnitudes of `count` samples, n-fft at most, which zeros follow; `fill` sets them. Behind the magnitudes are
    /// as many zeros as make their number a multiple of eight.
    #[inline(always)]
    pub fn of(&mut self, count: usize, fill: impl FnOnce(&mut [f64])) -> &[f32] {
        // Where in the transform the samples lie changes phases only, and those are dropped.
        let (samples, zeros) = bytemuck::cast_slice_mut(&mut self.time).split_at_mut(count);
        fill(samples);
        zeros.fill(0.0);
        self.fft.process_outofplace_with_scratch(&mut self.time, &mut self.transform, &mut self.scratch);
        match self.power {
            1 => self.measure(f32::sqrt),
            _ => self.measure(|square| square),
        }
        &self.magnitudes
    }

    /// Fills the magnitudes with what `of` makes of the transform's squares.
    #[inline(always)]
    fn measure(&mut self, of: impl Fn(f32) -> f32) {
        let half = self.transform.len();
        let z = &self.transform;
        self.magnitudes[0] = of(narrowed((z[0].re + z[0].im).powi(2)));
        self.magnitudes[half] = of(narrowed((z[0].re - z[0].im).powi(2)));
        // If there is a bin in the middle; else it is overwritten.
        self.magnitudes[half / 2] = of(narrowed(z[half / 2].norm_sqr()));
        // Bins 1 … n beside bins half − n … half − 1.
        let n = self.turns[0].len();
        let (below, above) = self.magnitudes.split_at_mut(half - n);
        mirrored(&self.turns, &z[1..], &z[half - n..], &mut below[1..], &mut above[..n], of);
    }
}

/// What `of` makes of the squares `below` the middle and of those `above` it, whose order is the reverse, from the transform on both sides of
/// its middle. A function of its own: only of parameters is it known that they lie apart, and loops over several numbers at once need that.
#[inline(always)]
fn mirrored(
    turns: &[Vec<f64>; 2],
    low: &[Complex<f64>],
    high: &[Complex<f64>],
    below: &mut [f32],
    above: &mut [f32],
    of: impl Fn(f32) -> f32,
) {
    // One length, so that no index needs to be checked.
    let n = turns[0].len();
    let [turn_re, turn_im] = turns.each_ref().map(|turns| &turns[..n]);
    let (low, high, below, above) = (&low[..n], &high[..n], &mut below[..n], &mut above[..n]);
    let magnitude = |re: f64, im: f64| of(narrowed(0.25 * (re * re + im * im)));
    for k in 0..n {
        let back = n - 1 - k;
        let (a, b) = (low[k], high[back]);
        // Twice the even samples' transform, and twice the odd ones'.
        let (even_re, even_im) = (a.re + b.re, a.im - b.im);
        let (odd_re, odd_im) = (a.im + b.im, b.re - a.re);
        let turned_re = turn_re[k] * odd_re - turn_im[k] * odd_im;
        let turned_im = turn_re[k] * odd_im + turn_im[k] * odd_re;
        below[k] = magnitude(even_re + turned_re, even_im + turned_im);
        above[back] = magnitude(even_re - turned_re, even_im - turned_im);
    }
}

/// Finite, also of absurdly loud sound: a sum's weights of 0 take nothing of it.
#[inline(always)]
fn narrowed(square: f64) -> f32 {
    square.min(f64::from(f32::MAX)) as f32
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Halves that are even, odd and prime, and zeros behind the samples.
    #[test]
    fn magnitudes_are_those_of_the_sums_that_define_them() {
        let mut random = fastrand::Rng::with_seed(1);
        for (n, count) in [(16, 16), (18, 11), (46, 46), (400, 400), (512, 400), (802, 802)] {
            let samples: Vec<f64> = (0..count).map(|_| random.f64() - 0.5).collect();
            let expected = |bin: usize| {
                let angle = |k: usize| -TAU * ((bin * k) % n) as f64 / n as f64;
                samples.iter().enumerate().map(|(k, &x)| Complex::cis(angle(k)) * x).sum::<Complex<f64>>().norm()
            };
            let (mut once, mut squared) = (Spectrum::new(n, 1), Spectrum::new(n, 2));
            let once = once.of(count, |out| out.copy_from_slice(&samples));
            let squared = squared.of(count, |out| out.copy_from_slice(&samples));
            assert_eq!(once.len() % 8, 0);
            for (bin, (once, squared)) in once.iter().zip(squared).enumerate() {
                let expected = if bin <= n / 2 { expected(bin) } else { 0.0 };
                assert!(
                    (f64::from(*once) - expected).abs() < 1e-6 * (1.0 + expected),
                    "{bin} of {n}: {once}, not {expected}"
                );
                assert!(
                    (f64::from(*squared) - expected.powi(2)).abs() < 1e-5 * (1.0 + expected.powi(2)),
                    "{bin} of {n}"
                );
            }
        }
    }
}
