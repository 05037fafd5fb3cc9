# SPDX-License-Identifier: MPL-2.0
"""Trains the sound half on synthetic speech and prints how it does on languages and voices that it never heard.

usage: train.py pose.pt      then: export.py pose.pt
"""

import argparse
import time

import numpy as np
import torch

from features import HOP, SAMPLE_RATE, log_mel
from network import LOUDNESS_ROWS, SIDE_ROWS, PoseNet
from speech import Espeak, mouth, text

TRAIN_LANGUAGES = "en-us de es fr nl sv fi tr hu ro pt-br cs id da cmn ja ru hi ar".split()
TEST_LANGUAGES = "it pl en-gb-x-rp ko vi".split()
TRAIN_VOICES = ",m1,m2,m3,m5,m7,f1,f2,f4,f5,croak,whisper,klatt,klatt2,klatt4,Annie,Andy,Mario,steph,edward,linda,grandpa".split(",")
TEST_VOICES = "m4 f3 klatt3 Michael belinda".split()
HISTORY = LOUDNESS_ROWS - 1 + SIDE_ROWS  # rows that the network needs before the first row it speaks about


def noise(n, rng):
    """White to brown, or a hum with its overtones, or chords with drums; RMS 1."""
    kind = rng.random()
    if kind < 0.6:
        f = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
        shape = np.maximum(f, 40) ** -rng.uniform(0, 1)
        out = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * shape, n)
    elif kind < 0.75:
        t = np.arange(n) / SAMPLE_RATE
        out = sum(rng.random() / k * np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * k * t) for k in range(1, 12))
    else:
        out = music(n, rng)
    return out / (np.sqrt(np.mean(out**2)) + 1e-9)


def music(n, rng):
    out, at = np.zeros(n), 0
    beat = int(SAMPLE_RATE * rng.uniform(0.15, 0.6))
    while at < n:
        length = min(int(beat * rng.integers(1, 5)), n - at)
        t = np.arange(length) / SAMPLE_RATE
        for _ in range(rng.integers(1, 5)):
            f = 55 * 2 ** (rng.integers(0, 48) / 12)
            tone = sum(rng.random() / k * np.sin(2 * np.pi * f * k * t) for k in range(1, 9) if f * k < 7000)
            out[at : at + length] += tone * np.exp(-t * rng.uniform(0.5, 8))
        if rng.random() < 0.5:
            out[at : at + length] += rng.standard_normal(length) * np.exp(-t * rng.uniform(20, 80)) * 2
        at += beat
    return out


def room(sound, rng):
    n = int(SAMPLE_RATE * rng.uniform(0.05, 0.4))
    tail = rng.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    tail *= rng.uniform(0.1, 0.8) / np.sqrt((tail**2).sum())
    tail[0] = 1
    size = len(sound) + n
    return np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)[: len(sound)]


def equalise(sound, rng):
    """A smooth random curve, sometimes a narrow band."""
    f = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    at = np.log2(np.maximum(f, 30) / 30)
    curve = np.interp(at, np.linspace(0, 8.1, 6), rng.normal(0, 5, 6))
    if rng.random() < 0.25:
        low, high = rng.uniform(60, 350), rng.uniform(3000, 7000)
        curve -= 24 * np.maximum(np.log2(low / np.maximum(f, 1)), 0) + 24 * np.maximum(np.log2(np.maximum(f, 1) / high), 0)
    return np.fft.irfft(np.fft.rfft(sound) * 10 ** (curve / 20), len(sound))


