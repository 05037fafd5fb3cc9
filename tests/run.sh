#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Everything that is checked before a change is accepted: style, lints, unit and pipeline tests, the commands.
# Sets itself up; needs Rust (by rustup) and nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./setup.sh
PATH="$PATH:$HOME/.cargo/bin"

echo '== style and lints'
cargo fmt --check
cargo clippy --all-targets --features test-runtime --quiet -- -D warnings
scripts=(setup.sh pipelines/*.sh tests/*.sh .ci/run)
if command -v shellcheck > /dev/null; then
    shellcheck "${scripts[@]}"
else
    for script in "${scripts[@]}"; do bash -n "$script"; done
fi

echo '== elements'
G_DEBUG=fatal-criticals cargo test --features test-runtime --quiet

for test in tests/*.sh; do
    [ "$test" != tests/run.sh ] || continue
    echo "== $test"
    "$test"
done
echo 'everything passed'
