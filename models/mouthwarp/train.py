# SPDX-License-Identifier: MPL-2.0
"""Trains the ear on real lips and on what the teacher makes of other voices. Seeds are fixed.

usage: train.py ear.pt --lips PACK --teacher NET.onnx [--prompts FOLDER] [--syllables FOLDER] [--held-out GROUP,...] [--ahead MS] [--material FILE]
then: export.py ear.pt and evaluate.py
"""

import argparse
import pickle
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import lips
from network import DEVIATIONS, MEASURES, MELS, STEP, Ear
from teacher import Teacher, weights
from voices import Calibration, Maker

STEPS = 75  # of a piece: 3 s
WARM_UP = 40  # rows at its start, while the voice becomes known, that do not count
SHARES = {"real": 0.30, "prompt": 0.25, "syllable": 0.07, "nothing": 0.10, "synthetic": 0.28}  # of a batch
# The second part of the training is about silence: noise shall not move the mouth, from the first second on. What is kept is half way between the two.
QUIET = {"real": 0.28, "prompt": 0.23, "syllable": 0.07, "nothing": 0.17, "synthetic": 0.25}
# Synthetic speech has by far the most voices: what it tells of closures counts more than what one real speaker does.
CLOSURES_COUNT = {"synthetic": 2.0}
QUIET_STEPS = 0.6  # of the first part's
# Of the corrections of the opening so much is kept: they are what is special to the few real speakers, and with all of them others' mouths follow less well.
CORRECTION = 0.5


def between(rows, at):
    """Rows at positions between rows; the ends repeat."""
    at = np.clip(at, 0, len(rows) - 1)
    low = np.floor(at).astype(int)
    share = (at - low).astype(np.float32)[:, None]
    return rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share


def piece(item, rng, late):
    """(rows, wanted answers, how much these count, how much closures count, whether somebody speaks, how much that counts, real): another pace, vocal
    tract, colour and loudness each time."""
    heard = item["rows"][rng.integers(len(item["rows"]))]
    need = STEP * (STEPS + 1)
    pace = rng.uniform(0.9, 1.12) if rng.random() < 0.5 else 1.0
    lead = rng.integers(0, 40)
    start = rng.uniform(-lead, max(1, len(heard) - need * pace)) if len(heard) > need * pace else rng.uniform(-lead, 0)
    x = between(heard.astype(np.float32), start + pace * np.arange(need))
    if rng.random() < 0.5:  # formants higher or lower
        shift = rng.uniform(-6, 6)
        x = between(x.T.copy(), np.arange(MELS) - shift * np.minimum(np.arange(MELS) / 27, 1)).T
    if rng.random() < 0.5:
        x = x + np.interp(np.arange(MELS), [0, 26, 53, 79], rng.normal(0, 0.6, 4)).astype(np.float32)
    x = x + rng.uniform(-1.5, 1.5) + rng.normal(0, 0.15, x.shape)
    if rng.random() < 0.3:  # a band that tells nothing
        low = rng.integers(0, 70)
        band = slice(low, low + rng.integers(3, 10))
        x[:, band] = x[:, band].mean()
    if rng.random() < 0.15:  # a gap
        low = rng.integers(0, need - 8)
        x[low : low + rng.integers(2, 8)] = x.min(0)
    at = start + pace * (np.arange(STEP * STEPS) + late)
    want = between(item["want"], at)
    inside = (at >= -40) & (at <= len(item["want"]) - 1)
    known = inside & np.isfinite(want).all(1)
    closure = want[:, 5] * known * (at >= 0) * CLOSURES_COUNT.get(item["kind"], 1.0)
    voice = between(item["voice"][:, None], at)[:, 0]
    want = np.nan_to_num(np.concatenate([want[:, :4] / np.float32(DEVIATIONS), want[:, 4:5]], 1))
    return [np.float32(v) for v in (x, want, known, closure, np.nan_to_num(voice), inside & np.isfinite(voice), item["real"])]


def loss_of(out, want, known, closure, real):
    count = known.sum(1, keepdim=True).clamp(min=1)

    def follow(p, q):
        """1 − r, and the difference in size, of pieces in which there is movement."""
        p, q = (v - (v * known).sum(1, keepdim=True) / count for v in (p, q))
        p2, q2 = ((v * v * known).sum(1) / count[:, 0] for v in (p, q))
        moves = (q2 > 0.05) * (count[:, 0] > 100)
        r = (p * q * known).sum(1) / count[:, 0] / ((p2 + 1e-3) * (q2 + 1e-3)).sqrt()
        return ((1 - r) * moves).mean(), (((p2 + 1e-3).sqrt() - (q2 + 1e-3).sqrt()) ** 2 * moves).mean()

    error = (out[..., :4] - want[..., :4]) ** 2 * known[..., None] * torch.where(real > 0, 1.0, 0.7)[:, None, None]
    opening, opening_size = follow(out[..., 0], want[..., 0])
    width, width_size = follow(out[..., 1], want[..., 1])
    steps = (out[:, STEP:, 0] - out[:, :-STEP, 0]) - (want[:, STEP:, 0] - want[:, :-STEP, 0])
    speed = (steps**2 * known[:, STEP:] * known[:, :-STEP]).mean()
    pressed = nn.functional.binary_cross_entropy_with_logits(out[..., 4], want[..., 4], reduction="none")
    return (
        (error * error.new_tensor([1.0, 0.5, 0.35, 0.35])).mean() + 0.4 * opening + 0.2 * width + 0.15 * opening_size + 0.05 * width_size
        + 0.3 * speed + 0.6 * (pressed * closure * (1 + 3 * want[..., 4])).mean()
    )  # fmt: skip


