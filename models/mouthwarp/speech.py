# SPDX-License-Identifier: MPL-2.0
"""Speech with known mouth shapes: espeak-ng's C library speaks made-up words and numbers and tells when each phoneme begins."""

import ctypes as C
import multiprocessing
import unicodedata
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from features import HOP, SAMPLE_RATE, resample

# --- espeak-ng -------------------------------------------------------------------------------------------------------


class _Id(C.Union):
    _fields_ = [("number", C.c_int), ("name", C.c_char_p), ("string", C.c_char * 8)]


class _Event(C.Structure):
    _fields_ = [
        ("type", C.c_int), ("unique_identifier", C.c_uint), ("text_position", C.c_int), ("length", C.c_int),
        ("audio_position", C.c_int), ("sample", C.c_int), ("user_data", C.c_void_p), ("id", _Id),
    ]  # fmt: skip


_PHONEME, _SYNCHRONOUS, _PHONEME_EVENTS_IN_IPA, _UTF8 = 7, 2, 1 | 2, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_Callback = C.CFUNCTYPE(C.c_int, C.POINTER(C.c_short), C.c_int, C.POINTER(_Event))


class _Library:
    """One per process: the library keeps global state."""

    opened = None

    def __init__(self):
        self._lib = C.CDLL("libespeak-ng.so.1")
        self._rate = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS_IN_IPA)
        if self._rate <= 0:
            raise RuntimeError("espeak-ng cannot be initialised: is the package espeak-ng-data installed?")
        self._sound, self._phonemes = [], []
        self._callback = _Callback(self._collect)
        self._lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count, events):
        if samples and count > 0:
            self._sound.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == _PHONEME:
                name = bytes(C.string_at(C.addressof(events[i].id), 8)).split(b"\0")[0]
                self._phonemes.append((events[i].sample / self._rate, name.decode("utf-8", "ignore")))
            i += 1
        return 0

    def speak(self, voice, text, rate, pitch, pitch_range):
        self._sound.clear()
        self._phonemes.clear()
        if self._lib.espeak_SetVoiceByName(voice.encode()):
            return None
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._lib.espeak_SetParameter(parameter, value, 0)
        data = text.encode()
        self._lib.espeak_Synth(data, len(data) + 1, 0, 0, 0, _UTF8, None, None)
        self._lib.espeak_Synchronize()
        if not self._sound:
            return None
        sound = np.concatenate(self._sound).astype(np.float32) / 32768
        return resample(sound, self._rate), list(self._phonemes)


def _speak(*what):
    _Library.opened = _Library.opened or _Library()
    return _Library.opened.speak(*what)


class Espeak:
    """espeak-ng, in a process of its own because some voices crash it now and then."""

    def __init__(self):
        self._start()

    def _start(self):
        self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def speak(self, voice, text, rate, pitch, pitch_range):
        """(sound at SAMPLE_RATE, [(seconds, phoneme in IPA)]), or None where this voice is not installed, or crashed."""
        try:
            return self._process.submit(_speak, voice, text, rate, pitch, pitch_range).result()
        except BrokenProcessPool:
            self._start()
            return None


# --- what is said ----------------------------------------------------------------------------------------------------

_ONSETS = "p b m p b m t d k g f v s z n l r sh ch h w j st pr tr br kl bl pl fr sp".split()
_VOWELS = "a e i o u a e i o u ai au ei oi ou ee oo".split()
_CODAS = ["", "", "", "", "n", "m", "r", "l", "s", "t", "p", "k", "b", "mp", "st"]
_ACCENTED = {
    "de": "äöü", "fr": "éèu", "sv": "åäö", "fi": "äö", "hu": "áéöőüű", "tr": "öüı", "pt-br": "ãéó", "pt": "ãéó", "da": "æøå", "ro": "ăâi",
    "sk": "áéäô", "cs": "áéěů", "nb": "æøå", "is": "áéöý", "et": "äöüõ", "az": "əöüı", "lv": "āēīū",
}  # fmt: skip
# Written in other letters; but every language reads digits as its own words.
NUMBERS_ONLY = {"cmn", "ja", "ru", "hi", "ar", "ko", "el", "bg", "uk", "fa", "ta", "bn", "ka"}


