# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# What the scripts here say, run and leave behind. They source it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
me=$(basename -- "$0")

say() { printf '%s: %s\n' "$me" "$*" >&2; }
fail() {
    say "$*"
    exit 1
}
misused() {
    say "$* ($me --help tells more)"
    exit 2
}

# A value in the syntax of pipelines.
quoted() {
    local value=${1//\\/\\\\}
    printf '"%s"' "${value//\"/\\\"}"
}

# Whether that is an address of a file.
is_address() { [[ $1 =~ ^(https?|file):// ]]; }

# bring FILE PLACE: puts a link to it there, or what is at that address.
bring() {
    if ! is_address "$1"; then
        ln -s -r -- "$1" "$2"
        return
    fi
    command -v curl > /dev/null || fail "$1: curl is needed to fetch it"
    run curl --silent --show-error --fail --location --globoff --connect-timeout 20 --output "$2" -- "$1" 2> "$2.errors" ||
        fail "$1 cannot be fetched: $(sed 's/^curl: ([0-9]*) //;q' "$2.errors")"
    [ -s "$2" ] || fail "$1 is empty"
}

# Sees to it that there is the plugin, and that gst-launch-1.0 finds it.
ready() {
    if [ ! -f "$root/target/plugin/libgstlipsync.so" ]; then
        say "the plugin is not built yet: running setup.sh"
        "$root/setup.sh" || fail "setup.sh failed (see above)"
    fi
    # shellcheck source=pipelines/env.sh
    . "$root/pipelines/env.sh"
}

# What `run` runs, and folders that go when the script ends.
child='' folders=()
clean_up() {
    # A second signal must not end the cleaning.
    trap '' HUP INT TERM
    if [ -n "$child" ]; then
        # As Ctrl-C does: what is under way is finished, and servers are told.
        kill -INT "$child" 2> /dev/null || true
        for _ in $(seq 30); do
            kill -0 "$child" 2> /dev/null || break
            sleep 0.1
        done
        kill "$child" 2> /dev/null || true
        wait "$child" 2> /dev/null || true
    fi
    rm -rf "${folders[@]}"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs in the background, because a shell that waits hears signals at once.
run() {
    local status=0
    "$@" &
    child=$!
    wait "$child" || status=$?
    child=''
    return "$status"
}
