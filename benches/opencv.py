#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""What cropping and pasting cost beside the usual way, where the face is known: CPU time per 1080p frame, I420 and NV12.

    python3 benches/opencv.py [--model MODEL] [VIDEO]        needs numpy, opencv-python-headless, and Rust

The usual way converts the whole frame to BGR, resizes the face's square to the model's size, resizes the model's picture back, blends it in with
a soft border, and converts the whole frame back, by OpenCV on one thread. Its rounds and those of `cargo bench --bench cost -- --crop-paste`
alternate; the figures are medians.
"""
import statistics
import subprocess
import sys
import time

import cv2
import numpy as np

WIDTH, HEIGHT = 1920, 1080
FRAMES = 100
ROUNDS = 5
# Pictures that take turns, as frames do: one alone would stay in the processor's cache. As many as the other side's.
POOL = 48


def usual(nv12, side, crop):
    """CPU ms per frame of the usual way; the face's square is `side` px wide, the model's `crop`."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 255, (HEIGHT // 8 * 3 // 2, WIDTH // 8), np.uint8), (WIDTH, HEIGHT * 3 // 2))
    pool = [picture.copy() for _ in range(POOL)]
    y, x = (HEIGHT - side) // 2, (WIDTH - side) // 2
    ramp = np.minimum(np.arange(side) + 1, np.arange(side)[::-1] + 1) / (0.06 * side)
    mask = np.clip(np.minimum(ramp[:, None], ramp[None, :]), 0, 1).astype(np.float32)
    rest = 1 - mask
    to_bgr = cv2.COLOR_YUV2BGR_NV12 if nv12 else cv2.COLOR_YUV2BGR_I420
    start = time.process_time()
    for k in range(FRAMES):
        frame = cv2.cvtColor(pool[k % POOL], to_bgr)
        square = frame[y:y + side, x:x + side]
        made = cv2.resize(square, (crop, crop), interpolation=cv2.INTER_LINEAR)
        square[:] = cv2.blendLinear(cv2.resize(made, (side, side), interpolation=cv2.INTER_LINEAR), square, mask, rest)
        result = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
        if nv12:
            u, v = result[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
            result[HEIGHT:] = cv2.merge([u, v]).reshape(HEIGHT // 2, WIDTH)
    return (time.process_time() - start) / FRAMES * 1e3


def ours():
    """Of each format: CPU ms per frame, and the side of the crop in the frame and in the model."""
    command = ["cargo", "bench", "--quiet", "--bench", "cost", "--", "--crop-paste", *sys.argv[1:]]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: (float(cost), int(side), int(crop)) for name, cost, side, crop in map(str.split, lines)}


cv2.setNumThreads(1)
rounds = []
for _ in range(ROUNDS):
    rounds.append({name: (cost, usual(name == "NV12", side, crop)) for name, (cost, side, crop) in ours().items()})
print(f"ms CPU per frame of {WIDTH} x {HEIGHT}, medians of {ROUNDS} rounds")
for name in rounds[0]:
    own, other = (statistics.median(r[name][k] for r in rounds) for k in (0, 1))
    ratio = statistics.median(r[name][1] / r[name][0] for r in rounds)
    print(f"{name}: crop and paste {own:.2f}, the usual way {other:.2f}, {ratio:.1f} times as much")
