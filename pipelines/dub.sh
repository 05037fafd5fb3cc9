#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Makes the face in a video or a picture speak a sound file.
set -euo pipefail
pipelines=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=pipelines/common.sh
. "$pipelines/common.sh"
# shellcheck source=pipelines/face.sh
. "$pipelines/face.sh"

usage() {
    cat << 'END'
usage: dub.sh [OPTION]... VIDEO AUDIO OUT.mp4
       dub.sh [OPTION]...                    dubs demo/face.mp4 with demo/voice.wav

Makes the face in VIDEO (or in a still picture) speak AUDIO. OUT.mp4 is as long as AUDIO. Both are files, or addresses (http://…,
https://…), which are fetched first.

  --model NAME      the lip-sync model: a name, or the path of its folder
  --loop MODE       what follows the end of VIDEO: none, forward (from the start again), pingpong (back and forth);
                    default: pingpong if VIDEO is shorter than AUDIO, otherwise none
  --background NAME  the colour behind what is transparent in VIDEO: white, #00ff00, … (default: black)
  --keep-rate       a VIDEO of less than 25 frames a second stays as slow; otherwise it gets 25, or lips could not follow
  --detector NAME   how faces are found (property detector of facecrop)
  --device NAME     where the model runs: cpu, cuda:0, … (property device of lipsyncgen)
  -h, --help        this text

LIPSYNC_VERBOSE=1 prints the pipeline and everything GStreamer says.
END
}

# --- What is asked for -----------------------------------------------------------------------------------------------

model='' detector='' device='' loop='' background=black keep_rate=false files=()
while [ $# -gt 0 ]; do
    case $1 in
        --model | --loop | --detector | --device | --background)
            [ $# -ge 2 ] || misused "$1 needs a value"
            [ -n "$2" ] || misused "$1 needs a value that is not empty"
            declare "${1#--}=$2"
            shift
            ;;
        --model=* | --loop=* | --detector=* | --device=* | --background=*)
            option=${1#--}
            [ -n "${option#*=}" ] || misused "--${option%%=*} needs a value that is not empty"
            declare "${option%%=*}=${option#*=}"
            ;;
        --keep-rate) keep_rate=true ;;
        -h | --help)
            usage
            exit
            ;;
        --)
            shift
            files+=("$@")
            break
            ;;
        -?*) misused "unknown option $1" ;;
        *) files+=("$1") ;;
    esac
    shift
done
case $loop in
    '' | none | forward | pingpong) ;;
    *) misused "--loop $loop: expected none, forward or pingpong" ;;
