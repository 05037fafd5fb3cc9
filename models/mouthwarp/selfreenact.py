# SPDX-License-Identifier: MPL-2.0
"""usage: selfreenact.py CLIP DUBBED.mp4 OUT.png [--voice VOICE.wav] [--landmarks NET.onnx] [--first N]
How the mouth of a dubbed clip follows the one that really spoke. Printed: r of the opening in the finished picture with the real one, and of the ear's
answer alone; sizes and speeds of movement, ours to real; how open lips are where the real ones are closed; how much of the mouth's inside is as bright
as teeth, or nearly black. Measured by ../face_landmarks_478, or with --landmarks by a network that had no part in making it (OpenSeeFace's lm_model0).
OUT.png: twelve consecutive frames from N on (by default where the real mouth moves most), real above ours.
"""

import argparse
import sys

import cv2
import numpy as np
import onnxruntime

import mesh
from follow import CPU, box_of, correlation, lag, opening as opening_66, points as points_66
from predict import poses
from sheet import find

SHOWN, SIDE = 12, 224
FEWEST = 25  # frames that tell anything
LOWER = 78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308  # the inner lips' outline
UPPER = 415, 310, 311, 312, 13, 82, 81, 80, 191
BRIGHT, BLACK = 0.75, 0.25  # of the skin's luma


def inside(frame, points):
    """(share as bright as teeth, share nearly black) between the lips, or None where they are closed."""
    if mesh.opening(points) < 0.04:
        return None
    mask = np.zeros(frame.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(points[list(LOWER + UPPER)]).astype(np.int32)], 1)
    luma = frame @ np.array([0.299, 0.587, 0.114])
    skin = np.median([luma[int(y), int(x)] for x, y in points[[205, 425, 164]].clip(0, [frame.shape[1] - 1, frame.shape[0] - 1])])
    seen = luma[mask > 0] / max(skin, 1)
    return ((seen > BRIGHT).mean(), (seen < BLACK).mean()) if seen.size > 20 else None


def view(frame, points):
    """The mouth, upright, SIDE × SIDE."""
    across = points[mesh.RIGHT_EYE] - points[mesh.LEFT_EYE]
    scale = 1.25 * np.linalg.norm(across) / SIDE
    x = across / np.linalg.norm(across) * scale
    axes = np.stack([x, [-x[1], x[0]]], 1)
    centre = (points[61] + points[291]) / 2
    matrix = np.concatenate([axes, (centre - axes @ np.array([SIDE / 2, SIDE / 2]))[:, None]], 1)
    return cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP)


def watch(path, net, other):
    """For each frame: (opening, view, inside)."""
    seen = []
    for frame, points in mesh.follow(path, net, find):
        if points is None:
            seen.append((np.nan, np.zeros((SIDE, SIDE, 3), np.uint8), None))
            continue
        gap = mesh.opening(points)
        if other:
            marks, confidence = points_66(frame, box_of(points[mesh.IBUG]), other)
            gap = opening_66(marks) if confidence > 0.5 else np.nan
        seen.append((gap, view(frame, points), inside(frame, points)))
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("dubbed")
    parser.add_argument("out")
    parser.add_argument("--voice")
    parser.add_argument("--landmarks")
    parser.add_argument("--first", type=int)
    args = parser.parse_args()
    net = mesh.network()
    other = onnxruntime.InferenceSession(args.landmarks, providers=CPU) if args.landmarks else None
    real, ours = (watch(path, net, other) for path in (args.clip, args.dubbed))
    n = min(len(real), len(ours))
    a, b = (np.array([s[0] for s in seen[:n]]) for seen in (real, ours))
    both = int((np.isfinite(a) & np.isfinite(b)).sum())
    if both < FEWEST:
        sys.exit(f"{args.clip} and {args.dubbed}: a face is seen in {both} of {n} frames of both, too few to measure")
    fps = cv2.VideoCapture(args.clip).get(cv2.CAP_PROP_FPS)
    text = f"frames {n}  r {correlation(b, a):.3f}  lag {lag(b, a):+.2f} frames"
    text += f"  size {np.nanstd(b) / np.nanstd(a):.2f}  speed {np.nanmean(np.abs(np.diff(b))) / np.nanmean(np.abs(np.diff(a))):.2f}"
    if args.voice:
        pose = poses(args.voice, fps=fps)
        text += f"  r of the ear {correlation(pose[:n, 0] * (1 - pose[:n, 4]), a):.3f}"
    closed = a < (0.05 if other else mesh.CLOSED)
    if closed.any():
        text += f"  where closed: ours {np.nanmean(b[closed]):.3f}, real {np.nanmean(a[closed]):.3f}"
    for name, k in (("teeth", 0), ("black", 1)):
        shares = [np.mean([s[2][k] for s in seen[:n] if s[2]] or [np.nan]) for seen in (ours, real)]
        text += f"  {name} {shares[0]:.2f} (real {shares[1]:.2f})"
    print(text)
    first = args.first
    if first is None:
        moved = np.convolve(np.nan_to_num(np.abs(np.diff(a))), np.ones(SHOWN), "valid")
        first = int(moved.argmax())
    rows = [np.hstack([s[1] for s in seen[first : first + SHOWN]]) for seen in (real, ours)]
    cv2.imwrite(args.out, np.vstack(rows)[:, :, ::-1])


if __name__ == "__main__":
    main()
