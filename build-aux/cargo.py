#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Runs cargo for meson: the plugin goes where meson wants it, with the list of files it was made from."""
import argparse
import os
import shutil
import subprocess
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cargo", required=True)
    parser.add_argument("--source", required=True, type=Path)
    parser.add_argument("--target-dir", required=True, type=Path)
    parser.add_argument("--torch", type=Path, help="folder of libtorch")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build")
    build.add_argument("profile", choices=["dev", "release"])
    build.add_argument("output", type=Path)
    build.add_argument("depfile", type=Path)
    commands.add_parser("test")
    options = parser.parse_args()

    cargo = [options.cargo, options.command, "--target-dir", str(options.target_dir)]
    features = ["test-runtime"] if options.command == "test" else []
    if options.torch:
        features.append("torch")
        os.environ["LIBTORCH"] = str(options.torch.resolve())
    cargo += ["--features", ",".join(features)]
    if options.command == "test":
        raise SystemExit(subprocess.call(cargo, cwd=options.source))
    status = subprocess.call([*cargo, "--lib", "--profile", options.profile], cwd=options.source)
    if status:
        raise SystemExit(status)

    built = options.target_dir / {"dev": "debug", "release": "release"}[options.profile]
    shutil.copy2(built / "libgstlipsync.so", options.output)
    # cargo's list names its own copy of the plugin as the target.
    files = (built / "libgstlipsync.d").read_text().split(": ", 1)[1]
    options.depfile.write_text(f"{options.output}: {files}")


main()
