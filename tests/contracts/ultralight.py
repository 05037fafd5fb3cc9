# SPDX-License-Identifier: MPL-2.0
"""Ultralight-Digital-Human's contract: HuBERT, WeNet and AVE, 160 and 328, as the model's folder says. Frame i of 25 (WeNet: 20) a second,
pictures in red, green, blue unless said otherwise. Points are PFLD's 110."""

import cv2
import numpy as np
import shared

RATE = 16000
kind, large = "hubert", False  # set by choose()


def choose(name):
    """name: of the model, such as ultralight-328-ave."""
    global kind, large
    kind = next((k for k in ("wenet", "ave") if name.endswith(k)), "hubert")
    large = "-328" in name


def fps():
    return 20 if kind == "wenet" else 25


def rows(sound, folder):
    if kind == "hubert":
        # Zero mean and unit variance; 50 rows a second, paired to one a frame.
        normal = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
        found = shared.encoder(folder / "hubert.pt")(normal[None].astype(np.float32))[0]
        return found[: len(found) // 2 * 2].reshape(-1, 2, 1024)
    if kind == "wenet":
        # Filter banks of the sound with silence around it, a chunk of 67 every 5.
        silent = np.concatenate([np.zeros(32 * 160), sound, np.zeros(100 * 160)])
        banks = kaldi(np.trunc(silent * 32768))
        run = shared.session(folder / "wenet.onnx").run
        return np.stack([run(["rows"], {"chunk": banks[None, None, k : k + 67]})[0][0, 0] for k in range(0, len(sound) // 160, 5)])
    # One answer for each frame. The folder's graph makes its own log-mel columns, five frames to 16 of them (check.py compares those).
    run = shared.session(folder / "ave.onnx").run
    silent = np.concatenate([np.zeros(3200), sound, np.zeros(32000)]).astype(np.float32)
    frames = range(int(len(sound) / RATE * 25))
    return np.stack([run(["rows"], {"waveform": silent[None, i // 5 * 3200 :][:, :21800]})[0][0, 5 + i % 5] for i in frames])


def kaldi(sound):
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
    from sound import fbank

    return fbank(sound, RATE, {"scale": 1})


def sides(face):
    points = face["points"].astype(int)
    left, right, top = points[1, 0], points[31, 0], points[52, 1]
    return left, top, right, top + right - left


def inner():
    return 320 if large else 160


def crop(frame, face):
    how = cv2.INTER_CUBIC if large else cv2.INTER_LINEAR
    return shared.cut(frame, sides(face), (inner() + 8, inner() + 8), how)[4:-4, 4:-4]


def tensors(picture, rows, i):
    bgr = np.ascontiguousarray(picture[:, :, ::-1])
    masked = cv2.rectangle(bgr.copy(), (5, 5, 310, 305) if large else (5, 5, 150, 145), (0, 0, 0), -1)
    faces = np.concatenate([bgr, masked], 2).astype(np.float32).transpose(2, 0, 1)[None] / 255
    half = 8 if large else 4
    if kind == "ave":
        # The rows begin with the first one twice.
        audio = shared.padded(rows, i - half - 1, 2 * half, edge=True).reshape(1, 32, 16, 16)
    else:
        shape = {"hubert": (32 if large else 16, 32, 32), "wenet": (256 if large else 128, 16, 32)}[kind]
        audio = shared.padded(rows, i - half, 2 * half).reshape(1, *shape)
    return {"input": faces, "audio": audio}


def image(folder, tensors):
    out = shared.session(folder / "ultralight.onnx").run(["output"], tensors)[0][0]
    return shared.truncated(out.transpose(1, 2, 0) * 255)[:, :, ::-1]


def paste(frame, face, image, _):
    left, top, right, bottom = sides(face)
    scaled = shared.cut(frame, sides(face), (inner() + 8, inner() + 8), cv2.INTER_CUBIC if large else cv2.INTER_LINEAR)
    scaled[4:-4, 4:-4] = image
    frame[top:bottom, left:right] = cv2.resize(scaled, (right - left, bottom - top))
    return frame


if __name__ == "__main__":
    import sys

    import ultralight

    ultralight.choose(next((value for flag, value in zip(sys.argv, sys.argv[1:]) if flag == "--model"), "").rstrip("/"))
    shared.main(ultralight)
