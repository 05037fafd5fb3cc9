# SPDX-License-Identifier: MPL-2.0
"""What the recipes export.py have in common: their arguments, where a network's weights come from, variants of a manifest."""

import argparse
import importlib
import sys
from pathlib import Path

import graphs
import numpy as np
import torch


def arguments(text, share=1.0):
    """share: of the real network's multiply-adds, for the stand-in, where --random gives none."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="the generator: a state dict, TorchScript or an ONNX file")
    parser.add_argument("--upstream", type=Path, help="your clone of the model's own repository, for the network's class")
    parser.add_argument("--random", nargs="?", type=float, const=share, metavar="SHARE",
                        help=f"no weights: a network of the same tensors with random ones and SHARE of the multiply-adds ({share:g})")  # fmt: skip
    parser.add_argument("--out", type=Path, help="the model's folder to write (default: beside this recipe)")
    return parser


def folder(path):
    path.mkdir(parents=True, exist_ok=True)
    return path


def make(name, weights, into, inputs, outputs, standin, build, fixed=(), opset=17, tolerance=1e-4):
    """Writes one graph into the folder `into`, NAME.onnx and where possible NAME.pt.

    weights: None for the stand-in, which `standin()` makes; an ONNX or TorchScript file; or a state dict or a folder for `build(it)`.
    outputs: {name: shape}, the first axis the batch."""
    if weights is None:
        torch.manual_seed(1)
        network = standin()
    elif weights.suffix == ".onnx":
        return graphs.adopt(weights, inputs, outputs, into, name)
    else:
        content = weights if weights.is_dir() else load(weights)
        network = content if isinstance(content, torch.jit.ScriptModule) else build(content)
    try:
        with torch.no_grad():
            found = graphs.tensors(network.eval()(*inputs.values()))
    except RuntimeError as e:
        shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in inputs.items())
        raise SystemExit(f"{weights} does not take the model's tensors, {shapes}: {e}") from None
    for (output, shape), tensor in zip(outputs.items(), found):
        if tensor.shape[1:] != tuple(shape)[1:]:
            raise SystemExit(f'output "{output}" of {weights} has the shape {tuple(tensor.shape)}; the model needs {tuple(shape)}')
    graphs.write(network, inputs, list(outputs), into, name, fixed, opset, tolerance)
    return network


def load(file):
    """TorchScript, or what a checkpoint holds. Code in a checkpoint is not run."""
    try:
        return torch.jit.load(str(file), map_location="cpu")
    except RuntimeError:
        pass  # an ordinary checkpoint
    arrays = [np.ndarray, np.dtype, getattr(np, "_core", getattr(np, "core", np)).multiarray._reconstruct]
    arrays += [type(np.dtype(t)) for t in ("f2", "f4", "f8", "u1", "i4", "i8", "?")]
    if hasattr(torch.serialization, "add_safe_globals"):
        # Checkpoints written by older NumPys use the older name of the same function.
        torch.serialization.add_safe_globals([*arrays, (arrays[2], "numpy.core.multiarray._reconstruct")])
    return torch.load(str(file), map_location="cpu", weights_only=True)


def state(content, *keys):
    """The weights of a checkpoint, under the first of `keys` that it has, without the prefix that data-parallel training adds."""
    for key in (*keys, "state_dict"):
        if key in content:
            content = content[key]
            break
    return {k[len("module."):] if k.startswith("module.") else k: v for k, v in content.items()}


def upstream(path, module, name):
    """Class or function `name` of `module` in somebody's clone."""
    if path is None:
        raise SystemExit("--upstream is missing: the state dict needs the network's class, which is in your clone of the model's repository")
    sys.path.insert(0, str(path.resolve()))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as e:
        raise SystemExit(f"{path} does not have {name} in {module}: {e}") from None


def variant(text, changes):
    """A manifest with parts replaced; each part must be there exactly once, so that no variant misses one unnoticed."""
    for old, new in changes.items():
        if text.count(old) != 1:
            raise SystemExit(f"model.toml has {text.count(old)} times {old!r}, expected once")
        text = text.replace(old, new)
    return text


def manifest(source, into, changes=None):
    """Writes the model.toml of the recipe's folder, or a variant of it, into the model's."""
    text = variant((source / "model.toml").read_text(encoding="utf-8"), changes or {})
    (into / "model.toml").write_text(text, encoding="utf-8")
