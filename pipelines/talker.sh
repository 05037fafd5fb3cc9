# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# What live-rtmp.sh, live-srt.sh, live-hls.sh and preview.sh have in common; they source it. It reads their arguments and makes the array
# `talker`: the beginning of a pipeline in which a face speaks, live and without end. What follows takes b.video_src and b.audio_src.
#
#   FACE ──────────────► b.video_sink ┐             ┌ b.video_src
#                                     ├ lipsyncbin ─┤
#   silence + VOICE ───► b.audio_sink ┘             └ b.audio_src

# shellcheck source=pipelines/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=pipelines/face.sh
. "$(dirname "${BASH_SOURCE[0]}")/face.sh"

# usage WHERE-TO WHAT: prints how the script is called.
usage() {
    cat << END
usage: $me [OPTION]... FACE VOICE${1:+ $1}

$2

  FACE     a video or a picture, repeated back and forth; a camera (/dev/video0); or an address: http://… is repeated as a file is,
           rtsp://…, rtmp://…, srt://… and udp://… are taken as they come
  VOICE    a sound file, or the address of one, spoken once, after which the face is silent; or "mic" for the microphone

  --background NAME  the colour behind what is transparent in FACE: white, #00ff00, … (default: black)
  --model NAME      the lip-sync model: a name, or the path of its folder
  --detector NAME   how faces are found (property detector of facecrop)
  --device NAME     where the model runs: cpu, cuda:0, … (property device of lipsyncgen)
  -h, --help        this text
END
}

# read_arguments WHERE-TO WHAT ARGUMENT...: sets `to` to the last of them, where WHERE-TO names one, and makes `talker`. In brackets,
# WHERE-TO need not be given.
read_arguments() {
    local where=$1 what=$2 options=() names=() background=black
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
            --model | --detector | --device)
                [ -n "${2:-}" ] || misused "$1 needs a value"
                options+=("${1#--}=$(quoted "$2")")
                shift
                ;;
            --background)
                is_colour "${2:-}" || misused "--background ${2:-}: expected the name of a colour, or #RRGGBB"
                background=$2
                shift
                ;;
            -h | --help)
                usage "$where" "$what"
                exit
                ;;
            -?*) misused "unknown option $1" ;;
            *) names+=("$1") ;;
        esac
        shift
    done
    local found=${#names[@]} wrong=true
    case $where in
        '') [ "$found" -ne 2 ] || wrong=false ;;
        \[*) [ "$found" -ne 2 ] && [ "$found" -ne 3 ] || wrong=false ;;
        *) [ "$found" -ne 3 ] || wrong=false ;;
    esac
    ! $wrong || misused "expected FACE VOICE${where:+ $where}, found $found argument(s)"
    # shellcheck disable=SC2034 # for those who source this
    to=${names[2]:-}
    make_talker "${names[0]}" "${names[1]}" "$background" "${options[@]}"
}

make_talker() {
    local face=$1 voice=$2 background=$3 picture sound file turned=identity looped=pingpong size='width=[16,8192,2],height=[16,8192,2]'
    shift 3
    for file in "$face" "$voice"; do
        [ "$file" = mic ] || [[ $file == *://* ]] || [ -r "$file" ] || fail "$file: there is no such file, or it cannot be read"
    done
    if [ -c "$face" ]; then
        picture=(v4l2src device="$(quoted "$face")")
        looped=none
    elif [[ $face == *://* ]]; then
        picture=(uridecodebin uri="$(quoted "$face")" "caps=video/x-raw(ANY)" expose-all-streams=false)
        [[ $face == http://* || $face == https://* || $face == file://* ]] || looped=none
    else
        work=$(mktemp -d)
        folders+=("$work")
        ln -s -r -- "$face" "$work/face"
        ffprobe -v quiet "$work/face" || fail "$face: this is not a media file, or a damaged one"
        look "$work/face"
        [[ $(about width) =~ ^[1-9] ]] || fail "$face: there is no picture in it"
        file=$face
        if make_plain "$work/face" "$face" "$work/plain" "$background" ''; then
            file=$work/plain
            look "$file"
        fi
        turned=$(direction)
        # Of the shape that players show, in square pixels. A size that changes midway is scaled to the first.
        size=$(square_size)
        picture=(filesrc location="$(quoted "$file")" ! decodebin "caps=video/x-raw(ANY)" expose-all-streams=false)
    fi
    if [ "$voice" = mic ]; then
        sound=(autoaudiosrc)
    elif [[ $voice == *://* ]]; then
        sound=(uridecodebin uri="$(quoted "$voice")" "caps=audio/x-raw(ANY)" expose-all-streams=false)
    else
        sound=(filesrc location="$(quoted "$voice")" ! decodebin "caps=audio/x-raw(ANY)" expose-all-streams=false)
    fi
    # Encoders want even sizes. A frame more of latency is for computing on a busy machine. The silence makes the pipeline live, and its sound endless; the voice begins a second later, when
    # everything is under way.
    # shellcheck disable=SC2034,SC2054 # for those who source this; the commas belong to caps
    talker=(
        "${picture[@]}" ! videoconvert ! deinterlace fields=top ! videoscale add-borders=true ! videorate
        ! "video/x-raw,format=I420,$size,pixel-aspect-ratio=1/1,framerate=25/1"
        ! videoflip video-direction="$turned" ! b.video_sink

        audiotestsrc is-live=true wave=silence ! 'audio/x-raw,rate=48000,channels=2' ! audiomixer name=voice sink_1::offset=1000000000
        ! b.audio_sink
        "${sound[@]}" ! audioconvert ! audioresample ! 'audio/x-raw,rate=48000,channels=2' ! queue ! voice.sink_1

        lipsyncbin name=b loop="$looped" latency=40000000 "$@"
    )
}

# Of what gst-launch-1.0 says of messages on the bus, those that tell why nobody speaks; everything else as it is.
tell() {
    local line
    # It reads on to the end of what is said.
    trap '' INT
    field() { sed -n "s/.*[ ,]$1=([a-z0-9]*)\"*\([^\",;]*\)\"*[,;].*/\1/p" <<< "$line" | sed 's/\\\(.\)/\1/g'; }
    while IFS= read -r line; do
        case $line in
            *'application/x-lipsync-event'*type=*no-face*)
                say "no face to speak with for $(($(field for-ms) / 1000)) s: $(field reason)"
                ;;
            *'application/x-lipsync-event'*type=*\)late,*) say "lips are late: $(field reason)$(late=$(field by-ms); echo "${late:+, by $late ms}")" ;;
            'Got message #'* | 'Got context '* | 'Found property '*) ;;
            *) printf '%s\n' "$line" ;;
        esac
    done
}

# Runs the pipeline until it is interrupted or fails.
play() {
    ready
    [ -z "${LIPSYNC_VERBOSE:-}" ] || say "gst-launch-1.0 $*"
    run gst-launch-1.0 -m "$@" > >(tell)
}
