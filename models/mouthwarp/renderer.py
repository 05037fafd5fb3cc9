# SPDX-License-Identifier: MPL-2.0
"""From landmarks, the crop and a pose to the warp: where each point of the new mouth is found in the old picture.

Everything happens in mouth coordinates: origin half way between the corners of the mouth, u along the corners, v down the face,
unit = the mouth's width, so the corners of the source mouth are at u = ±0.5 whatever the head does. A lip is a curve v(u), kept
as values at KNOTS and interpolated linearly. Lengths of the pose are in distances of the outer corners of the eyes.
"""

import torch
from torch import nn

GRID = 72
INNER_GRID = 60, 72  # rows and columns of the mouth's inside
INNER_AREA = (0.26, 0.28, 0.74, 0.76)  # of the crop: left, top, right, bottom
KNOTS = 21  # odd: one is in the middle
MID = KNOTS // 2

# FaceMesh V2's numbers of the points that the graph is given, in this order.
UPPER_EDGE = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)  # the upper lip's lower edge, from the left corner to the right
LOWER_EDGE = (95, 88, 178, 87, 14, 317, 402, 318, 324)  # the lower lip's upper edge, without the corners
UPPER_OUTLINE = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)  # the upper lip's upper edge, from corner to corner
LOWER_OUTLINE = (146, 91, 181, 84, 17, 314, 405, 321, 375)
EYES = (33, 263)  # outer corners
NOSE = (98, 2, 327)  # nostril, subnasale, nostril
JAW_LINE = (58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288)
CHEEKS = (205, 425)
POINTS = UPPER_EDGE + LOWER_EDGE + UPPER_OUTLINE + LOWER_OUTLINE + EYES + NOSE + JAW_LINE + CHEEKS
AT = {point: i for i, point in enumerate(POINTS)}

# iBUG's numbers of the same places, for the remembered mouth.
IBUG_UPPER = (60, 61, 62, 63, 64)
IBUG_LOWER = (60, 67, 66, 65, 64)

PARTED = 0.012, 0.02  # lips that are less than the first apart are closed, by the sum of both more surely open; eye distances
STILL = 0.004  # an opening that nobody sees
REST = 0.35  # the line at which open lips meet, from the upper to the lower one: the jaw comes up more than the lip goes down
RAISE = 0.22  # of an opening, how far the upper lip rises
HIDE, HIDE_MORE = 0.015, 0.07  # this much of lips that close, and this much of their gap, counts as inside, mouth widths
CORNER_DROP = 0.10  # and how far the corners follow
CHIN = 0.75  # the chin follows the lower lip by this much
LIP = 0.1  # this much of the lower lip moves as one, before the chin's own movement mixes in, mouth widths
NECK = 0.2  # what the chin pushes away below the jaw line ends within this
OWN = 0.30, 0.30  # of the wanted opening: with less of its own the mouth's inside is drawn, with both it is the source's own

SKIN_LUMA = 0.66  # of fair skin in full light, whose colour is "skin" relative to it
COLOURS = {
    "skin": (1.21, 0.93, 0.80), "cavity": (0.20, 0.07, 0.07), "tongue": (0.68, 0.33, 0.32), "enamel": (1.02, 0.95, 0.86), "gum": (0.72, 0.36, 0.34),
}  # fmt: skip
SHADOW = (0.85, 1.05, 1.15)  # exponents of a shadow inside the mouth: the light that reaches there has come off red tissue


def smoothstep(x):
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def polyline(u, points):
    """v at u (n or 1, knots) along a polyline of points (n, k, 2) with rising u; constant beyond its ends."""
    u0, v0 = points[..., 0, None], points[..., 1, None]
    share = ((u[:, None] - u0[:, :-1]) / (u0[:, 1:] - u0[:, :-1]).clamp(min=0.004)).clamp(0, 1)
    return v0[:, 0] + ((v0[:, 1:] - v0[:, :-1]) * share).sum(1)


