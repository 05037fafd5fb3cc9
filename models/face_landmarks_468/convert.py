#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Makes face_landmarks_468.onnx of MediaPipe's face_landmark_with_attention.tflite, without its eyes, in the form that ../prelu.py describes.

    pip install numpy onnx tflite flatbuffers
    python3 convert.py face_landmark_with_attention.tflite

The network finds a mesh of the whole face, cuts the features around its lips (GridSample, turned with the mouth), and finds the lips' 80 points
anew in them. Here they take their places in the mesh; depths stay those of the mesh.
"""
import pathlib
import sys

import numpy as np
import onnx
import tflite
from flatbuffers import flexbuffers
from onnx import TensorProto, helper

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from prelu import Layer, copy, write  # noqa: E402

POINTS = 468
# Pixels of the network's input to one cell of the features that the lips are cut from.
CELL = 4
OPERATORS = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}


class File:
    """A TFLite graph with one subgraph."""

    def __init__(self, file):
        self.model = tflite.Model.GetRootAsModel(pathlib.Path(file).read_bytes(), 0)
        self.graph = self.model.Subgraphs(0)

    def shape(self, tensor):
        tensor = self.graph.Tensors(tensor)
        return [int(size) for size in tensor.ShapeAsNumpy()] if tensor.ShapeLength() else []

    def name(self, tensor):
        return self.graph.Tensors(tensor).Name().decode()

    def constant(self, tensor):
        buffer = self.model.Buffers(self.graph.Tensors(tensor).Buffer())
        kind = {0: np.float32, 1: np.float16, 2: np.int32}[self.graph.Tensors(tensor).Type()]
        return np.frombuffer(buffer.DataAsNumpy().tobytes(), kind).reshape(self.shape(tensor))

    def operators(self):
        """(name, inputs, outputs, options) of each operator."""
        for index in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(index)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            custom = code.CustomCode()
            name = custom.decode() if custom else OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            yield name, list(operator.InputsAsNumpy()), list(operator.OutputsAsNumpy()), operator


def options(operator, kind):
    made = kind()
    made.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
    return made


def convolution(file, half, alone, inputs, output, operator):
    kind = options(operator, tflite.DepthwiseConv2DOptions if alone else tflite.Conv2DOptions)
    assert kind.FusedActivationFunction() == tflite.ActivationFunctionType.NONE
    weights = half[inputs[1]].transpose((3, 0, 1, 2) if alone else (0, 3, 1, 2))
    kernel, stride = weights.shape[2], kind.StrideH()
    pads = [0] * 4
    if kind.Padding() == tflite.Padding.SAME:
        # Of an odd number the larger half lies to the right and below.
        missing = max((file.shape(output)[1] - 1) * stride + kernel - file.shape(inputs[0])[1], 0)
        pads = [missing // 2] * 2 + [missing - missing // 2] * 2
    shape = dict(group=len(weights) if alone else 1, kernel_shape=[kernel] * 2, pads=pads, strides=[stride] * 2)
    return Layer("Conv", [f"t{inputs[0]}"], f"t{output}", weights, half[inputs[2]], **shape)


def layer(kind, output, *inputs, **attributes):
    """inputs: names, or arrays that become constants."""
    names = [value if isinstance(value, str) else f"{output}_{index}" for index, value in enumerate(inputs)]
    constants = {name: value for name, value in zip(names, inputs) if not isinstance(value, str)}
    return Layer(kind, names, output, constants=constants, **attributes)


def number(*values):
    return np.array(values, np.int64)


class Lips:
    """What MediaPipe's own operators do with the lips, as layers of ONNX's: names of tensors begin with `lips_`."""

    def box(self, mesh, rule):
        """`lips_axes`: an output cell's way to the right and down, in cells of the features; `lips_middle`: the middle of the lips there."""
        assert rule["target_rotation_radians"] == 0 and rule["output_width"] == rule["output_height"]
        self.points, self.side = number(*rule["subset_idxs"]), rule["output_width"]
        return [
            layer("Reshape", "lips_mesh", mesh, number(-1, POINTS, 3)),
            layer("Slice", "lips_xy_pixels", "lips_mesh", number(0), number(2), number(2)),
            layer("Mul", "lips_xy", "lips_xy_pixels", np.float32(1 / CELL)),
            layer("Gather", "lips_left", "lips_xy", number(rule["left_rotation_idx"]), axis=1),
            layer("Gather", "lips_right", "lips_xy", number(rule["right_rotation_idx"]), axis=1),
            layer("Sub", "lips_across", "lips_right", "lips_left"),
            layer("ReduceL2", "lips_width", "lips_across", axes=[2], keepdims=1),
            layer("Div", "lips_x", "lips_across", "lips_width"),
            layer("MatMul", "lips_y", "lips_x", np.array([[0, 1], [-1, 0]], np.float32)),
            layer("Concat", "lips_turn", "lips_x", "lips_y", axis=1),
            layer("Transpose", "lips_turn_back", "lips_turn", perm=[0, 2, 1]),
            layer("Gather", "lips_own", "lips_xy", self.points, axis=1),
            layer("MatMul", "lips_level", "lips_own", "lips_turn_back"),
            layer("ReduceMax", "lips_most", "lips_level", axes=[1], keepdims=1),
            layer("ReduceMin", "lips_least", "lips_level", axes=[1], keepdims=1),
            layer("Add", "lips_sum", "lips_most", "lips_least"),
            layer("Mul", "lips_half", "lips_sum", np.float32(0.5)),
            layer("MatMul", "lips_middle", "lips_half", "lips_turn"),
            layer("Sub", "lips_size", "lips_most", "lips_least"),
            layer("Mul", "lips_step", "lips_size", np.array([rule["scale_x"], rule["scale_y"]], np.float32) / self.side),
            layer("Transpose", "lips_steps", "lips_step", perm=[0, 2, 1]),
            layer("Mul", "lips_axes", "lips_turn", "lips_steps"),
        ]

    def cut(self, features, size, output):
        down, right = np.mgrid[: self.side, : self.side] + 0.5 - self.side / 2
        cells = np.stack([right, down], -1).reshape(1, -1, 2).astype(np.float32)
        return [
            layer("MatMul", "lips_way", cells, "lips_axes"),
            layer("Add", "lips_cells", "lips_way", "lips_middle"),
            layer("Mul", "lips_scaled", "lips_cells", np.float32(2 / size)),
            layer("Sub", "lips_places", "lips_scaled", np.float32(1)),
            layer("Reshape", "lips_grid", "lips_places", number(-1, self.side, self.side, 2)),
            layer("GridSample", output, features, "lips_grid", mode="bilinear", padding_mode="zeros", align_corners=0),
        ]

    def replace(self, found):
        """`landmarks`: the mesh with the lips' own points. Those come in pixels of the cut, four times as fine as its cells."""
        count = len(self.points)
        order = np.arange(POINTS)
        order[self.points] = POINTS + np.arange(count)
        return [
            layer("Reshape", "lips_found", found, number(-1, count, 2)),
            layer("Sub", "lips_from_middle", "lips_found", np.float32(CELL * self.side / 2)),
            layer("MatMul", "lips_offset", "lips_from_middle", "lips_axes"),
            layer("Mul", "lips_middle_pixels", "lips_middle", np.float32(CELL)),
            layer("Add", "lips_pixels", "lips_offset", "lips_middle_pixels"),
            layer("Concat", "lips_all", "lips_xy_pixels", "lips_pixels", axis=1),
            layer("Gather", "lips_placed", "lips_all", order, axis=1),
            layer("Slice", "lips_depth", "lips_mesh", number(2), number(3), number(2)),
            layer("Concat", "lips_points", "lips_placed", "lips_depth", axis=2),
            layer("Reshape", "landmarks", "lips_points", number(-1, 3 * POINTS)),
        ]


