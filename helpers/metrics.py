"""How much a picture changed: thin calls into torchmetrics, the factors of a drawn world, and mean colour."""

import functools
from pathlib import Path

import torch
from torchmetrics.functional import image

from helpers.models import EMBEDDED_FOLDER
from helpers.toyworld import WORLDS, draw_dataset
from helpers.toyworld.regressor import FactorRegressor, read_factors

UNIFORM_DEVIATION = 12**-0.5  # of a factor that is drawn uniformly from [0, 1]
COLOURS = ("red", "green", "blue")
DRAWINGS = 256  # among which the standard deviation of the mean colour is taken


def rms_change(pictures, others):
    """Root mean squared difference of the pixels of each picture. Both: (batch, channels, height, width) in [0, 1].

    >>> rms_change(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5)).item()
    0.5
    """
    return (pictures - others).square().mean(dim=(1, 2, 3)).sqrt()


def psnr(pictures, others):
    """Peak signal-to-noise ratio of each picture, in decibels: 20 is poor, 30 good, infinite when equal.

    pictures, others: (batch, channels, height, width) in [0, 1].

    >>> psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)).round().item()
    20.0
    """
    return image.peak_signal_noise_ratio(pictures, others, data_range=1.0, reduction="none", dim=(1, 2, 3))


def ssim(pictures, others):
    """Structural similarity (Wang et al. 2004) of each picture, at most 1, for equal ones; shapes as for `psnr`."""
    found = image.structural_similarity_index_measure(pictures, others, data_range=1.0, reduction="none")
    return found.reshape(len(pictures))


def lpips(pictures, others):
    """Learned perceptual distance (Zhang et al. 2018, AlexNet) of each picture, 0 for equal ones; shapes as for `psnr`.

    Raises RuntimeError, saying what is missing, without torchvision or its weights: nothing is downloaded.
    """
    try:
        from torchvision.models import AlexNet_Weights
    except (ImportError, RuntimeError) as error:  # the latter from a torchvision that does not fit torch
        raise RuntimeError("LPIPS is left out: install torchvision for it.") from error
    weights = Path(torch.hub.get_dir()) / "checkpoints" / Path(AlexNet_Weights.IMAGENET1K_V1.url).name
    if not weights.exists():
        raise RuntimeError("LPIPS is left out: run torchvision.models.alexnet(weights='DEFAULT') once for its weights.")
    found = [
        image.learned_perceptual_image_patch_similarity(one, other, net_type="alex", normalize=True)
        for one, other in zip(pictures.split(1), others.split(1), strict=True)
    ]
    return torch.stack(found)


def mean_colour(pictures):
    """Mean red, green and blue of each picture: (batch, 3, height, width) in [0, 1] -> (batch, 3).

    >>> mean_colour(torch.full((1, 3, 4, 4), 0.5)).tolist()
    [[0.5, 0.5, 0.5]]
    """
    return pictures.mean((2, 3))


def tint_share(pictures, others):
    """Share of each picture's squared change that is one uniform tint, the same for all pixels: (batch,), 0 to 1.

    Shapes as for `psnr`. Not a number where nothing changed.

    >>> round(tint_share(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)).item(), 3)
    1.0
    """
    change = others - pictures
    return change.mean((2, 3)).square().sum(1) / change.square().mean((2, 3)).sum(1)


def read_colour(pictures):
    """A reader: {"red", "green", "blue": (batch,)}, the mean colour of pictures in [0, 1]."""
    return dict(zip(COLOURS, mean_colour(pictures).T, strict=True))


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
