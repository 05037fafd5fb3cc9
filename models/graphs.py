# SPDX-License-Identifier: MPL-2.0
"""Writes a network as NAME.onnx and NAME.pt (TorchScript) into a model's folder, and checks that both say what the network says.

TorchScript knows no names and no shapes of its tensors: its method `signature` tells them, see src/runtime/torch.rs."""

import inspect
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

LARGE = 1 << 30  # bytes of weights from which on they lie beside the graph: one ONNX file holds 2 GiB at most


def write(network, inputs, outputs, folder, name, fixed=(), opset=17, tolerance=1e-4):
    """inputs: {name: example tensor}, in the order of the network's arguments; the first axis is the batch but for those that
    `fixed` names. outputs: their names. `network` may be TorchScript already. tolerance: how far the three may lie apart, of the largest value."""
    network.eval()
    examples = tuple(inputs.values())
    onnx_file, torch_file = folder / f"{name}.onnx", folder / f"{name}.pt"
    free = [n for n in inputs if n not in fixed]
    axes = {n: {0: "n"} for n in [*free, *(outputs if free else [])]}
    old = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with torch.no_grad():
        text = signature(inputs, dict(zip(outputs, tensors(network(*examples)))), free)
        if isinstance(network, torch.jit.ScriptModule):
            script = sign(network, text)
        else:
            script = torch.jit.freeze(sign(torch.jit.trace(network, examples, check_trace=False), text), preserved_attrs=["signature"])
        script.save(str(torch_file))
        # In a folder of its own: of a large network each tensor becomes a file at first.
        with tempfile.TemporaryDirectory(dir=str(folder)) as place:
            first = str(Path(place) / onnx_file.name)
            torch.onnx.export(
                network, examples, first, opset_version=opset, input_names=list(inputs), output_names=outputs, dynamic_axes=axes, **old
            )  # fmt: skip
            graph = onnx.load(first)
    graph.ir_version = min(graph.ir_version, 8 if opset <= 18 else 9)
    save(graph, onnx_file)
    session = onnxruntime.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    unused = set(inputs) - {i.name for i in session.get_inputs()}
    if unused:
        raise SystemExit(f"the network does not use its input {', '.join(unused)}")
    scripted = torch.jit.load(str(torch_file))
    for given in batches(inputs, free):
        with torch.no_grad():
            want, by_torch = tensors(network(*given.values())), tensors(scripted(*given.values()))
        by_onnx = session.run(outputs, {n: t.numpy() for n, t in given.items()})
        for output, expected, one, other in zip(outputs, want, by_onnx, by_torch):
            worst = max(np.abs(one - expected.numpy()).max(), (other - expected).abs().max().item())
            if not worst <= tolerance * max(1.0, expected.abs().max().item()):
                raise SystemExit(f'output "{output}" of the exported graphs differs from the network\'s by {worst}')
    for file in (onnx_file, torch_file):
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def signature(inputs, outputs, free):
    """Both {name: example tensor}; the first axis of the inputs in `free`, and then of all outputs, is a batch of any size."""

    def border(name, tensor, any_batch):
        shape = [-1 if any_batch and k == 0 else n for k, n in enumerate(tensor.shape)]
        return f'{{ name = "{name}", element = "{str(tensor.dtype).split(".")[1]}", shape = {shape} }}'

    taken = ", ".join(border(n, t, n in free) for n, t in inputs.items())
    given = ", ".join(border(n, t, bool(free)) for n, t in outputs.items())
    return f"inputs = [{taken}]\noutputs = [{given}]\n"


def sign(script, text):
    """Gives TorchScript the method `signature`, which returns `text`."""
    if not hasattr(script, "signature"):
        script.define(f"def signature(self) -> str:\n    return {text!r}\n")
    elif script.signature() != text:
        raise SystemExit(f"the TorchScript file was made for other tensors:\n{script.signature()}The model needs:\n{text}")
    return script


def batches(inputs, free):
    """The example inputs as they are, and where a batch is allowed, one and three at a time."""
    yield inputs
    if free:
        yield {n: t[:1] if n in free else t for n, t in inputs.items()}
        yield {n: torch.cat([t, t, t])[:3].flip(0) if n in free else t for n, t in inputs.items()}


def tensors(result):
    return result if isinstance(result, tuple) else (result,)


def adopt(file, inputs, outputs, folder, name, constants=None):
    """Takes an ONNX file that somebody else exported: gives its inputs and outputs the manifest's names, fills in `constants`
    ({input's name: array}) and runs it once. `outputs`: {name: expected shape}."""
    graph = onnx.load(file)
    for key, value in (constants or {}).items():
        if key in [i.name for i in graph.graph.input]:
            graph.graph.initializer.append(onnx.numpy_helper.from_array(value, key))
    given = {i.name for i in graph.graph.initializer}
    wanted = [i for i in graph.graph.input if i.name not in given]
    del graph.graph.input[:]
    graph.graph.input.extend(wanted)
    names = {}
    for kind, found, expected in (("inputs", graph.graph.input, list(inputs)), ("outputs", graph.graph.output, list(outputs))):
        present = [f.name for f in found]
        if len(present) < len(expected) or (kind == "inputs" and len(present) > len(expected)):
            raise SystemExit(f"{file} has the {kind} {', '.join(present)}; the model needs {', '.join(expected)}")
        names.update({} if set(expected) <= set(present) else dict(zip(present, expected)))
    rename(graph.graph, names)
    out = folder / f"{name}.onnx"
    save(graph, out)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    types = {"tensor(float16)": np.float16, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
    fixed = {i.name: isinstance(i.shape[0], int) for i in session.get_inputs() if i.shape}
    feed = {i.name: inputs[i.name].numpy().astype(types.get(i.type, np.float32)) for i in session.get_inputs()}
    feed = {n: t[:1] if fixed.get(n) else t for n, t in feed.items()}
    try:
        results = session.run(list(outputs), feed)
    except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument as e:
        raise SystemExit(f"{file} does not take the model's tensors: {e}") from None
    for (output, shape), found in zip(outputs.items(), results):
        if found.shape[1:] != tuple(shape)[1:]:
            raise SystemExit(f'output "{output}" of {file} has the shape {found.shape}; the model needs {tuple(shape)}')
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, from {file}")
    return graph


def rename(graph, names):
    for node in graph.node:
        for k, n in enumerate(node.input):
            node.input[k] = names.get(n, n)
        for k, n in enumerate(node.output):
            node.output[k] = names.get(n, n)
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs] if attribute.type in (5, 10) else []:
                rename(inner, names)
    for value in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        value.name = names.get(value.name, value.name)


def save(graph, file):
    """As one file, or with the weights beside it where they are too many for one."""
    beside = file.with_name(file.name + ".data")
    beside.unlink(missing_ok=True)
    if sum(len(t.raw_data) for t in graph.graph.initializer) < LARGE:
        onnx.save(graph, file)
    else:
        onnx.save(graph, file, save_as_external_data=True, all_tensors_to_one_file=True, location=beside.name)

