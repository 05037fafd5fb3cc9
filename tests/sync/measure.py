# SPDX-License-Identifier: MPL-2.0
"""measure.py FILE [PAIRS]: how far the clicks in FILE's sound are from the flashes of its picture, which the model flash/ made of them.

Fails where fewer than PAIRS (default: 50) are found, where their mean is more than 10 ms, or where they differ by more than a frame, 40 ms."""

import array
import json
import math
import statistics
import subprocess
import sys

BLOCK = 0.001  # s of sound that one value of the energy is made of
COLUMNS, ROWS = 16, 9  # of the picture while a place in it is sought that flashes
LIMIT, SPREAD = 0.010, 0.040  # s


def clicks(energies):
    """energies: (time, energy) of short blocks of sound. A click is where it is loudest, to a part of a block."""
    loud = 0.1 * max((energy for _, energy in energies), default=0)
    found, k = [], 0
    while k < len(energies):
        if energies[k][1] > loud:
            near = [(t, e) for t, e in energies[max(0, k - 20):k + 20] if abs(t - energies[k][0]) < 0.010]
            found.append(sum(t * e for t, e in near) / sum(e for _, e in near))
            while k < len(energies) and energies[k][0] < found[-1] + 0.2:
                k += 1
        k += 1
    return found


def flashes(frames):
    """frames: (time when it is first seen, brightness). A click lights the two frames whose middles it is between in shares of cos² and sin²
    of its way from one to the other."""
    if len(frames) < 3:
        return []
    dark = statistics.median(brightness for _, brightness in frames)
    light = [max(0.0, brightness - dark) for _, brightness in frames]
    enough = 0.3 * max(light)
    half = statistics.median(b - a for (a, _), (b, _) in zip(frames, frames[1:])) / 2
    found, k = [], 0
    while k + 2 < len(frames):
        if light[k] + light[k + 1] > enough:
            if light[k + 1] + light[k + 2] > light[k] + light[k + 1]:
                k += 1
            way = math.atan2(math.sqrt(light[k + 1]), math.sqrt(light[k])) / (math.pi / 2)
            here, next_one = frames[k][0], frames[k + 1][0]
            found.append(here + half + way * (next_one - here))
            k += 3
        k += 1
    return found


def report(energies, frames, least, limit=LIMIT):
    """Prints each pair, how much later the sound is, and what they have in common. Returns whether that is good enough."""
    heard, seen = clicks(energies), flashes(frames)
    skews = []
    for click in heard:
        flash = min(seen, key=lambda t: abs(t - click), default=math.inf)
        if abs(flash - click) < 0.35:
            skews.append(click - flash)
            print(f"click {click:9.3f} s  flash {flash:9.3f} s  sound later by {1000 * skews[-1]:6.1f} ms")
    print(f"{len(heard)} clicks, {len(seen)} flashes, {len(skews)} pairs")
    if len(skews) < max(2, least):
        return False
    mean, spread = statistics.mean(skews), max(skews) - min(skews)
    print(
        f"sound later by {1000 * mean:.1f} ms in the mean; standard deviation {1000 * statistics.stdev(skews):.1f} ms,"
        f" least {1000 * min(skews):.1f}, most {1000 * max(skews):.1f}, spread {1000 * spread:.1f} ms"
    )
    return abs(mean) <= limit and spread <= SPREAD


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"{command[0]} failed (see above)")
    return done.stdout


def frames_of(file, stream, *entries):
    """What the decoder says of each frame of a stream."""
    said = run("ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", f"frame={','.join(entries)}", "-of", "json", file)
    return json.loads(said)["frames"]


def sound(file):
    """(time, energy) of blocks. Every decoded frame is where its own time says, so that gaps count."""
    rate = run("ffprobe", "-v", "error", "-select_streams", "a:0", "-show_entries", "stream=sample_rate", "-of", "csv=p=0", file).split()
    if not rate:
        sys.exit(f"{file}: there is no sound in it")
    rate = int(rate[0])
    samples = array.array("h", run("ffmpeg", "-v", "error", "-i", file, "-map", "0:a:0", "-ac", "1", "-f", "s16le", "-"))
    energies, at, size = [], 0, round(BLOCK * rate)
    for frame in frames_of(file, "a:0", "pts_time", "nb_samples"):
        start, count = float(frame["pts_time"]), int(frame["nb_samples"])
        for k in range(0, count, size):
            block = samples[at + k:at + min(k + size, count)]
            energies.append((start + (k + len(block) / 2) / rate, sum(s * s for s in block)))
        at += count
    if at != len(samples):
        sys.exit(f"{file}: {at} samples have a time, {len(samples)} were decoded")
    return energies


def picture(file):
    """(time, brightness) of each frame, at the place that changes most from one to the next."""
    times = [float(frame["pts_time"]) for frame in frames_of(file, "v:0", "pts_time")]
    scale = f"scale={COLUMNS}:{ROWS}:flags=area"
    raw = ("-fps_mode", "passthrough", "-vf", scale, "-pix_fmt", "gray", "-f", "rawvideo", "-")
    grey = run("ffmpeg", "-v", "error", "-i", file, "-map", "0:v:0", *raw)
    size = COLUMNS * ROWS
    if len(grey) != size * len(times):
        sys.exit(f"{file}: {len(times)} frames have a time, {len(grey) / size} were decoded")
    places = (grey[place::size] for place in range(size))
    return list(zip(times, max(places, key=lambda values: sum((a - b) ** 2 for a, b in zip(values, values[1:])))))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    good = report(sound(sys.argv[1]), picture(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 50)
    sys.exit(0 if good else "the sound and the picture do not belong together")
