"""Small networks that read a picture, the ruler with which edits are measured.

They read the factors of a drawing, or the class of a photograph.
"""

import functools
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from helpers.metrics import COLOURS, mean_colour
from helpers.models import EMBEDDED_FOLDER
from helpers.toyworld import WORLDS, draw_dataset
from helpers.toyworld.clothes import read_shape
from helpers.toyworld.training_loop import training_loop

UNIFORM_DEVIATION = 12**-0.5  # of a factor that is drawn uniformly from [0, 1]
DRAWINGS = 256  # among which the standard deviation of the mean colour is taken
LEARNING_RATE = 7e-4


class Reader(nn.Module):
    """Four strided convolutions and two linear layers: (batch, 3, side, side) in [0, 1] -> (batch, number of names).

    names: of the numbers that it gives; in its files they are called what `named` says.
    """

    file, named, side = None, None, None

    def __init__(self, names, width=32):
        super().__init__()
        self.names, self.width = list(names), width
        layers, channels = [], 3
        for scale in (1, 2, 4, 4):
            layers += [
                nn.Conv2d(channels, scale * width, 4, stride=2, padding=1),
                nn.GroupNorm(8, scale * width),
                nn.SiLU(),
            ]
            channels = scale * width
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * (self.side // 16) ** 2, 64), nn.SiLU())
        self.head = nn.Linear(64, len(self.names))

    def features(self, pictures):
        """The 64 numbers per picture before the last layer; Fréchet distances are computed on them."""
        return self.trunk(2 * pictures - 1)

    def forward(self, pictures):
        return self.head(self.features(pictures))

    def save(self, folder, **facts):
        """Write a .safetensors file (fp16) and a .json file (the names and the given facts) into a folder."""
        weights = {name: tensor.half().contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, Path(folder) / f"{self.file}.safetensors")
        description = {self.named: self.names, "width": self.width, **facts}
        (Path(folder) / f"{self.file}.json").write_text(json.dumps(description, indent=1) + "\n")

    @classmethod
    def facts(cls, folder):
        """What `save` wrote into the .json file."""
        return json.loads((Path(folder) / f"{cls.file}.json").read_text())

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote. Returns the network in float32, ready for use."""
        description = cls.facts(folder)
        network = cls(description[cls.named], description["width"])
        weights = load_file(Path(folder) / f"{cls.file}.safetensors")
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        return network.eval().requires_grad_(False)


class FactorRegressor(Reader):
    """Reads the factors off a drawing: (batch, 3, 64, 64) in [0, 1] -> (batch, number of factors)."""

    file, named, side = "regressor", "factors", 64

    @property
    def factors(self):
        return self.names


class Classifier(Reader):
    """Reads the class off a photograph: (batch, 3, 32, 32) in [0, 1] -> (batch, number of classes), logits."""

    file, named, side = "classifier", "classes", 32


def train_reader(network, loss, pictures, wanted, steps, folder):
    """Train a `Reader` on pictures with a little grain, and leave it on the CPU, ready for use. Returns the seconds.

    pictures: (count, 3, side, side) uint8; wanted: one row each, for loss(found, wanted); both on its device. What it
    needs to go on after an interruption is kept in the folder.
    """

    def loss_of_batch(generator):
        rows = torch.randint(len(pictures), (64,), generator=generator, device=pictures.device)
        batch = pictures[rows].float() / 255
        grain = 0.03 * torch.rand(64, 1, 1, 1, generator=generator, device=pictures.device)
        batch = batch + grain * torch.randn(batch.shape, generator=generator, device=pictures.device)
        return loss(network(batch), wanted[rows])

    state_file = folder / f"{network.file}_state.pt"
    _, seconds = training_loop(1, network, loss_of_batch, steps, state_file, LEARNING_RATE, 1e-2)
    network.eval().cpu()
    return round(seconds)


@torch.no_grad()
def read_factors(regressor, pictures, batch_size=128):
    """Factor values of pictures: (batch, 3, 64, 64) in [0, 1] -> (batch, number of factors), mostly within [0, 1]."""
    return torch.cat([regressor(part) for part in pictures.split(batch_size)])


def r2_score(truth, estimate):
    """Share of each factor's variance that the estimate explains: (samples, factors) twice -> (factors,)."""
    return 1 - (truth - estimate).square().mean(0) / truth.var(0, correction=0)


@torch.no_grad()
def read_photographs(classifier, pictures, batch_size=128):
    """Shape and class of photographs: {name: (batch,)}, the readings of `read_shape` and each class's probability."""
    classes = torch.cat([classifier(part).softmax(1) for part in pictures.split(batch_size)])
    return {**read_shape(pictures), **dict(zip(classifier.names, classes.T, strict=True))}


def world_reader(model_name):
    """What can be read off the pictures of an embedded model: a function pictures -> {name: (batch,)}, or None.

    Of a drawn world it reads every factor, and the mean red, green and blue, which the eye sees first and the factors
    lack; of photographs their shape and the probability of every class. Each is in standard deviations of that quantity
    among the drawings or photographs. Pictures: (batch, 3, side, side) in [0, 1].
    """
    if (EMBEDDED_FOLDER / model_name / "classifier.json").exists():
        return _photograph_reader(EMBEDDED_FOLDER / model_name)
    if model_name not in WORLDS or not (EMBEDDED_FOLDER / model_name / "regressor.json").exists():
        return None
    regressor, deviations = FactorRegressor.load(EMBEDDED_FOLDER / model_name), _colour_deviations(model_name)

    def read(pictures):
        factors, colours = read_factors(regressor, pictures), mean_colour(pictures)
        values = torch.cat([factors / UNIFORM_DEVIATION, colours / deviations], dim=1)
        return dict(zip((*regressor.factors, *COLOURS), values.T, strict=True))

    return read


def _photograph_reader(folder):
    classifier, deviations = Classifier.load(folder), Classifier.facts(folder)["deviations"]
    return lambda pictures: {k: v / deviations[k] for k, v in read_photographs(classifier, pictures).items()}


@functools.lru_cache
def _colour_deviations(world):
    """Standard deviation of mean red, green and blue among drawings: (3,)."""
    return mean_colour(draw_dataset(world, DRAWINGS, seed=20)[0].float() / 255).std(0)


def factor_changes(model_name, pictures, others):
    """Change of what `world_reader` reads, others minus pictures: {name: (batch,)}, or {} where it reads nothing.

    pictures, others: (batch, 3, side, side) in [0, 1].
    """
    read = world_reader(model_name)
    if read is None:
        return {}
    before, after = read(pictures), read(others)
    return {name: after[name] - before[name] for name in before}
