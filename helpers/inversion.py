"""From a picture back to the latents that it comes from."""

from dataclasses import replace

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from tqdm.auto import tqdm

from helpers.editing import check_steps, rows_of_input


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

    pictures: (batch, channels, height, width) in [0, 1], of the model's size. Sample from the latents with
    `without_clipping(model)` and the same number of steps. Returns latents like the pictures, on the model's device.
    step(done, total) is called before every step and may raise, which ends the inversion.
    Raises ValueError for pictures of another size or range, a number of steps that the schedule does not have, or
    conditions of the model for another number of pictures.
    """
    if pictures.ndim != 4 or tuple(pictures.shape[1:]) != model.sample_shape:
        needed = ", ".join(str(number) for number in model.sample_shape)
        raise ValueError(f"pictures has shape {tuple(pictures.shape)}: {model.name} needs (batch, {needed}).")
    if not (pictures.min() >= 0 and pictures.max() <= 1):
        raise ValueError(f"pictures has values from {pictures.min():g} to {pictures.max():g}: they must be in [0, 1].")
    check_steps(model, num_inference_steps)
    config = {name: value for name, value in model.scheduler.config.items() if name != "variance_type"}
    scheduler = DDIMInverseScheduler.from_config(config, clip_sample=False)
    latents = (2 * pictures - 1).to(model.device, model.dtype)
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
