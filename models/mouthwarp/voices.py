# SPDX-License-Identifier: MPL-2.0
"""What the ear is trained on: sound in several conditions, and what the mouth does meanwhile, 100 times a second.

Real lips where there are some; else what the teacher makes of the clean sound: people who read prompts (any folders of recordings, such as Debian's
asterisk-core-sounds-*-g722 and asterisk-prompt-*), who read syllables (gcin-voice), and synthetic speech (speech.py, festival.py), which also
tells when lips are pressed together. Sounds without a voice mean a closed mouth.
"""

from pathlib import Path

import av
import numpy as np
import torch
from scipy.ndimage import maximum_filter1d

import festival
from augment import SPEECH_RMS, Noises, degrade
from features import HOP, LENGTH, SAMPLE_RATE, fbank, resample
from lips import SILENCES
from network import opening
from speech import Espeak, mouth, text

LANGUAGES = (
    "en-us en-us en-gb-scotland de de es fr nl sv fi tr hu ro pt-br pt cs id da cmn ja ru hi ar "
    "el bg sk hr et lv lt ca eo sw ms fa ta bn ka az nb cy ga is sl sq af eu uk"
).split()
VOICES = (
    ",,,,m1,m2,m3,m5,m6,m7,m8,f1,f2,f4,f5,croak,whisper,whisperf,klatt,klatt2,klatt4,Annie,Andy,Mario,steph,edward,linda,grandpa,"
    "anika,aunty,caleb,ed,gene,john,max,paul,rob,sandro,tina,travis,zac,Denis,Diogo,Gene,Hugo,Jacky,Lee,miguel,shelby,victor"
).split(",")
PEOPLE = 0.3  # of the synthetic speech is festival's, which is made of recordings of people
TRACT = 1.12  # the longest vocal tract, relative to the voice's own; the shortest is its inverse
LONGEST = 12  # seconds of an utterance
NO_VOICE = ("beep", "tone", "silence", "monkey", "zip", "screech", "moo")  # names of prompts that are none
PRESSED_LONGER = 1  # rows before and after the table's closures, which are short: people's lips are seen pressed longer
TEACHER_RMS = 10 ** (-19 / 20)  # what the teacher hears is as loud as the real speakers' recordings

# Speech: louder than this below the loudest, and than the noise; pauses below JOIN belong to it, and the mouth is ready before and rests after it.
RANGE, OVER_NOISE, JOIN = 30, 8, 0.4  # dB, dB, s
READY, RISE, REST, FALL = 0.22, 0.14, 0.30, 0.18  # s before the sound; of the way up; s after it; of the way down


def speaking(rows):
    """(n,) 0..1: whether somebody speaks, from clean rows."""
    level = 4.343 * np.log(np.exp(rows.astype(np.float32)).sum(1) + 1e-9)
    loud = level > max(np.percentile(level, 95) - RANGE, np.percentile(level, 5) + OVER_NOISE)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
    parts = []
    for start, end in zip(edges[::2] / 100, edges[1::2] / 100):
        if parts and start - parts[-1][1] < JOIN:
            parts[-1][1] = end
        else:
            parts.append([start, end])
    t, out = np.arange(len(rows)) / 100 - LENGTH / SAMPLE_RATE / 2, np.zeros(len(rows))
    for start, end in parts:
        if end - start >= 0.06:
            out = np.maximum(out, np.minimum((t - start + READY) / RISE, (end + REST - t) / FALL).clip(0, 1))
    return (out * out * (3 - 2 * out)).astype(np.float32)


