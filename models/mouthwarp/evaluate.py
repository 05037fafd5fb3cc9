# SPDX-License-Identifier: MPL-2.0
"""How well the ear follows speech. Always the same clips.

usage: evaluate.py [--lips PACK] [--ear FILE.onnx] [--people-only] [RECORDING.wav...]
First people who really speak: PACK is a folder as lips.py describes it; `held out` are groups that train.py leaves out. Then synthetic speech in languages that
training never heard, by espeak-ng's own voices and by variants that training never heard, and by flite (a different synthesiser, English) where it
is installed: compared with the mouth that speech.py's table intends, of which only the closures are to be trusted. Sounds without a voice.
Recordings, of which nobody knows the true mouth: whether the mouth moves with every syllable and rests in every pause.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

import festival
import lips
from augment import SPEECH_RMS, Noises, degrade
from features import HERE, HOP, ROWS_PER_SECOND, SAMPLE_RATE
from predict import ear, poses_of, read_wav
from speech import CLOSURE_KERNEL, KERNEL, Espeak, closures, mouth
from voices import utterance

LANGUAGES = "it pl en-gb-x-rp ko vi".split()
VOICES = "m4 f3 klatt3 Michael belinda".split()
FRAME = 4  # rows between two frames at 25 a second
WIDE = 0.2  # what counts as 1 in the tables of speech that is no person's: an open vowel's opening, eye distances
CLOSED = 0.1  # an opening below this looks closed
HELD_OUT = "grid_s4"

FLITE_VOICES = "kal16 awb rms slt".split()
FLITE_TEXTS = (
    "We may buy a warm apple pie before the shop closes at five.",
    "Both of my brothers moved to a small farm near the river, but mother stayed.",
    "How many people put up with that much noise in summer?",
)


def people(folder, session):
    clips = lips.clips(folder)
    print(f"{folder}: r per clip, in the mean; size and speed of movement, ours to real; closed where the real lips are, or falsely; openings in pauses")
    for group in sorted({c["group"] for c in clips}):
        chosen = [c for c in clips if c["group"] == group]
        chosen = chosen[:: max(1, len(chosen) // 100)]
        figures, _ = lips.score(chosen, lambda sound: poses_of(sound, session))
        known = "held out" if group == HELD_OUT else "trained on"
        print(f"{group} ({known}): " + "  ".join(f"{k} {v:.0f}" if k in ("clips", "lag, ms") else f"{k} {v:.3f}" for k, v in figures.items()))
    print()


def normal(sound):
    return sound / (np.sqrt(np.mean(sound**2)) + 1e-9) * SPEECH_RMS


def poser(session):
    """A function from a sound to jaw, spread, closure at 100 a second, the first two as speech.py's table has them."""

    def pose(sound):
        rows = poses_of(sound, session, ROWS_PER_SECOND)
        return np.stack([rows[:, 0] / WIDE, rows[:, 1] / 0.06, rows[:, 4]], 1)

    return pose


def opening(pose):
    return pose[:, 0] * (1 - pose[:, 2])


