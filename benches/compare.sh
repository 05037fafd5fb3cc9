#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# The whole way from a video and a voice to a dubbed file, beside a Python flow with the same graph, and the graph alone.
#   ./benches/compare.sh [VIDEO X,Y,W,H [VOICE]]     the face's box in VIDEO; 8 seconds of both, repeated where they are shorter
#   PYTHON=… ROUNDS=5 BATCH=8 DEVICE=cpu             a Python that has models/requirements.txt, how often, frames through the network at once,
#                                                    where our pipelines run it
# The graph has Wav2Lip's tensors and multiplications, and random weights.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$root/target/compare
video=${1:-$root/demo/face.mp4} voice=${3:-$root/demo/voice.wav}
box=${2:-150,170,330,370} python=${PYTHON:-$work/venv/bin/python}
[ $# -ne 1 ] || { echo "compare.sh: where is the face in $video? Give X,Y,W,H" >&2; exit 2; }
seconds=8

"$root/setup.sh"
# shellcheck source=pipelines/env.sh
. "$root/pipelines/env.sh"
mkdir -p "$work"
if [ ! -x "$python" ]; then
    python3 -m venv "$work/venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$root/models/requirements.txt"
fi
ffmpeg -nostdin -v error -y -stream_loop -1 -i "$voice" -t "$seconds" -ac 1 -ar 44100 "$work/voice.wav"
ffmpeg -nostdin -v error -y -stream_loop -1 -i "$video" -t "$seconds" -an -r 25 -c:v libx264 -preset veryfast -crf 16 -pix_fmt yuv420p \
    "$work/video.mp4"
[ -f "$work/wav2lip/model.toml" ] || "$python" "$root/models/wav2lip/export.py" --random --out "$work/wav2lip" >&2
[ -f "$work/int8/model.toml" ] || "$python" "$root/models/quantize.py" "$work/wav2lip" "$work/int8" --video "$work/video.mp4" --sound "$work/voice.wav" >&2
exec "$python" "$root/benches/compare.py" "$work/wav2lip" "$work/int8" "$work/video.mp4" "$box" "$work/voice.wav" "$seconds" "${ROUNDS:-5}"
