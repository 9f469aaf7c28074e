"""A small network that reads the factors off a picture of a drawn world: the ruler with which edits are measured."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn


class FactorRegressor(nn.Module):
    """Four strided convolutions and two linear layers: (batch, 3, 64, 64) in [0, 1] -> (batch, number of factors)."""

    def __init__(self, factors, width=32):
        super().__init__()
        self.factors, self.width = list(factors), width
        layers, channels = [], 3
        for scale in (1, 2, 4, 4):
            layers += [
                nn.Conv2d(channels, scale * width, 4, stride=2, padding=1),
                nn.GroupNorm(8, scale * width),
                nn.SiLU(),
            ]
            channels = scale * width
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 16, 64), nn.SiLU())
        self.head = nn.Linear(64, len(self.factors))

    def features(self, pictures):
        """The 64 numbers per picture before the last layer; Frechet distances are computed on them."""
        return self.trunk(2 * pictures - 1)

    def forward(self, pictures):
        return self.head(self.features(pictures))

    def save(self, folder, **facts):
        """Write regressor.safetensors (fp16) and regressor.json (factor names and the given facts) into a folder."""
        weights = {name: tensor.half().contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, Path(folder) / "regressor.safetensors")
        description = {"factors": self.factors, "width": self.width, **facts}
        (Path(folder) / "regressor.json").write_text(json.dumps(description, indent=1) + "\n")

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote. Returns the network in float32, ready for use."""
        description = json.loads((Path(folder) / "regressor.json").read_text())
        network = cls(description["factors"], description["width"])
        weights = load_file(Path(folder) / "regressor.safetensors")
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        return network.eval().requires_grad_(False)


@torch.no_grad()
def read_factors(regressor, pictures, batch_size=128):
    """Factor values of pictures: (batch, 3, 64, 64) in [0, 1] -> (batch, number of factors), mostly within [0, 1]."""
    return torch.cat([regressor(part) for part in pictures.split(batch_size)])


def r2_score(truth, estimate):
    """Share of each factor's variance that the estimate explains: (samples, factors) twice -> (factors,)."""
    return 1 - (truth - estimate).square().mean(0) / truth.var(0, correction=0)
