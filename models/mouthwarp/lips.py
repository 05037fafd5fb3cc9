# SPDX-License-Identifier: MPL-2.0
"""Real mouths: a folder of NAME.flac (16 kHz mono) and NAME.npz (what FaceMesh V2 saw of the speaker's face, frame by frame).

An npz holds `t` (seconds of each frame), `landmarks` (n, 75, 3: those of the 478 in KEPT, head movement taken out, unit: the distance of the outer
corners of the eyes), `opening`, `width` and `jaw` in the same unit, `phones` (JSON: [[ARPAbet name, start, end, word], …]) and `meta` (JSON with
name and group).
"""

import json
from pathlib import Path

import numpy as np
import soundfile

# The first of the 75 points: outer lips, inner lips.
OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
KEPT = OUTER + INNER
UPPER = [KEPT.index(p) for p in (82, 13, 312)]  # the upper lip's lower edge

CLOSED, OPEN = 0.015, 0.02  # less is closed, more is open; eye distances
VOWELS = set("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
SILENCES = ("SIL", "+SPN+", "+NSN+")
LAGS = np.arange(-240, 241, 40) / 1000


def clips(folder, groups=None):
    """[{name, group, sound, t, measures (n, 4): opening, width, jaw, upper, phones}]: the last three relative to the speaker's closed mouth."""
    found = []
    for path in sorted(Path(folder).glob("*.npz")):
        data = np.load(path)
        meta = json.loads(str(data["meta"]))
        if groups and meta["group"] not in groups:
            continue
        sound, _ = soundfile.read(path.with_suffix(".flac"), dtype="float32")
        opening, width, jaw = (data[k].astype(np.float64) for k in ("opening", "width", "jaw"))
        upper = -data["landmarks"][:, UPPER, 1].astype(np.float64).mean(1)
        closed = opening < np.nanpercentile(opening, 15) + 0.01
        measures = np.stack([opening, width - np.nanmedian(width), jaw - np.nanmedian(jaw[closed]), upper - np.nanmedian(upper[closed])], 1)
        found.append({"name": meta["name"], "group": meta["group"], "sound": sound, "t": data["t"].astype(np.float64),
                      "measures": measures, "width": width, "phones": json.loads(str(data["phones"]))})  # fmt: skip
    return found


def correlation(a, b):
    good = np.isfinite(a) & np.isfinite(b)
    if good.sum() < 9 or a[good].std() < 1e-9 or b[good].std() < 1e-9:
        return np.nan
    return np.corrcoef(a[good], b[good])[0, 1]


def pauses(clip):
    """[(start, end)] without speech for 300 ms and more, by phone times."""
    spoken = [(a, b) for name, a, b, _ in clip["phones"] if name not in SILENCES]
    edges = [0.0] + [t for part in spoken for t in part] + [len(clip["sound"]) / 16000]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2]) if b - a >= 0.3]


def score(clips, answer):
    """How well `answer(sound)` → (n, 5) at 25 a second (predict.py's poses_of) agrees with real lips: a dict of figures, and those per clip.

    r is per clip and then averaged; lag 0 and the clip's best lag within ±240 ms; closed: opening · (1 − closure) below 15 % of its 95 % point over
    all clips; p b m are asked for in frames from 40 ms before to 40 ms after, n l t d and vowels, where the real lips stay open, inside.
    """
    answers = [answer(c["sound"]) for c in clips]
    shown = [a[:, 0] * (1 - a[:, 4]) for a in answers]
    ours, real = np.percentile(np.concatenate(shown), 95) or 1, np.nanpercentile(np.concatenate([c["measures"][:, 0] for c in clips]), 95)
    rows, phones, rests = [], [], []
    for clip, a, x in zip(clips, answers, shown):
        t, y = clip["t"], clip["measures"][:, 0]
        own = np.arange(len(a)) / 25
        at = lambda lag, v=x: np.interp(t + lag, own, v)  # noqa: E731
        lags = [correlation(y, at(lag)) for lag in LAGS]
        best = int(np.nanargmax(lags))
        now = at(0)
        rows.append((lags[len(LAGS) // 2], lags[best], LAGS[best] * 1000, correlation(clip["width"], at(0, a[:, 1])),
                     now.std() / ours / (np.nanstd(y) / real), np.abs(np.diff(now)).mean() / ours / (np.nanmean(np.abs(np.diff(y))) / real)))  # fmt: skip
        for name, start, end, _ in clip["phones"]:
            near, inside = (t >= start - 0.04 - 1e-6) & (t <= end + 0.04 + 1e-6), (t >= start) & (t <= end)
            if name in ("P", "B", "M") and near.any():
                phones.append(("pbm", np.nanmin(y[near]) < CLOSED, now[near].min() < 0.15 * ours))
            elif (name in ("N", "L", "T", "D") or name in VOWELS) and inside.any():
                phones.append(("vowels" if name in VOWELS else "nltd", np.nanmin(y[inside]) >= OPEN, now[inside].min() < 0.15 * ours))
        low, high = np.nanpercentile(y, [5, 95])
        for start, end in pauses(clip):
            rest = (t > start + 0.15) & (t < end - 0.15)
            if rest.any():
                rests.append((((y[rest] - low) / max(high - low, 1e-3)).mean(), (now[rest] / ours).mean()))
    r0, best, lag, width, size, speed = np.nanmean(rows, 0)
    figures = {"clips": len(clips), "r": r0, "best r": best, "lag, ms": lag, "width r": width, "size": size, "speed": speed}
    for kind in ("pbm", "nltd", "vowels"):
        hits = [closed for name, there, closed in phones if name == kind and there]
        figures[kind + " closed"] = np.mean(hits) if hits else np.nan
    figures["pause, real"], figures["pause"] = np.mean(rests, 0) if rests else (np.nan, np.nan)
    return figures, rows
