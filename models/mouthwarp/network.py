# SPDX-License-Identifier: MPL-2.0
"""From sound to three numbers of the mouth: jaw, spread, closure."""

import torch
from torch import nn

LOUDNESS_ROWS = 96  # 0.96 s: the loudest row of this stretch is the speaker's level
SIDE_ROWS = 16  # rows that the convolutions see on each side of the row they speak about
SILENCE = -1.5  # mean log-mel (range -4..4) below which a stretch is not turned up any further


class PoseNet(nn.Module):
    """(n, rows, mels) → (n, rows - 127, 3): jaw 0..1, spread -1 (round) .. 1, closure 0..1.

    Each row is seen relative to the loudest row of the last 0.96 s, so that the microphone's gain does not matter; the level
    itself, one more channel, tells speech from the noise of an empty room.
    """

    def __init__(self, mels=80, width=96):
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv1d(mels + 2, width, 5), nn.ReLU(),
            nn.Conv1d(width, width, 3, dilation=2), nn.ReLU(),
            nn.Conv1d(width, width, 3, dilation=4), nn.ReLU(),
            nn.Conv1d(width, width, 3, dilation=8), nn.ReLU(),
            nn.Conv1d(width, 3, 1),
        )  # fmt: skip

    def forward(self, rows):
        x = rows.transpose(1, 2)
        mean = x.mean(1, keepdim=True)
        level = nn.functional.max_pool1d(mean, LOUDNESS_ROWS, 1).clamp(min=SILENCE)
        x, mean = x[..., LOUDNESS_ROWS - 1 :], mean[..., LOUDNESS_ROWS - 1 :]
        y = self.convs(torch.cat([x - level, mean - level, level], 1))
        return torch.cat([torch.sigmoid(y[:, :1]), torch.tanh(y[:, 1:2]), torch.sigmoid(y[:, 2:])], 1).transpose(1, 2)
