#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""table.py [--face VIDEO] [--voice WAV] [--keep FOLDER] [--guards] [NAME...]: sends awkward media through pipelines/dub.sh.

Prints a table of what they are, what came of them and how long it took, and fails where that is not what cases.py says. NAME: only
cases that have it in their name. --guards: only those of tests/media.sh. --keep: what was dubbed stays there, to be looked at."""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import cases
import make

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOUND = 120  # s that dub.sh may take


def dub(command, folder):
    """Runs a command, and ends it with all that it has started if it takes too long. Returns its status and what it said."""
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=BOUND)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        said, _ = process.communicate()
        return None, said.decode(errors="replace")
    return process.returncode, said.decode(errors="replace")


def refused(words, status, said, files):
    """What is wrong with a refusal, and its words."""
    lines = [line.removeprefix("dub.sh: ") for line in said.splitlines()]
    reason = " ".join(lines[-1:])
    wrong = []
    if status == 0:
        wrong.append("was not refused")
    if not re.search(words, reason):
        wrong.append(f"expected the words '{words}'")
    if not any(repr(name)[1:-1] in said or name in said for name in files):
        wrong.append("the file is not named")
    if len(lines) > 2:
        wrong.append(f"{len(lines)} lines")
    return wrong, reason


def attempt(kind, case, sources, keep):
    """Makes the file, dubs with it and checks. Returns what is wrong, what came of it, and seconds."""
    name, what, how, expected = case
    folder = pathlib.Path(tempfile.mkdtemp(prefix="media-"))
    here = os.getcwd()
    os.chdir(folder)
    try:
        for source in ("face.mp4", "voice.wav"):
            shutil.copy(sources / source, source)
        names = dict(it=name, face=str(folder / "face.mp4"), voice=str(folder / "voice.wav"))
        if callable(how):
            how(**names)
        else:
            make.shell(how.line if isinstance(how, make.Inside) else how, **names)
        files = {"video": "face.mp4", "audio": "voice.wav", "out": "out.mp4"} | {kind: name}
        out = files["out"]
        command = [ROOT / "pipelines/dub.sh", *files.values()]
        if isinstance(how, make.Inside):
            if subprocess.run(["unshare", "-rm", "true"], stderr=subprocess.DEVNULL).returncode:
                raise make.Missing("permission for namespaces")
            command = ["unshare", "-rm", "sh", "-c", how.first + ' && exec "$@"', "sh", *command]
        start = time.monotonic()
        status, said = dub(command, folder)
        seconds = time.monotonic() - start
        if isinstance(expected, tuple):
            expected = expected[status != 0]
        if status is None:
            wrong, outcome = [f"not done after {BOUND} s"], said.splitlines()[-1:]
        elif isinstance(expected, str):
            wrong, outcome = refused(expected, status, said, (name, os.path.dirname(name) or name))
            if kind != "out" and os.path.exists(out):
                wrong.append("OUT was left")
        elif status != 0:
            wrong, outcome = ["was refused"], " ".join(said.splitlines()[-2:])
        else:
            wrong, outcome = expected.check(out, said, str(folder / "face.mp4"))
            outcome = ", ".join(outcome)
            notes = [line.removeprefix("dub.sh: ") for line in said.splitlines() if re.search("warning|left out|picture ends", line)]
            outcome = "; ".join([outcome, *notes])
            if keep:
                shutil.copy(out, keep / (kind + "-" + re.sub(r"[^\w.-]", "_", os.path.basename(name)) + ".mp4"))
        left = [str(path) for path in folder.rglob(".dub*")]
        if left:
            wrong.append(f"{', '.join(left)} was left")
        return wrong, outcome, seconds
    finally:
        os.chdir(here)
        shutil.rmtree(folder)


def cell(text):
    """One line of a table, whatever is in it."""
    return re.sub(r"[\n\x00-\x1f]", lambda c: repr(c.group())[1:-1], str(text)).encode(errors="replace").decode().replace("|", "\\|")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--face", default=ROOT / "demo/face.mp4")
    parser.add_argument("--voice", default=ROOT / "demo/voice.wav")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--guards", action="store_true")
    asked = parser.parse_args()
    if asked.keep:
        asked.keep = asked.keep.absolute()
        asked.keep.mkdir(parents=True, exist_ok=True)
    asked.face, asked.voice = os.path.abspath(asked.face), os.path.abspath(asked.voice)
    sources = pathlib.Path(tempfile.mkdtemp(prefix="media-"))
    os.chdir(sources)
    try:
        make.sources(asked.face, asked.voice)
        failed = table(asked, sources)
    finally:
        os.chdir("/")
        shutil.rmtree(sources)
    sys.exit(failed > 0)


def table(asked, sources):
    """Prints it. Returns how many cases are wrong."""
    failed = done = 0
    begun = time.monotonic()
    print("| file | what it is | what comes of it | s |\n|---|---|---|---|")
    for kind, those in (("video", cases.VIDEOS), ("audio", cases.SOUNDS), ("out", cases.OUTS)):
        for case in those:
            name, what = f"{kind}/{case[0]}", case[1]
            if asked.names and not any(part in name for part in asked.names) or asked.guards and name not in cases.GUARDS:
                continue
            try:
                wrong, outcome, seconds = attempt(kind, case, sources, asked.keep)
            except make.Missing as missing:
                wrong, outcome, seconds = [], f"left out: {missing} is missing here", 0
            except subprocess.CalledProcessError as error:
                wrong, outcome, seconds = ["it cannot be made"], error.cmd[-1].splitlines()[-1], 0
            if wrong:
                failed += 1
                outcome = f"**WRONG: {'; '.join(wrong)}** {outcome}"
            done += 1
            print(f"| {kind.upper()} {cell(case[0])} | {cell(what)} | {cell(outcome)} | {seconds:.1f} |", flush=True)
    print(f"\n{done} cases, {failed} of them wrong, {time.monotonic() - begun:.0f} s")
    return failed


if __name__ == "__main__":
    main()
