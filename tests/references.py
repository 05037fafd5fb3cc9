#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Writes src/audiofeatures/references.rs: what librosa and torchaudio make of the unit tests' signal.

    python3 -m pip install librosa torchaudio kaldi-native-fbank
    python3 tests/references.py
"""

import pathlib

import kaldi_native_fbank
import librosa
import numpy as np
import torch
import torchaudio.compliance.kaldi as kaldi

SAMPLES, RATE = 2000, 16000
FILE = pathlib.Path(__file__).parent.parent / "src/audiofeatures/references.rs"


def signal(length):
    """`signal` of src/audiofeatures/test_recipes.rs."""
    state, samples = 1, np.empty(length, np.float32)
    for i in range(length):
        state = (state * 1664525 + 1013904223) % 2**32
        tone = lambda hz: np.sin(2 * np.pi * hz * i / RATE)
        samples[i] = 0.3 * tone(220) + 0.2 * (i / 2000) * tone(1870) + 0.05 * (state / 2**31 - 1)
    return samples


def mel(sound, n_fft, win, power, center, low, high):
    spectrum = librosa.stft(sound.astype(np.float64), n_fft=n_fft, hop_length=160, win_length=win, pad_mode=center, dtype=np.complex128)
    filters = librosa.filters.mel(sr=RATE, n_fft=n_fft, n_mels=80, fmin=low, fmax=high, dtype=np.float64)
    return (filters @ np.abs(spectrum) ** power).T


def heygem(sound):
    emphasised = np.append(sound[:1], sound[1:].astype(np.float64) - 0.97 * sound[:-1])
    return 10 * np.log10(mel(emphasised, 1024, 800, 2, "constant", 0, 8000) + 1e-5) - 20


def whisper(sound):
    """Of a window of 20 rows; like Whisper's, without the row at its very end."""
    padded = np.pad(sound, (0, 20 * 160 - len(sound)))
    level = np.log10(np.maximum(mel(padded, 400, 400, 2, "reflect", 0, 8000), 1e-10))[:-1]
    return (np.maximum(level, level.max() - 8) + 4) / 4


def fbank(sound, window, scale=32768, length=25):
    """Two programs must agree on it before it counts as a reference. `length`: of the window, ms."""
    wave = torch.from_numpy(sound * scale)[None]
    rows = kaldi.fbank(
        wave, num_mel_bins=80, frame_length=length, frame_shift=10, dither=0, window_type=window, low_freq=20, high_freq=8000, sample_frequency=RATE
    )  # fmt: skip
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.frame_opts.window_type = 0, window
    options.frame_opts.frame_length_ms = length
    options.mel_opts.num_bins, options.mel_opts.high_freq = 80, 8000
    other = kaldi_native_fbank.OnlineFbank(options)
    other.accept_waveform(RATE, (sound * scale).tolist())
    other.input_finished()
    found = np.stack([other.get_frame(i) for i in range(other.num_frames_ready)])
    assert np.abs(found - rows.numpy()).max() < 1e-3, "torchaudio and kaldi-native-fbank disagree"
    return rows.numpy()


def constant(name, rows):
    """Five rows, every fourth number of each."""
    chosen = [0, 1, len(rows) // 2, len(rows) - 2, len(rows) - 1]
    numbers = lambda row: ", ".join(str(np.float32(x)) for x in row[::4])
    lines = "\n".join(f"    ({i}, [{numbers(rows[i])}])," for i in chosen)
    return f"pub const {name}: Reference = ({len(rows)}, [\n{lines}\n]);\n"


def main():
    sound = signal(SAMPLES)
    FILE.write_text(
        "// SPDX-License-Identifier: MPL-2.0\n"
        "//! What librosa and torchaudio make of `signal(2000)`; written by tests/references.py.\n\n"
        "/// How many rows there are, and of five of them the index and every fourth number.\n"
        "pub type Reference = (usize, [(usize, [f32; 20]); 5]);\n\n"
        + "".join(
            constant(name, rows)
            for name, rows in [
                ("HEYGEM", heygem(sound)),
                ("WHISPER", whisper(sound)),
                ("FBANK_POVEY", fbank(sound, "povey")),
                ("FBANK_HANN", fbank(sound, "hanning")),
                ("FBANK_HAMMING", fbank(sound, "hamming")),
                ("FBANK_LONG", fbank(sound, "povey", 1, 50)),
            ]
        )
    )


main()
