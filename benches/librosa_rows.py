#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""What Wav2Lip's log-mel rows cost beside librosa's, on one core: times real time.

    python3 benches/librosa_rows.py        needs what models/requirements.txt lists, and Rust

librosa computes in single precision, which is its fastest way; the scripts that come with Wav2Lip have it compute in double.

librosa's rounds and those of `cargo bench --features benching --bench parts -- rows/wav2lip` alternate; the figures are medians.
"""
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

# One core, as ours; read when the libraries are loaded.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[threads] = "1"

import librosa  # noqa: E402
import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "models"))
import tensors  # noqa: E402

ROUNDS = 5
# Of sound, in benches/parts.rs.
SECONDS = 60
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def librosas(front):
    """CPU seconds for a second of sound."""
    rate = front["sample-rate"]
    samples = (0.1 * np.random.default_rng(0).standard_normal(SECONDS * rate)).astype(np.float32)
    shape = {"sr": rate, "n_fft": front["n-fft"], "hop_length": front["hop-length"], "win_length": front["win-length"]}
    mel = {"n_mels": front["n-mels"], "fmin": front["f-min"], "fmax": front["f-max"], "power": front["power"]}
    runs = []
    for _ in range(10):
        start = time.process_time()
        emphasised = librosa.effects.preemphasis(samples, coef=front["preemphasis"])
        librosa.amplitude_to_db(librosa.feature.melspectrogram(y=emphasised, **shape, **mel), ref=10, top_db=None)
        runs.append(time.process_time() - start)
    return statistics.median(runs) / SECONDS


def ours():
    """Seconds for a second of sound."""
    command = ["cargo", "bench", "--quiet", "--features", "benching", "--bench", "parts", "--", "rows/wav2lip", "--warm-up-time", "1"]
    subprocess.run([*command, "--measurement-time", "2"], check=True, capture_output=True, cwd=ROOT)
    estimates = json.loads((TARGET / "criterion/rows/wav2lip/new/estimates.json").read_text())
    return estimates["median"]["point_estimate"] / 1e9 / SECONDS


front = tensors.manifest(ROOT / "models/wav2lip")["audiofeatures"]
rounds = [(ours(), librosas(front)) for _ in range(ROUNDS)]
own, other = (1 / statistics.median(r[k] for r in rounds) for k in (0, 1))
ratio = statistics.median(theirs / mine for mine, theirs in rounds)
print(f"times real time, medians of {ROUNDS} rounds: {own:.0f}, librosa {other:.0f}, {ratio:.1f} times as fast")
