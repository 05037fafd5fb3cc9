# SPDX-License-Identifier: MPL-2.0
"""The audio network of DH_live (github.com/kleinlee/DH_live, checkpoint/audio.pkl, MIT), which was trained by its author on pictures of real mouths.

It is where the ear starts from, and what tells it the mouths of voices of which no pictures are at hand. It is read from an ONNX file with the
initialisers w0, b0, w1, b1 (linear), W0, R0, B0, W1, R1, B1 (LSTM) and fw0..2, fb0..2 (linear).
"""

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from features import fbank
from network import Listener

AHEAD = 0.07  # seconds by which its answer k, of rows that start at k · 40 ms, comes early
RATE = 25


def weights(path):
    """State of a Listener."""
    tensors = {t.name: torch.tensor(numpy_helper.to_array(t).copy()) for t in onnx.load(path).graph.initializer}

    def gates(tensor):  # ONNX: input, output, forget, cell; PyTorch: input, forget, cell, output
        i, o, f, c = tensor.chunk(4)
        return torch.cat([i, f, c, o])

    state = {}
    for name, w in (("first", "0"), ("second", "1"), ("head.0", "f0"), ("head.1", "f1"), ("head.2", "f2")):
        prefix = "f" if w[0] == "f" else ""
        state[f"{name}.weight"], state[f"{name}.bias"] = tensors[f"{prefix}w{w[-1]}"].T, tensors[f"{prefix}b{w[-1]}"]
    for layer in (0, 1):
        state[f"lstm.weight_ih_l{layer}"] = gates(tensors[f"W{layer}"][0])
        state[f"lstm.weight_hh_l{layer}"] = gates(tensors[f"R{layer}"][0])
        for kind, part in zip(("ih", "hh"), tensors[f"B{layer}"][0].chunk(2)):
            state[f"lstm.bias_{kind}_l{layer}"] = gates(part)
    return state


class Teacher:
    def __init__(self, path):
        self.net = Listener()
        self.net.load_state_dict(weights(path))
        self.net.eval()

    def coefficients(self, sound):
        """Six coefficients at 25 a second for mono samples; the first is at −AHEAD."""
        sound = np.concatenate([sound, np.zeros(3200)])
        # Its rows are 20 ms apart and centred on the middle of theirs, mirrored at the sound's ends.
        rows = fbank(np.pad(sound, 240, mode="symmetric"))[::2]
        pairs = torch.tensor(rows[: len(rows) // 2 * 2].reshape(1, -1, 160))
        with torch.no_grad():
            return self.net.coefficients(self.net.hidden(pairs)[0])[0].numpy()

    def at(self, sound, times):
        """(times, 6)"""
        found = self.coefficients(sound)
        own = np.arange(len(found)) / RATE - AHEAD
        return np.stack([np.interp(times, own, c) for c in found.T], 1)
