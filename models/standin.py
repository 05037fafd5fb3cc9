# SPDX-License-Identifier: MPL-2.0
"""Networks with the tensors of public lip-sync models and about their multiplications, but random weights: for tests and benchmarks.

Their pictures are meant to be looked at: the face that goes in, with a mouth that opens and closes with the sound. How much it opens is
a random function of the sound, so it moves with the voice but says nothing."""

import torch
from torch import nn
from torch.nn import functional as F


class StandIn(nn.Module):
    """Pictures (n, c, size, size) and sound (n, ...) → (n, 3, size, size), in the order of the real network's arguments.

    The pictures are halved until they are 4 to 7 pixels small, the sound joins there, and the way back adds what each size had. So every
    input pixel and every number of the sound can be seen in the output.

    sound: shape of the sound's tensor without the batch; sound_at: which argument it is. channels: of all pictures together.
    face: the channel where the picture begins that the output resembles. hole: (rows, columns) of it that are masked, whose pixels come from
    `fill`, again a channel. low: black; white is 1. mouth: x, y of its middle and its radii, in fractions of the crop."""

    def __init__(self, channels, size, sound, width, sound_at=0, face=0, hole=None, fill=0, low=0.0, mouth=(0.5, 0.72, 0.2, 0.13)):
        super().__init__()
        self.sound_at, self.face, self.hole, self.fill, self.low = sound_at, face, hole, fill, low
        steps, self.sides = [], [size]
        while size >> len(steps) >= 8:
            steps.append(min(width * 2 ** len(steps), 8 * width))
            self.sides.append(-(-self.sides[-1] // 2))
        self.first = nn.Conv2d(channels, steps[0], 7, padding=3)
        self.down = nn.ModuleList(pair(a, b, 2) for a, b in zip(steps, steps[1:] + steps[-1:]))
        self.up = nn.ModuleList(pair(b + a, a, 1) for a, b in zip(steps, steps[1:] + steps[-1:]))
        self.last = nn.Conv2d(steps[0], 3, 1)
        self.hear = Hearing(torch.Size(sound).numel(), steps[-1])
        y, x = torch.meshgrid(*[(torch.arange(size) + 0.5) / size] * 2, indexing="ij")
        distance = ((x - mouth[0]) / mouth[2]) ** 2 + ((y - mouth[1]) / mouth[3]) ** 2
        self.register_buffer("around", torch.exp(-distance))
        self.register_buffer("distance", distance)
        if hole:
            inside = torch.zeros(size, size)
            inside[hole[0][0]:hole[0][1], hole[1][0]:hole[1][1]] = 1
            self.register_buffer("inside", inside)
        initialise(self)

    def forward(self, *inputs):
        sound = inputs[self.sound_at]
        picture = torch.cat([t for k, t in enumerate(inputs) if k != self.sound_at], 1)
        heard, opening = self.hear(sound)
        y = torch.relu(self.first(picture))
        seen = []
        for step in self.down:
            seen.append(y)
            y = step(y)
        y = y + heard[:, :, None, None]
        for k in reversed(range(len(seen))):
            y = self.up[k](torch.cat([grown(y, self.sides[k + 1], self.sides[k]), seen[k]], 1))
        face = picture[:, self.face : self.face + 3]
        if self.hole:
            face = face * (1 - self.inside) + picture[:, self.fill : self.fill + 3] * self.inside
        # A dark ellipse as high as the sound says; the convolutions tint what lies around it.
        opening = opening[:, :, None, None]
        dark = torch.sigmoid(8 * (1.2 * opening - self.distance)) * torch.sigmoid(8 * (opening - 0.3))
        face = face + dark * 0.7 * (self.low - face)
        return torch.clamp(face + 0.06 * (1 - self.low) * torch.tanh(self.last(y)) * self.around, self.low, 1)


def grown(y, before, after):
    """Square pictures (n, c, before, before) → (n, c, after, after). By a factor where that is a whole number: for a size, a graph asks `y`
    for its shape, and one in integers makes floats of it for that."""
    factor, rest = divmod(after, before)
    return F.interpolate(y, size=after) if rest else F.interpolate(y, scale_factor=factor)


class Hearing(nn.Module):
    """Sound of any shape (n, ...) → (n, width) for the convolutions, and (n, 1), how far the mouth opens, 0..1."""

    def __init__(self, numbers, width, hidden=64):
        super().__init__()
        self.numbers = numbers
        self.listen = nn.Linear(numbers, hidden)
        self.tell = nn.Linear(hidden, width)
        self.open = nn.Linear(hidden, 1)

    def forward(self, sound):
        sound = torch.flatten(sound, 1)
        heard = torch.relu(self.listen(F.layer_norm(sound, [self.numbers])))
        # A sine, so that no sound holds it at an end for long.
        return self.tell(heard), 0.5 + 0.5 * torch.sin(3 * self.open(heard))


class Encoder(nn.Module):
    """Front rows (1, r, w) → rows (1, r', *row): convolutions along time, each (kernel, stride, padding), then two that look around."""

    def __init__(self, width, steps, row, hidden):
        super().__init__()
        self.row = tuple(row)
        self.steps = nn.ModuleList(nn.Conv1d(a, hidden, k, s, p) for a, (k, s, p) in zip([width] + [hidden] * 9, steps))
        self.around = nn.ModuleList(nn.Conv1d(hidden, hidden, 5, padding=2) for _ in range(2))
        self.last = nn.Linear(hidden, torch.Size(row).numel())
        initialise(self)

    def forward(self, rows):
        y = rows.transpose(1, 2)
        for step in self.steps:
            y = torch.relu(step(y))
        for step in self.around:
            y = y + torch.relu(step(y))
        y = self.last(F.layer_norm(y.transpose(1, 2), [y.shape[1]]))
        return y.reshape(1, y.shape[1], *self.row)


def pair(before, after, stride):
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.ReLU(), nn.Conv2d(after, after, 3, 1, 1), nn.ReLU())


def initialise(network):
    """As loud at the end as at the beginning, or every picture would be the same grey."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def multiplications(module, *inputs):
    """Multiply-adds of one run for a batch of one, of all convolutions and linear layers."""
    count = 0

    def add(layer, given, result):
        nonlocal count
        count += result.numel() // result.shape[0] * layer.weight[0].numel()

    hooks = [m.register_forward_hook(add) for m in module.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        module(*inputs)
    for hook in hooks:
        hook.remove()
    return count


def fitted(build, inputs, target):
    """The widest network build(width) of at most `target` multiply-adds."""

    def cost(width):
        with torch.device("meta"):
            return multiplications(build(width), *[t.to("meta") for t in inputs.values()])

    low, high = 1, 2
    while cost(high) <= target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= target else (low, middle)
    print(f"stand-in: {cost(low) / 1e9:.2f} thousand million multiply-adds a frame, asked for {target / 1e9:.2f}")
    return build(low)
