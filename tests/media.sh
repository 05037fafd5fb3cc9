#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Awkward media that once went wrong in pipelines/dub.sh. Expects that setup.sh has run. All of them: tests/media/table.py.
set -euo pipefail
python3 "$(dirname "${BASH_SOURCE[0]}")/media/table.py" --guards
