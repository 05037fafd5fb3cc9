# SPDX-License-Identifier: MPL-2.0
"""The speech encoder that HeyGem and Duix share: a conformer of WeNet, 100 rows of log-mel a second in, 25 rows of 256 numbers out."""

import recipe
import torch
from standin import Encoder
from torch import nn

WINDOW, ANSWERS, WIDTH = 321, 79, 256


class Speech(nn.Module):
    """The encoder of a WeNet model, answering with the rows only."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, speech, speech_lengths):
        rows = self.encoder(speech, speech_lengths)[0]
        # A network that does not look at the length keeps its input all the same: the manifest names it.
        return rows + (speech_lengths * 0).to(rows.dtype)[:, None, None]


class StandIn(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder(80, [(3, 2, 0), (3, 2, 0)], [WIDTH], 64)

    def forward(self, speech, speech_lengths):
        # As if it listened to so many rows only.
        heard = torch.arange(speech.shape[1])[None, :, None] < speech_lengths[:, None, None]
        return self.encoder((speech + 40) / 20 * heard)


def write(weights, folder, config=None, upstream=None):
    """encoder.onnx and encoder.pt. weights: None for the stand-in, an ONNX or TorchScript file, or a state dict, which needs WeNet's
    yaml file and its code."""

    def build(content):
        import yaml

        if config is None:
            raise SystemExit("--config is missing: the encoder's state dict needs the yaml file that came with it")
        conf = yaml.safe_load(config.read_text(encoding="utf-8"))["encoder_conf"]
        encoder = recipe.upstream(upstream, "wenet.transformer.encoder", "ConformerEncoder")(input_size=80, **conf)
        found = recipe.state(content)
        encoder.load_state_dict({k[len("encoder."):]: v for k, v in found.items() if k.startswith("encoder.") and "global_cmvn" not in k})
        return Speech(encoder)

    inputs = {"speech": torch.randn(1, WINDOW, 80) * 10 - 40, "speech_lengths": torch.tensor([WINDOW])}
    recipe.make("encoder", weights, folder, inputs, {"encoder_out": (1, ANSWERS, WIDTH)}, StandIn, build, list(inputs))
