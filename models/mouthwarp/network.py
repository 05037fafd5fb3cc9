# SPDX-License-Identifier: MPL-2.0
"""From sound to the mouth of a person who makes it: opening, width, jaw, upper lip, closure."""

import torch
from torch import nn

MELS = 80
STEP = 4  # rows of the front end that a step advances by, and answers that it gives: 40 ms
WINDOW = 8  # rows that a step hears: its own four and the four after them
HIDDEN = 192  # of the teacher's layers
OWN = 128  # of our own

# What a row of answers holds. Lengths are in distances of the outer corners of the eyes.
MEASURES = ("opening", "width", "jaw", "upper", "closure")
# Standard deviations of the first four over the training's real speaker; inside, everything is counted in them.
DEVIATIONS = (0.0534, 0.0200, 0.0365, 0.0192)

# The running level and mean spectrum start here: a quiet room, in natural logarithms of the front end's power.
QUIET_LEVEL, QUIET_SPECTRUM = -6.0, -8.0
LEVEL_FALL = 0.02  # of the running peak, per step
SILENT, SPEAKING = 0.2, 0.5  # a probability of speech of at most the first counts as none, one of at least the second as certain
LOUD_BELOW = 2.5  # rows no further than this below the peak tell what the voice and the room sound like


class Listener(nn.Module):
    """The network of DH_live's audio model: two layers of LSTM on pairs of rows 20 ms apart, then six coefficients of mouth pictures.

    Its weights start as that model's (MIT) and are trained on; see `teacher.py`.
    """

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2 * MELS, MELS), nn.Linear(MELS, MELS)
        self.lstm = nn.LSTM(MELS, HIDDEN, 2, batch_first=True)
        self.head = nn.ModuleList([nn.Linear(HIDDEN, 256), nn.Linear(256, 256), nn.Linear(256, 6)])

    def hidden(self, pairs, state=None):
        """(n, steps, 160) → (n, steps, HIDDEN), state"""
        return self.lstm(self.second(nn.functional.leaky_relu(self.first(pairs), 0.2)), state)

    def coefficients(self, hidden):
        for layer in self.head[:-1]:
            hidden = nn.functional.leaky_relu(layer(hidden), 0.2)
        return self.head[-1](hidden)


# What the six coefficients, in hundreds, say about the opening together: fitted to people who speak ordinarily (11 clips, each left out in turn: r 0.69;
# the first coefficient alone 0.68).
TOGETHER = (1.0, -0.05, -0.45, -0.6, 0.4, -0.2)
# From their sum to the opening that people's mouths have on average, in OPEN.
CURVE = ((-6.2, 0.00), (-5.1, 0.05), (-4.05, 0.14), (7.5, 1.05))
OPEN = 0.15  # eye distances


def opening(coefficients):
    """(…, 6), in hundreds → (…): piecewise linear through CURVE, constant beyond its ends; eye distances."""
    x = coefficients @ coefficients.new_tensor(TOGETHER)
    at, value = coefficients.new_tensor(CURVE).T
    share = ((x[..., None] - at[:-1]) / (at[1:] - at[:-1])).clamp(0, 1)
    return OPEN * (value[0] + (share * (value[1:] - value[:-1])).sum(-1))


