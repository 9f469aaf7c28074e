"""An atlas of directions: what each moves when all change the picture equally, and whether random ones do the same."""

import math
from dataclasses import dataclass, replace

import torch

from helpers.attention import find_layers, get_layer
from helpers.directions import random_directions, refined_matrix
from helpers.metrics import read_colour, rms_change
from helpers.studio.engine import LARGEST_BATCH, Engine
from helpers.studio.measuring import LADDER, matching_strength
from helpers.studio.settings import Settings
from helpers.toyworld.regressor import world_reader

SAMPLES = (2001, 2002, 2003)  # seeds, fixed in advance
STEPS, CHANGE, CONTROLS, CONTROL_SEED = 20, 0.05, 64, 7
CORRECTIONS, TOLERANCE = 3, 0.1
UNEDITED, NO_STEP = Settings({}), lambda done, total: None  # defaults
LEVEL = 0.05  # largest p of a direction that gets a name, where there are enough random directions to tell


@dataclass(frozen=True, eq=False)
class Entry:
    """One direction, measured.

    layer, method, index: which one, the first is 0; alpha: its strength; change: root mean squared change of the pixels
    at plus and minus alpha, mean over samples; moves: {name of a reading: (samples,)}, half of what the reading at plus
    alpha exceeds that at minus alpha; strongest: the reading that stands out most from what random directions do;
    p: share of random directions (and this one) of which some reading stands out as much; name: "unnamed" where p is
    over 0.05, or more than the smallest possible; pictures: (samples, 3, channels, height, width) at -alpha, 0, alpha.
    """

    layer: str
    method: str
    index: int
    alpha: float
    change: float
    moves: dict
    strongest: str
    p: float
    name: str
    pictures: torch.Tensor


def atlas(model, readers=None, layers=None, method="refined", count=8, settings=UNEDITED, step=NO_STEP, **options):
    """The first directions of a model's layers, each at the same change of the picture: a list of `Entry`.

    readers: functions of pictures (batch, 3, height, width) in [0, 1] that give {name: (batch,)}; by default those of
    the drawn world (`world_reader`), for other models `read_colour`. layers: names, by default all. method: one of
    `helpers.studio.finder.METHODS`; settings, step: as for `Survey.measure`; options: as for `Survey`.
    """
    survey, entries = Survey(model, readers, **options), []
    for name in layers or [layer.name for layer in find_layers(model.unet)]:
        found = survey.engine.directions(get_layer(model.unet, name), method, step)
        entries += survey.measure(replace(found, vectors=found.vectors[:count]), settings, step)
    return entries


