#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# One short pipeline under valgrind: fails where memory that the plugin asked for is definitely lost. Needs valgrind; expects that setup.sh
# has run. Takes minutes.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=pipelines/env.sh
. "$root/pipelines/env.sh"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

glib=(/usr/share/glib-2.0/valgrind/*.supp)
export G_SLICE=always-malloc G_DEBUG=gc-friendly GST_REGISTRY_FORK=no
valgrind --leak-check=full --num-callers=60 --log-file="$log" "${glib[@]/#/--suppressions=}" \
    gst-launch-1.0 -q filesrc location="$root/demo/face.mp4" ! decodebin ! videoconvert ! identity eos-after=8 ! b.video_sink \
    audiotestsrc num-buffers=60 ! b.audio_sink lipsyncbin name=b b.video_src ! fakesink b.audio_src ! fakesink
sed -n '/LEAK SUMMARY/,$p' "$log"

# Whose a lost block is: the plugin's where it is on the stack and no other library was called by it.
awk '
    { sub(/^==[0-9]+== ?/, "") }
    /definitely lost in loss record/ { record = $0; ours = other = 0; next }
    record != "" && /^ +(at|by) 0x/ {
        if (!ours && $0 ~ /libonnxruntime|libav|libtorch/) other = 1
        if ($0 ~ /gstlipsync/) ours = 1
        record = record "\n" $0
        next
    }
    record != "" { if (ours && !other) { print record; lost = 1 } record = "" }
    END { exit lost }' "$log" || { echo "the plugin loses memory (see above)" >&2 && exit 1; }
