"""Edits for somebody who waits: everything is kept that need not be computed again, and every run can be cancelled."""

import torch

from helpers.attention import get_layer
from helpers.editing import Edit, check_windows, collect_shifts
from helpers.metrics import psnr
from helpers.sampling import denoise, invert, random_latents, rows_passed_twice, set_timesteps, without_clipping
from helpers.studio.finder import Finder
from helpers.studio.settings import Settings

__all__ = ["Cancelled", "Engine", "Settings"]
KEPT_PICTURES, KEPT_TRAJECTORIES, LARGEST_BATCH = 64, 8, 8


class Cancelled(Exception):
    """Raised inside a run that somebody cancelled."""


class Engine:
    """Computes edits of one picture at a time and keeps what it may need again.

    Kept: directions per layer and method, the unedited trajectories of the last latents, and the last pictures.
    `rows`: how many pictures have passed through the network, for counting. Several threads may share a model; an
    engine belongs to one thread. Wherever a method takes step, step(done, total) is called before every denoising step
    and may raise `Cancelled`; what was complete by then is kept.
    """

    def __init__(self, model, num_inference_steps=50):
        self.model, self.num_inference_steps = model, num_inference_steps
        self.finder = Finder(model, num_inference_steps)
        self.uploads = {}  # key: (latents, decibels with which the picture comes back)
        self.strengths = {}  # found by `helpers.studio.measuring.matching_strength`
        self._rows, self._trajectories, self._pictures = 0, {}, {}

    @property
    def rows(self):
        return self._rows + self.finder.rows

    def directions(self, layer, method, step=lambda done, total: None):
        """The first directions of a layer by a method, see `Finder.directions`."""
        return self.finder.directions(layer, method, step)

    def add(self, directions, name="file"):
        """Use these directions from now on for their layer, under a name that works as a method."""
        self.finder.add(directions, name)
        self.strengths = {key: kept for key, kept in self.strengths.items() if key[0].method != name}
        self._pictures = {key: kept for key, kept in self._pictures.items() if key.method != name}

    def original(self, latents, step=lambda done, total: None):
        """The unedited picture, (3, height, width)."""
        return self._trajectory(latents, step)[1]

    def edit(self, settings, step=lambda done, total: None):
        """The edited picture, (3, height, width). Raises ValueError for settings that do not fit."""
        return self.edits([settings], step)[0]

    def edits(self, wanted, step=lambda done, total: None):
        """Pictures (len(wanted), 3, height, width) of several settings; new ones of the same latents go in batches."""
        found, missing = {}, []
        for settings in dict.fromkeys(wanted):
            if not settings.strengths:
                found[settings] = self.original(settings.latents, step)
            elif settings in self._pictures:
                found[settings] = self._pictures[settings] = self._pictures.pop(settings)  # now the youngest
            else:
                missing.append(settings)
        for latents in dict.fromkeys(settings.latents for settings in missing):
            same = [settings for settings in missing if settings.latents == latents]
            for first in range(0, len(same), LARGEST_BATCH):
                batch = same[first : first + LARGEST_BATCH]
                new = dict(zip(batch, self._edit(batch, step), strict=True))
                found |= new
                self._pictures |= new
                _forget_oldest(self._pictures, KEPT_PICTURES)
        return torch.stack([found[settings] for settings in wanted])

    def use(self, picture, step=lambda done, total: None):
        """Invert a picture (3, height, width). Returns the key that stands for it in `Settings.latents`."""
        latents = invert(self.model, picture.unsqueeze(0), self.num_inference_steps, step=step)
        self._rows += self.num_inference_steps
        trajectory = self._sample(without_clipping(self.model), latents, step)
        key = f"upload {len(self.uploads) + 1}"
        self._trajectories[key] = trajectory
        self.uploads[key] = latents, psnr(trajectory[1].unsqueeze(0), picture.unsqueeze(0)).item()
        return key

    def _model_and_start(self, latents):
        if latents in self.uploads:
            return without_clipping(self.model), self.uploads[latents][0]
        if latents is None or isinstance(latents, str):  # seeds may be integers of any kind
            raise ValueError("no picture was uploaded yet: choose a file first.")
        return self.model, random_latents(self.model, [latents])

    def _edit(self, batch, step):
        """Pictures of new settings, all of the same latents, in one batch that starts where the first window opens."""
        latents = batch[0].latents
        shifts = collect_shifts(self.model.unet, [self._list_edits(settings, step) for settings in batch])
        states, _ = self._trajectory(latents, step)
        model, _ = self._model_and_start(latents)
        opens = max(settings.window[1] for settings in batch) * model.train_timesteps
        check_windows(shifts, list(states), model.train_timesteps)
        first = next(t for t in states if t < opens)
        with model.lock:
            timesteps = set_timesteps(model, self.num_inference_steps)
            start = states[first].expand(len(batch), -1, -1, -1)
            return model.decode(self._run(model, start, timesteps[timesteps.index(first) :], shifts, step)[1])

    def _list_edits(self, settings, step):
        edits = []
        for name, alphas in settings.strengths:
            layer = get_layer(self.model.unet, name)
            vectors = self.directions(layer, settings.method, step).vectors
            if len(alphas) > len(vectors) and any(alphas[len(vectors) :]):
                raise ValueError(f"{len(alphas)} strengths for {len(vectors)} directions of {name}: give one for each.")
            mask = settings.region.mask(layer.resolution or self.model.sample_shape[-1])
            for vector, alpha in zip(vectors, alphas):
                if alpha:
                    edits.append(Edit(vector, alpha, name, settings.window, mask, settings.site, settings.injection))
        return edits

    def _trajectory(self, latents, step):
        """Unedited: {timestep: x_t before the step} and the picture."""
        if latents not in self._trajectories:
            self._trajectories[latents] = self._sample(*self._model_and_start(latents), step)
            _forget_oldest(self._trajectories, KEPT_TRAJECTORIES)
        return self._trajectories[latents]

    def _sample(self, model, start, step):
        with model.lock:
            states, x = self._run(model, start, set_timesteps(model, self.num_inference_steps), [], step)
        return states, model.decode(x)[0]

    @torch.no_grad()
    def _run(self, model, x, timesteps, shifts, step):
        states = {}
        for done, timestep in enumerate(timesteps):
            step(done, len(timesteps))
            states[timestep] = x
            x = denoise(model, x, [timestep], shifts)
            active = [shift for shift in shifts if shift.holds(timestep, model.train_timesteps)]
            self._rows += len(x) + len(rows_passed_twice(active))
        return states, x


def _forget_oldest(kept, most):
    """Drop the oldest entries of a dict until few enough are left."""
    for key in list(kept)[: max(0, len(kept) - most)]:
        del kept[key]
