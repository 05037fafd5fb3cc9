#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Writes the small graphs beside this file, which the unit tests of src/runtime/torch.rs run. Needs torch 2.13."""

import io
import sys
import zipfile
from pathlib import Path
from typing import List, Tuple

import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "models"))
import graphs  # noqa: E402


class Square(nn.Module):
    """Refuses what is greater than 100."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x > 100).any()):
            raise ValueError("too great")
        return x * x


class Halves(nn.Module):
    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        return x[:, :2], x[:, 2:]


class Elements(nn.Module):
    """Each tensor keeps its element, so a wrong one shows in the numbers or as an error."""

    def forward(self, single: Tensor, half: Tensor, long: Tensor, short: Tensor) -> List[Tensor]:
        return [single + 0.1, half.add(0.0001), torch.bitwise_or(long, 1), torch.bitwise_or(short, 1)]


class Count(nn.Module):
    def forward(self, x: Tensor) -> int:
        return x.numel()


def border(name, shape, element="float32"):
    return name, torch.zeros(shape, dtype=getattr(torch, element))


def compiled(network):
    """Through a file, or two networks of one class would share their methods."""
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(network.eval()), file)
    file.seek(0)
    return torch.jit.load(file)


def save(name, network, inputs, outputs, text=None):
    script = compiled(network)
    inputs, outputs = dict(border(*i) for i in inputs), dict(border(*o) for o in outputs)
    graphs.sign(script, text or graphs.signature(inputs, outputs, list(inputs)))
    write(script, name)


def write(script, name):
    """Without what it knows of the source: that is the path of this file."""
    whole = io.BytesIO()
    torch.jit.save(script, whole)
    with zipfile.ZipFile(whole) as given, zipfile.ZipFile(HERE / f"{name}.pt", "w") as file:
        for entry in given.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                file.writestr(zipfile.ZipInfo(entry.filename), given.read(entry))


def main():
    x, y = ("x", (1, 4)), ("y", (1, 4))
    save("tensor", Square(), [x], [y])
    save("tuple", Halves(), [x], [("left", (1, 2)), ("right", (1, 2))])
    kinds = [("single", (1, 2)), ("half", (1, 2), "float16"), ("long", (1, 2), "int64"), ("short", (1, 2), "int32")]
    save("list", Elements(), kinds, [(f"{name}-out", *rest) for name, *rest in kinds])
    save("number", Count(), [x], [y])
    save("wrong-shape", Square(), [x], [("y", (1, 5))])
    save("wrong-count", Halves(), [x], [y])
    save("wrong-text", Square(), [x], [y], "inputs = []")
    write(compiled(Square()), "unsigned")
    torch.save({"weight": torch.zeros(2)}, HERE / "weights.pt")


if __name__ == "__main__":
    main()
