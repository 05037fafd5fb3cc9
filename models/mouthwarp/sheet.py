# SPDX-License-Identifier: MPL-2.0
"""usage: sheet.py OUT.png PICTURE_OR_VIDEO[@FRAME[+MEMORY[+CLOSED]]]... [--box X,Y,W,H]
Draws a row for each picture: as it is, closed, /m/, barely open, /i/, /e/, /a/, /o/, /u/, pasted at full resolution. MEMORY is the number of a frame in which the
person shows more of the mouth's inside, CLOSED that of one with closed lips. The face is found by OpenCV's Haar cascade, or lies in --box. Needs ../face_landmarks_478 and, for follow.py,
../face_landmark_68.
"""

import argparse

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx.utils import Extractor

import mesh
from features import HERE
from paste import crop_map, cut, paste, to_crop
from renderer import POINTS

POSES = {
    "closed": (0, 0, 0), "m": (0.05, 0, 1), "0.04": (0.04, 0, 0), "i": (0.07, 0.035, 0), "e": (0.12, 0.02, 0),
    "a": (0.20, 0, 0), "o": (0.13, -0.05, 0), "u": (0.05, -0.06, 0),
}  # fmt: skip
TENSORS = ["upper", "lower", "edges", "inner", "weight", "inner_area"]
MEMORIES = ["memory", "closed"]
INPUTS = ["pose", "landmarks", "face", *(memory + part for memory in MEMORIES for part in ("", "_landmarks", "_weight"))]
SIDE = 320


def landmarks(frame, box, net):
    """face_landmark_68's points in frame pixels; the second look is centred on what the first one found."""
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
    net = mesh.network()
    # The shipped graph, entered where the pose is known.
    half = Extractor(onnx.load(HERE / "mouthwarp.onnx")).extract_model(INPUTS, TENSORS)
    render = onnxruntime.InferenceSession(half.SerializeToString(), providers=mesh.CPU)
    rows = []

    def seen(name):
        """(frame, points, crop's map), or None."""
        frame = read(name)
        box = [float(v) for v in args.box.split(",")] if args.box else find(frame)
        points = None if box is None else mesh.start(frame, box, net)
        if points is None:
            print(f"no face found in {name}: give --box X,Y,W,H")
            return None
        return frame, points, crop_map(points[mesh.IBUG])

    for name in args.pictures:
        name, *numbers = name.split("+")
        found = seen(name)
        shown = [seen(name.partition("@")[0] + "@" + number) for number in numbers]
        if found is None or None in shown:
            continue
        frame, points, to_frame = found
        inputs = {"landmarks": to_crop(points[list(POINTS)], to_frame)[None], "face": cut(frame, to_frame)[None]}
        for i, memory in enumerate(MEMORIES):
            known = i < len(shown)
            picture, marks, cutting = shown[i] if known else found
            inputs[memory], inputs[memory + "_weight"] = cut(picture, cutting)[None], np.float32([[known]])
            inputs[memory + "_landmarks"] = to_crop(marks[mesh.IBUG], cutting)[None]
        pictures = [frame]
        for opening, spread, closure in POSES.values():
            warp = render.run(TENSORS, inputs | {"pose": np.float32([[opening, spread, 0, 0, closure]])})
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