esac
if [ ${#files[@]} -eq 0 ]; then
    files=("$root/demo/face.mp4" "$root/demo/voice.wav" "$root/demo/out/demo.mp4")
    mkdir -p "$root/demo/out"
fi
[ ${#files[@]} -eq 3 ] || misused "expected VIDEO AUDIO OUT.mp4, found ${#files[@]} file name(s)"
video=${files[0]} audio=${files[1]} out=${files[2]}

# --- Whether it can be done --------------------------------------------------------------------------------------------

for file in "$video" "$audio"; do
    [ -n "$file" ] || misused "an empty file name"
    ! is_address "$file" || continue
    [ -e "$file" ] || fail "$file: there is no such file"
    [ -f "$file" ] || fail "$file is not a file"
    [ -r "$file" ] || fail "$file cannot be read: permission denied"
    [ -s "$file" ] || fail "$file is empty"
done
[[ $out == *.mp4 ]] || fail "$out: the name of the output must end in .mp4"
[ ! -d "$out" ] || fail "$out is a folder"
for file in "$video" "$audio"; do
    [ ! "$out" -ef "$file" ] || fail "$out is also an input; choose another name for the output"
done
out_folder=$(dirname -- "$out")
[ -d "$out_folder" ] || fail "$out_folder: there is no such folder"
[ -w "$out_folder" ] || fail "$out_folder: no permission to write there"

ready
for tool in gst-launch-1.0 ffmpeg ffprobe; do
    command -v "$tool" > /dev/null || fail "$tool is missing: run $root/setup.sh"
done
is_colour "$background" || misused "--background $background: expected the name of a colour, or #RRGGBB"

# --- Where it is made --------------------------------------------------------------------------------------------------

work=$(mktemp -d)
folders+=("$work")
unfinished=$(mktemp -d "$out_folder/.dub-XXXXXX") || fail "$out_folder: cannot be written to"
folders+=("$unfinished")
# Links with plain names: nothing needs quoting, whatever the files are called.
bring "$video" "$work/video"
bring "$audio" "$work/audio"
for file in video audio; do
    ! is_address "${!file}" || [ ! -e "$out" ] || ! cmp -s "$out" "$work/$file" || fail "$out is also an input; choose another name for the output"
done
ln -s -r -- "$unfinished/muxed.mp4" "$work/muxed.mp4"

# --- What it is made of ------------------------------------------------------------------------------------------------

damaged='this is not a media file, or a damaged one'
ffprobe -v quiet "$work/video" || fail "$video: $damaged"
ffprobe -v quiet "$work/audio" || fail "$audio: $damaged"
look "$work/video"
[[ $(about width) =~ ^[1-9] ]] || fail "$video: there is no picture in it"
[ -n "$(ffprobe -v quiet -select_streams a:0 -show_entries stream=index -of csv=p=0 "$work/audio")" ] ||
    fail "$audio: there is no sound in it"

# The sound is made plain: it begins at once, holes in it are silence, its samples are integers, which are never NaN or infinite.
# Holes are filled by another ffmpeg than decodes: where a file's sample rate changes, ffmpeg's filters begin anew, and would fill all
# that was before.
shorter 0 "$(seconds_of "$work/audio" a:0)" || fail "$audio: the sound in it has no length"
bits=s32
case $(ffprobe -v quiet -select_streams a:0 -show_entries stream=sample_fmt -of csv=p=0 "$work/audio") in
    u8* | s16*) bits=s16 ;;
esac
# What it leaves tells how it ended: a process whose output is a file's name is not waited for.
decoded() {
    local status=0
    ffmpeg -nostdin -v error -i "$work/audio" -map 0:a:0 -af 'aformat=channel_layouts=mono|stereo' -c:a "pcm_${bits}le" -f nut - 2> "$work/errors" || status=$?
    echo "$status" > "$work/decoded"
}
run ffmpeg -nostdin -v error -copyts -f nut -i <(decoded) -af aresample=async=1:first_pts=0 -f flac "$unfinished/sound" 2> "$work/more-errors" || {
    [ -s "$work/errors" ] || mv "$work/more-errors" "$work/errors"
    fail "$audio cannot be read, is it damaged? $(complaint)"
}
for _ in $(seq 50); do
    [ ! -s "$work/decoded" ] || break
    sleep 0.1
done
[ "$(cat "$work/decoded")" = 0 ] || fail "$audio cannot be read, is it damaged? $(complaint)"
audio_seconds=$(seconds_of "$unfinished/sound" a:0)
shorter 0 "$audio_seconds" || fail "$audio: the sound in it has no length"
ln -s -r -- "$unfinished/sound" "$work/sound"
rate=''
$keep_rate || rate=$(faster "$(frames_of "$work/video")" "$(seconds_of "$work/video" V:0)")
if make_plain "$work/video" "$video" "$unfinished/plain" "$background" "$rate" "$audio_seconds"; then
    ln -s -f -r -- "$unfinished/plain" "$work/video"
    look "$work/video"
fi
video_seconds=$(seconds_of "$work/video" V:0)
shorter 0 "$video_seconds" || fail "$video: there is not one frame in it: $damaged"

if [ -z "$loop" ]; then
    if shorter "$video_seconds" "$audio_seconds"; then loop=pingpong; else loop=none; fi
fi
# H.264 halves the colour's resolution and wants even sizes.
width=$(about width) height=$(about height) shape=$(about sample_aspect_ratio)
[[ $shape =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || shape=1:1
[ $((width < height ? width : height)) -ge 16 ] || fail "$video: $width×$height is too small, at least 16×16 is needed"
[ $((width > height ? width : height)) -le 8192 ] || fail "$video: $width×$height is too large, at most 8192×8192 is possible; scale it down"
odd_columns=$((width % 2)) odd_rows=$((height % 2))
even_size="width=$((width - odd_columns)),height=$((height - odd_rows)),pixel-aspect-ratio=${shape/:/\/}"
[ $((odd_columns + odd_rows)) -eq 0 ] ||
    say "$video: $width×$height is odd; the last column or row is left out ($((width - odd_columns))×$((height - odd_rows)))"
# What the numbers of its colours mean, which stays. Where nobody says it, GStreamer goes by the height, and the encoder would
# write down its guess, which other players do not share: the numbers go through as they are, and nothing is said of them.
untagged=()
case $(about color_space),$(about pix_fmt) in
    unknown,yuv* | unknown,nv12) untagged=(-bsf:v h264_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2) ;;
esac
# GStreamer's decoder of Theora says BT.601 whatever the height.
case $(about color_space),$(about pix_fmt),$((height > 576)),$(about codec_name) in
    bt470bg,* | smpte170m,* | unknown,yuv*,0,* | unknown,*,theora) colour=bt601 ;;
    *) colour=bt709 ;;
esac

# --- The pipeline ------------------------------------------------------------------------------------------------------
#
#   VIDEO ─► avatarloop ─► facecrop ─► lipsyncgen ─► facepaste ─► H.264 ─► MP4
#   AUDIO ─┬─► audiofeatures ─────────────┘                                 ▲
#          └─► AAC ─────────────────────────────────────────────────────────┘
#
# A file cannot change its picture's size midway: videoscale, idle otherwise, keeps the first one.
# The queue before the AAC encoder has no limit of its own. It holds as much sound as there is in picture between lipsyncgen
# and the muxer (x264enc looks 40 frames ahead, whatever the frame rate): the other branch of the tee holds the sound back.
# The usual frame rates, those over 1001 among them, have whole numbers of 1/120000 s.
# shellcheck disable=SC2054 # the commas belong to caps
pipeline=(
    filesrc location="$work/video"
    ! decodebin name=picture caps='video/x-raw(ANY)' expose-all-streams=false
    ! videoconvert ! deinterlace fields=top
    ! videocrop right="$odd_columns" bottom="$odd_rows"
    ! videoscale add-borders=true
    ! "video/x-raw,format=I420,colorimetry=$colour,$even_size"
    ! videoflip video-direction="$(direction)"
    ! avatarloop mode="$loop"
    ! queue
    ! facecrop ${detector:+detector="$(quoted "$detector")"}
    ! lipsyncgen name=lips on-audio-end=eos on-error=fail on-stall=error stall-timeout=60000000000
    ${model:+model="$(quoted "$model")"} ${device:+device="$(quoted "$device")"}
    ! facepaste
    ! queue
    ! x264enc speed-preset=veryfast pass=qual quantizer=18 bitrate=50000 vbv-buf-capacity=1000
    ! h264parse
    ! progressreport name=progress silent=true do-query=false update-freq=1
    ! mp4mux name=mux trak-timescale=120000 ! filesink location="$work/muxed.mp4"

    filesrc location="$work/sound" ! flacparse ! flacdec ! tee name=sound

    sound. ! queue ! audioconvert ! audioresample ! audiofeatures ! lips.features

    sound. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0
    ! audioconvert ! audioresample ! 'audio/x-raw,rate={44100,48000},channels=[1,2]'
    ! avenc_aac bitrate=160000 ! aacparse ! mux.
)

# Reads what gst-launch-1.0 says, shows how far it is, and keeps what our elements warn of.
watch() {
    local line percent shown=0 step=20
    [ ! -t 2 ] || step=1
    while IFS= read -r line; do
        [ -z "${LIPSYNC_VERBOSE:-}" ] || printf '%s\n' "$line" >&2
        case $line in
            *'element "progress" (element)'*)
                [[ $line =~ current=\(gint64\)([0-9]+) ]] || continue
                percent=$(awk -v t="${BASH_REMATCH[1]}" -v all="$audio_seconds" \
                    'BEGIN { p = int(100 * t / all); print (p > 99 ? 99 : p) }')
                if [ "$percent" -ge $((shown + step)) ]; then
                    shown=$percent
                    if [ "$step" -eq 1 ]; then printf '\r%3d %%' "$percent" >&2; else say "$percent %"; fi
                fi
                ;;
            'WARNING: from element '*GstLipsync*': '*) printf '%s\n' "${line#*GstLipsync*: }" >> "$work/warnings" ;;
        esac
    done
    [ "$step" -ne 1 ] || [ "$shown" -eq 0 ] || printf '\r     \r' >&2
}

