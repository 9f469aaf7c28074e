"""Edits for somebody who waits: everything is kept that need not be computed again, and every run can be cancelled."""

from dataclasses import dataclass

import torch

from helpers.attention import get_layer
from helpers.directions import find_directions, random_directions
from helpers.editing import Edit, collect_shifts, denoise, random_latents, set_timesteps, to_pictures
from helpers.inversion import invert, without_clipping
from helpers.metrics import psnr

METHODS = ("paper", "refined", "random")
SLIDERS = 4
KEPT_PICTURES, KEPT_TRAJECTORIES = 64, 8


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

    Kept: directions per layer and method, the unedited trajectories of the last latents, and the last pictures.
    `rows`: how many pictures have passed through the network, for counting. Several threads may share a model; an
    engine belongs to one thread.
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
            _forget_oldest(self._pictures, KEPT_PICTURES)
        return self._pictures[settings]

    def use(self, picture, step=lambda done, total: None):
        """Invert a picture (3, height, width), for which "upload" stands from now on; sets `decibels`."""
        latents = invert(self.model, picture.unsqueeze(0), self.num_inference_steps, step=step)
        self.rows += self.num_inference_steps
        trajectory = self._sample(without_clipping(self.model), latents, step)
        for kept in (self._trajectories, self._pictures):
            for key in [key for key in kept if "upload" in (key, getattr(key, "latents", None))]:
                del kept[key]
        self.upload, self._trajectories["upload"] = latents, trajectory
        self.decibels = psnr(trajectory[1].unsqueeze(0), picture.unsqueeze(0)).item()

    def _model_and_start(self, latents):
        if latents == "upload":
            if self.upload is None:
                raise ValueError("no picture was uploaded yet: choose a file first.")
            return without_clipping(self.model), self.upload
        return self.model, random_latents(self.model, [latents])

    def _edit(self, settings, step):
        model, _ = self._model_and_start(settings.latents)
        states, _ = self._trajectory(settings.latents, step)
        layer = get_layer(model.unet, settings.layer)
        if len(settings.strengths) > SLIDERS:
            raise ValueError(f"{len(settings.strengths)} strengths: give at most {SLIDERS}, one for each direction.")
        vectors = self.directions(layer, settings.method).vectors
        edits = [
            Edit(vector, alpha, layer.name, settings.window, site=settings.site)
            for vector, alpha in zip(vectors, settings.strengths)
            if alpha
        ]
        shifts = collect_shifts(model.unet, [edits])
        first = next((t for t in states if t < settings.window[1] * model.train_timesteps), None)
        if first is None:  # no step lies in or after the window
            return self.original(settings.latents, step)
        with model.lock:
            timesteps = set_timesteps(model, self.num_inference_steps)
            timesteps = timesteps[timesteps.index(first) :]
            return self._run(model, states[first], timesteps, shifts, step)[1]

    def _trajectory(self, latents, step):
        """Unedited: {timestep: x_t before the step} and the picture."""
        if latents not in self._trajectories:
            self._trajectories[latents] = self._sample(*self._model_and_start(latents), step)
            _forget_oldest(self._trajectories, KEPT_TRAJECTORIES)
        return self._trajectories[latents]

    def _sample(self, model, start, step):
        with model.lock:
            return self._run(model, start, set_timesteps(model, self.num_inference_steps), [], step)

    @torch.no_grad()
    def _run(self, model, x, timesteps, shifts, step):
        states = {}
        for done, timestep in enumerate(timesteps):
            step(done, len(timesteps))
            states[timestep] = x
            x = denoise(model, x, [timestep], shifts)
            self.rows += 1
        return states, to_pictures(x)[0]


def _forget_oldest(kept, most):
    """Drop the oldest entries of a dict, all but one that stands for an upload, until few enough are left."""
    for key in [key for key in kept if key != "upload"][: max(0, len(kept) - most)]:
        del kept[key]
