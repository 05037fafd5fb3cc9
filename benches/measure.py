# SPDX-License-Identifier: MPL-2.0
"""What a process costs."""
import os
import subprocess
import tempfile
import time


class Run:
    """A process from its start to its end, its children with it: seconds, wall and CPU, peak memory in MB (of the largest of them), and what
    it said."""

    def __init__(self, command):
        command = [str(part) for part in command]
        with tempfile.TemporaryFile("w+") as said:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(process.pid, 0)
            self.wall = time.perf_counter() - start
            said.seek(0)
            self.said = said.read()
        if status != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{self.said}")
        self.cpu = used.ru_utime + used.ru_stime
        self.memory = used.ru_maxrss / 1e3


def first_byte(command):
    """Seconds from the process's start to the first byte that it prints; it ends there."""
    start = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE) as process:
        there = process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.kill()
    if not there:
        raise SystemExit(f"{' '.join(map(str, command))} printed nothing")
    return seconds
