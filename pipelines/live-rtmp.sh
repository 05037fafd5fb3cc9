#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# A face speaks, live, to an RTMP server.
set -euo pipefail
# shellcheck source=pipelines/talker.sh
. "$(dirname "${BASH_SOURCE[0]}")/talker.sh"

read_arguments URL 'The face in FACE speaks VOICE, live, to the RTMP server at URL (rtmp://HOST/APPLICATION/STREAM).' "$@"
[[ $to == rtmp://* || $to == rtmps://* ]] || misused "$to is no RTMP address (rtmp://…)"

# AAC encoders begin with 1024 samples of silence; the picture waits as long.
# The leaky queue: a server that takes nothing makes holes in what it gets, but holds nobody up.
# A server that goes away is called again, where it had taken the stream before: the face begins anew then.
called=0 said=$(mktemp -d)
folders+=("$said")
until
    began=$SECONDS
    play "${talker[@]}" video_src::offset=21333333 \
        b.video_src ! x264enc tune=zerolatency speed-preset=veryfast bitrate=2500 key-int-max=50 \
        ! 'video/x-h264,profile=main' ! h264parse ! queue ! mux. \
        b.audio_src ! audioconvert ! audioresample ! avenc_aac bitrate=128000 ! aacparse ! mux. \
        flvmux name=mux streamable=true latency=100000000 ! queue leaky=downstream max-size-time=2000000000 max-size-bytes=0 max-size-buffers=0 \
        ! rtmp2sink location="$(quoted "$to")" 2> >(tee "$said/errors" >&2)
do
    sleep 2
    [ $((SECONDS - began)) -ge 10 ] || [ "$called" -gt 0 ] || exit 1
    grep -q '^ERROR: from element .*GstRtmp2Sink' "$said/errors" || exit 1
    called=$((called + 1))
    say "$to: no connection any more, trying again (for the ${called}. time)"
done
