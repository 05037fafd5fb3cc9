#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# The live pipelines, as far as they need no server, on the demo's face and voice. Expects that setup.sh has run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
face=$root/demo/face.mp4
voice=$root/demo/voice.wav
work=$(mktemp -d)
child=''
trap '[ -z "$child" ] || kill "$child" 2> /dev/null; rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "tests/live.sh: $*" >&2
    [ ! -f said ] || tail -n 20 said | sed 's/^/    /' >&2
    exit 1
}
# Packets of the picture and of the sound, and how many pictures differ.
packets() { ffprobe -v quiet -select_streams "$2" -count_packets -show_entries stream=nb_read_packets -of csv=p=0 "$1" | awk -F, 'NR == 1 { print $1 + 0 }'; }
different_frames() { ffmpeg -v quiet -i "$1" -map 0:v:0 -f framemd5 - | grep -v '^#' | awk '{ print $NF }' | sort -u | wc -l; }
holds() {
    [ "$(packets "$1" v:0)" -ge 50 ] || fail "$1: $(packets "$1" v:0) frames"
    [ "$(packets "$1" a:0)" -ge 90 ] || fail "$1: $(packets "$1" a:0) packets of sound"
    [ "$(different_frames "$1")" -ge 20 ] || fail "$1: the face hardly moves"
}
# A shell's background has no ears for the signal of Ctrl-C.
stop() {
    kill "$child"
    wait "$child" || true
    child=''
}
fails() {
    local words=$1
    shift
    ! "$@" > said 2>&1 || fail "$* did not fail"
    grep -q -- "$words" said || fail "$*: expected the words \"$words\""
}

echo 'what is not asked for rightly'
for script in rtmp srt hls webrtc; do
    fails 'expected FACE VOICE' "$root/pipelines/live-$script.sh" "$face"
    fails 'no such file' "$root/pipelines/live-$script.sh" missing.mp4 "$voice" rtmp://localhost/a/b
    "$root/pipelines/live-$script.sh" --help | grep -q '^usage: ' || fail "live-$script.sh --help"
done
fails 'is no RTMP address' "$root/pipelines/live-rtmp.sh" "$face" "$voice" srt://:1
fails 'is no SRT address' "$root/pipelines/live-srt.sh" "$face" "$voice" rtmp://localhost/a/b
fails 'no such folder' "$root/pipelines/live-hls.sh" "$face" "$voice" missing
fails 'is no ADDRESS:PORT' "$root/pipelines/live-webrtc.sh" "$face" "$voice" nowhere
fails 'unknown option' "$root/pipelines/preview.sh" --bogus

# hls FACE PIECE: lets live-hls.sh run until it begins with another piece after that one.
hls() {
    rm -f live*
    "$root/pipelines/live-hls.sh" "$1" "$voice" . > said 2>&1 &
    child=$!
    for _ in $(seq 300); do
        [ ! -f "live-0000$(($2 + 1)).ts" ] || break
        kill -0 "$child" 2> /dev/null || fail "live-hls.sh has ended with $1"
        sleep 0.2
    done
    stop
}

echo 'HLS'
hls "$face" 2
[ "$(grep -c '\.ts$' live.m3u8)" -ge 2 ] || fail 'live.m3u8 lists too little'
cat live-0000[0-2].ts > hls.ts
holds hls.ts

echo 'an animated GIF, and a picture without a face'
ffmpeg -nostdin -v error -t 2 -i "$face" -vf fps=5,scale=320:-2 face.gif
ffmpeg -nostdin -v error -f lavfi -i testsrc=d=1:s=320x240 -frames:v 1 nobody.png
hls face.gif 1
[ "$(different_frames live-00001.ts)" -ge 20 ] || fail 'the GIF hardly moves'
hls nobody.png 1
grep -q 'no face to speak with' said || fail 'no word of the missing face'

echo 'SRT, with a player that calls later'
port=$((20000 + RANDOM % 20000))
"$root/pipelines/live-srt.sh" "$face" "$voice" "srt://:$port" > said 2>&1 &
child=$!
for _ in $(seq 100); do
    ! timeout 60 ffmpeg -nostdin -v quiet -y -i "srt://127.0.0.1:$port?mode=caller&connect_timeout=1000" -t 6 -c copy srt.ts || break
    kill -0 "$child" 2> /dev/null || fail 'live-srt.sh has ended'
    sleep 0.2
done
stop
holds srt.ts
