#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# The whole way from a video and a voice to a dubbed file, beside a Python flow with the same graph, and the graph alone.
#   ./benches/compare.sh [VIDEO X,Y,W,H [VOICE]]     the face's box in VIDEO; the first 8 seconds of VOICE
#   PYTHON=… ROUNDS=5                                a Python that has models/requirements.txt, how often
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
[ -f "$work/wav2lip/model.toml" ] || "$python" "$root/models/wav2lip/export.py" --random --out "$work/wav2lip" >&2
[ -f "$work/int8/model.toml" ] || "$python" "$root/models/quantize.py" "$work/wav2lip" "$work/int8" --video "$video" --sound "$voice" >&2
exec "$python" "$root/benches/compare.py" "$work/wav2lip" "$work/int8" "$video" "$box" "$work/voice.wav" "$seconds" "${ROUNDS:-5}"
