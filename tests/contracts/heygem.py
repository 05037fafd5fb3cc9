# SPDX-License-Identifier: MPL-2.0
"""HeyGem's contract (DINet v1). Frame i of 25 a second, pictures in red, green, blue."""

import cv2
import librosa
import numpy as np
import shared
from scipy.signal import lfilter

RATE, SIDE = 16000, 256
SILENCE = 6400  # samples of it before and after the sound, which are 10 rows of the encoder


def speech(sound):
    """Log-mel with silence around it, 100 rows a second."""
    sound = np.concatenate([np.zeros(SILENCE), sound, np.zeros(SILENCE)])
    power = np.abs(librosa.stft(lfilter([1, -0.97], [1], sound), n_fft=1024, hop_length=160, win_length=800, pad_mode="constant")) ** 2
    mel = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=80, fmin=0, fmax=8000) @ power
    return (10 * np.log10(mel + 1e-5) - 20).astype(np.float32).T


def rows(sound, folder):
    """The encoder's answers, 25 a second; the first 10 belong to the silence before the sound."""
    mel = speech(sound)
    return shared.encoder(folder / "encoder.pt")(mel[None], np.array([len(mel)]))[0]


def sides(face):
    x, y = face["points"][:, 0], face["points"][:, 1]
    unit = (x.max() - x.min()) / 0.97
    middle = (x.min() + x.max()) / 2
    return middle - 0.75 * unit, y.min() - 0.15 * unit, middle + 0.75 * unit, y.min() + 1.35 * unit


def crop(frame, face):
    return shared.cut(frame, sides(face), (SIDE + 10, SIDE + 10), cv2.INTER_CUBIC)[5:-5, 5:-5]


def tensors(picture, rows, i):
    whole = picture.astype(np.float32).transpose(2, 0, 1)[None] / 255
    source = whole.copy()
    source[:, :, 86:252, 37:218] = 0
    # Rows i to i + 19 with the silence counted, so i − 10 to i + 9 of the sound.
    return {"source": source, "reference": whole, "audio": rows[i : i + 20].T[None]}


def image(folder, tensors):
    out = shared.session(folder / "heygem.onnx").run(["out"], tensors)[0][0]
    return shared.truncated(out.transpose(1, 2, 0) * 255)


def paste(frame, face, image, folder):
    left, top, right, bottom = (int(side) for side in sides(face))
    size = right - left, bottom - top
    scaled = shared.cut(frame, sides(face), (SIDE + 10, SIDE + 10), cv2.INTER_CUBIC)
    weight = cv2.imread(str(folder / "weight.png"), cv2.IMREAD_GRAYSCALE)[:, :, None] / 255
    scaled[5:-5, 5:-5] = image * weight + scaled[5:-5, 5:-5] * (1 - weight)
    frame[top:bottom, left:right] = cv2.resize(scaled, size)
    return frame


if __name__ == "__main__":
    import heygem

    shared.main(heygem)
