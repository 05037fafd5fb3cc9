#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# The examples of embedding in C and in Python: what is typed in is said, and falls silent. Expects that setup.sh has run.
# (That in Rust is tested by tests/avatar.rs.)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=pipelines/env.sh
. "$root/pipelines/env.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "tests/examples.sh: $*" >&2
    cat ./*.said >&2 2> /dev/null || true
    exit 1
}
# Says a sentence, is interrupted in the middle of it, cannot say what is not there, and ends.
typed() {
    sleep 2
    echo "$root/demo/voice.wav"
    sleep 2
    echo
    sleep 0.5
    echo missing.wav
    sleep 1
}
speaks() {
    local name=$1
    shift
    echo "$name"
    typed | timeout 60 "$@" "$root/demo/face.mp4" "$name.mkv" > "$name.said" 2>&1 || fail "$name: exit status $?"
    grep -q 'Resource not found' "$name.said" || fail "$name: nothing was said about a file that is not there"
    ! grep -q CRITICAL "$name.said" || fail "$name: it was not in order"
    local frames different silences
    frames=$(ffmpeg -v quiet -i "$name.mkv" -map 0:v:0 -f framemd5 - | grep -vc '^#')
    different=$(ffmpeg -v quiet -i "$name.mkv" -map 0:v:0 -f framemd5 - | grep -v '^#' | awk '{ print $NF }' | sort -u | wc -l)
    [ "$frames" -ge 50 ] || fail "$name: $frames frames"
    [ "$different" -ge 20 ] || fail "$name: the face hardly moves"
    # Before the sentence, and after the interruption.
    silences=$(ffmpeg -nostdin -i "$name.mkv" -map 0:a:0 -af silencedetect=noise=-50dB:d=0.5 -f null - 2>&1 | grep -c 'silence_start') || true
    [ "$silences" -eq 2 ] || fail "$name: $silences stretches of silence"
    # Ctrl-C finishes the file: a Matroska file's length is written at its end.
    timeout --signal=INT --preserve-status 4 "$@" "$root/demo/face.mp4" "$name-c.mkv" > "$name.said" 2>&1 < <(exec sleep 8) ||
        fail "$name: exit status $? after Ctrl-C"
    [[ $(ffprobe -v quiet -show_entries format=duration -of csv=p=0 "$name-c.mkv") =~ ^[1-4]\. ]] || fail "$name: Ctrl-C leaves the file unfinished"
}

# shellcheck disable=SC2046 # several options
cc -O2 -Wall -Werror -o avatar "$root/examples/c/avatar.c" $(pkg-config --cflags --libs gstreamer-1.0) || fail 'the C example does not compile'
speaks C ./avatar

python=''
for candidate in python3 /usr/bin/python3; do
    ! "$candidate" -c 'import gi; gi.require_version("Gst", "1.0"); from gi.repository import Gst' 2> /dev/null || python=$candidate
done
if [ -n "$python" ]; then
    speaks Python "$python" "$root/examples/python/avatar.py"
else
    echo 'skipped: Python (PyGObject is not there: python3-gi, gir1.2-gstreamer-1.0)'
fi
