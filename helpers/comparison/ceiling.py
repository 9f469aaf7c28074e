"""Perfect edits, drawn by a world itself: the selectivity that no direction can be asked to exceed."""

import torch

from helpers.metrics import rms_change
from helpers.toyworld import WORLDS, sample_factors

HALVINGS = 10  # of the interval in which a factor's step is searched


def perfect_edits(name, wanted, count, seed):
    """Each factor of a drawn world changed alone, until the pixels change by the wanted root mean square.

    count: drawings, whose other factors are drawn by the seed; the factor itself goes from 0.5 - step / 2 to
    0.5 + step / 2. Returns steps (factors,), at most 1 and then too small a change, and the drawings before and after,
    (factors, count, 3, side, side) each.
    """
    world, found = WORLDS[name], []
    faces = sample_factors(name, count, seed)

    def drawn(place, value):
        factors = faces.clone()
        factors[:, place] = value
        return world.draw(factors)

    for place in range(len(world.factors)):
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            step = (low + high) / 2
            size = rms_change(drawn(place, 0.5 - step / 2), drawn(place, 0.5 + step / 2)).mean()
            low, high = (step, high) if size < wanted else (low, step)
        found.append((torch.tensor(high), drawn(place, 0.5 - high / 2), drawn(place, 0.5 + high / 2)))
    return [torch.stack(some) for some in zip(*found, strict=True)]
