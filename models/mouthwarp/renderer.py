# SPDX-License-Identifier: MPL-2.0
"""From landmarks, the crop and a pose to the warp: where each point of the new mouth is found in the old picture.

Everything happens in mouth coordinates: origin half way between the corners of the mouth, u along the corners, v down the face,
unit = the mouth's width, so the corners of the source mouth are at u = ±0.5 whatever the head does. A lip is a curve v(u), kept
as values at KNOTS and interpolated linearly. Lengths of the pose are in distances of the outer corners of the eyes.
"""

import torch
from torch import nn

SIDE = 192  # of the crop
COARSE = 24  # rows and columns of it that mean colours are taken of
GRID = 72
INNER_GRID = 48, 88  # rows and columns of the mouth's inside, over no more of the crop than the mouth needs
INNER_MARGIN = 0.09  # around what is drawn, mouth widths
KNOTS = 21  # odd: one is in the middle
MID = KNOTS // 2
LEVELS = 12  # places between the lips where the dark line between both rows of teeth is looked for
SLIT_SHADE = 0.5  # so much brighter than it is counts a place right under the upper lip, where lips are hardly apart
ONE_ROW = 0.6  # as bright as this, relative to the brightest, is no such line: all that is seen are upper teeth
TIPS = 0.055  # the upper teeth's tips are so far below the line where the lips meet, mouth widths
# The dark line is so far from there, or from where a remembered mouth had it, which is better known: upper teeth stay with the skull. Mouth widths.
TIPS_OFF, TIPS_OFF_REMEMBERED = 0.12, 0.04
SEARCH = 13  # places above and below the seam where the dark line is looked for

# MediaPipe's numbers of the points that the graph is given, in this order.
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
LIPS = (61,) + UPPER_EDGE + (291,), (61, 78) + LOWER_EDGE + (308, 291)  # both edges, each from corner to corner
OUTLINES = UPPER_OUTLINE, (61,) + LOWER_OUTLINE + (291,)

# iBUG's numbers of the same places, for remembered mouths.
IBUG_LIPS = [[60, 61, 62, 63, 64], [60, 67, 66, 65, 64]]  # upper, lower

PARTED = 0.012, 0.02  # lips that are less than the first apart are closed, by the sum of both more surely open; eye distances
STILL = 0.004  # an opening that nobody sees
# The line at which open lips meet, from the upper to the lower one: the jaw comes up more than the lip goes down, all the more from a gap as wide as the
# second, mouth widths.
REST, REST_WIDE = 0.35, 1.0
COVER = 0.28, 0.08  # lips this far apart, mouth widths, begin to be covered by remembered closed ones, and are after so much more
COVER_AREA = 0.50, 0.27, 0.40  # to the sides, upwards and downwards of the middle of the lips, eye distances
COVER_FADE = 0.4  # of that, where it ends
SQUEEZED = 0.12  # covering lips that open so far, mouth widths, are as wide as those under them
RAISE = 0.22  # of an opening, how far the upper lip rises
HIDE, HIDE_MORE = 0.025, 0.07  # this much of lips that close, and this much of their gap, counts as inside, mouth widths
CREASE = 0.018  # so far into each of the lips, mouth widths, the dark line reaches where closed lips meet
HIDE_MOST = 0.35  # but no more of a lip than this: a grin's are thin
RELAXED = 0.11, 0.16  # lips that were stretched around an open mouth are as thick as this when they have closed, mouth widths, …
RELAX = 0.6  # … but no more than this part of them is made up
CORNER_DROP = 0.10  # and how far the corners follow
CHIN = 0.75  # the chin follows the lower lip by this much
LIP = 0.1  # this much of the lower lip moves as one, before the chin's own movement mixes in, mouth widths
NECK = 0.2  # what the chin pushes away below the jaw line ends within this
OWN = 0.35, 0.15  # of the wanted opening: with less of its own the mouth's inside is drawn, with both it is the source's own

SLIT = 0.045  # lips that are less than this apart, mouth widths, show little of what is between them
ROOTS = 0.4  # of what is seen of the upper teeth, the part that may be shaded by the lip
CRUMBS = 0.03, 0.06  # lips that are less than the first apart, mouth widths, show no teeth but a person's own; after so much more all
# So far into lips that part or close, mouth widths, and as much again fading, they have the colour that they have further in; but no further than
# this part of a thin lip.
RIM, RIM_MOST = 0.022, 0.3
THIN = 0.03, 0.06  # an upper lip that is thinner than the first, mouth widths, has the lower one's colour there; from so much thicker on its own
SEAM = 0.012, 0.7, 0.03  # the line between lips that have closed: how thick, how bright relative to lips, and how far apart lips have none
WET = 0.75, 0.03, 0.09  # the lower lip's inner side is so bright, relative to the lip, and all that shows under teeth that are less than this from it
SLIT_RED = 0.012, 0.05  # lips that are less than the first apart, mouth widths, have that colour between them too; after so much more nothing of it
LIP_RIM = 0.03  # so far into the lower lip, mouth widths, is lip without teeth in it
TIPS_SHADE = 0.03, 0.56  # the upper teeth's shade on the lower ones reaches so far, mouth widths, and is at most so dark

