# SPDX-License-Identifier: MPL-2.0
"""Wav2Lip's generator → a model's folder.

usage: export.py --weights wav2lip_gan.pth --upstream DIR               DIR: your clone of Wav2Lip, for the network's class
       export.py --weights wav2lip256.pth --upstream DIR --size 256     → ../wav2lip-256; also 288, 384
       export.py --weights wav2lip_gan.onnx                             an ONNX or TorchScript file that you have already
       export.py --random                                               random weights in a network of the same size, for tests
"""

import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import recipe  # noqa: E402
from standin import StandIn, fitted  # noqa: E402

MELS, COLUMNS = 80, 16
# Multiply-adds of the public networks of each size. None is known for 384: here 288's, by the area.
COST = {96: 3.97e9, 256: 27.8e9, 288: 18.5e9, 384: 32.9e9}


def changes(size):
    """Of the manifest, for another size than 96."""
    return {
        'name = "wav2lip"': f'name = "wav2lip-{size}"',
        "Wav2Lip, 96 × 96": f"Wav2Lip, {size} × {size}",
        "size = [96, 96]": f"size = [{size}, {size}]",
        "rows = [48, 96]": f"rows = [{size // 2}, {size}]",
    } if size != 96 else {}  # fmt: skip


def main():
    parser = recipe.arguments(__doc__)
    parser.add_argument("--size", type=int, default=96, choices=COST)
    parser.add_argument("--class", dest="name", default="Wav2Lip", help="of the network, in the module `models` of the clone")
    args = parser.parse_args()
    if args.weights is None and args.random is None:
        parser.error("give --weights and --upstream, or --random")
    size = args.size
    folder = recipe.folder(args.out or HERE.parent / (f"wav2lip-{size}" if size != 96 else "wav2lip"))
    inputs = {"mel": torch.rand(2, 1, MELS, COLUMNS) * 8 - 4, "faces": torch.rand(2, 6, size, size)}

    def trained(content):
        network = recipe.upstream(args.upstream, "models", args.name)()
        network.load_state_dict(recipe.state(content))
        return network

    def standin():
        # The masked picture comes first, the whole face with channel 3.
        mouth = (0.5, 0.76, 0.22, 0.12)
        return fitted(lambda width: StandIn(6, size, (1, MELS, COLUMNS), width, face=3, mouth=mouth), inputs, args.random * COST[size])

    recipe.make("wav2lip", args.weights, folder, inputs, {"out": (2, 3, size, size)}, standin, trained)
    recipe.manifest(HERE, folder, changes(size))


if __name__ == "__main__":
    main()
