# SPDX-License-Identifier: MPL-2.0
"""What a dubbed file must be."""

import dataclasses
import json
import re
import subprocess

from make import SHORT

GRID = 24  # places across and down at which colours are compared


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)


def frame(file, filters, time, *output):
    """The first frame from `time` on, as a player shows it."""
    filters = f"{filters},select=gte(t\\,{time - 0.002})"
    return run("ffmpeg", "-nostdin", "-v", "error", "-i", file, "-vf", ",".join([filters, *output[:1]]), "-frames:v", "1", *output[1:], "-").stdout


def shape(file, filters):
    """Width, height and the shape of a pixel."""
    said = frame(file, filters, 0, "null", "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe")[:200]
    found = re.match(rb"YUV4MPEG2 W(\d+) H(\d+) .*?A(\d+):(\d+)", said)
    if not found:
        return None
    width, height, a, b = map(int, found.groups())
    return width, height, round((a or 1) / (b or 1), 3)


def colours(file, filters, time):
    return frame(file, filters, time, f"scale={GRID}:{GRID}:flags=area,format=rgb24", "-f", "rawvideo")


def combed(file):
    """The share of frames that look interlaced."""
    said = run("ffmpeg", "-nostdin", "-i", file, "-vf", "idet", "-an", "-f", "null", "-").stderr.decode()
    counts = re.findall(r"Multi frame detection: TFF: *(\d+) BFF: *(\d+) Progressive: *(\d+)", said)[-1]
    tff, bff, progressive = map(int, counts)
    return (tff + bff) / max(1, tff + bff + progressive)


@dataclasses.dataclass
class Whole:
    """A whole file, that shows the face for as long as it speaks.

    Numbers are None where they are not checked."""

    seconds: float = SHORT  # how long it speaks
    length: float = 0.03  # s by which that may differ
    rate: float = 25  # frames a second
    looks: str = "null"  # what a filter of ffmpeg makes of the face is what is to be seen
    start: float = 0  # s of the face before the first frame
    still: bool = False  # only the face's first frame is seen
    colour: float = 4.5  # levels of 255 by which the colours differ, at most, in the mean
    face: bool = True  # whether one is found
    changes: bool = False  # is another picture later on
    moves: bool = False  # fast enough to see whether it is combed

    def check(self, out, said, face):
        """Returns what is wrong with it, and a description."""
        wrong, facts = [], []
        told = json.loads(run("ffprobe", "-v", "error", "-show_streams", "-count_packets", "-of", "json", out).stdout or "{}")
        streams = {stream["codec_type"]: stream for stream in told.get("streams", [])}
        if [stream["codec_name"] for stream in told.get("streams", [])] != ["h264", "aac"]:
            return ["not one H.264 and one AAC stream"], facts
        picture, sound = streams["video"], streams["audio"]
        damage = run("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", out, "-vsync", "passthrough", "-f", "framemd5", "-").stderr
        if damage:
            wrong.append(f"does not decode: {damage.decode(errors='replace').splitlines()[0]}")

        seen, heard, count = float(picture["duration"]), float(sound["duration"]), int(picture["nb_read_packets"])
        facts.append(f"{count} frames, {seen:.2f} s, sound {heard:.2f} s")
        a_frame = 1 / self.rate if self.rate else 0.1
        if self.seconds is not None and abs(heard - self.seconds) > self.length + 0.001:
            wrong.append(f"the sound lasts {heard:.3f} s, not {self.seconds:.3f} s")
        if abs(seen - heard) > a_frame + 0.03:
            wrong.append(f"the picture lasts {seen:.3f} s, the sound {heard:.3f} s")
        if self.rate and abs(count - seen * self.rate) > 1.01:
            wrong.append(f"{count} frames, not {seen * self.rate:.1f}")

        if self.face is not None and self.face == ("no face was found" in said):
            wrong.append(f"face {'not' if self.face else ''} found")
        if self.looks is not None:
            width, height, pixel = shape(face, self.looks)
            expected, found = (width - width % 2, height - height % 2, pixel), shape(out, "null")
            facts.insert(0, "{}×{}".format(*(found or "??")))
            if found != expected:
                wrong.append(f"size {found}, not {expected}")
            for time in (0, 0.6) if seen > 0.7 and not self.changes else (0,):
                a, b = colours(out, "null", time), colours(face, self.looks, 0 if self.still else self.start + time)
                far = sum(abs(x - y) for x, y in zip(a, b)) / max(1, len(b)) if len(a) == len(b) else 255
                facts.append(f"colours {far:.1f}")
                if not far <= self.colour:
                    wrong.append(f"looks different at {time} s, by {far:.1f}")
        if self.moves:
            share = combed(out)
            facts.append(f"{share:.0%} combed")
            if share > 0.05:
                wrong.append("combed")
        return wrong, facts
