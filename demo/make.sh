#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Makes face.mp4 and voice.wav again, beside this file. Needs espeak-ng, GStreamer with x264enc, and Python 3 with numpy and numba:
#   apt-get install espeak-ng gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
#   pip install numpy numba
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "voice.wav"
espeak-ng -v en-us+f3 -s 150 -m -w "$work/voice.wav" \
  'My mouth moves to any voice you play. <break time="700ms"/> Bring a better one, and I will open up.'
gst-launch-1.0 -q filesrc location="$work/voice.wav" ! wavparse ! audioconvert ! audioresample quality=10 \
  ! audio/x-raw,format=F32LE,rate=16000,channels=1 ! filesink location="$work/voice.raw"
python3 voice.py voice.wav < "$work/voice.raw"

echo "face.mp4: 100 frames of 5 to 10 seconds each on two cores"
python3 face.py "$work/face.rgb"
gst-launch-1.0 -q filesrc location="$work/face.rgb" ! rawvideoparse format=rgb width=640 height=640 framerate=25/1 \
  ! videoconvert ! video/x-raw,format=I420,colorimetry=bt709 \
  ! x264enc pass=quant quantizer=18 dct8x8=true bframes=0 b-adapt=false speed-preset=veryslow key-int-max=100 threads=1 ! video/x-h264,profile=high \
  ! h264parse ! mp4mux faststart=true ! filesink location=face.mp4
