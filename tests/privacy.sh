#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Nothing leaves the machine, and nothing is written to it but what README.md names: a dub and a live stream with a fresh home folder, without
# a network, and every socket that they open. Expects that setup.sh has run. Without strace or network namespaces that part is left out, and said so.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "tests/privacy.sh: $*" >&2
    exit 1
}
watch=()
if command -v strace > /dev/null && strace -f -o /dev/null true 2> /dev/null; then
    # shellcheck disable=SC2054 # the commas belong to strace
    watch=(strace -f -e trace=socket,connect,sendto -o "$work/sockets")
else
    echo 'strace is not there, or may not look: sockets are not watched'
fi
inside=()
if unshare --map-root-user --net true 2> /dev/null; then
    inside=(unshare --map-root-user --net)
else
    echo 'network namespaces are not allowed: the network stays'
fi

# stays COMMAND...: the command succeeds, or is ended by `timeout`, and leaves no trace elsewhere.
stays() {
    rm -rf "${work:?}/home" "$work/sockets"
    mkdir "$work/home"
    local status=0
    "${inside[@]}" "${watch[@]}" env -u ORT_DISABLE_TELEMETRY -u XDG_CACHE_HOME HOME="$work/home" "$@" > "$work/said" 2>&1 || status=$?
    [ "$status" = 0 ] || [ "$status" = 124 ] || fail "$* failed: $(cat "$work/said")"
    if [ -e "$work/sockets" ] && grep -E 'AF_INET|AF_INET6' "$work/sockets" > "$work/outside"; then
        fail "$*: something looked for the network: $(head -3 "$work/outside")"
    fi
    # GStreamer's own list of plugins, and graphs as they were optimised for this processor.
    (cd "$work/home" && find . -type f) | grep -vE '^\./\.cache/(gstreamer-1\.0|lipsync/graphs)/' > "$work/written" || true
    [ ! -s "$work/written" ] || fail "$* wrote into the home folder: $(cat "$work/written")"
}

stays "$root/pipelines/dub.sh" "$root/demo/face.mp4" "$root/demo/voice.wav" "$work/out.mp4"
mkdir "$work/live"
stays timeout --signal=INT 20 "$root/pipelines/live-hls.sh" "$root/demo/face.mp4" "$root/demo/voice.wav" "$work/live"
[ -s "$work/live/live.m3u8" ] || fail "live-hls.sh made nothing: $(cat "$work/said")"