def text(language, rng):
    words = []
    for _ in range(rng.integers(3, 9)):
        if language in NUMBERS_ONLY or rng.random() < 0.25:
            words.append(str(rng.integers(0, 10 ** rng.integers(1, 6))))
        else:
            vowels = _VOWELS + list(_ACCENTED.get(language, ""))
            parts = [rng.choice(_ONSETS) + rng.choice(vowels) + rng.choice(_CODAS) for _ in range(rng.integers(1, 4))]
            words.append("".join(parts))
    return " ".join(w + rng.choice(["", "", "", ",", "."]) for w in words) + "."


# --- how the mouth looks meanwhile -----------------------------------------------------------------------------------

# IPA vowel → (jaw 0..1, spread -1 round .. 1). Values by eye, after the vowel chart: height opens the jaw, rounding narrows the mouth.
_VOWEL = {
    "a": (1.0, 0.15), "ɐ": (0.8, 0.1), "ɑ": (1.0, 0.0), "ɒ": (0.85, -0.35), "æ": (0.95, 0.35), "ʌ": (0.7, 0.05),
    "ɛ": (0.65, 0.4), "e": (0.45, 0.6), "ə": (0.4, 0.1), "ɘ": (0.4, 0.1), "ɜ": (0.5, 0.0), "ɚ": (0.4, -0.2), "ɝ": (0.45, -0.2),
    "ɪ": (0.32, 0.6), "i": (0.22, 0.95), "ɨ": (0.25, 0.5), "ɯ": (0.22, 0.3), "ɤ": (0.4, 0.2), "y": (0.22, -0.85), "ʉ": (0.25, -0.8),
    "ø": (0.4, -0.7), "ɵ": (0.4, -0.6), "œ": (0.6, -0.55), "ɶ": (0.8, -0.4), "ɔ": (0.7, -0.6), "o": (0.5, -0.85), "ʊ": (0.3, -0.7),
    "u": (0.25, -1.0), "ᵻ": (0.3, 0.4), "ε": (0.65, 0.4),
}  # fmt: skip
# consonant → (jaw, how firmly, spread, how firmly, closure). Without an entry: ANY.
_ANY = (0.22, 0.35, 0.15, 0.15, 0.0)
_CONSONANT = {
    "p": (0.12, 1.0, 0.0, 0.2, 1.0), "b": (0.12, 1.0, 0.0, 0.2, 1.0), "m": (0.12, 1.0, 0.0, 0.2, 1.0),
    "f": (0.15, 1.0, 0.1, 0.3, 0.6), "v": (0.15, 1.0, 0.1, 0.3, 0.6), "ɱ": (0.15, 1.0, 0.1, 0.3, 0.6),
    "β": (0.15, 1.0, 0.0, 0.2, 0.8), "ɸ": (0.15, 1.0, -0.2, 0.3, 0.6), "ʋ": (0.18, 0.8, 0.0, 0.2, 0.4),
    "w": (0.2, 0.8, -1.0, 1.0, 0.0), "ɥ": (0.2, 0.8, -0.9, 1.0, 0.0), "ɹ": (0.25, 0.4, -0.4, 0.4, 0.0),
    "s": (0.12, 0.9, 0.35, 0.35, 0.0), "z": (0.12, 0.9, 0.35, 0.35, 0.0), "ʃ": (0.15, 0.9, -0.55, 0.8, 0.0), "ʒ": (0.15, 0.9, -0.55, 0.8, 0.0),
    "ɕ": (0.13, 0.9, 0.2, 0.4, 0.0), "ʑ": (0.13, 0.9, 0.2, 0.4, 0.0), "j": (0.2, 0.5, 0.6, 0.5, 0.0),
    "h": (0.4, 0.05, 0.0, 0.02, 0.0), "ʔ": (0.3, 0.05, 0.0, 0.02, 0.0), "ɦ": (0.4, 0.05, 0.0, 0.02, 0.0),
    "l": (0.35, 0.4, 0.15, 0.15, 0.0), "k": (0.3, 0.3, 0.1, 0.1, 0.0), "ɡ": (0.3, 0.3, 0.1, 0.1, 0.0), "g": (0.3, 0.3, 0.1, 0.1, 0.0),
    "x": (0.35, 0.3, 0.0, 0.1, 0.0), "ʁ": (0.35, 0.3, 0.0, 0.1, 0.0), "χ": (0.35, 0.3, 0.0, 0.1, 0.0), "ħ": (0.5, 0.2, 0.1, 0.1, 0.0),
    "ʕ": (0.5, 0.2, 0.1, 0.1, 0.0), "ɻ": (0.25, 0.4, -0.4, 0.4, 0.0), "θ": (0.2, 0.7, 0.15, 0.2, 0.0), "ð": (0.2, 0.6, 0.15, 0.2, 0.0),
}  # fmt: skip
_PLAIN = set("tdnŋɲɳɾrɽʈɖçʝɣqɢɴʀʂʐɫʎɭɬcɟ")
_HOLD_BEFORE_BURST = 0.05  # espeak-ng places a plosive at its burst; the lips close about this much earlier
_SHORTEST_CLOSURE = 0.07
_PAUSE = 0.15  # a shorter silence between two sounds is no reason to close the mouth
KERNEL = 0.06  # what neighbours are blended over: a raised cosine, its width at half of its height in seconds
CLOSURE_KERNEL = 0.02


