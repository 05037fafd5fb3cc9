#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Sound and picture belong together in what a live pipeline sends: the model tests/sync/flash makes flashes of clicks. Expects that setup.sh
# has run. tests/sync/README.md tells how the other ways out are measured.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
child=''
trap '[ -z "$child" ] || kill "$child" 2> /dev/null; rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "tests/sync.sh: $*" >&2
    for said in said measured; do [ ! -f $said ] || tail -n 20 $said | sed 's/^/    /' >&2; done
    exit 1
}

python3 "$root/tests/sync/clicks.py" clicks.wav 12
"$root/pipelines/live-hls.sh" --model "$root/tests/sync/flash" "$root/demo/face.mp4" clicks.wav . > said 2>&1 &
child=$!
for _ in $(seq 300); do
    [ ! -f live-00006.ts ] || break
    kill -0 "$child" 2> /dev/null || fail 'live-hls.sh has ended'
    sleep 0.2
done
kill "$child"
wait "$child" || true
child=''
cat live-0000[0-5].ts > live.ts
python3 "$root/tests/sync/measure.py" live.ts 8 > measured 2>&1 || fail 'sound and picture do not belong together'
tail -n 1 measured

# Without what the pipeline does about the AAC encoder's delay.
ffmpeg -v error -i live.ts -itsoffset 0.0213 -i live.ts -map 0:v -map 1:a -c copy late.ts
! python3 "$root/tests/sync/measure.py" late.ts 8 > measured 2>&1 || fail 'what is 21 ms late was not noticed'
