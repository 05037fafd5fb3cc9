# SPDX-License-Identifier: MPL-2.0
"""Networks of convolutions and PRelus in a form that ONNX Runtime runs several times as fast, with the same results but for rounding.

ONNX Runtime keeps channels in blocks for convolutions, and has no PRelu for blocks, so every PRelu costs two rearrangements and a slow pass.
Here it is convolutions:

    prelu(x) = a · x + relu((1 − a) · x)      where a ≤ 1
   −prelu(x) =   − x + relu((1 − a) · x)      where a > 1: the channel is negated, and what reads it has negated weights

Both products are 1 × 1 convolutions of each channel alone, the relu and the sum are fused into them. Where a thin convolution makes x and nobody
else reads it, the products are its own weights', twice. Layers of 8 channels get 8 of zeros more, for blocks have 16. What adds channels of zeros
is a convolution that copies the others.

Weights stay as they are stored, in half precision; what they are multiplied by is folded in when the graph is loaded.
"""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

BLOCK = 16
# A 1 × 1 convolution of so many channels is cheaper than two passes over what it makes.
THIN = 32


class Layer:
    """A node. kind: its operator's name; constants: those among its inputs, by name, written as they are."""

    def __init__(self, kind, inputs, output, weights=None, bias=None, slopes=None, constants=None, **attributes):
        self.kind, self.inputs, self.output, self.constants = kind, inputs, output, constants or {}
        self.weights, self.bias, self.slopes, self.attributes = weights, bias, slopes, attributes
        self.factor = None  # of each output's weights, where half precision would not do for the product


def readers(layers, name):
    return [layer for layer in layers if name in layer.inputs]


def split(layers):
    """Where half a block of channels lies between two convolutions, the other half takes what is below zero: no PRelu is needed there."""
    for first in layers:
        if first.kind != "Conv" or len(first.weights) * 2 != BLOCK or [r.kind for r in readers(layers, first.output)] != ["PRelu"]:
            continue
        (prelu,) = readers(layers, first.output)
        (alone,) = readers(layers, prelu.output)
        (last,) = readers(layers, alone.output)
        first.weights, first.bias = (np.concatenate([v, -v]) for v in (first.weights, first.bias))
        prelu.kind = "Relu"
        alone.factor = np.concatenate([np.ones(len(prelu.slopes)), -prelu.slopes]).astype(np.float32)
        alone.weights, alone.bias = np.concatenate([alone.weights] * 2), np.concatenate([alone.bias, 0 * alone.bias])
        alone.attributes["group"] = len(alone.weights)
        last.weights = np.concatenate([last.weights] * 2, 1)


def copy(layers):
    """Makes convolutions of the layers that add channels of zeros."""
    for layer in layers:
        if layer.kind != "Pad":
            continue
        pads = layer.constants.pop(layer.inputs[1])
        assert np.count_nonzero(pads) == 1 and pads[5] > 0
        (total,) = readers(layers, layer.output)
        (other,) = (other for other in layers if other.output in total.inputs and other is not layer)
        channels = len(other.bias)
        layer.kind, layer.inputs = "Conv", layer.inputs[:1]
        layer.weights, layer.bias = np.eye(channels, channels - pads[5], dtype=np.float16)[:, :, None, None], np.zeros(channels, np.float16)
        layer.attributes = dict(group=1, kernel_shape=[1, 1], pads=[0] * 4, strides=[1, 1])


class Writer:
    def __init__(self):
        self.nodes, self.constants = [], []

    def op(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def half(self, name, array, factor=None):
        """float32 numbers of an array in half precision, times a factor for each entry of its first axis."""
        number = self.op("Cast", [self.constant(name + "_h", array.astype(np.float16))], name + "_f", to=TensorProto.FLOAT)
        if factor is None:
            return number
        return self.op("Mul", [number, self.constant(name + "_k", factor.reshape(-1, *[1] * (array.ndim - 1)))], name)

    def conv(self, layer, output, factor=None):
        weights = self.half(output + "_w", layer.weights, factor)
        self.op("Conv", [*layer.inputs, weights, self.half(output + "_b", layer.bias, factor)], output, **layer.attributes)

    def alone(self, x, factor, output):
        """Each channel times its factor."""
        shape = dict(group=len(factor), kernel_shape=[1, 1], pads=[0] * 4, strides=[1, 1])
        self.op("Conv", [x, self.constant(output + "_w", factor.reshape(-1, 1, 1, 1)), self.constant(output + "_b", 0 * factor)], output, **shape)


def write(layers):
    writer = Writer()
    # Of a tensor: whether its channels are negated (−1) or not (1).
    signs = {}
    makers = {layer.output: layer for layer in layers}
    inside = lambda name: len(readers(layers, name)) == 1 and readers(layers, name)[0].kind == "PRelu"
    for layer in layers:
        sign = signs.get(layer.inputs[0])
        if layer.kind == "Conv":
            if sign is not None:
                layer.weights = layer.weights * (sign[:, None, None, None] if layer.attributes["group"] > 1 else sign[None, :, None, None])
            follower = readers(layers, layer.output)
            if [reader.kind for reader in follower] == ["Add"]:
                # Its sum with a tensor of these signs.
                (other,) = (name for name in follower[0].inputs if name != layer.output)
                if other in signs:
                    signs[layer.output] = signs[other]
                    layer.weights, layer.bias = layer.weights * signs[other][:, None, None, None], layer.bias * signs[other]
            layer.thin = layer.attributes["group"] == 1 and layer.weights.shape[1] <= THIN and layer.weights.shape[2:] == (1, 1)
            if not (layer.thin and inside(layer.output)):
                writer.conv(layer, layer.output, layer.factor)
        elif layer.kind == "PRelu":
            prelu(writer, layers, layer, makers[layer.inputs[0]], sign, signs)
        else:
            if layer.kind == "Add" and sign is not None:
                assert all((signs[name] == sign).all() for name in layer.inputs)
                signs[layer.output] = sign
            elif sign is not None and layer.kind == "MaxPool":
                assert (sign == 1).all()
            for name, array in layer.constants.items():
                writer.constant(name, array)
            writer.op(layer.kind, layer.inputs, layer.output, **layer.attributes)
    return writer


def prelu(writer, layers, layer, maker, sign, signs):
    slopes, y = layer.slopes.astype(np.float32), layer.output
    steep = slopes > 1
    x = layer.inputs[0]
    sign = np.ones_like(slopes) if sign is None else sign
    # The largest of several numbers is not the smallest of the negated ones.
    free = all(reader.kind in ("Conv", "Add") for reader in readers(layers, y))
    signs[y] = np.where(steep & free, -1, 1).astype(np.float32)
    whole, part = np.where(steep & free, -1, slopes).astype(np.float32), 1 - slopes
    if getattr(maker, "thin", False) and len(readers(layers, x)) == 1:
        # Nothing is negated there: only sums are.
        assert free
        writer.conv(maker, y + "_c", part)
        writer.op("Relu", [y + "_c"], y + "_2")
        writer.conv(maker, y + "_1", whole)
    elif free or not steep.any():
        writer.alone(x, part * sign, y + "_c")
        writer.op("Relu", [y + "_c"], y + "_2")
        writer.alone(x, whole * sign, y + "_1")
    else:
        writer.alone(x, sign, y + "_x")
        writer.op("Relu", [y + "_x"], y + "_r")
        writer.alone(y + "_r", part, y + "_2")
        writer.alone(x, whole * sign, y + "_1")
    writer.op("Add", [y + "_1", y + "_2"], y)


