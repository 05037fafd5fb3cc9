#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Installs what the plugin needs (Debian packages, ONNX Runtime) and builds it into target/plugin/.
# Safe to run again at any time: what is there already is left alone.
#   ./setup.sh --torch                   with libtorch too, for models in TorchScript (backend=torch)
#   LIBTORCH=FOLDER ./setup.sh --torch   with a libtorch 2.13 of yours, such as one for your graphics card
#   ./setup.sh --webrtc                  with webrtcsink too, for pipelines/live-webrtc.sh
#   ./setup.sh --openvino                with an ONNX Runtime that has OpenVINO, for device=openvino-bf16
# Later runs keep all that, with or without the options, until .deps/torch, .deps/webrtc or .deps/onnxruntime is deleted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

with_torch='' with_webrtc='' with_openvino=''
for option in "$@"; do
    case $option in
        --torch) with_torch=1 ;;
        --webrtc) with_webrtc=1 ;;
        --openvino) with_openvino=1 ;;
        *) fail "unknown: $option. The options are --torch, --webrtc and --openvino" ;;
    esac
done

debian_packages() {
    local needed=(
        build-essential pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
        gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-x gstreamer1.0-pulseaudio gstreamer1.0-alsa
        ffmpeg curl python3-venv ca-certificates
    )
    [ -z "$with_webrtc" ] || needed+=(libgstreamer-plugins-bad1.0-dev gstreamer1.0-nice)
    if ! command -v apt-get > /dev/null; then
        say "this is not a Debian-like system: please see to it that you have what Debian calls ${needed[*]}"
        return
    fi
    local installed package missing=() as_root=()
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
    for package in "${needed[@]}"; do
        grep -qx "$package" <<< "$installed" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null || fail "these Debian packages are missing; install them as root, then run this again:" \
            "apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing Debian packages: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq || fail "apt-get update failed (see above)"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        > /dev/null ||
        fail "apt-get install failed (see above)"
}

rust() {
    # rustup puts cargo where only a new shell finds it.
    command -v cargo > /dev/null || PATH="$PATH:$HOME/.cargo/bin"
    local needed have
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    local how="install it with rustup, see https://rustup.rs, then run this again"
    command -v cargo > /dev/null || fail "Rust $needed or newer is needed: $how"
    have=$(cargo --version | awk '{ print $2 }')
    [ "$(printf '%s\n%s\n' "$needed" "$have" | sort -V | head -n 1)" = "$needed" ] ||
        fail "Rust $needed or newer is needed, but this is $have: $how"
}

# The one with OpenVINO is a package of its own, another version, and four times as large: 84 MB are fetched, 133 MB stay.
onnx_runtime() {
    local package=onnxruntime folder=.deps/onnxruntime version work
    [ -z "$with_openvino" ] || package=onnxruntime-openvino
    version=$(sed -n "s/^$package==\([0-9.]*\).*/\1/p" "build-aux/$package.txt")
    [ "$(cat "$folder/build-version" 2> /dev/null)" != "$package $version" ] || return 0
    say "fetching $package $version from PyPI"
    mkdir -p .deps
    # Not in /tmp, which is in memory on many machines.
    work=$(mktemp -d "$PWD/.deps/onnxruntime.XXXXXX")
    # shellcheck disable=SC2064 # the folder of now, not of later
    trap "rm -rf '$work'" EXIT
    python3 -m venv "$work/venv" || fail "python3 -m venv failed (see above)"
    # The libraries are the same in the packages for every Python, so the one whose checksum is known will do.
    TMPDIR=$work "$work/venv/bin/pip" download --quiet --disable-pip-version-check --no-cache-dir --no-deps \
        --only-binary=:all: --python-version 3.11 --require-hashes -r "build-aux/$package.txt" -d "$work" ||
        fail "$package could not be fetched (see above)"
    python3 -m zipfile -e "$work"/onnxruntime*.whl "$work/wheel"
    mkdir "$work/libraries"
    mv "$work/wheel/onnxruntime/capi/libonnxruntime.so.$version" "$work/libraries/"
    if [ -n "$with_openvino" ]; then
        # The rest is for graphics cards and Python, or there twice.
        (cd "$work/wheel/onnxruntime/capi" && mv libonnxruntime_providers_*.so libopenvino_intel_cpu_plugin.so \
            libopenvino.so.[0-9][0-9][0-9][0-9] libopenvino_onnx_frontend.so.[0-9][0-9][0-9][0-9] libtbb.so.12 "$work/libraries/")
    fi
    echo "$package $version" > "$work/libraries/build-version"
    rm -rf "$folder"
    mv "$work/libraries" "$folder"
    rm -rf "$work"
    trap - EXIT
}

