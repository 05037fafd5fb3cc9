# SPDX-License-Identifier: MPL-2.0
"""Networks with the tensors of public lip-sync models and about their multiplications, but random weights: for tests and benchmarks."""

import torch
from torch import nn


class StandIn(nn.Module):
    """Picture (n, channels, size, size) and sound (n, *sound) → (n, 3, size, size) in 0..1.

    The picture is halved until it is 4 to 7 pixels small, the sound joins there, and the way back adds what each size had. So every
    input pixel and every number of the sound can be seen in the output.
    """

    def __init__(self, channels, size, sound, width):
        super().__init__()
        steps, side = [], size
        while side >= 8:
            steps.append(min(width * 2 ** len(steps), 8 * width))
            side //= 2
        self.first = nn.Conv2d(channels, steps[0], 7, padding=3)
        self.down = nn.ModuleList(self.pair(a, b, 2) for a, b in zip(steps, steps[1:] + steps[-1:]))
        self.hear = nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(sound).numel(), steps[-1]), nn.ReLU(), nn.Linear(steps[-1], steps[-1]))
        self.up = nn.ModuleList(self.pair(b + a, a, 1) for a, b in zip(steps, steps[1:] + steps[-1:]))
        self.last = nn.Conv2d(steps[0], 3, 1)
        # As loud at the end as at the beginning, or every picture would be the same grey.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    @staticmethod
    def pair(before, after, stride):
        return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.ReLU(), nn.Conv2d(after, after, 3, 1, 1), nn.ReLU())

    def forward(self, sound, picture):
        y = torch.relu(self.first(picture))
        seen = []
        for step in self.down:
            seen.append(y)
            y = step(y)
        y = y + self.hear(sound)[:, :, None, None]
        for step, before in zip(reversed(self.up), reversed(seen)):
            y = step(torch.cat([nn.functional.interpolate(y, size=before.shape[2:]), before], 1))
        return torch.sigmoid(self.last(y))


def multiplications(module, *inputs):
    """Multiply-adds of one run, of all convolutions and linear layers."""
    count = 0

    def add(layer, given, result):
        nonlocal count
        count += result.numel() // result.shape[0] * layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.weight.numel()

    hooks = [m.register_forward_hook(add) for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        module(*inputs)
    for hook in hooks:
        hook.remove()
    return count
