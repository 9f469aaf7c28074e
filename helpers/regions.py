"""Regions of a picture as weights of the tokens of a layer, for local edits."""

import functools
from dataclasses import dataclass

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
