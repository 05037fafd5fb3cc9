#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: selfreenact.sh CLIP OUT.png [--landmarks NET.onnx]     (PYTHON=venv/bin/python where requirements.txt is installed)
# Dubs a clip of somebody who speaks with the clip's own sound, prints how well the new mouth follows the real one, and draws both side by side.
set -eu
[ $# -ge 2 ] || { sed -n 3,4p "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
clip=$1 out=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ffmpeg -v error -i "$clip" -vn -ac 1 -ar 16000 "$work/voice.wav" || { echo "selfreenact.sh: $clip: no sound in it that could dub it" >&2; exit 1; }
"$here/../../pipelines/dub.sh" --loop none "$clip" "$work/voice.wav" "$work/dubbed.mp4"
"${PYTHON:-python3}" "$here/selfreenact.py" "$clip" "$work/dubbed.mp4" "$out" --voice "$work/voice.wav" "$@"
