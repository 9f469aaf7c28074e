"""Edits for somebody who waits: everything is kept that need not be computed again, and every run can be cancelled."""

from dataclasses import dataclass

import torch

from helpers.attention import find_layers
from helpers.directions import find_directions, random_directions
from helpers.editing import Edit, collect_shifts, denoise, random_latents, set_timesteps, to_pictures
from helpers.inversion import invert, psnr, without_clipping

METHODS = ("paper", "refined", "random")
SLIDERS = 4


class Cancelled(Exception):
    """Raised inside a run that somebody cancelled."""


@dataclass(frozen=True)
class Settings:
    """What an edit depends on. strengths: alpha of the first directions; latents: a seed, or "upload"."""

    layer: str
    method: str
    strengths: tuple
    window: tuple = (0.5, 0.8)
    site: str = "projections"
    latents: int | str = 0


class Engine:
    """Computes edits of one picture at a time and keeps what it may need again.

    Kept: directions per layer and method, the unedited trajectory of every latent, and every picture once made.
    `rows`: how many pictures have passed through the network, for counting. Safe to use from several threads.
    """

    def __init__(self, model, num_inference_steps=50):
        self.model, self.num_inference_steps = model, num_inference_steps
        self.rows = 0
        self.upload = self.decibels = None
        self._directions, self._trajectories, self._pictures = {}, {}, {}

    def directions(self, layer, method):
        """The first directions of a layer by a method of `METHODS`."""
        key = layer.name, method
        if key not in self._directions:
            found = random_directions(layer, SLIDERS, seed=0) if method == "random" else None
            self._directions[key] = found or find_directions(layer, SLIDERS, method)
        return self._directions[key]

    def original(self, latents, step=lambda done, total: None):
        """The unedited picture, (3, height, width)."""
        return self._trajectory(latents, step)[1]

    def edit(self, settings, step=lambda done, total: None):
        """The edited picture, (3, height, width). step(done, total) is called before every denoising step and may raise
        `Cancelled`; what was complete by then is kept. Raises ValueError for settings that do not fit."""
        if settings not in self._pictures:
            if not any(settings.strengths):
                return self.original(settings.latents, step)
            self._pictures[settings] = self._edit(settings, step)
        return self._pictures[settings]

    def use(self, picture, step=lambda done, total: None):
        """Invert a picture (3, height, width), for which "upload" stands from now on; sets `decibels`."""
        latents = invert(self.model, picture.unsqueeze(0), self.num_inference_steps)
        self.rows += self.num_inference_steps
        for kept in (self._trajectories, self._pictures):
            for key in [key for key in kept if "upload" in (key, getattr(key, "latents", None))]:
                del kept[key]
        self.upload = latents
        self.decibels = psnr(self.original("upload", step).unsqueeze(0), picture.unsqueeze(0)).item()

    def _model_and_start(self, latents):
        if latents == "upload":
            if self.upload is None:
                raise ValueError("no picture was uploaded yet: choose a file first.")
            return without_clipping(self.model), self.upload
        return self.model, random_latents(self.model, [latents])

    def _edit(self, settings, step):
        model, _ = self._model_and_start(settings.latents)
        states, _ = self._trajectory(settings.latents, step)
        layer = next(layer for layer in find_layers(model.unet) if layer.name == settings.layer)
        vectors = self.directions(layer, settings.method).vectors
        edits = [
            Edit(vector, alpha, layer.name, settings.window, site=settings.site)
            for vector, alpha in zip(vectors, settings.strengths)
            if alpha
        ]
        shifts = collect_shifts(model.unet, [edits])
        first = next((t for t in states if t < settings.window[1] * model.train_timesteps), None)
        with model.lock:
            timesteps = set_timesteps(model, self.num_inference_steps)
            timesteps = timesteps[timesteps.index(first) :]
            return self._run(model, states[first], timesteps, shifts, step)[1]

    def _trajectory(self, latents, step):
        """Unedited: {timestep: x_t before the step} and the picture."""
        if latents not in self._trajectories:
            model, start = self._model_and_start(latents)
            with model.lock:
                timesteps = set_timesteps(model, self.num_inference_steps)
                self._trajectories[latents] = self._run(model, start, timesteps, [], step)
        return self._trajectories[latents]

    @torch.no_grad()
    def _run(self, model, x, timesteps, shifts, step):
        states = {}
        for done, timestep in enumerate(timesteps):
            step(done, len(timesteps))
            states[timestep] = x
            x = denoise(model, x, [timestep], shifts)
            self.rows += 1
        return states, to_pictures(x)[0]
