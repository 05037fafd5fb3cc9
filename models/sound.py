# SPDX-License-Identifier: MPL-2.0
"""[audiofeatures] of a manifest in plain NumPy and librosa: whole sound in, rows of numbers out. Written to be read and compared with."""

import math
from fractions import Fraction

import librosa
import numpy as np
import onnxruntime
from scipy.signal import lfilter


def log_mel(sound, rate, front):
    """Row k is centred on sample k · hop-length."""
    n_fft, hop, power = front["n-fft"], front["hop-length"], front["power"]
    emphasised = lfilter([1, -front.get("preemphasis", 0)], [1], sound.astype(np.float64))
    padding = {"reflect": "reflect", "zero": "constant"}[front["center"]]
    spectrum = librosa.stft(emphasised, n_fft=n_fft, hop_length=hop, win_length=front.get("win-length", n_fft), window="hann", pad_mode=padding)
    filters = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=front["n-mels"], fmin=front["f-min"], fmax=front["f-max"],
        htk=front["mel-scale"] == "htk", norm="slaney" if front["mel-norm"] == "slaney" else None,
    )  # fmt: skip
    level = front["level"]
    sums = (filters @ np.abs(spectrum) ** power).T
    db = 20 / power * np.log10(np.maximum(level["floor"], sums + level.get("add", 0))) - level.get("ref-db", 0)
    if "range" not in level:
        return db.astype(np.float32)
    low, high = level["range"]
    quietest, clip = level.get("min-db", -100), level.get("clip", "both")
    rows = low + (db - quietest) / -quietest * (high - low)
    return np.clip(rows, low if clip in ("both", "low") else -np.inf, high if clip == "both" else np.inf).astype(np.float32)


