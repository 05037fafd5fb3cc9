#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""The usual way to dub a file, as the scripts that come with lip-sync models do it, for benches/compare.sh:

    flow.py MODEL torch|ort X,Y,W,H VIDEO SOUND OUT.mp4      the face's box, and models whose tensors are Wav2Lip's

All frames are read, the sound becomes a mel spectrogram, crops go through the network in batches, pictures are pasted into the frames, the
frames become a file, and ffmpeg makes H.264 of it and adds the sound. Prints the seconds that the network alone took.
"""
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import librosa
import numpy as np
from measure import BATCH

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "models"))
import sound as sounds  # noqa: E402
import tensors  # noqa: E402

FPS = 25
# As in pipelines/dub.sh.
H264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p"]
AAC = ["-c:a", "aac", "-b:a", "160k"]


def network(folder, kind):
    """A function of (mel, faces) as NumPy arrays."""
    (graph,) = tensors.manifest(folder)["lipsyncgen"]["graph"]
    files = graph["file"] if isinstance(graph["file"], list) else [graph["file"]]
    if kind == "torch":
        import torch

        loaded = torch.jit.load(str(folder / next(f for f in files if f.endswith(".pt")))).eval()

        def run(mel, faces):
            with torch.no_grad():
                return loaded(torch.from_numpy(mel), torch.from_numpy(faces)).numpy()

        return run
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / next(f for f in files if f.endswith(".onnx")), providers=["CPUExecutionProvider"])
    return lambda mel, faces: session.run(None, {"mel": mel, "faces": faces})[0]


def main():
    folder, kind, box, video, voice, out = sys.argv[1:]
    folder, (x, y, w, h) = Path(folder), map(int, box.split(","))
    manifest = tensors.manifest(folder)
    run = network(folder, kind)

    capture, frames = cv2.VideoCapture(video), []
    while (read := capture.read())[0]:
        frames.append(read[1])

    front = manifest["audiofeatures"]
    samples, rate = librosa.load(voice, sr=front["sample-rate"])
    mel = sounds.log_mel(samples, rate, front).T
    columns = rate / front["hop-length"] / FPS
    # As many frames as there are whole windows, and the last one.
    chunks = []
    while (start := int(len(chunks) * columns)) + 16 <= mel.shape[1]:
        chunks.append(mel[:, start : start + 16])
    chunks.append(mel[:, -16:])

    side = manifest["facecrop"]["size"][0]
    seconds, made = 0.0, []
    for first in range(0, len(chunks), BATCH):
        batch = chunks[first : first + BATCH]
        pictures = []
        for k in range(first, first + len(batch)):
            face = cv2.resize(frames[k % len(frames)][y : y + h, x : x + w], (side, side))
            masked = face.copy()
            masked[side // 2 :] = 0
            pictures.append(np.concatenate([masked, face], 2))
        faces = np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2), np.float32) / 255
        start = time.perf_counter()
        output = run(np.stack(batch)[:, None].astype(np.float32), faces)
        seconds += time.perf_counter() - start
        made.extend((output.transpose(0, 2, 3, 1) * 255).astype(np.uint8))

    with tempfile.TemporaryDirectory() as work:
        silent = f"{work}/silent.avi"
        writer = cv2.VideoWriter(silent, cv2.VideoWriter_fourcc(*"DIVX"), FPS, frames[0].shape[1::-1])
        for k, picture in enumerate(made):
            frame = frames[k % len(frames)].copy()
            frame[y : y + h, x : x + w] = cv2.resize(picture, (w, h))
            writer.write(frame)
        writer.release()
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", voice, "-i", silent, *H264, *AAC, out], check=True)
    print(f"{seconds:.3f}")


main()
