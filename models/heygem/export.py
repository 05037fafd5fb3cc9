# SPDX-License-Identifier: MPL-2.0
"""HeyGem's generator and speech encoder → a model's folder.

usage: export.py --weights dinet_v1_20240131.pth --encoder wenetmodel.pt --config train_conformer_multi_cn.yaml --upstream DIR
           DIR: HeyGem's code, with the packages landmark2face_wy and wenet. They are compiled for Python 3.8: run this recipe with that Python.
       export.py --weights dinet.onnx --encoder wenet.onnx      files that you have already, ONNX or TorchScript
       export.py --random [SHARE]                               random weights in a network with SHARE (0.1) of the multiply-adds, for tests
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import recipe  # noqa: E402
import speech  # noqa: E402
from masks import soft_rectangle  # noqa: E402
from standin import StandIn, fitted  # noqa: E402

SIDE, ROWS = 256, 20
MASK = ((86, 252), (37, 218))  # rows and columns, ends exclusive
COST = 86e9


class Generator(nn.Module):
    """The network with what HeyGem does around it: the reference has a mask of its own, and where that is 0 the source stays."""

    def __init__(self, network, reference_mask, keep):
        super().__init__()
        self.network, self.keep = network, keep
        self.register_buffer("mask", reference_mask)

    def forward(self, source, reference, audio):
        out = self.network(source, reference * self.mask, audio)
        return torch.where(self.mask == 0, reference, out) if self.keep else out


def generator(checkpoint, args, folder):
    """The network of a checkpoint. Its masks go where they belong: the blend's into weight.png; the source's must be the manifest's."""
    dinet = recipe.upstream(args.upstream, "landmark2face_wy.models.networks", "DINetV1")
    network = dinet(source_channel=3, ref_channel=3, audio_channel=speech.WIDTH)
    network.load_state_dict(recipe.state(checkpoint, "face_G"))
    expected = np.ones((SIDE, SIDE), np.float32)
    expected[slice(*MASK[0]), slice(*MASK[1])] = 0
    if "input_mask" in checkpoint and not np.array_equal(np.asarray(checkpoint["input_mask"], np.float32), expected):
        rows, columns = np.nonzero(np.asarray(checkpoint["input_mask"]) == 0)
        found = f"rows = [{rows.min()}, {rows.max() + 1}], columns = [{columns.min()}, {columns.max() + 1}]" if len(rows) else "no mask"
        raise SystemExit(f"{args.weights} masks {found}, model.toml something else: change `mask` there and MASK in this recipe")
    if "fuse_mask" in checkpoint:
        weight = cv2.resize(np.asarray(checkpoint["fuse_mask"], np.float32), (SIDE, SIDE))
        cv2.imwrite(str(folder / "weight.png"), np.clip(np.rint(weight * 255), 0, 255).astype(np.uint8))
    reference_mask = np.asarray(checkpoint.get("input_mask_re", np.ones((SIDE, SIDE))), np.float32)
    return Generator(network, torch.from_numpy(reference_mask)[None, None], bool(checkpoint.get("nblend", False)))


def main():
    parser = recipe.arguments(__doc__, share=0.1)
    parser.add_argument("--encoder", type=Path, help="the speech encoder")
    parser.add_argument("--config", type=Path, help="the encoder's yaml file, for a state dict")
    args = parser.parse_args()
    if args.random is None and not (args.weights and args.encoder):
        parser.error("give --weights and --encoder, or --random")
    folder = recipe.folder(args.out or HERE)
    pictures = {"source": torch.rand(2, 3, SIDE, SIDE), "reference": torch.rand(2, 3, SIDE, SIDE)}
    inputs = {**pictures, "audio": torch.randn(2, speech.WIDTH, ROWS)}

    def build(width):
        sound = (speech.WIDTH, ROWS)
        return StandIn(6, SIDE, sound, width, sound_at=2, hole=MASK, fill=3, mouth=(0.5, 0.53, 0.13, 0.08))

    # The deformation inside is a grid_sample over three axes, which ONNX has from opset 20 on.
    recipe.make("heygem", args.weights, folder, inputs, {"out": (2, 3, SIDE, SIDE)}, lambda: fitted(build, inputs, args.random * COST),
                lambda content: generator(content, args, folder), opset=20)  # fmt: skip
    speech.write(args.encoder, folder, args.config, args.upstream)
    if args.random is not None or not (folder / "weight.png").exists():
        soft_rectangle(SIDE, MASK, 16, folder / "weight.png")
    recipe.manifest(HERE, folder)


if __name__ == "__main__":
    main()
