# SPDX-License-Identifier: MPL-2.0
"""Ultralight-Digital-Human's generator and its speech encoder → a model's folder.

usage: export.py --weights 195.pth --upstream DIR --encoder DIR_OR_FILE           DIR: your clone of Ultralight-Digital-Human
       export.py --audio wenet --weights 20.pth --upstream DIR --encoder encoder.onnx     → ../ultralight-wenet
       export.py --size 328 --audio ave --weights 99.pth --upstream DIR --encoder audio_visual_encoder.pth
                                             → ../ultralight-328-ave; DIR: your clone of SyncTalk_2D; also hubert and wenet
       export.py --random [SHARE] [--audio …] [--size …]                  random weights, for tests

--encoder: for hubert a folder that transformers reads, for wenet the ONNX file of the repository, for ave a state dict; or an ONNX or
TorchScript file with the tensors of the manifest. --points ibug-68: crops by 68 landmarks instead of PFLD's 110; only near what the network knows.
"""

import sys
from pathlib import Path

import librosa
import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import recipe  # noqa: E402
from standin import Encoder, StandIn, fitted  # noqa: E402

# The sound's tensor, and how many rows it is made of: before the frame's own, and all.
SOUND = {
    (160, "hubert"): ((16, 32, 32), (8, 16)), (160, "wenet"): ((128, 16, 32), (4, 8)),
    (328, "hubert"): ((32, 32, 32), (16, 32)), (328, "wenet"): ((256, 16, 32), (8, 16)), (328, "ave"): ((32, 16, 16), (9, 16)),
}  # fmt: skip
INNER = {160: 160, 328: 320}  # 328 is called by the size before the rim is cut off
COST = {160: 3.2e9, 328: 3.2e9 * 4}  # 328: by the area
FRAME_RATE = {"hubert": 25, "wenet": 20, "ave": 25}
SAMPLES = 64080


def changes(size, audio, points):
    """Of the manifest, which is that of HuBERT and 160."""
    name = "ultralight" + ("-328" if size == 328 else "") + (f"-{audio}" if (size, audio) != (160, "hubert") else "")
    shape, (before, count) = SOUND[size, audio]
    text = (HERE / "model.toml").read_text(encoding="utf-8")
    head, crop = text.index("# HuBERT"), text.index("# A square")
    words = {"hubert": "HuBERT", "wenet": "WeNet", "ave": "AVE"}[audio]
    inner = INNER[size]
    found = {
        'name = "ultralight"\n': f'name = "{name}"\n',
        "HuBERT, 160 × 160": f"{words}, {inner} × {inner}",
        "fps = 25": f"fps = {FRAME_RATE[audio]}",
        "before = 8, count = 16, end = \"zero\"": f'before = {before}, count = {count}, end = "{"edge" if audio == "ave" else "zero"}"',
        "shape = [16, 32, 32]": f"shape = {list(shape)}",
    }
    if audio != "hubert":
        pairs = text[text.index("# Two rows") : text.index('layout = "nrw"\nshape')]
        found[pairs] = ""
        found[text[head:crop]] = (HERE / f"{audio}.toml").read_text(encoding="utf-8")
    if size == 328:
        found.update({
            "resized to 168 pixels, of which the inner 160": "resized to 328 pixels, of which the inner 320",
            "size = [160, 160]": "size = [320, 320]",
            "rows = [5, 150], columns = [5, 155]": "rows = [5, 310], columns = [5, 315]",
            'interpolation = "bilinear"': 'interpolation = "cubic"',
        })  # fmt: skip
    if points == "ibug-68":
        found.update({"pfld-110": "ibug-68", '"x1"': '"x0"', '"x31"': '"x16"', '"y52"': '"y28"'})
    return name, {old: new for old, new in found.items() if old != new}


class Hubert(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, waveform):
        return self.network(waveform).last_hidden_state


class Ave(nn.Module):
    """Sound (1, 21800) → what `network` says of 16 columns of Wav2Lip's log-mel, from column floor(3.2 k) on: (1, 30, 512)."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        angle = 2 * np.pi * np.outer(np.arange(401), np.arange(800)) / 800
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
        waves = np.concatenate([np.cos(angle), np.sin(angle)]) * window
        self.register_buffer("waves", torch.from_numpy(waves[:, None].astype(np.float32)))
        self.register_buffer("filters", torch.from_numpy(librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)))
        self.register_buffer("at", (torch.arange(30) * 16 // 5)[:, None] + torch.arange(16))

    def forward(self, waveform):
        before = F.pad(waveform, (1, 0))[:, :-1]
        spectrum = F.conv1d(F.pad((waveform - 0.97 * before)[:, None], (400, 400)), self.waves, stride=200)
        magnitude = torch.sqrt(spectrum[:, :401] ** 2 + spectrum[:, 401:] ** 2)
        db = 20 * torch.log10(torch.clamp(self.filters @ magnitude, min=1e-5)) - 20
        mel = torch.clamp(8 * (db + 100) / 100 - 4, -4, 4)[0].T
        return self.network(mel[self.at].transpose(1, 2).unsqueeze(1)).reshape(1, 30, 512)


class Joined(nn.Module):
    """Answers of a chunk as one row: (1, 16, 512) → (1, 1, 16, 512)."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, chunk):
        return self.network(chunk[:, 0]).unsqueeze(1)


