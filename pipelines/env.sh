# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=sh
# For hand-typed pipelines:  . pipelines/env.sh
# Lets gst-launch-1.0 and gst-inspect-1.0 of this shell find the plugin that setup.sh built. Works in bash, zsh and sh.

# Where this file is: bash and zsh say so. Other shells do not, but on Linux they hold the file open while they read it.
# shellcheck disable=SC3028 # empty where it is not known
_lipsync_file=${BASH_SOURCE:-}
# shellcheck disable=SC2296 # zsh only
[ -z "${ZSH_VERSION:-}" ] || eval '_lipsync_file=${(%):-%x}'
if [ -z "$_lipsync_file" ]; then
    for _lipsync_fd in "/proc/$$/fd/"*; do
        case $(readlink "$_lipsync_fd") in
            */pipelines/env.sh) _lipsync_file=$(readlink "$_lipsync_fd") ;;
        esac
    done
fi
_lipsync_root=$(CDPATH='' cd -- "$(dirname -- "${_lipsync_file:-pipelines/env.sh}")/.." && pwd)

if [ -f "$_lipsync_root/pipelines/env.sh" ]; then
    case ":${GST_PLUGIN_PATH:-}:" in
        *":$_lipsync_root/target/plugin:"*) ;;
        *) export GST_PLUGIN_PATH="$_lipsync_root/target/plugin${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}" ;;
    esac
    # A registry of its own: what another version of the plugin left in the user's registry cannot get in the way.
    export GST_REGISTRY="$_lipsync_root/target/registry.bin"
    [ -f "$_lipsync_root/target/plugin/libgstlipsync.so" ] ||
        echo "env.sh: the plugin is not built yet, run $_lipsync_root/setup.sh" >&2
else
    echo "env.sh: cannot tell where the project is; run this from its folder: . pipelines/env.sh" >&2
fi
unset _lipsync_file _lipsync_fd _lipsync_root
