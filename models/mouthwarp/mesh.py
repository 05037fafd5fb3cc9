# SPDX-License-Identifier: MPL-2.0
"""Following a face through a video with ../face_landmarks_478, in Python: to measure mouths without the plugin."""

import cv2
import numpy as np
import onnxruntime

from features import HERE

CPU = ["CPUExecutionProvider"]
SIDE = 256
FACE = 468  # of the points, those that are not the irises'
AROUND = 1.5  # the network sees a square this much larger than the face
LEFT_EYE, RIGHT_EYE = 33, 263  # outer corners, as seen in the picture
INNER = (82, 87), (13, 14), (312, 317)  # upper and lower inner lip
CORNERS = 61, 291
CLOSED = 0.015  # an opening of less is none, eye distances

# iBUG's 68 among the 478, as the plugin has them, but for the jaw, which nothing here needs.
IBUG = [127, 93, 58, 172, 136, 150, 149, 176, 152, 400, 378, 379, 365, 397, 288, 323, 356, 70, 63, 105, 66, 107, 336, 296, 334, 293, 300]
IBUG += [168, 197, 5, 1, 98, 97, 2, 326, 327, 33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380]
IBUG += [61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178]


def network():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(HERE.parent / "face_landmarks_478" / "face_landmarks_478.onnx", options, providers=CPU)


def look(frame, points, net):
    """(478 points, presence) of the face that lies about where `points` do."""
    across = points[RIGHT_EYE] - points[LEFT_EYE]
    x = across / np.linalg.norm(across)
    axes = np.stack([x, [-x[1], x[0]]], 1)
    own = points[:FACE] @ axes
    side = np.ptp(own, axis=0).max() * AROUND
    corner = axes @ ((own.min(0) + own.max(0)) / 2 - side / 2)
    matrix = np.float32(np.concatenate([axes * side / SIDE, corner[:, None]], 1))
    crop = cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    marks, presence = net.run(["landmarks", "presence"], {"input_nchw": (crop.astype(np.float32) / 255).transpose(2, 0, 1)[None]})
    return marks.reshape(-1, 3)[:, :2] @ matrix[:, :2].T + matrix[:, 2], 1 / (1 + np.exp(-presence.item()))


def start(frame, box, net):
    """The points of the face in a box x, y, w, h, or None."""
    x, y, w, h = box
    points = np.zeros((478, 2))
    # A face of average proportions in the box of a detector.
    points[LEFT_EYE], points[RIGHT_EYE] = (x + 0.25 * w, y + 0.38 * h), (x + 0.75 * w, y + 0.38 * h)
    points[:FACE][points[:FACE, 0] == 0] = (x + w / 2, y + h / 2)
    points[0], points[1] = (x + 0.5 * w, y + 0.02 * h), (x + 0.5 * w, y + 1.05 * h)
    for _ in range(3):
        points, presence = look(frame, points, net)
    return points if presence > 0.5 else None


def opening(points):
    """Mean gap of the inner lips across the mouth, in distances of the outer corners of the eyes."""
    across = points[RIGHT_EYE] - points[LEFT_EYE]
    down = np.array([-across[1], across[0]]) / np.linalg.norm(across)
    return np.mean([(points[b] - points[a]) @ down for a, b in INNER]) / np.linalg.norm(across)


def follow(path, net, find):
    """(frame RGB, points or None) of each frame of a video. `find(frame)` gives a box, or None."""
    video, points = cv2.VideoCapture(str(path)), None
    while True:
        there, frame = video.read()
        if not there:
            return
        frame = np.ascontiguousarray(frame[:, :, ::-1])
        if points is not None:
            points, presence = look(frame, points, net)
            points = points if presence > 0.5 else None
        if points is None:
            box = find(frame)
            points = None if box is None else start(frame, box, net)
        yield frame, points
