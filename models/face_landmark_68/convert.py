#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Makes face_landmark_68.onnx out of the npm package @vladmandic/face-api.

    pip install numpy onnx
    python3 convert.py            # writes face_landmark_68.onnx and LICENSE beside this file

The package stores each tensor as unsigned bytes with a scale and a minimum. The bytes are kept as they are, so the graph is as small as
the original; three operators per tensor (Cast, Mul, Add) turn them into numbers, and ONNX Runtime folds these away when it loads the graph.
"""
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "@vladmandic/face-api@1.7.15"
SHA256 = "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
NET = "package/model/face_landmark_68_model"
# The mean colour that the network was trained with: red, green, blue.
MEAN = (122.782, 117.001, 104.298)
HERE = pathlib.Path(__file__).resolve().parent


def fetch():
    """The package's files as a function from path to bytes."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        archive = next(pathlib.Path(folder).glob("*.tgz")).read_bytes()
    found = hashlib.sha256(archive).hexdigest()
    if found != SHA256:
        sys.exit(f"{PACKAGE}: the archive's SHA-256 is {found}, expected {SHA256}; it is not the package this recipe was written for")
    files = tarfile.open(fileobj=io.BytesIO(archive))
    return lambda path: files.extractfile(path).read()


def quantised_tensors(manifest, data):
    """name -> (bytes in the tensor's shape, scale, minimum); the number meant is byte * scale + minimum."""
    tensors, offset = {}, 0
    for entry in json.loads(manifest)[0]["weights"]:
        q, count = entry["quantization"], int(np.prod(entry["shape"]))
        if q["dtype"] != "uint8":
            sys.exit(f"{entry['name']}: stored as {q['dtype']}, expected uint8")
        levels = np.frombuffer(data, np.uint8, count, offset).reshape(entry["shape"])
        tensors[entry["name"]] = (levels, q["scale"], q["min"])
        offset += count
    if offset != len(data):
        sys.exit(f"{NET}.bin: {len(data)} bytes, expected {offset} from its manifest")
    return tensors


class Graph:
    """Collects nodes and constants; every method returns the name of the tensor it makes."""

    def __init__(self, tensors):
        self.tensors, self.nodes, self.constants = tensors, [], []

    def op(self, kind, *inputs, name=None, **attributes):
        name = name or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name, axes=None):
        levels, scale, minimum = self.tensors.pop(name)
        levels = levels if axes is None else levels.transpose(axes)
        number = self.op("Cast", self.constant(name, levels), to=TensorProto.FLOAT)
        number = self.op("Mul", number, self.constant(name + "/scale", np.float32(scale)))
        return self.op("Add", number, self.constant(name + "/min", np.float32(minimum)))

    def conv(self, x, layer, stride):
        """3 x 3 convolution; the package orders filters height, width, in, out."""
        filters, bias = self.weight(layer + "/filters", (3, 2, 0, 1)), self.weight(layer + "/bias")
        return self.op("Conv", x, filters, bias, kernel_shape=[3, 3], strides=[stride, stride], auto_pad="SAME_UPPER")

    def separable(self, x, layer, stride):
        """3 x 3 convolution of each channel alone (filters: height, width, channel, 1), then 1 x 1 across the channels."""
        channels = self.tensors[layer + "/depthwise_filter"][0].shape[2]
        x = self.op("Conv", x, self.weight(layer + "/depthwise_filter", (2, 3, 0, 1)),
                    kernel_shape=[3, 3], strides=[stride, stride], auto_pad="SAME_UPPER", group=channels)
        return self.op("Conv", x, self.weight(layer + "/pointwise_filter", (3, 2, 0, 1)), self.weight(layer + "/bias"), kernel_shape=[1, 1])

    def dense_block(self, x, block, first):
        """Halves the picture; each further convolution reads the rectified sum of all results before it."""
        total = self.op("Relu", first(x, f"{block}/conv0", 2))
        for k in (1, 2, 3):
            total = self.op("Add", total, self.separable(self.op("Relu", total), f"{block}/conv{k}", 1))
        return self.op("Relu", total)


def build(tensors):
    g = Graph(tensors)
    mean = g.constant("mean", np.float32(MEAN).reshape(1, 3, 1, 1))
    x = g.op("Div", g.op("Sub", "input", mean), g.constant("white", np.float32(255)))
    for block in range(4):
        x = g.dense_block(x, f"dense{block}", g.conv if block == 0 else g.separable)
    x = g.op("Flatten", g.op("GlobalAveragePool", x))
    g.op("Gemm", x, g.weight("fc/weights"), g.weight("fc/bias"), name="landmarks")
    if g.tensors:
        sys.exit(f"tensors that the graph does not use: {', '.join(g.tensors)}")

    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(g.nodes, "face_landmark_68", [value("input", ["n", 3, 112, 112])], [value("landmarks", ["n", 136])], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    file = fetch()
    onnx.save(build(quantised_tensors(file(NET + "-weights_manifest.json"), file(NET + ".bin"))), HERE / "face_landmark_68.onnx")
    (HERE / "LICENSE").write_bytes(file("package/LICENSE"))
