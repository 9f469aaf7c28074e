"""Sweeps: many edits of the same latents as batches, with the steps that they share computed once."""

import copy
import time

import torch
from tqdm.auto import tqdm

from helpers.editing import Edit, check_windows, collect_shifts
from helpers.sampling import check_steps, denoise, set_timesteps


def edit_grid(*arguments, progress=False, **options):
    """Edit every latent along every direction with every strength: a `Sweep` with these arguments, run to its end.

    Returns pictures on the CPU, (directions, alphas, pictures, channels, height, width) in [0, 1].
    """
    return Sweep(*arguments, **options).run(progress)


class Sweep:
    """Every latent edited along every direction with every strength, resumable.

    latents: (pictures, channels, height, width); directions: `Directions`; alphas: strengths in the paper's units;
    window, injection: as for `Edit`.
    The steps before the window are the same for all edits of a latent and are computed once, as is alpha = 0; the rest
    goes through the network in batches of `batch_size`, which is halved, and said so, when GPU memory runs out. Other
    threads may use the model between two batches.

    `grid`: (directions, alphas, pictures, channels, height, width) in [0, 1], on the CPU, NaN where not yet computed.
    After an interruption, `run` goes on where it stopped.
    Raises ValueError for bad edits, before any work is done.
    """

    def __init__(
        self,
        model,
        latents,
        directions,
        alphas,
        window=(0.5, 0.8),
        num_inference_steps=50,
        batch_size=16,
        injection="symmetric",
    ):
        if not len(alphas):
            raise ValueError("alphas is empty: give at least one strength.")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: it must be at least 1.")
        self.model, self.latents = model, latents
        self.window, self.num_inference_steps, self.batch_size = window, num_inference_steps, batch_size
        check_steps(model, num_inference_steps)
        jobs = [
            (k, a, Edit(vector, float(alpha), directions.layer, window, injection=injection))
            for k, vector in enumerate(directions.vectors)
            for a, alpha in enumerate(alphas)
            if alpha != 0
        ]
        scheduler = copy.copy(model.scheduler)  # the model may be sampling
        scheduler.set_timesteps(num_inference_steps)
        for _, _, edit in jobs:  # refuse bad edits now
            check_windows(collect_shifts(model.unet, [[edit]]), scheduler.timesteps.tolist(), model.train_timesteps)
        self._zero = [a for a, alpha in enumerate(alphas) if alpha == 0]
        self._waiting = [(place, row) for place in [None][: len(self._zero)] + jobs for row in range(len(latents))]
        self._start = None
        sides = [model.pixels_per_latent * side for side in latents.shape[-2:]]
        channels = latents.shape[1] if model.autoencoder is None else model.autoencoder.config.out_channels
        self.grid = torch.full((len(directions), len(alphas), len(latents), channels, *sides), torch.nan)

    @property
    def remaining(self):
        """Trajectories that are not computed yet."""
        return len(self._waiting)

    @torch.no_grad()
    def run(self, progress=False):
        """Compute what is missing and return `grid`."""
        with tqdm(total=self.remaining, disable=not progress, desc="trajectories") as bar:
            while self._waiting:
                with self.model.lock:
                    done = self._smaller_when_full(self._run_batch)
                bar.update(done)
                time.sleep(0.001)  # else the lock would be taken again before a waiting thread gets it
        return self.grid

    def _run_batch(self):
        timesteps = set_timesteps(self.model, self.num_inference_steps)
        shared = [t for t in timesteps if t >= self.window[1] * self.model.train_timesteps]
        if self._start is None:
            parts = self.latents.split(self.batch_size)
            self._start = torch.cat([denoise(self.model, part, shared, []) for part in parts])
        jobs = self._waiting[: self.batch_size]
        rows = [row for _, row in jobs]
        shifts = collect_shifts(self.model.unet, [[] if place is None else [place[2]] for place, _ in jobs])
        pictures = self.model.decode(denoise(self.model, self._start[rows], timesteps[len(shared) :], shifts))
        for (place, row), picture in zip(jobs, pictures, strict=True):
            if place is None:
                self.grid[:, self._zero, row] = picture
            else:
                self.grid[place[0], place[1], row] = picture
        del self._waiting[: len(jobs)]
        return len(jobs)

    def _smaller_when_full(self, work):
        """Run something, again and again with half the batch while memory runs out."""
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not isinstance(error, torch.cuda.OutOfMemoryError) and "out of memory" not in str(error):
                    raise  # Apple's MPS has no class of its own for it
                if self.batch_size == 1:
                    raise RuntimeError(
                        "out of memory with one picture at a time: use fewer pixels, or dtype=torch.float16."
                    ) from error
                self.batch_size //= 2
            torch.cuda.empty_cache()
            print(f"out of memory: going on with batches of {self.batch_size}")