class Ear(nn.Module):
    """(n, 4·steps + 4 or more, MELS) rows of log filter bank energies → (n, steps, STEP, 5), state.

    Step j hears rows up to 4j + 7, the last of which ends 50 ms after it starts, and answers for the times of rows 4j to 4j + 3:
    120 to 90 ms are heard beyond the time that is spoken about. What is carried from step to step is in `state`, five tensors.
    The fifth number of an answer is a logit here, and a probability in the exported graph.

    The teacher's network says how far a mouth is open; a network of our own hears the same, relative to the voice so far, and says
    whether somebody speaks at all, how wide the mouth is, and when the lips are pressed together.
    """

    def __init__(self, drop=0.5):
        super().__init__()
        self.listener = Listener()
        self.front = nn.Sequential(nn.Linear(WINDOW * (MELS + 2), 256), nn.GELU(), nn.Dropout(drop), nn.Linear(256, OWN), nn.GELU())
        self.gru = nn.GRU(OWN, OWN, batch_first=True)
        # Per row five corrections; then per row the logit of somebody's speaking.
        self.mix = nn.Sequential(nn.Linear(HIDDEN + OWN, HIDDEN), nn.GELU(), nn.Dropout(drop), nn.Linear(HIDDEN, STEP * (len(MEASURES) + 1)))
        self.coefficients = nn.Linear(6, 4)  # the first is not used: its place is the curve's
        self.drop = nn.Dropout(drop)
        for layer in (self.mix[-1], self.coefficients):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.mix[-1].bias[-STEP:], 3.0)

    @staticmethod
    def silence(n=1):
        """The state before anything was heard: zeros."""
        return torch.zeros(2, n, HIDDEN), torch.zeros(2, n, HIDDEN), torch.zeros(1, n, OWN), torch.zeros(n, MELS), torch.zeros(n)

    def relative(self, windows, mean, peak):
        """(n, steps, WINDOW, MELS) → what is heard relative to the voice so far: microphone, room and gain matter little."""
        new = windows[:, :, STEP:]
        level, spectrum = new.mean((2, 3)), new.mean(2)
        mean, peak = mean + QUIET_SPECTRUM, peak + QUIET_LEVEL
        means, peaks = [], []
        for j in range(windows.shape[1]):
            peak = torch.maximum(peak - LEVEL_FALL, level[:, j])
            share = 0.04 * torch.sigmoid(2 * (level[:, j] - peak + LOUD_BELOW))
            mean = mean + share[:, None] * (spectrum[:, j] - mean)
            means.append(mean)
            peaks.append(peak)
        row = windows.mean(3)
        heard = [
            ((windows - torch.stack(means, 1)[:, :, None]) / 3).flatten(2), (row - torch.stack(peaks, 1)[:, :, None]) / 3, (row + 8) / 5,
        ]  # fmt: skip
        return torch.cat(heard, 2), mean - QUIET_SPECTRUM, peak - QUIET_LEVEL

    def forward(self, rows, state=None):
        steps = rows.shape[1] // STEP - 1
        fours = rows[:, : STEP * (steps + 1)].unflatten(1, (steps + 1, STEP))
        return self.hear(torch.cat([fours[:, :-1], fours[:, 1:]], 2), state or self.silence(rows.shape[0]))

    def hear(self, windows, state):
        """(n, steps, WINDOW, MELS), state → answers, state"""
        h, c, g, mean, peak = state
        # The teacher hears pairs of rows that lie 20 ms apart; these are the last there are.
        listened, (h, c) = self.listener.hidden(torch.cat([windows[:, :, 5], windows[:, :, 7]], 2), (h, c))
        relative, mean, peak = self.relative(windows, mean, peak)
        own, g = self.gru(self.front(relative), g)
        out = self.mix(torch.cat([self.drop(listened), own], 2))
        self.speaks = out[..., -STEP:].flatten(1)  # for the training
        out, gate = out[..., :-STEP].unflatten(2, (STEP, len(MEASURES))), torch.sigmoid(out[..., -STEP:])[..., None]
        if not self.training:  # what is hardly a voice is none
            gate = ((gate - SILENT) / (SPEAKING - SILENT)).clamp(0, 1)
        known = self.listener.coefficients(listened).float() / 100
        base = torch.cat([opening(known)[..., None] / DEVIATIONS[0], self.coefficients(known)[..., 1:]], 2)
        base = base[:, :, None]
        answers = torch.cat([(base[..., :1] + out[..., :1]) * gate, base[..., 1:] + out[..., 1:4], out[..., 4:]], 3)
        return answers, (h, c, g, mean, peak)


def measures(answers):
    """Answers as they are exported: the first four in eye distances, the last a probability."""
    lengths = answers[..., :4] * answers.new_tensor(DEVIATIONS)
    return torch.cat([lengths, torch.sigmoid(answers[..., 4:])], -1)


EMPHASIS = 1.25  # people open their mouths wider than the training's real speakers: 95 % of frames are below 0.11 to 0.25, in the mean 0.17
BEFORE = 0.35, 0.2  # of the opening and of the closure is that of 40 ms before: else mouths move faster than people's
PRESSED = 3.0, 1.0  # from the probability of a closure to how far the lips are pressed: p · 3 − 1


def frame_pose(rows):
    """(n, STEP + 1, 5), the answers from one step before a frame's time on → (n, 5): the mouth that it shows."""
    before, now = rows[:, 0], rows[:, -1]
    share = rows.new_tensor([BEFORE[0], 0, 0, 0, BEFORE[1]])
    blend = (1 - share) * now + share * before
    return torch.cat([(EMPHASIS * blend[:, :1]).clamp(min=0), blend[:, 1:4], (blend[:, 4:] * PRESSED[0] - PRESSED[1]).clamp(0, 1)], 1)
