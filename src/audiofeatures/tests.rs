// SPDX-License-Identifier: MPL-2.0
//! Rows of whole stretches, against references and against themselves cut to pieces.

use proptest::prelude::*;

use super::references::*;
use super::stream::{Run, Stream, reach};
use super::test_recipes::*;
use crate::model::manifest::{
    AudioFeatures, Center, Encoder, Fbank, Front, LogMel, MelScale, Normalise, Padding, WindowShape,
};

/// −50 dBFS
const SILENCE: f64 = 1e-5;

/// What an encoder answers to a window.
type Ear<'a> = &'a dyn Fn(&[f32]) -> Vec<f32>;

const DEAF: Ear = &|_| Vec::new();

/// All rows and their silence flags, the sound being cut into pieces of the sizes in `cuts`, over and over.
fn features(recipe: &AudioFeatures, samples: &[f32], cuts: &[usize], ear: Ear) -> (Vec<f32>, Vec<bool>) {
    let mut stream = Stream::new(recipe);
    let (mut values, mut silent) = (Vec::new(), Vec::new());
    let mut take = |runs: Vec<Run>| {
        for run in runs {
            assert_eq!(run.first_row, silent.len() as u64);
            assert_eq!(run.values.len(), run.rows as usize * recipe.width());
            values.extend(run.values);
            silent.extend(std::iter::repeat_n(run.silent, run.rows as usize));
        }
    };
    let mut hear = |stream: &mut Stream, runs| {
        take(runs);
        while let Some(window) = stream.window() {
            take(stream.answer(&ear(&window)));
        }
    };
    let mut rest = samples;
    for &cut in cuts.iter().cycle() {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        let runs = stream.push(piece, SILENCE);
        hear(&mut stream, runs);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let runs = stream.finish(SILENCE);
    hear(&mut stream, runs);
    stream.reset();
    assert_eq!(stream.len(), 0);
    (values, silent)
}

fn whole(recipe: &LogMel, samples: &[f32]) -> (Vec<f32>, Vec<bool>) {
    features(&section(recipe.clone()), samples, &[samples.len().max(1)], DEAF)
}

fn check((rows, reference): Reference, values: &[f32], tolerance: f32) {
    assert_eq!(values.len(), rows * 80);
    for (row, expected) in reference {
        for (i, expected) in expected.into_iter().enumerate() {
            let found = values[row * 80 + i * 4];
            assert!((found - expected).abs() < tolerance, "row {row}, value {}: {found}, not {expected}", i * 4);
        }
    }
}

#[test]
fn rows_are_librosas() {
    for (recipe, (rows, reference)) in
        [(wav2lip(), WAV2LIP_ROWS), (mouthwarp(), MOUTHWARP_ROWS), (htk_power(), HTK_POWER_ROWS)]
    {
        let (values, _) = whole(&recipe, &signal(2000));
        assert_eq!(values.len(), rows * recipe.n_mels);
        let step = recipe.n_mels / 8;
        for (row, expected) in reference {
            for (i, expected) in expected.into_iter().enumerate() {
                let found = values[row * recipe.n_mels + i * step];
                assert!((found - expected).abs() < 2e-5, "row {row}, value {}: {found}, not {expected}", i * step);
            }
        }
    }
}

#[test]
fn heygems_mel_is_librosas() {
    check(HEYGEM, &whole(&heygem(), &signal(2000)).0, 1e-4);
}

/// The window of an encoder, with the sound's end in it, is what Whisper makes of a padded one.
#[test]
fn whispers_mel_is_whispers() {
    let whisper = Front::LogMel(whisper());
    let normalise = Normalise::Dynamic { below: 80.0 * 2.0 / 80.0 };
    let encoder = Encoder { window: 20, context: [0, 0], width: 80 * 20, stride: 20, normalise, ..encoder() };
    let section = AudioFeatures { front: whisper, encoder: Some(encoder), ..section(wav2lip()) };
    let (values, _) = features(&section, &signal(2000), &[2000], &|window| window.to_vec());
    check(WHISPER, &values, 1e-5);
}

#[test]
fn fbank_is_kaldis() {
    let windows =
        [(WindowShape::Povey, FBANK_POVEY), (WindowShape::Hann, FBANK_HANN), (WindowShape::Hamming, FBANK_HAMMING)];
    for (window, reference) in windows {
        let section = AudioFeatures { front: Front::Fbank(Fbank { window, ..fbank() }), ..section(wav2lip()) };
        check(reference, &features(&section, &signal(2000), &[2000], DEAF).0, 1e-3);
    }
}

/// Windows of 50 ms, of samples from −1 to 1.
#[test]
fn fbank_of_longer_windows_is_kaldis() {
    let recipe = Fbank { win_length: 800, scale: 1.0, ..fbank() };
    let section = AudioFeatures { front: Front::Fbank(recipe), ..section(wav2lip()) };
    check(FBANK_LONG, &features(&section, &signal(2000), &[2000], DEAF).0, 1e-3);
    assert_eq!(reach(&section), 800);
    for (samples, rows) in [(799, 0), (800, 1), (959, 1), (960, 2), (16_000, 96)] {
        assert_eq!(features(&section, &signal(samples), &[samples], DEAF).1.len(), rows, "{samples} samples");
    }
}

/// A recurrent encoder's windows: eight rows, each four further than the one before, of which four are answered.
#[test]
fn windows_of_a_recurrent_encoder_advance_by_what_is_answered() {
    let recipe = Fbank { win_length: 800, scale: 1.0, n_mels: 3, ..fbank() };
    let encoder = Encoder { window: 8, context: [0, 4], stride: 1, ..encoder() };
    assert_eq!((encoder.lead(), encoder.skipped(), encoder.used()), (0, 0, 4));
    let section = with_encoder(Front::Fbank(recipe.clone()), encoder);
    // The eighth row's window ends 7 · 160 + 800 samples after the first row's begins.
    assert_eq!(reach(&section), 1920);
    let samples = signal(4000);
    let plain = AudioFeatures { front: Front::Fbank(recipe), ..section.clone() };
    let plain = AudioFeatures { encoder: None, ..plain };
    let silence = vec![0.0; 8000];
    let all = features(&plain, &[samples.clone(), silence].concat(), &[5000], DEAF).0;
    let heard = std::cell::RefCell::new(Vec::new());
    let ear = |window: &[f32]| {
        heard.borrow_mut().push(window.to_vec());
        vec![0.0; 8]
    };
    let (_, silent) = features(&section, &samples, &[333], &ear);
    assert_eq!(silent.len(), 1 + 4000 / 160);
    let heard = heard.into_inner();
    assert_eq!(heard.len(), silent.len().div_ceil(4));
    for (k, window) in heard.iter().enumerate() {
        assert!(bits(window) == bits(&all[k * 4 * 3..][..8 * 3]), "window {k}");
    }
}

/// Only whole windows give rows.
#[test]
fn fbank_snips_the_edges() {
    let section = AudioFeatures { front: Front::Fbank(fbank()), ..section(wav2lip()) };
    for (samples, rows) in [(1, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16_000, 98)] {
        let (values, silent) = features(&section, &signal(samples), &[samples], DEAF);
        assert_eq!((values.len(), silent.len()), (80 * rows, rows), "{samples} samples");
    }
    assert_eq!(reach(&section), 400);
}

/// As librosa counts them, down to a single sample; no sound gives no row.
#[test]
fn there_is_a_row_for_every_hop_and_one_for_the_start() {
    for recipe in [wav2lip(), mouthwarp(), htk_power()] {
        assert_eq!(whole(&recipe, &[]).0.len(), 0);
        for n in [1, 2, 3, recipe.hop_length - 1, recipe.hop_length, 399, 400, 401, 16_000] {
            let (values, silent) = whole(&recipe, &signal(n));
            assert_eq!(silent.len(), 1 + n / recipe.hop_length, "{n} samples");
            assert!(values.iter().all(|v| v.is_finite()));
        }
    }
}

/// Rows come out as soon as their window is filled, not later.
#[test]
fn a_row_waits_for_its_own_window_only() {
    let recipe = mouthwarp();
    assert_eq!(reach(&section(recipe.clone())), 200);
    let mut stream = Stream::new(&section(recipe.clone()));
    let sound = signal(1000);
    let mut rows = 0;
    for (n, sample) in sound.iter().enumerate() {
        rows += stream.push(&[*sample], SILENCE).iter().map(|run| run.rows as usize).sum::<usize>();
        let n = n + 1;
        assert_eq!(rows, if n < 200 { 0 } else { 1 + (n - 200) / 160 }, "{n} samples");
    }
}

#[test]
fn memory_is_bounded() {
    for recipe in [wav2lip(), mouthwarp(), LogMel { hop_length: 4000, ..wav2lip() }] {
        let mut stream = Stream::new(&section(recipe.clone()));
        let piece = signal(333);
        for _ in 0..300 {
            stream.push(&piece, SILENCE);
            let held = stream.held();
            assert!(held <= recipe.win_length + 4 * recipe.hop_length + 2 * piece.len(), "{held} samples held");
        }
    }
}

/// 200 ms at 100 rows per second: 20 rows after the last loud one, whose hop reaches half a hop around it.
#[test]
fn silence_begins_after_the_hang_over() {
    let mut sound = vec![0.0; 8000];
    sound.extend(signal(16_000).iter().map(|x| 0.5 * x));
    sound.extend(vec![1e-4; 16_000]);
    let (_, silent) = whole(&mouthwarp(), &sound);
    let loud: Vec<_> = (0..silent.len()).filter(|&k| !silent[k]).collect();
    assert_eq!((loud[0], loud[loud.len() - 1]), (50, 150 + 20));
    assert_eq!(loud.len(), 121);
}

#[test]
fn loud_but_finite_sound_stays_finite() {
    let (values, _) = whole(&wav2lip(), &[f32::MAX, f32::MIN, f32::MAX, 0.0].repeat(1000));
    assert!(values.iter().all(|v| (-4.0..=4.0).contains(v)));
}

fn fronts() -> [Front; 3] {
    let mel = LogMel { n_mels: 3, f_min: 0.0, f_max: 8000.0, center: Center::Reflect, ..heygem() };
    [Front::LogMel(mel), Front::Fbank(Fbank { n_mels: 3, ..fbank() }), Front::Waveform { sample_rate: 16_000 }]
}

fn with_encoder(front: Front, encoder: Encoder) -> AudioFeatures {
    AudioFeatures { front, encoder: Some(encoder), ..section(wav2lip()) }
}

/// An encoder whose answer weighs the front rows from 7 before to 5 after its own; beyond the window there is nothing.
fn neighbourhood(section: &AudioFeatures) -> impl Fn(&[f32]) -> Vec<f32> {
    let (width, encoder) = (section.front.width(), section.encoder.clone().unwrap());
    move |window| {
        let rows: Vec<&[f32]> = window.chunks_exact(width).collect();
        assert_eq!(rows.len(), encoder.window);
        let answer = |i: usize| {
            let own = (i * encoder.stride + encoder.offset) as i64;
            let heard = (-7..=5).filter_map(|d| Some((d, rows.get(usize::try_from(own + d).ok()?)?)));
            let sum = |f: fn(i64) -> f32| heard.clone().map(|(d, row)| f(d) * row.iter().sum::<f32>()).sum::<f32>();
            [sum(|d| (d + 8) as f32), sum(|d| if d % 2 == 0 { 1.0 } else { -0.5 })]
        };
        (0..(encoder.window - encoder.offset).div_ceil(encoder.stride)).flat_map(answer).collect()
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// What windows yield that overlap is what one window yields that holds the whole sound, as long as the context covers
/// what the encoder hears; with less, it is not.
#[test]
fn windows_leave_no_seam() {
    for (front, pad) in fronts().into_iter().flat_map(|front| [(front.clone(), Padding::Zero), (front, Padding::Edge)])
    {
        let hear = |encoder: Encoder, samples: &[f32]| {
            let section = with_encoder(front.clone(), Encoder { pad, ..encoder });
            features(&section, samples, &[1234], &neighbourhood(&section))
        };
        let samples = signal(if front.hop() == 1 { 400 } else { 30_000 });
        for offset in [0, 3] {
            let encoder = Encoder { offset, ..encoder() };
            let at_once = hear(Encoder { window: 600, ..encoder.clone() }, &samples);
            let rows = 1 + samples.len() / (2 * front.hop());
            assert_eq!((at_once.0.len(), at_once.1.len()), (2 * rows, rows));
            let streamed = hear(encoder.clone(), &samples);
            assert!(bits(&streamed.0) == bits(&at_once.0), "{front:?}, {pad:?}");
            assert_eq!(streamed.1, at_once.1);
            // Too little of it on either side.
            for context in [[4, 6], [8, 2]] {
                let short = hear(Encoder { context, ..encoder.clone() }, &samples);
                assert_eq!(short.0.len(), at_once.0.len());
                assert!(short.0 != at_once.0, "{context:?}, {front:?}, {pad:?}");
            }
        }
    }
}

/// Each answer being the front row of its own time, the answers are the front's rows, whatever the windows are like.
#[test]
fn answers_come_at_their_times() {
    for front in fronts() {
        let samples = signal(if front.hop() == 1 { 700 } else { 40_000 });
        let width = front.width();
        let plain = AudioFeatures { front: front.clone(), ..section(wav2lip()) };
        let all = match front {
            Front::Waveform { .. } => samples.clone(),
            _ => features(&plain, &samples, &[5000], DEAF).0,
        };
        for (window, context, offset, stride) in [
            (30, [8, 6], 0, 2),
            (30, [8, 6], 5, 2),
            (67, [0, 62], 0, 5),
            (67, [30, 32], 30, 5),
            (50, [10, 3], 7, 4),
            (9, [0, 0], 0, 9),
        ] {
            let encoder = Encoder { window, context, offset, stride, width, pad: Padding::Edge, ..encoder() };
            let section = with_encoder(front.clone(), encoder);
            let ear = |window: &[f32]| -> Vec<f32> {
                window.chunks_exact(width).skip(offset).step_by(stride).flatten().copied().collect()
            };
            let (values, silent) = features(&section, &samples, &[777], &ear);
            assert_eq!(silent.len(), 1 + samples.len() / (stride * front.hop()));
            let expected = all.chunks_exact(width).step_by(stride).flatten().copied().collect::<Vec<_>>();
            let both = expected.len().min(values.len());
            assert!(both + 4 * width >= values.len() && bits(&values[..both]) == bits(&expected[..both]), "{front:?}");
        }
    }
}

/// What the windows hold before and after the sound are the front's rows of silence, also where a row is half of it.
#[test]
fn padding_is_silence() {
    for front in fronts() {
        let hop = front.hop();
        let encoder = Encoder { offset: 3, ..encoder() };
        let (window, stride, lead, used) = (encoder.window, encoder.stride, encoder.lead(), encoder.used());
        let samples = signal(50 * hop);
        let silent = |rows: usize| vec![0.0; rows * hop];
        let padded = [silent(lead), samples.clone(), silent(2 * window)].concat();
        let plain = AudioFeatures { front: front.clone(), ..section(wav2lip()) };
        let all = match front {
            Front::Waveform { .. } => padded,
            _ => features(&plain, &padded, &[5000], DEAF).0,
        };
        let heard = std::cell::RefCell::new(Vec::new());
        let ear = |window: &[f32]| {
            heard.borrow_mut().push(window.to_vec());
            vec![0.0; 60]
        };
        features(&with_encoder(front.clone(), encoder), &samples, &[321], &ear);
        let heard = heard.into_inner();
        assert_eq!(heard.len(), (1 + 50 / stride).div_ceil(used));
        for (k, rows) in heard.iter().enumerate() {
            let start = k * used * stride * front.width();
            assert!(bits(rows) == bits(&all[start..start + window * front.width()]), "{front:?}, window {k}");
        }
    }
}

/// Rows beyond the sound are what the encoder makes of the silence around it, and they are silent.
#[test]
fn rows_beyond_the_sound_are_those_of_silence() {
    for front in fronts() {
        let section = |beyond| with_encoder(front.clone(), Encoder { beyond, ..encoder() });
        let hear = |section: &AudioFeatures, samples: &[f32], cuts: &[usize]| {
            features(section, samples, cuts, &neighbourhood(section))
        };
        let (hop, beyond) = (section(0).hop(), 7);
        let samples = signal(20 * hop);
        let found = hear(&section(beyond), &samples, &[123]);
        assert_eq!(found.1.len(), 21 + 2 * beyond);
        let silent = vec![0.0; beyond * hop];
        let padded = hear(&section(0), &[silent.clone(), samples.clone(), silent].concat(), &[5000]);
        assert!(bits(&found.0) == bits(&padded.0), "{front:?}");
        let plain = hear(&section(0), &samples, &[5000]).1;
        assert_eq!(found.1, [vec![true; beyond], plain, vec![true; beyond]].concat());
        assert_eq!(reach(&section(beyond)), reach(&section(0)));
        let edge = with_encoder(front.clone(), Encoder { beyond, pad: Padding::Edge, ..encoder() });
        assert_eq!(hear(&edge, &samples, &[123]).1.len(), 21 + 2 * beyond);
    }
}

#[test]
fn a_stretch_of_any_length_has_all_its_rows() {
    for (front, pad) in fronts().into_iter().flat_map(|front| [(front.clone(), Padding::Zero), (front, Padding::Edge)])
    {
        let section = with_encoder(front.clone(), Encoder { pad, ..encoder() });
        assert_eq!(features(&section, &[], &[1], &neighbourhood(&section)).1.len(), 0);
        for n in [1, 2, 3, 159, 160, 319, 320, 321, 400, 2000] {
            let (values, silent) = features(&section, &signal(n), &[n], &neighbourhood(&section));
            assert_eq!(silent.len(), 1 + n / section.hop(), "{n} samples");
            assert!(values.iter().all(|v| v.is_finite()));
        }
    }
}

/// No row comes later than `reach` says, and the first of a window not earlier.
#[test]
fn reach_is_what_rows_wait_for() {
    for front in fronts() {
        for offset in [0, 9, 23] {
            let section = with_encoder(front.clone(), Encoder { offset, ..encoder() });
            let encoder = section.encoder.clone().unwrap();
            let mut stream = Stream::new(&section);
            let (mut rows, mut n) = (0, 0);
            let ear = neighbourhood(&section);
            let first_wait = reach(&section) as u64;
            for sample in signal(if front.hop() == 1 { 200 } else { 12_000 }) {
                assert!(stream.push(&[sample], SILENCE).is_empty());
                n += 1;
                while let Some(window) = stream.window() {
                    assert_eq!(rows % encoder.used() as u64, 0);
                    assert_eq!(n, rows * section.hop() as u64 + first_wait, "{front:?}, offset {offset}, row {rows}");
                    rows += stream.answer(&ear(&window)).iter().map(|run| run.rows).sum::<u64>();
                }
            }
            assert!(rows > 20);
        }
    }
}

#[test]
fn an_encoders_memory_is_bounded() {
    for front in fronts() {
        let section = with_encoder(front, encoder());
        let ear = neighbourhood(&section);
        let mut stream = Stream::new(&section);
        let mut most = [0; 2];
        for i in 0..400 {
            stream.push(&signal(333), SILENCE);
            while let Some(window) = stream.window() {
                stream.answer(&ear(&window));
            }
            most[i / 200] = most[i / 200].max(stream.held());
        }
        assert!(most[1] <= most[0] + 333, "{most:?}");
    }
}

/// Also where the last row was heard, and the next window begins behind it.
#[test]
fn the_last_row_is_what_pads_the_end() {
    // Three answers to a window, 12 rows from one to the next.
    let encoder = Encoder { window: 11, context: [0, 0], stride: 4, pad: Padding::Edge, ..encoder() };
    let section = with_encoder(Front::Waveform { sample_rate: 16_000 }, encoder);
    for length in 20..30 {
        let ear = |window: &[f32]| {
            assert_eq!(window, [0.5; 11]);
            vec![0.0; 6]
        };
        features(&section, &vec![0.5; length], &[1], &ear);
    }
}

/// As loud a moment as Whisper would still hear sets how quiet a row can be.
#[test]
fn quiet_rows_are_held_up_by_what_was_loud_before() {
    let encoder = Encoder {
        window: 20,
        context: [0, 0],
        stride: 20,
        normalise: Normalise::Dynamic { below: 2.0 },
        pad: Padding::Edge,
        ..encoder()
    };
    let section = with_encoder(Front::Waveform { sample_rate: 16_000 }, encoder);
    let mut samples = vec![-1.0; 3200];
    samples[30] = 3.0;
    let lows = std::cell::RefCell::new(Vec::new());
    let ear = |window: &[f32]| {
        lows.borrow_mut().push(window.iter().copied().fold(f32::INFINITY, f32::min));
        vec![0.0; 2]
    };
    features(&section, &samples, &[77], &ear);
    let lows = lows.into_inner();
    // The loud one is in the second window of 20; 3000 rows, 150 windows, later it is forgotten.
    assert_eq!(lows.iter().map(|low| i32::from(*low == 1.0)).sum::<i32>(), 151);
    assert_eq!((lows[0], lows[1], lows[151], lows[152]), (-1.0, 1.0, 1.0, -1.0));
}

/// Padding neither counts, nor is silence made louder than it is.
#[test]
fn windows_of_sound_have_no_mean_and_unit_variance() {
    let encoder = Encoder { window: 200, context: [100, 50], normalise: Normalise::MeanVariance, ..encoder() };
    let section = with_encoder(Front::Waveform { sample_rate: 16_000 }, encoder.clone());
    let moments = |heard: &[f32]| {
        let mean = heard.iter().sum::<f32>() / heard.len() as f32;
        (mean, heard.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / heard.len() as f32)
    };
    let mut stream = Stream::new(&section);
    let loud: Vec<f32> = signal(1000).iter().map(|x| 3.0 + 5.0 * x).collect();
    stream.push(&loud, SILENCE);
    let mut starts = Vec::new();
    for end in [false, true] {
        if end {
            stream.finish(SILENCE);
        }
        while let Some(window) = stream.window() {
            let start = starts.len() as i64 * 50 - 100;
            starts.push(start);
            let heard = &window[(-start).max(0) as usize..(1000 - start).min(200) as usize];
            let (mean, variance) = moments(heard);
            assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "window at {start}: {mean}, {variance}");
            stream.answer(&[0.0; 400]);
        }
    }
    assert_eq!(starts.len(), 21);
    let silence = features(&section, &[0.0; 500], &[500], &|window| window.iter().flat_map(|x| [*x, *x]).collect());
    assert!(silence.0.iter().all(|x| *x == 0.0));
}

proptest! {
    /// Any cutting gives the very same bits, for odd recipes too.
    #[test]
    fn pieces_do_not_matter(
        length in 0usize..4000,
        cuts in prop::collection::vec(1usize..700, 1..20),
        window in 8usize..300,
        padding in 0usize..100,
        hop in 1usize..500,
        reflect: bool,
        htk: bool,
    ) {
        let recipe = LogMel {
            win_length: 2 * window - usize::from(htk),
            n_fft: 2 * (window + padding),
            hop_length: hop,
            center: if reflect { Center::Reflect } else { Center::Zero },
            mel_scale: if htk { MelScale::Htk } else { MelScale::Slaney },
            n_mels: 5,
            ..wav2lip()
        };
        // Half of it quiet, so that both kinds of rows appear.
        let mut sound = signal(length);
        sound.iter_mut().skip(length / 3).take(length / 2).for_each(|x| *x *= 1e-3);
        let (values, silent) = whole(&recipe, &sound);
        let (cut_values, cut_silent) = features(&section(recipe), &sound, &cuts, DEAF);
        prop_assert_eq!(silent, cut_silent);
        prop_assert_eq!(bits(&values), bits(&cut_values));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same with an encoder of any proportions.
    #[test]
    fn pieces_do_not_matter_to_an_encoder(
        length in 0usize..3000,
        cuts in prop::collection::vec(1usize..700, 1..20),
        window in 8usize..60,
        context in (0usize..20, 0usize..20),
        offset in 0usize..20,
        stride in 1usize..7,
        beyond in 0usize..40,
        front in 0usize..3,
        edge: bool,
        mean_variance: bool,
    ) {
        let encoder = Encoder {
            window,
            context: [context.0, context.1],
            offset: offset.min(window - 1),
            stride,
            beyond,
            pad: if edge { Padding::Edge } else { Padding::Zero },
            normalise: if mean_variance { Normalise::MeanVariance } else { Normalise::None },
            ..encoder()
        };
        prop_assume!(context.0 + context.1 < window && encoder.used() > 0);
        let section = with_encoder(fronts()[front].clone(), encoder);
        let ear = neighbourhood(&section);
        let sound = signal(length);
        let (values, silent) = features(&section, &sound, &[length.max(1)], &ear);
        let (cut_values, cut_silent) = features(&section, &sound, &cuts, &ear);
        prop_assert_eq!(silent.len(), if length == 0 { 0 } else { 1 + length / section.hop() + 2 * beyond });
        prop_assert_eq!(values.len(), 2 * silent.len());
        prop_assert_eq!(silent, cut_silent);
        prop_assert_eq!(bits(&values), bits(&cut_values));
    }
}
