#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# pipelines/dub.sh from end to end, on the demo's face and voice. Expects that setup.sh has run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dub=$root/pipelines/dub.sh
face=$root/demo/face.mp4
voice=$root/demo/voice.wav
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "tests/dub.sh: $*" >&2
    [ ! -f said ] || sed 's/^/    /' said >&2
    exit 1
}
make() { ffmpeg -nostdin -v error "$@"; }
# Fields of a stream (v:0, a:0).
probe() { ffprobe -v error -select_streams "$2" -show_entries "stream=$3" -of csv=p=0 "$1"; }
near() { awk -v a="$1" -v b="$2" -v by="$3" 'BEGIN { exit !(a - b <= by && b - a <= by) }'; }

# What must fail: in words, with a status that is not 0, leaving nothing behind.
fails() {
    local words=$1
    shift
    ! "$dub" "$@" > said 2>&1 || fail "dub.sh $* did not fail"
    grep -q -- "$words" said || fail "dub.sh $*: expected the words \"$words\""
    [ "$(wc -l < said)" -le 3 ] || fail "dub.sh $*: too many words"
    nothing_left
}
nothing_left() {
    [ ! -e out.mp4 ] || fail "out.mp4 was left"
    [ -z "$(find . -name '.dub*')" ] || fail "$(find . -name '.dub*') was left"
}
works() {
    rm -f out.mp4
    "$dub" "$@" out.mp4 > said 2>&1 || fail "dub.sh $* failed"
    [ -z "$(find . -name '.dub*')" ] || fail "$(find . -name '.dub*') was left"
}
different_frames() { ffmpeg -v error -i "$1" -map 0:v:0 -f framemd5 - | grep -v '^#' | awk '{ print $NF }' | sort -u | wc -l; }

echo 'what cannot be dubbed'
make -f lavfi -i testsrc=d=1:s=64x64 silent.mp4
make -f lavfi -i sine -t 0 empty.wav
echo 'no media' > text.mp4
: > nothing.mp4
head -c 3000 "$face" > cut.mp4
fails 'no such file' missing.mp4 "$voice" out.mp4
fails 'cannot be fetched' "file://$work/missing.mp4" "$voice" out.mp4
cp "$face" own.mp4
! "$dub" "file://$work/own.mp4" "$voice" own.mp4 > said 2>&1 || fail 'an address of the output was dubbed'
grep -q 'is also an input' said || fail 'the output was an input, by its address'
cmp -s "$face" own.mp4 || fail 'an input was written over'
fails 'is empty' nothing.mp4 "$voice" out.mp4
fails 'not a media file' text.mp4 "$voice" out.mp4
fails 'damaged' cut.mp4 "$voice" out.mp4
fails 'no picture' "$voice" "$voice" out.mp4
fails 'no sound' "$face" silent.mp4 out.mp4
fails 'no length' "$face" empty.wav out.mp4
fails 'no-such-model' --model no-such-model "$face" "$voice" out.mp4
fails 'expected none, forward or pingpong' "$face" "$voice" out.mp4 --loop backwards
fails 'expected VIDEO AUDIO OUT.mp4' "$face" "$voice"
fails 'unknown option' --bogus
fails 'expected the name of a colour' --background nosuchcolour "$face" "$voice" out.mp4
ORT_DYLIB_PATH=/nowhere/libonnxruntime.so fails 'ORT_DYLIB_PATH' "$face" "$voice" out.mp4
echo 'the demo'
works "$face" "$voice"
length=$(probe "$voice" a:0 duration)
near "$(probe out.mp4 v:0 duration)" "$length" 0.041 || fail "the picture lasts $(probe out.mp4 v:0 duration) s of $length s"
near "$(probe out.mp4 a:0 duration)" "$length" 0.024 || fail "the sound lasts $(probe out.mp4 a:0 duration) s of $length s"
[ "$(probe out.mp4 v:0 width,height,r_frame_rate)" = "$(probe "$face" v:0 width,height,r_frame_rate)" ] ||
    fail "size or frame rate differ"
