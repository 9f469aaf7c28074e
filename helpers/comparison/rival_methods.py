"""The methods that are compared with each other, and how each finds its edits on one drawn world.

Settings and seeds are those of the page "The protocol of the comparison with other methods".
"""

from dataclasses import dataclass, replace

import torch

from helpers.agreement import agreeing_directions
from helpers.attention import find_layers
from helpers.baselines import TokenEdit, asyrp, counted_passes, factor_loss, loco, noiseclr, pca, pullback, sefa
from helpers.baselines.edits import MiddleEdit, NoisyPictureEdit, Passes
from helpers.clock import equal_noise_window
from helpers.comparison.contestants import SHARE, SPAN
from helpers.comparison.plan import CHANGES
from helpers.comparison.rival_means import alike, mask_of, reachable, total
from helpers.directions import Directions, find_directions, random_directions
from helpers.models import load_model
from helpers.sampling import random_latents, set_timesteps

#: seeds that no page of the book has used: of latents, but for random directions and for drawings
SEEDS = {"test": 9500, "agree": 9600, "pca": 9620, "carried": 9750, "noiseclr": 9760, "asyrp": 9800, "another": 9840}
SEEDS |= {"random": 9590, "drawings": 9591, "renderer": 9592}
#: shares of T on the paper's clock in which edits work: on tokens, of trained shifts, on x_t at the end alone, on all h
CLOCK = {"shift": (0.5, 0.8), "trained": (0.5, 1.0), "picture": (0.0, 0.6), "all": (0.0, 1.0)}
DRAWINGS = 16  # of which a factor's mask is the mean
BATCH = 4  # pictures of an update in training
JVP, VJP, TRAINED = 5, 2, 2.3  # about as many forward passes; half of the network takes a third of it


@dataclass(frozen=True)
class RivalPlan:
    """How much is measured; the defaults are the protocol's."""

    steps: int = 25
    latents: int = 15
    directions: int = 7  # of each method
    others: int = 3  # of them, at the other sizes
    responses: int = 16  # pictures whose responses shall agree
    samples: int = 128  # pictures for PCA
    pullback_iterations: int = 20
    loco_iterations: int = 5
    null: int = 5  # directions that LOCO takes away
    contrast_pictures: int = 32
    contrast_updates: int = 100
    trained_pictures: int = 32  # of Asyrp, each seen once


@dataclass(frozen=True)
class Method:
    """Where a method edits, and in which window of `CLOCK`: it starts at its end.

    injection: "asymmetric" where the predicted picture alone moves, else "symmetric"; twice: whether pictures pass
    twice in the window; more: further passes.
    """

    layer: str
    injection: str
    window: str
    twice: bool
    more: int = 0


TOKENS = Method("encoder", "asymmetric", "shift", True)
LOCO = Method("x_t", "symmetric", "picture", False)
PULLBACK = replace(LOCO, more=2 * NoisyPictureEdit.REPEATS)
#: in the order in which they are measured: cheap ones first
METHODS = dict.fromkeys(("random", "C", "refined", "agree", "SeFa"), TOKENS)
METHODS |= {"C symmetric": replace(TOKENS, injection="symmetric", twice=False)}
METHODS |= {"PCA in h": Method("middle", "asymmetric", "all", True)}
METHODS |= {"Pullback carried": PULLBACK, "Pullback": PULLBACK, "LOCO carried": LOCO, "LOCO": LOCO}
METHODS |= {"NoiseCLR": Method("middle", "symmetric", "shift", True)}
METHODS |= {"Asyrp": Method("middle", "asymmetric", "trained", True)}


