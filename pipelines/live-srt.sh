#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# A face speaks, live, over SRT.
set -euo pipefail
# shellcheck source=pipelines/talker.sh
. "$(dirname "${BASH_SOURCE[0]}")/talker.sh"

read_arguments URI 'The face in FACE speaks VOICE, live, over SRT: srt://HOST:PORT calls a server, srt://:PORT waits for players to call.' "$@"
[[ $to == srt://* ]] || misused "$to is no SRT address (srt://…)"

# AAC encoders begin with 1024 samples of silence; the picture waits as long.
# Without a player nothing is kept: one that calls later sees what is live then.
play "${talker[@]}" video_src::offset=21333333 \
    b.video_src ! x264enc tune=zerolatency speed-preset=veryfast bitrate=2500 key-int-max=50 \
    ! 'video/x-h264,profile=main' ! h264parse config-interval=-1 ! queue ! mux. \
    b.audio_src ! audioconvert ! audioresample ! avenc_aac bitrate=128000 ! aacparse ! mux. \
    mpegtsmux name=mux alignment=7 latency=100000000 ! queue leaky=downstream max-size-time=2000000000 max-size-bytes=0 max-size-buffers=0 \
    ! srtsink uri="$(quoted "$to")" wait-for-connection=false