[ "$(probe out.mp4 v:0 start_time)" = 0.000000 ] || fail "the picture starts at $(probe out.mp4 v:0 start_time)"
# Where the voice is in the result, to a sample of 16 kHz: the shift at which the two are most alike.
make -i out.mp4 -map 0:a:0 -ac 1 -ar 16000 -f s16le out.raw
make -i "$voice" -map 0:a:0 -ac 1 -ar 16000 -f s16le voice.raw
python3 - << 'END' || fail "the sound is not where it should be"
import array, sys
out, voice = (array.array("h", open(name, "rb").read()) for name in ("out.raw", "voice.raw"))
# A second around the loudest sample, and the last quarter of a second.
loudest = max(range(8000, len(voice) - 8000), key=lambda i: abs(voice[i]))
def alike(start, stop, shift):
    return sum(voice[i] * out[i + shift] for i in range(start, stop, 3) if i + shift < len(out))
best = max(range(-400, 401, 4), key=lambda shift: alike(loudest - 8000, loudest + 8000, shift))
if abs(best) > 80 or len(out) < len(voice):
    sys.exit(f"shifted by {best / 16} ms, {len(out)} of {len(voice)} samples")
END

echo 'a still picture, with its name'
make -i "$face" -frames:v 1 -update 1 'a "face" %d.png'
works --loop=pingpong 'a "face" %d.png' "$voice"
near "$(probe out.mp4 v:0 duration)" "$length" 0.041 || fail "the picture lasts $(probe out.mp4 v:0 duration) s of $length s"
[ "$(probe out.mp4 v:0 r_frame_rate)" = 25/1 ] || fail "a still picture became $(probe out.mp4 v:0 r_frame_rate)"
[ "$(different_frames out.mp4)" -gt 20 ] || fail "the mouth does not move"

echo 'a variable frame rate, an odd size, a rotation'
make -i "$face" -an -vf "select='not(mod(n,5)*mod(n,3))',format=yuv444p,crop=iw-1:ih-1" -vsync vfr -t 2 odd.mp4
make -i odd.mp4 -c copy -metadata:s:v:0 rotate=90 turned.mp4
make -i "$voice" -t 1.3 -ar 44100 short.wav
works --keep-rate turned.mp4 short.wav
grep -q 'is odd' said || fail "no word of the odd size"
IFS=, read -r width height <<< "$(probe odd.mp4 v:0 width,height)"
[ "$(probe out.mp4 v:0 width,height)" = "$((height - height % 2)),$((width - width % 2))" ] ||
    fail "a turned $width×$height became $(probe out.mp4 v:0 width,height)"
times() { ffprobe -v error -select_streams v:0 -show_entries packet=pts_time -of csv=p=0 "$1" | sort -n | head -n 12; }
[ "$(times out.mp4)" = "$(times turned.mp4)" ] || fail "the frames' times changed"

echo 'colours of which nothing is said'
untagged=h264_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2
make -i "$face" -an -t 1 -c copy -bsf:v "$untagged" -f h264 - | make -f h264 -i - -c copy untagged.mp4
works untagged.mp4 short.wav
[ "$(probe out.mp4 v:0 color_space,color_transfer,color_primaries)" = unknown,unknown,unknown ] ||
    fail "colours without a tag became $(probe out.mp4 v:0 color_space,color_transfer,color_primaries)"
works "$face" "file://$work/short.wav"
[ "$(probe out.mp4 v:0 color_space)" = "$(probe "$face" v:0 color_space)" ] || fail "$face lost its colours' tag"

echo 'a voice that is joined of two, of two rates'
for rate in 44100 24000; do make -i short.wav -ar "$rate" -c:a aac -f mpegts "$rate.ts"; done
cat 44100.ts 24000.ts > joined.ts
works "$face" joined.ts
near "$(probe out.mp4 a:0 duration)" 2.7 0.25 || fail "two voices of 1.3 s last $(probe out.mp4 a:0 duration) s"

echo 'no face'
make -f lavfi -i testsrc=d=2:s=320x240:r=30 -pix_fmt yuv420p pattern.mp4
works pattern.mp4 short.wav
grep -q 'no face was found' said || fail "no word of the missing face"

echo 'an interruption'
rm out.mp4
make -stream_loop 50 -i "$voice" long.wav
"$dub" "$face" long.wav out.mp4 2> said &
dubbing=$!
for _ in $(seq 100); do
    [ -z "$(find . -name muxed.mp4 -size +1k)" ] || break
    sleep 0.1
done
kill -TERM "$dubbing"
status=0
wait "$dubbing" || status=$?
[ "$status" -eq 143 ] || fail "interrupted, it ended with status $status"
nothing_left
echo 'dub.sh: all as it should be'
