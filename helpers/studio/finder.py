"""The directions of a model's layers, by every method, each found once."""

import torch

from helpers import directions as ways
from helpers.agreement import STEPS as AGREE_STEPS
from helpers.agreement import agreeing_directions
from helpers.attention import find_layers
from helpers.sampling import denoise, random_latents, set_timesteps
from helpers.whitening import record_tokens

METHODS = (*ways.METHODS, "agree", "random")
NEEDS_TOKENS = ("exact", "pca")
SLIDERS = 8
TOKEN_SEEDS, MIDDLE = (1001, 1002, 1003, 1004), 0.65  # samples whose tokens are recorded, and when: share of T
AGREE_SEEDS, AGREE_SPAN = range(500, 512), 40  # about a thousand passes: under 30 s on two cores


class Finder:
    """Finds the first directions of layers and keeps them. `rows`: pictures that passed the network for that."""

    def __init__(self, model, num_inference_steps=50):
        self.model, self.num_inference_steps, self.rows = model, num_inference_steps, 0
        self.tokens, self._found = None, {}

    def directions(self, layer, method, step=lambda done, total: None):
        """The first directions of a layer by one of `METHODS`, or by a name under which `add` was given some.

        "exact" and "pca" need tokens: those of four samples in the middle of the paper's window are recorded once.
        "agree" passes twelve samples through the network with both signs of 40 directions, once per layer.
        Raises ValueError for an unknown method, or a name under which nothing was added for the layer.
        """
        key = layer.name, method
        if key not in self._found:
            count = min(SLIDERS, layer.channels)
            if method in {"file", *(name for _, name in self._found)} - set(METHODS):
                raise ValueError(f"no file of directions for {layer.name} was loaded: choose another way or layer.")
            if method == "random":
                found = ways.random_directions(layer, count, seed=0)
            elif method == "agree":
                found = self._agreeing(layer, count, step)
            else:
                tokens = self._record_tokens(step)[layer.name] if method in NEEDS_TOKENS else None
                found = ways.find_directions(layer, count, method, tokens)
            self._found[key] = found
        return self._found[key]

    def add(self, directions, name="file"):
        """Keep these directions for their layer, under a name that then works as a method."""
        self._found[directions.layer, name] = directions

    def _agreeing(self, layer, count, step):
        passed = 0

        def progress(done, total):
            nonlocal passed
            self.rows += done - passed
            passed = done
            step(done, total)

        seeds = list(AGREE_SEEDS)
        step(0, 2 * min(AGREE_SPAN, layer.channels) * len(seeds))
        with self.model.lock:
            timesteps = set_timesteps(self.model, AGREE_STEPS)
        self.rows += len(seeds) * sum(t > MIDDLE * self.model.train_timesteps for t in timesteps)
        return agreeing_directions(self.model, layer, count, seeds, AGREE_SPAN, MIDDLE, progress)

    @torch.no_grad()
    def _record_tokens(self, step):
        """{layer name: (4, N, d)}: tokens of four samples, on the way from noise, at `MIDDLE`."""
        if self.tokens is None:
            x = random_latents(self.model, TOKEN_SEEDS)
            with self.model.lock:
                timesteps = set_timesteps(self.model, self.num_inference_steps)
                way = [t for t in timesteps if t > MIDDLE * self.model.train_timesteps] or timesteps[:1]
                with record_tokens(find_layers(self.model.unet)) as tokens:
                    for done, timestep in enumerate(way):
                        step(done, len(way))
                        x = denoise(self.model, x, [timestep], [])
                        self.rows += len(x)
            self.tokens = tokens
        return self.tokens