def fbank(sound, rate, front):
    """As Kaldi: row k starts at sample k · hop-length; logarithms of the power between triangles that are even in HTK's mel."""
    length, hop = front.get("win-length", 400), front.get("hop-length", 160)
    n_fft = 1 << (length - 1).bit_length()
    at = np.arange(length)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * at / (length - 1))
    window = {"povey": hann**0.85, "hann": hann, "hamming": 0.54 - 0.46 * np.cos(2 * np.pi * at / (length - 1))}[front.get("window", "povey")]
    count = max(0, (len(sound) - length) // hop + 1)
    frames = sound.astype(np.float64)[np.arange(count)[:, None] * hop + at] * front.get("scale", 32768)
    frames -= frames.mean(1, keepdims=True)
    frames -= front.get("preemphasis", 0.97) * np.concatenate([frames[:, :1], frames[:, :-1]], 1)
    powers = np.abs(np.fft.rfft(frames * window, n_fft)) ** 2
    mel = 1127 * np.log(1 + np.arange(n_fft // 2 + 1) * rate / n_fft / 700)
    low, high = (1127 * math.log(1 + front.get(key, default) / 700) for key, default in (("f-min", 20), ("f-max", 8000)))
    corners = low + (high - low) / (front.get("n-mels", 80) + 1) * np.arange(front.get("n-mels", 80) + 2)
    left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    triangles = np.maximum(0, np.minimum((mel - left) / (middle - left), (right - mel) / (right - middle)))
    return np.log(np.maximum(powers @ triangles.T, np.finfo(np.float32).eps)).astype(np.float32)


def front_rows(sound, rate, front):
    if front["kind"] == "waveform":
        return sound.astype(np.float32)[:, None]
    return {"log-mel": log_mel, "fbank": fbank}[front["kind"]](sound, rate, front)


def answers_of(section):
    """Of an encoder: (front rows per answer, the first answer of a window that is used, how many are)."""
    front = section["front"]
    hop = 1 if front["kind"] == "waveform" else front.get("hop-length", 160)
    per_answer = Fraction(section["sample-rate"], hop) / Fraction(section["rate"])
    before, after = section["context"]
    offset = round(section.get("offset", 0) * section["sample-rate"] / hop)
    first = max(0, math.ceil((before - offset) / per_answer))
    return per_answer, first, math.ceil((section["window"] - after - offset) / per_answer) - first


def rows(sound, section, folder):
    """All rows of the section; the first, or the one after `beyond` rows, is at the sound's start. `folder` holds the encoder."""
    rate = section["sample-rate"]
    if section["kind"] != "encoder":
        return front_rows(sound, rate, section)
    front, window, beyond = section["front"], section["window"], section.get("beyond", 0)
    hop = 1 if front["kind"] == "waveform" else front.get("hop-length", 160)
    per_answer, first, used = answers_of(section)
    # Row 0 is the first used answer of the first window.
    lead = int((first + beyond) * per_answer) + round(section.get("offset", 0) * rate / hop)
    wanted = math.ceil(len(sound) / rate * section["rate"]) + 2 * beyond
    runs = math.ceil(wanted / used)
    step = int(used * per_answer)
    # Of sound around the sound nothing is known but silence; the windows' rows are those of one long front.
    far = 64
    padded = np.concatenate([np.zeros((far + lead) * hop), sound, np.zeros((runs * step + window + far) * hop)])
    heard = front_rows(padded.astype(np.float32), rate, front)[far:]
    file = section["file"][0] if isinstance(section["file"], list) else section["file"]
    session = onnxruntime.InferenceSession(str(folder / file), providers=["CPUExecutionProvider"])
    answers, loudest = [], []
    for k in range(runs):
        rows_ = heard[k * step : k * step + window]
        # Whisper hears 3000 rows at once.
        loudest = [*loudest, rows_.max()][-math.ceil(3000 / step) - 1 :]
        rows_ = normalised(rows_, section, front, lead - k * step, lead - k * step + math.ceil(len(sound) / hop), max(loudest))
        feed = {section["input"]: arranged(rows_, section.get("layout", "nrw"))}
        if "lengths" in section:
            kind = next(i.type for i in session.get_inputs() if i.name == section["lengths"])
            feed[section["lengths"]] = np.array([window], np.int32 if kind == "tensor(int32)" else np.int64)
        answer = session.run([section["output"]], feed)[0]
        answers.append(answer.reshape(answer.shape[1], -1)[first : first + used])
    return np.concatenate(answers)[:wanted]


def normalised(window, section, front, start, end, loudest):
    """`start`, `end`: where in the window the sound itself lies; `loudest`: the largest value of it and of those before."""
    how = section.get("normalise", "none")
    if how == "dynamic":
        level = front["level"]
        per_db = (level["range"][1] - level["range"][0]) / -level.get("min-db", -100) if "range" in level else 1
        return np.maximum(window, loudest - section.get("dynamic-db", 80) * per_db)
    if how == "mean-variance":
        heard = window[max(start, 0) : max(end, 0)].astype(np.float64)
        if heard.size:
            return ((window - heard.mean()) / np.sqrt(heard.var() + 1e-7)).astype(np.float32)
    return window


def arranged(window, layout, batch=False):
    """(r, w), or with `batch` (n, r, w), with the axes that the layout names."""
    letters = [c for c in layout if c != "1"]
    full = window if batch else window[None]
    full = full[..., 0] if "w" not in letters else full
    known = [c for c in "nrw" if c in letters]
    full = full.transpose([known.index(c) for c in letters])
    for k, c in enumerate(layout):
        if c == "1":
            full = np.expand_dims(full, k)
    return np.ascontiguousarray(full)


def window_at(all_rows, time, rate, rows_, frames=None, beyond=0):
    """The rows of a frame at `time` seconds, as an input's `rows` says; `frames`: its `rate`, frames a second that rows make groups for;
    `beyond`: how many of all rows lie before the sound."""
    own = math.floor(time * rate + 1e-3) if frames is None else math.floor(math.floor(time * frames + 1e-3) * rate / frames)
    start = own + beyond - rows_["before"]
    count, end = rows_["count"], rows_["end"]
    if end == "clamp":
        start = min(max(start, 0), max(0, len(all_rows) - count))
    index = np.arange(start, start + count)
    found = all_rows[np.clip(index, 0, len(all_rows) - 1)].copy()
    if end == "zero":
        found[(index < 0) | (index >= len(all_rows))] = 0
    return found
