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


def cost(make):
    """Of `make(seconds)`: CPU and wall seconds per second of stream, and the longer run's memory."""
    pairs = [[launch(*make(seconds)) for seconds in SECONDS] for _ in range(PAIRS)]
    length = SECONDS[1] - SECONDS[0]
    return (
        statistics.median((b.cpu - a.cpu) / length for a, b in pairs),
        statistics.median((b.wall - a.wall) / length for a, b in pairs),
        statistics.median(b.memory for _, b in pairs),
    )


def by_length(material):
    """Minutes → CPU seconds without start-up, memory."""
    clip = material.frames(1280, 720)
    start = statistics.median(launch(pipeline(clip, material.sound(1), "g")).cpu for _ in range(PAIRS))
    for minutes in LENGTHS:
        run = launch(pipeline(clip, material.sound(60 * minutes), "g"))
        yield minutes, run.cpu - start, run.memory


def main():
    video, voice, plot, *chosen = sys.argv[1:]
    results = {}
    with tempfile.TemporaryDirectory() as work:
        material = Material(video, voice, work)

        def wanted(name):
            return not chosen or name in chosen

        if wanted("size"):
            print("frame: CPU ms a frame, frames/s, peak MB", flush=True)
            results["size"] = []
            for width, height in SIZES:
                clip = material.frames(width, height)
                cpu, wall, memory = cost(lambda s: [pipeline(clip, material.sound(s), "g")])
                results["size"].append((height, cpu * 1e3 / FPS, FPS / wall, memory))
                print(f"  {width}x{height}: {cpu * 1e3 / FPS:.2f}, {FPS / wall:.0f}, {memory:.0f}", flush=True)
        if wanted("faces"):
            print("faces in 1920x1080: CPU ms a frame, frames/s, peak MB", flush=True)
            results["faces"] = []
            for faces in FACES:
                clip = material.frames(1920, 1080, faces)
                cpu, wall, memory = cost(lambda s: [pipeline(clip, material.sound(s), "g", "all")])
                results["faces"].append((faces, cpu * 1e3 / FPS, FPS / wall, memory))
                print(f"  {faces}: {cpu * 1e3 / FPS:.2f}, {FPS / wall:.0f}, {memory:.0f}", flush=True)
        if wanted("streams"):
            print("streams of 1280x720 in one process: CPU ms a frame, frames/s of all, peak MB", flush=True)
            results["streams"] = []
            clip = material.frames(1280, 720)
            for streams in STREAMS:
                make = lambda s: [pipeline(clip, material.sound(s), f"g{k}") for k in range(streams)]  # noqa: E731
                cpu, wall, memory = cost(make)
                results["streams"].append((streams, cpu * 1e3 / FPS / streams, FPS * streams / wall, memory))
                print(f"  {streams}: {cpu * 1e3 / FPS / streams:.2f}, {FPS * streams / wall:.0f}, {memory:.0f}", flush=True)
        if wanted("length"):
            print("minutes: CPU seconds without start-up, a minute's, peak MB", flush=True)
            results["length"] = []
            for minutes, cpu, memory in by_length(material):
                results["length"].append((minutes, cpu, cpu / minutes, memory))
                print(f"  {minutes}: {cpu:.1f}, {cpu / minutes:.2f}, {memory:.0f}", flush=True)
    draw(results, plot)


AXES = {
    "length": ("stream, minutes", "CPU seconds a minute of stream", 2),
    "size": ("lines of the frame", "CPU ms a frame", 1),
    "faces": ("faces in the frame (1080 lines)", "CPU ms a frame", 1),
    "streams": ("streams in one process", "frames/s of all", 2),
}


def draw(results, file):
    """A panel for each: the cost, and on the right the memory."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(results), figsize=(4.2 * len(results), 3.4), squeeze=False, layout="constrained")
    for panel, (name, rows) in zip(panels[0], results.items()):
        x = [row[0] for row in rows]
        across, up, column = AXES[name]
        panel.plot(x, [row[column] for row in rows], "o-", color="tab:blue")
        panel.set(xlabel=across, ylabel=up, xticks=x, ylim=(0, 1.25 * max(row[column] for row in rows)))
        panel.yaxis.label.set_color("tab:blue")
        memory = panel.twinx()
        memory.plot(x, [row[3] for row in rows], "s--", color="tab:gray")
        memory.set(ylabel="peak memory, MB", ylim=(0, 1.25 * max(row[3] for row in rows)))
        memory.yaxis.label.set_color("tab:gray")
    figure.savefig(file, metadata={"Date": None})


main()