def clip(espeak, language, voice, rng, dirty=True):
    """(features, mouth) of one utterance with silence around and inside it."""
    spoken = espeak.speak(f"{language}+{voice}" if voice else language, text(language, rng),
                          int(rng.integers(100, 260)), int(rng.integers(10, 95)), int(rng.integers(20, 90)))  # fmt: skip
    if spoken is None:
        return None
    sound, phonemes = spoken
    before, after = rng.uniform(0.1, 1.2, 2)
    sound = np.concatenate([np.zeros(int(before * SAMPLE_RATE)), sound, np.zeros(int(after * SAMPLE_RATE))])
    phonemes = [(t + before, name) for t, name in phonemes] + [(len(sound) / SAMPLE_RATE, "")]
    return degrade(sound, rng, dirty), mouth(phonemes, len(sound) // HOP + 1)


def nothing(rng):
    """(features, closed mouth): silence, noise or music without a voice."""
    sound = noise(int(SAMPLE_RATE * rng.uniform(3, 5)), rng) * 0.07
    if rng.random() < 0.3:
        sound *= 0
    return degrade(sound, rng), np.zeros((len(sound) // HOP + 1, 3), np.float32)


def degrade(sound, rng, dirty=True):
    sound = sound / (np.sqrt(np.mean(sound**2)) * 14 + 1e-9)  # -23 dBFS
    if dirty:
        if rng.random() < 0.5:
            sound = room(sound, rng)
        if rng.random() < 0.7:
            sound = equalise(sound, rng)
        if rng.random() < 0.8:
            sound = sound + noise(len(sound), rng) * 0.07 * 10 ** (-rng.uniform(6, 50) / 20)
        sound = np.clip(sound * 10 ** (rng.uniform(-20, 16) / 20), -1, 1)
    sound = np.round(sound * 32767) / 32767
    return log_mel(sound)


def batch(clips, rng, size=32, rows=192):
    xs, ys = [], []
    for i in rng.integers(0, len(clips), size):
        x, y = clips[i]
        at = int(rng.integers(0, max(1, len(y) - rows)))
        pick = np.clip(np.arange(at - HISTORY, at + rows + SIDE_ROWS), 0, len(y) - 1)
        x = x[pick]
        # Longer and shorter vocal tracks, other microphones.
        shift = rng.integers(-3, 4)
        x = np.roll(x, shift, 1)
        if shift > 0:
            x[:, :shift] = x[:, shift : shift + 1]
        elif shift < 0:
            x[:, shift:] = x[:, shift - 1 : shift]
        tilt = np.interp(np.arange(80), [0, 26, 53, 79], rng.normal(0, 0.25, 4))
        xs.append(np.clip(x + tilt + rng.normal(0, 0.15, x.shape), -4, 4))
        ys.append(y[np.clip(np.arange(at, at + rows), 0, len(y) - 1)])
    return torch.tensor(np.array(xs), dtype=torch.float32), torch.tensor(np.array(ys))


def loss_of(out, want):
    jaw, spread, closure = ((out - want) ** 2).unbind(-1)
    steps = ((out[:, 1:, 0] - out[:, :-1, 0]) - (want[:, 1:, 0] - want[:, :-1, 0])) ** 2
    visible = 0.1 + want[..., 0]  # rounding hardly shows on a closed mouth
    return jaw.mean() + 4 * steps.mean() + 0.4 * (spread * visible).mean() + (closure * (0.5 + 2 * want[..., 2])).mean()


def predict(net, x):
    pick = np.clip(np.arange(-HISTORY, len(x) + SIDE_ROWS), 0, len(x) - 1)
    with torch.no_grad():
        return net(torch.from_numpy(x[pick])[None])[0].numpy()


def evaluate(net, groups):
    for name, clips in groups.items():
        out = np.concatenate([predict(net, x) for x, _ in clips])
        want = np.concatenate([y for _, y in clips])
        r = [np.corrcoef(out[:, i], want[:, i])[0, 1] for i in range(3)]
        lags = {lag: np.corrcoef(np.roll(out[:, 0], -lag), want[:, 0])[0, 1] for lag in range(-6, 7)}
        lag = max(lags, key=lags.get)
        shut = want[:, 2] > 0.9
        visible = out[:, 0] * (1 - out[:, 2])
        print(f"{name:14} {len(want) / 100:6.1f} s  r jaw {r[0]:.3f} spread {r[1]:.3f} closure {r[2]:.3f}  lag {lag * 10:+d} ms  "
              f"opening at p/b/m {visible[shut].mean():.3f}, at open vowels {visible[want[:, 0] > 0.6].mean():.3f}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--clips", type=int, default=900)
    args = parser.parse_args()
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    started = time.time()
    espeak = Espeak()
    clips = []
    while len(clips) < args.clips:
        made = clip(espeak, rng.choice(TRAIN_LANGUAGES), rng.choice(TRAIN_VOICES), rng) if rng.random() < 0.9 else nothing(rng)
        if made:
            clips.append(made)
    held_out = np.random.default_rng(2)
    tests = {}
    for language in TEST_LANGUAGES:
        made = [clip(espeak, language, voice, held_out, dirty) for voice in TEST_VOICES for dirty in (False, True)]
        tests[language] = [m for m in made if m]
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
    net.eval()
    evaluate(net, tests)
    silent = [nothing(held_out) for _ in range(20)]
    out = np.concatenate([predict(net, x) for x, _ in silent])
    print(f"no voice       jaw mean {out[:, 0].mean():.3f}, 95th percentile {np.percentile(out[:, 0], 95):.3f}")
    torch.save(net.state_dict(), args.weights)


if __name__ == "__main__":
    main()
