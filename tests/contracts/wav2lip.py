# SPDX-License-Identifier: MPL-2.0
"""Wav2Lip's contract, 96 × 96. Frame i of 25 a second, pictures in red, green, blue unless said otherwise."""

import cv2
import librosa
import numpy as np
import shared
from scipy.signal import lfilter

RATE, SIDE, COLUMNS = 16000, 96, 16


def rows(sound, _):
    """80 columns of log-mel a second."""
    emphasised = lfilter([1, -0.97], [1], sound.astype(np.float64))
    magnitude = np.abs(librosa.stft(emphasised, n_fft=800, hop_length=200, win_length=800, pad_mode="reflect"))
    mel = librosa.filters.mel(sr=RATE, n_fft=800, n_mels=80, fmin=55, fmax=7600) @ magnitude
    db = 20 * np.log10(np.maximum(1e-5, mel)) - 20
    return np.clip(8 * (db + 100) / 100 - 4, -4, 4).astype(np.float32).T


def sides(face):
    left, top, right, bottom = face["box"]
    return left, top, right, bottom + 10


def crop(frame, face):
    return shared.cut(frame, sides(face), (SIDE, SIDE), cv2.INTER_LINEAR)


def tensors(picture, rows, i):
    start = int(80 * i / 25)
    if start + COLUMNS > len(rows):
        start = len(rows) - COLUMNS
    bgr = picture[:, :, ::-1]
    masked = bgr.copy()
    masked[SIDE // 2 :] = 0
    faces = np.concatenate([masked, bgr], 2).astype(np.float32) / 255
    return {"mel": rows[start : start + COLUMNS].T[None, None], "faces": faces.transpose(2, 0, 1)[None]}


def image(folder, tensors):
    out = shared.session(folder / "wav2lip.onnx").run(["out"], tensors)[0][0]
    return shared.truncated(out.transpose(1, 2, 0) * 255)[:, :, ::-1]


def paste(frame, face, image, _):
    left, top, right, bottom = (int(side) for side in sides(face))
    frame[top:bottom, left:right] = cv2.resize(image, (right - left, bottom - top))
    return frame


if __name__ == "__main__":
    import wav2lip

    shared.main(wav2lip)