def through(s, short, tall):
    """Where of an opening `tall` a place s (0..1) of an opening `short` comes from, 0..tall: near both lips nothing is stretched."""
    slope = short * (2 * tall / short.clamp(min=1e-3)).clamp(max=1)
    return tall * (3 - 2 * s) * s * s + slope * s * (1 - s) * (1 - 2 * s)


class Renderer(nn.Module):
    def __init__(self, grid=GRID):
        super().__init__()

        def mesh(rows, columns, area):
            x = torch.linspace(area[0], area[2], columns)
            y = torch.linspace(area[1], area[3], rows)
            y, x = torch.meshgrid(y, x, indexing="ij")
            return x.reshape(1, -1), y.reshape(1, -1)

        x, y = mesh(grid, grid, (0, 0, 1, 1))
        self.register_buffer("x", x)
        self.register_buffer("y", y)
        x_in, y_in = mesh(*INNER_GRID, INNER_AREA)
        self.register_buffer("x_in", x_in)
        self.register_buffer("y_in", y_in)
        self.register_buffer("knots", torch.linspace(-0.5, 0.5, KNOTS)[None])
        # Displacements end where the weight begins to fall, so that no pixel mixes two places of the face.
        border = torch.minimum(torch.minimum(x, 1 - x), torch.minimum(y, 1 - y))
        cell = 1 / (grid - 1)
        self.register_buffer("weight", (border / cell / 2).clamp(0, 1))
        self.register_buffer("window", smoothstep((border - 2 * cell) / 0.10))
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114]))
        self.register_buffer("shadow", torch.tensor(SHADOW)[None, :, None])
        for name, rgb in COLOURS.items():
            self.register_buffer(name, torch.tensor(rgb)[None, :, None])
        self.register_buffer("search", torch.linspace(-0.06, 0.06, 13)[None])
        apart = torch.arange(KNOTS)[:, None] - torch.arange(KNOTS)[None]
        blur = torch.exp(-((apart / 1.2) ** 2))
        self.register_buffer("smooth", blur / blur.sum(0))
        self.grid = grid

    def forward(self, landmarks, face, pose, memory, memory_landmarks, memory_weight):
        """landmarks (n, POINTS, 2); face, memory (n, 3, h, w); pose (n, 5); memory_landmarks (n, 68, 2) iBUG; memory_weight (n, 1)."""
        opening, spread, closure = pose[:, 0:1], pose[:, 1:2], pose[:, 4:5]
        shown = (opening * (1 - closure) - STILL).clamp(min=0)

        # Mouth coordinates.
        def points(names):
            return landmarks[:, [AT[name] for name in names]]

        left, right = landmarks[:, AT[61]], landmarks[:, AT[291]]
        eyes = (landmarks[:, AT[263]] - landmarks[:, AT[33]]).norm(dim=1, keepdim=True).clamp(min=0.05)
        middle = (left + right) / 2
        width = (right - left).norm(dim=1, keepdim=True)
        eu = (right - left) / width.clamp(min=0.02)
        width = torch.minimum(torch.maximum(width, 0.36 * eyes), 0.9 * eyes)
        ev = torch.stack([-eu[:, 1], eu[:, 0]], 1)
        unit = eyes / width  # of the pose, in mouth widths

        def to_mouth(p):
            away = (p - middle[:, None]) / width[:, None]
            return torch.stack([(away * eu[:, None]).sum(2), (away * ev[:, None]).sum(2)], 2)

        marks = to_mouth(landmarks)

        def lip(names):
            return marks[:, [AT[name] for name in names]]

        def places(x, y):
            dx, dy = (x - middle[:, :1]) / width, (y - middle[:, 1:]) / width
            return dx * eu[:, :1] + dy * eu[:, 1:], dx * ev[:, :1] + dy * ev[:, 1:]

        u, v = places(self.x, self.y)

        # The lips in the picture.
        k = self.knots
        corner_left, corner_right = marks[:, AT[61], None], marks[:, AT[291], None]
        upper = polyline(k, torch.cat([corner_left, lip(UPPER_EDGE), corner_right], 1))
        lower = polyline(k, torch.cat([corner_left, lip((78,) + LOWER_EDGE + (308,)), corner_right], 1))
        gap = (lower - upper).clamp(min=0)
        gap_mid = gap[:, MID - 2 : MID + 3].mean(1, keepdim=True)
        opened = smoothstep((gap_mid / unit - PARTED[0]) / PARTED[1])  # the source's mouth is open
        seam = (upper + lower) / 2
        lens = (1 - 4 * k * k).clamp(min=0)
        seam = seam + (1 - opened) * self.dark_line(face, (middle, width, eu, ev), seam)
        gap, gap_mid = opened * gap, opened * gap_mid
        want = shown * unit  # mouth widths
        # Lips that come together take no rim of what lay between them along.
        closing = opened * (1 - want / gap_mid.clamp(min=0.02)).clamp(min=0)
        rim = closing * (HIDE + HIDE_MORE * gap_mid) * lens**0.3
        upper, lower = seam - gap / 2 - rim, seam + gap / 2 + rim
        gap = lower - upper
        # Where they meet when the mouth closes: half way to a plain curve between the corners where they were far apart.
        rest = upper + REST * gap
        flat = rest[:, MID : MID + 1] * lens
        rest = rest + opened * smoothstep(gap_mid / 0.5) * 0.5 * (flat - rest)

        # Where they shall be.
        round_ = (-spread / 0.06).clamp(0, 1)
        oval = (1 - (k / (0.485 - 0.15 * round_)) ** 2).clamp(min=0) ** (0.85 - 0.2 * smoothstep(want / 0.5))
        own = gap / gap_mid.clamp(min=0.02)
        profile = oval + smoothstep((gap_mid / unit - 0.03) / 0.06) * (own.clamp(max=1.3) - oval)
        corner = CORNER_DROP * want * (1 - oval)
        upper_to = rest + corner - RAISE * want * profile
        lower_to = rest + corner + (1 - RAISE) * want * profile
        rest_mid = rest[:, MID : MID + 1]
        lip_drop = (lower_to - lower)[:, MID : MID + 1]
        # What the jaw does: less than the lip where the teeth are only bared.
        jaw_now = (gap_mid - 0.08).clamp(min=0)
        chin_drop = CHIN * ((want - 0.05 * unit).clamp(min=0) - jaw_now) * (1 - RAISE)

        chin = marks[:, AT[152], 1:]
        nose = marks[:, AT[2], 1:]
        reach = (chin - rest_mid).clamp(min=0.4)
        inside = self.within_jaw_line(lip(JAW_LINE), u, v, chin_drop)

        # Undo the spreading or rounding of the corners: `us` is where a point's column was in the picture.
        half = 0.5 * (1 + (spread * unit).clamp(-0.22, 0.16) - 0.06 * (want - gap_mid).clamp(-0.3, 0.3))

        def columns(u, v, inside=None, window=None):
            near = torch.exp(-((u / 0.55) ** 2) - ((v - rest_mid - want / 2) / 0.42) ** 2)
            us = u * (1 + (0.5 / half - 1) * torch.exp((half / 0.55) ** 2) * near)
            return us if inside is None else u + (us - u) * smoothstep(inside / 0.25) * window

        us = columns(u, v, inside, self.window)

        def curves(us, lines):
            """Curves (n, c, knots) at every place."""
            at = (us.clamp(-0.5, 0.5) + 0.5) * (KNOTS - 1)
            knot = at.floor().clamp(max=KNOTS - 2)
            both = torch.cat([lines[..., :-1], lines[..., 1:] - lines[..., :-1]], 1)  # values and slopes from knot to knot
            both = both.gather(2, knot.long()[:, None].expand(-1, both.shape[1], -1))
            n = lines.shape[1]
            return both[:, :n] + both[:, n:] * (at - knot)[:, None]

        at = curves(us, torch.stack([upper, lower, upper_to, lower_to], 1))
        # Beyond the corners all of them run on as one, and calm down.
        beyond = torch.exp(-(((us.abs() - 0.5).clamp(min=0) / 0.35) ** 2))
        upper_at, lower_at = at[:, 0], at[:, 1]
        lift = (at[:, 2] - upper_at) * beyond * self.window
        fall = (at[:, 3] - lower_at) * beyond * self.window
        upper_at_to, lower_at_to = upper_at + lift, lower_at + fall

        # The upper side: the lip's own movement, fading out towards the nose.
        above, below = (upper_at_to - v).clamp(min=0), (v - lower_at_to).clamp(min=0)
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

        # Thickness of the lips: fuller when rounded, thinner when pressed.
        full = (0.22 * round_ - 0.10 * closure) * torch.exp(-(((us / 0.42) ** 2) ** 2)) * self.window
        up = up - full * above * torch.exp(-((above / 0.22) ** 2))
        down = down + full * below * torch.exp(-((below / 0.25) ** 2))

        # Between the lips the source's own inside, as far as it has one.
        tall, short = (lower_at - upper_at).clamp(min=0), (lower_at_to - upper_at_to).clamp(min=0)
        s = ((v - upper_at_to) / short.clamp(min=1e-3)).clamp(0, 1)
        between = ((v > upper_at_to) & (v < lower_at_to)).float() * beyond * self.window
        own_shift = upper_at + through(s, short, tall) - v  # source minus place
        up_shift, down_shift = -up, -down
        up_shift = up_shift + between * (own_shift - up_shift)
        down_shift = down_shift + between * (own_shift - down_shift)

        def displacement(du, dv):
            d = width[..., None] * (du[:, None] * eu[..., None] + dv[:, None] * ev[..., None])
            return d.reshape(-1, 2, self.grid, self.grid)

        edges = torch.stack([upper_at_to - v, v - lower_at_to], 1) * width[..., None]

        # The inside that is drawn where the source has none.
        u_in, v_in = places(self.x_in, self.y_in)
        us_in = columns(u_in, v_in)
        at_in = curves(us_in, torch.stack([upper_to, lower_to], 1))
        share = smoothstep((gap_mid / want.clamp(min=0.02) - OWN[0]) / OWN[1])
        inner = self.mouth_inside(landmarks, face, us_in, v_in, at_in[:, 0], at_in[:, 1], rest_mid, want, spread)
        remembered = self.remembered(face, memory, memory_landmarks, landmarks, us_in * width / eyes, v_in, at_in[:, 0], at_in[:, 1], width / eyes)
        rgb = inner[:, :3] + memory_weight[..., None] * remembered[:, 3:] * (remembered[:, :3] - inner[:, :3])
        alpha = inner[:, 3:] * (1 - share)[..., None]
        inner = torch.cat([rgb.clamp(0, 1) * alpha, alpha], 1).reshape(-1, 4, *INNER_GRID)
        square = (-1, 1, self.grid, self.grid)
        return (
            displacement(us - u, up_shift),
            displacement(us - u, down_shift),
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
        share = torch.softmax(-contrast / 0.04 - (self.search[..., None] / 0.04) ** 2, 1)
        return ((share * self.search[..., None]).sum(1) * (1 - (2 * self.knots) ** 8)) @ self.smooth

    def within_jaw_line(self, line, u, v, chin_drop):
        """Mouth widths from the (convex) jaw line where it has fallen to, > 0 inside the face."""
        a, b = line[:, :-1], line[:, 1:]
        along = b - a
        normal = torch.stack([along[..., 1], -along[..., 0]], 2) / along.norm(dim=2, keepdim=True).clamp(min=0.01)
        offset = -(normal * a).sum(2)
        offset = offset - normal[..., 1] * chin_drop
        inside = torch.stack([u, v, torch.ones_like(u)], 2) @ torch.cat([normal, offset[..., None]], 2).transpose(1, 2)
        return inside.amin(2)

    def shadowed(self, light):
        """light ** shadow for each colour; the runtime's exp and log are much faster than its powers."""
        return torch.exp(self.shadow * light.clamp(min=1e-4).log()[:, None])

    def patch(self, face, at):
        """(n, 3): mean colour around places (n, 2) of the crop."""
        small = nn.functional.avg_pool2d(face, 8)
        size = small.shape[-1]
        t = (torch.arange(size, dtype=torch.float32, device=face.device) + 0.5) / size
        wx = torch.exp(-(((t[None] - at[:, :1]) / 0.06) ** 2))
        wy = torch.exp(-(((t[None] - at[:, 1:]) / 0.06) ** 2))
        w = (wy[:, :, None] * wx[:, None, :]).flatten(1) + 1e-6
        return (small.flatten(2) * w[:, None]).sum(2) / w.sum(1, keepdim=True)

    def remembered(self, face, memory, marks, landmarks, x, v, upper_to, lower_to, width):
        """(n, 4, places): the remembered mouth's inside under these lips, in the present light, and how far it is one.
        x: from the middle, in eye distances; v and the lips in mouth widths; width: of the mouth, in eye distances."""
        left, right = marks[:, 48], marks[:, 54]
        eyes = (marks[:, 45] - marks[:, 36]).norm(dim=1, keepdim=True).clamp(min=0.05)
        middle, wide = (left + right) / 2, (right - left).norm(dim=1, keepdim=True).clamp(min=0.02)
        eu = (right - left) / wide
        ev = torch.stack([-eu[:, 1], eu[:, 0]], 1)

        def to_mouth(p):
            away = (p - middle[:, None]) / eyes[:, None]
            return torch.stack([(away * eu[:, None]).sum(2), (away * ev[:, None]).sum(2)], 2)

        own = to_mouth(marks)
        k = self.knots * wide / eyes
        upper, lower = polyline(k, own[:, list(IBUG_UPPER)]), polyline(k, own[:, list(IBUG_LOWER)])
        reach = 0.46 * wide / eyes
        x = torch.maximum(torch.minimum(x * (wide / eyes / width).clamp(0.8, 1.25), reach), -reach)
        at = ((x / (wide / eyes)).clamp(-0.5, 0.5) + 0.5) * (KNOTS - 1)
        knot = at.floor().clamp(max=KNOTS - 2)
        lines = torch.stack([upper, lower], 1)
        both = torch.cat([lines[..., :-1], lines[..., 1:] - lines[..., :-1]], 1).gather(2, knot.long()[:, None].expand(-1, 4, -1))
        lines = both[:, :2] + both[:, 2:] * (at - knot)[:, None]
        tall = (lines[:, 1] - lines[:, 0]).clamp(min=0)
        inset = 0.08 * tall  # what belongs to the lips
        short = ((lower_to - upper_to) * width).clamp(min=0)
        s = ((v - upper_to) * width / short.clamp(min=1e-3)).clamp(0, 1)
        y = lines[:, 0] + inset + through(s, short, tall - 2 * inset)
        place = middle[:, None] + eyes[:, None] * (x[..., None] * eu[:, None] + y[..., None] * ev[:, None])
        rgb = nn.functional.grid_sample(memory, (2 * place - 1)[:, None], padding_mode="border", align_corners=False)[:, :, 0]
        # Light: how the skin under the nose and beside the mouth looks now and then.
        def skin(picture, a, b, c):
            return (self.patch(picture, a) + self.patch(picture, b) + self.patch(picture, c)) / 3

        now = skin(face, *(landmarks[:, AT[p]] for p in (98, 327, 2)))
        then = skin(memory, marks[:, 31], marks[:, 35], marks[:, 33])
        gain = (now / then.clamp(min=0.03)).clamp(0.6, 1.5)
        return torch.cat([rgb * gain[..., None], smoothstep(tall / 0.03)[:, None]], 1)

    def mouth_inside(self, landmarks, face, u, v, upper_to, lower_to, rest_mid, want, spread):
        """A mouth's inside: (n, 4, places), not premultiplied. Lit and tinted by the skin on each side of the mouth."""
        sides = []
        for nostril, corner in ((98, 61), (327, 291)):
            p = landmarks[:, AT[nostril]] * 0.4 + landmarks[:, AT[corner]] * 0.6
            p = p + (landmarks[:, AT[corner]] - landmarks[:, AT[0]]) * 0.5
            sides.append(self.patch(face, p))
        share = (u + 0.5).clamp(0, 1)[:, None]
        skin = sides[0][..., None] * (1 - share) + sides[1][..., None] * share
        luma = (skin * self.luma[None, :, None]).sum(1, keepdim=True).clamp(min=0.03)
        # What the light adds to the skin's own colour, it adds to the teeth's; dark skin is not all shadow.
        light = 0.86 * torch.exp(0.6 * (luma / SKIN_LUMA).log() + 0.25 * (skin / luma / self.skin).clamp(min=1e-4).log())

        below, above = v - upper_to, lower_to - v  # under the upper lip, over the lower lip
        gap = (lower_to - upper_to).clamp(min=0)
        round_ = (-spread / 0.06).clamp(0, 1)
        side = (u.abs() / 0.5).clamp(0, 1)

        # The throat is darkest in the middle; towards the corners the cheeks' red tissue catches light.
        out = self.cavity * light * (0.55 + 0.9 * side**2)[:, None]
        # Tongue: a mound that rests behind the lower teeth, lighter towards its tip.
        mound = 0.06 + 0.40 * want - 0.9 * u * u
        tongue = smoothstep((mound - above) / 0.10 + 0.5)
        out = out + (self.tongue * light * (1 - 0.5 * smoothstep(above / 0.20))[:, None] - out) * tongue[:, None]

        def teeth(out, place_scale, tip, root, sign, half, strength):
            """A row: from its root (in the gums) to its tip, `sign` 1 where the tip points down."""
            place = u / place_scale * (1 + 1.0 * u * u)  # counts teeth from the middle; those at the sides turn away
            offset = place - torch.floor(place) - 0.5  # 0 in a tooth's middle, ±0.5 between two
            cleft = smoothstep(1 - (0.5 - offset.abs()) / 0.10)
            edge = tip - sign * (0.012 + 0.05 * offset**2)  # rounded corners
            inside = smoothstep(sign * (edge - v) / 0.018 + 0.5) * (1 - smoothstep((u.abs() - half) / 0.10))
            # Rounded enamel: bright in the middle, shaded to the sides of each tooth and of the row, a little grey at the tip.
            shade = (1 - 0.16 * (2 * offset.abs()) ** 2) * (1 - 0.30 * cleft) * (1 - 1.3 * u * u)
            shade = (shade * strength).clamp(min=0.05)
            colour = self.enamel * light * self.shadowed(shade)
            gum = smoothstep(sign * (root + 0.02 * (2 * offset) ** 2 - v) / 0.02 + 0.5)
            colour = colour + (self.gum * light * self.shadowed(shade) - colour) * gum[:, None]
            return out + (colour - out) * inside[:, None]

        # Lower teeth ride on the jaw: where the lip falls by itself little of them shows.
        row = lower_to - 0.055 + 0.03 * smoothstep((want - 0.25) / 0.3) + 0.10 * u * u
        out = teeth(out, 0.105, row, row + 0.20, -1, 0.26 - 0.08 * round_, 0.80 * (1 - 0.5 * round_) * (0.75 + 0.25 * smoothstep(above / 0.05)))
        # Upper teeth hang from the skull: they stay while the lips move. Rounded lips cover them.
        tip = rest_mid + 0.055 - 0.03 * round_ - 0.20 * u * u
        out = teeth(out, 0.148, tip, tip - 0.24, 1, 0.33 - 0.06 * round_, (0.80 + 0.20 * smoothstep(below / 0.05)) * (1 - 0.25 * round_))
        # Little light falls through a narrow slit, and the lips shade what is right behind them.
        near = torch.minimum(below, above)
        dark = (0.45 + 0.55 * smoothstep(gap / 0.10)) * (0.55 + 0.45 * smoothstep(near / 0.04))
        out = out * self.shadowed(dark)
        alpha = (smoothstep(gap / 0.02) * smoothstep(near / 0.03 + 0.6))[:, None]
        return torch.cat([out, alpha], 1)
