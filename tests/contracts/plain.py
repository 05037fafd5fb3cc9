#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Compares the manifests with the contracts: what models/tensors.py and models/sound.py make of a manifest's keys must be what each project's
way of doing it makes. The networks are small stand-ins, written into a temporary folder; the picture, the face and the sound are made up.

    python3 tests/contracts/plain.py [MODEL …]        needs what models/requirements.txt names
"""

import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

MODELS = Path(__file__).resolve().parents[2] / "models"
sys.path.insert(0, str(MODELS))
import sound as front  # noqa: E402
import tensors  # noqa: E402

SECONDS = 4.3
# Model, arguments of its recipe, and how far rows may lie apart. HuBERT's windows are normalised one by one, its project normalises the whole
# sound: there the rows must follow the project's, and better than their neighbours do.
CASES = {
    "wav2lip": ([], 1e-4), "wav2lip-256": (["--size", "256"], 1e-4), "heygem": ([], 2e-3), "musetalk": ([], 1e-4), "duix": ([], 2e-3),
    "ultralight": ([], None), "ultralight-wenet": (["--audio", "wenet"], 2e-3), "ultralight-328-hubert": (["--size", "328"], None),
    "ultralight-328-wenet": (["--audio", "wenet", "--size", "328"], 2e-3), "ultralight-328-ave": (["--audio", "ave", "--size", "328"], 1e-4),
}  # fmt: skip


def scene():
    """A frame, a face in it (a box, and 110 points that serve as 68, too) and sound that comes and goes."""
    rng = np.random.default_rng(2)
    frame = cv2.resize(rng.integers(0, 255, (72, 96, 3), np.uint8), (960, 720), interpolation=cv2.INTER_CUBIC)
    points = np.array([480.0, 330.0]) + rng.uniform(-1, 1, (110, 2)) * [130, 150]
    points[[0, 1]], points[[16, 31]] = [340.3, 300.6], [610.8, 301.2]
    points[[28, 29, 52], 1] = [290.2, 330.7, 260.4]
    time = np.arange(int(16000 * SECONDS)) / 16000
    voice = 0.2 * np.sin(2 * np.pi * 180 * time + 9 * np.sin(2 * np.pi * 3 * time)) * np.abs(np.sin(2 * np.pi * 1.7 * time))
    voice += 0.03 * rng.standard_normal(len(time))
    return frame, {"box": np.array([350.0, 240.0, 610.0, 560.0]), "points": points}, voice.astype(np.float32)


def case(model, arguments, near):
    family = model.split("-")[0]
    contract = importlib.import_module(family)
    if family == "ultralight":
        contract.choose(model)
    if family == "wav2lip":
        contract.SIDE = int(model.split("-")[1]) if "-" in model else 96
    frame, face, voice = scene()
    face = face if family == "ultralight" else {**face, "points": face["points"][:68]}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        recipe = [sys.executable, "-W", "ignore", str(MODELS / family / "export.py"), "--random", "0.002", "--out", place]
        subprocess.run([*recipe, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        manifest = tensors.manifest(folder)
        section, crop = manifest["audiofeatures"], manifest["facecrop"]
        rate = section["rate"] if section["kind"] == "encoder" else section["sample-rate"] / section["hop-length"]
        rows, theirs = front.rows(voice, section, folder), contract.rows(voice, folder)
        wide = theirs.reshape(-1, rows.shape[1])
        # The projects hear silence after the sound where a window of ours may do, too; what both have is compared.
        count = min(len(rows), len(wide))
        assert count >= len(rows) - 3, f"{len(rows)} rows, the project has {len(wide)}"
        # At the ends of what they hear, encoders hear nothing at all in one way and silence in the other.
        rim = slice(6, count - 6) if family in ("musetalk", "heygem", "duix") else slice(0, count)
        distance = np.abs(rows[rim] - wide[rim])
        if near is not None:
            assert distance.max() <= near * max(1, np.abs(wide).max()), f"rows differ by {distance.max()}"
        else:
            alike = [np.corrcoef(rows[8 : count - 8].ravel(), wide[8 + lag : count - 8 + lag].ravel())[0, 1] for lag in (-1, 0, 1)]
            assert alike[1] > 0.98 and alike[1] == max(alike), f"rows do not follow the project's: {alike}"

        seams = ""
        if section["kind"] == "encoder":
            used = front.answers_of(section)[2]
            steps = np.abs(np.diff(rows[8 : len(rows) - 8], axis=0)).max(1)
            at_seam = (np.arange(len(steps)) + 9) % used == 0
            seams = f"; largest step at a seam {steps[at_seam].max():.2f}, elsewhere {steps[~at_seam].max(initial=0):.2f}" if used > 1 else ""
            assert used == 1 or steps[at_seam].max() <= steps[~at_seam].max(), f"a seam shows{seams}"

        sides = tensors.rectangle(crop, face["box"], face["points"])
        apart = np.abs(np.array(sides) - np.array(contract.sides(face))).max()
        assert apart < 1e-9, f"rectangles differ by {apart} px"
        # The projects cut whole pixels; manifests without `whole` do not, so that a rectangle that moves does not shake.
        ours, picture = tensors.crop(frame, np.trunc(sides), crop), contract.crop(frame, face)
        # At its rim a picture resized by OpenCV knows nothing of the frame beyond it.
        difference = np.abs(ours.astype(int) - picture)[4:-4, 4:-4].max()
        assert difference <= 2, f"crops differ by {difference}"

        # Tensors, of the same crop and the same rows.
        seen = {}
        generator = tensors.Generator(folder, watch=lambda file, feed: seen.setdefault(file, []).append(feed))
        fps, same = manifest["fps"], theirs.reshape(-1, rows.shape[1])
        last = int((len(same) - 2 * section.get("beyond", 0)) / rate * fps) - 1
        for i in (1, 7, 30, last - 12, last):
            seen.clear()
            result = generator(picture, same, i / fps, rate)
            expected = contract.tensors(picture, theirs, i)
            given = {name: tensor for feeds in seen.values() for feed in feeds for name, tensor in feed.items()}
            if family == "musetalk":
                masked, whole_face = (feed["image"] for feed in seen["vae-encoder.onnx"])
                given.update(masked=masked, face=whole_face)
            inside = 12 <= i < last - 12
            for name, tensor in expected.items():
                assert np.abs(given[name] - tensor).max() < 1e-5, f"tensor {name} of frame {i} differs by {np.abs(given[name] - tensor).max()}"
            if inside:
                image = generator.image(result)
                assert np.abs(image.astype(int) - contract.image(folder, expected)).max() <= 1, f"image of frame {i}"
    print(f"{model}: {len(rows)} rows, off by {distance.max():.2g} at most; crops by {difference} of 255{seams}")
    return image


def columns():
    """AVE's own log-mel is Wav2Lip's, and its windows are where SyncTalk cuts them."""
    import torch
    import wav2lip

    sys.path.insert(0, str(MODELS / "ultralight"))
    export = importlib.import_module("export")
    voice = scene()[2]
    graph = export.Ave(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Unflatten(1, (1, 1280)), torch.nn.AdaptiveAvgPool1d(512)))
    found = graph(torch.from_numpy(voice[None, 3200 : 3200 + 21800]))[0, 5:].detach().numpy()
    mel = wav2lip.rows(voice, None)[16:]
    for k in range(25):
        window = mel[int(80 * (k + 5) / 25) :][:16].T.reshape(1, 1, 1280)
        expected = torch.nn.functional.adaptive_avg_pool1d(torch.from_numpy(np.ascontiguousarray(window)), 512)[0, 0].numpy()
        assert np.abs(found[k] - expected).max() < 1e-3, f"answer {k} differs by {np.abs(found[k] - expected).max()}"
    print("AVE's columns are Wav2Lip's")


def main():
    chosen = sys.argv[1:] or [*CASES]
    if not sys.argv[1:]:
        columns()
    for model in chosen:
        case(model, *CASES[model])


if __name__ == "__main__":
    main()
