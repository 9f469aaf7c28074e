"""The drawn worlds that the embedded models learned: named factors in, pictures out."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from helpers.toyworld import cars, cats, faces, rooms


@dataclass(frozen=True)
class World:
    """factors: name -> (what 0 draws, what 1 draws); draw: (batch, factors) in [0, 1] -> (batch, 3, side, side)."""

    factors: dict
    draw: Callable
    side: int = 64


WORLDS = {
    "toy-faces": World(faces.FACTORS, faces.draw_faces),
    "toy-cats": World(cats.FACTORS, cats.draw_cats),
    "toy-cars": World(cars.FACTORS, cars.draw_cars),
    "toy-rooms": World(rooms.FACTORS, rooms.draw_rooms),
}


def sample_factors(name, count, seed):
    """Independent, uniform factor values of a world: (count, factors) in [0, 1], equal for equal seeds."""
    return torch.rand(count, len(WORLDS[name].factors), generator=torch.Generator().manual_seed(seed))


def draw_dataset(name, count, seed, batch_size=64):
    """Draw `count` pictures: (count, 3, side, side) uint8, and their factors (count, factors) in [0, 1]."""
    factors = sample_factors(name, count, seed)
    pictures = [(WORLDS[name].draw(part) * 255).round().byte() for part in factors.split(batch_size)]
    return torch.cat(pictures), factors
