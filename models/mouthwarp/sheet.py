# SPDX-License-Identifier: MPL-2.0
"""usage: sheet.py OUT.png PICTURE_OR_VIDEO[@FRAME]... [--box X,Y,W,H]
Draws a row for each picture: as it is, closed, /m/, /i/, /e/, /a/, /o/, /u/, pasted at full resolution. The face is found by OpenCV's Haar
cascade, or lies in --box. Needs ../face_landmark_68.
"""

import argparse

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx.utils import Extractor

from features import HERE
from paste import crop_map, cut, paste, to_crop

POSES = {
    "closed": (0, 0, 0), "m": (0.15, 0, 1), "i": (0.25, 0.95, 0), "e": (0.5, 0.5, 0),
    "a": (0.9, 0.1, 0), "o": (0.5, -0.8, 0), "u": (0.25, -1, 0),
}  # fmt: skip
TENSORS = ["upper", "lower", "edges", "inner", "weight"]
SIDE = 320


def landmarks(frame, box, net):
    """68 points in frame pixels; the second look is centred on what the first one found."""
    x, y, w, h = box
    side, centre = max(w, h) * 1.2, np.array([x + w / 2, y + h / 2])
    for _ in range(2):
        matrix = np.float32([[side / 112, 0, centre[0] - side / 2], [0, side / 112, centre[1] - side / 2]])
        crop = cv2.warpAffine(frame, matrix, (112, 112), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
        out = net.run(None, {"input": crop.transpose(2, 0, 1)[None].astype(np.float32)})[0]
        marks = out.reshape(68, 2) * side + centre - side / 2
        centre, side = (marks.min(0) + marks.max(0)) / 2, np.ptp(marks, axis=0).max() * 1.25
    return marks


def read(name):
    path, _, number = name.partition("@")
    frame = cv2.imread(path)
    if frame is None:
        video = cv2.VideoCapture(path)
        middle = video.get(cv2.CAP_PROP_FRAME_COUNT) // 2
        video.set(cv2.CAP_PROP_POS_FRAMES, int(number or middle))
        frame = video.read()[1]
    if frame is None:
        raise SystemExit(f"{path} is neither a picture nor a video that OpenCV reads")
    return frame[:, :, ::-1].copy()


def find(frame):
    """The rectangle that looks most like a face, or None."""
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    faces, _, scores = cascade.detectMultiScale3(gray, 1.1, 5, minSize=(60, 60), outputRejectLevels=True)
    return max(zip(scores, faces), key=lambda f: f[0], default=(0, None))[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--box")
    args = parser.parse_args()
    cpu = ["CPUExecutionProvider"]
    net = onnxruntime.InferenceSession(HERE.parent / "face_landmark_68" / "face_landmark_68.onnx", providers=cpu)
    # The shipped graph, entered where the pose leaves the network.
    half = Extractor(onnx.load(HERE / "mouthwarp.onnx")).extract_model(["pose", "landmarks", "face"], TENSORS)
    render = onnxruntime.InferenceSession(half.SerializeToString(), providers=cpu)
    rows = []
    for name in args.pictures:
        frame = read(name)
        box = [float(v) for v in args.box.split(",")] if args.box else find(frame)
        if box is None:
            print(f"no face found in {name}: give --box X,Y,W,H")
            continue
        marks = landmarks(frame, box, net)
        to_frame = crop_map(marks)
        inputs = {"landmarks": to_crop(marks, to_frame)[None], "face": cut(frame, to_frame)[None]}
        pictures = [frame]
        for pose in POSES.values():
            warp = render.run(TENSORS, inputs | {"pose": np.float32([pose])})
            pictures.append(paste(frame, to_frame, *(t[0] for t in warp)))
        look = np.concatenate([to_frame[:, :2] / SIDE, to_frame[:, 2:]], 1)
        row = [cv2.warpAffine(p, look, (SIDE, SIDE), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP) for p in pictures]
        for picture, label in zip(row, ["source", *POSES]):
            cv2.putText(picture, label, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0), 1, cv2.LINE_AA)
        rows.append(np.hstack(row))
    if not rows:
        raise SystemExit("nothing to draw")
    cv2.imwrite(args.out, np.vstack(rows)[:, :, ::-1])


if __name__ == "__main__":
    main()
