"""Train the noise predictor of an embedded model: its stages, its loss and its loop."""

import functools
import hashlib
import json
import platform
from typing import NamedTuple

import diffusers
import torch
import torch.nn.functional as F
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from helpers.clock import shifted_betas
from helpers.models import load_model
from helpers.sampling import random_latents, sample
from helpers.toyworld import along_training
from helpers.toyworld.model_card import SAMPLES
from helpers.toyworld.training_loop import SEED, training_loop

NOISIEST = 0.85  # t / T from which on the mean colour is decided


class Stage(NamedTuple):
    """A part of the denoiser's training.

    share_noisiest: of a batch, with t / T from `NOISIEST` on; the rest is spread over all t. scales: how much the mean
    error of squares of so many pixels along a side counts, see `denoising_loss`.
    """

    steps: int
    learning_rate: float
    share_noisiest: float
    scales: dict


def stages(side, steps=(6_000, 500, 1_800)):
    """The stages for pictures of a side: the picture, its mean colour, and both."""
    scales = 1, 4, 16, side
    return (
        Stage(steps[0], 1e-3, 0.0, {1: 1}),
        Stage(steps[1], 2e-4, 0.75, dict.fromkeys(scales, 1)),
        Stage(steps[2], 3e-4, 0.35, {scale: 1 / scale for scale in scales}),
    )


class Unconditional:
    """A data set whose model is a `UNet2DModel` that sees the noisy picture alone.

    unet: the network's configuration. A data set with other networks puts its own functions in place of these.
    """

    unet, batch_size, stages, how_sampled = None, 128, staticmethod(stages), "DDIM with 50 steps"

    #: for the model card
    how_to_load = (
        "Load it with `diffusers.DDPMPipeline.from_pretrained` on this folder, or with "
        '`helpers.models.load_model("{name}")`.'
    )
    remembered = "What attention did along training: along_training.csv.\n"

    def network(self, side):
        """A new network for pictures of a side."""
        return UNet2DModel(sample_size=side, **self.unet)

    def predict(self, network, noisy, timesteps, rows, generator):
        """The noise in noisy pictures (batch, 3, side, side); rows: which of the loaded pictures they are."""
        return network(noisy, timesteps).sample

    def record(self, step, network, pictures, scheduler, folder):
        """What is to be remembered of a network after so many steps, for the steps of `along_training.STEPS`."""
        some = pictures[: along_training.PICTURES].float() / 127.5 - 1
        along_training.record(step, network, some, scheduler, folder)

    def save(self, network, scheduler, folder):
        """Write a pipeline of diffusers, in fp16, into a folder."""
        DDPMPipeline(network.half().cpu(), scheduler).save_pretrained(folder)

    def samples(self, folder):
        """Pictures (`SAMPLES`, channels, side, side) in [0, 1] of the model in a folder, seeds from 0."""
        model, parts = load_model(str(folder)), []
        for start in range(0, SAMPLES, 32):
            print(f"sampling pictures {start + 1} to {start + 32} of {SAMPLES}", flush=True)
            parts.append(sample(model, random_latents(model, range(start, start + 32)), progress=True))
        return torch.cat(parts)


def draw_timesteps(count, share_noisiest, total, generator):
    """Timesteps of a batch, (count,) in 0 .. total - 1: that share of them from `NOISIEST` on, the rest from all.

    One from each of many equal parts of the schedule, which has less variance than independent draws.
    """
    noisiest = round(share_noisiest * count)
    parts = torch.rand(count, generator=generator, device=generator.device).split([count - noisiest, noisiest])
    low, high = ((torch.arange(len(part), device=part.device) + part) / len(part) for part in parts)
    shares = torch.cat([low, NOISIEST + (1 - NOISIEST) * high])
    return (shares * total).long().clamp(max=total - 1)  # in single precision the last share may be 1


def denoising_loss(error, signal_to_noise, scales):
    """Squared error of the predicted noise at one or several scales, (batch, channels, side, side) to one number.

    scales: {side: weight}. For each side the error is averaged over squares of that many pixels, which makes the
    signal-to-noise ratio (batch,) side^2 times as high. It is weighted by min-SNR-5 (Hang et al. 2023) of that ratio
    and by side^2: noise that was not predicted at all counts 1 at every scale (compare the multiscale loss of Hoogeboom
    et al. 2023). Every scale has the same minimum, the expected noise. Of the pixels' loss the mean colour is one part
    in side^2, so that it would be learned last.
    """
    loss = 0.0
    for side, weight in scales.items():
        ratio = side**2 * signal_to_noise
        squared = side**2 * F.avg_pool2d(error, side).square().mean((1, 2, 3))
        loss = loss + weight * (ratio.clamp(max=5) / ratio * squared).mean()
    return loss


def train_denoiser(data_set, pictures, folder, device):
    """Train the network to predict the noise and save it, averaged over steps, in fp16.

    The schedule is the linear one of 256 x 256 models with its log-SNR shifted for the side of the pictures, so that
    t / T means the noise level that it means there (`helpers.clock`).
    """
    torch.manual_seed(SEED)
    side = pictures.shape[-1]
    network, ema = (data_set.network(side).to(device) for _ in range(2))
    ema.load_state_dict(network.state_dict())
    ema.requires_grad_(False)
    on_gpu = device == "cuda"  # bf16 is ten times slower than float32 on a CPU that has no instructions for it
    if not on_gpu:
        network.to(memory_format=torch.channels_last)
    betas = shifted_betas(side)
    scheduler = DDPMScheduler(num_train_timesteps=len(betas), trained_betas=betas)
    signal_to_noise = (scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)).to(device)

    def loss_of_batch(stage, generator):
        rows = torch.randint(len(pictures), (data_set.batch_size,), generator=generator, device=device)
        clean = pictures[rows].float() / 127.5 - 1
        noise = torch.randn(clean.shape, generator=generator, device=device)
        timesteps = draw_timesteps(len(rows), stage.share_noisiest, len(betas), generator)
        noisy = scheduler.add_noise(clean, noise, timesteps)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=on_gpu):
            predicted = data_set.predict(network, noisy, timesteps, rows, generator)
        return denoising_loss(predicted.float() - noise, signal_to_noise[timesteps], stage.scales)

    planned = data_set.stages(side)
    total = sum(stage.steps for stage in planned)

    def record(before, step):
        if before + step in (*along_training.STEPS, total):
            data_set.record(before + step, ema, pictures, scheduler, folder)

    losses, seconds, before = [], 0.0, 0
    for number, stage in enumerate(planned, start=2):
        print(f"denoiser, {stage}", flush=True)
        state_file, loss = folder / f"denoiser_{number}_state.pt", functools.partial(loss_of_batch, stage)
        callback = functools.partial(record, before)
        new_losses, new_seconds = training_loop(
            number, network, loss, stage.steps, state_file, stage.learning_rate, 1e-4, ema, callback
        )
        losses, seconds, before = losses + new_losses, seconds + new_seconds, before + stage.steps
    data_set.save(ema, scheduler, folder)
    weights = (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    facts = {
        "sha256": hashlib.sha256(weights).hexdigest(),
        "steps": total,
        "stages": [stage._asdict() for stage in planned],
        "batch_size": data_set.batch_size,
        "precision": "bf16 autocast" if on_gpu else "float32",
        "seed": SEED,
        data_set.what: len(pictures),
        "seconds": round(seconds),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads",
        "losses_per_100_steps": [round(loss, 5) for loss in losses],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }
    (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
