# SPDX-License-Identifier: MPL-2.0
"""usage: predict.py WAV      prints what mouthwarp.onnx makes of a sound: time, jaw, spread, closure, at the model's frame rate."""

import sys

import numpy as np
import onnxruntime
from scipy.io import wavfile

from features import HERE, MANIFEST, log_mel, resample, windows


def read_wav(path):
    """Mono float samples at SAMPLE_RATE."""
    rate, sound = wavfile.read(path)
    if sound.dtype.kind == "i":
        sound = sound / np.iinfo(sound.dtype).max
    elif sound.dtype.kind == "u":
        sound = sound / 127.5 - 1
    sound = sound.mean(1) if sound.ndim == 2 else sound
    return resample(sound, rate)


def poses(path, session=None):
    """(frames, 3) for a sound file. Landmarks and face do not matter to the pose."""
    session = session or onnxruntime.InferenceSession(HERE / "mouthwarp.onnx", providers=["CPUExecutionProvider"])
    rows = windows(log_mel(read_wav(path)))
    width, height = MANIFEST["facecrop"]["size"]
    landmarks = np.random.default_rng(0).random((8, 68, 2), np.float32)
    face = np.zeros((8, 3, height, width), np.float32)
    out = []
    for i in range(0, len(rows), 8):
        n = len(rows[i : i + 8])
        out += session.run(["pose"], {"features": rows[i : i + 8], "landmarks": landmarks[:n], "face": face[:n]})
    return np.concatenate(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for frame, (jaw, spread, closure) in enumerate(poses(sys.argv[1])):
        print(f"{frame / MANIFEST['fps']:7.2f}  {jaw:5.2f}  {spread:5.2f}  {closure:5.2f}")
