# SPDX-License-Identifier: MPL-2.0
"""What facecrop and facepaste do, in numpy and OpenCV, for RGB pictures: to look at the model without the plugin."""

import cv2
import numpy as np

from features import MANIFEST

CROP = MANIFEST["facecrop"]
# What the grid of `inner` spans: left, top, right, bottom in crop fractions.


def crop_map(marks):
    """Affine 2x3: crop fractions → frame pixels (pixel centres at whole numbers)."""

    def mean(which):
        return np.mean([marks[i] for i in which], 0)

    side = CROP["scale"] * np.linalg.norm(mean(CROP["span"][0]) - mean(CROP["span"][1]))
    across = marks[45] - marks[36]
    x = across / np.linalg.norm(across)
    axes = side * np.stack([x, [-x[1], x[0]]], 1)
    return np.concatenate([axes, (mean(CROP["anchor"]) + axes @ (np.array(CROP["shift"]) - 0.5))[:, None]], 1)


def cut(frame, to_frame):
    """The crop, (3, h, w) 0..1."""
    width, height = CROP["size"]
    pixels = np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
    matrix = (np.vstack([to_frame, [0, 0, 1]]) @ pixels)[:2]
    crop = cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    return crop.transpose(2, 0, 1).astype(np.float32) / 255


def to_crop(marks, to_frame):
    return ((marks - to_frame[:, 2]) @ np.linalg.inv(to_frame[:, :2]).T).astype(np.float32)


def paste(frame, to_frame, upper, lower, edges, inner, weight, inner_area, opacity=1.0):
    """The frame with one warp applied; the tensors without their batch axis. `inner` may have a size of its own."""
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) @ to_frame[:, :2].T + to_frame[:, 2]
    height, width = frame.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int), 0, [width, height])
    x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, [width, height])
    if x0 >= x1 or y0 >= y1:
        return frame
    ys, xs = np.mgrid[y0:y1, x0:x1]
    p = to_crop(np.stack([xs, ys], 2).reshape(-1, 2), to_frame).reshape(ys.shape + (2,))

    def on_grid(fractions, tensor):
        return (fractions * np.float32([tensor.shape[2] - 1, tensor.shape[1] - 1])).astype(np.float32)

    at = on_grid(p, upper)
    area = np.float32(inner_area)
    in_area = (p - area[:2]) / (area[2:] - area[:2])
    side = np.linalg.norm(to_frame[:, 0])

    def look_up(plane, where, how=cv2.INTER_LINEAR):
        return cv2.remap(plane, where[..., 0], where[..., 1], how, borderMode=cv2.BORDER_REPLICATE)

    def sample(tensor, at=at):
        return np.stack([look_up(np.ascontiguousarray(channel), at) for channel in tensor], 2)

    def source(displacement):
        q = ((p + sample(displacement)) @ to_frame[:, :2].T + to_frame[:, 2]).astype(np.float32)
        return look_up(frame, q, cv2.INTER_CUBIC).astype(np.float32)

    e = sample(edges) * side
    a = np.clip(e + 0.5, 0, 1)
    a /= np.maximum(a.sum(2, keepdims=True), 1)
    above, below = source(upper), source(lower)
    t = np.clip((e[..., :1] - e[..., 1:]) * 0.5 + 0.5, 0, 1)
    # Beyond its area the inside is transparent.
    i = sample(inner, on_grid(in_area, inner)) * ((in_area >= 0) & (in_area <= 1)).all(2, keepdims=True)
    base = t * above + (1 - t) * below
    result = a[..., :1] * above + a[..., 1:] * below + (1 - a.sum(2, keepdims=True)) * ((1 - i[..., 3:]) * base + 255 * i[..., :3])
    old = frame[y0:y1, x0:x1].astype(np.float32)
    within = ((p >= 0) & (p <= 1)).all(2, keepdims=True)
    new = old + within * sample(weight) * opacity * (result - old)
    frame = frame.copy()
    frame[y0:y1, x0:x1] = np.clip(np.round(new), 0, 255).astype(np.uint8)
    return frame
