#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Called by benches/compare.sh: our pipeline, the graph alone, and the usual Python flow, in turns on the same video, voice and graph.

    compare.py MODEL INT8_MODEL VIDEO X,Y,W,H VOICE SECONDS [ROUNDS]
"""
import statistics
import sys
import tempfile
from pathlib import Path

from measure import BATCH, DEVICE, Run, first_byte

HERE = Path(__file__).resolve().parent
FPS = 25


def pipeline(model, video, box, voice, out):
    """That of pipelines/dub.sh, for a video that is as long as the voice; the face's box is given, as it is to the others."""
    return f"""gst-launch-1.0 -q
        filesrc location={video} ! decodebin ! videoconvert ! video/x-raw,format=I420 ! queue
        ! facecrop region={box}
        ! lipsyncgen name=lips model={model} device={DEVICE} batch-size={BATCH} on-audio-end=eos
        ! facepaste ! queue
        ! x264enc speed-preset=veryfast pass=qual quantizer=18 bitrate=50000 vbv-buf-capacity=1000 ! h264parse
        ! mp4mux name=mux ! filesink location={out}
        filesrc location={voice} ! wavparse ! tee name=sound
        sound. ! queue ! audioconvert ! audioresample ! audiofeatures ! lips.features
        sound. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! audioconvert ! audioresample
        ! avenc_aac bitrate=160000 ! aacparse ! mux.""".split()


def beginning(model, video, box, voice):
    """Prints the first frames."""
    return f"""gst-launch-1.0 -q
        filesrc location={video} ! decodebin ! queue ! facecrop region={box} ! lipsyncgen name=lips model={model} device={DEVICE} batch-size={BATCH} ! facepaste ! fdsink
        filesrc location={voice} ! wavparse ! queue ! audioconvert ! audioresample ! audiofeatures ! lips.features""".split()


def main():
    model, small, video, box, voice, seconds = sys.argv[1:7]
    rounds = int(sys.argv[7]) if len(sys.argv) > 7 else 5
    frames = round(float(seconds) * FPS)
    python = [sys.executable]
    graph = next(Path(model).glob("*.onnx"))
    with tempfile.TemporaryDirectory() as work:
        flow = lambda kind: [*python, HERE / "flow.py", model, kind, box, video, voice, f"{work}/{kind}.mp4"]  # noqa: E731
        ways = {
            "Python flow, PyTorch": flow("torch"),
            "Python flow, ONNX Runtime": flow("ort"),
            "this pipeline": pipeline(model, video, box, voice, f"{work}/own.mp4"),
            "this pipeline, int8": pipeline(small, video, box, voice, f"{work}/small.mp4"),
            "ONNX Runtime, the graph alone": [*python, HERE / "bare.py", graph, frames],
        }
        runs, begun = {name: [] for name in ways}, []
        for _ in range(rounds):
            for name, command in ways.items():
                runs[name].append(Run(command))
                print(f"{name}: {runs[name][-1].wall:.2f} s", file=sys.stderr, flush=True)
            begun.append(first_byte(beginning(model, video, box, voice)))
    print(f"{frames} frames in batches of {BATCH}, medians of {rounds} rounds; process start to end, so the file is there\n")
    print("| | seconds | frames/s | CPU seconds | peak memory, MB | of it in the network |")
    print("|---|---|---|---|---|---|")

    def median(name, value):
        return statistics.median(value(run) for run in runs[name])

    def ratio(of, to, value):
        return statistics.median(value(a) / value(b) for a, b in zip(runs[of], runs[to]))

    for name, done in runs.items():
        alone = [float(run.said.split()[-1]) / run.wall for run in done if "this" not in name]
        share = f"{statistics.median(alone):.0%}" if alone else ""
        wall, cpu, memory = (median(name, lambda run: getattr(run, key)) for key in ("wall", "cpu", "memory"))
        print(f"| {name} | {wall:.2f} | {frames / wall:.1f} | {cpu:.1f} | {memory:.0f} | {share} |")
    print()
    torch, ort, ours, *_ = runs
    for text, of, to, value in (
        ("the PyTorch flow takes {:.2f} times as long", torch, ours, lambda run: run.wall),
        ("the PyTorch flow takes {:.2f} times as long as int8", torch, f"{ours}, int8", lambda run: run.wall),
        ("the ONNX Runtime flow takes {:.2f} times as long", ort, ours, lambda run: run.wall),
        ("memory is {:.2f} of the PyTorch flow's", ours, torch, lambda run: run.memory),
        ("memory is {:.2f} of the ONNX Runtime flow's", ours, ort, lambda run: run.memory),
    ):
        print("-", text.format(ratio(of, to, value)))
    alone = [float(run.said.split()[0]) for run in runs["ONNX Runtime, the graph alone"]]
    print(
        f"- from process start to the first frame {statistics.median(begun):.2f} s, {statistics.median(a / b for a, b in zip(begun, alone)):.2f} "
        f"times what ONNX Runtime needs to load the graph and run it once ({statistics.median(alone):.2f} s)"
    )


main()
