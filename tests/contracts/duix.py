# SPDX-License-Identifier: MPL-2.0
"""Duix-Mobile's contract. Frame i of 25 a second, pictures in red, green, blue. Its packs give a rectangle a frame; here 68 points do."""

import cv2
import numpy as np
import shared
from heygem import RATE, rows  # noqa: F401  the same front end and silence

SIDE = 160


def sides(face):
    left, right, top = int(face["points"][0, 0]), int(face["points"][16, 0]), int(face["points"][28, 1])
    return left, top, right, top + right - left


def crop(frame, face):
    return shared.cut(frame, sides(face), (SIDE + 8, SIDE + 8), cv2.INTER_LINEAR)[4:-4, 4:-4]


def tensors(picture, rows, i):
    whole = picture.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
    masked = whole.copy()
    masked[:, :, 5:150, 5:155] = -1
    # With the silence counted; the first frame takes what is the second's, too.
    first = max(i - 1, 0)
    return {"face": np.concatenate([whole, masked], 1), "audio": rows[first : first + 20][None]}


def image(folder, tensors):
    out = shared.session(folder / "duix.onnx").run(["output"], tensors)[0][0]
    return shared.truncated((out.transpose(1, 2, 0) + 1) * 127.5)


def paste(frame, face, image, folder):
    left, top, right, bottom = sides(face)
    scaled = shared.cut(frame, sides(face), (SIDE + 8, SIDE + 8), cv2.INTER_LINEAR)
    original = cv2.imread(str(folder / "weight.png"), cv2.IMREAD_GRAYSCALE)[:, :, None] / 255
    scaled[4:-4, 4:-4] = scaled[4:-4, 4:-4] * original + image * (1 - original)
    frame[top:bottom, left:right] = cv2.resize(scaled, (right - left, bottom - top))
    return frame


if __name__ == "__main__":
    import duix

    shared.main(duix)
