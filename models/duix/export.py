# SPDX-License-Identifier: MPL-2.0
"""Duix-Mobile's generator and speech encoder → a model's folder.

usage: export.py --weights generator.onnx --encoder wenet.onnx --mask weight_168u.bin      files of yours, ONNX or TorchScript
       export.py --random [SHARE]                               random weights in a network with SHARE of the multiply-adds, for tests

Duix's own packs are encrypted ncnn files. ncnn has no converter to ONNX, and this recipe does not open them.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import recipe  # noqa: E402
import speech  # noqa: E402
from masks import soft_rectangle  # noqa: E402
from standin import StandIn, fitted  # noqa: E402

SIDE, ROWS = 160, 20
MASK = ((5, 150), (5, 155))  # rows and columns, ends exclusive
COST = 0.5e9  # a guess: a MobileNet of this size; nobody has published the figure


def main():
    parser = recipe.arguments(__doc__)
    parser.add_argument("--encoder", type=Path, help="the speech encoder")
    parser.add_argument("--mask", type=Path, help="weight_168u.bin, 160 × 160 bytes")
    args = parser.parse_args()
    if args.random is None and not (args.weights and args.encoder and args.mask):
        parser.error("give --weights, --encoder and --mask, or --random")
    folder = recipe.folder(args.out or HERE)
    inputs = {"face": torch.rand(2, 6, SIDE, SIDE) * 2 - 1, "audio": torch.randn(2, ROWS, speech.WIDTH)}

    def build(width):
        return StandIn(6, SIDE, (ROWS, speech.WIDTH), width, sound_at=1, low=-1.0, mouth=(0.5, 0.45, 0.17, 0.1))

    def no_class(_):
        raise SystemExit(f"{args.weights} holds weights alone, and Duix has published no network for them: bring ONNX or TorchScript")

    recipe.make("duix", args.weights, folder, inputs, {"output": (2, 3, SIDE, SIDE)}, lambda: fitted(build, inputs, args.random * COST), no_class)
    speech.write(args.encoder, folder)
    if args.mask:
        content = np.fromfile(args.mask, np.uint8)
        if content.size < SIDE * SIDE:
            raise SystemExit(f"{args.mask} has {content.size} bytes, expected {SIDE * SIDE}")
        cv2.imwrite(str(folder / "weight.png"), content[: SIDE * SIDE].reshape(SIDE, SIDE))
    else:
        soft_rectangle(SIDE, MASK, 12, folder / "weight.png", invert=True)
    recipe.manifest(HERE, folder)


if __name__ == "__main__":
    main()
