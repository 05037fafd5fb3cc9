# SPDX-License-Identifier: MPL-2.0
"""The rows of numbers that the model hears: log-mel as model.toml's [audiofeatures] describes it, in numpy."""

import tomllib
from math import gcd
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

HERE = Path(__file__).resolve().parent
MANIFEST = tomllib.loads((HERE / "model.toml").read_text())
AUDIO = MANIFEST["audiofeatures"]
SAMPLE_RATE = AUDIO["sample-rate"]
HOP = AUDIO["hop-length"]
ROWS_PER_SECOND = SAMPLE_RATE / HOP
WINDOW = next(i["rows"] for i in MANIFEST["lipsyncgen"]["graph"][0]["input"] if i["from"] == "features")


def _hz_to_mel(hz):
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    hz = np.asarray(hz, np.float64)
    return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))


def _mel_to_hz(mel):
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) * (mel - 15) / 27))


def _mel_filters():
    """(n-mels, n-fft/2+1): triangles of unit area (Slaney's norm)."""
    bins = np.arange(AUDIO["n-fft"] // 2 + 1) * SAMPLE_RATE / AUDIO["n-fft"]
    edges = _mel_to_hz(np.linspace(_hz_to_mel(AUDIO["f-min"]), _hz_to_mel(AUDIO["f-max"]), AUDIO["n-mels"] + 2))
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid))
    return np.maximum(triangles, 0) * 2 / (high - low)


_FILTERS = _mel_filters()


def log_mel(sound):
    """Mono float samples at SAMPLE_RATE → (rows, n-mels) float32; row k is centred on sample k·HOP."""
    n_fft, win = AUDIO["n-fft"], AUDIO["win-length"]
    sound = np.asarray(sound, np.float64)
    sound = np.append(sound[:1], sound[1:] - AUDIO["preemphasis"] * sound[:-1])
    window = np.zeros(n_fft)
    left = (n_fft - win) // 2
    window[left : left + win] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, n_fft // 2, mode="reflect"), n_fft)[::HOP]
    level = AUDIO["level"]
    mel = np.abs(np.fft.rfft(frames * window)) @ _FILTERS.T
    db = 20 * np.log10(np.maximum(level["floor"], mel)) - level["ref-db"]
    low, high = level["range"]
    return np.clip((db - level["min-db"]) / -level["min-db"] * (high - low) + low, low, high).astype(np.float32)


def resample(sound, rate):
    common = gcd(rate, SAMPLE_RATE)
    return resample_poly(sound, SAMPLE_RATE // common, rate // common)


def windows(rows, fps=MANIFEST["fps"]):
    """(frames, count, n-mels): what the graph is given for each video frame; the ends repeat the first and last row."""
    frames = np.arange(int(len(rows) / ROWS_PER_SECOND * fps))
    first = np.floor(frames / fps * ROWS_PER_SECOND + 1e-3).astype(int) - WINDOW["before"]
    return rows[np.clip(first[:, None] + np.arange(WINDOW["count"]), 0, len(rows) - 1)]
