# SPDX-License-Identifier: MPL-2.0
"""From landmarks, the crop and a pose to the warp: where each point of the new mouth is found in the old picture.

Everything happens in mouth coordinates: origin half way between the corners of the mouth, u along the corners, v down the face,
unit = the mouth's width, so the corners of the source mouth are at u = ±0.5 whatever the head does. A lip is a curve v(u), kept
as values at KNOTS and interpolated linearly.
"""

import torch
from torch import nn

GRID = 80
KNOTS = 17  # odd: one is in the middle
MID = KNOTS // 2

UPPER_LIP = (48, 60, 61, 62, 63, 64, 54)  # the upper lip's lower edge, corner to corner
LOWER_LIP = (48, 60, 67, 66, 65, 64, 54)  # the lower lip's upper edge
UPPER_VERMILION = (50, 51, 52), (61, 62, 63)  # its outer and inner edge
LOWER_VERMILION = (58, 57, 56), (67, 66, 65)
JAW_LINE = (2, 4, 6, 7, 8, 9, 10, 12, 14)

STILL = 0.03  # a jaw this little open counts as closed
OPENING = 0.44  # how far the lower lip falls at jaw = 1, in mouth widths
RAISE = 0.10  # of that, how far the upper lip rises
CORNER_DROP = 0.22  # and how far the corners follow
CHIN = 0.62  # the chin follows the lower lip by this much
LIP = 0.1  # this much of the lower lip moves as one, before the chin's own movement mixes in
GAP_CLOSED = 0.085  # landmarks leave such a gap between closed lips
MOST_RISE = 0.28  # of the chin of a mouth that was open
SIDES = 0.15  # a wide open mouth is that much wider than its corners
HIDE = 0.03  # where the lips were apart, this much of them counts as inside
BARE = 0.57  # of a lip's redness: what is less red is no lip
LINE = 0.02  # the dark line between closed lips is no wider
ARCH = 0.6  # lips that close lose this much of an arch that the opening gave them
GAP_PRESSED = 0.04  # lips that shall be pressed together may lose this much of themselves
GAP_AT_REST = 0.125  # lips parted by less stay as they are while nobody talks
GAP_RANGE = 0.05  # this much more, and the mouth counts as open
NECK = 0.2  # what the chin pushes away below the jaw line ends within this

SKIN_LUMA = 0.66  # of fair skin in full light, whose colour is "skin" relative to it
COLOURS = {"skin": (1.21, 0.93, 0.80), "cavity": (0.20, 0.07, 0.07), "tongue": (0.68, 0.33, 0.32), "enamel": (0.98, 0.91, 0.82)}
SHADOW = (0.85, 1.05, 1.15)  # exponents of a shadow inside the mouth: the light that reaches there has come off red tissue


def smoothstep(x):
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def polyline(u, points):
    """v at u (1, knots) along a polyline of points (n, k, 2) with rising u; constant beyond its ends."""
    u0, v0 = points[..., 0, None], points[..., 1, None]
    share = ((u - u0[:, :-1]) / (u0[:, 1:] - u0[:, :-1]).clamp(min=0.01)).clamp(0, 1)
    return v0[:, 0] + ((v0[:, 1:] - v0[:, :-1]) * share).sum(1)


