# SPDX-License-Identifier: MPL-2.0
"""From sound to three numbers of the mouth: jaw, spread, closure."""

import torch
from torch import nn

LOUDNESS_ROWS = 96  # 0.96 s: the loudest row and the mean spectrum of this stretch tell the speaker's level and colour of voice
SIDE_ROWS = 20  # rows that the convolutions see on each side of the row they speak about
SILENCE = -1.5  # mean log-mel (range -4..4) below which a stretch is not turned up any further
BANDS = 16  # of the mean spectrum

FRAME_ROWS = 7  # rows of the mouth that make a frame: 40 ms before it to 20 ms after it
FASTEST = 0.5  # how much wider than 40 ms before a mouth may be open
EMPHASIS = 1.1  # unsure, a network mumbles: by this much its movements are smaller than the intended ones


class Block(nn.Module):
    """Three steps that lie `dilation` apart, mixed, are added to the middle one."""

    def __init__(self, width, dilation):
        super().__init__()
        self.spread = nn.Conv1d(width, width, 3, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout(0.1)
        self.dilation = dilation

    def forward(self, y):
        middle = y[..., self.dilation : -self.dilation]
        return middle + self.mix(self.drop(torch.relu(self.spread(torch.relu(y)))))


class PoseNet(nn.Module):
    """(n, rows, mels) → (n, rows - 135 made even, 3): jaw 0..1, spread -1 (round) .. 1, closure 0..1.

    Each row is seen relative to the loudest row of the last 0.96 s, so that the microphone's gain does not matter; the level
    itself, one more channel, tells speech from the noise of an empty room. Inside, a step is two rows.
    """

    def __init__(self, mels=80, width=160):
        super().__init__()
        self.first = nn.Conv1d(mels + 2 + BANDS, width, 5, stride=2)
        self.blocks = nn.Sequential(*(Block(width, dilation) for dilation in (1, 2, 2, 4)))
        self.last = nn.Conv1d(width, 6, 1)

    def forward(self, rows):
        x = rows.transpose(1, 2)
        mean = x.mean(1, keepdim=True)
        level = nn.functional.max_pool1d(mean, LOUDNESS_ROWS, 1).clamp(min=SILENCE)
        # The mean spectrum of the loud rows: what is common to all sounds is the voice and the room, not the mouth.
        loud = torch.exp(2 * mean)
        bands = x.unflatten(1, (BANDS, -1)).mean(2)
        colour = nn.functional.avg_pool1d(bands * loud, LOUDNESS_ROWS, 1) / nn.functional.avg_pool1d(loud, LOUDNESS_ROWS, 1)
        x, mean = x[..., LOUDNESS_ROWS - 1 :], mean[..., LOUDNESS_ROWS - 1 :]
        y = self.blocks(self.first(torch.cat([x - level, mean - level, level, colour - level], 1)))
        y = self.last(torch.relu(y)).transpose(1, 2).unflatten(2, (2, 3)).flatten(1, 2)
        return torch.cat([torch.sigmoid(y[..., :1]), torch.tanh(y[..., 1:2]), torch.sigmoid(y[..., 2:])], 2)


def frame_pose(rows):
    """(n, FRAME_ROWS or more, 3) → (n, 3): the mouth that a frame shows, at the fifth row's time."""
    rows = rows[:, :FRAME_ROWS]
    rows = torch.cat([(EMPHASIS * rows[..., :1]).clamp(max=1), rows[..., 1:]], 2)
    now, before = rows[:, 4:6].mean(1), rows[:, 0]
    # Lips that meet for only a moment are never missed.
    closure = rows[:, 3:, 2:].amax(1)
    # Even a sudden start takes two frames to open.
    widest = before[:, :1] * (1 - before[:, 2:]) + FASTEST
    jaw = torch.minimum(now[:, :1], widest / (1 - closure).clamp(min=0.01))
    return torch.cat([jaw, now[:, 1:2], closure], 1)
