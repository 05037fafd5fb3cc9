#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Renders the demo's face, by sphere tracing the head of head.py.

    python3 face.py OUT.rgb [--size 640] [--frames 100] [--only K]

writes raw RGB frames, 25 a second. The motion has a period of exactly four seconds, so the clip loops without a seam.
"""
import argparse
import time
from math import cos, exp, pi, sin, sqrt

import numpy as np
from numba import njit, prange

from head import AIR, EYE, EYE_X, EYE_Y, EYE_Z, HAIR, SKIN, clamp, eye_colour, into_head, noise, scene, skin_colour, step, strands

FPS, PERIOD = 25, 4.0
DISTANCE, VIEW, CENTRE = 9.0, 1.56, -0.13     # of the camera; half of what it sees at the head, in head units; the height it looks at
BLINKS = (0.95, 3.02)                         # seconds

fast = njit(fastmath=True, error_model="numpy")


def unit(*v):
    return tuple(np.asarray(v) / np.linalg.norm(v))


KEY, FILL, RIM, RIM2 = unit(-0.66, 0.66, 0.70), unit(0.85, 0.05, 0.55), unit(0.75, 0.35, -0.62), unit(-0.80, 0.45, -0.65)


def opening(t):
    """How open the eyes are at time t: a blink shuts within 80 ms and opens within 160 ms."""
    least = 1.0
    for blink in BLINKS:
        dt = t - blink
        shut = exp(-(dt / (0.055 if dt < 0 else 0.095)) ** 2)
        least = min(least, 1.0 - 1.08 * shut)
    return max(least, 0.0)


def pose_at(t):
    """What moves, as one row of numbers: 0..8 the rotation into the head's frame, 9..11 where the eyes look, 12 how open they are, 13 breath."""
    w = 2 * pi * t / PERIOD
    yaw = 0.070 * sin(w) + 0.022 * sin(2 * w + 1.1)
    pitch = 0.020 * sin(w + 0.9) + 0.014 * sin(2 * w + 2.0)
    roll = 0.030 * sin(w + 2.3) + 0.008 * sin(3 * w)
    cy, sy, cp, sp, cr, sr = cos(yaw), sin(yaw), cos(pitch), sin(pitch), cos(roll), sin(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    lean = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    inverse = (turn @ nod @ lean).T
    gaze = inverse @ unit(0.02, 0.015, 1.0)       # at the camera, whatever the head does
    return np.concatenate([inverse.ravel(), gaze, [opening(t), 0.010 * sin(w - 0.6)]])


@fast
def march(ox, oy, oz, dx, dy, dz, t, end, pose):
    """(distance along the ray, material)."""
    for _ in range(400):
        d, m = scene(ox + t * dx, oy + t * dy, oz + t * dz, pose)
        if d < 0.0006:
            return t, m
        t += 0.78 * d
        if t > end:
            return t, AIR
    return t, m if d < 0.004 else AIR     # grazing the surface for so long is as good as there


@fast
def normal(x, y, z, pose):
    e = 0.0016
    a, _ = scene(x + e, y - e, z - e, pose)
    b, _ = scene(x - e, y - e, z + e, pose)
    c, _ = scene(x - e, y + e, z - e, pose)
    d, _ = scene(x + e, y + e, z + e, pose)
    nx, ny, nz = a - b - c + d, -a - b + c + d, -a + b - c + d
    n = 1.0 / (sqrt(nx * nx + ny * ny + nz * nz) + 1e-12)
    return nx * n, ny * n, nz * n


@fast
def shadow(x, y, z, light, pose):
    """0 in the dark .. 1: a large soft lamp."""
    seen, t = 1.0, 0.025
    for _ in range(44):
        d, _m = scene(x + t * light[0], y + t * light[1], z + t * light[2], pose)
        seen = min(seen, 0.5 + 0.5 * 5.0 * d / t)
        if seen <= 0.0 or t > 2.6:
            break
        t += clamp(0.6 * d, 0.02, 0.12)
    seen = max(seen, 0.0)
    return seen * seen * (3 - 2 * seen)


@fast
def openness(x, y, z, nx, ny, nz, pose):
    """Ambient occlusion: 1 where nothing is near."""
    dark, weight = 0.0, 1.0
    for i in range(1, 6):
        h = 0.045 * i
        d, _ = scene(x + h * nx, y + h * ny, z + h * nz, pose)
        dark += weight * max(h - d, 0.0)
        weight *= 0.72
    return clamp(1.0 - 2.3 * dark, 0.0, 1.0)


@fast
def shine(nx, ny, nz, dx, dy, dz, light, power):
    """Blinn's highlight, normalised."""
    hx, hy, hz = light[0] - dx, light[1] - dy, light[2] - dz
    n = 1.0 / sqrt(hx * hx + hy * hy + hz * hz)
    c = max((nx * hx + ny * hy + nz * hz) * n, 0.0)
    return (power + 8.0) / 25.0 * c ** power


@fast
def backdrop(u, v):
    r = (u + 0.25) ** 2 + (v - 0.15) ** 2
    k = exp(-0.55 * r)
    return 0.085 + 0.30 * k, 0.165 + 0.37 * k, 0.205 + 0.36 * k


@fast
def shade(x, y, z, dx, dy, dz, m, pose):
    nx, ny, nz = normal(x, y, z, pose)
    hx, hy, hz = into_head(x, y, z, pose)
    key = nx * KEY[0] + ny * KEY[1] + nz * KEY[2]
    fill = nx * FILL[0] + ny * FILL[1] + nz * FILL[2]
    rim = nx * RIM[0] + ny * RIM[1] + nz * RIM[2]
    rim2 = nx * RIM2[0] + ny * RIM2[1] + nz * RIM2[2]
    ao = openness(x, y, z, nx, ny, nz, pose)
    lit = shadow(x + 0.01 * nx, y + 0.01 * ny, z + 0.01 * nz, KEY, pose) if key > -0.45 else 0.0
    facing = max(-(nx * dx + ny * dy + nz * dz), 0.0)
    edge = (1.0 - facing) ** 4
    sky = 0.5 + 0.5 * ny

    # Light spreads under the skin, red farthest: each colour has its own softness at the border of the shadow.
    soft = (0.42, 0.22, 0.15) if m == SKIN else ((0.30, 0.28, 0.26) if m == EYE else (0.12, 0.12, 0.12))
    gloss, power = 0.0, 30.0
    if m == SKIN:
        r, g, b, gloss = skin_colour(hx, hy, hz, pose[12])
        power = 16.0 + 26.0 * max(gloss - 0.45, 0.0)
        gloss *= 0.085
    elif m == EYE:
        side = 1.0 if hx > 0 else -1.0
        r, g, b, iris = eye_colour(hx - side * EYE_X, hy - EYE_Y, hz - EYE_Z, pose)
        # The lid's shade on the eye, and the light that the cornea throws to the far side of the iris.
        ao *= 0.35 + 0.65 * step(-0.02, 0.14, EYE_Y + 0.13 - hy)
        glow = 1.0 + 1.6 * iris * clamp(-1.4 * (key - 0.62), -0.3, 0.8)
        r, g, b = r * glow, g * glow, b * glow
        power = 900.0
        gloss = 0.11
    elif m == HAIR:
        fine, coarse = strands(hx, hy, hz)
        tone = 0.45 + 0.75 * fine * (0.5 + coarse)
        r, g, b = 0.150 * tone, 0.068 * tone, 0.032 * tone
        power = 14.0
        gloss = 0.055 * (0.35 + 1.3 * fine)
    else:
        knit = 0.5 + 0.5 * sin(hx * 95.0 + 1.2 * sin(hy * 120.0))
        tone = 0.86 + 0.18 * knit + 0.16 * (noise(hx * 40, hy * 40, hz * 40) - 0.5)
        r, g, b = 0.085 * tone, 0.185 * tone, 0.225 * tone
        power = 6.0
        gloss = 0.012

    out = np.empty(3)
    base = (r, g, b)
    lamp, cool, warm = (2.10, 1.88, 1.62), (0.20, 0.26, 0.35), (1.25, 1.25, 1.30)
    above, below = (0.30, 0.35, 0.42), (0.20, 0.16, 0.14)
    thin = 0.0
    if m == SKIN:
        d, _ = scene(x + 0.10 * RIM[0], y + 0.10 * RIM[1], z + 0.10 * RIM[2], pose)
        thin = clamp(1.0 + d / 0.06, 0.0, 1.0) * clamp(0.6 - rim, 0.0, 1.0)
    spec = gloss * (shine(nx, ny, nz, dx, dy, dz, KEY, power) * lit * 2.4 + 0.5 * shine(nx, ny, nz, dx, dy, dz, FILL, power))
    if m == EYE:
        spec = (spec + gloss * 2.0 * shine(nx, ny, nz, dx, dy, dz, (-0.42, 0.40, 0.81), 260.0)) * min(1.5 * ao, 1.0) ** 3
    for i in range(3):
        s = soft[i]
        wrapped = clamp((key + s) / (1 + s), 0.0, 1.0)
        shaded = lit ** (1.0 - 0.9 * s)
        light = lamp[i] * wrapped * wrapped ** (0.35 * s) * shaded * (0.35 + 0.65 * ao)
        light += cool[i] * clamp((fill + s) / (1 + s), 0.0, 1.0) * ao
        # Light that bounces between surfaces of one colour keeps that colour: creases go warm, not grey.
        bounce = ao ** (1.15 - 0.75 * min(base[i] * 1.2, 1.0))
        light += (above[i] * sky + below[i] * (1 - sky)) * bounce
        back = warm[i] * (max(rim, 0.0) * 0.85 + max(rim2, 0.0) * 0.75) * (0.25 + 0.75 * edge) * ao * sky
        out[i] = base[i] * (light + back) + spec * lamp[i] * 0.4 + back * edge * (0.05 if m != EYE else 0.0)
    out[0] += 0.30 * thin * base[0]
    out[1] += 0.05 * thin * base[1]
    return out


@fast
def film(v):
    """Linear light to 0..1 of the picture: a soft shoulder, then the sRGB curve."""
    v = v * 0.80
    v = v * (2.51 * v + 0.03) / (v * (2.43 * v + 0.59) + 0.14)
    v = clamp(v, 0.0, 1.0)
    return 12.92 * v if v < 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055


@njit(parallel=True, fastmath=True, error_model="numpy")
def render(size, grid, pose):
    """One frame, float 0..1, with grid x grid samples a pixel."""
    out = np.zeros((size, size, 3))
    for row in prange(size):
        for col in range(size):
            for k in range(grid * grid):
                u = ((col + (k % grid + 0.5) / grid) / size * 2 - 1) * VIEW
                v = (1 - (row + (k // grid + 0.5) / grid) / size * 2) * VIEW
                n = 1.0 / sqrt(u * u + v * v + DISTANCE * DISTANCE)
                dx, dy, dz = u * n, v * n, -DISTANCE * n
                t, m = march(0.0, CENTRE, DISTANCE, dx, dy, dz, DISTANCE - 1.6, DISTANCE + 1.5, pose)
                if m == AIR:
                    r, g, b = backdrop(u, v)
                else:
                    c = shade(t * dx, CENTRE + t * dy, DISTANCE + t * dz, dx, dy, dz, m, pose)
                    r, g, b = c[0], c[1], c[2]
                out[row, col, 0] += film(r)
                out[row, col, 1] += film(g)
                out[row, col, 2] += film(b)
    return out / (grid * grid)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out")
    args.add_argument("--size", type=int, default=640)
    args.add_argument("--grid", type=int, default=2, help="samples a pixel, each way")
    args.add_argument("--frames", type=int, default=int(FPS * PERIOD))
    args.add_argument("--only", type=int, help="this frame alone")
    a = args.parse_args()
    # A little grain, the same in every frame: without it 8 bits show bands in the backdrop.
    grain = np.random.default_rng(1).uniform(-0.5, 0.5, (a.size, a.size, 1))
    with open(a.out, "wb") as f:
        for k in range(a.frames) if a.only is None else [a.only]:
            start = time.monotonic()
            frame = render(a.size, a.grid, pose_at(k / FPS)) * 255 + grain
            f.write(np.clip(np.rint(frame), 0, 255).astype(np.uint8).tobytes())
            print(f"frame {k}: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
