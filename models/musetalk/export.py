# SPDX-License-Identifier: MPL-2.0
"""MuseTalk 1.5: Whisper-tiny's encoder, the VAE's two halves and the UNet → a model's folder.

usage: export.py --weights unet.pth --config musetalk.json --vae DIR --whisper DIR    needs diffusers and transformers
           DIR: the folders sd-vae and whisper of MuseTalk's models
           --half: the UNet and the VAE in half precision, for graphics cards (1.7 GB instead of 3.4)
           --parsing 79999_iter.pth --upstream DIR: MuseTalk's own mask, too; DIR: your clone of MuseTalk
       export.py --random [SHARE]    random weights in networks with SHARE (0.02) of the multiply-adds, for tests
"""

import json
import math
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import recipe  # noqa: E402
from standin import Encoder, Hearing, fitted, initialise, pair  # noqa: E402

SIDE, LATENT, WINDOW, ROWS, STATE = 256, 32, 300, 50, 384
COST = {"vae-encoder": 135e9, "unet": 85e9, "vae-decoder": 310e9}


def position(rows, width):
    """MuseTalk's code of a row's place: sines and cosines of falling frequencies, taking turns."""
    at = torch.arange(rows)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([at.sin(), at.cos()], 2).reshape(1, rows, width)


class Whisper(nn.Module):
    """Log-mel (1, 80, rows), as Whisper scales it → the five hidden states, (1, rows / 2, 5, 384), of the rows that were given."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, mel):
        # What 30 s of sound would hold after it: silence, which is 8 below the loudest value, but never below log10(1e-10).
        silence = torch.clamp(mel.max() - 2, min=-1.5)
        padded = F.pad(mel - silence, (0, 3000 - mel.shape[2])) + silence
        states = self.encoder(padded, output_hidden_states=True).hidden_states
        return torch.stack(states, 2)[:, : mel.shape[2] // 2]


class VaeEncoder(nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae, self.scale = vae, vae.config.scaling_factor

    def forward(self, image):
        return self.vae.encode(image).latent_dist.mode() * self.scale


class VaeDecoder(nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae, self.scale = vae, vae.config.scaling_factor

    def forward(self, latent):
        return torch.clamp(self.vae.decode(latent / self.scale).sample, -1, 1)


class UNet(nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet
        self.register_buffer("position", position(ROWS, STATE))

    def forward(self, latents, timestep, audio):
        return self.unet(latents, timestep, encoder_hidden_states=audio + self.position).sample


class Halved(nn.Module):
    """A network in half precision between tensors in single."""

    def __init__(self, network):
        super().__init__()
        self.network = network.half()

    def forward(self, *inputs):
        return self.network(*[t.half() if t.is_floating_point() else t for t in inputs]).float()


class Parsing(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return self.network(image)[0]


class StandInEncoder(nn.Module):
    """Three channels of the latent are the picture at an eighth of its size, the fourth is what convolutions see in it."""

    def __init__(self, width):
        super().__init__()
        self.steps = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1), pair(width, width, 2), pair(width, 2 * width, 2), pair(2 * width, 4 * width, 2))
        self.last = nn.Conv2d(4 * width, 1, 1)
        initialise(self)

    def forward(self, image):
        return torch.cat([F.avg_pool2d(image, 8), 0.1 * torch.tanh(self.last(self.steps(image)))], 1)


class StandInUNet(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.time = nn.Conv2d(8, width, 3, 1, 1), nn.Linear(1, width)
        self.around = nn.Sequential(pair(width, width, 1), pair(width, width, 1))
        self.last = nn.Conv2d(width, 4, 1)
        self.hear = Hearing(ROWS * STATE, width)
        self.register_buffer("position", position(ROWS, STATE))
        y, x = torch.meshgrid(*[(torch.arange(LATENT) + 0.5) / LATENT] * 2, indexing="ij")
        self.register_buffer("distance", ((x - 0.5) / 0.2) ** 2 + ((y - 0.74) / 0.13) ** 2)
        initialise(self)

    def forward(self, latents, timestep, audio):
        heard, opening = self.hear(audio + self.position)
        y = self.first(latents) + (heard + self.time(timestep.reshape(1, 1).to(heard.dtype)))[:, :, None, None]
        change = 0.05 * torch.tanh(self.last(self.around(torch.relu(y)))) * torch.exp(-self.distance)
        opening = opening[:, :, None, None]
        dark = torch.sigmoid(8 * (1.2 * opening - self.distance)) * torch.sigmoid(8 * (opening - 0.3))
        return latents[:, 4:] + change - dark * 0.7 * (latents[:, 4:] + 1)


class StandInDecoder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(4, 4 * width, 3, 1, 1)
        self.steps = nn.ModuleList([pair(4 * width, 2 * width, 1), pair(2 * width, width, 1), pair(width, width, 1)])
        self.last = nn.Conv2d(width, 3, 3, 1, 1)
        initialise(self)

    def forward(self, latent):
        y = torch.relu(self.first(latent))
        for step in self.steps:
            y = step(F.interpolate(y, scale_factor=2.0))
        face = F.interpolate(latent[:, :3], size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return torch.clamp(face + 0.03 * torch.tanh(self.last(y)), -1, 1)


class StandInWhisper(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder(80, [(3, 1, 1), (3, 2, 1)], [5, STATE], 96)

    def forward(self, mel):
        return self.encoder(mel.transpose(1, 2))


def load_unet(content, args):
    from diffusers import UNet2DConditionModel

    network = UNet2DConditionModel(**json.loads(args.config.read_text()))
    network.load_state_dict(recipe.state(content))
    return UNet(network)


def load_vae(folder):
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder)


def load_whisper(folder):
    from transformers import WhisperModel

    return Whisper(WhisperModel.from_pretrained(folder).encoder)


def parsing(args, folder):
    """The face parser, and how the manifest uses it: skin, nose and mouth of the lower half, softened."""
    network = recipe.upstream(args.upstream / "musetalk" / "utils" / "face_parsing", "model", "BiSeNet")
    inputs = {"image": torch.rand(1, 3, 512, 512)}

    def build(content):
        net = network(str(args.resnet)) if args.resnet else network()
        net.load_state_dict(recipe.state(content))
        return Parsing(net)

    recipe.make("parsing", args.parsing, folder, inputs, {"classes": (1, 19, 512, 512)}, None, build)
    return {
        (HERE / "model.toml").read_text().split("[facepaste]\n")[1]: 'blend = "parsing"\nrectangle = [0, 0.5, 1, 1]\n'
        'parsing = { file = "parsing.onnx", input = "image", output = "classes", size = [512, 512], mean = [0.485, 0.456, 0.406], '
        "std = [0.229, 0.224, 0.225], classes = [1, 10, 11, 12, 13], feather = 0.05 }\n"
    }


def main():
    parser = recipe.arguments(__doc__, share=0.02)
    parser.add_argument("--config", type=Path, help="the UNet's json file")
    parser.add_argument("--vae", type=Path, help="folder of the VAE, as diffusers keeps it")
    parser.add_argument("--whisper", type=Path, help="folder of Whisper-tiny, as transformers keeps it")
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--parsing", type=Path)
    parser.add_argument("--resnet", type=Path, help="resnet18-5c106cde.pth, which the parser's class loads first")
    args = parser.parse_args()
    if args.random is None and not (args.weights and args.vae and args.whisper):
        parser.error("give --weights, --vae and --whisper, or --random")
    folder = recipe.folder(args.out or HERE)
    image = {"image": torch.rand(2, 3, SIDE, SIDE) * 2 - 1}
    latents = {"latents": torch.rand(2, 8, LATENT, LATENT) * 2 - 1, "timestep": torch.zeros(1, dtype=torch.int64)}
    latents["audio"] = torch.randn(2, ROWS, STATE)
    latent = {"latent": torch.rand(2, 4, LATENT, LATENT) * 2 - 1}
    half = Halved if args.half else lambda network: network

    def make(name, weights, inputs, output, standin, build, fixed=()):
        share = COST[name] * (args.random or 0)
        recipe.make(name, weights, folder, inputs, output, lambda: fitted(standin, inputs, share), lambda content: half(build(content)),
                    fixed, tolerance=0.02 if args.half else 1e-4)  # fmt: skip

    small, large = (2, 4, LATENT, LATENT), (2, 3, SIDE, SIDE)
    make("vae-encoder", args.vae, image, {"latent": small}, StandInEncoder, lambda path: VaeEncoder(load_vae(path)))
    make("unet", args.weights, latents, {"latent": small}, StandInUNet, lambda content: load_unet(content, args), ["timestep"])
    make("vae-decoder", args.vae, latent, {"out": large}, StandInDecoder, lambda path: VaeDecoder(load_vae(path)))
    mel = {"mel": torch.rand(1, 80, WINDOW)}
    recipe.make("whisper", args.whisper, folder, mel, {"hidden": (1, WINDOW // 2, 5, STATE)}, StandInWhisper, load_whisper, ["mel"])
    recipe.manifest(HERE, folder, parsing(args, folder) if args.parsing else {})


if __name__ == "__main__":
    main()