class Calibration:
    """From the teacher's six coefficients to measures of a mouth: fitted on real speakers."""

    def __init__(self, teacher, clips):
        seen, want = [], []
        for clip in clips:
            seen.append(teacher.at(clip["sound"], clip["t"]))
            want.append(clip["measures"])
        seen, want = np.concatenate(seen), np.concatenate(want)
        good = np.isfinite(want).all(1)
        seen, want = seen[good], want[good]
        self.teacher = teacher
        self.middle, self.scale, self.mean = seen.mean(0), seen.std(0), want.mean(0)
        z = (seen - self.middle) / self.scale
        self.weights = np.linalg.solve(z.T @ z + 0.1 * len(z) * np.eye(6), z.T @ (want - self.mean))
        # Movements as large as the real ones, though the fit is unsure.
        self.gain = np.minimum(want.std(0) / (z @ self.weights).std(0), 1.6)

    def measures(self, sound, rows):
        """(rows, 4)"""
        loud = sound / (np.sqrt(np.mean(sound**2)) + 1e-9) * TEACHER_RMS
        coefficients = self.teacher.at(loud, np.arange(rows) / 100)
        out = self.mean + (coefficients - self.middle) / self.scale @ self.weights * self.gain
        out[:, 0] = opening(torch.tensor(coefficients) / 100).numpy()
        out[:, 2] = 0.6 * out[:, 0] + 0.4 * out[:, 2].clip(-0.02, 0.15)
        return out


class Maker:
    def __init__(self, calibration, rng):
        self.calibration, self.rng, self.noises = calibration, rng, Noises(rng)

    def clean(self, sound):
        """As it is, louder or quieter, in a quiet room."""
        sound = sound / (np.sqrt(np.mean(sound**2)) + 1e-9) * SPEECH_RMS * 10 ** (self.rng.uniform(-14, 10) / 20)
        sound = sound + self.rng.standard_normal(len(sound)) * 10 ** (self.rng.uniform(-90, -60) / 20)
        return fbank(np.clip(sound, -1, 1)).astype(np.float16)

    def item(self, kind, sound, looks, real=None, closure=None):
        """real: (rows, 4) measures, NaN where unknown; closure: (rows, 2) label and how much it counts."""
        rows = (len(sound) - LENGTH) // HOP + 1
        heard = [self.clean(sound)] + [fbank(degrade(sound, self.rng, self.noises)).astype(np.float16) for _ in range(looks)]
        voice = speaking(heard[0])
        want = self.calibration.measures(sound, rows) * voice[:, None] if real is None else real
        if closure is None:
            closure = np.zeros((rows, 2))
        closure[voice < 0.02, 1] = np.maximum(closure[voice < 0.02, 1], 0.3)  # lips at rest are not pressed
        if real is not None:  # a mouth that is open without a word says nothing about speech
            voice = np.where((voice < 0.5) & (np.nan_to_num(real[:, 0], nan=1.0) > 0.02), np.nan, voice)
        return {"kind": kind, "rows": heard, "want": np.concatenate([want, closure], 1).astype(np.float32), "voice": voice.astype(np.float32), "real": real is not None}

    def real(self, clip, looks=3):
        rows = (len(clip["sound"]) - LENGTH) // HOP + 1
        t = np.arange(rows) / 100
        want = np.stack([np.interp(t, clip["t"], m) for m in clip["measures"].T], 1)
        want[(t < clip["t"][0] - 0.02) | (t > clip["t"][-1] + 0.02)] = np.nan
        opening = np.nan_to_num(want[:, 0], nan=1.0)
        closure = np.zeros((rows, 2))
        for name, start, end, _ in clip["phones"]:
            inside = (t >= start) & (t <= end)
            closure[inside, 1] = np.where(opening[inside] > 0.03, 1.0, 0.3) if name in SILENCES else 1.0
        for name, start, end, _ in clip["phones"]:
            if name in ("P", "B", "M"):
                near = (t >= start - 0.03) & (t <= end + 0.02)
                closure[near] = np.stack([opening[near] < 0.018, (opening[near] < 0.018) | (opening[near] > 0.03)], 1)
        closure[np.isnan(want[:, 0])] = 0
        return self.item("real", clip["sound"], looks, want, closure)

    def joined(self, kind, files, looks, pause, seconds=5):
        """Short recordings of one voice, in random order, with pauses between them."""
        files, parts = list(files), []
        self.rng.shuffle(files)
        for path in files:
            sound = read(path)
            if len(sound) < 1600 or np.abs(sound).max() < 0.01:
                continue
            sound = sound / (np.sqrt(np.mean(sound**2)) + 1e-9) * SPEECH_RMS
            parts += [self.rng.standard_normal(int(SAMPLE_RATE * pause())) * 1e-5, sound]
            if sum(map(len, parts)) > SAMPLE_RATE * seconds:
                yield self.item(kind, np.concatenate(parts), looks)
                parts = []

    def prompts(self, folder):
        voices = {}
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in (".g722", ".wav", ".gsm", ".ogg") and not any(word in path.name for word in NO_VOICE):
                voices.setdefault(path.relative_to(folder).parts[0], []).append(path)
        for files in voices.values():
            yield from self.joined("prompt", files, 2, lambda: self.rng.uniform(0.05, 0.9))

    def syllables(self, folder):
        """gcin-voice: a folder per syllable, in it a file per speaker."""
        voices = {}
        for path in sorted(Path(folder).glob("*/*.ogg")):
            voices.setdefault(path.name, []).append(path)
        for files in voices.values():
            if len(files) >= 200:
                yield from self.joined("syllable", files[:1500], 1, lambda: self.rng.uniform(0.1, 0.7) if self.rng.random() < 0.12 else 0)

    def synthetic(self, count):
        espeak = Espeak()
        people = festival.utterances(round(count * PEOPLE / len(festival.VOICES)), self.rng)
        for _ in range(count):
            if people and self.rng.random() < PEOPLE:
                spoken = in_silence(*people.pop(), self.rng, TRACT)
            else:
                spoken = utterance(espeak, self.rng.choice(LANGUAGES), self.rng.choice(VOICES), self.rng, TRACT)
            if spoken and len(spoken[0]) > SAMPLE_RATE:
                sound = spoken[0][: SAMPLE_RATE * LONGEST]
                rows = (len(sound) - LENGTH) // HOP + 1
                pressed = maximum_filter1d(mouth(spoken[1], rows)[:, 2], 1 + 2 * PRESSED_LONGER)
                closure = np.stack([pressed, np.full(rows, 0.6)], 1)
                yield self.item("synthetic", sound + self.rng.standard_normal(len(sound)) * 1e-5, 1, closure=closure)

    def nothing(self, count):
        for _ in range(count):
            sound = self.noises.take(int(SAMPLE_RATE * self.rng.uniform(3, 5)), self.rng) * SPEECH_RMS
            if self.rng.random() < 0.2:
                sound = self.rng.standard_normal(len(sound)) * 10 ** (self.rng.uniform(-110, -60) / 20)
            rows = (len(sound) - LENGTH) // HOP + 1
            want = np.concatenate([np.zeros((rows, 5)), np.full((rows, 1), 0.5)], 1).astype(np.float32)
            heard = fbank(degrade(sound, self.rng, self.noises)).astype(np.float16)
            yield {"kind": "nothing", "rows": [heard], "want": want, "voice": np.zeros(rows, np.float32), "real": False}


