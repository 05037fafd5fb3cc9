# SPDX-License-Identifier: MPL-2.0
"""usage: predict.py WAV      prints what ear.onnx makes of a sound, at the model's frame rate: time, opening and spread of the mouth in distances of the
outer corners of the eyes (spread: from this person's mean width), closure 0..1. What is seen of the opening is opening · (1 − closure)."""

import sys

import numpy as np
import onnxruntime
from scipy.io import wavfile

from features import HERE, MANIFEST, hear, resample, windows
from network import BEFORE, EMPHASIS, PRESSED

CPU = ["CPUExecutionProvider"]


def read_wav(path):
    """Mono float samples at SAMPLE_RATE."""
    rate, sound = wavfile.read(path)
    if sound.dtype.kind == "i":
        sound = sound / np.iinfo(sound.dtype).max
    elif sound.dtype.kind == "u":
        sound = sound / 127.5 - 1
    sound = sound.mean(1) if sound.ndim == 2 else sound
    return resample(sound, rate)


def ear(path=HERE / "ear.onnx"):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a step is too short to share
    return onnxruntime.InferenceSession(path, options, providers=CPU)


def poses_of(sound, session=None, fps=MANIFEST["fps"]):
    """(frames, 5) for samples: what frames of a video of that rate would show; network.py's frame_pose in numpy."""
    rows = windows(hear(sound, session or ear()), fps)
    share = np.array([BEFORE[0], 0, 0, 0, BEFORE[1]])
    pose = (1 - share) * rows[:, -1] + share * rows[:, 0]
    pose[:, 0] = (EMPHASIS * pose[:, 0]).clip(0)
    pose[:, 4] = (pose[:, 4] * PRESSED[0] - PRESSED[1]).clip(0, 1)
    return pose


def poses(path, session=None, fps=MANIFEST["fps"]):
    """(frames, 5) for a sound file."""
    return poses_of(read_wav(path), session, fps)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for frame, (opening, spread, _, _, closure) in enumerate(poses(sys.argv[1])):
        print(f"{frame / MANIFEST['fps']:7.2f}  {opening:6.4f}  {spread:7.4f}  {closure:5.2f}")
