# SPDX-License-Identifier: MPL-2.0
"""Network → ear.onnx, renderer → mouthwarp.onnx. Without WEIGHTS (train.py's result) ear.onnx stays as it is and only the renderer is new."""

import argparse

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from features import AUDIO, HERE, MANIFEST, POSE_ROWS
from network import MELS, WINDOW, Ear, frame_pose, measures
from renderer import JAW_LINE, LOWER_EDGE, LOWER_OUTLINE, POINTS, UPPER_EDGE, UPPER_OUTLINE, Renderer

EAR, GRAPH = HERE / "ear.onnx", HERE / "mouthwarp.onnx"
SIDE = MANIFEST["facecrop"]["size"][0]
INPUTS = ["mouth", "landmarks", "face", "memory", "memory_landmarks", "memory_weight", "closed", "closed_landmarks", "closed_weight"]
OUTPUTS = ["upper", "lower", "edges", "inner", "weight", "inner_area", "pose"]


class Step(nn.Module):
    """The ear, a step at a time: what is carried along goes in and comes out."""

    def __init__(self, ear):
        super().__init__()
        self.ear = ear

    def forward(self, rows, *state):
        answers, state = self.ear.hear(rows[:, None], state)
        return measures(answers)[:, 0], *state


class MouthWarp(nn.Module):
    def __init__(self):
        super().__init__()
        self.renderer = Renderer()

    def forward(self, mouth, landmarks, face, *memories):
        pose = frame_pose(mouth)
        return *self.renderer(landmarks, face, pose, *memories), pose


def save(model, example, path, inputs, outputs, dynamic):
    torch.onnx.export(
        model, example, path, dynamo=False, opset_version=17, input_names=inputs, output_names=outputs,
        dynamic_axes={name: {0: "n"} for name in inputs + outputs} if dynamic else None,
    )  # fmt: skip
    graph = onnx.load(path)
    graph.ir_version = 8
    with torch.no_grad():
        shapes = [list(t.shape) for t in model(*example)]
    for output, shape in zip(graph.graph.output, shapes):  # the exporter leaves them unnamed
        shape = ["n", *shape[1:]] if dynamic else shape
        output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)
    print(f"{path.name}: {path.stat().st_size} bytes")


def agree(model, inputs, names, path, outputs):
    """The graph must say what the module says."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        want = model(*inputs)
    got = session.run(outputs, dict(zip(names, (t.numpy() for t in inputs))))
    for name, a, b in zip(outputs, got, want):
        worst = np.abs(a - b.numpy()).max()
        if not worst < 1e-3:
            raise SystemExit(f"{name} of {path.name} differs from the module by {worst}")
    return got


def export_ear(weights):
    ear = Ear()
    ear.load_state_dict(torch.load(weights))
    step = Step(ear).eval()
    names = [AUDIO["input"], *AUDIO["state"]]
    outputs = [AUDIO["output"], *AUDIO["state"].values()]
    save(step, (torch.full((1, WINDOW, MELS), -8.0), *Ear.silence()), EAR, names, outputs, dynamic=False)
    state, generator = Ear.silence(), torch.Generator().manual_seed(1)
    for _ in range(5):
        rows = torch.randn(1, WINDOW, MELS, generator=generator) * 3 - 6
        got = agree(step, (rows, *state), names, EAR, outputs)
        state = tuple(torch.tensor(t) for t in got[1:])


def plausible_landmarks(n, generator):
    """A plain face whose points shake by 1 % of the crop: the renderer's points, and iBUG's 68."""
    places = {33: (0.25, -0.2), 263: (0.75, -0.2), 98: (0.44, 0.13), 2: (0.5, 0.15), 327: (0.56, 0.13), 205: (0.25, 0.2), 425: (0.75, 0.2)}

    def oval(names, width, height, first, last):
        for name, turn in zip(names, np.linspace(first, last, len(names))):
            places.setdefault(name, (0.5 - width * np.cos(turn), 0.32 - height * np.sin(turn)))

    oval(UPPER_EDGE, 0.17, 0.01, 0, np.pi)
    oval(LOWER_EDGE, 0.16, -0.01, 0.2, np.pi - 0.2)
    oval(UPPER_OUTLINE, 0.19, 0.06, 0, np.pi)
    oval(LOWER_OUTLINE, 0.18, -0.06, 0.2, np.pi - 0.2)
    oval(JAW_LINE, 0.42, -0.4, 0, np.pi)
    marks = torch.tensor([places[p] for p in POINTS], dtype=torch.float32)
    ibug = torch.full((68, 2), 0.3)
    ibug[36], ibug[45] = torch.tensor([0.25, -0.2]), torch.tensor([0.75, -0.2])
    ibug[31:36] = torch.tensor([[0.44, 0.13], [0.47, 0.14], [0.5, 0.15], [0.53, 0.14], [0.56, 0.13]])
    for first, count, width, height in ((48, 12, 0.19, 0.06), (60, 8, 0.17, 0.03)):
        turn = torch.pi - torch.arange(count) * 2 * torch.pi / count
        ibug[first : first + count] = torch.stack([0.5 + width * turn.cos(), 0.32 - height * turn.sin()], 1)
    return tuple(m + 0.01 * torch.randn(n, *m.shape, generator=generator) for m in (marks, ibug))


def export_renderer():
    model = MouthWarp().eval()
    generator = torch.Generator().manual_seed(1)

    def example(n):
        marks, ibug = plausible_landmarks(n, generator)
        face, memory, closed = torch.rand(3, n, 3, SIDE, SIDE, generator=generator)
        weights = torch.rand(2, n, 1, generator=generator)
        mouth = torch.rand(n, POSE_ROWS["count"], 5, generator=generator) * torch.tensor([0.2, 0.05, 0.1, 0.03, 1])
        return mouth, marks, face, memory, ibug, weights[0], closed, ibug + 0.01, weights[1]

    save(model, example(2), GRAPH, INPUTS, OUTPUTS, dynamic=True)
    for n in (1, 3):
        got = agree(model, example(n), INPUTS, GRAPH, OUTPUTS)
        weight = got[OUTPUTS.index("weight")]
        if weight[:, :, [0, -1]].any() or weight[..., [0, -1]].any():
            raise SystemExit("weight is not 0 on the border")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?")
    args = parser.parse_args()
    manifest = next(i for i in MANIFEST["lipsyncgen"]["graph"][0]["input"] if i["from"] == "landmarks")
    if tuple(manifest["select"]) != POINTS:
        raise SystemExit("model.toml's select is not renderer.py's POINTS")
    if args.weights:
        export_ear(args.weights)
    export_renderer()


if __name__ == "__main__":
    main()
