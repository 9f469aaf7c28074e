"""How much a picture changed: thin calls into torchmetrics, and mean colour."""

from pathlib import Path

import torch
from torchmetrics.functional import image

COLOURS = ("red", "green", "blue")


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


def changed_area(pictures, others):
    """Share of the pixels that a change is spread over: (batch,), 1 where all change alike.

    Shapes as for `psnr`. The participation ratio of the squared change e of the pixels, (sum e)^2 / (pixels sum e^2).
    Not a number where nothing changed.

    >>> one = torch.zeros(1, 3, 4, 4); one[..., :2] = 0.5
    >>> changed_area(torch.zeros(1, 3, 4, 4), one).item()
    0.5
    """
    squared = (pictures - others).square().sum(1).flatten(1)
    return squared.sum(1).square() / (squared.shape[1] * squared.square().sum(1))


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
