#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# A face speaks in a window.
set -euo pipefail
# shellcheck source=pipelines/talker.sh
. "$(dirname "${BASH_SOURCE[0]}")/talker.sh"

read_arguments '' 'The face in FACE speaks VOICE, live, in a window and through the loudspeakers.' "$@"

play "${talker[@]}" \
    b.video_src ! queue ! videoconvert ! autovideosink \
    b.audio_src ! audioconvert ! audioresample ! autoaudiosink
