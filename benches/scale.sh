#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# What the default model costs with longer streams, larger frames, more faces and more streams: numbers, and docs/scale.svg.
#   ./benches/scale.sh [length|size|faces|streams …]
#   VIDEO=… VOICE=…     a face that fills most of a square picture, somebody who speaks
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$root/target/scale

"$root/setup.sh"
# shellcheck source=pipelines/env.sh
. "$root/pipelines/env.sh"
python=${PYTHON:-$work/venv/bin/python}
if [ ! -x "$python" ]; then
    python3 -m venv "$work/venv"
    "$python" -m pip install --quiet --disable-pip-version-check matplotlib==3.11.2
fi
exec "$python" "$root/benches/scale.py" "${VIDEO:-$root/demo/face.mp4}" "${VOICE:-$root/demo/voice.wav}" "$root/docs/scale.svg" "$@"