# The first error in what gst-launch-1.0 wrote to its standard error, in one line, with the name of the file it is about.
essence() {
    VIDEO=$video OUT=$out awk '
        /^(ERROR|WARNING): from element/ {
            if (text != "") exit
            wanted = /^ERROR/
            if (!wanted) next
            match($0, /^ERROR: from element [^ ]*: /)
            element = substr($0, 1, RLENGTH)
            text = substr($0, RLENGTH + 1)
            more = 1
            next
        }
        /^Additional debug info:/ { more = 0; if (wanted) place = NR + 1; next }
        /^(ERROR|WARNING): / { if (text != "") exit; other = other == "" ? $0 : other; next }
        /^(Execution ended|Setting pipeline|Freeing pipeline)/ { wanted = 0 }
        wanted && more { text = text "\n" $0; next }
        wanted && place && NR > place { detail = detail (detail == "" ? "" : " ") $0 }
        END {
            if (text == "") { sub(/^[A-Z]*: /, "", other); print other; exit }
            # Our elements say everything in the message itself.
            if (detail != "" && element !~ /GstLipsync/) text = text " (" detail ")"
            if (element ~ /GstDecodeBin:picture/) text = ENVIRON["VIDEO"] ": " text
            if (element ~ /GstFileSink/) text = ENVIRON["OUT"] ": " text
            print text
        }' "$1"
}

