"""Thousands of edits at a time: one vector per row of a batch, on the tokens of a layer or on its output."""

from contextlib import contextmanager

import torch

from helpers.editing import shifted_tokens
from helpers.sampling import random_latents, set_timesteps, signal_after
from helpers.whitening import record_tokens

BATCH = {"cuda": 512, "cpu": 16}


class ManyEdits:
    """Edited samples of one model in one window, in batches as large as its device likes; network passes are counted.

    window: shares of T, as for `helpers.editing.Edit`. `helpers.sweep.Sweep` does the same for directions x strengths
    with everything that `Edit` can say; here a row is a vector, and nothing else is asked per row.
    """

    def __init__(self, model, window):
        self.model, self.window, self.passes = model, window, 0
        self.batch_size = BATCH.get(model.device.type, 16)
        if model.device.type == "cuda":  # without TensorFloat-32 the other layout is the slower one there
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
            model.unet.to(memory_format=torch.contiguous_format)
        self._starts, self._pictures = {}, {}

    def timesteps(self, steps):
        """(before, inside, after): the timesteps of a trajectory before, inside and after the window."""
        low, high = (share * self.model.train_timesteps for share in self.window)
        times = set_timesteps(self.model, steps)
        inside = [t for t in times if low < t < high]
        return [t for t in times if t >= high], inside, [t for t in times if t <= low]

    def passes_of(self, steps, injection):
        """Network passes of one edited trajectory from the window on."""
        _, inside, after = self.timesteps(steps)
        return len(inside) * (2 if injection == "asymmetric" else 1) + len(after)

    @torch.no_grad()
    def unedited(self, seeds, steps):
        """The pictures of the seeds without an edit, kept: (seeds, channels, height, width) in [0, 1], on the CPU."""
        key = tuple(seeds), steps
        if key not in self._pictures:
            start = self._start(*key)
            with self.model.lock:
                _, inside, after = self.timesteps(steps)
                parts = [self._walk(part, inside + after) for part in start.split(self.batch_size)]
                self._pictures[key] = torch.cat([self.model.decode(part) for part in parts])
            self.passes += len(seeds) * len(inside + after)
        return self._pictures[key]

    def _start(self, seeds, steps):
        """Latents at the window's beginning, which all edits of a seed share."""
        if (seeds, steps) not in self._starts:
            with self.model.lock:
                before = self.timesteps(steps)[0]
                parts = random_latents(self.model, seeds).split(self.batch_size)
                self._starts[seeds, steps] = torch.cat([self._walk(part, before) for part in parts])
            self.passes += len(seeds) * len(before)
        return self._starts[seeds, steps]

    @torch.no_grad()
    def edited(self, layer, vectors, which, seeds, steps, injection="asymmetric", place="tokens"):
        """Pictures (rows, channels, height, width) in [0, 1], on the CPU, of one edit per row.

        layer: `AttentionLayer`; vectors: (rows, d), alpha times direction; which: (rows,), the place of each row's
        latents among the seeds; injection: as for `Edit`. place: "tokens" adds a vector to all that enter the layer's
        projections, "output" to all that leave its output projection.
        """
        start, rows, pictures = self._start(tuple(seeds), steps), torch.as_tensor(which), []
        vectors = vectors.float().unsqueeze(1).to(self.model.device)
        with self.model.lock:
            _, inside, after = self.timesteps(steps)
            for part, shift in zip(rows.split(self.batch_size), vectors.split(self.batch_size), strict=True):
                state = start[part.to(start.device)]
                for timestep in inside:
                    state = self._step(state, timestep, layer, shift, injection, place)
                pictures.append(self.model.decode(self._walk(state, after)))
        self.passes += len(rows) * self.passes_of(steps, injection)
        return torch.cat(pictures)

    def _walk(self, state, timesteps):
        """DDIM steps without an edit; unlike `helpers.sampling.denoise` it leaves the layout in memory as it is."""
        for timestep in timesteps:
            noise = self.model.unet(state, timestep).sample
            state = self.model.scheduler.step(noise, timestep, state, eta=0.0).prev_sample
        return state

    def _step(self, state, timestep, layer, shift, injection, place):
        """One DDIM step inside the window, as `helpers.sampling.denoise` takes it."""
        model, twice = self.model, injection == "asymmetric"
        rows = torch.cat([state, state]) if twice else state
        shifts = torch.cat([shift, torch.zeros_like(shift)]) if twice else shift
        with (shifted_tokens if place == "tokens" else shifted_output)(layer, shifts):
            noise = model.unet(rows, timestep).sample
        edited = model.scheduler.step(noise[: len(state)], timestep, state, eta=0.0)
        if not twice:
            return edited.prev_sample
        plain = model.scheduler.step(noise[len(state) :], timestep, state, eta=0.0)
        moved = edited.pred_original_sample - plain.pred_original_sample
        return plain.prev_sample + signal_after(model.scheduler, timestep) * moved

    @torch.no_grad()
    def tokens(self, layer, seeds, share, steps):
        """Tokens (seeds, N, d) that enter a layer at the first timestep at or below share of T, of unedited samples."""
        found = []
        with self.model.lock:
            times = set_timesteps(self.model, steps)
            way = [t for t in times if t > share * self.model.train_timesteps]
            for part in random_latents(self.model, seeds).split(self.batch_size):
                state = self._walk(part, way)
                with record_tokens([layer]) as record:
                    self.model.unet(state, times[len(way)])
                found.append(record[layer.name].cpu())
        self.passes += len(seeds) * (len(way) + 1)
        return torch.cat(found)


@contextmanager
def shifted_output(layer, shift):
    """Inside this context, shift (batch, 1, d) is added to what the output projection of a layer gives."""
    handle = layer.module.to_out[0].register_forward_hook(lambda _, inputs, output: output + shift.to(output))
    try:
        yield
    finally:
        handle.remove()


def constant_of(layer, vectors):
    """n^T W_V W_O for each of the vectors (count, d): what a shift adds to every token through the value term alone.

    Rows of attention sum to one, so A dV = 1 n^T W_V whatever the attention is; W_O is linear.
    """
    value, output = (linear.weight.detach().float().cpu() for linear in (layer.module.to_v, layer.module.to_out[0]))
    return vectors.float() @ value.T @ output.T
