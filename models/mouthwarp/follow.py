# SPDX-License-Identifier: MPL-2.0
"""usage: follow.py OUT.mp4 VOICE.wav --landmarks NET.onnx [--source VIDEO] [--box X,Y,W,H] [--frames FOLDER]
How well the mouth in a finished video follows the voice, seen by a landmark network that had no part in making it: OpenSeeFace's lm_model0 or a later
one with its 66 points (BSD-2, github.com/emilianavt/OpenSeeFace). The project's own networks only say where the face is.

Opening = gap between the inner lips, across the mouth, in distances of the outer corners of the eyes. Printed: its correlation with predict.py's opening and
with what of it is shown, opening * (1 - closure), at no shift; the shift at which the correlation is best, in frames, > 0 if the picture is late;
opening at rest (5 %) and wide (95 %); the face's width in pixels; the share of frames with a face. With --source also the correlation with the mouth of
the source, frame by frame, which would best be 0, and how far that moves (standard deviation). --box says
where the face is in the first frame, if there are several. --frames writes every 10th frame with the points.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from features import HERE, MANIFEST
from predict import poses
from sheet import find, landmarks

CPU = ["CPUExecutionProvider"]
SIDE, CELLS = 224, 28  # of the network's picture and of its maps
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
INNER = (59, 65), (60, 64), (61, 63)  # upper and lower inner lip
CORNERS = 58, 62
SHIFTS = range(-4, 5)


def points(frame, box, net):
    """66 points in frame pixels; `box` is the upright rectangle around them, x, y, w, h."""
    x, y, w, h = box
    x, y, w, h = x - 0.1 * w, y - 0.125 * h, 1.2 * w, 1.25 * h  # as the network was trained
    matrix = np.float32([[w / SIDE, 0, x + (w / SIDE - 1) / 2], [0, h / SIDE, y + (h / SIDE - 1) / 2]])
    crop = cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    maps = net.run(None, {"input": ((crop / np.float32(255) - MEAN) / STD).transpose(2, 0, 1)[None]})[0][0].reshape(3, 66, -1)
    # A map says where the point roughly is, two more how far from there, down and across, as logistic numbers.
    peak = maps[0].argmax(1)
    p = np.clip(np.take_along_axis(maps[1:], peak[None, :, None], 2)[..., 0], 1e-7, 1 - 1e-7)
    down, across = np.log(p / (1 - p)) / 16 + np.stack([peak // CELLS, peak % CELLS]) / (CELLS - 1)
    return np.stack([x + w * across, y + h * down], 1), maps[0].max(1).mean()


def box_of(marks):
    return np.concatenate([marks.min(0), np.ptp(marks, axis=0)])


def opening(marks):
    across = marks[CORNERS[1]] - marks[CORNERS[0]]
    down = np.array([-across[1], across[0]]) / np.linalg.norm(across)
    gap = np.mean([(marks[b] - marks[a]) @ down for a, b in INNER])
    return gap / np.linalg.norm(marks[45] - marks[36])


def watch(path, net, finder, start=None, folder=None):
    """Openings of all frames (nan where there is no face), the face's mean width, frames per second."""
    video = cv2.VideoCapture(str(path))
    openings, widths, box = [], [], start
    while True:
        there, frame = video.read()
        if not there:
            break
        frame = np.ascontiguousarray(frame[:, :, ::-1])
        openings.append(np.nan)
        if box is None:
            box = find(frame)
        if box is None:
            continue
        marks = landmarks(frame, box, finder)
        seen, confidence = points(frame, box_of(marks), net)
        if confidence < 0.6:
            box = None
            continue
        box = box_of(marks)
        openings[-1] = opening(seen)
        widths.append(np.linalg.norm(seen[16] - seen[0]))
        if folder and len(openings) % 10 == 0:
            shown = frame[:, :, ::-1].copy()
            for x, y in seen:
                cv2.circle(shown, (round(x), round(y)), 1, (0, 255, 0), -1)
            cv2.imwrite(str(folder / f"{len(openings):05}.png"), shown)
    if not widths:
        raise SystemExit(f"{path}: no face found")
    return np.array(openings), np.mean(widths), video.get(cv2.CAP_PROP_FPS)


def correlation(a, b):
    n = min(len(a), len(b))
    good = np.isfinite(a[:n]) & np.isfinite(b[:n])
    if good.sum() < 5:
        return np.nan
    return np.corrcoef(a[:n][good], b[:n][good])[0, 1]


def lag(seen, want):
    """Frames by which `seen` comes after `want`: the shift of best correlation, between frames by a parabola."""
    r = np.array([correlation(seen[max(s, 0) :], want[max(-s, 0) :]) for s in SHIFTS])
    k = int(np.nanargmax(r))
    part = 0.0
    if 0 < k < len(r) - 1:
        part = 0.5 * (r[k - 1] - r[k + 1]) / (r[k - 1] - 2 * r[k] + r[k + 1])
    return SHIFTS[k] + part


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("voice")
    parser.add_argument("--landmarks", required=True)
    parser.add_argument("--source")
    parser.add_argument("--box", type=lambda text: [float(v) for v in text.split(",")])
    parser.add_argument("--frames", type=Path)
    args = parser.parse_args()
    net = onnxruntime.InferenceSession(args.landmarks, providers=CPU)
    finder = onnxruntime.InferenceSession(HERE.parent / "face_landmark_68" / "face_landmark_68.onnx", providers=CPU)
    if args.frames:
        args.frames.mkdir(parents=True, exist_ok=True)
    seen, width, fps = watch(args.video, net, finder, args.box, args.frames)
    pose = poses(args.voice)
    said, times = np.arange(len(pose)) / MANIFEST["fps"], np.arange(len(seen)) / fps
    jaw, open_ = (np.interp(times, said, w) for w in (pose[:, 0], pose[:, 0] * (1 - pose[:, 4])))
    low, high = np.nanpercentile(seen, [5, 95])
    text = f"r ear {correlation(seen, jaw):.3f}  r opening {correlation(seen, open_):.3f}  lag {lag(seen, open_):+.2f}  "
    text += f"open {low:.3f}..{high:.3f}  face {width:.0f} px  seen {np.isfinite(seen).mean():.1%}"
    if args.source:
        own = watch(args.source, net, finder, args.box)[0]
        text += f"  r source {correlation(seen, own):.3f}  source moves {np.nanstd(own):.3f} of {np.nanstd(seen):.3f}"
    print(text)


if __name__ == "__main__":
    main()
