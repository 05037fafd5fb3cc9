// SPDX-License-Identifier: MPL-2.0
//! Places between the numbers of a line.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m256;

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
    /// How the processor picks eight at a time.
    #[cfg(target_arch = "x86_64")]
    eights: Eights,
}

/// How eight places in a row are picked.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, PartialEq)]
enum Eights {
    /// One by one.
    No,
    /// From anywhere in the line, by AVX2's gathers.
    Gathered,
    /// From eight neighbours, the first of which is at so many of the line, by AVX2: where a picture is enlarged.
    Near(Vec<i32>),
}

#[cfg(target_arch = "x86_64")]
impl Eights {
    fn of(at: &[i32], gap: usize, length: usize) -> Self {
        if !std::arch::is_x86_feature_detected!("avx2") {
            return Self::No;
        }
        // The eight after the last neighbours must be in the line as well.
        let Some(last) = length.checked_sub(8 + gap).and_then(|last| i32::try_from(last).ok()) else {
            return Self::Gathered;
        };
        let first = |at: &[i32; 8]| {
            let first = at.iter().fold(last, |first, at| first.min(*at));
            at.iter().all(|at| at - first < 8).then_some(first)
        };
        at.as_chunks().0.iter().map(first).collect::<Option<_>>().map_or(Self::Gathered, Self::Near)
    }
}

impl Places {
    /// Of the number before each place, and the part of the way from there; what is no place in a line that fits into memory is
    /// the line's first.
    pub fn new(places: impl Iterator<Item = (usize, f32)>, gap: usize) -> Self {
        let (at, part): (Vec<i32>, Vec<f32>) = places.map(|(at, part)| (i32::try_from(at).unwrap_or(0), part)).unzip();
        let length = at.iter().max().map_or(0, |&most| most as usize + gap + 1);
        Self {
            #[cfg(target_arch = "x86_64")]
            eights: Eights::of(&at, gap, length),
            at,
            part,
            gap,
            length,
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
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        // SAFETY: the processor has AVX2. All places, and what is `gap` after them, are within the line; so are their neighbours.
        #[cfg(target_arch = "x86_64")]
        let done = match &self.eights {
            Eights::No => 0,
            Eights::Gathered => unsafe { self.gather(line, row) },
            Eights::Near(firsts) => unsafe { self.pick_near(firsts, line, row) },
        };
        for ((value, &at), part) in row[done..].iter_mut().zip(&self.at[done..]).zip(&self.part[done..]) {
            let (before, after) = (line[at as usize], line[at as usize + self.gap]);
            *value = before + (after - before) * part;
        }
    }

    /// All but the last ones that are no eight; returns how many that are.
    ///
    /// # Safety
    /// `line` must be as long as [`Self::length`] says.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn gather(&self, line: &[f32], row: &mut [f32]) -> usize {
        use std::arch::x86_64::{_mm256_i32gather_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_storeu_ps};
        let eights =
            row.as_chunks_mut::<8>().0.iter_mut().zip(self.at.as_chunks::<8>().0).zip(self.part.as_chunks::<8>().0);
        for ((row, at), part) in eights {
            // SAFETY: as above; the others are eight numbers each.
            unsafe {
                let at = _mm256_loadu_si256(at.as_ptr().cast());
                let before = _mm256_i32gather_ps::<4>(line.as_ptr(), at);
                let after = _mm256_i32gather_ps::<4>(line.as_ptr().add(self.gap), at);
                _mm256_storeu_ps(row.as_mut_ptr(), between(before, after, _mm256_loadu_ps(part.as_ptr())));
            }
        }
        row.len().min(self.at.len()) / 8 * 8
    }

    /// The same where each eight lie among eight neighbours, of which `firsts` are the first ones.
    ///
    /// # Safety
    /// As of [`Self::gather`]; and the eight from each of `firsts` on, and from `gap` after it on, must be within the line.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn pick_near(&self, firsts: &[i32], line: &[f32], row: &mut [f32]) -> usize {
        use std::arch::x86_64::{_mm256_loadu_ps, _mm256_loadu_si256, _mm256_permutevar8x32_ps};
        use std::arch::x86_64::{_mm256_set1_epi32, _mm256_storeu_ps, _mm256_sub_epi32};
        let eights =
            row.as_chunks_mut::<8>().0.iter_mut().zip(self.at.as_chunks::<8>().0).zip(self.part.as_chunks::<8>().0);
        for (((row, at), part), &first) in eights.zip(firsts) {
            // SAFETY: as above; the others are eight numbers each.
            unsafe {
                let at = _mm256_sub_epi32(_mm256_loadu_si256(at.as_ptr().cast()), _mm256_set1_epi32(first));
                let start = line.as_ptr().add(first as usize);
                let before = _mm256_permutevar8x32_ps(_mm256_loadu_ps(start), at);
                let after = _mm256_permutevar8x32_ps(_mm256_loadu_ps(start.add(self.gap)), at);
                _mm256_storeu_ps(row.as_mut_ptr(), between(before, after, _mm256_loadu_ps(part.as_ptr())));
            }
        }
        row.len().min(self.at.len()) / 8 * 8
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn between(before: __m256, after: __m256, part: __m256) -> __m256 {
    use std::arch::x86_64::{_mm256_add_ps, _mm256_mul_ps, _mm256_sub_ps};
    _mm256_add_ps(before, _mm256_mul_ps(_mm256_sub_ps(after, before), part))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far from each other and near each other, in the order of the line and against it, up to its end.
    #[test]
    fn between_two_numbers_of_a_line() {
        let line: Vec<f32> = (0..40).map(|k| (k * k) as f32).collect();
        let far = |k: usize| (k * 7 % 38, k as f32 / 20.0);
        let near = |k: usize| (18 + k, k as f32 / 20.0);
        let back = |k: usize| (37 - k * 3 / 4, 0.25);
        for (place, is_near) in [(&far as &dyn Fn(usize) -> (usize, f32), false), (&near, true), (&back, true)] {
            let mut places = Places::new((0..20).map(place), 2);
            assert_eq!(places.line_length(), (0..20).map(|k| place(k).0).max().unwrap() + 3);
            #[cfg(target_arch = "x86_64")]
            assert!(places.eights == Eights::No || matches!(places.eights, Eights::Near(_)) == is_near);
            let mut rows = [[-1.0; 20]; 2];
            places.pick(&line, &mut rows[0]);
            #[cfg(target_arch = "x86_64")]
            {
                places.eights = Eights::No;
            }
            places.pick(&line, &mut rows[1]);
            assert_eq!(rows[0], rows[1]);
            for (k, value) in rows[0].iter().enumerate() {
                let (at, part) = place(k);
                assert!((value - (line[at] * (1.0 - part) + line[at + 2] * part)).abs() < 1e-3, "{k}");
            }
        }
    }

    #[test]
    fn lines_shorter_than_eight() {
        for length in 2..12 {
            let line: Vec<f32> = (0..length).map(|k| k as f32).collect();
            let mut row = [-1.0; 16];
            Places::new((0..16).map(|k| (k % (length - 1), 0.5)), 1).pick(&line, &mut row);
            assert!((0..16).all(|k| row[k] == (k % (length - 1)) as f32 + 0.5), "{length}: {row:?}");
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