SKIN_LUMA = 0.66  # of fair skin in full light, whose colour is "skin" relative to it
COLOURS = {
    "skin": (1.21, 0.93, 0.80), "cheek": (0.46, 0.20, 0.18), "cavity": (0.20, 0.07, 0.07), "tongue": (0.68, 0.33, 0.32), "enamel": (1.02, 0.95, 0.86), "gum": (0.72, 0.36, 0.34),
}  # fmt: skip
SHADOW = (0.85, 1.05, 1.15)  # exponents of a shadow inside the mouth: the light that reaches there has come off red tissue


STEEP = 2 ** (1 / 3)  # so that x³ has no factor


def smoothstep(x, over=1.0):
    """From 0 to 1 while x goes from 0 to `over`: 3 x² - 2 x³, with x scaled so that one operation less goes over the grid."""
    x = (x * (STEEP / over)).clamp(0, STEEP)
    return x * x * (3 / STEEP**2 - x)


def halves(x):
    """Both channels of (n, 2, ...)."""
    return x.split([1, 1], 1)


def square(x):
    """Faster than x**2 in the runtime."""
    return x * x


def polyline(u, points):
    """v at u (n or 1, 1, knots) along polylines of points (n, c, k, 2) with rising u: (n, c, knots); constant beyond their ends."""
    u0, v0 = points[..., :1], points[..., 1:]
    share = ((u[:, None] - u0[:, :, :-1]) / (u0[:, :, 1:] - u0[:, :, :-1]).clamp(min=0.004)).clamp(0, 1)
    return v0[:, :, 0] + ((v0[:, :, 1:] - v0[:, :, :-1]) * share).sum(2)


def mouth_axes(left, right, shortest):
    """A mouth's middle (n, 1, 2), its width (n, 1, 1) and the directions of u and v (n, 2, 2), from its corners (n, 1, 2)."""
    across = right - left
    width = across.norm(dim=2, keepdim=True)
    eu = across / width.clamp(min=shortest)
    return (left + right) / 2, width, torch.cat([eu, eu @ eu.new_tensor([[0, 1], [-1, 0]])], 1)


