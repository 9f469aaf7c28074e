"""A small network that reads the factors off a picture of a drawn world: the ruler with which edits are measured."""

import functools
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from helpers.metrics import COLOURS, mean_colour
from helpers.models import EMBEDDED_FOLDER
from helpers.toyworld import WORLDS, draw_dataset

UNIFORM_DEVIATION = 12**-0.5  # of a factor that is drawn uniformly from [0, 1]
DRAWINGS = 256  # among which the standard deviation of the mean colour is taken


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


def world_reader(model_name):
    """What can be read off the pictures of an embedded model: a function pictures -> {name: (batch,)}, or None.

    It reads every factor of the drawn world, and the mean red, green and blue, which the eye sees first and the factors
    lack; each in standard deviations of that quantity among drawings. Pictures: (batch, 3, 64, 64) in [0, 1].
    """
    if model_name not in WORLDS or not (EMBEDDED_FOLDER / model_name / "regressor.json").exists():
        return None
    regressor, deviations = FactorRegressor.load(EMBEDDED_FOLDER / model_name), _colour_deviations(model_name)

    def read(pictures):
        factors, colours = read_factors(regressor, pictures), mean_colour(pictures)
        values = torch.cat([factors / UNIFORM_DEVIATION, colours / deviations], dim=1)
        return dict(zip((*regressor.factors, *COLOURS), values.T, strict=True))

    return read


@functools.lru_cache
def _colour_deviations(world):
    """Standard deviation of mean red, green and blue among drawings: (3,)."""
    return mean_colour(draw_dataset(world, DRAWINGS, seed=20)[0].float() / 255).std(0)


def factor_changes(model_name, pictures, others):
    """Change of what `world_reader` reads, others minus pictures: {name: (batch,)}, or {} where it reads nothing.

    pictures, others: (batch, 3, 64, 64) in [0, 1].
    """
    read = world_reader(model_name)
    if read is None:
        return {}
    before, after = read(pictures), read(others)
    return {name: after[name] - before[name] for name in before}
