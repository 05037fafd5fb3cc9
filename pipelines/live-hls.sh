#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# A face speaks, live, into files that any web server can serve (HLS).
set -euo pipefail
# shellcheck source=pipelines/talker.sh
. "$(dirname "${BASH_SOURCE[0]}")/talker.sh"

read_arguments FOLDER 'The face in FACE speaks VOICE, live, into FOLDER: live.m3u8 and pieces of two seconds, of which the last ten are kept.' "$@"
[ -d "$to" ] || fail "$to: there is no such folder"

# AAC encoders begin with 1024 samples of silence; the picture waits as long.
play "${talker[@]}" video_src::offset=21333333 \
    b.video_src ! x264enc tune=zerolatency speed-preset=veryfast bitrate=2500 key-int-max=50 \
    ! 'video/x-h264,profile=main' ! h264parse ! hls.video \
    b.audio_src ! audioconvert ! audioresample ! avenc_aac bitrate=128000 ! aacparse ! hls.audio \
    hlssink2 name=hls target-duration=2 playlist-length=5 max-files=10 location="$(quoted "$to/live-%05d.ts")" playlist-location="$(quoted "$to/live.m3u8")"