# Measured for 2.13.0 on x86_64: 540 MB are fetched, 487 MB stay, 1.1 GB is needed meanwhile. There is no smaller package: the only one
# on PyPI is made for graphics cards. With all that it asks for it would be 4.6 GB; see libtorch.py for what is left out.
libtorch() {
    local folder=.deps/torch version work
    if [ -n "${LIBTORCH:-}" ] && [ "$(realpath "$LIBTORCH")" != "$(realpath -m "$folder")" ]; then
        { [ -d "$LIBTORCH/include" ] && [ -f "$LIBTORCH/lib/libtorch_cpu.so" ]; } ||
            fail "LIBTORCH = $LIBTORCH has no include or no lib/libtorch_cpu.so; the Python package's folder torch has both"
        rm -rf "$folder"
        mkdir -p .deps
        ln -s "$(realpath "$LIBTORCH")" "$folder"
    fi
    version=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' build-aux/libtorch.txt)
    if [ ! -L "$folder" ] && [ "$(cat "$folder/build-version" 2> /dev/null)" != "$version" ]; then
        say "fetching libtorch $version from PyPI (540 MB)"
        mkdir -p .deps
        # Not in /tmp, which is in memory on many machines.
        work=$(mktemp -d "$PWD/.deps/torch.XXXXXX")
        # shellcheck disable=SC2064 # the folder of now, not of later
        trap "rm -rf '$work'" EXIT
        python3 -m venv "$work/venv" || fail "python3 -m venv failed (see above)"
        TMPDIR=$work "$work/venv/bin/pip" download --quiet --disable-pip-version-check --no-cache-dir --no-deps \
            --only-binary=:all: --python-version 3.11 --require-hashes -r build-aux/libtorch.txt -d "$work" ||
            fail "libtorch could not be fetched (see above)"
        python3 build-aux/libtorch.py "$work/torch" "$work"/*.whl
        echo "$version" > "$work/torch/build-version"
        rm -rf "$folder"
        mv "$work/torch" "$folder"
        rm -rf "$work"
        trap - EXIT
    fi
    export LIBTORCH=$PWD/$folder
}

# The crate is fetched and built as it was published; of what it and its dependencies are made, only the plugin stays (10 MB of 650 MB).
webrtc() {
    local folder=.deps/webrtc work=.deps/webrtc-build version
    version=$(sed -n 's/^gst-plugin-webrtc = { version = "=\([0-9.]*\)".*/\1/p' build-aux/webrtc/Cargo.toml)
    [ "$(cat "$folder/build-version" 2> /dev/null)" != "$version" ] || return 0
    say "fetching and building webrtcsink $version (some minutes)"
    CARGO_TARGET_DIR=$work cargo build --release --quiet --manifest-path build-aux/webrtc/Cargo.toml -p gst-plugin-webrtc ||
        fail "the build of webrtcsink failed (see above)"
    mkdir -p "$folder"
    mv "$work/release/libgstrswebrtc.so" "$folder/"
    echo "$version" > "$folder/build-version"
    rm -rf "$work"
}

plugin() {
    local built=target/release/libgstlipsync.so installed=target/plugin/libgstlipsync.so features=()
    [ -f "$installed" ] || say "building the plugin (some minutes the first time)"
    [ -z "$with_torch" ] || features=(--features torch)
    CARGO_TARGET_DIR=target cargo build --release --lib --quiet "${features[@]}" || fail "the build failed (see above)"
    # GStreamer scans folders with all that is below them: the plugin lies alone, away from cargo's other copies of it.
    cmp -s "$built" "$installed" && return
    mkdir -p target/plugin
    cp "$built" "$installed.new"
    mv "$installed.new" "$installed"
    say "built $PWD/$installed"
}

debian_packages
rust
[ ! -e .deps/onnxruntime/libonnxruntime_providers_openvino.so ] || with_openvino=1
onnx_runtime
[ ! -e .deps/torch ] || with_torch=1
[ -z "$with_torch" ] || libtorch
plugin
[ -z "$with_webrtc" ] || webrtc
