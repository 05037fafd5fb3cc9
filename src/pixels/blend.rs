// SPDX-License-Identifier: MPL-2.0
//! Numbers on their way into a frame. Pure, and written so that the compiler can vectorise it.

/// The nearest byte; any for what is no number.
#[inline(always)]
pub fn byte(value: f32) -> u8 {
    // A cast would do one at a time. From 2²³ on a float has no bits behind the point, so its lowest ones are the whole number.
    (value.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

/// The nearest bytes of `new`.
#[inline(always)]
pub fn round<const N: usize>(samples: &mut [[u8; N]], new: &[[f32; N]]) {
    samples.as_flattened_mut().iter_mut().zip(new.as_flattened()).for_each(|(sample, new)| *sample = byte(*new));
}

/// Shows `new` in place of `samples`, each by its weight (0..1): exactly what was there where that is 0.
#[inline(always)]
pub fn blend<const N: usize>(samples: &mut [[u8; N]], new: &[[f32; N]], weights: &[f32]) {
    for ((sample, new), weight) in samples.iter_mut().zip(new).zip(weights) {
        for (sample, new) in sample.iter_mut().zip(new) {
            let was = f32::from(*sample);
            *sample = byte(was + weight * (new - was));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_byte() {
        for v in 0..=255u8 {
            let value = f32::from(v);
            assert_eq!([value, value + 0.499, value - 0.499].map(byte), [v; 3]);
        }
        assert_eq!([-1.0, f32::NEG_INFINITY, f32::MIN_POSITIVE].map(byte), [0; 3]);
        assert_eq!([256.0, 1e30, f32::INFINITY].map(byte), [255; 3]);
    }

    #[test]
    fn a_weight_of_0_changes_nothing() {
        let mut samples: Vec<[u8; 1]> = (0..=255).map(|v| [v]).collect();
        blend(&mut samples, &[[77.0]; 256], &[0.0; 256]);
        assert!(samples.iter().zip(0..=255).all(|(sample, v)| *sample == [v]));
        blend(&mut samples[..3], &[[200.0]; 3], &[1.0, 0.5, 0.25]);
        assert_eq!(samples[..4], [[200], [100], [52], [3]]);
    }
}