def flite(voice, sentence):
    """(sound, phonemes), as speech.Espeak gives them."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        said = subprocess.run(["flite", "-voice", voice, "-t", sentence, "-psdur", "-o", wav], capture_output=True, text=True, check=True).stdout
        sound = read_wav(wav)
    names, ends = zip(*(s.split(":") for s in said.split()))
    starts = [0.0, *map(float, ends[:-1])]
    return sound, [(t, festival.ipa(n, festival.ENGLISH)) for t, n in zip(starts, names)] + [(len(sound) / SAMPLE_RATE, "")]


def speech(espeak):
    """{group: [(sound, phonemes)]}"""
    # Generators of their own, so that what is said stays the same whatever augment.py does.
    rng, noise_rng = np.random.default_rng(2), np.random.default_rng(4)
    noises = Noises(noise_rng, pieces=12)
    groups = {}
    for language in LANGUAGES:
        for label, voices in (("own voice", [""] * 5), ("variants", VOICES)):
            spoken = [s for s in (utterance(espeak, language, voice, rng) for voice in voices) if s]
            groups[f"{language}, {label}"] = [(normal(sound), p) for sound, p in spoken]
            groups[f"{language}, {label}, degraded"] = [(degrade(sound, noise_rng, noises), p) for sound, p in spoken]
    if shutil.which("flite"):
        for voice in FLITE_VOICES:
            groups[f"flite {voice}"] = [(normal(s), p) for s, p in (flite(voice, t) for t in FLITE_TEXTS)]
    return groups


def lag_of(got, want):
    """Milliseconds by which `got` comes late: the peak of a parabola through the best three correlations, in steps of a row."""
    steps = np.arange(-8, 9)
    r = [np.corrcoef(np.roll(got, -s), want)[0, 1] for s in steps]
    best = int(np.clip(np.argmax(r), 1, len(r) - 2))
    a, b, c = r[best - 1 : best + 2]
    return (steps[best] + (a - c) / (2 * (a - 2 * b + c))) * 1000 / ROWS_PER_SECOND


def compare(pose, groups):
    """Scores of each group, then of all groups of a kind."""
    print(f"blended over {KERNEL * 1000:.0f} ms (raised cosine, width at half height; closure {CLOSURE_KERNEL * 1000:.0f} ms)")
    print(f"{'':34} {'s':>4}  r jaw spread closure  size   lag ms  p b m closed   opening at them, at open vowels")
    everything = {}
    for name, clips in groups.items():
        got = [pose(sound) for sound, _ in clips]
        want = [mouth(phonemes, len(g)) for g, (_, phonemes) in zip(got, clips)]
        met = met_of = 0
        at_closures = []
        for g, (_, phonemes) in zip(got, clips):
            for start, end in closures(phonemes):
                if name.startswith("flite"):  # whose times are estimates
                    start, end = start - 0.03, end + 0.03
                a, b = int(np.ceil(start * ROWS_PER_SECOND)), int(np.floor(end * ROWS_PER_SECOND))
                for phase in range(FRAME):  # wherever the frames fall
                    at = [row for row in range(a, b + 1) if row % FRAME == phase and row < len(g)]
                    if at:
                        met_of += 1
                        met += opening(g[at]).min() < CLOSED
                        at_closures.append(opening(g[at]).min())
        result = np.concatenate(got), np.concatenate(want), met, met_of, at_closures
        report(name, *result)
        kind = "all degraded" if "degraded" in name else "all flite" if "flite" in name else "all own voices" if "own" in name else "all variants"
        everything.setdefault(kind, []).append(result)
    for kind, parts in everything.items():
        got, want, met, met_of, at = zip(*parts)
        report(kind, np.concatenate(got), np.concatenate(want), sum(met), sum(met_of), sum(at, []))


def report(name, got, want, met, met_of, at_closures):
    r = [np.corrcoef(got[:, i], want[:, i])[0, 1] for i in range(3)]
    shut, wide = np.mean(at_closures) if at_closures else np.nan, want[:, 0] > 0.6
    print(f"{name:34} {len(want) / ROWS_PER_SECOND:4.0f}  {r[0]:.3f}  {r[1]:.3f}  {r[2]:.3f}  {got[:, 0].std() / want[:, 0].std():5.2f}  "
          f"{lag_of(got[:, 0], want[:, 0]):+6.1f}  {met:4}/{met_of:4} {100 * met / max(1, met_of):5.1f} %   "
          f"{shut:.3f}  {opening(got[wide]).mean() if wide.any() else np.nan:.3f}")  # fmt: skip


def no_voice(pose):
    """Noise and music: some like the training's, some unlike it."""
    rng = np.random.default_rng(3)
    noises = Noises(rng, pieces=20)
    t = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
    bells = sum(np.sin(2 * np.pi * f * t + 3 * np.exp(-4 * (t % d)) * np.sin(2 * np.pi * 1.4 * f * t)) * np.exp(-4 * (t % d))
                for f, d in ((440, 0.5), (554, 0.75), (659, 1.0)))  # fmt: skip
    bass = np.sign(np.sin(2 * np.pi * 82.4 * t)) * (t % 0.5 < 0.4)
    drums = rng.standard_normal(len(t)) * np.exp(-25 * (t % 0.25))
    sounds = {
        "like the training's": [degrade(noises.take(4 * SAMPLE_RATE, rng), rng, noises) for _ in range(20)],
        "white noise, -60 to -20 dBFS": [rng.standard_normal(6 * SAMPLE_RATE) * 10 ** (db / 20) for db in range(-60, -19, 10)],
        "bells": [normal(bells)], "square bass and drums": [normal(bass + drums)],
        "drums": [normal(drums)], "tone of 440 Hz": [np.sin(2 * np.pi * 440 * t) * SPEECH_RMS],
    }  # fmt: skip
    print("\nno voice: opening             mean   95 % below  99 % below")
    for name, list_ in sounds.items():
        gap = np.concatenate([opening(pose(s)) for s in list_])
        print(f"{name:28} {gap.mean():6.3f}  {np.percentile(gap, 95):6.3f}  {np.percentile(gap, 99):6.3f}")


def recordings(pose, paths):
    print("\nrecordings                      open, mean  most   syllables moved   pauses closed in time   opening after 300 ms, most")
    for path in paths:
        sound = read_wav(path)
        gap = opening(pose(sound))
        energy = 10 * np.log10(uniform_filter1d(sound**2, int(0.04 * SAMPLE_RATE))[::HOP] + 1e-10)[: len(gap)]
        peak = energy.max()
        smooth = uniform_filter1d(energy.clip(peak - 40), 7)
        syllables = find_peaks(smooth, height=peak - 25, prominence=3, distance=10)[0]
        moved = [np.ptp(gap[max(0, i - 10) : i + 11]) >= 0.1 for i in syllables]
        # Pauses: at least 500 ms 30 dB below the loudest. In shorter ones people's lips rest half open.
        quiet = np.flatnonzero(np.diff(np.concatenate([[0], energy < peak - 30, [0]])))
        pauses = [(a, b) for a, b in quiet.reshape(-1, 2) if b - a >= 50]
        # Before a pause ends the lips get ready: the last 150 ms are left out.
        after = [gap[a + 30 : b - (15 if b < len(gap) else 0)] for a, b in pauses]
        most = [x.max() for x in after if len(x)]
        print(f"{Path(path).name[:31]:31} {gap.mean():10.2f} {gap.max():6.2f}   {sum(moved):3}/{len(moved):3} {100 * np.mean(moved) if moved else 0:5.1f} %"
              f"   {sum(m < CLOSED for m in most):3}/{len(most):3}   {' '.join(f'{m:.2f}' for m in most)}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*")
    parser.add_argument("--lips")
    parser.add_argument("--ear", default=HERE / "ear.onnx")
    parser.add_argument("--people-only", action="store_true")
    args = parser.parse_args()
    session = ear(args.ear)
    if args.lips:
        people(args.lips, session)
    if args.people_only:
        return
    pose = poser(session)
    compare(pose, speech(Espeak()))
    no_voice(pose)
    if args.recordings:
        recordings(pose, args.recordings)


if __name__ == "__main__":
    main()
