"""What several of the methods that are compared need: factors that can be asked for, masks, signs, equal change."""

import functools
from dataclasses import replace

import torch
from diffusers import DDIMScheduler
from torch.nn.functional import normalize

from helpers.baselines.edits import Passes
from helpers.baselines.jacobians import predicted_picture, states_at
from helpers.comparison.matching import TOLERANCE, Matching
from helpers.metrics import rms_change
from helpers.sampling import denoise, sample
from helpers.toyworld import WORLDS, sample_factors

MASKED = 0.9  # of the squared change of a drawing, which the mask of its factor holds


class LateStart(DDIMScheduler):
    """A schedule whose trajectories start at the timestep `begin`, from the x_t there."""

    begin = None

    def set_timesteps(self, *arguments, **options):
        super().set_timesteps(*arguments, **options)
        self.timesteps = self.timesteps[self.timesteps <= self.begin]


def starting_at(found, timestep):
    """The same edit for x_t at a timestep in place of latents: what lies before is the same for all strengths."""
    scheduler = LateStart.from_config(found.model.scheduler.config)
    scheduler.begin = timestep
    return replace(found, model=replace(found.model, scheduler=scheduler))


class EqualChange(Matching):
    """`Matching` for edits of any kind, in place of vectors of one layer: rows are places in a list of edits.

    latents: that are edited; what comes before an edit begins is walked once.
    """

    def __init__(self, bench, latents):
        super().__init__(None, range(len(latents)), bench.plan.steps)
        self.bench, self.latents, self._states = bench, latents, {}
        self._plain = sample(bench.model, latents, None, bench.plan.steps)

    def plain(self, steps):
        """The unedited pictures."""
        return self._plain

    def measure(self, edits, part, vectors, alphas, place=None, steps=None, count=None):
        """Pictures (rows, latents, ...) of the edits at some places, on every latent, or on the first `count`."""
        count = min(count or len(self.seeds), len(self.seeds))
        rows = zip(vectors.tolist(), alphas.tolist(), strict=True)
        return torch.stack([self.edited(*edits[row], alpha, range(count)) for row, alpha in rows])

    def matched(self, layer, part, vectors, guess=None):
        """As of `Matching`; what still misses the change is searched once more, from where the first search ended."""
        alphas, pictures = super().matched(layer, part, vectors, guess)
        off = (self.sizes(pictures, part.steps) / part.wanted).log().abs()
        missed = ((self.sizes(pictures, part.steps) / part.wanted - 1).abs() > TOLERANCE).nonzero().flatten()
        if len(missed):
            others, found = super().matched(layer, part, vectors[missed], alphas[missed])
            nearer = (self.sizes(found, part.steps) / part.wanted).log().abs() < off[missed]
            alphas[missed[nearer]], pictures[missed[nearer]] = others[nearer], found[nearer]
        return alphas, pictures

    def edited(self, found, direction, alpha, pictures):
        """Pictures of one edit on the latents at some places."""
        pictures, model = list(pictures), self.bench.model
        end = getattr(found, "timestep", None)
        end = found.window[1] * model.train_timesteps if end is None else end
        begin = next(t for t in self.bench.timesteps if t <= end)
        with model.lock:
            if begin not in self._states:
                before = [t for t in self.bench.timesteps if t > begin]
                model.scheduler.set_timesteps(self.bench.plan.steps)
                with torch.no_grad():
                    self._states[begin] = denoise(model, self.latents, before, [])
        if len(getattr(found, "vectors", [])) > 1:  # each picture has its own
            found = replace(found, vectors=found.vectors[pictures])
        states = self._states[begin][pictures]
        return starting_at(found, begin).edit(states, alpha, self.bench.plan.steps, direction)


def total(passes):
    """The sum of some `Passes`."""
    return Passes(*map(sum, zip(*(vars(each).values() for each in passes), strict=True)))


def ends_of(name, factor, count, seed):
    """Drawings in which one factor stands at 0 and at 1, all others as the seed has them: (2, count, 3, side, side)."""
    factors, place = sample_factors(name, count, seed), list(WORLDS[name].factors).index(factor)
    return torch.stack([WORLDS[name].draw(factors.index_fill(1, torch.tensor(place), end)) for end in (0.0, 1.0)])


@functools.lru_cache
def reachable(name, wanted, count, seed):
    """The factors of a world, in its order, of which a drawing can change as much as wanted; see `ends_of`."""
    sizes = {factor: rms_change(*ends_of(name, factor, count, seed)).mean() for factor in WORLDS[name].factors}
    return [factor for factor, size in sizes.items() if size >= (1 - TOLERANCE) * wanted]


@functools.lru_cache
def mask_of(name, factor, count, seed):
    """Where a drawing changes when one factor goes from end to end: (side, side), 0 or 1; see `ends_of`.

    The fewest pixels that hold `MASKED` of the squared change, mean over drawings.
    """
    start, end = ends_of(name, factor, count, seed)
    change = (end - start).square().mean((0, 1))
    values, order = change.flatten().sort(descending=True)
    mask = torch.zeros(change.numel())
    mask[order[: 1 + (values.cumsum(0) < MASKED * values.sum()).sum()]] = 1
    return mask.view_as(change)


@torch.no_grad()
def alike(found, latents, num_inference_steps, probe=1.0):
    """The same `NoisyPictureEdit` with the signs with which the vectors of its pictures do the most alike.

    A singular vector has no sign of its own. What each changes in the predicted picture is taken; of every direction,
    signs are those of the first principal component of these changes over pictures. No reading and no edit enters.
    """
    share = (found.timestep + 0.5) / found.model.train_timesteps  # half a step above, whatever the rounding
    states, timestep = states_at(found.model, latents, share, num_inference_steps)
    vectors, unet = found.vectors.clone(), found.model.unet
    for direction in range(found.count):
        step = probe * vectors[:, direction]
        up, down = (predicted_picture(unet, found.model.scheduler, states + s * step, timestep) for s in (1, -1))
        vectors[:, direction] *= common_signs((up - down).flatten(1)).to(step).view(-1, 1, 1, 1)
    forward = found.passes.forward + 2 * vectors.shape[:2].numel()
    return replace(found, vectors=vectors, passes=replace(found.passes, forward=forward))


def common_signs(rows):
    """A sign per row with which rows point the same way, as far as they do: (rows,), the first is positive.

    >>> common_signs(torch.tensor([[1.0, 0.1], [-2.0, 0.1], [3.0, 0.3]])).tolist()
    [1.0, -1.0, 1.0]
    """
    rows = normalize(rows.double(), dim=1)
    leading = torch.linalg.eigh(rows @ rows.T)[1][:, -1]
    signs = torch.where(leading < 0, -1.0, 1.0)
    return signs * signs[0]
