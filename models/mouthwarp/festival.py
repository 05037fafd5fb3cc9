# SPDX-License-Identifier: MPL-2.0
"""Speech as festival builds it from recordings of people: formants and transitions that espeak-ng's rules do not have, with known phonemes."""

import subprocess
import tempfile
from pathlib import Path

from predict import read_wav
from speech import text

# Names of sounds → IPA. A stop's closure lies inside its own sound here, so p, t, k are written as their voiced sisters, of which speech.py says the same.
ENGLISH = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "axr": "ɚ", "ay": "aɪ", "eh": "ɛ", "el": "əl", "em": "m", "en": "n",
    "er": "ɝ", "ey": "eɪ", "ih": "ɪ", "iy": "i", "ow": "oʊ", "oy": "ɔɪ", "uh": "ʊ", "uw": "u", "ch": "tʃ", "dh": "ð", "dx": "ɾ", "hh": "h",
    "hv": "h", "jh": "dʒ", "ng": "ŋ", "nx": "n", "r": "ɹ", "sh": "ʃ", "th": "θ", "y": "j", "zh": "ʒ", "p": "b", "t": "d", "k": "ɡ",
}  # fmt: skip
CZECH = {
    "a:": "a", "c": "ts", "c~": "tʃ", "ch": "x", "d~": "ɟ", "dz~": "dʒ", "e": "ɛ", "e:": "ɛ", "h": "ɦ", "i": "ɪ", "i:": "i", "n*": "ŋ", "n~": "ɲ",
    "o:": "o", "r~": "ʒ", "r~*": "ʃ", "s~": "ʃ", "t~": "ɟ", "u:": "u", "z~": "ʒ", "p": "b", "t": "d", "k": "ɡ",
}  # fmt: skip
RUSSIAN = {
    "ii": "i", "yy": "ɨ", "uu": "u", "ee": "ɛ", "oo": "o", "aa": "a", "a": "ɐ", "i": "ɪ", "y": "ɨ", "ae": "ə", "ay": "ə", "ur": "ʊ", "pp": "b",
    "tt": "d", "kk": "ɡ", "c": "ts", "ch": "tɕ", "sch": "ɕ", "sh": "ʃ", "zh": "ʒ", "h": "x", "hh": "x", "bb": "b", "dd": "d", "gg": "ɡ", "ff": "f",
    "vv": "v", "ss": "s", "zz": "z", "mm": "m", "nn": "n", "ll": "l", "rr": "r", "p": "b", "t": "d", "k": "ɡ",
}  # fmt: skip
FINNISH = {"@": "æ", "7": "ø", "&": "æ", "S": "ʃ", "N": "ŋ", "p": "b", "t": "d", "k": "ɡ"}
CATALAN = {
    "ax": "ə", "E": "ɛ", "O": "ɔ", "J": "ɲ", "L": "ʎ", "S": "ʃ", "Z": "ʒ", "r": "ɾ", "rr": "r", "p": "b", "t": "d", "k": "ɡ",
}  # fmt: skip
# voice → (the text's language, its encoding, names of sounds)
VOICES = {
    "ked_diphone": ("en", "ascii", ENGLISH), "czech_dita": ("cs", "iso8859-2", CZECH), "czech_krb": ("cs", "iso8859-2", CZECH),
    "czech_machac": ("cs", "iso8859-2", CZECH), "czech_ph": ("cs", "iso8859-2", CZECH), "msu_ru_nsh_clunits": ("ru", "utf-8", RUSSIAN),
    "hy_fi_mv_diphone": ("fi", "latin-1", FINNISH), "suo_fi_lj_diphone": ("fi", "latin-1", FINNISH), "upc_ca_ona_hts": ("ca", "latin-1", CATALAN),
}  # fmt: skip
PACKAGES = "festival festvox-{kdlpc16k,czech-dita,czech-krb,czech-machac,czech-ph,ru,suopuhe-mv,suopuhe-lj,ca-ona-hts}"


def ipa(name, names):
    plain = name.rstrip("1")  # stress
    if plain in ("pau", "#", "##", "_", "h#", "brth"):
        return ""
    return names.get(plain) or names.get(plain.rstrip(":")) or plain.rstrip(":")


def speak(voice, sentences):
    """[(sound, [(seconds, IPA)])] for [(text, how many times slower)], in their order. A sentence that the voice cannot say is left out."""
    _, encoding, names = VOICES[voice]
    spoken = []
    with tempfile.TemporaryDirectory() as folder:
        script = [f"(voice_{voice})"]
        for k, (words, slower) in enumerate(sentences):
            script += [
                f"(Parameter.set 'Duration_Stretch {slower:.2f})",
                f'(unwind-protect (begin (set! u (SynthText "{words}")) (utt.save.wave u "{folder}/{k}.wav" \'riff)',
                f'(utt.save.segs u "{folder}/{k}.lab")) nil)',
            ]
        (Path(folder) / "say.scm").write_bytes("\n".join(script).encode(encoding, "ignore"))
        try:
            subprocess.run(["festival", "-b", f"{folder}/say.scm"], capture_output=True, check=False)
        except FileNotFoundError:
            raise SystemExit(f"festival is missing: apt-get install {PACKAGES}") from None
        for k in range(len(sentences)):
            lab = Path(folder) / f"{k}.lab"
            if not lab.exists():
                continue
            ends, _, sounds = zip(*(line.split() for line in lab.read_text("latin-1").splitlines()[1:]))
            starts = [0.0, *map(float, ends[:-1])]
            spoken.append((read_wav(lab.with_suffix(".wav")), [(t, ipa(s, names)) for t, s in zip(starts, sounds)]))
    return spoken


def utterances(per_voice, rng):
    """[(sound, phonemes)] of all voices that are installed."""
    spoken = []
    for voice, (language, _, _) in VOICES.items():
        found = speak(voice, [(text(language, rng), rng.uniform(0.75, 1.3)) for _ in range(per_voice)])
        if not found:
            print(f"festival does not have the voice {voice} and goes on without it")
        spoken += found
    return spoken
