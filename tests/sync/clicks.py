# SPDX-License-Identifier: MPL-2.0
"""clicks.py FILE.wav [NUMBER]: faint noise with clicks in it, about one a second at uneven distances, so that none can be taken for another."""

import array
import math
import random
import sys
import wave

RATE = 48000
WIDTH = 0.004  # of a click, seconds
TONE = 3000  # Hz: where codecs keep what they get
NOISE = 600  # of 32768: above what audiofeatures takes for silence, in which nothing is generated


def main(file, number=64):
    spacing = random.Random(1)
    times = [0.5]
    while len(times) < int(number):
        times.append(times[-1] + spacing.uniform(0.7, 1.3))
    samples = array.array("h", (spacing.randint(-NOISE, NOISE) for _ in range(round((times[-1] + 1) * RATE))))
    for time in times:
        first, length = round((time - WIDTH / 2) * RATE), round(WIDTH * RATE)
        for k in range(length):
            window = math.sin(math.pi * k / length) ** 2
            samples[first + k] = round(30000 * window * math.sin(2 * math.pi * TONE * k / RATE))
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(samples.tobytes())


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
