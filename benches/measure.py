# SPDX-License-Identifier: MPL-2.0
"""What a process costs."""
import os
import subprocess
import tempfile
import time
from pathlib import Path

# Frames that go through a network at once, in all that benches/compare.sh runs.
BATCH = int(os.environ.get("BATCH", 8))
# Where our pipelines run it.
DEVICE = os.environ.get("DEVICE", "cpu")
# Seconds between two looks at memory.
LOOK = 0.02


class Run:
    """A process from its start to its end, its children with it: seconds, wall and CPU, the most memory in MB that they had together, and what
    it said."""

    def __init__(self, command):
        command = [str(part) for part in command]
        most = 0
        with tempfile.TemporaryFile("w+") as said:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
            while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                most = max(most, sum(resident(pid) for pid in family(process.pid)))
                time.sleep(LOOK)
            _, status, used = ended
            self.wall = time.perf_counter() - start
            said.seek(0)
            self.said = said.read()
        if status != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{self.said}")
        self.cpu = used.ru_utime + used.ru_stime
        # The kernel knows the most that one of them had, looks or not.
        self.memory = max(most / 1e6, used.ru_maxrss / 1e3)


def family(pid):
    """The process and all that descend from it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            born = children.read_text().split()
        except OSError:
            # It has just ended.
            continue
        for child in born:
            yield from family(int(child))


def resident(pid):
    """Bytes that a process has in memory."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


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
