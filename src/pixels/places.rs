// SPDX-License-Identifier: MPL-2.0
//! Places between the numbers of a line.

/// Each lies between two numbers of a line that are the same distance apart.
pub struct Places {
    /// Which number lies before it, from the line's first one on. Signed because the processor's instruction wants it.
    at: Vec<i32>,
    /// How far it is from there to the one after it, 0..1.
    part: Vec<f32>,
    /// From the one before to the one after.
    gap: usize,
    /// How long a line must be.
    length: usize,
    /// Whether the processor picks eight at a time.
    #[cfg(target_arch = "x86_64")]
    avx2: bool,
}

impl Places {
    /// Of the number before each place, and the part of the way from there; what is no place in a line that fits into memory is
    /// the line's first.
    pub fn new(places: impl Iterator<Item = (usize, f32)>, gap: usize) -> Self {
        let (at, part): (Vec<i32>, Vec<f32>) = places.map(|(at, part)| (i32::try_from(at).unwrap_or(0), part)).unzip();
        let length = at.iter().max().map_or(0, |&most| most as usize + gap + 1);
        Self {
            at,
            part,
            gap,
            length,
            #[cfg(target_arch = "x86_64")]
            avx2: std::arch::is_x86_feature_detected!("avx2"),
        }
    }

    /// How long a line must be.
    pub fn line_length(&self) -> usize {
        self.length
    }

    /// Sets `row` to what is in `line` at the places, of which it has as many.
    ///
    /// # Panics
    /// Where `line` is too short.
    pub fn pick(&self, line: &[f32], row: &mut [f32]) {
        assert!(line.len() >= self.length);
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            // SAFETY: the processor has AVX2. All places, and what is `gap` after them, are within the line.
            unsafe { self.pick_by_eight(line, row) };
            done = row.len().min(self.at.len()) / 8 * 8;
        }
        for ((value, &at), part) in row[done..].iter_mut().zip(&self.at[done..]).zip(&self.part[done..]) {
            let (before, after) = (line[at as usize], line[at as usize + self.gap]);
            *value = before + (after - before) * part;
        }
    }

    /// All but the last ones that are no eight.
    ///
    /// # Safety
    /// `line` must be as long as [`Self::length`] says.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn pick_by_eight(&self, line: &[f32], row: &mut [f32]) {
        use std::arch::x86_64::{_mm256_add_ps, _mm256_mul_ps, _mm256_sub_ps};
        use std::arch::x86_64::{_mm256_i32gather_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_storeu_ps};
        let eights =
            row.as_chunks_mut::<8>().0.iter_mut().zip(self.at.as_chunks::<8>().0).zip(self.part.as_chunks::<8>().0);
        for ((row, at), part) in eights {
            // SAFETY: as above; the others are eight numbers each.
            unsafe {
                let at = _mm256_loadu_si256(at.as_ptr().cast());
                let before = _mm256_i32gather_ps::<4>(line.as_ptr(), at);
                let after = _mm256_i32gather_ps::<4>(line.as_ptr().add(self.gap), at);
                let way = _mm256_mul_ps(_mm256_sub_ps(after, before), _mm256_loadu_ps(part.as_ptr()));
                _mm256_storeu_ps(row.as_mut_ptr(), _mm256_add_ps(before, way));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_numbers_of_a_line() {
        let line: Vec<f32> = (0..40).map(|k| (k * k) as f32).collect();
        let place = |k: usize| (k * 7 % 38, k as f32 / 20.0);
        let mut places = Places::new((0..20).map(place), 2);
        assert_eq!(places.line_length(), 39);
        let mut rows = [[-1.0; 20]; 2];
        places.pick(&line, &mut rows[0]);
        #[cfg(target_arch = "x86_64")]
        {
            places.avx2 = false;
        }
        places.pick(&line, &mut rows[1]);
        assert_eq!(rows[0], rows[1]);
        for (k, value) in rows[0].iter().enumerate() {
            let (at, part) = place(k);
            assert!((value - (line[at] * (1.0 - part) + line[at + 2] * part)).abs() < 1e-3, "{k}");
        }
    }

    #[test]
    #[should_panic]
    fn a_line_that_is_too_short() {
        Places::new([(5, 0.5)].into_iter(), 1).pick(&[0.0; 6], &mut [0.0]);
    }

    #[test]
    fn none_at_all() {
        Places::new([].into_iter(), 1).pick(&[], &mut []);
    }
}
