"""What an edit depends on, as values that can be compared and kept: a region of the picture, and all settings."""

import functools
from dataclasses import dataclass, field

import torch

from helpers.toyworld import WORLDS, sample_factors

SHAPES = ("everywhere", "rectangle", "ellipse")


@dataclass(frozen=True)
class Region:
    """A part of the picture.

    shape: one of `SHAPES`, or the name of a factor of a drawn world, for the places that this factor redraws;
    across, down: (start, end) of a rectangle or an ellipse, as shares of width and height, from the upper left.
    Raises ValueError for an unknown shape, or an empty extent.
    """

    shape: str = "everywhere"
    across: tuple = (0.25, 0.75)
    down: tuple = (0.25, 0.75)

    def __post_init__(self):
        known = [*SHAPES, *(factor for world in WORLDS.values() for factor in world.factors)]
        if self.shape not in known:
            raise ValueError(f"unknown region {self.shape!r}: choose one of {', '.join(known)}.")
        if self.shape not in ("rectangle", "ellipse"):  # has no extent of its own: all such regions are equal
            object.__setattr__(self, "across", Region.across)
            object.__setattr__(self, "down", Region.down)
        for name, (start, end) in (("across", self.across), ("down", self.down)):
            if not 0 <= start < end <= 1:
                raise ValueError(f"{name} is {(start, end)}: it must be (start, end) with 0 <= start < end <= 1.")

    def mask(self, side):
        """Weight of each token of a (side, side) grid in [0, 1], row by row from the top; None for everywhere.

        Tokens that lie partly inside a rectangle or an ellipse get the share of their area; for a factor the weight is
        how much it changes there, over the most that it changes anywhere.
        """
        if self.shape == "everywhere":
            return None
        if self.shape in SHAPES:
            fine = self._outline(8 * side)
        else:
            fine = factor_region(self.shape)
        weights = torch.nn.functional.adaptive_avg_pool2d(fine[None], side)[0]
        return weights if self.shape in SHAPES else weights / weights.max()

    def _outline(self, size):
        """1 inside the shape, 0 outside, on a fine grid (size, size)."""
        centres = (torch.arange(size) + 0.5) / size
        x, y = (
            (2 * centres - start - end) / (end - start)  # -1 to 1 inside
            for start, end in (self.across, self.down)
        )
        y = y.unsqueeze(1)
        inside = (x.abs() <= 1) & (y.abs() <= 1) if self.shape == "rectangle" else x**2 + y**2 <= 1
        return inside.float()


@dataclass(frozen=True)
class Settings:
    """What an edit depends on.

    strengths: {layer name: alphas of its first directions}; method: how they are found, one of
    `helpers.studio.finder.METHODS`; window, site, injection: as for `Edit`; latents: a seed, or what `Engine.use`
    returned. Equal settings hash equally.
    """

    strengths: dict
    method: str = "refined"
    window: tuple = (0.5, 0.8)
    site: str = "projections"
    injection: str = "symmetric"
    region: Region = field(default_factory=Region)
    latents: int | str = 0

    def __post_init__(self):
        pairs = [(layer, tuple(float(a) for a in alphas)) for layer, alphas in dict(self.strengths).items()]
        kept = tuple(sorted((layer, alphas) for layer, alphas in pairs if any(alphas)))
        object.__setattr__(self, "window", tuple(self.window))
        object.__setattr__(self, "strengths", kept)  # as sorted pairs without zeros, which can be hashed

    def in_words(self):
        """Strengths by layer: "mid_block.attentions.0: 1 at 8, 3 at -4"."""
        words = [
            f"{layer}: " + ", ".join(f"{i + 1} at {alpha:.3g}" for i, alpha in enumerate(alphas) if alpha)
            for layer, alphas in self.strengths
        ]
        return "; ".join(words) or "unedited"


@functools.lru_cache
def factor_region(factor, count=32):
    """How much a factor of a drawn world changes each pixel, (size, size): mean of |drawn at 1 - drawn at 0|.

    The mean is taken over colours and over `count` drawings whose other factors are drawn at random.
    """
    name = next(name for name, world in WORLDS.items() if factor in world.factors)
    world = WORLDS[name]
    low = sample_factors(name, count, seed=0)
    high, column = low.clone(), list(world.factors).index(factor)
    low[:, column], high[:, column] = 0, 1
    return (world.draw(high) - world.draw(low)).abs().mean(dim=(0, 1))
