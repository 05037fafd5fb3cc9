#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Makes a smaller and faster version of a model: 8-bit integers (for CPUs) or half precision (for graphics cards), in a new folder.

    quantize.py MODEL OUT --crops FOLDER_OR_VIDEO [--int8 | --half] [--sound WAV]     pictures, or a video, of what facecrop cuts out
    quantize.py MODEL OUT --video VIDEO …                                             finds the face in a video itself, roughly

Integers are calibrated on the tensors that the manifest makes of these crops, and of WAV where it is given (else of noise, which hears
worse). The report compares the new graph with the old one on other crops: PSNR of the pictures, and speed, both in this run on one thread.
"""

import argparse
import copy
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import graphs
import librosa
import numpy as np
import onnx
import sound
import tensors
import upsampling

MEASURED = 8  # crops for the report, never among those for calibration


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--int8", action="store_true", help="the default")
    what.add_argument("--half", action="store_true")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--crops", type=Path)
    source.add_argument("--video", type=Path)
    parser.add_argument("--sound", type=Path)
    parser.add_argument("--count", type=int, default=40, help="crops for calibration (40)")
    parser.add_argument("--graph", help="which of several graphs (default: all)")
    parser.add_argument("--keep", type=int, default=1, help="last convolutions that stay as they are (1); their errors are seen at once")
    parser.add_argument("--full-range", action="store_true", help="weights of 8 bits, not 7: on x86 without VNNI sums of products then saturate")
    args = parser.parse_args()

    manifest = tensors.manifest(args.model)
    files = list(dict.fromkeys(tensors.first(graph["file"]) for graph in manifest["lipsyncgen"]["graph"]))
    chosen = [args.graph] if args.graph else files
    if not set(chosen) <= set(files):
        parser.error(f"{args.model} has the graphs {', '.join(files)}")
    frames = (crops(args.crops, manifest) if args.crops else faces(args.video, manifest))[: 10 * (args.count + MEASURED)]
    if len(frames) < 2 * MEASURED:
        raise SystemExit(f"{len(frames)} crops are too few; {2 * MEASURED} are needed")
    picked = [frames[k] for k in np.linspace(0, len(frames) - 1, min(len(frames), args.count + MEASURED)).astype(int)]
    every = max(2, len(picked) // MEASURED)
    measured = picked[1::every][:MEASURED]
    calibrated = [crop for k, crop in enumerate(picked) if k % every != 1]
    rows, rate = features(args, manifest)

    word = "fp16" if args.half else "int8"
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    feeds = watched(args.model, calibrated, frames[0], rows, rate)
    replaced = {}
    for file in chosen:
        new = out / f"{Path(file).stem}.{word}.onnx"
        if args.half:
            half(args.model / file, new)
        else:
            integers(args.model / file, new, feeds[file], args.keep, args.full_range)
        replaced[file] = new
    copy_rest(args.model, out, manifest, replaced, word)
    report(args.model, replaced, measured, frames[0], rows, rate)


def crops(path, manifest):
    """Pictures of a folder, or a video's frames, at the crop's size."""
    size = tuple(manifest["facecrop"]["size"])
    if path.is_dir():
        found = [cv2.imread(str(file)) for file in sorted(path.iterdir())]
        found = [picture for picture in found if picture is not None]
    else:
        found = list(video(path))
    return [cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB) for picture in found]


def faces(path, manifest):
    """Crops from a video with OpenCV's own detector. It knows no landmarks, so the crop is only near what the manifest's rule cuts."""
    detector = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    section = manifest["facecrop"]
    found, box = [], None
    for frame in video(path):
        boxes = detector.detectMultiScale(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), 1.2, 5, minSize=(60, 60))
        if len(boxes):
            x, y, width, height = max(boxes, key=lambda b: b[2])
            box = x + 0.1 * width, y + 0.15 * height, x + 0.9 * width, y + 1.05 * height
        if box is None:
            continue
        sides = tensors.rectangle(section, box, None) if section["rule"] == "box" else box
        found.append(tensors.crop(frame[:, :, ::-1], sides, section))
    if not found:
        raise SystemExit(f"no face found in {path}; give --crops")
    return found


def video(path):
    capture = cv2.VideoCapture(str(path))
    there, frame = capture.read()
    if not there:
        raise SystemExit(f"{path}: cannot be read")
    while there:
        yield frame
        there, frame = capture.read()


def features(args, manifest):
    """Rows for the whole of the calibration, and how many there are a second."""
    section = manifest["audiofeatures"]
    rate = section["rate"] if section["kind"] == "encoder" else section["sample-rate"] / section.get("hop-length", 160)
    if args.sound:
        voice = librosa.load(args.sound, sr=section["sample-rate"])[0]
    else:
        rng = np.random.default_rng(1)
        count = 10 * section["sample-rate"]
        voice = rng.standard_normal(count) * 0.1 * np.abs(np.sin(np.arange(count) * 12 / section["sample-rate"]))
    return sound.rows(voice.astype(np.float32), section, args.model), rate


def watched(model, pictures, reference, rows, rate):
    """What each graph is given: {file: [{input: tensor}]}."""
    feeds = {}
    generator = tensors.Generator(model, watch=lambda file, feed: feeds.setdefault(file, []).append(feed))
    for k, picture in enumerate(pictures):
        generator(picture, rows, moment(k, rows, rate), rate, reference)
    return feeds


def moment(k, rows, rate):
    """Moments all over the sound, in an order that repeats none early."""
    return (k * 0.618) % 1 * len(rows) / rate


def integers(file, new, feeds, keep, full_range):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = iter(feeds)

        def get_next(self):
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as place:
        ready = Path(place) / "ready.onnx"
        quant_pre_process(str(file), str(ready), skip_symbolic_shape=True)
        graph = onnx.load(ready)
        convolutions = [node.name for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose")]
        last = convolutions[-keep:] if keep else []
        upsampling.replace(graph, last)
        graphs.save(graph, ready)
        # Dense layers on single vectors (Gemm) cost nothing and stay as they are: the sound passes through them.
        quantize_static(
            str(ready), str(new), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, nodes_to_exclude=last,
            # The latter ones only so that nothing becomes floats on its way from one convolution to the next.
            op_types_to_quantize=["Conv", "MatMul", "Relu", "Concat", "Resize", "Reshape", "Transpose"],
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
            reduce_range=not full_range,
        )  # fmt: skip


def half(file, new):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    graph = onnx.load(file)
    # Between single-precision tensors; what overflows in half precision stays single.
    converted = convert_float_to_float16(copy.deepcopy(graph), keep_io_types=True, op_block_list=["Resize", "GridSample", "LayerNormalization"])
    graphs.save(converted, new)


def copy_rest(model, out, manifest, replaced, word):
    """The new manifest, and every other file that it names."""
    text = (model / "model.toml").read_text(encoding="utf-8")
    lines = []
    for line in text.splitlines(keepends=True):
        for file, new in replaced.items():
            if line.startswith("file = ") and f'"{file}"' in line:
                line = f'file = "{new.name}"\n'
        lines.append(line)
    text = "".join(lines).replace(f'name = "{manifest["name"]}"', f'name = "{manifest["name"]}-{word}"', 1)
    (out / "model.toml").write_text(text, encoding="utf-8")
    for file in model.iterdir():
        if file.name != "model.toml" and f'"{file.name}"' in text and file.resolve() != (out / file.name).resolve():
            shutil.copy2(file, out / file.name)
            if (model / f"{file.name}.data").exists():
                shutil.copy2(model / f"{file.name}.data", out)


def report(model, replaced, pictures, reference, rows, rate):
    old, new = tensors.Generator(model), tensors.Generator(model, replaced=replaced)
    errors, against, times = [], [], ([], [])
    low, high = old.manifest["lipsyncgen"]["output"]["range"]
    for k, picture in enumerate(pictures):
        results = []
        for generator, spent in zip((old, new), times):
            generator(picture, rows, moment(k + 0.5, rows, rate), rate, reference)
            start = time.process_time()
            results.append(generator(picture, rows, moment(k + 0.5, rows, rate), rate, reference))
            spent.append(time.process_time() - start)
        # Before they are rounded to bytes, which would count as an error of its own.
        errors.append(np.mean(((results[0] - results[1]) / (high - low) * 255) ** 2))
        against.append(np.mean((old.image(results[0]).astype(float) - picture) ** 2))
    psnr = 10 * np.log10(255**2 / max(np.mean(errors), 1e-9))
    share = 10 * np.log10(np.mean(against) / max(np.mean(errors), 1e-9))
    size = [sum(file.stat().st_size for file in files) / 1e6 for files in ([model / f for f in replaced], replaced.values())]
    ratio = statistics.median(a / b for a, b in zip(*times))
    print(f"PSNR against single precision {psnr:.1f} dB on {len(pictures)} crops; the error is {share:.1f} dB below what the network changes")
    before, after = (1e3 * statistics.median(spent) for spent in times)
    print(f"{before:.1f} ms a frame → {after:.1f} ms, {ratio:.2f} times as fast (CPU time, one thread)")
    print(f"{size[0]:.1f} MB → {size[1]:.1f} MB")
    if psnr < 35:
        print("below 35 dB: more crops, --keep with a larger number, or --graph for one graph of several may help", file=sys.stderr)


if __name__ == "__main__":
    main()
