"""Walk the schedule with DDIM: from latents to pictures, edited on the way or not, and back."""

from contextlib import ExitStack
from dataclasses import replace

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from tqdm.auto import tqdm

from helpers.editing import Shifts, check_windows, collect_shifts, rows_of_edits, shifted_tokens


def random_latents(model, seeds):
    """Gaussian latents, one per seed, each independent of its neighbours: (len(seeds), channels, height, width)."""
    rows = [torch.randn(model.sample_shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return torch.stack(rows).to(model.device, model.dtype)


@torch.no_grad()
def sample(model, latents, edits=None, num_inference_steps=50, progress=False):
    """Run DDIM (Song et al. 2021, eta = 0) from Gaussian latents to pictures.

    latents: (batch, channels, height, width) standard normal, see `random_latents`.
    edits: None; one `Edit` for every row; or a list with one entry per row (or one entry for all): None, an `Edit`, or
    a list of edits whose shifts add up.
    Returns pictures on the CPU, (batch, channels, height, width) in [0, 1]: of a latent model those of its autoencoder.
    Raises ValueError for bad edits.
    """
    shifts = collect_shifts(model.unet, rows_of_edits(edits, len(latents)))
    with model.lock:
        timesteps = set_timesteps(model, num_inference_steps)
        check_windows(shifts, timesteps, model.train_timesteps)
        with tqdm(timesteps, disable=not progress, desc="denoising") as bar:
            return model.decode(denoise(model, latents, bar, shifts))


def check_steps(model, num_inference_steps):
    """Raises ValueError for a number of steps with which the schedule cannot be walked from noise to picture."""
    total = model.train_timesteps
    if not 2 <= num_inference_steps <= total:
        raise ValueError(f"num_inference_steps is {num_inference_steps}: it must be 2 to {total}.")
    stride = total // num_inference_steps
    if stride * num_inference_steps < 0.95 * total:  # the schedule takes equal, whole strides up from 0
        raise ValueError(
            f"num_inference_steps is {num_inference_steps}: strides of {stride} would begin at "
            f"t = {stride * (num_inference_steps - 1)} of {total}, below pure noise. "
            f"Use {total // (stride + 1)} or {total // stride}."
        )


def set_timesteps(model, num_inference_steps):
    """The timesteps of a trajectory, from noise to picture; the scheduler is set to them, so hold `model.lock`."""
    check_steps(model, num_inference_steps)
    model.scheduler.set_timesteps(num_inference_steps)
    return model.scheduler.timesteps.tolist()


def denoise(model, latents, timesteps, shifts):
    """DDIM steps at the given timesteps, each with those shifts whose window holds it (see `collect_shifts`).

    Rows with an asymmetric edit in its window pass a second time in the same batch, without that edit.
    """
    latents = latents.to(model.device, model.dtype, memory_format=torch.channels_last)  # a quarter faster on a CPU
    for timestep in timesteps:
        active = [shift for shift in shifts if shift.holds(timestep, model.train_timesteps)]
        again = rows_passed_twice(active)
        noise = _predict_noise(model, latents, timestep, active, again)
        edited = model.scheduler.step(noise[: len(latents)], timestep, latents, eta=0.0)
        if not again:
            latents = edited.prev_sample
            continue
        plain_noise = noise[: len(latents)].clone()
        plain_noise[again] = noise[len(latents) :]
        plain = model.scheduler.step(plain_noise, timestep, latents, eta=0.0)
        moved = edited.pred_original_sample - plain.pred_original_sample
        latents = plain.prev_sample + signal_after(model.scheduler, timestep) * moved
    return latents


def rows_passed_twice(active):
    """Rows of the batch that need the prediction with and without their shift: those with asymmetric edits."""
    apart = [shift.rows for shift in active if shift.injection == "asymmetric"]
    return sorted({row for rows in apart for row, edits in enumerate(rows) if any(vector.any() for vector, _ in edits)})


def _predict_noise(model, latents, timestep, active, again):
    """One pass of all rows with their shifts, then of the rows `again` with the symmetric ones only, as one batch."""
    order = [*range(len(latents)), *again]
    nothing = [[] for _ in again]
    with ExitStack() as stack:
        for shift in active:
            more = nothing if shift.injection == "asymmetric" else [shift.rows[row] for row in again]
            whole = Shifts(shift.layer, shift.window, shift.site, shift.injection, shift.rows + more)
            stack.enter_context(shifted_tokens(shift.layer, _of_count(whole, latents.shape[-2:]), shift.site))
        inputs = {name: rows_of_input(name, value, len(latents), order) for name, value in model.unet_inputs.items()}
        return model.unet(latents[order] if again else latents, timestep, **inputs).sample


def _of_count(shift, size):
    """The tokens of a shift as a function of their number, computed once; projections of one layer share it."""
    known = {}

    def of_count(count):
        if count not in known:
            known[count] = shift.tokens(count, *size)
        return known[count]

    return of_count


def signal_after(scheduler, timestep):
    """sqrt(abar) after the DDIM step that starts at a timestep."""
    before = timestep - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    return (scheduler.alphas_cumprod[before] if before >= 0 else scheduler.final_alpha_cumprod) ** 0.5


def rows_of_input(name, value, batch, order):
    """An input of the network for the given rows of a batch: one row is used for all; dicts go entry by entry."""
    if isinstance(value, dict):
        return {key: rows_of_input(f"{name}.{key}", entry, batch, order) for key, entry in value.items()}
    if not torch.is_tensor(value):
        return value
    if len(value) not in (1, batch):
        raise ValueError(f"unet_inputs[{name!r}] holds {len(value)} rows for {batch} latents: give one row, for all.")
    return value.expand(len(order), *value.shape[1:]) if len(value) == 1 else value[order]


def without_clipping(model):
    """The same model with a scheduler that does not clip the predicted picture: for latents that come from `invert`.

    Clipping, by a fixed range or by thresholds (Saharia et al. 2022), keeps samples of Gaussian latents in range, but
    it cannot be undone, so an inverted picture comes back only without it. U-Net and lock are shared with the given
    model.
    """
    scheduler = DDIMScheduler.from_config(model.scheduler.config, clip_sample=False, thresholding=False)
    return replace(model, scheduler=scheduler)


@torch.no_grad()
def invert(model, pictures, num_inference_steps=50, progress=False, step=lambda done, total: None):
    """DDIM inversion (Song et al. 2021): latents from which `sample` draws the pictures again, more or less.

    pictures: (batch, channels, height, width) in [0, 1], of the model's `picture_shape`. Sample from the latents with
    `without_clipping(model)` and the same number of steps. Returns latents like the pictures, on the model's device.
    step(done, total) is called before every step and may raise, which ends the inversion.
    Raises ValueError for pictures of another size or range, a number of steps that the schedule does not have, or
    conditions of the model for another number of pictures.
    """
    if pictures.ndim != 4 or tuple(pictures.shape[1:]) != model.picture_shape:
        needed = ", ".join(str(number) for number in model.picture_shape)
        raise ValueError(f"pictures has shape {tuple(pictures.shape)}: {model.name} needs (batch, {needed}).")
    if not (pictures.min() >= 0 and pictures.max() <= 1):
        raise ValueError(f"pictures has values from {pictures.min():g} to {pictures.max():g}: they must be in [0, 1].")
    check_steps(model, num_inference_steps)
    config = {name: value for name, value in model.scheduler.config.items() if name != "variance_type"}
    scheduler = DDIMInverseScheduler.from_config(config, clip_sample=False)
    latents = model.encode(pictures)
    rows = range(len(latents))
    inputs = {name: rows_of_input(name, value, len(latents), rows) for name, value in model.unet_inputs.items()}
    with model.lock:
        scheduler.set_timesteps(num_inference_steps)
        timesteps = scheduler.timesteps.tolist()
        for done, timestep in enumerate(tqdm(timesteps, disable=not progress, desc="inverting")):
            step(done, len(timesteps))
            noise = model.unet(latents, timestep, **inputs).sample
            latents = scheduler.step(noise, timestep, latents).prev_sample
    return latents
