# SPDX-License-Identifier: MPL-2.0
"""What the model hears, in numpy: filter bank energies as model.toml's [audiofeatures] front describes them, and the ear's answers to them."""

import tomllib
from math import gcd
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

HERE = Path(__file__).resolve().parent
MANIFEST = tomllib.loads((HERE / "model.toml").read_text())
AUDIO = MANIFEST["audiofeatures"]
FRONT = AUDIO["front"]
SAMPLE_RATE = AUDIO["sample-rate"]
HOP, LENGTH = FRONT["hop-length"], FRONT["win-length"]
ROWS_PER_SECOND = AUDIO["rate"]
POSE_ROWS = next(i["rows"] for i in MANIFEST["lipsyncgen"]["graph"][0]["input"] if i["from"] == "features")
FLOOR = np.finfo(np.float32).eps  # of a power, as in Kaldi


def _mel_filters():
    """(n-mels, transform / 2): triangles that are straight on the mel scale, as in Kaldi."""

    def mel(hz):
        return 1127 * np.log(1 + hz / 700)

    size = 1 << (LENGTH - 1).bit_length()
    low, high = mel(FRONT["f-min"]), mel(FRONT["f-max"])
    step = (high - low) / (FRONT["n-mels"] + 1)
    left = low + np.arange(FRONT["n-mels"])[:, None] * step
    at = mel(np.arange(size // 2) * SAMPLE_RATE / size)
    return np.maximum(np.minimum((at - left) / step, (left + 2 * step - at) / step), 0).astype(np.float32)


_FILTERS = _mel_filters()
_WINDOW = ((0.5 - 0.5 * np.cos(2 * np.pi * np.arange(LENGTH) / (LENGTH - 1))) ** 0.85).astype(np.float32)


def fbank(sound):
    """Mono samples at SAMPLE_RATE → (rows, n-mels) float32; row k is made of the LENGTH samples from k · HOP on."""
    sound = np.asarray(sound, np.float32) * np.float32(FRONT["scale"])
    count = max(0, (len(sound) - LENGTH) // HOP + 1)
    rows = np.empty((count, FRONT["n-mels"]), np.float32)
    if not count:
        return rows
    frames = np.lib.stride_tricks.sliding_window_view(sound, LENGTH)[::HOP]
    for first in range(0, count, 2048):  # all at once would take much memory
        part = frames[first : first + 2048]
        part = part - part.mean(1, keepdims=True)
        part = part - FRONT["preemphasis"] * np.concatenate([part[:, :1], part[:, :-1]], 1)
        power = np.abs(np.fft.rfft(part * _WINDOW, 2 * _FILTERS.shape[1])[:, :-1]) ** 2
        rows[first : first + 2048] = np.log(np.maximum(power @ _FILTERS.T, FLOOR))
    return rows


def resample(sound, rate):
    common = gcd(rate, SAMPLE_RATE)
    return resample_poly(sound, SAMPLE_RATE // common, rate // common)


def windows(rows, fps=MANIFEST["fps"]):
    """(frames, count, width): what the picture's graph is given of the ear's rows for each video frame; the ends repeat the first and last row."""
    frames = np.arange(int(len(rows) / ROWS_PER_SECOND * fps))
    first = np.floor(frames / fps * ROWS_PER_SECOND + 1e-3).astype(int) - POSE_ROWS["before"]
    return rows[np.clip(first[:, None] + np.arange(POSE_ROWS["count"]), 0, len(rows) - 1)]


def hear(sound, session):
    """(rows, width): what the ear (an onnxruntime session) answers to a sound, as audiofeatures does it."""
    count = len(sound) // HOP + 1
    window, step = AUDIO["window"], AUDIO["window"] - sum(AUDIO["context"])
    runs = -(-count // step)
    padding = ((runs - 1) * step + window - 1) * HOP + LENGTH - len(sound)
    front = fbank(np.concatenate([sound, np.zeros(max(0, padding))]))
    state = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs() if i.name in AUDIO["state"]}
    answers = []
    for first in range(0, runs * step, step):
        out = session.run([AUDIO["output"], *AUDIO["state"].values()], {AUDIO["input"]: front[None, first : first + window], **state})
        answers.append(out[0][0])
        state = dict(zip(AUDIO["state"], out[1:]))
    return np.concatenate(answers)[:count]