def _hann(seconds):
    k = np.hanning(2 * round(seconds * SAMPLE_RATE / HOP) + 1)
    return k / k.sum()


def mouth(phonemes, rows, kernel=KERNEL):
    """(rows, 3): jaw, spread, closure for every row of features. Firm phonemes pull the loose ones beside them along."""
    jaw, jaw_w, spread, spread_w, closure = np.zeros((5, rows))
    jaw_w += 1.0  # silence before, after and between the phrases is a closed mouth
    spread_w += 0.3
    per_second = SAMPLE_RATE / HOP

    def put(start, end, j, jw, s, sw, c):
        a, b = max(0, round(start * per_second)), max(0, round(end * per_second))
        jaw[a:b], jaw_w[a:b], spread[a:b], spread_w[a:b] = j, jw, s, sw
        if c:
            middle, length = (start + end) / 2, max(end - start, _SHORTEST_CLOSURE)
            a, b = (max(0, round((middle + side * length / 2) * per_second)) for side in (-1, 1))
            closure[a:b] = np.maximum(closure[a:b], c)

    for symbol, a, b in segments(phonemes):
        if symbol in _VOWEL:
            j, s = _VOWEL[symbol]
            put(a, b, j, 1.0, s, 1.0, 0.0)
            continue
        shape = _CONSONANT.get(symbol, _ANY)
        if symbol == "p":
            put(a - _HOLD_BEFORE_BURST, a + 0.01, *shape)
            put(a + 0.01, b, *_ANY)
        else:
            put(a - (_HOLD_BEFORE_BURST if symbol in ("t", "k") else 0), b, *shape)

    def blend(value, firmness, kernel):
        return np.convolve(value * firmness, kernel, "same") / np.convolve(firmness, kernel, "same").clip(1e-3)

    # The lips of a plosive win over its jaw, so closure is smoothed the least.
    k = _hann(kernel)
    return np.stack([blend(jaw, jaw_w, k), blend(spread, spread_w, k), np.convolve(closure, _hann(CLOSURE_KERNEL), "same")], 1).astype(np.float32)


def segments(phonemes):
    """(symbol, start, end) of each sound; "" is a short silence, long ones are left out. The last phoneme only ends the one before."""
    found = []
    for (start, name), (end, _) in zip(phonemes, phonemes[1:]):
        letters = unicodedata.normalize("NFD", name) if name[:1] != "(" else ""  # "(en)" announces another language
        symbols = [c for c in letters if c in _VOWEL or c in _CONSONANT or c in _PLAIN] or [""]
        if symbols == [""] and found and found[-1][0] == "":
            found[-1] = "", found[-1][1], end
            continue
        step = (end - start) / len(symbols)
        found += [(symbol, start + i * step, start + (i + 1) * step) for i, symbol in enumerate(symbols)]
    return [f for f in found if f[0] or f[2] - f[1] < _PAUSE]


def closures(phonemes):
    """(start, end) of every p, b, m: while the lips are together."""
    for symbol, a, b in segments(phonemes):
        if symbol in ("p", "b", "m"):
            yield (a - _HOLD_BEFORE_BURST, a) if symbol == "p" else (a, b)
