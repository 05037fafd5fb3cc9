#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Called by benches/scale.sh: what the default model's pipeline costs with longer streams, larger frames, more faces, more streams at once.

    scale.py VIDEO VOICE PLOT.svg [length|size|faces|streams …]

A few frames of VIDEO, with the face 200 px wide, are held in memory by avatarloop and repeated; nothing is encoded. Every cost is the difference
of two runs of different length, so that start-up and decoding are not in it, and a median of three such pairs.
"""
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Run

FPS = 25
LENGTHS = [1, 2, 5, 15, 60]  # minutes
SIZES = [(640, 360), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160)]
FACES = [1, 2, 3, 4]
STREAMS = [1, 2, 4, 8]
SECONDS = (20, 60)
PAIRS = 3
KEPT = 32  # frames


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


class Material:
    def __init__(self, video, voice, work):
        self.video, self.voice, self.work = video, voice, Path(work)

    def sound(self, seconds):
        file = self.work / f"{seconds}.wav"
        if not file.exists():
            ffmpeg("-stream_loop", -1, "-i", self.voice, "-t", seconds, "-ac", 1, "-ar", 16000, file)
        return file

    def frames(self, width, height, faces=1):
        """A clip of that size with so many faces: squares of 300 px side by side, upside down where there shall be none."""
        file = self.work / f"{width}x{height}-{faces}.mp4"
        if not file.exists():
            places = 1 if faces == 1 and width < 1200 else 4
            square = "scale=300:300:force_original_aspect_ratio=increase,crop=300:300"
            parts = "".join(f"[v{k}]{'' if k < faces else 'vflip,'}null[p{k}];" for k in range(places))
            row = "".join(f"[p{k}]" for k in range(places)) + (f"hstack=inputs={places}," if places > 1 else "")
            split = f"split={places}" + "".join(f"[v{k}]" for k in range(places))
            graph = f"[0]{square},{split};{parts}{row}pad={width}:{height}:-1:-1:gray,format=yuv420p"
            ffmpeg("-i", self.video, "-frames:v", KEPT, "-filter_complex", graph, "-c:v", "libx264", "-preset", "ultrafast", "-qp", 0, file)
        return file


def pipeline(video, sound, name, select="largest"):
    return f"""filesrc location={video} ! decodebin ! avatarloop mode=pingpong ! queue ! facecrop face-select={select}
        ! queue max-size-buffers=16 max-size-bytes=0 max-size-time=0 ! lipsyncgen name={name} on-audio-end=eos ! facepaste ! fakesink
        filesrc location={sound} ! wavparse ! audioconvert ! audioresample ! queue ! audiofeatures ! {name}.features"""


def launch(*pipelines):
    return Run(["gst-launch-1.0", "-q", *" ".join(pipelines).split()])


def cost(make, streams=1):
    """Of the pipelines `make(seconds)`: CPU ms a frame, frames/s of all of them, and the longer run's memory."""
    pairs = [[launch(*make(seconds)) for seconds in SECONDS] for _ in range(PAIRS)]
    frames = (SECONDS[1] - SECONDS[0]) * FPS * streams
    return (
        statistics.median((b.cpu - a.cpu) / frames for a, b in pairs) * 1e3,
        frames / statistics.median(b.wall - a.wall for a, b in pairs),
        statistics.median(b.memory for _, b in pairs),
    )


def by_length(material):
    """Minutes: CPU seconds a minute, minutes a minute, without start-up."""
    clip = material.frames(1280, 720)
    starts = [launch(pipeline(clip, material.sound(1), "g")) for _ in range(PAIRS)]
    cpu, wall = (statistics.median(getattr(run, key) for run in starts) for key in ("cpu", "wall"))
    for minutes in LENGTHS:
        run = launch(pipeline(clip, material.sound(60 * minutes), "g"))
        yield minutes, (run.cpu - cpu) / minutes, 60 * FPS * minutes / (run.wall - wall), run.memory


def by_size(material):
    for width, height in SIZES:
        clip = material.frames(width, height)
        yield height, *cost(lambda seconds: [pipeline(clip, material.sound(seconds), "g")])


def by_faces(material):
    for faces in FACES:
        clip = material.frames(1920, 1080, faces)
        yield faces, *cost(lambda seconds: [pipeline(clip, material.sound(seconds), "g", "all")])


def by_streams(material):
    clip = material.frames(1280, 720)
    for streams in STREAMS:
        yield streams, *cost(lambda seconds: [pipeline(clip, material.sound(seconds), f"g{k}") for k in range(streams)], streams)


# By what, how, what x is, and what the first number of a row is.
SERIES = {
    "length": (by_length, "stream, minutes", "CPU s a minute of stream"),
    "size": (by_size, "lines of the frame", "CPU ms a frame"),
    "faces": (by_faces, "faces in a frame of 1080 lines", "CPU ms a frame"),
    "streams": (by_streams, "streams in one process", "CPU ms a frame"),
}


def main():
    video, voice, plot, *chosen = sys.argv[1:]
    results = {}
    with tempfile.TemporaryDirectory() as work:
        material = Material(video, voice, work)
        for name in chosen or SERIES:
            measure, across, unit = SERIES[name]
            print(f"| {across} | {unit} | frames/s | peak memory, MB |\n|---|---|---|---|", flush=True)
            results[name] = []
            for row in measure(material):
                results[name].append(row)
                print("| {} | {:.2f} | {:.0f} | {:.0f} |".format(*row), flush=True)
            print()
    draw(results, plot)


def draw(results, file):
    """A panel for each: the cost, and on the right the memory; of several streams their speed instead of the cost."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(results), figsize=(4.2 * len(results), 3.4), squeeze=False, layout="constrained")
    for panel, (name, rows) in zip(panels[0], results.items()):
        _, across, unit = SERIES[name]
        x, costs, speeds, memories = zip(*rows)
        for axes, values, text, style in (
            (panel, speeds if name == "streams" else costs, "frames/s of all" if name == "streams" else unit, ("o-", "tab:blue")),
            (panel.twinx(), memories, "peak memory, MB", ("s--", "tab:gray")),
        ):
            axes.plot(x, values, style[0], color=style[1])
            axes.set_ylabel(text, color=style[1])
            axes.set_ylim(0, 1.25 * max(values))
        panel.set(xlabel=across, xticks=x)
    figure.savefig(file, metadata={"Date": None})


main()