class Bench:
    """One drawn world with its model, and the means with which methods find their edits there.

    targets: the factors that methods with a human's choice are told, see `reachable`; masks: where each shows.
    """

    def __init__(self, name, plan, device=None):
        self.name, self.plan, self.model = name, plan, load_model(name, device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.layer, side = find_layers(self.model.unet)[0], self.model.sample_shape[-1]
        self.windows = {use: equal_noise_window(self.model.scheduler, side, window) for use, window in CLOCK.items()}
        self.targets = reachable(name, CHANGES[0], DRAWINGS, SEEDS["drawings"])[: plan.directions]
        self.masks = {factor: mask_of(name, factor, DRAWINGS, SEEDS["drawings"]) for factor in self.targets}
        with self.model.lock:
            self.timesteps = set_timesteps(self.model, plan.steps)

    def latents(self, use, count):
        """The first `count` latents of a use."""
        return random_latents(self.model, range(SEEDS[use], SEEDS[use] + count))

    def find(self, method, kept=None):
        """(edits, passes, vectors) of a method, in the order of its directions.

        edits: [(object with `edit`, its direction)]; passes: `Passes` that it took; vectors: what is worth keeping of
        it, None for what is large or needs networks. kept: such vectors, in place of finding them.
        """
        if method == "PCA in h":
            found = pca(self.model, self.latents("pca", self.plan.samples), self.plan.directions, self.plan.steps)
        elif method == "Asyrp":
            found = [self._trained(factor) for factor in self.targets]
            return [(each, 0) for each in found], total(each.passes for each in found), None
        elif method in ("NoiseCLR", "Pullback carried", "LOCO carried"):
            found, passes = (None, Passes()) if kept is not None else self._learned(method)
            kept = found.half() if kept is None else kept
            return self._numbered(self._restored(method, kept.float().to(self.model.device), passes)), passes, kept
        elif method in ("Pullback", "LOCO"):
            found = self._of_pictures(method, self.latents("test", self.plan.latents))
            found = alike(found, self.latents("test", self.plan.latents), self.plan.steps)
        else:
            with counted_passes(self.model) as passes:
                vectors = self._tokens(method) if kept is None else kept
            directions = Directions(vectors, None, self.layer.name, method)
            found = TokenEdit(self.model, directions, self.windows["shift"], METHODS[method].injection, passes)
            return self._numbered(found), passes, vectors
        return self._numbered(found), found.passes, None

    def _numbered(self, found):
        return [(found, direction) for direction in range(found.count)]

    def _tokens(self, method):
        count, layer = self.plan.directions, self.layer
        if method == "random":
            return random_directions(layer, count, SEEDS["random"]).vectors
        if method == "SeFa":
            return sefa(self.model, layer.name, count).directions.vectors
        if method == "agree":
            seeds = range(SEEDS["agree"], SEEDS["agree"] + self.plan.responses)
            return agreeing_directions(self.model, layer, count, seeds, SPAN, SHARE).vectors
        return find_directions(layer, count, "refined" if method == "refined" else "paper").vectors

    def _learned(self, method):
        """(vectors, passes) of a method whose vectors serve for every picture."""
        if method != "NoiseCLR":
            found = self._of_pictures(method.removesuffix(" carried"), self.latents("carried", 1))
            return found.vectors, found.passes
        pictures, count = self.latents("noiseclr", self.plan.contrast_pictures), self.plan.directions
        options = dict(pictures_per_step=min(BATCH, len(pictures)), directions_per_step=count, learning_rate=0.01)
        options |= dict(num_inference_steps=self.plan.steps, window=self.windows["shift"])
        found = noiseclr(self.model, pictures, count, self.plan.contrast_updates, **options)
        h = torch.zeros(1, device=self.model.device)
        return torch.stack([found.shift(h, 0, direction) for direction in range(count)]), found.passes

    def _restored(self, method, vectors, passes):
        """The edit of vectors that `_learned` found."""
        if method == "NoiseCLR":
            window = self.windows["shift"]
            return MiddleEdit(self.model, lambda h, t, k: vectors[k], len(vectors), window, True, passes)
        timestep = next(t for t in self.timesteps if t <= self.windows["picture"][1] * self.model.train_timesteps)
        guided = method.startswith("Pullback")
        return NoisyPictureEdit(self.model, vectors, vectors.flatten(2).norm(dim=2), timestep, guided, passes)

    def _of_pictures(self, method, latents):
        """Vectors of each picture: of Pullback the strongest, of LOCO the strongest in the mask of each target."""
        plan, options = self.plan, dict(share=self.windows["picture"][1], num_inference_steps=self.plan.steps)
        if method == "Pullback":
            return pullback(self.model, latents, plan.directions, iterations=plan.pullback_iterations, **options)
        options |= dict(null=plan.null, iterations=plan.loco_iterations)
        found = [loco(self.model, latents, self.masks[factor], **options) for factor in self.targets]
        vectors, values = (torch.cat([getattr(each, k) for each in found], dim=1) for k in ("vectors", "values"))
        return replace(found[0], vectors=vectors, values=values, passes=total(each.passes for each in found))

    def _trained(self, factor):
        latents = self.latents("asyrp", self.plan.trained_pictures)
        options = dict(num_inference_steps=self.plan.steps, window=self.windows["trained"])
        return asyrp(self.model, latents, factor_loss(self.name, factor), 1, BATCH, **options)

    def to_find(self, method):
        """(pictures, forward passes or what takes as long, about) that finding takes."""
        plan, count = self.plan, self.plan.directions
        pictures = {"agree": plan.responses, "PCA in h": plan.samples, "Pullback": plan.latents, "LOCO": plan.latents}
        pictures |= {"Pullback carried": 1, "LOCO carried": 1, "NoiseCLR": plan.contrast_pictures}
        pictures = {**pictures, "Asyrp": plan.trained_pictures}.get(method, 0)
        inside = sum(t >= self.windows["trained"][0] * self.model.train_timesteps for t in self.timesteps)
        each = {
            "agree": 2 * min(SPAN, self.layer.channels),
            "PCA in h": plan.steps,
            "Pullback": count * plan.pullback_iterations * (JVP + VJP) / 4,
            "LOCO": count * plan.loco_iterations * (1 + plan.null) * (JVP + VJP),
            "NoiseCLR": plan.steps + plan.contrast_updates * BATCH / plan.contrast_pictures * count * (1 + TRAINED),
            "Asyrp": count * inside * (2 + TRAINED),
        }
        return pictures, round(pictures * each.get(method.removesuffix(" carried"), 0))

    def passes_of(self, method):
        """Forward passes of one edited trajectory, from where the edit begins."""
        case, of = METHODS[method], self.model.train_timesteps
        low, high = (share * of for share in self.windows[case.window])
        twice = sum(low <= t <= high for t in self.timesteps) if case.twice else 0
        return sum(t <= high for t in self.timesteps) + twice + case.more
