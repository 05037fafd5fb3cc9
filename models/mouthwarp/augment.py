# SPDX-License-Identifier: MPL-2.0
"""What happens to a voice between the lips and the file: effort, rooms, microphones, noise, codecs, gain. And sounds that are no voice."""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from features import SAMPLE_RATE

SPEECH_RMS = 0.07  # -23 dBFS, before the gain


def filtered(sound, gain_of):
    """The sound with every frequency multiplied by gain_of(hertz)."""
    size = next_fast_len(len(sound), real=True)
    return irfft(rfft(sound, size) * gain_of(np.arange(size // 2 + 1) * SAMPLE_RATE / size), size)[: len(sound)]


def curve(seconds_or_octaves, deviation, rng, step=1.0):
    """A smooth random function as (positions, decibels)."""
    at = np.arange(0, seconds_or_octaves + 2 * step, step)
    return at, rng.normal(0, deviation, len(at))


def octaves(hz):
    return np.log2(np.maximum(hz, 31.25) / 31.25)


def noise(n, rng):
    """White to brown, or a hum with its overtones, or chords with drums; RMS 1."""
    kind = rng.random()
    if kind < 0.5:
        slope = rng.uniform(0, 1)
        out = filtered(rng.standard_normal(n), lambda f: np.maximum(f, 40) ** -slope)
        kind = rng.random()
        if kind < 0.3:  # wind, traffic
            out *= 10 ** (np.interp(np.arange(n) / SAMPLE_RATE, *curve(n / SAMPLE_RATE, 6, rng, rng.uniform(0.1, 1))) / 20)
        elif kind < 0.5:  # engines, waves, applause: swelling as often as syllables do
            swell = np.sin(2 * np.pi * rng.uniform(0.5, 12) * np.arange(n) / SAMPLE_RATE)
            out *= (1 + rng.uniform(0.3, 1) * swell) ** rng.uniform(0.5, 3)
    elif kind < 0.6:
        t = np.arange(n) / SAMPLE_RATE
        out = sum(rng.random() / k * np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * k * t) for k in range(1, 12))
    else:
        out = music(n, rng)
    return out / (np.sqrt(np.mean(out**2)) + 1e-9)


def music(n, rng):
    """Tunes and chords of plucked and blown, sliding, trembling and distorted tones, with drums or without."""
    out, at = np.zeros(n), 0
    beat = int(SAMPLE_RATE * rng.uniform(0.12, 0.6))
    steady = rng.random() < 0.4  # organ, strings, flute; else plucked
    vibrato, slide = rng.uniform(0, 6), rng.choice([0, 0, 0.2, 1])
    together = rng.choice([1, 4])
    kind = rng.choice(["overtones", "overtones", "pure", "square", "saw"])
    lowest, breath, drums = rng.choice([24, 55, 110]), rng.choice([0, 0, 0.05, 0.2]), rng.random() * rng.choice([0, 1])
    attack, dull = rng.choice([0.001, 0.005, 0.01, 0.03]), rng.uniform(0.7, 2)
    while at < n:
        length = min(int(beat * rng.integers(1, 5)), n - at)
        t = np.arange(length) / SAMPLE_RATE
        envelope = np.minimum(t / 0.03, 1) * np.minimum(t[::-1] / 0.05, 1) if steady else np.minimum(t / attack, 1) * np.exp(-t * rng.uniform(0.5, 8))
        for _ in range(rng.integers(1, together + 1)):
            f = lowest * 2 ** (rng.integers(0, 48) / 12)
            bend = 2 ** (slide * rng.normal() * t / t[-1] if length > 1 else 0 * t)
            phase = 2 * np.pi * f * np.cumsum(bend) / SAMPLE_RATE + vibrato / 5 * np.sin(2 * np.pi * 5 * t)
            if kind == "square":
                tone = np.tanh(rng.uniform(2, 20) * np.sin(phase))
            elif kind == "saw":
                tone = sum(np.sin(k * phase) / k for k in range(1, 33) if f * k < 7000)
            elif kind == "pure":
                tone = np.sin(phase) + 0.1 * rng.random() * np.sin(2 * phase)
            else:
                # As of strings that were struck: what is high fades sooner.
                tone = sum(rng.random() / k**dull * np.exp(-(k - 1) * t) * np.sin(k * phase) for k in range(1, 9) if f * k < 7000)
            out[at : at + length] += (tone + breath * rng.standard_normal(length)) * envelope
        if rng.random() < drums:
            out[at : at + length] += rng.standard_normal(length) * np.exp(-t * rng.uniform(20, 80)) * 2
        at += beat
    return out


class Noises:
    """Making noise takes longer than adding it: a stock of pieces, cut at random places."""

    def __init__(self, rng, pieces=300, seconds=8):
        self.stock = [noise(seconds * SAMPLE_RATE, rng).astype(np.float32) for _ in range(pieces)]

    def take(self, n, rng):
        piece = self.stock[rng.integers(len(self.stock))]
        return np.resize(np.roll(piece, -int(rng.integers(len(piece)))), n)


def room(sound, rng):
    """Direct sound, a few early echoes, a tail that loses its treble."""
    n = int(SAMPLE_RATE * rng.uniform(0.05, 0.5))
    tail = filtered(rng.standard_normal(n), lambda f: 1 / (1 + f / rng.uniform(1500, 8000))) * np.exp(-6.9 * np.arange(n) / n)
    tail *= rng.uniform(0.1, 0.8) / np.sqrt((tail**2).sum())
    tail[0] = 1
    for _ in range(rng.integers(0, 5)):
        tail[rng.integers(16, min(n, 600))] += rng.uniform(-0.4, 0.4)
    size = next_fast_len(len(sound) + n, real=True)
    return irfft(rfft(sound, size) * rfft(tail, size), size)[: len(sound)]


def effort(sound, rng):
    """Soft to shouted: the slope of the voice's spectrum above 500 Hz, and its breath."""
    slope = rng.uniform(-6, 6)  # dB per octave
    sound = filtered(sound, lambda f: 10 ** (slope * np.clip(np.log2(np.maximum(f, 1) / 500), -0.5, 3) / 20))
    if rng.random() < 0.3:
        loudness = np.sqrt(uniform_filter1d(sound**2, 320).clip(0))
        breath = filtered(loudness * rng.standard_normal(len(sound)), lambda f: np.clip(f / 2500, 0.1, 1))
        sound = sound + rng.uniform(0.05, 0.4) * breath
    return sound


def stress(sound, rng):
    """People do not speak as evenly as a machine: syllables and phrases differ in loudness."""
    t = np.arange(len(sound)) / SAMPLE_RATE
    for step, deviation in ((rng.uniform(0.15, 0.4), 2.5), (rng.uniform(0.6, 2), 4)):
        sound = sound * 10 ** (np.interp(t, *curve(t[-1], deviation, rng, step)) / 20)
    return sound


def equalise(sound, rng):
    """A microphone: a smooth random curve, sometimes a narrow band as of telephones and codecs."""
    at, db = curve(8, 5, rng, 1.6)
    gain = lambda f: 10 ** (np.interp(octaves(f), at, db) / 20)  # noqa: E731
    if rng.random() < 0.35:
        low, high, steep = rng.uniform(40, 350), rng.uniform(3000, 7500), rng.choice([4, 16])
        band = lambda f: 1 / np.sqrt(1 + (low / np.maximum(f, 1)) ** 4 + (f / high) ** (2 * steep))  # noqa: E731
        return filtered(sound, lambda f: gain(f) * band(f))
    return filtered(sound, gain)


def degrade(sound, rng, noises):
    """The sound as it might come from a file."""
    sound = sound / (np.sqrt(np.mean(sound**2)) + 1e-9) * SPEECH_RMS
    for change, how_often in ((effort, 0.5), (stress, 0.5), (room, 0.45), (equalise, 0.6)):
        if rng.random() < how_often:
            sound = change(sound, rng)
    sound = sound / (np.sqrt(np.mean(sound**2)) + 1e-9) * SPEECH_RMS
    if rng.random() < 0.75:
        sound = sound + noises.take(len(sound), rng) * SPEECH_RMS * 10 ** (-rng.uniform(8, 60) / 20)
    return np.clip(sound * 10 ** (rng.uniform(-18, 14) / 20), -1, 1)
