#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Everything that is checked before a change is accepted: style, lints, unit and pipeline tests, the commands.
# Sets itself up; needs Rust (by rustup) and nothing else.
#
# ./tests/run.sh --torch checks what runs TorchScript instead. It is apart because of what it needs: libtorch to build with (0.5 GB), and
# PyTorch in Python to export networks from (4.6 GB), minutes to fetch and to compile. Nothing else here needs either.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "$*" in
    '' | --torch) ;;
    *) echo "unknown: $*. The only option is --torch" >&2 && exit 2 ;;
esac
./setup.sh "$@"
PATH="$PATH:$HOME/.cargo/bin"

if [ "$*" = --torch ]; then
    python=.deps/venv/bin/python
    if ! "$python" -c 'import onnx, onnxruntime, torch' 2> /dev/null; then
        echo '== PyTorch for the recipes in models/'
        python3 -m venv .deps/venv
        mapfile -t packages < <(grep -E '^(numpy|onnx|onnxruntime|torch)==' models/requirements.txt)
        TMPDIR=$(realpath .deps) "$python" -m pip install --quiet --no-cache-dir "${packages[@]}"
    fi
    LIBTORCH=$(realpath .deps/torch)
    export LIBTORCH
    echo '== TorchScript'
    cargo clippy --all-targets --features test-runtime,torch --quiet -- -D warnings
    cargo test --features test-runtime,torch --quiet torch -- --nocapture
    echo 'everything passed'
    exit
fi

echo '== style and lints'
cargo fmt --check
cargo clippy --all-targets --features test-runtime --quiet -- -D warnings
scripts=(setup.sh pipelines/*.sh tests/*.sh tests/*/run.sh .ci/run)
if command -v shellcheck > /dev/null; then
    shellcheck "${scripts[@]}"
else
    for script in "${scripts[@]}"; do bash -n "$script"; done
fi

echo '== elements'
# One test at a time: some of them watch the clock, and the cores may be few.
RUST_TEST_THREADS=1 GST_TRACERS=leaks G_DEBUG=fatal-criticals cargo test --features test-runtime --quiet

for test in tests/*.sh; do
    [ "$test" != tests/run.sh ] || continue
    echo "== $test"
    "$test"
done
echo 'everything passed'