say "$video speaks $audio (loop: $loop)"
[ -z "${LIPSYNC_VERBOSE:-}" ] || say "gst-launch-1.0 ${pipeline[*]}"
: > "$work/warnings"
exec {messages}> >(watch)
watcher=$!
status=0
run gst-launch-1.0 --no-fault -m "${pipeline[@]}" 1>&"$messages" 2> "$work/errors" || status=$?
exec {messages}>&-
wait "$watcher"
[ -z "${LIPSYNC_VERBOSE:-}" ] || cat "$work/errors" >&2
if [ "$status" -ne 0 ]; then
    reason=$(essence "$work/errors")
    fail "${reason:-the pipeline ended with status $status; LIPSYNC_VERBOSE=1 tells more}"
fi

# --- The finish --------------------------------------------------------------------------------------------------------

# An AAC encoder puts 1024 samples of silence before the sound. Moved to before the start they are skipped by players: ffmpeg
# notes them in an edit list, which mp4mux cannot.
rate=$(ffprobe -v quiet -select_streams a:0 -show_entries stream=sample_rate -of csv=p=0 "$work/muxed.mp4") ||
    fail "nothing came of $video and $audio: damaged files, or too short a sound? LIPSYNC_VERBOSE=1 tells more"
run ffmpeg -nostdin -v error -i "$work/muxed.mp4" -itsoffset "$(awk -v rate="$rate" 'BEGIN { printf "%.9f", -1024 / rate }')" \
    -i "$work/muxed.mp4" -map 0:v:0 -map 1:a:0 -c copy "${untagged[@]}" -movie_timescale "$rate" -movflags +faststart -f mp4 "$unfinished/whole.mp4" 2> "$work/errors" ||
    fail "the sound and the picture could not be joined: $(complaint)"

# Whole is as long as the sound; without a loop, the picture may end before.
out_seconds=$(seconds_of "$unfinished/whole.mp4" a:0)
shorter "$(awk -v t="$audio_seconds" 'BEGIN { print t - 0.25 }')" "$out_seconds" ||
    fail "the sound ends after $out_seconds s of $audio_seconds s: is $audio damaged?"
out_seconds=$(seconds_of "$unfinished/whole.mp4" V:0)
if shorter "$out_seconds" "$(awk -v t="$audio_seconds" 'BEGIN { print t - 0.25 }')"; then
    if [ "$loop" != none ] || shorter "$audio_seconds" "$video_seconds"; then
        fail "the picture ends after $out_seconds s of $audio_seconds s: is $video damaged?"
    fi
    say "the picture ends after $out_seconds s, the sound goes on to $audio_seconds s (--loop pingpong would fill the rest)"
fi
mv -fT -- "$unfinished/whole.mp4" "$out"
while IFS= read -r warning; do say "warning: $video, $audio: $warning"; done < "$work/warnings"
say "wrote $out"
