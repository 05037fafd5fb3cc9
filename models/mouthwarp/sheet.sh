#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: sheet.sh OUT.png PICTURE_VIDEO_OR_FOLDER...     (PYTHON=venv/bin/python where requirements.txt is installed)
# Contact sheet: a row per picture, per video's middle frame: as it is, closed, /m/, /i/, /e/, /a/, /o/, /u/. A folder stands for all that is in it.
set -eu
[ $# -ge 2 ] || { sed -n 3,4p "$0" >&2; exit 2; }
here=$(dirname "$0")
out=$1
shift
for name; do
    shift
    if [ -d "$name" ]; then
        for file in "$name"/*; do set -- "$@" "$file"; done
    else
        set -- "$@" "$name"
    fi
done
exec "${PYTHON:-python3}" "$here/sheet.py" "$out" "$@"
