# SPDX-License-Identifier: MPL-2.0
"""MuseTalk 1.5's contract. Frame i of 25 a second, pictures in red, green, blue. Its mask comes from a face parser; here the paste is hard."""

import cv2
import librosa
import numpy as np
import shared

RATE, SIDE = 16000, 256


def rows(sound, folder):
    """Five hidden states of 384 numbers, 50 times a second."""
    power = np.abs(librosa.stft(sound.astype(np.float64), n_fft=400, hop_length=160)) ** 2
    mel = librosa.filters.mel(sr=RATE, n_fft=400, n_mels=80, fmin=0, fmax=8000) @ power
    level = np.log10(np.maximum(mel, 1e-10))[:, :-1]
    level = (np.maximum(level, level.max() - 8) + 4) / 4
    return shared.encoder(folder / "whisper.pt")(level[None].astype(np.float32))[0]


def sides(face):
    points = face["points"].astype(int)
    half = points[:, 1].max() - points[29, 1]
    return points[:, 0].min(), points[29, 1] - half, points[:, 0].max(), points[:, 1].max() + 10


def crop(frame, face):
    return shared.cut(frame, sides(face), (SIDE, SIDE), cv2.INTER_LANCZOS4)


def tensors(picture, rows, i):
    whole = picture.astype(np.float32).transpose(2, 0, 1)[None] / 255
    masked = whole.copy()
    masked[:, :, SIDE // 2 :] = 0
    # Ten rows from 2 i − 4 on, each five hidden states, one after the other.
    audio = shared.padded(rows, 2 * i - 4, 10).reshape(1, 50, 384)
    return {"masked": (masked - 0.5) / 0.5, "face": (whole - 0.5) / 0.5, "audio": audio}


def image(folder, tensors):
    latents = [shared.session(folder / "vae-encoder.onnx").run(["latent"], {"image": tensors[name]})[0] for name in ("masked", "face")]
    feed = {"latents": np.concatenate(latents, 1), "timestep": np.zeros(1, np.int64), "audio": tensors["audio"]}
    latent = shared.session(folder / "unet.onnx").run(["latent"], feed)[0]
    out = shared.session(folder / "vae-decoder.onnx").run(["out"], {"latent": latent})[0][0]
    return np.rint(np.clip(out.transpose(1, 2, 0) / 2 + 0.5, 0, 1) * 255).astype(np.uint8)


def paste(frame, face, image, _):
    left, top, right, bottom = sides(face)
    frame[top:bottom, left:right] = cv2.resize(image, (right - left, bottom - top))
    return frame


if __name__ == "__main__":
    import musetalk

    shared.main(musetalk)