class Renderer(nn.Module):
    def __init__(self, grid=GRID):
        super().__init__()
        t = torch.linspace(0, 1, grid)
        y, x = torch.meshgrid(t, t, indexing="ij")
        self.register_buffer("x", x.reshape(1, -1))
        self.register_buffer("y", y.reshape(1, -1))
        self.register_buffer("knots", torch.linspace(-0.5, 0.5, KNOTS)[None])
        # Displacements end where the weight begins to fall, so that no pixel mixes two places of the face.
        border = torch.minimum(torch.minimum(x, 1 - x), torch.minimum(y, 1 - y)).reshape(1, -1)
        cell = 1 / (grid - 1)
        self.register_buffer("weight", (border / cell / 2).clamp(0, 1))
        self.register_buffer("window", smoothstep((border - 2 * cell) / 0.10))
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114]))
        self.register_buffer("shadow", torch.tensor(SHADOW)[None, :, None])
        for name, rgb in COLOURS.items():
            self.register_buffer(name, torch.tensor(rgb)[None, :, None])
        self.register_buffer("depths", torch.linspace(0, 0.14, 8)[None])
        self.register_buffer("search", torch.linspace(-0.09, 0.09, 19)[None])
        apart = torch.arange(KNOTS)[:, None] - torch.arange(KNOTS)[None]
        blur = torch.exp(-((apart / 1.2) ** 2))
        self.register_buffer("smooth", blur / blur.sum(0))
        self.grid = grid

    def forward(self, landmarks, face, pose):
        jaw, spread, closure = pose[:, 0:1], pose[:, 1:2], pose[:, 2:3]
        # In a pause the picture stays itself.
        jaw = (jaw - STILL).clamp(min=0) / (1 - STILL)
        talking = smoothstep(jaw / 0.10 + closure)
        spread = spread * talking
        smile, round_ = spread.clamp(min=0), (-spread).clamp(min=0) * (1 - 0.4 * jaw**3)  # a wide open mouth cannot be pursed

        # Mouth coordinates.
        left, right = landmarks[:, 48], landmarks[:, 54]
        middle = (left + right) / 2
        width = (right - left).norm(dim=1, keepdim=True).clamp(min=0.02)
        eu = (right - left) / width
        # A shouting or grinning mouth has upright sides that reach beyond its corners.
        apart = (landmarks[:, list(UPPER_VERMILION[1])] - landmarks[:, list(LOWER_VERMILION[1])]).norm(dim=2).mean(1, keepdim=True)
        width = width * (1 + SIDES * smoothstep((apart / width - 0.1) / 0.25))
        ev = torch.stack([-eu[:, 1], eu[:, 0]], 1)
        away = (landmarks - middle[:, None]) / width[:, None]
        marks = torch.stack([(away * eu[:, None]).sum(2), (away * ev[:, None]).sum(2)], 2)
        dx, dy = (self.x - middle[:, :1]) / width, (self.y - middle[:, 1:]) / width
        u, v = dx * eu[:, :1] + dy * eu[:, 1:], dx * ev[:, :1] + dy * ev[:, 1:]

        # The lips in the picture, at rest, and where they shall be.
        k = self.knots
        upper = polyline(k, marks[:, list(UPPER_LIP)])
        lower = polyline(k, marks[:, list(LOWER_LIP)])
        # A shouting mouth has upright sides, which landmarks joined by straight lines cut off.
        wide = smoothstep(((lower - upper)[:, MID : MID + 1] - 0.25) / 0.25)
        block = 1 - (2 * k) ** 6
        upper = upper + wide * (upper[:, MID : MID + 1] * block - upper).clamp(max=0)
        lower = lower + wide * (lower[:, MID : MID + 1] * block - lower).clamp(min=0)
        seam = (upper + lower) / 2
        gap = (lower - upper).clamp(min=0)
        gap_mid = gap[:, MID - 2 : MID + 3].mean(1, keepdim=True)
        closed_below = GAP_AT_REST + (GAP_CLOSED - GAP_AT_REST) * talking - GAP_PRESSED * closure
        opened = smoothstep((gap_mid - closed_below) / GAP_RANGE)
        # Bared teeth may look closed to the landmarks, but what is there is not red as lips are.
        places = middle, width, eu, ev
        red = torch.minimum(self.redness(face, landmarks, UPPER_VERMILION), self.redness(face, landmarks, LOWER_VERMILION))
        between = self.bare(face, places, seam[:, None] + self.search[:, 3:-3, None], red)[..., MID - 4 : MID + 5].mean((1, 2))[:, None]
        opened = torch.maximum(opened, smoothstep((between - 0.5) / 0.25))
        seam = seam + (1 - opened) * self.dark_line(face, places, seam)
        lens = (1 - 4 * k * k).clamp(min=0)
        # Where the old mouth's inside begins: a little into the lips, further in a shout, and then as far as the colour says.
        hide = (HIDE + 0.14 * gap_mid * smoothstep((gap_mid - 0.2) / 0.15)) * opened
        upper = seam - opened * gap / 2 - hide * lens**0.3
        lower = seam + opened * gap / 2 + hide * lens**0.3 + 0.04 * wide * lens**0.3
        bare_above, bare_below = self.not_lip(face, places, upper, -1, red), self.not_lip(face, places, lower, 1, red)
        # Lips that are parted only a little show teeth below the line.
        parted = talking * (1 - opened) * 2 * (bare_below - LINE).clamp(min=0) * lens**1.5
        upper = upper - opened * bare_above * lens**0.3
        lower = lower + opened * bare_below * lens**0.3 + parted
        rest = upper + 0.35 / (1 + 3 * gap_mid) * (lower - upper) * opened
        rest = rest + wide * (0.5 * rest[:, MID : MID + 1] * lens - rest)
        rest = rest + opened * ARCH * (-rest).clamp(min=0)

        chin = marks[:, 8, 1:]
        nose = marks[:, 33, 1:]
        rest_mid = rest[:, MID : MID + 1]
        reach = (chin - rest_mid).clamp(min=0.4)
        size = 0.5 + 0.5 * reach.clamp(max=1.2)  # steadier than the width alone when the head turns or the mouth smiles
        # Quiet speech opens the mouth little; less than this, and it seems not to speak.
        drop = OPENING * jaw * (1.4 - 0.4 * jaw) * size * (1 - 0.15 * round_)
        part = drop * (1 - closure)  # what of it opens the lips
        # Rounded lips stay together near the corners and part in the middle only.
        oval = (1 - (k / (0.5 - 0.16 * round_)) ** 2).clamp(min=0)
        profile = oval ** (1.3 - 0.6 * smoothstep(jaw * 1.6) + 0.1 * smile)
        corner = CORNER_DROP * drop * (1 - 0.5 * closure)
        line = 0.02 * (opened + parted / 0.03).clamp(max=1) * lens**0.5  # lips that were apart have no dark line between them: leave one
        upper_to = rest + corner * (1 - profile) - RAISE * part * profile
        lower_to = rest + corner * (1 - profile) + part * profile + line
        lower_mid, lip_drop = lower[:, MID : MID + 1], (lower_to - lower)[:, MID : MID + 1]
        # Teeth in a smile are bared by the lips; a wide open mouth is open by its jaw, which has to come up again.
        by_jaw = 0.4 + 0.5 * smoothstep((gap_mid - 0.2) / 0.3)
        chin_drop = CHIN * drop - (by_jaw * (lower_mid - rest_mid) * opened).clamp(max=MOST_RISE)
        inside = self.within_jaw_line(marks, u, v, chin_drop)

        # Undo the spreading or rounding of the corners: `us` is where a point's column was in the picture.
        half = 0.5 * (1 + 0.10 * smile - 0.27 * round_ * (1 - 0.7 * wide) - 0.06 * jaw)
        near = torch.exp(-((u / 0.55) ** 2) - ((v - rest_mid - drop / 2) / 0.38) ** 2)
        us = u * (1 + (0.5 / half - 1) * torch.exp((half / 0.55) ** 2) * near)
        us = u + (us - u) * smoothstep(inside / 0.25) * self.window

        # Curves at every grid point. Beyond the corners all of them run on as one, and calm down.
        at = (us.clamp(-0.5, 0.5) + 0.5) * (KNOTS - 1)
        knot = at.floor().clamp(max=KNOTS - 2)
        lines = torch.stack([upper, lower, upper_to, lower_to], 1)
        lines = torch.cat([lines[..., :-1], lines[..., 1:] - lines[..., :-1]], 1)  # values and slopes from knot to knot
        lines = lines.gather(2, knot.long()[:, None].expand(-1, 8, -1))
        curves = lines[:, :4] + lines[:, 4:] * (at - knot)[:, None]
        beyond = torch.exp(-(((us.abs() - 0.5).clamp(min=0) / 0.35) ** 2))
        upper, lower = curves[:, 0], curves[:, 1]
        lift = (curves[:, 2] - upper) * beyond * self.window
        fall = (curves[:, 3] - lower) * beyond * self.window
        upper_to, lower_to = upper + lift, lower + fall

        # The upper side: the lip's own movement, fading out towards the nose.
        above, below = (upper_to - v).clamp(min=0), (v - lower_to).clamp(min=0)
        up = lift * (1 - smoothstep(above / (rest_mid - nose).clamp(min=0.3)))

        # The lower side: near the lip the lip's movement, further down the jaw's, which ends a little outside the jaw line.
        depth = below / (chin + chin_drop - rest_mid).clamp(min=0.4)
        spreadout = 0.75 + 0.35 * depth.clamp(max=1)
        # The fallen chin covers the neck and leaves the collar alone. A rising one stretches what is under it: more room, or it folds.
        rise = (-chin_drop).clamp(min=0)
        margin = NECK + 1.8 * rise
        jaw_field = chin_drop * torch.exp(-((us / spreadout) ** 2)) * smoothstep(inside / margin + 0.6 + 0.4 * (rise / 0.05).clamp(max=1)) * self.window
        # Never so steep that the picture would fold.
        blend = torch.maximum(0.45 * reach, 1.8 * (lip_drop - chin_drop).abs())
        mix = smoothstep((below - LIP) / blend)
        down = (1 - mix) * fall + mix * jaw_field

        # Thickness of the lips: fuller when rounded, thinner when spread or pressed.
        full = (0.30 * round_ - 0.12 * smile * (1 - closure) - 0.13 * closure) * torch.exp(-(((us / 0.42) ** 2) ** 2)) * self.window
        up = up - full * above * torch.exp(-((above / 0.22) ** 2))
        down = down + full * below * torch.exp(-((below / 0.25) ** 2))

        def displacement(du, dv):
            d = width[..., None] * (du[:, None] * eu[..., None] + dv[:, None] * ev[..., None])
            return d.reshape(-1, 2, self.grid, self.grid)

        edges = torch.stack([upper_to - v, v - lower_to], 1) * width[..., None]
        inner = self.mouth_inside(landmarks, face, u, v, upper_to, lower_to, rest_mid, drop, spread)
        square = (-1, 1, self.grid, self.grid)
        return (
            displacement(us - u, -up),
            displacement(us - u, -down),
            edges.reshape(-1, 2, self.grid, self.grid),
            inner,
            (self.weight + 0 * width).reshape(square),
        )

    def look(self, picture, places, v):
        """(n, s, knots): a picture of one channel at v (n, s, knots) above or below the knots."""
        middle, width, eu, ev = (t[:, None, None] for t in places)
        at = middle + width * ((self.knots + 0 * v)[..., None] * eu + v[..., None] * ev)
        return nn.functional.grid_sample(picture, 2 * at - 1, padding_mode="border", align_corners=False)[:, 0]

    def dark_line(self, face, places, seam):
        """(n, knots): how far from the landmarks' seam, in mouth widths, the dark line between closed lips really runs."""
        luma = (face * self.luma[None, :, None, None]).sum(1, keepdim=True)
        seen = self.look(luma, places, seam[:, None] + self.search[..., None])
        contrast = seen / seen.mean(1, keepdim=True).clamp(min=0.02)
        share = torch.softmax(-contrast / 0.04 - (self.search[..., None] / 0.06) ** 2, 1)
        return ((share * self.search[..., None]).sum(1) * (1 - (2 * self.knots) ** 8)) @ self.smooth

    def redness(self, face, landmarks, pairs):
        """(n, 1): of a lip between its outer and inner landmarks."""
        outer, inner = landmarks[:, list(pairs[0])], landmarks[:, list(pairs[1])]
        at = torch.stack([0.5 * outer + 0.5 * inner, 0.7 * outer + 0.3 * inner], 1)
        red = nn.functional.avg_pool2d(face[:, :1] - face[:, 1:2], 3, 1, 1)
        return nn.functional.grid_sample(red, 2 * at - 1, padding_mode="border", align_corners=False)[:, 0].mean(2).amax(1, keepdim=True)

    def bare(self, face, places, v, red):
        """(n, s, knots): 1 where there is no lip, for lips are red and teeth are not; 0 where without colour nothing can be told."""
        seen = self.look(face[:, :1] - face[:, 1:2], places, v)
        trust = smoothstep((red - 0.05) / 0.05)[..., None]
        return trust * torch.sigmoid((BARE - seen / red.clamp(min=0.05)[..., None]) / 0.03)

    def not_lip(self, face, places, edge, sign, red):
        """(n, knots): how far from the edge into the lip (sign: -1 upper, 1 lower) there is none, in mouth widths."""
        bare = self.bare(face, places, edge[:, None] + sign * self.depths[..., None], red)
        reach = bare[:, 0]
        far = reach * 0
        for step in range(1, bare.shape[1]):  # only as far as nothing but that lies between
            reach = reach * bare[:, step]
            far = far + reach
        far = far + far.clamp(max=1)  # the first lip has a rim of what lay before it
        return far * (self.depths[:, 1] - self.depths[:, 0]) @ self.smooth

    def within_jaw_line(self, marks, u, v, chin_drop):
        """Mouth widths from the (convex) jaw line where it has fallen to, > 0 inside the face."""
        a, b = marks[:, list(JAW_LINE[:-1])], marks[:, list(JAW_LINE[1:])]
        along = b - a
        normal = torch.stack([along[..., 1], -along[..., 0]], 2) / along.norm(dim=2, keepdim=True).clamp(min=0.01)
        offset = -(normal * a).sum(2)
        offset = offset - normal[..., 1] * chin_drop
        inside = torch.stack([u, v, torch.ones_like(u)], 2) @ torch.cat([normal, offset[..., None]], 2).transpose(1, 2)
        return inside.amin(2)

    def shadowed(self, light):
        """light ** shadow for each colour; the runtime's exp and log are much faster than its powers."""
        return torch.exp(self.shadow * light.clamp(min=1e-4).log()[:, None])

    def mouth_inside(self, landmarks, face, u, v, upper_to, lower_to, rest_mid, drop, spread):
        """The mouth's inside: (n, 4, grid, grid), premultiplied. Lit and tinted by the skin on each side of the mouth."""
        sides = []
        small = nn.functional.avg_pool2d(face, 8).flatten(2)
        t = (torch.arange(16, dtype=torch.float32) + 0.5) / 16
        for nostril, corner in ((31, 48), (35, 54)):
            p = landmarks[:, nostril] * 0.4 + landmarks[:, corner] * 0.6
            p = p + (landmarks[:, corner] - landmarks[:, 51]) * 0.5
            wx = torch.exp(-(((t[None] - p[:, :1]) / 0.06) ** 2))
            wy = torch.exp(-(((t[None] - p[:, 1:]) / 0.06) ** 2))
            w = (wy[:, :, None] * wx[:, None, :]).flatten(1) + 1e-6
            sides.append((small * w[:, None]).sum(2) / w.sum(1, keepdim=True))
        share = (u + 0.5).clamp(0, 1)[:, None]
        skin = sides[0][..., None] * (1 - share) + sides[1][..., None] * share
        luma = (skin * self.luma[None, :, None]).sum(1, keepdim=True).clamp(min=0.03)
        # What the light adds to the skin's own colour, it adds to the teeth's; dark skin is not all shadow.
        light = 0.82 * torch.exp(0.6 * (luma / SKIN_LUMA).log() + 0.25 * (skin / luma / self.skin).clamp(min=1e-4).log())

        below, above = v - upper_to, lower_to - v  # under the upper lip, over the lower lip
        gap = (lower_to - upper_to).clamp(min=0)
        round_ = (-spread).clamp(min=0)

        out = self.cavity * light * (0.6 + 0.4 * smoothstep(below / 0.12))[:, None]
        # Tongue: a mound that rests behind the lower teeth, lighter towards its tip.
        mound = 0.02 + 0.40 * drop - 0.9 * u * u
        tongue = smoothstep((mound - above) / 0.09 + 0.5)
        out = out + (self.tongue * light * (1 - 0.55 * smoothstep(above / 0.16))[:, None] - out) * tongue[:, None]
        # Upper teeth hang from the skull: they stay while the lips move. Rounded lips cover them.
        place = u / 0.16 * (1 + 1.2 * u * u)  # counts teeth from the middle; those at the sides turn away
        between = (place - torch.round(place)).abs()  # 0 in the cleft between two teeth, 0.5 in a tooth's middle
        tip = rest_mid + 0.06 - 0.035 * round_ - 0.22 * u * u
        teeth = smoothstep((tip - v) / 0.03 + 0.5) * (1 - smoothstep((u.abs() - 0.30) / 0.12))
        shade = (0.72 + 0.28 * smoothstep(below / 0.06)) * (1 - 1.5 * u * u) * (1 - 0.10 * smoothstep(1 - between / 0.14))
        shade = (shade * (1 - 0.35 * round_)).clamp(min=0.05)
        out = out + (self.enamel * light * self.shadowed(shade) - out) * teeth[:, None]
        # Little light falls through a narrow slit, and the lips shade what is right behind them.
        near = torch.minimum(below, above)
        dark = (0.3 + 0.7 * smoothstep(gap / 0.10)) * (0.6 + 0.4 * smoothstep(near / 0.05))
        out = out * self.shadowed(dark)
        alpha = (smoothstep(gap / 0.03) * smoothstep(near / 0.03 + 0.6))[:, None]
        return torch.cat([out.clamp(0, 1) * alpha, alpha], 1).reshape(-1, 4, self.grid, self.grid)
