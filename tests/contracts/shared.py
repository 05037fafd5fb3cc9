# SPDX-License-Identifier: MPL-2.0
"""What the contracts have in common: frames, faces and sound in; arrays to compare with out."""

import argparse
import json
from pathlib import Path

import cv2
import librosa
import numpy as np
import onnxruntime


def cut(frame, sides, size, how):
    """What the projects do: the whole pixels of a rectangle, resized. Beyond the frame its edge goes on."""
    left, top, right, bottom = (int(side) for side in sides)
    height, width = frame.shape[:2]
    rows, columns = np.clip(np.arange(top, bottom), 0, height - 1), np.clip(np.arange(left, right), 0, width - 1)
    return cv2.resize(frame[rows][:, columns], size, interpolation=how)


def session(file):
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def encoder(file):
    """A stand-in's speech encoder as TorchScript, which takes sound of any length, as the projects give it."""
    import torch

    network = torch.jit.load(str(file))

    def run(*tensors):
        with torch.no_grad():
            return network(*[torch.from_numpy(np.ascontiguousarray(t)) for t in tensors]).numpy()

    return run


def padded(rows, first, count, edge=False):
    """rows[first : first + count], zeros or the outermost row standing for what is not there."""
    index = np.arange(first, first + count)
    found = rows[np.clip(index, 0, len(rows) - 1)].copy()
    if not edge:
        found[(index < 0) | (index >= len(rows))] = 0
    return found


def truncated(values):
    return np.clip(values, 0, 255).astype(np.uint8)


def main(contract):
    """contract: a module with RATE, rows(sound, folder), sides(face), crop(frame, face), tensors(crop, rows, frame number),
    image(folder, tensors), paste(frame, face, image, folder)."""
    parser = argparse.ArgumentParser(description=contract.__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--frames", type=Path, required=True, help="a video, or an array (n, h, w, 3) of red, green, blue")
    parser.add_argument("--faces", type=Path, required=True, help='[{"box": [x0, y0, x1, y1], "points": [[x, y], …]}, …], one a frame')
    parser.add_argument("--sound", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder for crop.npy, tensor-NAME.npy, image.npy and pasted.npy")
    args = parser.parse_args()
    faces = [{key: np.array(value, float) for key, value in face.items()} for face in json.loads(args.faces.read_text())]
    sound = librosa.load(args.sound, sr=contract.RATE)[0]
    rows = contract.rows(sound, args.model)
    found = {}
    for number, (frame, face) in enumerate(zip(frames(args.frames), faces)):
        picture = contract.crop(frame, face)
        tensors = contract.tensors(picture, rows, number)
        image = contract.image(args.model, tensors)
        parts = {"crop": picture, "image": image, "pasted": contract.paste(frame.copy(), face, image, args.model)}
        parts.update({f"tensor-{name}": tensor[0] for name, tensor in tensors.items()})
        for name, part in parts.items():
            found.setdefault(name, []).append(part)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, parts in found.items():
        np.save(args.out / f"{name}.npy", np.stack(parts))
    np.save(args.out / "rows.npy", rows)


def frames(file):
    if file.suffix == ".npy":
        yield from np.load(file)
        return
    video = cv2.VideoCapture(str(file))
    while True:
        there, frame = video.read()
        if not there:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
