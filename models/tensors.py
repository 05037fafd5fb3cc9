# SPDX-License-Identifier: MPL-2.0
"""[facecrop] and [lipsyncgen] of a manifest in plain NumPy and OpenCV: frame and face in, crop and tensors out. Written to be read and compared
with. Pictures are 8-bit, red, green, blue, rows first."""

import re
import tomllib

import cv2
import numpy as np
import onnxruntime
import sound


def manifest(folder):
    with open(folder / "model.toml", "rb") as file:
        return tomllib.load(file)


def rectangle(section, box, points):
    """left, top, right, bottom of the rule, in frame pixels."""
    if section["rule"] == "box":
        width, height = box[2] - box[0], box[3] - box[1]
        pad = {side: length(section.get("pad", {}).get(side, "0px"), unit)
               for side, unit in (("left", width), ("top", height), ("right", width), ("bottom", height))}  # fmt: skip
        return box[0] - pad["left"], box[1] - pad["top"], box[2] + pad["right"], box[3] + pad["bottom"]
    if section["rule"] != "rectangle":
        raise SystemExit(f"rule = \"{section['rule']}\" is not known here")
    names = {f"{axis}{k}": float(point[j]) for k, point in enumerate(points) for j, axis in enumerate("xy")}
    for j, axis in enumerate("xy"):
        names[f"min_{axis}"], names[f"max_{axis}"] = points[:, j].min(), points[:, j].max()
    names.update(min=min, max=max, abs=abs, round=lambda a: np.floor(a + 0.5), floor=np.floor)
    for side in ("left", "right", "top", "bottom"):
        names[side] = eval(re.sub(r"\b(min|max)-([xy])\b", r"\1_\2", section[side]), {"__builtins__": {}}, names)
    sides = names["left"], names["top"], names["right"], names["bottom"]
    return tuple(np.floor(sides)) if section.get("whole") else sides


def length(text, unit):
    return float(text[:-2]) if text.endswith("px") else float(text) * unit


def crop(frame, sides, section):
    """Samples as OpenCV's resize takes them; beyond the frame its edge goes on."""
    margin = section.get("margin", 0)
    width, height = (side + 2 * margin for side in section["size"])
    kind = section.get("interpolation", "bilinear")
    left, top, right, bottom = sides
    across, down = weights(left, right, width, frame.shape[1], kind), weights(top, bottom, height, frame.shape[0], kind)
    cut = np.einsum("yj,jic->yic", down, frame.astype(np.float64))
    cut = np.rint(np.clip(np.einsum("xi,yic->yxc", across, cut), 0, 255)).astype(np.uint8)
    return cut[margin : height - margin, margin : width - margin]


def weights(start, end, count, length, kind):
    """How much each of `length` pixels counts for each of the `count` samples between start and end."""
    scale = (end - start) / count
    at = start + (np.arange(count) + 0.5) * scale - 0.5
    matrix = np.zeros((count, length))
    if kind == "area":
        raise SystemExit('interpolation = "area" is not known here')
    reach = {"bilinear": 1, "cubic": 2, "lanczos": 4}[kind]
    whole = np.floor(at).astype(int)
    taps = np.arange(1 - reach, reach + 1)
    distance = np.abs(taps - (at - whole)[:, None])
    if kind == "bilinear":
        factor = 1 - distance
    elif kind == "cubic":
        a = -0.75
        near, far = ((a + 2) * distance - (a + 3)) * distance**2 + 1, ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        factor = np.where(distance < 1, near, far)
    else:
        factor = np.sinc(distance) * np.sinc(distance / 4)
        factor /= factor.sum(1, keepdims=True)
    for k in range(2 * reach):
        np.add.at(matrix, (np.arange(count), np.clip(whole + taps[k], 0, length - 1)), factor[:, k])
    return matrix


def picture(image, given, which, color):
    low, high = given.get("range", [0, 1])
    tensor = (image[:, :, ::-1] if color == "bgr" else image).astype(np.float32) / np.float32(255) * np.float32(high - low) + np.float32(low)
    if which == "masked":
        mask = given["mask"]
        rows, columns = mask["rows"], mask.get("columns", [0, image.shape[1]])
        tensor[slice(*rows), slice(*columns)] = mask["fill"]
    if "mean" in given:
        tensor = (tensor - np.float32(given["mean"])) / np.float32(given.get("std", [1, 1, 1]))
    return tensor.transpose(2, 0, 1)[None]


def tensor(given, content, image, reference, rows, time, rate, points):
    """One input of a graph for one frame. content: {name: tensor}, what earlier graphs yielded. points: in the numbering that the input asks for."""
    source = given["from"]
    if source == "features":
        window = sound.window_at(rows, time, rate, given["rows"], given.get("rate"), content["beyond"])
        result = sound.arranged(window[None], given["layout"], batch=True)
        return result.reshape(1, *given["shape"]) if "shape" in given else result
    if source == "constant":
        return np.broadcast_to(np.float32(given["value"]), given.get("shape", [1])).copy()
    if source == "landmarks":
        return points[given.get("select", slice(None))][None].astype(np.float32)
    parts = source if isinstance(source, list) else [source]
    return np.concatenate([
        content[part] if part in content else picture(reference if part == "reference" else image, given, part, content["color"])
        for part in parts
    ], 1)  # fmt: skip


class Generator:
    """The graphs of a model, one frame at a time. `replaced`: {file: another one}, `watch(file, feed)` sees what each graph is given."""

    def __init__(self, folder, threads=1, replaced=None, watch=None):
        self.manifest, self.watch = manifest(folder), watch
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.graphs = []
        for graph in self.manifest["lipsyncgen"]["graph"]:
            name = first(graph["file"])
            file = (replaced or {}).get(name, folder / name)
            self.graphs.append((name, graph, onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])))

    def __call__(self, image, rows, time, rate, reference=None, points=None):
        content = {"color": self.manifest["facecrop"].get("color", "rgb"), "beyond": self.manifest["audiofeatures"].get("beyond", 0)}
        for name, graph, session in self.graphs:
            types = {"tensor(float16)": np.float16, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
            kinds = {i.name: types.get(i.type, np.float32) for i in session.get_inputs()}
            feed = {}
            for given in graph["input"]:
                found = tensor(given, content, image, image if reference is None else reference, rows, time, rate, points)
                feed[given["name"]] = found.astype(kinds[given["name"]])
            if self.watch:
                self.watch(name, feed)
            outputs = [o.name for o in session.get_outputs()]
            found = dict(zip(outputs, session.run(outputs, feed)))
            content.update({graph.get("outputs", {}).get(key, key): value for key, value in found.items()})
        return content[self.manifest["lipsyncgen"]["output"]["name"]].astype(np.float32)

    def image(self, result):
        """The tensor as a picture."""
        output = self.manifest["lipsyncgen"]["output"]
        low, high = output["range"]
        values = (result[0].transpose(1, 2, 0) - low) / (high - low) * 255
        values = np.clip(np.rint(values) if output.get("round", "nearest") == "nearest" else np.floor(values), 0, 255).astype(np.uint8)
        return values[:, :, ::-1] if output.get("color", "rgb") == "bgr" else values


def first(file):
    """The ONNX file of a list for several backends."""
    files = file if isinstance(file, list) else [file]
    return next((f for f in files if f.endswith(".onnx")), files[0])


def read(file):
    return cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