class Renderer(nn.Module):
    """Tensors are (n, channels, places of a grid or knots); what a frame has one of is (n, 1, 1).
    The runtime goes over a grid once for every operation: what can be done before, at the knots or for the frame, is done there."""

    def __init__(self, grid=GRID):
        super().__init__()

        def mesh(rows, columns):
            x = torch.linspace(0, 1, columns)
            y = torch.linspace(0, 1, rows)
            y, x = torch.meshgrid(y, x, indexing="ij")
            return torch.stack([x.flatten(), y.flatten(), torch.ones(rows * columns)])

        # x, y, 1 of each place: a matrix times these is all that is straight in the crop.
        places, places_in = mesh(grid, grid), mesh(*INNER_GRID)
        self.register_buffer("places", places)
        self.register_buffer("places_in", places_in)
        self.register_buffer("knots", torch.linspace(-0.5, 0.5, KNOTS)[None, None])
        # Displacements end where the weight begins to fall, so that no pixel mixes two places of the face.
        border = torch.minimum(places[:2], 1 - places[:2]).amin(0)
        cell = 1 / (grid - 1)
        self.register_buffer("weight", (border / cell / 2).clamp(0, 1).reshape(1, 1, grid, grid))
        self.register_buffer("window", smoothstep((border - 2 * cell) / 0.10))
        self.register_buffer("window_in", smoothstep(torch.minimum(places_in[:2], 1 - places_in[:2]).amin(0) / 0.08))
        self.register_buffer("luma", torch.tensor([[0.299, 0.587, 0.114]]))
        self.register_buffer("shadow", torch.tensor(SHADOW)[:, None])
        for name, rgb in COLOURS.items():
            self.register_buffer(name, torch.tensor(rgb)[:, None])
        self.register_buffer("search", torch.linspace(-0.06, 0.06, SEARCH)[:, None])
        apart = torch.arange(KNOTS)[:, None] - torch.arange(KNOTS)[None]
        blur = torch.exp(-((apart / 1.2) ** 2))
        self.register_buffer("smooth", blur / blur.sum(0))
        # Values at the knots times this: the straight line from each knot to the next, as its value at knot 0 and its slope.
        slope = nn.functional.pad(torch.eye(KNOTS).diff(dim=1), (0, 1))
        self.register_buffer("lines", torch.cat([torch.eye(KNOTS) - slope * torch.arange(KNOTS), slope], 1))
        self.register_buffer("outwards", torch.tensor([[1.0], [-1.0]]))  # from the upper and the lower lip's edge, against v
        # Four places u, and what makes a cubic's coefficients of its values there.
        quarters = -0.5 * torch.cos(torch.pi * (torch.arange(4) + 0.5) / 4)
        self.register_buffer("quarters", quarters)
        self.register_buffer("cubic", torch.linalg.inv(torch.stack([quarters**i for i in range(4)])))
        self.register_buffer("levels", torch.linspace(0.15, 0.9, LEVELS))
        self.register_buffer("coarse", (torch.arange(COARSE) + 0.5) / COARSE)
        self.register_buffer("pool", torch.eye(COARSE).repeat_interleave(SIDE // COARSE, 0))  # sums of columns
        self.grid = grid

    def forward(self, landmarks, face, pose, memory, memory_landmarks, memory_weight, closed, closed_landmarks, closed_weight):
        """landmarks (n, POINTS, 2); face, memory, closed (n, 3, h, w); pose (n, 5); their landmarks (n, 68, 2) iBUG; their weights (n, 1)."""
        pose = pose[..., None]
        opening, spread, closure = pose[:, 0:1], pose[:, 1:2], pose[:, 4:5]
        shown = (opening * (1 - closure) - STILL).clamp(min=0)

        # Mouth coordinates.
        def points(*names):
            return landmarks[:, [AT[name] for name in names]]

        middle, width, axes = mouth_axes(points(61), points(291), 0.02)
        eyes = (points(263) - points(33)).norm(dim=2, keepdim=True).clamp(min=0.05)
        width = torch.minimum(torch.maximum(width, 0.36 * eyes), 0.9 * eyes)
        unit = eyes / width  # of the pose, in mouth widths
        marks = (landmarks - middle) / width @ axes.transpose(1, 2)
        to_mouth = torch.cat([axes, -axes @ middle.transpose(1, 2)], 2) / width  # times x, y, 1

        # The lips in the picture.
        k = self.knots
        upper, lower = halves(polyline(k, marks[:, [[AT[name] for name in lip] for lip in LIPS]]))
        gap = (lower - upper).clamp(min=0)
        gap_mid = gap[..., MID - 2 : MID + 3].mean(2, keepdim=True)
        opened = smoothstep(gap_mid / unit - PARTED[0], PARTED[1])  # the source's mouth is open
        seam = (upper + lower) / 2
        lens = (1 - 4 * k * k).clamp(min=0)
        seam = seam + (1 - opened) * self.dark_line(face, middle, width * axes, seam)
        gap, gap_mid = opened * gap, opened * gap_mid
        want = shown * unit  # mouth widths
        # Lips that move take no rim of what lies between them along, and those that part no rim of the dark line where they met.
        closing = opened * (1 - want / gap_mid.clamp(min=0.02)).clamp(min=0)
        moving = smoothstep((want - gap_mid).abs(), 0.04)
        rim = (opened * HIDE * moving + closing * HIDE_MORE * gap_mid + (1 - opened) * CREASE * smoothstep(want, 0.05)) * lens**0.3
        outlines = polyline(k, marks[:, [[AT[name] for name in outline] for outline in OUTLINES]])
        thickness = ((torch.cat([upper, lower], 1) - outlines) * self.outwards).clamp(min=0)
        rim_above, rim_below = halves(torch.minimum(rim, HIDE_MOST * thickness))
        rims = seam - gap / 2, seam + gap / 2
        upper, lower = rims[0] - rim_above, rims[1] + rim_below
        gap = lower - upper
        # Where they meet when the mouth closes: half way to a plain curve between the corners where they were far apart.
        rest = upper + REST * gap / (1 + gap_mid / REST_WIDE)
        flat = rest[..., MID : MID + 1] * lens
        rest = rest + opened * smoothstep(gap_mid, 0.5) * 0.5 * (flat - rest)
        # Lips that are stretched around a wide open mouth are covered by this person's own, as they were when they were closed: those know
        # how far from the nose they meet. They are as wide as they were, and where they open as wide as these.
        narrower = smoothstep(1 - want / gap_mid.clamp(min=0.02), 0.4)
        covered = closed_weight[..., None] * smoothstep(gap_mid - COVER[0], COVER[1]) * narrower
        shut = self.remembered_lips(closed_landmarks)
        wide, nose_then = shut[3] * unit, shut[5]
        squeeze = 1 + (wide - 1) * smoothstep(want, SQUEEZED)
        nose = marks[:, AT[2], None, 1:]
        seam_then = self.curves((k * squeeze / wide).clamp(-0.5, 0.5), shut[4])[0].mean(1, keepdim=True)
        rest = rest + covered * (nose + (seam_then - nose_then) * unit - rest)

        # Where they shall be.
        round_ = (-spread / 0.06).clamp(0, 1)
        oval = (1 - (k / (0.485 - 0.15 * round_)) ** 2).clamp(min=0) ** (0.85 - 0.2 * smoothstep(want, 0.5))
        own = gap / gap_mid.clamp(min=0.02)
        profile = oval + smoothstep(gap_mid / unit - 0.03, 0.06) * (own.clamp(max=1.3) - oval)
        corner = CORNER_DROP * want * (1 - oval)
        upper_to = rest + corner - RAISE * want * profile
        lower_to = rest + corner + (1 - RAISE) * want * profile
        rest_mid = rest[..., MID : MID + 1]
        lip_drop = (lower_to - lower)[..., MID : MID + 1]
        # What the jaw does: less than the lip where the teeth are only bared.
        jaw_now = (gap_mid - 0.08).clamp(min=0)
        chin_drop = CHIN * ((want - 0.05 * unit).clamp(min=0) - jaw_now) * (1 - RAISE)

        chin = marks[:, AT[152], None, 1:]
        reach = (chin - rest_mid).clamp(min=0.4)
        inside = self.within_jaw_line(points(*JAW_LINE) + chin_drop * width * axes[:, 1:], width)

        # Undo the spreading or rounding of the corners: how far away, along u, a point's column was in the picture.
        half = 0.5 * (1 + (spread * unit).clamp(-0.22, 0.16) - 0.06 * (want - gap_mid).clamp(-0.3, 0.3))
        bend = (0.5 / half - 1) * torch.exp(square(half / 0.55))
        centred = to_mouth - (rest_mid + want / 2) * to_mouth.new_tensor([[0, 0, 0], [0, 0, 1]])
        centred = centred / to_mouth.new_tensor([[0.55], [0.42]])

        def columns(places, to_crop=None):
            to, around = (to_mouth, centred) if to_crop is None else (to_mouth @ to_crop, centred @ to_crop)
            u, v = (row @ places for row in halves(to))
            return u, v, bend * u * torch.exp(-square(around @ places).sum(1, keepdim=True))

        u, v, shift = columns(self.places)
        shift = shift * smoothstep(inside, 0.25) * self.window
        us = u + shift

        on_lips = us.clamp(-0.5, 0.5)
        lips, lips_to = torch.cat([upper, lower], 1), torch.cat([upper_to, lower_to], 1)
        at, move = self.curves(on_lips, lips, lips_to - lips)
        # Beyond the corners all of them run on as one, and calm down.
        calm = torch.exp(square(us - on_lips) * (-1 / 0.35**2)) * self.window
        move = move * calm
        at_to = at + move
        apart = (at_to - v) * self.outwards
        outside = apart.relu()  # above the upper lip's edge, below the lower lip's

        # The lower side: near the lip the lip's movement, further down the jaw's, which ends a little outside the jaw line.
        depth = outside[:, 1:] / (chin + chin_drop - rest_mid).clamp(min=0.4)
        spreadout = 0.75 + 0.35 * depth.clamp(max=1)
        # The fallen chin covers the neck and leaves the collar alone. A rising one stretches what is under it: more room, or it folds.
        rise = (-chin_drop).clamp(min=0)
        margin = NECK + 1.8 * rise
        jaw_field = torch.exp(-square(us / spreadout)) * smoothstep(inside + margin * (0.6 + 0.4 * (rise / 0.05).clamp(max=1)), margin)
        jaw_field = jaw_field * self.window * chin_drop
        # Never so steep that the picture would fold.
        blend = torch.maximum(0.45 * reach, 1.8 * (lip_drop - chin_drop).abs())
        # The upper side: the lip's own movement, fading out towards the nose.
        ends = torch.cat([(rest_mid - nose).clamp(min=0.3), blend], 1)
        fade, mix = halves(smoothstep(outside - outside.new_tensor([[0], [LIP]]), ends))
        lift, fall = halves(move)
        moved = torch.cat([lift - fade * lift, fall + mix * (jaw_field - fall)], 1)

        # Thickness of the lips: fuller when rounded or relaxed, thinner when pressed.
        left = thickness - torch.cat([rim_above, rim_below], 1)
        thin = 1 - left[..., MID - 4 : MID + 5].mean(2, keepdim=True) / thickness.new_tensor(RELAXED)[:, None]
        relaxed = closing * smoothstep(gap_mid, 0.15) * thin.clamp(0, RELAX)
        full = (0.22 * round_ - 0.10 * closure + relaxed) * self.outwards
        full = full * (torch.exp(square(square(us.clamp(-1, 1))) * (-1 / 0.42**4)) * self.window)
        full = full * outside * torch.exp(square(outside) * outside.new_tensor([[-1 / 0.22**2], [-1 / 0.25**2]]))
        source = full - moved  # minus place, along v

        # Between the lips the source's own inside, as far as it has one: the upper teeth stay with the skull, the lower ones ride on
        # the lip, and nothing is stretched or squeezed between them.
        (top, bottom), (top_to, bottom_to) = halves(at), halves(at_to)
        then = self.remembered_lips(memory_landmarks)
        meet_then, tips_then = self.remembered_rows(memory, then)
        remembers = memory_weight[..., None]
        guess = rest_mid + TIPS
        guess = guess + remembers * (nose + (tips_then - then[5]) * unit - guess)
        sure = 1 / TIPS_OFF + remembers * (1 / TIPS_OFF_REMEMBERED - 1 / TIPS_OFF)
        meet = self.rows_meet(face, middle, width * axes, *rims, gap_mid, guess, sure)
        tips = top + meet * (bottom - top)
        # Of lower teeth that are not seen there is no rim either: the lip goes on there, under what is drawn.
        lip = LIP_RIM * (1 - smoothstep((1 - meet) * (bottom - top), 0.05))
        # A lip that rises shows more of the teeth that it hid: they go on as they are, without the lip's shade.
        roots = top + (top - top_to).relu().minimum(ROOTS * (tips - top))
        place = torch.where(v < tips, v.maximum(roots), (v + lip + bottom - bottom_to).maximum(tips + lip))
        source = source + (apart.amax(1, keepdim=True) < 0).float() * calm * (place - v - source)

        # What covers the lips is drawn like the inside: between edges that are this far away.
        def cover(u, v, fade, offset=0.0):
            across, down, upwards = u / unit / COVER_AREA[0], (v - rest_mid) / unit / COVER_AREA[2], (rest_mid - v) / unit / COVER_AREA[1]
            return covered * smoothstep(1 + offset - (square(across) + square(down.maximum(upwards)) + 1e-6).sqrt(), fade)

        # What lips that part or close still have of the line between them, or of teeth, on their rims is painted over.
        parts = (1 - opened) * smoothstep(want, 0.05)
        painted = parts + (closing * smoothstep(moving, 1.0)).clamp(max=1)
        apart = apart - cover(u, v, 0.05, 0.05) - 2 * RIM * painted.clamp(max=1)

        # In the crop's directions.
        grid = (self.grid, self.grid)
        eu, ev = (width * axes)[..., None, None].unbind(1)
        sideways = shift.reshape(-1, 1, *grid) * eu
        up, down = halves(source.reshape(-1, 2, *grid))

        # The inside that is drawn where the source has none.
        covers = (covered > 0).float()
        top_in = (upper_to.amin(2, keepdim=True) - INNER_MARGIN).minimum(rest_mid - covers * COVER_AREA[1] * unit)
        bottom_in = (lower_to.amax(2, keepdim=True) + INNER_MARGIN).maximum(rest_mid + covers * COVER_AREA[2] * unit)
        area = self.box(middle, width * axes, (half + INNER_MARGIN).maximum(covers * COVER_AREA[0] * unit), top_in, bottom_in)
        corner_in, size_in = area[..., :2], area[..., 2:] - area[..., :2]
        last = corner_in.new_tensor([0, 0, 1]).expand_as(torch.cat([corner_in, width], 2))
        to_crop = torch.cat([torch.cat([torch.eye(2) * size_in, corner_in.transpose(1, 2)], 2), last], 1)
        u_in, v_in, shift_in = columns(self.places_in, to_crop)
        us_in = u_in + shift_in
        # The skin on each side of the mouth, and under the nose and beside it.
        nostrils = points(98, 327, 2)
        beside = 0.4 * nostrils[:, :2] + 1.1 * points(61, 291) - 0.5 * points(0)
        sides, now = self.patches(face, torch.cat([beside, nostrils], 1)).split([2, 3], 2)
        on_lips = us_in.clamp(-0.5, 0.5)
        (top, bottom), to_in, (along, _) = map(halves, self.curves(on_lips, lips, lips_to, torch.cat([profile, profile], 1)))
        within = torch.cat([v_in - to_in[0], to_in[1] - v_in], 1)  # how far under the upper lip, over the lower lip
        short, tall = within.sum(1, keepdim=True), bottom - top
        own = smoothstep(gap_mid / want.clamp(min=0.02) - OWN[0], OWN[1])
        gain = self.gain(now, memory, memory_landmarks)
        seen, known, has, row = self.remembered(memory, then, meet_then, gain, us_in, within, short, width, eyes)
        has = has * memory_weight[..., None]
        drawn, edge = self.mouth_inside(self.light(sides, on_lips), us_in, v_in, within, rest_mid, want, round_, (1 - own) * (1 - has))
        share = own * smoothstep(short - SLIT, SLIT)
        of_upper, of_lower = self.lip_colours(face, middle, width * axes, lips, left, on_lips)
        drawn = drawn + (1 - smoothstep(short - SLIT_RED[0], SLIT_RED[1])) * (0.5 * SEAM[1] * (of_upper + of_lower) - drawn)
        # Right under teeth, the lower lip's inner side.
        shows = share + (1 - share) * has
        free = short - (share * meet * tall + (1 - share) * has * row) / shows.clamp(min=0.1)
        drawn = drawn + shows * (1 - smoothstep(free - WET[1], WET[2])) * (WET[0] * of_lower - drawn)
        # What the source's own inside lacks, and the shade that it gets. In a slit its teeth would be crumbs.
        under = v_in - top - meet * tall  # below the upper teeth
        behind = (1 - meet) * tall - within[:, 1:]  # how much of the lower teeth they hide
        lacks = smoothstep(under.minimum(-behind) + 0.03, 0.03)
        bright = (self.slit(short) / self.slit(tall)).clamp(max=1) * (1 - TIPS_SHADE[1] * (behind / 0.04).clamp(0, 1) * torch.exp(square(under / TIPS_SHADE[0]) * -1))
        lacks, kept = share * lacks, share * (1 - lacks)
        shade = kept * (1 - bright)
        rgb = (1 - share + lacks * (0.6 + 0.4 * smoothstep(under, 0.18))) * drawn + 0.5 * shade * self.cheek
        known = known * smoothstep(short - CRUMBS[0], CRUMBS[1])
        rgb = edge * (rgb + (1 - share) * has * known * (seen - drawn))
        alpha = edge * (1 - kept + shade)
        # Beside it the lips' rims, and the line where they meet.
        off = (-within).relu()
        ends = smoothstep(0.51 - us_in.abs(), 0.03)
        deep = (RIM_MOST * self.curves(on_lips, left.clamp(min=0))[0]).clamp(0.002, RIM)
        # Into the opening no further than it is a slit: what is shown there is no lip.
        into = 0.024 - 0.018 * smoothstep(short - 0.015, 0.02)
        rims_in = painted * ends * smoothstep(into - within, 0.012) * (1 - smoothstep(off / deep - 1, 1))
        above_in, below_in = halves(rims_in / rims_in.sum(1, keepdim=True).clamp(min=1))
        line = opened * (1 - smoothstep(want, SEAM[2])) * ends * torch.exp(square((within[:, :1] - within[:, 1:]) / (2 * SEAM[0])) * -1)
        paint = above_in + below_in
        paint_rgb = (above_in * of_upper + below_in * of_lower) * (1 - (1 - SEAM[1]) * line)
        rgb, alpha = rgb + (1 - alpha) * paint_rgb, alpha + (1 - alpha) * paint
        # The lips that cover these, moved as lips that open.
        rise = RAISE * torch.exp(-square(off[:, :1] / 0.3))
        fall = (RAISE - 1) * (0.4 + 0.6 * torch.exp(-square(off[:, 1:] / 0.3)))
        v_then = v_in - nose + want * along * torch.where(within[:, :1] < within[:, 1:], rise, fall)
        gain = self.gain(now, closed, closed_landmarks)
        lips_then = gain * self.look(closed, shut[0], shut[2] * shut[1], u_in * squeeze / unit, v_then / unit + nose_then)
        over = cover(u_in, v_in, COVER_FADE) * self.window_in * (1 - smoothstep(within.amin(1, keepdim=True) + 0.01, 0.02))
        rgb, alpha = rgb + over * (lips_then - rgb), alpha + over * (1 - alpha)
        rgb, alpha = rgb.reshape(-1, 3, *INNER_GRID), alpha.reshape(-1, 1, *INNER_GRID)
        return (
            sideways + up * ev,
            sideways + down * ev,
            apart.reshape(-1, 2, *grid) * width[..., None],
            torch.cat([rgb.clamp(0, 1), alpha], 1),
            self.weight + 0 * width[..., None],
            area[:, 0],
        )

    def box(self, middle, axes, across, top, bottom):
        """(n, 1, 4): left, top, right and bottom in the crop of what lies within ±across and between top and bottom in the mouth's coordinates,
        whose axes (n, 2, 2) have its width."""
        eu, ev = halves(axes)
        centre = middle + (top + bottom) / 2 * ev
        reach = across * eu.abs() + (bottom - top) / 2 * ev.abs()
        low = (centre - reach).clamp(0, 0.99)
        return torch.cat([low, (centre + reach).clamp(max=1).maximum(low + 0.01)], 2)

    def remembered_lips(self, marks):
        """Of remembered landmarks (n, 68, 2): the mouth's middle, the directions of u and v, the eyes' distance, and in such distances its width,
        its lips' edges (n, 2, knots) and where the nose ends."""
        middle, width, axes = mouth_axes(marks[:, [48]], marks[:, [54]], 0.02)
        scale = (marks[:, [45]] - marks[:, [36]]).norm(dim=2, keepdim=True).clamp(min=0.05)
        width = width.clamp(min=0.02) / scale
        own = (marks[:, IBUG_LIPS] - middle[:, None]) / scale[:, None] @ axes[:, None].transpose(2, 3)
        nose = (marks[:, [33]] - middle) / scale @ axes.transpose(1, 2)
        return middle, axes, scale, width, polyline(self.knots * width, own), nose[..., 1:]

    def lip_colours(self, face, middle, axes, lips, thickness, u):
        """(n, 3, places) each: the colours of the upper and of the lower lip at u (n, 1, places), -0.5..0.5. lips, thickness: (n, 2, knots)."""
        at = self.quarters.expand(u.shape[0], 1, 4)
        edges, thick = self.curves(at, lips, thickness.clamp(0.02, 0.14))
        colours = []
        for edge, thick, out in zip(halves(edges), halves(thick), (-1, 1)):
            depths = torch.cat([edge + out * part * thick for part in (0.35, 0.5, 0.65)], 2)
            seen = self.look(face, middle, axes, torch.cat([at] * 3, 2), depths)
            seen = (seen[..., :4] + seen[..., 4:8] + seen[..., 8:]) / 3
            start, rest = (seen @ self.cubic).split([1, 3], 2)
            colours.append((start + rest @ torch.cat([u, u * u, u * u * u], 1)).clamp(0, 1))
        upper, lower = colours
        thick = smoothstep(thickness[:, :1, MID - 4 : MID + 5].mean(2, keepdim=True) - THIN[0], THIN[1])
        return lower + thick * (upper - lower), lower

    def gain(self, now, memory, marks):
        """(n, 3, 1): how much more light there is now on the skin (n, 3, 3) under the nose than in what is remembered."""
        then = self.patches(memory, marks[:, [31, 35, 33]])
        return (now.mean(2, keepdim=True) / then.mean(2, keepdim=True).clamp(min=0.03)).clamp(0.6, 1.5)

    def curves(self, u, *pairs):
        """Of two curves each, through values (n, 2, knots): (n, 2, places) at u (n, 1, places), -0.5..0.5."""
        at = u * (KNOTS - 1) + MID
        knot = torch.cat([at.int()] * 2, 1)
        lines = ((pair @ self.lines).split([KNOTS, KNOTS], 2) for pair in pairs)
        return [start.gather(2, knot) + slope.gather(2, knot) * at for start, slope in lines]

    def look(self, picture, middle, axes, u, v):
        """(n, 3, places) of a picture at u, v (n, 1, places) from a middle, along axes."""
        # padding_mode="border" would keep to the picture too, but takes the runtime twice as long.
        rim = 1 - 1 / SIDE
        at = (2 * axes.transpose(1, 2) @ torch.cat([u, v], 1) + (2 * middle - 1).transpose(1, 2)).clamp(-rim, rim)
        return nn.functional.grid_sample(picture, at.transpose(1, 2)[:, None], align_corners=False).squeeze(2)

    def dark_line(self, face, middle, axes, seam):
        """(n, 1, knots): how far from the landmarks' seam, in mouth widths, the dark line between closed lips really runs."""
        v = seam + self.search
        u, v = (t.reshape(-1, 1, SEARCH * KNOTS) for t in (self.knots + 0 * v, v))
        seen = (self.luma @ self.look(face, middle, axes, u, v)).reshape(-1, SEARCH, KNOTS)
        contrast = seen / seen.mean(1, keepdim=True).clamp(min=0.02)
        share = torch.softmax(-contrast / 0.04 - (self.search / 0.04) ** 2, 1)
        return ((share * self.search).sum(1, keepdim=True) * (1 - (2 * self.knots) ** 8)) @ self.smooth

    def within_jaw_line(self, line, width):
        """Mouth widths from the (convex) jaw line (n, k, 2), > 0 inside the face."""
        a, b = line[:, :-1], line[:, 1:]
        along = (b - a) / width
        normal = along @ along.new_tensor([[0, -1], [1, 0]]) / along.norm(dim=2, keepdim=True).clamp(min=0.01) / width
        offset = -(normal * a).sum(2, keepdim=True)
        return (torch.cat([normal, offset], 2) @ self.places).amin(1, keepdim=True)

    def shadowed(self, light):
        """light ** shadow for each colour; the runtime's exp and log are much faster than its powers."""
        return torch.exp(self.shadow * light.log())

    def patches(self, picture, at):
        """(n, 3, k): mean colours around k places (n, k, 2) of the crop."""
        # How much each column and each row counts; never nothing, should the place be off the crop.
        w = torch.exp(-square((self.coarse - at[..., None]) / 0.06)) + 1e-5
        x, y = (w / w.sum(3, keepdim=True) / (SIDE // COARSE)).transpose(1, 3).split([1, 1], 2)  # (n, COARSE, 1, k)
        # Rows are the cheapest to add, so they come first.
        rows = picture.reshape(-1, 3, COARSE, SIDE // COARSE, SIDE).sum(3)
        return (rows @ (self.pool @ x.transpose(1, 2)) * y.transpose(1, 2)).sum(2)

    def rows_meet(self, picture, middle, axes, upper, lower, gap, guess, sure):
        """(n, 1, 1): where between the lips, from the upper (0) to the lower one (1), both rows of teeth meet: the darkest place. gap: between the
        lips, mouth widths. In a slit what is dark near the upper lip is that lip, or its shade. guess: the v where it should be, sure: 1 / how far
        from there it may well be."""
        columns = slice(MID - 4, MID + 5, 2)
        top, bottom = upper[..., columns], lower[..., columns]
        v = top + self.levels[:, None] * (bottom - top)
        off = square(((v - guess) * sure)[..., 2:3])
        beyond = square(((bottom[..., 2:3] - guess) * sure).relu())
        u, v = (t.reshape(-1, 1, LEVELS * 5) for t in (self.knots[..., columns] + 0 * v, v))
        seen = (self.luma @ self.look(picture, middle, axes, u, v)).reshape(-1, LEVELS, 5).mean(2, keepdim=True)
        dark = seen / seen.amax(1, keepdim=True).clamp(min=0.02)
        dark = dark + (1 - self.levels[:, None]) * (SLIT_SHADE * (1 - smoothstep(gap - 0.05, 0.08)))
        share = torch.softmax(-torch.cat([dark / 0.05 + off, ONE_ROW / 0.05 + beyond], 1), 1)
        below = (share * (1 - torch.cat([self.levels, self.levels.new_ones(1)])[:, None])).sum(1, keepdim=True)
        return 1 - below * smoothstep(below - 0.05, 0.15)  # the last of it is the lip's rim

    def slit(self, gap):
        """How much light falls between lips that are so far apart, mouth widths."""
        gap = gap.relu()
        return (0.48 + 0.52 * smoothstep(gap, 0.14)) * (0.35 + 0.65 * smoothstep(gap - 0.01, 0.06))

    def remembered_rows(self, memory, then):
        """rows_meet in what is remembered, of which `then` tells the lips; and how far down that is, eye distances."""
        middle, axes, scale, wide, lips, _ = then
        upper, lower = halves(lips)
        gap = (lower - upper)[..., MID : MID + 1]
        axes = scale * torch.cat([wide * axes[:, :1], axes[:, 1:]], 1)
        meet = self.rows_meet(memory, middle, axes, upper, lower, gap / wide, gap, 0 * gap)
        return meet, upper[..., MID : MID + 1] + meet * gap

    def remembered(self, memory, then, meet, gain, u, within, short, width, eyes):
        """The remembered mouth's inside under these lips (n, 3, places), in the present light, where it is known (n, 1, places), and
        whether there is one (n, 1, 1). then: its lips; gain: how much more light there is; within: how far under the upper lip and over the lower
        lip, short: both; width, eyes: of the present mouth."""
        middle, axes, scale, wide, lips, _ = then
        width = width / eyes  # lengths are in eye distances here
        u = (u * (width / wide * (wide / width).clamp(0.8, 1.25))).clamp(-0.46, 0.46)
        top, bottom = halves(self.curves(u, lips)[0])
        tall = (bottom - top).relu()
        axes = scale * torch.cat([wide * axes[:, :1], axes[:, 1:]], 1)
        # A rim of what was seen belongs to the lips. The upper teeth stay where they are while the lip comes down over them.
        rim = 0.07 * tall
        short = short * width
        below, above = halves(within * width)
        below = below + RAISE * (tall - short)
        upper_row, lower_row = (meet * tall).minimum(tall - rim), ((1 - meet) * tall).minimum(tall - rim)
        v = torch.where(below < upper_row, top + below.maximum(rim), bottom - above.maximum(rim).minimum(lower_row))
        known = smoothstep((upper_row - below).maximum(lower_row - above) + 0.008, 0.016)
        bright = (self.slit(short / width) / self.slit(tall / width)).clamp(max=1)
        has = smoothstep(tall.amax(2, keepdim=True), 0.03)
        return self.look(memory, middle, axes, u, v) * (gain * bright), known, has, upper_row / width

    def light(self, sides, u):
        """(n, 3, places): what the skin on each side of the mouth (n, 3, 2) says of the light at u (n, 1, places), -0.5..0.5."""
        share = self.quarters[None] + 0.5
        skin = sides @ torch.cat([1 - share, share])
        luma = (self.luma @ skin).clamp(min=0.03)
        # What the light adds to the skin's own colour, it adds to the teeth's; dark skin is not all shadow, but one side's shadow is.
        mean = luma.mean(2, keepdim=True)
        tint = (skin / luma / self.skin).clamp(min=1e-4)
        light = 0.86 * torch.exp(0.6 * (mean / SKIN_LUMA).log() + 0.9 * (luma / mean).log() + 0.4 * tint.log())
        # So smooth that a cubic through four places has it.
        start, rest = (light @ self.cubic).split([1, 3], 2)
        return start + rest @ torch.cat([u, u * u, u * u * u], 1)

    def mouth_inside(self, light, u, v, within, rest_mid, want, round_, teeth):
        """A mouth's inside: RGB (n, 3, places), not premultiplied, and alpha (n, 1, places). teeth (n, 1, 1): whether it has any."""
        above = within[:, 1:]
        uu = square(u)
        # The throat is darkest in the middle; towards the corners the cheeks' red tissue catches light.
        cavity = 0.55 + 3.6 * uu.clamp(max=0.25)
        cheek = smoothstep(u.abs() - 0.26, 0.16)
        # Tongue: a mound that rests behind the lower teeth, lighter towards its tip.
        tongue = smoothstep(0.11 + 0.40 * want - 0.9 * uu - above, 0.10)
        tip_light = 0.82 - 0.5 * smoothstep(above - 0.02, 0.16)

        # The upper teeth. They hang from the skull: they stay while the lips move. Rounded lips cover them. Lower teeth are not drawn: where nobody
        # knows them the lip hides them better than a guess looks. In a slit there is a shadow, and crumbs of teeth in it look like none.
        place = u * (1 + uu) / 0.148  # counts teeth from the middle; those at the sides turn away
        offset = (place - torch.floor(place) - 0.5).abs()  # 0 in a tooth's middle, 0.5 between two
        bulge = square(offset)
        cleft = 0.6 * smoothstep(10 * offset - 4)
        tips = rest_mid + 0.055 - 0.03 * round_
        inwards = tips - v - 0.32 * uu  # from the teeth's tips towards their roots
        tooth = smoothstep(inwards - 0.035 * bulge - 0.003, 0.016)  # rounded corners
        tooth = tooth * (1 - smoothstep(u.abs() - (0.31 - 0.06 * round_), 0.11)) * smoothstep(within.sum(1, keepdim=True) - CRUMBS[0], CRUMBS[1])
        gum = smoothstep(inwards + 0.08 * bulge - 0.30, 0.02)
        # Rounded enamel: bright in the middle, shaded to the sides of each tooth and of the row, a little grey at the tip.
        strength = 1 - 0.25 * round_
        shade = (1 - 0.40 * bulge) * (1 - 0.22 * cleft) * (1 - 2.4 * uu) * strength * (0.80 + 0.20 * smoothstep(within[:, :1], 0.05))
        shade = shade.clamp(min=0.05)

        # How much of each is seen: the teeth, what lies behind them.
        tooth = tooth * teeth
        free = 1 - tooth
        gum, tongue = tooth * gum, free * tongue
        behind = (free - tongue) * cheek
        out = torch.cat([self.cavity, self.tongue, self.cheek], 1) @ torch.cat([(free - tongue - behind) * cavity, tongue * tip_light, behind], 1)
        out = out + torch.cat([self.enamel, self.gum], 1) @ torch.cat([tooth - gum, gum], 1) * self.shadowed(shade)
        # Little light falls through a narrow slit, and the lips shade what is right behind them.
        gap, near = within.sum(1, keepdim=True), torch.cat([within[:, :1], within.amin(1, keepdim=True)], 1)
        narrow = smoothstep(gap, 0.02)
        deep, edge = halves(smoothstep(near + u.new_tensor([[0], [0.012]]), u.new_tensor([[0.04], [0.022]])))
        dark = self.slit(gap + 0.01) * (0.55 + 0.45 * deep)
        return out * light * self.shadowed(dark), narrow * edge
