# SPDX-License-Identifier: MPL-2.0
"""Wav2Lip's generator → wav2lip.onnx and wav2lip.pt, beside this file.

usage: export.py --weights wav2lip_gan.pth --upstream DIR    DIR: your clone of Wav2Lip, for the network's class
       export.py --random                                    random weights in a network of the same size, for tests
"""

import argparse
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from graphs import write  # noqa: E402
from standin import StandIn  # noqa: E402

SIDE, MELS, COLUMNS = 96, 80, 16
WIDTH = 48  # of the stand-in: 3.95 thousand million multiply-adds, Wav2Lip has 3.97


def trained(weights, upstream):
    sys.path.insert(0, str(Path(upstream).resolve()))
    try:
        from models import Wav2Lip
    except ImportError as e:
        raise SystemExit(f"{upstream} is no clone of Wav2Lip: {e}") from None
    network = Wav2Lip()
    state = torch.load(weights, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    network.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
    return network


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights")
    parser.add_argument("--upstream")
    parser.add_argument("--random", action="store_true")
    args = parser.parse_args()
    if args.random:
        torch.manual_seed(1)
        network = StandIn(6, SIDE, (1, MELS, COLUMNS), WIDTH)
    elif args.weights and args.upstream:
        network = trained(args.weights, args.upstream)
    else:
        parser.error("give --weights and --upstream, or --random")
    inputs = {"mel": torch.rand(2, 1, MELS, COLUMNS) * 8 - 4, "faces": torch.rand(2, 6, SIDE, SIDE)}
    write(network, inputs, ["out"], HERE, "wav2lip")


if __name__ == "__main__":
    main()