def generator(content, args):
    # The repository has moved its file into a package at times.
    packaged = args.upstream is not None and (args.upstream / "models" / "unet.py").exists()
    module = "unet_328" if args.size == 328 else "models.unet" if packaged else "unet"
    network = recipe.upstream(args.upstream, module, "Model")(6, args.audio)
    network.load_state_dict(recipe.state(content))
    return network


def encoder(args, folder):
    """The speech encoder's graph, which the manifest calls by the name of its kind."""
    if args.audio == "hubert":
        inputs, outputs = {"waveform": torch.randn(1, SAMPLES)}, {"rows": (1, 200, 1024)}

        def standin():
            return nn.Sequential(nn.Unflatten(1, (-1, 1)), Encoder(1, [(400, 320, 0)], [1024], 64))

        def build(path):
            from transformers import HubertModel

            return Hubert(HubertModel.from_pretrained(path))

        recipe.make("hubert", args.encoder, folder, inputs, outputs, standin, build, list(inputs))
    elif args.audio == "wenet":
        inputs, outputs = {"chunk": torch.randn(1, 1, 67, 80)}, {"rows": (1, 1, 16, 512)}

        def standin():
            return Joined(Encoder(80, [(3, 2, 0), (3, 2, 0)], [512], 64))

        if args.encoder is not None and args.encoder.suffix == ".onnx":
            wenet(args.encoder, inputs, folder)
        else:
            recipe.make("wenet", args.encoder, folder, inputs, outputs, standin, None, list(inputs))
    else:
        inputs, outputs = {"waveform": torch.randn(1, 21800) * 0.1}, {"rows": (1, 30, 512)}

        def standin():
            return Ave(StandInWindow())

        def build(content):
            network = recipe.upstream(args.upstream, "utils", "AudioEncoder")()
            weights = recipe.state(content)
            prefix = "" if next(iter(weights)).startswith("audio_encoder.") else "audio_encoder."
            network.load_state_dict({prefix + k: v for k, v in weights.items()})
            return Ave(network.eval())

        recipe.make("ave", args.encoder, folder, inputs, outputs, standin, build, list(inputs))


def wenet(file, inputs, folder):
    """The repository's encoder.onnx answers (1, 16, 512) and carries caches, which the repository leaves at zero for each chunk."""
    constants = {"offset": np.full(1, 100, np.int64), "att_cache": np.zeros((3, 8, 16, 128), np.float32),
                 "cnn_cache": np.zeros((3, 1, 512, 14), np.float32)}  # fmt: skip
    graph = recipe.graphs.adopt(file, inputs, {"chunks": (1, 16, 512)}, folder, "wenet", constants)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 1, 16, 512], np.int64), "one-row"))
    graph.graph.node.append(onnx.helper.make_node("Reshape", ["chunks", "one-row"], ["rows"]))
    del graph.graph.output[:]
    graph.graph.output.append(onnx.helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, [1, 1, 16, 512]))
    recipe.graphs.save(graph, folder / "wenet.onnx")


class StandInWindow(nn.Module):
    def __init__(self):
        super().__init__()
        steps = [nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
        self.encoder = nn.Sequential(*steps, nn.Flatten(), nn.Linear(32 * 20 * 4, 512))

    def forward(self, windows):
        return self.encoder(windows / 4)


def main():
    parser = recipe.arguments(__doc__)
    parser.add_argument("--audio", default="hubert", choices=FRAME_RATE)
    parser.add_argument("--size", type=int, default=160, choices=COST)
    parser.add_argument("--encoder", type=Path, help="the speech encoder")
    parser.add_argument("--points", default="pfld-110", choices=["pfld-110", "ibug-68"])
    args = parser.parse_args()
    if args.random is None and not (args.weights and args.encoder):
        parser.error("give --weights and --encoder, or --random")
    if (args.size, args.audio) not in SOUND:
        parser.error(f"there is no {args.audio} for {args.size}")
    name, edits = changes(args.size, args.audio, args.points)
    folder = recipe.folder(args.out or HERE.parent / name)
    inner = INNER[args.size]
    sound = SOUND[args.size, args.audio][0]
    inputs = {"input": torch.rand(2, 6, inner, inner), "audio": torch.randn(2, *sound)}

    def build(width):
        return StandIn(6, inner, sound, width, sound_at=1, mouth=(0.5, 0.45, 0.17, 0.1))

    recipe.make("ultralight", args.weights, folder, inputs, {"output": (2, 3, inner, inner)},
                lambda: fitted(build, inputs, args.random * COST[args.size]), lambda content: generator(content, args))  # fmt: skip
    encoder(args, folder)
    recipe.manifest(HERE, folder, edits)


if __name__ == "__main__":
    main()
