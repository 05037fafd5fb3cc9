#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Compares the elements with the contracts: what they feed to each model's graphs, and what becomes of the frame, with what the model's
project does in Python. The elements run as examples/tensors runs them. The networks are small stand-ins, written into a temporary folder;
video and sound are real ones. Prints a table and fails where an element is further from the contract than is known and explained.

    python3 tests/contracts/check.py [MODEL …] [--video VIDEO --sound SOUND --region x,y,w,h]        needs what models/requirements.txt names

rows: how far the rows are from those of models/sound.py. audio: how far the tensor of sound is from the project's; rim: in frames at its ends that
need not agree; alike: their correlation; index: whether no neighbouring frame's fits better. pictures: how far the tensors of pictures are apart, in a
255th of their range. image: the generated picture, of 255; frame: the frame after the paste, over: the part of it that is more than 2 off, mean:
on average. mask: what is masked, exactly as the project does it. Figures are those of the worst frame.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import cv2
import librosa
import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
MODELS, MEDIA = ROOT / "models", ROOT.parent / "shared" / "media"
sys.path.insert(0, str(MODELS))
import sound as front  # noqa: E402

RATE, FPS, SECONDS = 16000, 25, 4
LAST = SECONDS * FPS - 1
# A window that reaches beyond the sound's start or end begins at most this many frames before its frame, or ends as many after it.
RIM = 12
# In a 255th of a tensor's range, in units of the row, and of 255 in the frame.
PICTURES, AUDIO, FRAME = 2, 1e-3, 2


class Case:
    """A model as its recipe makes it. `changes`: of the manifest, with which it does as its project. `alike`: its rows can only be like the
    project's. `rim`: how many frames at the sound's start, and at its end, need not agree. `frame`: whether the whole frame agrees. READMEs of
    the models say why where something does not."""

    def __init__(self, *arguments, changes=(), alike=False, rim=RIM, frame=False):
        self.arguments, self.changes, self.alike, self.rim, self.frame = arguments, changes, alike, rim, frame


def whole(rule):
    """The projects cut whole pixels, and a picture resized by OpenCV knows nothing of the frame beyond them."""
    return [(f'rule = "{rule}"', f'rule = "{rule}"\nwhole = true')]


CASES = {
    "wav2lip": Case(rim=0, frame=True),
    "wav2lip-256": Case("--size", "256", changes=whole("box"), rim=0, frame=True),
    "heygem": Case(changes=whole("rectangle"), rim=4),
    "musetalk": Case(alike=True),
    "duix": Case(rim=5),
    "ultralight": Case(alike=True),
    "ultralight-wenet": Case("--audio", "wenet"),
    "ultralight-328-hubert": Case("--size", "328", alike=True),
    "ultralight-328-wenet": Case("--audio", "wenet", "--size", "328"),
    "ultralight-328-ave": Case("--audio", "ave", "--size", "328"),
}


def contract_of(model):
    family = model.split("-")[0]
    contract = importlib.import_module(family)
    if family == "ultralight":
        contract.choose(model)
    if family == "wav2lip":
        contract.SIDE = int(model.split("-")[1]) if "-" in model else 96
    return contract


def elements(folder, clip, frames, out, *more, kind="BGR"):
    """What the elements do: {frame: {name: array}}, and the rows that they made."""
    command = ["cargo", "run", "--quiet", "--example", "tensors", "--", "--model", f"{folder}/", "--out", str(out), "--format", kind]
    command += ["--video", clip.video, "--sound", str(clip.sound), "--frames", ",".join(map(str, frames)), *more]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return {i: {file.stem: np.load(file) for file in (out / str(i)).iterdir()} for i in frames}, np.load(out / "sound" / "features.npy")


def tensors_of(found, expected):
    """The tensors that the contract names."""
    given = {name.split(".", 1)[1]: array for name, array in found.items() if "." in name}
    if "vae-encoder.image" in found:
        given.update(masked=found["vae-encoder.image"], face=found["vae-encoder-2.image"])
    return {name: given[name] for name in expected}


def face_in(found, model):
    left, top, width, height = found["box"].astype(float)
    points = found["landmarks"].astype(float)
    if model.startswith("ultralight"):
        # The three of 110 points that the rule looks at.
        found = np.zeros((110, 2))
        found[1], found[31], found[52] = points[:2].mean(0), points[15:17].mean(0), points[27]
        points = found
    return {"box": np.array([left, top, left + width, top + height]), "points": points}


