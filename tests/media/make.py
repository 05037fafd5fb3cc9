# SPDX-License-Identifier: MPL-2.0
"""Media that ffmpeg and sox do not make: each function returns one that writes the file `it` of `face` and `voice`, in the present folder."""

import array
import os
import random
import shutil
import struct
import subprocess
import wave

SHORT = 1.3  # s of voice that the videos speak
# Marks that tell which way up it is, whether it is mirrored, and red from blue.
MARKS = "drawbox=0:0:iw/6:ih/10:red:fill,drawbox=0:ih*9/10:iw/10:ih/10:blue:fill"


class Missing(Exception):
    """What a case needs and this machine has not."""


class Inside:
    """Made by `line`; dub.sh runs as root of a namespace of its own, after `first`."""

    def __init__(self, line, first):
        self.line, self.first = line, first


def shell(line, **names):
    """Runs a line in which `names` are variables."""
    prelude = 'set -o pipefail; ffmpeg() { command ffmpeg -nostdin -v error -y "$@"; }\n'
    program = line.split(maxsplit=1)[0]
    if program in ("sox", "ffmpeg") and not shutil.which(program):
        raise Missing(program)
    subprocess.run(["bash", "-euc", prelude + line], env=os.environ | names, check=True)


def sources(face, voice):
    """face.mp4 and voice.wav of the present folder, of which all others are made."""
    shell('ffmpeg -i "$face" -an -vf "$marks" -c:v libx264 -crf 8 -bf 0 -preset veryfast face.mp4', face=face, marks=MARKS)
    shell('ffmpeg -ss 0.5 -t "$long" -i "$voice" -ar 16000 -ac 1 -c:a pcm_s16le voice.wav', voice=voice, long=str(SHORT))


def read(file):
    with open(file, "rb") as f:
        return bytearray(f.read())


def write(file, content):
    with open(file, "wb") as f:
        f.write(content)


def copied(face, name):
    shell('ffmpeg -t 1 -i "$face" -c copy "$name"', face=face, name=name)
    return read(name)


def matrix(filters, a, b, c, d):
    """An MP4 whose track header turns the picture: x' = a·x + c·y, y' = b·x + d·y."""
    def made(it, face, voice):
        shell('ffmpeg -t 1 -i "$face" -vf "$filters" -c:v libx264 -preset veryfast -crf 12 "$it"', face=face, it=it, filters=filters)
        mp4 = read(it)
        at = mp4.index(b"tkhd") + 44  # version and flags, times, layer, volume: ISO 14496-12, 8.3.2
        values = [a, b, 0, c, d, 0, 0, 0, 16384]
        struct.pack_into(">9i", mp4, at, *(round(v * 65536) for v in values))
        write(it, mp4)
    return made


def wrong_duration(it, face, voice):
    """The headers of the movie, of the track and of its media say 1000 s; the samples are as they were."""
    mp4 = copied(face, it)
    for box, scale_at, at in ((b"mvhd", 16, 20), (b"mdhd", 16, 20)):
        start = mp4.index(box)
        scale = struct.unpack_from(">I", mp4, start + scale_at)[0]
        struct.pack_into(">I", mp4, start + at, 1000 * scale)
        if box == b"mvhd":
            struct.pack_into(">I", mp4, mp4.index(b"tkhd") + 24, 1000 * scale)
            edits = mp4.find(b"elst")
            if edits >= 0:
                struct.pack_into(">I", mp4, edits + 12, 1000 * scale)
    write(it, mp4)


def wrong_rate(it, face, voice):
    """An AVI of 25 frames a second whose headers say 100. Nothing else in it tells."""
    shell('ffmpeg -t 1 -i "$face" -c:v mpeg4 -q:v 2 "$it"', face=face, it=it)
    avi = read(it)
    struct.pack_into("<I", avi, avi.index(b"avih") + 8, 10_000)  # µs a frame
    struct.pack_into("<II", avi, avi.index(b"strh") + 8 + 20, 1, 100)  # scale, rate
    write(it, avi)


def exif(filters, orientation, progressive=False):
    """A JPEG, in BT.601 as they are, with a tag of its orientation."""
    def made(it, face, voice):
        filters_and_matrix = filters + ",scale=out_color_matrix=bt601:out_range=full"
        shell('ffmpeg -i "$face" -vf "$filters" -frames:v 1 -update 1 -q:v 2 "$it"', face=face, it=it, filters=filters_and_matrix)
        if progressive:
            pil().open(it).save(it, quality=95, progressive=True)
        tiff = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
        segment = b"Exif\0\0" + tiff
        jpeg = read(it)
        write(it, jpeg[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(segment) + 2) + segment + jpeg[2:])
    return made


def pil():
    try:
        from PIL import Image
    except ImportError:
        raise Missing("Pillow") from None
    return Image


def cmyk(it, face, voice):
    shell('ffmpeg -i "$face" -frames:v 1 -update 1 rgb.png', face=face)
    pil().open("rgb.png").convert("CMYK").save(it, quality=95)


def resized(it, face, voice):
    """VP8 may change its size at any key frame. The file's header tells the first one only."""
    for size, name in (("640:640", "a.ivf"), ("320:480", "b.ivf")):
        shell('ffmpeg -t 0.6 -i "$face" -vf "scale=$size" -c:v libvpx -crf 5 -b:v 5M "$name"', face=face, size=size, name=name)
    a, b = read("a.ivf"), read("b.ivf")
    frames, count = bytearray(), struct.unpack_from("<I", a, 24)[0]
    for at, body in ((0, a[32:]), (count, b[32:])):
        k = 0
        while k < len(body):
            size, time = struct.unpack_from("<IQ", body, k)
            frames += struct.pack("<IQ", size, time + at) + body[k + 12:k + 12 + size]
            k += 12 + size
    write("both.ivf", a[:32] + frames)
    shell('ffmpeg -i both.ivf -c copy "$it"', it=it)


def samples(voice):
    with wave.open(voice) as f:
        return f.getframerate(), array.array("h", f.readframes(f.getnframes()))


def floats(value, every=500):
    """The voice as 32-bit float, with `value` in place of one sample in so many."""
    def made(it, face, voice):
        rate, values = samples(voice)
        values = [value if k % every == 0 else v / 32768 for k, v in enumerate(values)]
        data = struct.pack(f"<{len(values)}f", *values)
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32)
        write(it, struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", len(data)) + data)
    return made


def channels(it, face, voice):
    """16 channels that have no places around the listener, all with the voice."""
    rate, values = samples(voice)
    with wave.open(it, "wb") as f:
        f.setparams((16, 2, rate, 0, "NONE", None))
        f.writeframes(array.array("h", [v for v in values for _ in range(16)]))


def wav_size(size):
    """A wav whose data chunk claims `size` bytes."""
    def made(it, face, voice):
        wav = read(voice)
        struct.pack_into("<I", wav, wav.index(b"data") + 4, size)
        struct.pack_into("<I", wav, 4, min(size + 36, 0xFFFFFFFF))
        write(it, wav)
    return made


def cover(it, face, voice):
    shell('ffmpeg -i "$face" -frames:v 1 -update 1 cover.png', face=face)
    shell('ffmpeg -i "$voice" -i cover.png -map 0 -map 1 -c:v copy -disposition:v attached_pic -q:a 4 -id3v2_version 3 "$it"', voice=voice, it=it)


def garbage(it, face, voice):
    write(it, random.Random(7).randbytes(100_000))