def silence_loss(speaks, voice, counts, quiet):
    """speaks: logits. In the second part silence that is taken for speech counts three times."""
    loss = nn.functional.binary_cross_entropy_with_logits(speaks, voice, reduction="none") * counts
    return (loss * (1 + 2 * (voice < 0.05))).mean() if quiet else 0.5 * loss.mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--lips", required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--prompts")
    parser.add_argument("--syllables")
    parser.add_argument("--held-out", default="grid_s4", help="groups of the lips that are kept for evaluate.py")
    parser.add_argument("--synthetic", type=int, default=1000, help="utterances")
    parser.add_argument("--material", help="a file: where it exists the material is read from it, else made and kept there (1 GB)")
    parser.add_argument("--ahead", type=int, default=120, help="ms that are heard beyond the time of a step's first answer")
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng, started = np.random.default_rng(args.seed), time.time()
    real = [c for c in lips.clips(args.lips) if c["group"] not in args.held_out.split(",")]
    items = None
    if args.material and Path(args.material).exists():
        items = pickle.loads(Path(args.material).read_bytes())
    if items is None:
        maker = Maker(Calibration(Teacher(args.teacher), real), rng)
        items = [maker.real(clip) for clip in real]
        for folder, make in ((args.prompts, maker.prompts), (args.syllables, maker.syllables)):
            items += make(folder) if folder else []
        items += [*maker.synthetic(args.synthetic), *maker.nothing(300)]
        if args.material:
            Path(args.material).write_bytes(pickle.dumps(items, protocol=4))
    rng = np.random.default_rng(args.seed + 1)  # the same whether the material was made or read
    kinds = {kind: [i for i in items if i["kind"] == kind] for kind in SHARES}
    kinds = {kind: list_ for kind, list_ in kinds.items() if list_}
    for kind, list_ in kinds.items():
        print(f"{kind}: {sum(len(i['want']) for i in list_) / 6000:.0f} minutes", flush=True)
    print(f"made in {time.time() - started:.0f} s", flush=True)
    net = Ear(drop=0.4)
    net.listener.load_state_dict(weights(args.teacher))
    net.listener.requires_grad_(False)  # of the few real speakers it would learn the voices, and forget all others
    trained = [p for p in net.parameters() if p.requires_grad]
    net.train()
    lists, late, kept = list(kinds.values()), (120 - args.ahead) / 10, []
    for quiet, steps, rate in ((False, args.steps, 1e-3), (True, round(args.steps * QUIET_STEPS), 7e-4)):
        shares = np.array([(QUIET if quiet else SHARES)[kind] for kind in kinds])
        optimiser = torch.optim.AdamW(trained, rate, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
        for step in range(steps):
            chosen = rng.choice(len(lists), 32, p=shares / shares.sum())
            pieces = [piece(lists[k][rng.integers(len(lists[k]))], rng, late) for k in chosen]
            x, want, known, closure, voice, counts, is_real = (torch.tensor(np.array(v)) for v in zip(*pieces))
            with torch.autocast("cpu", torch.bfloat16):
                out = net(x)[0]
            loss = loss_of(out.float().flatten(1, 2)[:, WARM_UP:], *(t[:, WARM_UP:] for t in (want, known, closure)), is_real)
            first = STEP if quiet else WARM_UP
            loss = loss + silence_loss(*(t[:, first:] for t in (net.speaks.float(), voice, counts)), quiet)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            schedule.step()
            if step % 200 == 199:
                print(f"step {step + 1}  loss {loss.item():.3f}  {time.time() - started:.0f} s", flush=True)
        kept.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
    net.load_state_dict({name: (kept[0][name] + kept[1][name]) / 2 for name in kept[0]})
    rows = torch.arange(STEP) * len(MEASURES)
    with torch.no_grad():
        net.mix[-1].weight[rows] *= CORRECTION
        net.mix[-1].bias[rows] *= CORRECTION
    torch.save(net.state_dict(), args.weights)


if __name__ == "__main__":
    main()
