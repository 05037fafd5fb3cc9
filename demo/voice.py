#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Levels speech (raw mono float32 at 16 kHz, standard input) and writes it as a 16-bit WAV file: python3 voice.py OUT.wav

What is spoken, pauses left out, comes to -20 dBFS RMS, or to less where its peak would pass -1.5 dBFS; 0.2 s of silence stay at either end.
"""
import sys
import wave

import numpy as np

RATE, RMS_DB, PEAK_DB, END = 16000, -20.0, -1.5, 0.2

sound = np.frombuffer(sys.stdin.buffer.read(), np.float32).astype(np.float64)
spoken = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
silence = np.zeros(int(END * RATE))
sound = np.concatenate([silence, sound[spoken[0]:spoken[-1] + 1], silence])

blocks = sound[:len(sound) // 320 * 320].reshape(-1, 320)           # of 20 ms
power = (blocks ** 2).mean(1)
rms = np.sqrt(power[power > 1e-3 * power.max()].mean())
gain = min(10 ** (RMS_DB / 20) / rms, 10 ** (PEAK_DB / 20) / np.abs(sound).max())

with wave.open(sys.argv[1], "wb") as out:
    out.setnchannels(1)
    out.setsampwidth(2)
    out.setframerate(RATE)
    out.writeframes(np.rint(sound * gain * 32767).astype("<i2").tobytes())
print(f"{len(sound) / RATE:.2f} s, speech {20 * np.log10(rms * gain):.1f} dBFS RMS, peak {20 * np.log10(np.abs(sound).max() * gain):.1f} dBFS")
