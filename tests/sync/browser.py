# SPDX-License-Identifier: MPL-2.0
"""browser.py URL [SECONDS [PICTURE.png]]: opens a page in Chromium, on a screen in memory (Xvfb) and with a loudspeaker that is recorded
(PulseAudio's null sink), and says after so many seconds (default: 120) how far the clicks that were heard were from the flashes that were seen.

The first 40 seconds do not count: the browser is still bringing sound and picture together. PICTURE.png shows the page in the end.
Needs chromium (or what CHROMIUM names), xvfb-run, pulseaudio, parec and pactl. See README.md for what is measured, and how well."""

import array
import base64
import itertools
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import measure

FLAGS = ("--no-sandbox", "--no-first-run", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe")
XVFB = ("xvfb-run", "-a")  # without a window altogether, Chromium is mute
RATE = 48000
SETTLED = 40  # s
LIMIT = 0.020  # s, of the mean


class Page:
    """A page of a browser that listens on file descriptor 3 and answers on 4, each message ended by a zero byte."""

    def __init__(self, url, profile, environment):
        program = os.environ.get("CHROMIUM") or shutil.which("chromium") or sys.exit("there is no chromium")
        there, self.to = os.pipe()
        self.back, here = os.pipe()
        pipes = f'exec "$@" 3<&{there} 4>&{here}'
        command = [*XVFB, "sh", "-c", pipes, "sh", program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.browser = subprocess.Popen(command, pass_fds=(there, here), stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
        os.close(there)
        os.close(here)
        self.numbers, self.waiting, self.session = itertools.count(1), b"", None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(target["targetId"] for target in targets if target["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.navigate", url=url)
        while self.run("location.protocol === 'about:' || document.readyState !== 'complete'"):
            time.sleep(0.1)

    def call(self, method, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.waiting:
                more = os.read(self.back, 1 << 20)
                if not more:
                    sys.exit("chromium has ended")
                self.waiting += more
            answer, self.waiting = self.waiting.split(b"\0", 1)
            answer = json.loads(answer)
            if answer.get("id") == number:
                if "error" in answer:
                    sys.exit(f"chromium: {method}: {answer['error']['message']}")
                return answer["result"]

    def run(self, script):
        said = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in said:
            sys.exit(f"the page: {said['exceptionDetails']}")
        return said["result"].get("value")


class Loudspeaker:
    """A sound card that is not there, and what is heard of it."""

    def __init__(self, folder):
        socket = f"{folder}/pulse"
        modules = [f"module-native-protocol-unix socket={socket} auth-anonymous=1", f"module-null-sink sink_name=speaker rate={RATE} channels=2"]
        self.environment = os.environ | {"PULSE_SERVER": f"unix:{socket}", "PULSE_RUNTIME_PATH": folder, "HOME": folder}
        options = ["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--log-level=error"]
        command = ["pulseaudio", *options, *(word for module in modules for word in ("-L", module))]
        self.server = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        for _ in range(100):
            if os.path.exists(socket):
                break
            time.sleep(0.05)
        command = ["parec", "--device=speaker.monitor", "--format=s16le", "--channels=1", f"--rate={RATE}", "--latency-msec=50"]
        self.recorder = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE)
        self.samples, self.begin = array.array("h"), None
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        """What comes late was held up, so the earliest piece tells when the first sample was made."""
        odd = b""
        while data := os.read(self.recorder.stdout.fileno(), 1 << 16):
            begin = time.time() - len(self.samples) / RATE
            self.begin = min(begin, self.begin or begin)
            data = odd + data
            whole = len(data) // 2 * 2
            self.samples.frombytes(data[:whole])
            odd = data[whole:]

    def ahead(self):
        """Seconds by which the sink makes sound before it plays it: a block."""
        said = subprocess.run(["pactl", "list", "sinks"], env=self.environment | {"LC_ALL": "C"}, stdout=subprocess.PIPE, text=True).stdout
        return int(re.search(r"Latency: \d+ usec, configured (\d+) usec", said)[1]) / 1e6

    def energies(self, since):
        size = RATE // 1000
        first = max(0, round((since - self.begin) * RATE))
        return [
            (self.begin + (k + size / 2) / RATE, sum(s * s for s in self.samples[k:k + size]))
            for k in range(first, len(self.samples) - size, size)
        ]  # fmt: skip

    def close(self):
        for process in (self.recorder, self.server):
            process.terminate()
            process.wait()


def main(url, seconds=120, shot=None):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        speaker = Loudspeaker(folder)
        try:
            page = Page(url, folder, speaker.environment)
            try:
                page.run(Path(__file__).with_name("browser.js").read_text(encoding="utf-8"))
                begin = time.time()
                time.sleep(float(seconds))
                ahead = speaker.ahead()
                seen = page.run("measured()")
                if shot:
                    Path(shot).write_bytes(base64.b64decode(page.call("Page.captureScreenshot")["data"]))
            finally:
                os.killpg(page.browser.pid, signal.SIGTERM)
                page.browser.wait()
        finally:
            speaker.close()
    settled = begin + min(SETTLED, float(seconds) / 4)
    frames = [(t - begin, places) for t, places in seen["frames"] if t > settled]
    places = list(zip(*(values for _, values in frames)))
    brightness = max(places, key=lambda values: sum((a - b) ** 2 for a, b in zip(values, values[1:])))
    heard = [(t - begin + ahead, energy) for t, energy in speaker.energies(settled)]
    good = measure.report(heard, [(t, b) for (t, _), b in zip(frames, brightness)], 50, LIMIT)
    print(f"{len(seen['frames'])} frames were caught of {seen['presented']} that were presented; a block of sound was {1000 * ahead:.0f} ms")
    own = seen["own"][2 * round(settled - begin):]
    if own:
        print(f"the browser itself thinks: {statistics.mean(own):.1f} ms in the mean, least {min(own):.1f}, most {max(own):.1f}")
    return good


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    sys.exit(0 if main(*sys.argv[1:]) else "the sound and the picture do not belong together")