class Survey:
    """Measures directions of one model; what random directions do is kept per layer and settings.

    change: wanted root mean squared change of the pixels; controls: number of random directions of the same layer,
    each brought to the same change; seeds: of the samples that are edited with both signs.
    """

    def __init__(self, model, readers=None, change=CHANGE, controls=CONTROLS, seeds=SAMPLES, num_inference_steps=STEPS):
        if not 0 < change < 1:
            raise ValueError(f"change is {change}: it must be between 0 and 1.")
        if controls < 1 or not len(seeds):
            raise ValueError(f"{controls} random directions and {len(seeds)} seeds: at least one of each is needed.")
        self.engine = Engine(model, num_inference_steps)
        self.readers = readers or [world_reader(model.name) or read_colour]
        self.change, self.controls, self.seeds = change, controls, tuple(seeds)
        self._chance = {}

    def measure(self, directions, settings=UNEDITED, step=NO_STEP):
        """A list of `Entry`, one for each of some `Directions`. settings: for window, site and injection."""
        layer = get_layer(self.engine.model.unet, directions.layer)
        key = layer.name, replace(settings, strengths={}, method="measured")
        if key not in self._chance:
            random = random_directions(layer, min(self.controls, layer.channels), CONTROL_SEED)
            self._chance[key] = self._moves(self._matched(random, key[1], step)[1])[1]
        (alphas, pictures), chance = self._matched(directions, key[1], step), self._chance[key]
        names, moves = self._moves(pictures)
        plain = torch.stack([self.engine.original(seed, step) for seed in self.seeds])
        changes = self._changes(pictures, plain)
        ps, strongest = p_values(moves.mean(1), chance.mean(1))
        entries = []
        for i, (alpha, p, best) in enumerate(zip(alphas, ps.tolist(), strongest.tolist())):
            named = p <= max(LEVEL, 1 / (len(chance) + 1)) + 1e-6
            name = f"{names[best]} {moves[i, :, best].mean():+.2g}" if named else "unnamed"
            shown = torch.stack([pictures[i, 1], plain, pictures[i, 0]], dim=1)
            found = dict(zip(names, moves[i].T))
            what = layer.name, directions.method, i, alpha, changes[i].item(), found, names[best], p, name
            entries.append(Entry(*what, shown))
        return entries

    def _matched(self, directions, settings, step):
        """(alphas, pictures (directions, 2, samples, 3, height, width) at plus and minus alpha), at the wanted change.

        The first strength is searched for; the others follow from how strongly the layer answers to first order, and
        are corrected where the change is off by more than a tenth.
        """
        self.engine.add(directions, settings.method)
        layer, largest = get_layer(self.engine.model.unet, directions.layer), LADDER[-1]
        first = matching_strength(
            self.engine, replace(settings, latents=self.seeds[0]), layer.name, 0, self.change, step
        )
        vectors = directions.vectors.double()
        answers = torch.einsum("kd,de,ke->k", vectors, refined_matrix(layer), vectors).sqrt()
        alphas = [min(first * (answers[0] / answer).item(), largest) for answer in answers]
        pictures = self._both_signs(layer.name, alphas, range(len(alphas)), settings, step)
        plain = torch.stack([self.engine.original(seed, step) for seed in self.seeds])
        slopes = [1.0] * len(alphas)  # of log change over log alpha
        changes = self._changes(pictures, plain)
        for _ in range(CORRECTIONS):
            shares = (changes / self.change).log().tolist()
            off = [i for i, share in enumerate(shares) if abs(share) > TOLERANCE]
            off = [i for i in off if shares[i] > 0 or alphas[i] < largest]
            if not off:
                break
            moved = [max(-1.0, min(1.0, -shares[i] / slopes[i])) for i in off]
            for i, by in zip(off, moved):
                alphas[i] = min(alphas[i] * math.exp(by), largest)
            pictures[off] = self._both_signs(layer.name, alphas, off, settings, step)
            before, changes = changes, self._changes(pictures, plain)
            for i, by in zip(off, moved):
                slopes[i] = max(0.5, min(4.0, (changes[i] / before[i]).log().item() / by))
        return alphas, pictures

    def _both_signs(self, layer_name, alphas, which, settings, step):
        wanted = [
            replace(settings, latents=seed, strengths={layer_name: (0,) * i + (sign * alphas[i],)})
            for seed in self.seeds
            for i in which
            for sign in (1, -1)
        ]
        parts = [wanted[first : first + LARGEST_BATCH] for first in range(0, len(wanted), LARGEST_BATCH)]
        found = [
            self.engine.edits(part, lambda done, total, n=n: step(n * total + done, len(parts) * total))
            for n, part in enumerate(parts)
        ]
        return torch.cat(found).unflatten(0, (len(self.seeds), len(which), 2)).permute(1, 2, 0, 3, 4, 5)

    def _changes(self, pictures, plain):
        """Root mean squared change of each direction, mean over signs and samples: (directions,)."""
        rows = pictures.flatten(0, 2)
        return rms_change(rows, plain.repeat(len(rows) // len(plain), 1, 1, 1)).view(len(pictures), -1).mean(1)

    def _moves(self, pictures):
        """(names of the readings, (directions, samples, readings)): half the difference between the signs."""
        up, down = (self._read(pictures[:, sign]) for sign in (0, 1))
        return list(up), (torch.stack(list(up.values()), -1) - torch.stack(list(down.values()), -1)) / 2

    def _read(self, pictures):
        found = {}
        for read in self.readers:
            found |= {name: torch.as_tensor(v).float() for name, v in read(pictures.flatten(0, 1)).items()}
        return {name: values.view(pictures.shape[:2]) for name, values in found.items()}


def p_values(moves, controls):
    """(p (directions,), the reading that stands out most (directions,)) against random directions.

    moves: (directions, readings), controls: (random directions, readings). Each direction is put among the random ones;
    every reading is measured in its root mean square over all of them, and a direction is judged by its largest. p is
    the share of them, itself included, that are judged as large: exact when the direction is random, too, however many
    readings there are.

    >>> p_values(torch.tensor([[9.0, 0.0]]), torch.eye(2).repeat(2, 1))[0].tolist()
    [0.20000000298023224]
    """
    found = []
    for move in moves:
        pool = torch.cat([move[None], controls])
        scores = pool.abs() / pool.square().mean(0).sqrt().clamp(min=1e-12)
        largest = scores.max(1).values
        found.append(((largest >= largest[0] * (1 - 1e-6)).float().mean(), scores[0].argmax()))
    return tuple(torch.stack(column) for column in zip(*found))


def contact_sheet(entries):
    """Pictures (entries, 3 x samples, 3, height, width): for each sample minus, unedited, plus; for `picture_grid`."""
    return torch.stack([entry.pictures.flatten(0, 1) for entry in entries])
