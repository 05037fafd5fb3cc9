#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""A talking avatar: a clip in a loop that says the sound files whose names are typed in.

    . pipelines/env.sh; python3 examples/python/avatar.py FACE [OUT.mkv]      # in a window, or into a file

A line with a file's name is said, in place of what is being said; an empty line falls silent; Ctrl-D or Ctrl-C ends it.
Needs PyGObject (Debian: python3-gi, gir1.2-gstreamer-1.0). ../c/avatar.c is the same in C.
"""
import signal
import sys
import gi
gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402
WINDOW = "b.video_src ! queue ! videoconvert ! autovideosink b.audio_src ! queue ! audioconvert ! audioresample ! autoaudiosink"
FILE = ("b.video_src ! x264enc tune=zerolatency speed-preset=veryfast ! mux. "
        "b.audio_src ! queue max-size-time=5000000000 ! audioconvert ! flacenc ! mux. matroskamux name=mux ! filesink name=out")

Gst.init(None)
len(sys.argv) in (2, 3) or sys.exit(__doc__)
pipeline = Gst.parse_launch(
    "filesrc name=face ! decodebin ! videoconvert ! videoflip video-direction=auto ! b.video_sink "
    "lipsyncvoice name=voice ! audio/x-raw,rate=48000,channels=1 ! b.audio_sink "
    f"lipsyncbin name=b loop=pingpong on-audio-end=eos latency=40000000 {WINDOW if len(sys.argv) == 2 else FILE}")
for name, file in zip(("face", "out"), sys.argv[1:]):
    pipeline.get_by_name(name).set_property("location", file)
voice, speech = pipeline.get_by_name("voice"), None


def interrupt():
    """Falls silent: what has not been said is dropped, in the voice and in the bin."""
    global speech
    if speech:
        branch, speech = speech, None
        voice.emit("clear")
        branch.set_state(Gst.State.NULL)
        pipeline.remove(branch)
        voice.emit("clear")  # what came between


def say(file):
    global speech
    interrupt()
    speech = Gst.parse_bin_from_description("filesrc name=file ! decodebin ! audioconvert ! queue name=last", False)
    speech.set_property("async-handling", True)  # the others do not wait until it has started
    speech.get_by_name("file").set_property("location", file)
    speech.add_pad(Gst.GhostPad.new("src", speech.get_by_name("last").get_static_pad("src")))
    pipeline.add(speech)
    speech.link(voice)
    speech.sync_state_with_parent()


def typed(stdin, _):
    line = stdin.readline()
    say(line.strip()) if line.strip() else interrupt()
    return bool(line) or end()


def end():
    voice.send_event(Gst.Event.new_eos())  # the sound ends, the picture with it, and the file is finished
    return False


def heard(_, message):
    failed = message.type == Gst.MessageType.ERROR
    if failed:
        print(f"{message.src.name}: {message.parse_error()[0].message}", file=sys.stderr)
    if failed and speech and message.src.has_as_ancestor(speech):
        interrupt()
    elif message.type == Gst.MessageType.EOS or failed and message.src.has_as_ancestor(pipeline):
        loop.quit()


loop, bus = GLib.MainLoop(), pipeline.get_bus()
bus.add_signal_watch()
bus.connect("message", heard)
GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, typed)
GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGINT, end)
pipeline.set_state(Gst.State.PLAYING)
loop.run()
pipeline.set_state(Gst.State.NULL)
