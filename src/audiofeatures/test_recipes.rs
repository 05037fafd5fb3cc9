// SPDX-License-Identifier: MPL-2.0
//! Recipes, a signal and reference rows for the unit tests.

use crate::model::Name;
use crate::model::manifest::{
    AudioFeatures, Center, Clip, Encoder, Fbank, Front, Level, LogMel, MelNorm, MelScale, Normalise, Padding,
    WindowAxis, WindowShape,
};

const LEVEL: Level =
    Level { floor: 1e-5, add: 0.0, ref_db: 20.0, min_db: -100.0, range: Some([-4.0, 4.0]), clip: Clip::Both };

pub fn section(recipe: LogMel) -> AudioFeatures {
    AudioFeatures { id: Name::from("test"), front: Front::LogMel(recipe), encoder: None }
}

pub fn wav2lip() -> LogMel {
    LogMel {
        sample_rate: 16_000,
        preemphasis: 0.97,
        n_fft: 800,
        win_length: 800,
        hop_length: 200,
        center: Center::Reflect,
        n_mels: 80,
        mel_scale: MelScale::Slaney,
        mel_norm: MelNorm::Slaney,
        f_min: 55.0,
        f_max: 7600.0,
        power: 1,
        level: LEVEL,
    }
}

pub fn mouthwarp() -> LogMel {
    LogMel { n_fft: 512, win_length: 400, hop_length: 160, ..wav2lip() }
}

/// The other choice wherever there is one, and an odd window.
pub fn htk_power() -> LogMel {
    LogMel {
        preemphasis: 0.0,
        n_fft: 512,
        win_length: 399,
        hop_length: 160,
        center: Center::Zero,
        n_mels: 40,
        mel_scale: MelScale::Htk,
        mel_norm: MelNorm::None,
        f_min: 20.0,
        f_max: 8000.0,
        power: 2,
        level: Level { floor: 1e-10, ref_db: 0.0, range: None, ..LEVEL },
        ..wav2lip()
    }
}

pub fn heygem() -> LogMel {
    LogMel {
        n_fft: 1024,
        win_length: 800,
        hop_length: 160,
        center: Center::Zero,
        f_min: 0.0,
        f_max: 8000.0,
        power: 2,
        level: Level { add: 1e-5, range: None, ..LEVEL },
        ..wav2lip()
    }
}

/// Before the part that depends on the whole window.
pub fn whisper() -> LogMel {
    LogMel {
        preemphasis: 0.0,
        n_fft: 400,
        win_length: 400,
        hop_length: 160,
        f_min: 0.0,
        f_max: 8000.0,
        power: 2,
        level: Level { floor: 1e-10, add: 0.0, ref_db: 0.0, min_db: -80.0, range: Some([-1.0, 1.0]), clip: Clip::None },
        ..wav2lip()
    }
}

pub fn fbank() -> Fbank {
    Fbank {
        sample_rate: 16_000,
        preemphasis: 0.97,
        win_length: 400,
        hop_length: 160,
        window: WindowShape::Povey,
        n_mels: 80,
        f_min: 20.0,
        f_max: 8000.0,
        scale: 32_768.0,
    }
}

/// An answer of two numbers every other front row.
pub fn encoder() -> Encoder {
    Encoder {
        files: vec![Name::from("encoder.onnx")],
        input: Name::from("rows"),
        layout: vec![WindowAxis::One, WindowAxis::Row, WindowAxis::Width],
        lengths: None,
        state: Vec::new(),
        output: Name::from("answers"),
        width: 2,
        window: 30,
        context: [8, 6],
        offset: 0,
        stride: 2,
        pad: Padding::Zero,
        beyond: 0,
        normalise: Normalise::None,
    }
}

/// Two tones, one of them swelling, and noise.
pub fn signal(length: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..length)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(state) / 2f64.powi(31) - 1.0;
            let tone = |hz: f64| (std::f64::consts::TAU * hz * i as f64 / 16_000.0).sin();
            (0.3 * tone(220.0) + 0.2 * (i as f64 / 2000.0) * tone(1870.0) + 0.05 * noise) as f32
        })
        .collect()
}

/// A row's index, and every `step`-th of its values.
type ReferenceRow = (usize, [f32; 8]);

/// What librosa 0.11 (`stft`, `filters.mel`, in double precision) makes of `signal(2000)`.
pub const WAV2LIP_ROWS: (usize, [ReferenceRow; 5]) = (
    11,
    [
        (0, [-0.57833, -1.35509, -0.50906, -0.92973, -0.59985, -0.15292, 0.13053, 0.01826]),
        (1, [-1.07747, -1.07680, -0.64793, -0.54326, -0.67607, -0.15400, 0.06889, 0.05057]),
        (5, [-2.22427, -1.09153, -1.16050, -0.72373, -0.59105, -0.22839, -0.09074, 0.02341]),
        (9, [-1.30230, -1.12096, -0.76606, -0.62777, -0.05778, -0.21508, 0.03894, 0.26964]),
        (10, [-0.82973, -0.71718, -0.48227, -0.38575, 0.33897, -0.03725, -0.12075, 0.25697]),
    ],
);
pub const MOUTHWARP_ROWS: (usize, [ReferenceRow; 5]) = (
    13,
    [
        (0, [-0.82931, -2.65595, -0.99014, -2.47478, -1.00077, -0.96516, -0.40396, -0.37012]),
        (1, [-2.66171, -1.64578, -1.10828, -0.91818, -1.36389, -0.58076, -0.36024, -0.58948]),
        (5, [-2.49450, -1.97047, -1.66708, -0.95247, -1.07769, -1.04467, -0.76384, -0.23334]),
        (11, [-2.57696, -1.85147, -1.56708, -1.19211, -1.04246, -0.74594, -0.51631, -0.29728]),
        (12, [-1.31254, -1.22407, -1.02885, -0.93267, -0.16394, -0.58705, -0.65286, -0.23046]),
    ],
);
pub const HTK_POWER_ROWS: (usize, [ReferenceRow; 5]) = (
    13,
    [
        (0, [13.83187, 14.05616, -0.53264, -9.89991, -3.09716, -6.53245, 1.35391, -0.11769]),
        (1, [-8.09699, 5.03756, -4.09175, -0.68818, 7.80903, -3.50439, -0.91282, 2.60573]),
        (5, [-1.77578, 4.30003, -3.42727, -0.50362, 19.74503, -4.20708, 1.28833, 1.94846]),
        (11, [-4.60560, 3.99734, -11.40756, -3.42736, 27.04473, 1.07601, 2.15107, 4.69227]),
        (12, [10.68512, 10.68936, -0.89950, -3.13240, 27.07014, 1.58247, -0.16028, 0.58507]),
    ],
);
