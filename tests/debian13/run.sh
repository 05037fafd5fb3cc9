#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Runs a command on Debian 13 with its GStreamer 1.26, in a folder that debootstrap fills; tests/run.sh where none is given.
# Not part of tests/run.sh: it needs root, 4 GB and, the first time, a quarter of an hour. Later runs build only what changed.
#   ./tests/debian13/run.sh
#   ./tests/debian13/run.sh cargo test --features test-runtime --test chaos -- --pipelines 300 --operations 40
#   ROOT=FOLDER ./tests/debian13/run.sh …   keeps the system in FOLDER; default: .deps/debian13
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
fail() {
    printf 'debian13: %s\n' "$*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail 'mounts and chroot need root'
command -v debootstrap > /dev/null || fail 'debootstrap is missing: apt-get install debootstrap'
command -v cargo > /dev/null || PATH="$PATH:$HOME/.cargo/bin"
toolchain=$(rustc --print sysroot) || fail 'Rust is missing, see https://rustup.rs'
root=$(realpath -m "${ROOT:-.deps/debian13}")
if [ ! -e "$root/complete" ]; then
    mkdir -p "$root"
    debootstrap --variant=minbase trixie "$root"
    touch "$root/complete"
fi

# The tree is copied, with its times, since what is built for one Debian does not link on the other.
mkdir -p "$root/lipsync/tree" "$root/lipsync/shared" "$root/rust" "$root/registry"
git ls-files -z --cached --others --exclude-standard | sort -z > "$root/lipsync/files"
if [ -e "$root/lipsync/before" ]; then
    comm -z -13 "$root/lipsync/files" "$root/lipsync/before" | (cd "$root/lipsync/tree" && xargs -0 --no-run-if-empty rm -f --)
fi
while IFS= read -rd '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done < "$root/lipsync/files" |
    tar --create --null --files-from=- --file=- | tar --extract --directory "$root/lipsync/tree" --file=-
mv "$root/lipsync/files" "$root/lipsync/before"

inside() {
    # shellcheck disable=SC2016 # they are for the inner shell
    unshare --mount bash -euc '
        root=$1 toolchain=$2 registry=$3 shared=$4
        shift 4
        for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
        mount --bind -o ro "$toolchain" "$root/rust"
        mount --bind "$registry" "$root/registry"
        # There, cargo would find what rustup puts before its tools.
        [ ! -d "$root/registry/bin" ] || mount -t tmpfs tmpfs "$root/registry/bin"
        [ ! -d "$shared" ] || mount --bind -o ro "$shared" "$root/lipsync/shared"
        # Its way into the network: names, and whose certificates count.
        cp -L /etc/resolv.conf "$root/etc/"
        [ ! -e "$root/etc/ssl/certs/ca-certificates.crt" ] || cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
        export HOME=/root CARGO_HOME=/registry PATH=/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin
        exec chroot "$root" bash -euc "cd /lipsync/tree; \"\$@\"" bash "$@"
    ' bash "$root" "$toolchain" "${CARGO_HOME:-$HOME/.cargo}" "$(realpath -m ../shared)" "$@"
}

inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates git strace shellcheck sox > /dev/null
inside ./setup.sh
[ $# -gt 0 ] || set -- ./tests/run.sh
export GST_PLUGIN_PATH=/lipsync/tree/target/plugin
inside "$@"
