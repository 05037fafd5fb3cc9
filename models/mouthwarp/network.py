# SPDX-License-Identifier: MPL-2.0
"""From sound to three numbers of the mouth: jaw, spread, closure."""

import torch
from torch import nn

LOUDNESS_ROWS = 96  # 0.96 s: the loudest row and the mean spectrum of this stretch tell the speaker's level and colour of voice
SIDE_ROWS = 20  # rows that the convolutions see on each side of the row they speak about
SILENCE = -1.5  # mean log-mel (range -4..4) below which a stretch is not turned up any further
BANDS = 16  # of the mean spectrum

FRAME_ROWS = 6  # rows of the mouth that make a frame: 40 ms before it to 10 ms after it
FASTEST = 0.4  # how much further than 40 ms ago a frame's jaw may be open


class PoseNet(nn.Module):
    """(n, rows, mels) → (n, rows - 135, 3): jaw 0..1, spread -1 (round) .. 1, closure 0..1.

    Each row is seen relative to the loudest row of the last 0.96 s, so that the microphone's gain does not matter; the level
    itself, one more channel, tells speech from the noise of an empty room.
    """

    def __init__(self, mels=80, width=112):
        super().__init__()
        self.first = nn.Conv1d(mels + 2 + BANDS, width, 5)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=d) for d in (2, 4, 4, 8))
        self.last = nn.Conv1d(width, 3, 1)

    def forward(self, rows):
        x = rows.transpose(1, 2)
        mean = x.mean(1, keepdim=True)
        level = nn.functional.max_pool1d(mean, LOUDNESS_ROWS, 1).clamp(min=SILENCE)
        # The mean spectrum of the loud rows: what is common to all sounds is the voice and the room, not the mouth.
        loud = torch.exp(2 * mean)
        bands = x.unflatten(1, (BANDS, -1)).mean(2)
        colour = nn.functional.avg_pool1d(bands * loud, LOUDNESS_ROWS, 1) / nn.functional.avg_pool1d(loud, LOUDNESS_ROWS, 1)
        x, mean = x[..., LOUDNESS_ROWS - 1 :], mean[..., LOUDNESS_ROWS - 1 :]
        y = torch.relu(self.first(torch.cat([x - level, mean - level, level, colour - level], 1)))
        for conv in self.convs:
            d = conv.dilation[0]
            y = y[..., d:-d] + torch.relu(conv(y))
        y = self.last(y)
        return torch.cat([torch.sigmoid(y[:, :1]), torch.tanh(y[:, 1:2]), torch.sigmoid(y[:, 2:])], 1).transpose(1, 2)


def frame_pose(rows):
    """(n, FRAME_ROWS, 3) → (n, 3): the mouth that a frame shows, at the fifth row's time."""
    now, before = rows[:, 4:6].mean(1), rows[:, :1]
    # Even a sudden start takes two frames to open; and lips that meet for only a moment are never missed.
    jaw = torch.minimum(now[:, :1], before[:, 0, :1] + FASTEST)
    return torch.cat([jaw, now[:, 1:2], rows[:, 3:6, 2:].amax(1)], 1)