def read(path):
    """Mono samples at SAMPLE_RATE of any sound file; none where it is none."""
    resampler, parts = av.AudioResampler("s16", "mono", SAMPLE_RATE), []
    try:
        with av.open(str(path), format="g722" if path.suffix == ".g722" else None) as file:
            for frame in [*file.decode(audio=0), None]:  # None: what the resampler still holds
                parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    except (av.FFmpegError, IndexError):
        return np.zeros(0)
    return np.concatenate(parts) / 32768 if parts else np.zeros(0)


def utterance(espeak, language, voice, rng, longest_tract=1.0):
    """(sound, phonemes) by espeak-ng, with silence around it, or None."""
    spoken = espeak.speak(f"{language}+{voice}" if voice else language, text(language, rng),
                          int(rng.integers(100, 260)), int(rng.integers(10, 95)), int(rng.integers(20, 90)))  # fmt: skip
    return spoken and in_silence(*spoken, rng, longest_tract)


def in_silence(sound, phonemes, rng, longest_tract):
    """With silence around it, and a vocal tract of another length (within 1/longest .. longest), which is another speaker."""
    longer = round(100 * longest_tract ** rng.uniform(-1, 1)) / 100
    length = len(sound)
    if longer != 1:
        sound = resample(sound, round(SAMPLE_RATE / longer / 100) * 100)
    longer = len(sound) / length
    before, after = rng.uniform(0.1, 1.2, 2)
    sound = np.concatenate([np.zeros(int(before * SAMPLE_RATE)), sound, np.zeros(int(after * SAMPLE_RATE))]).astype(np.float32)
    return sound, [(t * longer + before, name) for t, name in phonemes] + [(len(sound) / SAMPLE_RATE, "")]
