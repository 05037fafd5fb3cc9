// SPDX-License-Identifier: MPL-2.0
//! Places between the numbers of a plane.

/// Each lies between four numbers of a plane, which are the same distances apart everywhere.
pub struct Points {
    /// Which number lies before it, across and down, from the plane's first one on. Signed because the processor's instruction
    /// wants it.
    at: Vec<i32>,
    /// How far it is from there to the next one, 0..1: across, and down.
    parts: [Vec<f32>; 2],
    /// From a number to the next one across, and down.
    gaps: [usize; 2],
    /// Whether the processor picks eight at a time.
    #[cfg(target_arch = "x86_64")]
    avx2: bool,
}

/// A plane's numbers.
#[derive(Clone, Copy)]
pub enum Plane<'a> {
    Bytes(&'a [u8]),
    Floats(&'a [f32]),
}

impl Points {
    /// Room for `count` of them.
    pub fn new(count: usize) -> Self {
        Self {
            at: vec![0; count],
            parts: [(); 2].map(|()| vec![0.0; count]),
            gaps: [0; 2],
            #[cfg(target_arch = "x86_64")]
            avx2: std::arch::is_x86_feature_detected!("avx2"),
        }
    }

    /// Sets the first `count`: `place(k)` is which number lies before point `k`, and the parts of the way to the next ones.
    #[inline(always)]
    pub fn set(&mut self, count: usize, gaps: [usize; 2], place: impl Fn(usize) -> (i32, [f32; 2])) {
        self.gaps = gaps;
        let [across, down] = &mut self.parts;
        // Slices of one length are what the compiler can vectorise.
        let (at, across, down) = (&mut self.at[..count], &mut across[..count], &mut down[..count]);
        for k in 0..count {
            (at[k], [across[k], down[k]]) = place(k);
        }
    }

    /// Sets `row` to what is in `plane` at the first points, as many as it has.
    ///
    /// # Panics
    /// Where one of them is not within the plane.
    pub fn pick(&self, plane: Plane, row: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        let done = self.pick_by_eight(plane, row);
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        match plane {
            Plane::Bytes(plane) => self.pick_one_by_one(plane, row, done),
            Plane::Floats(plane) => self.pick_one_by_one(plane, row, done),
        }
    }

    fn pick_one_by_one<T: Copy + Into<f32>>(&self, plane: &[T], row: &mut [f32], done: usize) {
        let [across, down] = self.gaps;
        for (k, value) in row.iter_mut().enumerate().skip(done) {
            // A negative one becomes larger than any plane.
            let at = self.at[k] as usize;
            let [a, b, c, d] = [at, at + across, at + down, at + across + down].map(|at| plane[at].into());
            let (top, bottom) = (a + (b - a) * self.parts[0][k], c + (d - c) * self.parts[0][k]);
            *value = top + (bottom - top) * self.parts[1][k];
        }
    }

    /// How many were picked: all but the last ones that are no eight; none where the processor cannot, or the last point is so
    /// near the plane's end that it would read beyond.
    #[cfg(target_arch = "x86_64")]
    fn pick_by_eight(&self, plane: Plane, row: &mut [f32]) -> usize {
        let count = row.len().min(self.at.len()) / 8 * 8;
        // It reads four bytes at a time.
        let length = match plane {
            Plane::Bytes(plane) => plane.len().saturating_sub(3),
            Plane::Floats(plane) => plane.len(),
        };
        let (least, most) = self.at[..count].iter().fold((0, 0), |(least, most), &at| (at.min(least), at.max(most)));
        if !self.avx2 || least < 0 || most as usize + self.gaps[0] + self.gaps[1] >= length {
            return 0;
        }
        // SAFETY: the processor has AVX2, and all that is read is within the plane.
        unsafe {
            match plane {
                Plane::Bytes(plane) => self.pick_bytes(plane, &mut row[..count]),
                Plane::Floats(plane) => self.pick_floats(plane, &mut row[..count]),
            }
        }
        count
    }

    /// # Safety
    /// `row` has no more places than there are points, each four numbers, and what is up to three bytes after them, are within
    /// the plane.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn pick_bytes(&self, plane: &[u8], row: &mut [f32]) {
        use std::arch::x86_64::{
            _mm_cvtsi32_si128, _mm256_and_si256, _mm256_cvtepi32_ps, _mm256_i32gather_epi32, _mm256_set1_epi32,
            _mm256_srl_epi32,
        };
        let (first, byte) = (plane.as_ptr(), _mm256_set1_epi32(255));
        let float = |four| _mm256_cvtepi32_ps(_mm256_and_si256(four, byte));
        let across = self.gaps[0];
        let bits = _mm_cvtsi32_si128(8 * across as i32);
        for k in (0..row.len()).step_by(8) {
            // SAFETY: as above.
            unsafe {
                let pair = |at, gap| {
                    let four = _mm256_i32gather_epi32::<1>(first.add(gap).cast(), at);
                    // The next number mostly comes with the first.
                    let next = match across {
                        0..4 => _mm256_srl_epi32(four, bits),
                        _ => _mm256_i32gather_epi32::<1>(first.add(gap + across).cast(), at),
                    };
                    [float(four), float(next)]
                };
                self.between(k, pair, row.as_mut_ptr().add(k));
            }
        }
    }

    /// # Safety
    /// `row` has no more places than there are points, whose four numbers are within the plane.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn pick_floats(&self, plane: &[f32], row: &mut [f32]) {
        use std::arch::x86_64::_mm256_i32gather_ps;
        let first = plane.as_ptr();
        for k in (0..row.len()).step_by(8) {
            // SAFETY: as above.
            unsafe {
                let gather = |at, gap| _mm256_i32gather_ps::<4>(first.add(gap), at);
                let pair = |at, gap| [gather(at, gap), gather(at, gap + self.gaps[0])];
                self.between(k, pair, row.as_mut_ptr().add(k));
            }
        }
    }

    /// Writes to `out` what is at eight points, from `k` on; `pair` gives the numbers so
    /// many after theirs, and the next ones across.
    ///
    /// # Safety
    /// There are as many points, and room for as many numbers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn between(
        &self,
        k: usize,
        pair: impl Fn(std::arch::x86_64::__m256i, usize) -> [std::arch::x86_64::__m256; 2],
        out: *mut f32,
    ) {
        use std::arch::x86_64::{
            _mm256_add_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps, _mm256_storeu_ps, _mm256_sub_ps,
        };
        // SAFETY: as above.
        unsafe {
            let at = _mm256_loadu_si256(self.at.as_ptr().add(k).cast());
            let [x, y] = [0, 1].map(|axis| _mm256_loadu_ps(self.parts[axis].as_ptr().add(k)));
            let ([a, b], [c, d]) = (pair(at, 0), pair(at, self.gaps[1]));
            let top = _mm256_add_ps(a, _mm256_mul_ps(_mm256_sub_ps(b, a), x));
            let bottom = _mm256_add_ps(c, _mm256_mul_ps(_mm256_sub_ps(d, c), x));
            _mm256_storeu_ps(out, _mm256_add_ps(top, _mm256_mul_ps(_mm256_sub_ps(bottom, top), y)));
        }
    }
}