def read(file):
    """The layers that lead to `landmarks` and `presence`, and the side of the input `t0`."""
    file, half, layers, lips = File(file), {}, [], Lips()
    # Of what has another shape or scale only: the tensor that it is made of.
    made_of, axes = {}, None
    for kind, inputs, (output, *_), operator in file.operators():
        inputs = [made_of.get(number, number) for number in inputs]
        names, name = [f"t{number}" for number in inputs], f"t{output}"
        if kind == "DEQUANTIZE":
            half[output] = file.constant(inputs[0])
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            layers.append(convolution(file, half, kind != "CONV_2D", inputs, output, operator))
        elif kind == "PRELU":
            layers.append(Layer("PRelu", names[:1], name, slopes=half[inputs[1]].reshape(-1)))
        elif kind == "ADD":
            layers.append(Layer("Add", names, name))
        elif kind == "MAX_POOL_2D":
            pool = options(operator, tflite.Pool2DOptions)
            shape = dict(kernel_shape=[pool.FilterHeight(), pool.FilterWidth()], strides=[pool.StrideH(), pool.StrideW()])
            layers.append(Layer("MaxPool", names, name, **shape))
        elif kind == "PAD":
            # Channels are last there, second here.
            before, after = file.constant(inputs[1])[[0, 3, 1, 2]].T
            layers.append(Layer("Pad", [names[0], name + "_pads"], name, constants={name + "_pads": np.concatenate([before, after]).astype(np.int64)}))
        elif kind in ("RESHAPE", "MUL", "STRIDED_SLICE"):
            made_of[output] = inputs[0]
        # Of lips, left and right eye the lips are the first.
        elif kind == "Landmarks2TransformMatrix" and axes is None:
            axes = output
            layers += lips.box(names[0], flexbuffers.Loads(bytes(operator.CustomOptionsAsNumpy())))
        elif kind == "TransformTensorBilinear" and inputs[1] == axes:
            layers += lips.cut(names[0], file.shape(inputs[0])[1], name)
        elif kind == "TransformLandmarks" and inputs[1] == axes:
            layers += lips.replace(names[0])
    (presence,) = (number for number in file.graph.OutputsAsNumpy() if file.name(number) == "conv_faceflag")
    layers.append(Layer("Flatten", [f"t{presence}"], "presence"))
    return needed(layers, {"landmarks", "presence"}), file.shape(file.graph.Inputs(0))[1]


def needed(layers, names):
    kept = []
    for layer in reversed(layers):
        if layer.output in names:
            kept.append(layer)
            names |= set(layer.inputs)
    return kept[::-1]


if __name__ == "__main__":
    layers, side = read(sys.argv[1])
    copy(layers)
    writer = write(layers)
    tensor = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
    outputs = [tensor("landmarks", 3 * POINTS), tensor("presence", 1)]
    made = helper.make_graph(writer.nodes, "face_landmarks_468", [tensor("t0", 3, side, side)], outputs, writer.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, HERE / "face_landmarks_468.onnx")
