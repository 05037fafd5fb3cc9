# SPDX-License-Identifier: MPL-2.0
"""Trains the sound half on synthetic speech. Seeds are fixed.

usage: train.py pose.pt      then: export.py pose.pt and evaluate.py
"""

import argparse
import time

import numpy as np
import torch

from augment import SPEECH_RMS, Noises, degrade
import festival
from features import HOP, SAMPLE_RATE, resample
from network import LOUDNESS_ROWS, SIDE_ROWS, PoseNet
from speech import Espeak, mouth, text

LANGUAGES = (
    "en-us en-us en-gb-scotland de de es fr nl sv fi tr hu ro pt-br pt cs id da cmn ja ru hi ar "
    "el bg sk hr et lv lt ca eo sw ms fa ta bn ka az nb cy ga is sl sq af eu uk"
).split()
VOICES = (
    ",,,,m1,m2,m3,m5,m6,m7,m8,f1,f2,f4,f5,croak,whisper,whisperf,klatt,klatt2,klatt4,Annie,Andy,Mario,steph,edward,linda,grandpa,"
    "anika,aunty,caleb,ed,gene,john,max,paul,rob,sandro,tina,travis,zac,Denis,Diogo,Gene,Hugo,Jacky,Lee,miguel,shelby,victor"
).split(",")
HISTORY = LOUDNESS_ROWS - 1 + SIDE_ROWS  # rows that the network needs before the first row it speaks about
LOOKS = 2  # each utterance is degraded this many times
NO_VOICE = 0.2  # of the material is noise, music or silence
PEOPLE = 0.15  # of the voices are recordings of people, cut up and joined again
TRACT = 1.18  # the longest vocal tract, relative to the voice's own; the shortest is its inverse


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


def nothing(rng, noises):
    """(features, closed mouth): silence, noise or music without a voice."""
    sound = noises.take(int(SAMPLE_RATE * rng.uniform(3, 5)), rng) * SPEECH_RMS
    if rng.random() < 0.25:
        sound = sound * 0
    return degrade(sound, rng, noises), np.zeros((len(sound) // HOP + 1, 3), np.float32)


def material(count, rng, espeak):
    """[(features, mouth)]"""
    noises = Noises(rng)
    people = festival.utterances(round(count * PEOPLE / len(festival.VOICES)), rng)
    clips = []
    while len(clips) < count * LOOKS:
        if rng.random() < NO_VOICE:
            clips += [nothing(rng, noises) for _ in range(LOOKS)]
            continue
        if rng.random() < PEOPLE:
            spoken = in_silence(*people[rng.integers(len(people))], rng, TRACT)
        else:
            spoken = utterance(espeak, rng.choice(LANGUAGES), rng.choice(VOICES), rng, TRACT)
        if spoken:
            sound, phonemes = spoken
            want = mouth(phonemes, len(sound) // HOP + 1)
            clips += [(degrade(sound, rng, noises).astype(np.float16), want) for _ in range(LOOKS)]
    return clips


def between(rows, at):
    """Rows at positions between rows; the ends repeat."""
    at = np.clip(at, 0, len(rows) - 1)
    low = np.floor(at).astype(int)
    share = (at - low).astype(np.float32)[:, None]
    return rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share


def batch(clips, rng, size=32, rows=192):
    xs, ys = [], []
    for i in rng.integers(0, len(clips), size):
        x, y = clips[i]
        pace = rng.uniform(0.85, 1.18)
        at = rng.uniform(0, max(1, len(y) - rows * pace))
        x = between(x, at + pace * np.arange(-HISTORY, rows + SIDE_ROWS - 1)).astype(np.float32)
        # Longer and shorter vocal tracts again: about 0.04 octaves a band above 1 kHz, fewer below.
        shift = rng.uniform(-3, 3)
        x = between(x.T, np.arange(80) - shift * np.minimum(np.arange(80) / 27, 1)).T
        if rng.random() < 0.3:  # hoarse, hissing, murmuring: formants less sharp
            for _ in range(rng.integers(1, 4)):
                x = (x + (x[:, np.r_[0, :79]] + x[:, np.r_[1:80, 79]]) / 2) / 2
        if rng.random() < 0.4:  # a band that tells nothing
            low = rng.integers(0, 72)
            band = slice(low, low + rng.integers(3, 12))
            x[:, band] = x[:, band].mean()
        tilt = np.interp(np.arange(80), [0, 26, 53, 79], rng.normal(0, 0.25, 4))
        xs.append(np.clip(x + tilt + rng.normal(0, 0.1, x.shape), -4, 4))
        ys.append(between(y, at + pace * np.arange(rows)))
    return torch.tensor(np.array(xs), dtype=torch.float32), torch.tensor(np.array(ys), dtype=torch.float32)


def loss_of(out, want):
    jaw, spread, closure = ((out - want) ** 2).unbind(-1)
    steps = ((out[:, 1:, 0] - out[:, :-1, 0]) - (want[:, 1:, 0] - want[:, :-1, 0])) ** 2
    visible = 0.3 + want[..., 0]  # rounding hardly shows on a closed mouth
    # Unsure, a network mumbles: the squared error is least near the mean. Movements shall be as large as the intended ones.
    size = (out.std(1) - want.std(1)) ** 2
    # Lips that stay apart at an m are seen by all; a false closure matters as much as the opening that it hides.
    hides = 0.2 + want[..., 0] + 3 * want[..., 2]
    return (
        jaw.mean() + 4 * steps.mean() + 0.7 * (spread * visible).mean() + (closure * hides).mean()
        + 0.3 * size[:, 0].mean() + 0.1 * size[:, 1].mean()
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("--steps", type=int, default=7500)
    parser.add_argument("--utterances", type=int, default=4500)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(1)
    started = time.time()
    clips = material(args.utterances, rng, Espeak())
    print(f"{sum(len(y) for _, y in clips) / 6000:.0f} minutes of sound made in {time.time() - started:.0f} s", flush=True)
    net = PoseNet()
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, args.steps)
    for step in range(args.steps):
        x, y = batch(clips, rng)
        loss = loss_of(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 250 == 249:
            print(f"step {step + 1}  loss {loss.item():.4f}  {time.time() - started:.0f} s", flush=True)
            torch.save(net.state_dict(), args.weights)
    torch.save(net.state_dict(), args.weights)


if __name__ == "__main__":
    main()