def pictures_of(tensors):
    """The masked and the whole picture, each (3, h, w)."""
    parts = [part for name, t in tensors.items() if name not in ("mel", "audio") for part in np.split(t[0], t.shape[1] // 3)]
    assert len(parts) == 2
    return parts


def check_mask(contract, given, rows, side):
    """What is masked, and with what, is exactly what the contract masks."""
    plain = pictures_of(contract.tensors(np.full((side, side, 3), 77, np.uint8), rows, 0))
    which = 0 if np.ptp(plain[0]) > 0 else 1
    hole = plain[which] != plain[1 - which]
    masked, whole = pictures_of(given)[which], pictures_of(given)[1 - which]
    assert hole.any() and (masked[hole] == plain[which][hole]).all(), "the mask is not filled as the contract fills it"
    assert (masked[~hole] == whole[~hole]).all(), "more is masked than the contract masks"
    down, across = np.where(hole[0])
    return f"rows {down.min()} to {down.max()}, columns {across.min()} to {across.max()}"


def check_numbers(clip, found):
    """Frame i is the one that OpenCV reads at place i."""
    video = cv2.VideoCapture(clip.video)
    read = [video.read()[1] for _ in range(max(found) + 2)]
    for i, arrays in found.items():
        near = [k for k in (i - 1, i, i + 1) if k >= 0]
        distance = [np.abs(read[k].astype(int) - arrays["frame-before"]).mean() for k in near]
        assert near[np.argmin(distance)] == i, f"frame {i} is another one"


def check_i420(folder, clip, found, pasted, sides, out, *more):
    """How much the conversion of colours adds where the frames are I420. `pasted`: the contract's frames, blue, green, red."""
    converted, _ = elements(folder, clip, [*pasted], out, *more, kind="I420")
    tensor = [np.abs(converted[i]["wav2lip.faces"] - found[i]["wav2lip.faces"]) * 255 for i in pasted]
    # What the converter made Y of.
    colors = lambda frame: np.concatenate([frame.reshape(-1, 3), np.ones((frame.shape[0] * frame.shape[1], 1))], 1)
    first = min(pasted)
    weights = np.linalg.lstsq(colors(found[first]["frame-before"]), converted[first]["frame-before-0"].ravel(), rcond=None)[0]
    left, top, right, bottom = (int(side) for side in sides)

    def luma(name, frames):
        planes = [converted[i][name] - (colors(frame) @ weights).reshape(frame.shape[:2]) for i, frame in frames.items()]
        return np.abs([plane[top:bottom, left:right] for plane in planes])

    before, after = luma("frame-before-0", {i: found[i]["frame-before"] for i in pasted}), luma("frame-after-0", pasted)
    figures = [f"{f(part):.2g}" for part in (np.array(tensor), before, after) for f in (np.mean, np.max)]
    text = "from I420 its pictures are {} of 255 on average and {} at most from those of BGR; Y of the frame {}, {} before and {}, {} after the paste"
    return text.format(*figures)


def case(model, what, clip):
    contract = contract_of(model)
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "model", Path(place) / "out"
        recipe = [sys.executable, "-W", "ignore", str(MODELS / model.split("-")[0] / "export.py"), "--random", "0.002", "--out", str(folder)]
        subprocess.run([*recipe, *what.arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        text = (folder / "model.toml").read_text()
        for old, new in what.changes:
            assert old in text
            text = text.replace(old, new, 1)
        (folder / "model.toml").write_text(text)
        return compare(model, what, clip, contract, folder, out, tomllib.loads(text))


def compare(model, what, clip, contract, folder, out, manifest):
    frames = [*range(50), *range(LAST - RIM, LAST + 1)] if what.frame else [0, 1, 5, 7, 13, *range(30, 36), 60, LAST - RIM - 1, LAST - 6, LAST]
    region = ["--region", clip.region] if what.frame else []
    found, rows = elements(folder, clip, frames, out, *region)
    theirs, fps = contract.rows(clip.samples, folder), getattr(contract, "fps", lambda: FPS)()
    plain = front.rows(clip.samples, manifest["audiofeatures"], folder)[: len(rows)]
    worst = dict.fromkeys(["pictures", "audio", "rim", "image", "frame", "over", "mean"], 0.0)
    worst["rows"] = float(np.abs(rows[: len(plain)] - plain).max())
    lags, alike, mask, pasted = np.zeros(3), [], "", {}

    def more(key, value):
        worst[key] = max(worst[key], float(value))

    for i in frames:
        frame, face, number = found[i]["frame-before"][:, :, ::-1], face_in(found[i], model), int(i * fps / FPS + 1e-3)
        picture = contract.crop(frame, face)
        expected = contract.tensors(picture, theirs, number)
        given = tensors_of(found[i], expected)
        assert all(given[name].shape == tensor.shape for name, tensor in expected.items())
        for ours, project in zip(pictures_of(given), pictures_of(expected)):
            low, high = (-1, 1) if project.min() < 0 else (0, 1)
            more("pictures", np.abs(ours - project).max() / (high - low) * 255)
        mask = check_mask(contract, given, theirs, picture.shape[0])
        name = next(name for name in ("mel", "audio") if name in expected)
        inside = what.rim <= i <= LAST - what.rim
        more("audio" if inside else "rim", np.abs(given[name] - expected[name]).max())
        if inside:
            if RIM <= i < LAST - RIM:
                alike.append(np.corrcoef(given[name].ravel(), expected[name].ravel())[0, 1])
                lags += [np.square(given[name] - contract.tensors(picture, theirs, number + lag)[name]).sum() for lag in (-1, 0, 1)]
            image = contract.image(folder, expected)
            more("image", np.abs(found[i]["image"].astype(int) - image).max())
            pasted[i] = contract.paste(frame.copy(), face, image, folder)[:, :, ::-1]
            difference = np.abs(found[i]["frame-after"].astype(int) - pasted[i])
            more("frame", difference.max())
            sides = [int(side) for side in contract.sides(face)]
            inside = difference[sides[1] : sides[3], sides[0] : sides[2]]
            more("mean", inside.mean())
            more("over", (inside > FRAME).mean())
    worst.update(mask=mask, index="right" if lags[1] == lags.min() else "WRONG", alike=min(alike), note="")
    if what.frame:
        check_numbers(clip, found)
        worst["note"] = check_i420(folder, clip, found, {i: pasted[i] for i in [*pasted][:10]}, sides, out.with_name("i420"), *region)
    return worst


def fits(what, worst):
    assert worst["index"] == "right", "the rows are a neighbour's"
    assert worst["pictures"] <= PICTURES, "its pictures are too far from the project's"
    assert worst["rows"] <= AUDIO, "its rows are not those of models/sound.py"
    assert worst["alike"] > 0.98 if what.alike else worst["audio"] <= AUDIO, "its rows are too far from the project's"
    assert not what.frame or worst["frame"] <= FRAME, "the frame is too far from the project's"


class Clip:
    def __init__(self, folder, video, sound, region):
        self.video, self.region = str(Path(video).resolve()), region
        samples = librosa.load(sound, sr=RATE)[0][: SECONDS * RATE]
        self.sound = Path(folder) / "sound.wav"
        soundfile.write(self.sound, samples, RATE, "PCM_16")
        self.samples = soundfile.read(self.sound, dtype="float32")[0]


def main():
    media = MEDIA.is_dir()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(CASES))
    parser.add_argument("--video", default=str(MEDIA / "video/woman_outdoor_540x960_25fps_h264.mp4" if media else ROOT / "demo/face.mp4"))
    parser.add_argument("--sound", default=str(MEDIA / "audio/latentsync1_16k_mono_s16.wav" if media else ROOT / "demo/voice.wav"))
    parser.add_argument("--region", default="180,250,181,223", help="of Wav2Lip")
    args = parser.parse_args()
    subprocess.run(["cargo", "build", "--quiet", "--example", "tensors"], check=True, cwd=ROOT)
    columns = ["rows", "audio", "rim", "alike", "index", "pictures", "image", "frame", "over", "mean"]
    print(f"{'':22}" + "".join(f"{column:>9}" for column in columns) + "  mask")
    wrong, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        clip = Clip(folder, args.video, args.sound, args.region)
        for model in args.models or CASES:
            worst = case(model, CASES[model], clip)
            cells = [worst[c] if isinstance(worst[c], str) else f"{worst[c]:.4f}" if c == "alike" else f"{worst[c]:.2g}" for c in columns]
            print(f"{model:22}" + "".join(f"{cell:>9}" for cell in cells) + f"  {worst['mask']}", flush=True)
            notes += [f"{model}: {worst['note']}"] if worst["note"] else []
            try:
                fits(CASES[model], worst)
            except AssertionError as error:
                wrong.append(f"{model}: {error}")
    print(*notes, *wrong, sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
