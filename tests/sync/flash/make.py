# SPDX-License-Identifier: MPL-2.0
"""Writes flash.onnx: the last row's loudness, no longer in dB, as a grey picture. Needs the Python package onnx."""

import math
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

GAIN = 13  # what makes the clicks of clicks.py almost white

constants = {
    "last": np.array([20]),
    "last_axis": np.array([3]),
    "per_db": np.array(math.log(10) / 20, np.float32),
    "gain": np.array(GAIN, np.float32),
    "black": np.array(0, np.float32),
    "white": np.array(1, np.float32),
    "picture": np.array([1, 3, 16, 16]),
}
nodes = [
    helper.make_node("Gather", ["features", "last"], ["row"], axis=1),
    helper.make_node("Mul", ["row", "per_db"], ["logarithm"]),
    helper.make_node("Exp", ["logarithm"], ["magnitudes"]),
    helper.make_node("ReduceMean", ["magnitudes"], ["loudness"], axes=[2]),
    helper.make_node("Mul", ["loudness", "gain"], ["brightness"]),
    helper.make_node("Clip", ["brightness", "black", "white"], ["grey"]),
    helper.make_node("Unsqueeze", ["grey", "last_axis"], ["pixel"]),
    helper.make_node("Expand", ["pixel", "picture"], ["out"]),
]
graph = helper.make_graph(
    nodes,
    "flash",
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 21, 8])],
    [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3, 16, 16])],
    [numpy_helper.from_array(value, name) for name, value in constants.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model, full_check=True)
save(model, Path(__file__).with_name("flash.onnx"))
