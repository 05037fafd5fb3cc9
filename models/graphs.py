# SPDX-License-Identifier: MPL-2.0
"""Writes a network as NAME.onnx and NAME.pt (TorchScript) into a model's folder, and checks that both say what the network says."""

import numpy as np
import onnx
import onnxruntime
import torch


def write(network, inputs, outputs, folder, name):
    """inputs: {name: example tensor, first axis the batch}, in the order of the network's arguments. outputs: their names."""
    network.eval()
    examples = tuple(inputs.values())
    onnx_file, torch_file = folder / f"{name}.onnx", folder / f"{name}.pt"
    torch.onnx.export(
        network, examples, onnx_file, dynamo=False, opset_version=17, input_names=list(inputs), output_names=outputs,
        dynamic_axes={n: {0: "n"} for n in [*inputs, *outputs]},
    )  # fmt: skip
    graph = onnx.load(onnx_file)
    graph.ir_version = 8
    onnx.save(graph, onnx_file)
    with torch.no_grad():
        script = torch.jit.freeze(torch.jit.trace(network, examples))
        script.save(torch_file)
        want = network(*examples)
    want = want if isinstance(want, tuple) else (want,)
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    found = session.run(outputs, {n: t.numpy() for n, t in inputs.items()})
    with torch.no_grad():
        scripted = torch.jit.load(torch_file)(*examples)
    scripted = scripted if isinstance(scripted, tuple) else (scripted,)
    for output, expected, of_onnx, of_torch in zip(outputs, want, found, scripted):
        worst = max(np.abs(of_onnx - expected.numpy()).max(), (of_torch - expected).abs().max().item())
        if not worst <= 1e-3 * max(1.0, expected.abs().max().item()):
            raise SystemExit(f"output \"{output}\" of the exported graphs differs from the network's by {worst}")
    for file in (onnx_file, torch_file):
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
