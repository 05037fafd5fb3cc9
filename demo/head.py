# SPDX-License-Identifier: MPL-2.0
"""The head of the demo: its shape as a signed distance, its colours as functions of the place.

Lengths are in head units: the face is about 1.4 wide, x to the picture's right, y up, z towards the camera, the origin between the eyes.
Everything is a smooth union of ellipsoids; lips, lids and brows are curves in the front view that raise, cut and tint the surface.
"""
from math import atan2, exp, floor, sin, sqrt

from numba import njit

fast = njit(fastmath=True, error_model="numpy", inline="never")

AIR, SKIN, EYE, HAIR, CLOTH = 0, 1, 2, 3, 4

EYE_X, EYE_Y, EYE_Z, EYE_R = 0.325, 0.03, 0.515, 0.215
EYE_W = 0.178          # half the width of the opening between the lids
MOUTH_Y, MOUTH_W = -0.605, 0.255


@fast
def clamp(v, lo, hi):
    return min(max(v, lo), hi)


@fast
def step(lo, hi, v):
    """Smooth step: 0 at lo, 1 at hi; lo may be above hi."""
    t = clamp((v - lo) / (hi - lo), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@fast
def bell(v, width):
    return exp(-(v / width) ** 2)


@fast
def join(a, b, k):
    """Smooth union; k is how far the seam reaches."""
    h = max(k - abs(a - b), 0.0) / k
    return min(a, b) - 0.25 * h * h * k


@fast
def cut(a, b, k):
    """Smooth a without b."""
    return -join(-a, b, k)


@fast
def ball(x, y, z, rx, ry, rz):
    """Distance to an ellipsoid around the origin, first order."""
    n = sqrt((x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2)
    g = sqrt((x / (rx * rx)) ** 2 + (y / (ry * ry)) ** 2 + (z / (rz * rz)) ** 2)
    return n * (n - 1.0) / (g + 1e-9)


@fast
def rod(x, y, z, ay, az, by, bz, ra, rb):
    """Distance to a rod in the middle plane from (0, ay, az) to (0, by, bz), with a radius at each end."""
    dy, dz = by - ay, bz - az
    t = clamp(((y - ay) * dy + (z - az) * dz) / (dy * dy + dz * dz), 0.0, 1.0)
    return sqrt(x * x + (y - ay - t * dy) ** 2 + (z - az - t * dz) ** 2) - (ra + t * (rb - ra))


@fast
def hashed(i, j, k):
    """A number 0..1 that belongs to the whole numbers i, j, k."""
    n = int(i) * 374761393 + int(j) * 668265263 + int(k) * 2147483647
    n = ((n ^ (n >> 13)) * 1274126177) & 0x7FFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFFFF) / 16777216.0


@fast
def noise(x, y, z):
    """Smooth value noise, 0..1, one value per unit cube."""
    i, j, k = floor(x), floor(y), floor(z)
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    a = hashed(i, j, k) * (1 - u) + hashed(i + 1, j, k) * u
    b = hashed(i, j + 1, k) * (1 - u) + hashed(i + 1, j + 1, k) * u
    c = hashed(i, j, k + 1) * (1 - u) + hashed(i + 1, j, k + 1) * u
    d = hashed(i, j + 1, k + 1) * (1 - u) + hashed(i + 1, j + 1, k + 1) * u
    return (a * (1 - v) + b * v) * (1 - w) + (c * (1 - v) + d * v) * w


# --- curves in the front view -------------------------------------------------------------------------------------------------------


@fast
def lips(x, y):
    """(height, redness, crease): how far the lips stand out, how much of their colour, how deep between them."""
    u = x / MOUTH_W
    a = abs(u)
    if a > 1.7 or abs(y - MOUTH_Y) > 0.25:
        return 0.0, 0.0, 0.0
    inside = max(1.0 - u * u, 0.0)
    dip = -0.010 * bell(u, 0.20) + 0.007 * bell(a - 0.42, 0.25)
    line = MOUTH_Y + 0.050 * u * u + dip
    upper = 0.078 * inside ** 0.75 * (1.0 - 0.20 * bell(u, 0.15)) * (1.0 - 0.25 * u * u)
    lower = 0.096 * inside ** 0.50 + dip
    v = y - line
    s = v / (upper + 1e-4) if v > 0 else -v / (lower + 1e-4)
    full = inside ** 0.5
    body = max(1.0 - (s - 0.38) ** 2 / 0.50, 0.0)
    height = (0.044 + 0.012 * step(0.012, -0.012, v)) * full * body * body * (3.0 - 2.0 * body)
    corner = bell(a - 1.06, 0.16) * bell(v, 0.055)
    crease = bell(v + 0.001, 0.0115 + 0.003 * full) * step(1.08, 0.70, a)
    soft = 0.012 / (upper + 0.012) if v > 0 else 0.024 / (lower + 0.024)
    red = step(1.0 + soft, 1.0 - soft, s) * step(1.02, 0.90, a)
    return height - 0.012 * corner, red, crease


@fast
def lid(x, y, opening):
    """(gap, upper): distance in the front view to the opening between the lids, < 0 inside; and to the upper lid's edge.
    x is counted outwards from the eye's centre; opening is 1 for an open eye, 0 for a shut one."""
    t = x / EYE_W
    inside = max(1.0 - t * t, 0.0)
    tilt = 0.016 * t
    low = -0.060 * inside ** 0.8 * (1.0 + 0.18 * t) + tilt
    high = 0.088 * inside ** 0.62 * (1.0 - 0.10 * t) + tilt
    high = low + (high - low) * opening - 0.022 * (1.0 - opening) * inside
    side = abs(x) - EYE_W
    return max(max(y - high, low - y), side), y - high


@fast
def brow(x, y):
    """(cover, along): how much of an eyebrow is here, and the place along it; x outwards from the middle of the face."""
    t = (x - 0.135) / 0.395
    if t < -0.1 or t > 1.1 or y < 0.1 or y > 0.6:
        return 0.0, 0.0
    middle = 0.285 + 0.085 * sin(clamp(t * 2.25, 0.0, 3.1)) - 0.045 * t * t
    half = 0.046 * (1.0 - 0.60 * t * t) * (0.55 + 0.45 * step(-0.08, 0.12, t))
    return step(1.25, 0.35, abs(y - middle) / half) * step(1.04, 0.85, t) * step(-0.09, 0.06, t), t


# --- shape --------------------------------------------------------------------------------------------------------------------------


@fast
def skin(x, y, z, opening):
    ax = abs(x)
    d = ball(x, y - 0.28, z + 0.14, 0.77, 0.88, 0.90)                          # skull
    d = join(d, ball(x, y + 0.14, z - 0.13, 0.66, 0.86, 0.68), 0.15)           # face
    d = join(d, ball(x, y + 0.64, z - 0.20, 0.415, 0.40, 0.50), 0.22)           # jaw
    d = join(d, ball(ax - 0.37, y + 0.26, z - 0.45, 0.25, 0.22, 0.25), 0.19)   # cheeks
    d = join(d, ball(x, y + 0.945, z - 0.54, 0.17, 0.12, 0.15), 0.20)          # chin
    d = join(d, ball(x, y + 0.60, z - 0.56, 0.30, 0.22, 0.22), 0.16)           # around the mouth
    if d > 0.5:
        return d - 0.3      # ears and nose reach no farther
    if y < -0.55:
        d = join(d, rod(x, y, z, -0.70, -0.22, -1.9, -0.36, 0.315, 0.36), 0.16)  # neck
        return d - relief(x, y, z) if z > 0.3 else d
    d = join(d, ball(ax - 0.27, y - 0.27, z - 0.60, 0.26, 0.08, 0.12), 0.14)   # brow ridge
    if ax > 0.55:
        ear = ball(ax - 0.775 - 0.25 * (-0.05 - z), y + 0.01, z + 0.10, 0.065, 0.20, 0.135)
        ear = join(ear, ball(ax - 0.755, y + 0.17, z + 0.05, 0.050, 0.085, 0.075), 0.06)
        ear = cut(ear, ball(ax - 0.855, y - 0.0, z + 0.01, 0.075, 0.125, 0.10), 0.05)
        d = join(d, ear, 0.07)
    if z > 0.2:
        d = cut(d, ball(ax - 0.335, y - 0.035, z - 0.90, 0.19, 0.135, 0.19), 0.16)     # eye sockets
        nose = rod(x, y, z, 0.16, 0.70, -0.26, 0.885, 0.055, 0.085)
        nose = join(nose, ball(x, y + 0.295, z - 0.90, 0.105, 0.095, 0.110), 0.10)
        nose = join(nose, ball(ax - 0.105, y + 0.330, z - 0.815, 0.068, 0.062, 0.085), 0.06)
        d = join(d, nose, 0.11)
        d = cut(d, ball(ax - 0.062, y + 0.392, z - 0.885, 0.034, 0.026, 0.055), 0.030)  # nostrils
        ex, ey, ez = ax - EYE_X, y - EYE_Y, z - EYE_Z
        if ex * ex + ey * ey < 0.14:
            d = join(d, sqrt(ex * ex + ey * ey + ez * ez) - EYE_R - 0.028, 0.07)
            gap, _ = lid(ex, ey, opening)
            d = cut(d, max(gap, -ez), 0.016)
            wide, _ = lid(ex * 0.93, (ey - 0.045) * 0.95, 1.0)
            d += 0.013 * bell(wide, 0.014) * step(0.02, 0.06, ey) * step(1.25, 0.8, abs(ex) / EYE_W) * (0.35 + 0.65 * opening)  # fold
        d -= relief(x, y, z)
    return d


@fast
def relief(x, y, z):
    """What stands out of the skin (or sinks in, < 0): lips and brows, the groove under the nose, the fold over the chin."""
    ax = abs(x)
    if z < 0.2 or ax > 0.62:
        return 0.0
    if y > 0.1:
        cover, t = brow(ax, y)
        if cover == 0.0:
            return 0.0
        return cover * (0.010 + 0.006 * noise(ax * 75.0 - y * 120.0, y * 17.0 + ax * 11.0, 3.0))
    if y < -0.35:
        height, red, crease = lips(x, y)
        h = height - 0.014 * crease
        h -= 0.018 * bell(x, 0.045) * bell(y + 0.475, 0.055)
        h += 0.010 * bell(ax - 0.058, 0.030) * bell(y + 0.480, 0.060)
        h -= 0.026 * bell(x, 0.20) * bell(y + 0.790, 0.045)
        if red > 0:
            h += red * 0.0035 * (noise(x * 75.0, y * 9.0, 1.0) - 0.5)
        return h
    return 0.0


@fast
def hair(x, y, z):
    """Short hair, swept to the left of the picture."""
    d = ball(x, y - 0.32, z + 0.16, 0.865, 0.945, 0.945)
    if d > 0.7:
        return d - 0.4
    d = cut(d, ball(x - 0.02, y + 0.30, z - 1.05, 0.80, 0.93, 1.02), 0.10)           # face
    d = cut(d, ball(abs(x) - 0.95, y + 0.10, z - 0.00, 0.34, 0.33, 0.24), 0.06)      # ears
    d = max(d, -(y + 0.55 + 0.25 * z))                                              # nape
    lock = ball(x + 0.10 + 0.35 * (y - 0.95), (y - 0.93) - 0.22 * (x + 0.1), z - 0.40, 0.60, 0.225, 0.42)
    d = join(d, lock, 0.16)
    d = join(d, ball(x + 0.50 + 0.3 * (y - 0.8), (y - 0.80) - 0.55 * (x + 0.5), z - 0.42, 0.33, 0.18, 0.32), 0.12)
    d = join(d, ball(x - 0.50, (y - 0.76) + 0.60 * (x - 0.50), z - 0.30, 0.26, 0.15, 0.36), 0.20)
    if d < 0.12:
        fine, coarse = strands(x, y, z)
        d -= 0.030 * (coarse - 0.5) + 0.014 * (fine - 0.5)
    return d


@fast
def strands(x, y, z):
    """(fine, coarse) noise, 0..1, drawn out along the hair, which falls from the crown and is swept aside in front."""
    px, pz = x - 0.30, z - 0.10
    r = sqrt(px * px + pz * pz)
    turn = atan2(px, pz) - (0.15 + 1.15 * step(0.0, 0.5, z) * step(0.75, 0.30, x)) * (y - 0.9) + 0.06 * sin(r * 5.0 + y * 3.0)
    coarse = noise(turn * 11.0 + 50.0, r * 1.2, y * 1.1)
    fine = noise(turn * 55.0 + 50.0, r * 1.6, y * 1.6)
    return fine, coarse


@fast
def cloth(x, y, z):
    d = ball(x, y + 2.36, z + 0.30, 1.50, 0.86, 0.62)
    d = join(d, ball(x, y + 1.90, z + 0.32, 0.58, 0.50, 0.50), 0.35)
    q = sqrt(x * x + (z + 0.26 - 0.1 * (y + 1.6)) ** 2) - 0.42
    collar = sqrt(q * q + ((y + 1.42 - 0.22 * z) * 0.66) ** 2) - 0.085
    return join(d, collar, 0.04)


@fast
def scene(x, y, z, pose):
    """(distance, material) of the nearest thing. pose: see face.py."""
    x, y, z = into_head(x, y, z, pose)
    far = ball(x, y - 0.15, z, 1.05, 1.35, 1.15)
    d, m = cloth(x, y, z), CLOTH
    if far > 0.3 and y > -1.1:
        return min(far - 0.1, d), AIR
    s = skin(x, y, z, pose[12])
    if s < d:
        d, m = s, SKIN
    if y > -0.6 and (y > 0.1 or z < 0.6):
        h = hair(x, y, z)
        if h < d:
            d, m = h, HAIR
    if abs(y - EYE_Y) < 0.3:
        e = sqrt((abs(x) - EYE_X) ** 2 + (y - EYE_Y) ** 2 + (z - EYE_Z) ** 2) - EYE_R
        if e < d:
            d, m = e, EYE
    return d, m


@fast
def into_head(x, y, z, pose):
    """From the room into the head's own frame; below the jaw the turn fades, so the neck bends and the shoulders stay."""
    w = step(-1.75, -0.75, y)
    y -= pose[13]
    py = y + 1.15
    hx = pose[0] * x + pose[1] * py + pose[2] * z
    hy = pose[3] * x + pose[4] * py + pose[5] * z - 1.15
    hz = pose[6] * x + pose[7] * py + pose[8] * z
    return x + (hx - x) * w, y + (hy - y) * w, z + (hz - z) * w


# --- colour -------------------------------------------------------------------------------------------------------------------------


@fast
def skin_colour(x, y, z, opening):
    """(red, green, blue, gloss): linear reflectance, and how much the surface shines."""
    ax = abs(x)
    r, g, b = 0.740, 0.430, 0.300
    gloss = 0.45
    mottle = noise(x * 9, y * 9, z * 9) * 0.6 + noise(x * 31, y * 31, z * 31) * 0.4 - 0.5
    r, g, b = r * (1 + 0.05 * mottle), g * (1 + 0.12 * mottle), b * (1 + 0.13 * mottle)
    blush = 0.55 * bell(ax - 0.40, 0.20) * bell(y + 0.27, 0.15) + 0.40 * bell(ax, 0.13) * bell(y + 0.30, 0.11)
    blush += 0.55 * step(0.68, 0.80, ax) * step(0.35, 0.1, y) + 0.15 * bell(ax, 0.25) * bell(y + 0.95, 0.12)
    blush = clamp(blush, 0.0, 1.0) if z > -0.5 else 0.0
    r, g, b = r * (1 + 0.02 * blush), g * (1 - 0.28 * blush), b * (1 - 0.25 * blush)
    if z > 0.3:
        band = bell(y + 0.20, 0.12) * step(0.62, 0.35, ax)
        i, j = floor(x * 26), floor(y * 26)
        fx, fy = x * 26 - i - 0.25 - 0.5 * hashed(i, j, 1.0), y * 26 - j - 0.25 - 0.5 * hashed(i, j, 2.0)
        size = 0.10 + 0.13 * hashed(i, j, 3.0)
        freckle = 0.9 * band * step(size, 0.4 * size, sqrt(fx * fx + fy * fy)) * step(0.45, 0.75, hashed(i, j, 4.0))
        r, g, b = r * (1 - 0.28 * freckle), g * (1 - 0.45 * freckle), b * (1 - 0.55 * freckle)
        if y < -0.35:
            _, red, crease = lips(x, y)
            tone = 1.0 + 0.16 * (noise(x * 70.0, y * 8.0, 1.0) - 0.5)
            deep = 0.86 if y > MOUTH_Y else 1.0
            k = 0.80 * red
            r = r * (1 - k) + 0.63 * tone * deep * k
            g = g * (1 - k) + 0.210 * tone * deep * k
            b = b * (1 - k) + 0.185 * tone * deep * k
            gloss = (gloss + 0.50 * red) * (1 - crease)
            k = 0.90 * crease
            r, g, b = r * (1 - 0.85 * k), g * (1 - k), b * (1 - k)
        elif y > 0.1:
            cover, t = brow(ax, y)
            if cover > 0.0:
                thread = noise(ax * 75.0 - y * 120.0, y * 17.0 + ax * 11.0, 3.0)
                k = clamp(cover * (0.68 + 0.65 * thread), 0.0, 0.95)
                r, g, b = r * (1 - k) + 0.085 * k, g * (1 - k) + 0.042 * k, b * (1 - k) + 0.022 * k
                gloss *= 1 - 0.6 * k
        ex, ey = ax - EYE_X, y - EYE_Y
        if ex * ex + ey * ey < 0.09:
            gap, upper = lid(ex, ey, opening)
            near = step(0.075, 0.0, gap)
            r, g, b = r * (1 - 0.10 * near), g * (1 - 0.20 * near), b * (1 - 0.17 * near)
            thick = 0.013 + 0.012 * step(-0.2, 1.0, ex / EYE_W)
            lash = step(thick * 1.5, thick * 0.5, gap) * step(-0.02, 0.004, upper) * step(1.25, 1.0, abs(ex) / EYE_W)
            lash = max(lash, 0.35 * step(0.010, 0.0, gap))
            r, g, b = r * (1 - 0.93 * lash), g * (1 - 0.93 * lash), b * (1 - 0.93 * lash)
            gloss *= 1 - lash
    return r, g, b, gloss


@fast
def eye_colour(x, y, z, pose):
    """(red, green, blue, iris): linear reflectance, and 1 where the iris is. The place is relative to the eye's centre."""
    n = 1.0 / sqrt(x * x + y * y + z * z)
    x, y, z = x * n, y * n, z * n
    gx, gy, gz = pose[9], pose[10], pose[11]
    c = x * gx + y * gy + z * gz
    r = sqrt(max(1 - c * c, 0.0)) / 0.475
    if c < 0.0 or r > 1.08:
        veins = 0.04 * noise(x * 30, y * 30, z * 30)
        return 0.74, 0.69 - veins, 0.665 - veins, 0.0
    turn = atan2(y - gy, x - gx)
    fibre = 0.72 + 0.5 * noise(turn * 11.0 + 40, r * 2.0, 2.0) * noise(turn * 5.0 + 40, r * 3.0, 7.0) * 2.0
    glow = (0.55 + 0.75 * step(0.95, 0.35, r)) * fibre
    red, green, blue = 0.170 * glow, 0.165 * glow, 0.085 * glow
    warm = step(0.72, 0.42, r)
    red, green, blue = red + 0.10 * warm * fibre, green + 0.040 * warm * fibre, blue
    rim = step(0.74, 0.98, r)
    pupil = step(0.47, 0.42, r)
    k = (1 - 0.82 * rim) * (1 - 0.985 * pupil)
    white = step(0.95, 1.08, r)
    return red * k * (1 - white) + 0.70 * white, green * k * (1 - white) + 0.65 * white, blue * k * (1 - white) + 0.63 * white, 1.0 - white
