#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# A face speaks, live, to web browsers (WebRTC).
set -euo pipefail
# shellcheck source=pipelines/talker.sh
. "$(dirname "${BASH_SOURCE[0]}")/talker.sh"

read_arguments '[ADDRESS:PORT]' 'The face in FACE speaks VOICE, live, to browsers that open http://ADDRESS:PORT (127.0.0.1:8080 if none is given;
0.0.0.0:8080 for those on other machines, too). The port after it must be free as well: there the browsers find the stream.' "$@"
to=${to:-127.0.0.1:8080}
address=${to%:*} port=${to##*:}
[[ $to == *:* && $port =~ ^[1-9][0-9]{0,4}$ && $port -lt 65535 ]] || misused "$to is no ADDRESS:PORT"
for taken in "$port" $((port + 1)); do
    ! (: > "/dev/tcp/${address/0.0.0.0/127.0.0.1}/$taken") 2> /dev/null || fail "port $taken is taken; name another one: $me FACE VOICE $address:PORT"
done

webrtc=$root/.deps/webrtc
if [ ! -f "$webrtc/build-version" ]; then
    say "webrtcsink is not built yet: running setup.sh --webrtc"
    "$root/setup.sh" --webrtc || fail "setup.sh failed (see above)"
fi
export WEBRTCSINK_SIGNALLING_SERVER_LOG=${WEBRTCSINK_SIGNALLING_SERVER_LOG:-error} GST_PLUGIN_PATH=$webrtc${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}

say "open http://${address/0.0.0.0/$(hostname)}:$port in a browser"
# Each browser gets an encoder of its own. No STUN server: whoever is in the same network needs none, and nothing goes elsewhere.
# clocksync sends sound and picture at the same time: browsers need longer to bring together what comes apart.
play "${talker[@]}" \
    b.video_src ! clocksync ! webrtc.video_0 \
    b.audio_src ! audioconvert ! audioresample ! clocksync ! webrtc.audio_0 \
    webrtcsink name=webrtc video-caps='video/x-vp8;video/x-h264' stun-server=NULL \
    congestion-control=homegrown start-bitrate=2500000 max-bitrate=4000000 \
    run-signalling-server=true signalling-server-host="$address" signalling-server-port=$((port + 1)) \
    run-web-server=true web-server-host-addr="http://$address:$port/" web-server-directory="$(quoted "$root/pipelines/webrtc")"