/// The whole number before `v`, `last` at most, and how far it is from there to `v`: 0..=1 up to `last` + 1. `v` is from 0 to 2²².
#[inline(always)]
pub fn before(v: f32, last: i32) -> (i32, f32) {
    // A cast would do one at a time. From 2²³ on a float has no bits behind the point, so its lowest ones are the whole number.
    let nearest = (v - 0.5).max(0.0) + 8_388_608.0;
    let whole = ((nearest.to_bits() & 0x7f_ffff) as i32).min(last);
    (whole, v - whole as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 16;

    /// What is at 20 points of a plane, with and without the processor's help.
    fn picked(plane: Plane, last: i32) -> [[f32; 20]; 2] {
        let mut points = Points::new(20);
        points.set(20, [2, WIDTH], |k| ((k as i32 * 37 + last) % (last + 1), [k as f32 / 20.0, 0.25]));
        let mut rows = [[-1.0; 20]; 2];
        points.pick(plane, &mut rows[0]);
        #[cfg(target_arch = "x86_64")]
        {
            points.avx2 = false;
        }
        points.pick(plane, &mut rows[1]);
        rows
    }

    #[test]
    fn between_four_numbers_of_a_plane() {
        let bytes: Vec<u8> = (0..WIDTH * 9).map(|k| (k * 71 % 256) as u8).collect();
        let floats: Vec<f32> = bytes.iter().map(|v| f32::from(*v)).collect();
        // The last point's last number is the plane's last one, and three before that.
        for last in [WIDTH * 8 - 3, WIDTH * 8 - 6] {
            let [ours, one_by_one] = picked(Plane::Bytes(&bytes), last as i32);
            assert_eq!(ours, one_by_one);
            assert_eq!(picked(Plane::Floats(&floats), last as i32), [ours; 2]);
            let at = |at: usize, part: f32| floats[at] * (1.0 - part) + floats[at + 2] * part;
            assert!((ours[0] - (at(last, 0.0) * 0.75 + at(last + WIDTH, 0.0) * 0.25)).abs() < 1e-3);
        }
    }

    #[test]
    fn a_number_and_the_rest() {
        for v in [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 7.125, 4095.0, 4095.75] {
            let (whole, rest) = before(v, 4095);
            assert!((0.0..=1.0).contains(&rest) && (0..4096).contains(&whole), "{v}: {whole}, {rest}");
            assert_eq!(whole as f32 + rest, v);
        }
        assert_eq!([before(8.0, 7), before(7.5, 7)], [(7, 1.0), (7, 0.5)]);
    }

    #[test]
    fn no_place_in_the_plane() {
        for wrong in [-1, WIDTH as i32 - 2, i32::MAX] {
            let pick = |plane: Plane| {
                let mut points = Points::new(8);
                points.set(8, [2, WIDTH], |k| (if k == 3 { wrong } else { 0 }, [0.0; 2]));
                points.pick(plane, &mut [0.0; 8]);
            };
            assert!(std::panic::catch_unwind(|| pick(Plane::Bytes(&[0; 2 * WIDTH]))).is_err());
            assert!(std::panic::catch_unwind(|| pick(Plane::Floats(&[0.0; 2 * WIDTH]))).is_err());
        }
    }
}
