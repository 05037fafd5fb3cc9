# SPDX-License-Identifier: MPL-2.0
"""Network and renderer → mouthwarp.onnx. Without WEIGHTS (train.py's result) the network of the present mouthwarp.onnx is kept."""

import argparse

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from features import AUDIO, HERE, WINDOW
from network import PoseNet, frame_pose
from renderer import Renderer

GRAPH = HERE / "mouthwarp.onnx"
INPUTS = ["features", "landmarks", "face"]
OUTPUTS = ["upper", "lower", "edges", "inner", "weight", "pose"]


class MouthWarp(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = PoseNet(AUDIO["n-mels"])
        self.renderer = Renderer()

    def forward(self, features, landmarks, face):
        pose = frame_pose(self.net(features))
        return *self.renderer(landmarks, face, pose), pose


def weights_of(graph):
    tensors = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in onnx.load(graph).graph.initializer}
    return {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}


def check(model, graph):
    """The graph must say what the modules say, for any batch size, and leave the crop's border alone."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(1)
    for n in (1, 3):
        rows = torch.rand(n, WINDOW["count"], AUDIO["n-mels"], generator=generator) * 8 - 4
        inputs = rows, plausible_landmarks(n, generator), torch.rand(n, 3, 128, 128, generator=generator)
        with torch.no_grad():
            want = model(*inputs)
        got = session.run(OUTPUTS, dict(zip(INPUTS, (t.numpy() for t in inputs))))
        for name, a, b in zip(OUTPUTS, got, want):
            worst = np.abs(a - b.numpy()).max()
            if not worst < 1e-3:
                raise SystemExit(f"{name} of the graph differs from the module by {worst}")
        weight = got[OUTPUTS.index("weight")]
        if weight[:, :, [0, -1]].any() or weight[..., [0, -1]].any():
            raise SystemExit("weight is not 0 on the border")


def plausible_landmarks(n, generator):
    """A plain face whose points shake by 1 % of the crop."""
    marks = torch.full((68, 2), 0.3)
    turn = torch.linspace(torch.pi, 0, 17)
    marks[:17] = torch.stack([0.5 + 0.42 * turn.cos(), 0.25 + 0.45 * turn.sin()], 1)
    marks[27:36, 0], marks[27:36, 1] = 0.5, 0.15
    for first, count, width, height in ((48, 12, 0.19, 0.06), (60, 8, 0.17, 0.01)):
        turn = torch.pi - torch.arange(count) * 2 * torch.pi / count
        marks[first : first + count] = torch.stack([0.5 + width * turn.cos(), 0.32 - height * turn.sin()], 1)
    return marks + 0.01 * torch.randn(n, 68, 2, generator=generator)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?")
    args = parser.parse_args()
    model = MouthWarp()
    model.net.load_state_dict(torch.load(args.weights) if args.weights else weights_of(GRAPH))
    model.eval()
    example = torch.zeros(2, WINDOW["count"], AUDIO["n-mels"]), torch.rand(2, 68, 2), torch.rand(2, 3, 128, 128)
    torch.onnx.export(
        model, example, GRAPH, dynamo=False, opset_version=17, input_names=INPUTS, output_names=OUTPUTS,
        dynamic_axes={n: {0: "n"} for n in INPUTS + OUTPUTS},
    )  # fmt: skip
    graph = onnx.load(GRAPH)
    graph.ir_version = 8
    with torch.no_grad():
        shapes = [list(t.shape[1:]) for t in model(*example)]
    for output, shape in zip(graph.graph.output, shapes):  # the exporter leaves them unnamed
        output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, onnx.TensorProto.FLOAT, ["n", *shape]))
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, GRAPH)
    check(model, GRAPH)
    print(f"{GRAPH.name}: {GRAPH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
