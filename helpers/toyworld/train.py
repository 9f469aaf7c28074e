"""Train an embedded model: `python -m helpers.toyworld.train toy-faces` is the whole recipe.

It draws a data set, trains a factor regressor and then a DDPM (Ho et al. 2020), and writes both with a model card into
helpers/models/NAME. Interrupt it at any time and start it again: it goes on from its last checkpoint. It takes minutes
on a large GPU, and half a day or more on two CPU cores.
"""

import argparse
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
from helpers.models import EMBEDDED_FOLDER
from helpers.toyworld import WORLDS, along_training, draw_dataset, model_card
from helpers.toyworld.regressor import FactorRegressor, r2_score, read_factors
from helpers.toyworld.training_loop import SEED, training_loop

DRAWINGS = 20_000
BATCH_SIZE = 128
LEARNING_RATE = 7e-4  # of the regressor
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


DENOISER_STAGES = (
    Stage(6_000, 1e-3, 0.0, {1: 1}),  # the picture
    Stage(500, 2e-4, 0.75, {1: 1, 4: 1, 16: 1, 64: 1}),  # its mean colour
    Stage(1_800, 3e-4, 0.35, {1: 1, 4: 1 / 4, 16: 1 / 16, 64: 1 / 64}),  # both
)
REGRESSOR_STEPS = 5_000
UNET_CONFIG = dict(  # attention at a quarter of the side, and in the middle
    in_channels=3,
    out_channels=3,
    layers_per_block=1,
    block_out_channels=(32, 64, 128, 128),
    down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    norm_num_groups=16,
    attention_head_dim=None,
)


def train_regressor(name, pictures, factors, folder, device):
    """Train the factor regressor on drawings and save it with the R2 of every factor on drawings it has not seen."""
    torch.manual_seed(SEED)
    regressor = FactorRegressor(WORLDS[name].factors).to(device)

    def loss_of_batch(generator):
        rows = torch.randint(len(pictures), (64,), generator=generator, device=device)
        batch = pictures[rows].float() / 255
        grain = 0.03 * torch.rand(64, 1, 1, 1, generator=generator, device=device)
        batch = batch + grain * torch.randn(batch.shape, generator=generator, device=device)
        return (regressor(batch) - factors[rows]).square().mean()

    _, seconds = training_loop(
        1, regressor, loss_of_batch, REGRESSOR_STEPS, folder / "regressor_state.pt", LEARNING_RATE, 1e-2
    )
    regressor.eval().cpu()
    unseen, truth = draw_dataset(name, 2_000, seed=SEED + 1)
    r2 = r2_score(truth, read_factors(regressor, unseen.float() / 255))
    r2 = {factor: round(value.item(), 4) for factor, value in zip(WORLDS[name].factors, r2)}
    regressor.save(folder, r2=r2, steps=REGRESSOR_STEPS, seconds=round(seconds))
    print("R2 on unseen drawings:", r2, flush=True)


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


def train_denoiser(pictures, folder, device):
    """Train the U-Net to predict the noise and save it, averaged over steps, as a DDPMPipeline in fp16.

    The schedule is the linear one of 256 x 256 models with its log-SNR shifted for the side of the pictures, so that
    t / T means the noise level that it means there (`helpers.clock`).
    """
    torch.manual_seed(SEED)
    side = pictures.shape[-1]
    unet, ema = (UNet2DModel(sample_size=side, **UNET_CONFIG).to(device) for _ in range(2))
    ema.load_state_dict(unet.state_dict())
    ema.requires_grad_(False)
    betas = shifted_betas(side)
    scheduler = DDPMScheduler(num_train_timesteps=len(betas), trained_betas=betas)
    signal_to_noise = (scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)).to(device)

    def loss_of_batch(stage, generator):
        rows = torch.randint(len(pictures), (BATCH_SIZE,), generator=generator, device=device)
        clean = pictures[rows].float() / 127.5 - 1
        noise = torch.randn(clean.shape, generator=generator, device=device)
        timesteps = draw_timesteps(BATCH_SIZE, stage.share_noisiest, len(betas), generator)
        noisy = scheduler.add_noise(clean, noise, timesteps)
        with torch.autocast(device, dtype=torch.bfloat16):
            predicted = unet(noisy, timesteps).sample
        return denoising_loss(predicted.float() - noise, signal_to_noise[timesteps], stage.scales)

    total = sum(stage.steps for stage in DENOISER_STAGES)

    def record(before, step):
        if before + step in (*along_training.STEPS, total):
            some = pictures[: along_training.PICTURES].float() / 127.5 - 1
            along_training.record(before + step, ema, some, scheduler, folder)

    losses, seconds, before = [], 0.0, 0
    for number, stage in enumerate(DENOISER_STAGES, start=2):
        print(f"denoiser, {stage}", flush=True)
        state_file, loss = folder / f"denoiser_{number}_state.pt", functools.partial(loss_of_batch, stage)
        callback = functools.partial(record, before)
        new_losses, new_seconds = training_loop(
            number, unet, loss, stage.steps, state_file, stage.learning_rate, 1e-4, ema, callback
        )
        losses, seconds, before = losses + new_losses, seconds + new_seconds, before + stage.steps
    DDPMPipeline(ema.half().cpu(), scheduler).save_pretrained(folder)
    weights = (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    facts = {
        "sha256": hashlib.sha256(weights).hexdigest(),
        "steps": total,
        "stages": [stage._asdict() for stage in DENOISER_STAGES],
        "batch_size": BATCH_SIZE,
        "seed": SEED,
        "drawings": DRAWINGS,
        "seconds": round(seconds),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads",
        "losses_per_100_steps": [round(loss, 5) for loss in losses],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }
    (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=sorted(WORLDS), help="which embedded model to train")
    name = parser.parse_args().name
    device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = EMBEDDED_FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    print(f"drawing {DRAWINGS} pictures for {name}; training on {device}; writing to {folder}", flush=True)
    pictures, factors = (table.to(device) for table in draw_dataset(name, DRAWINGS, seed=SEED))
    if (folder / "regressor.safetensors").exists():
        print("regressor.safetensors is there already and is kept; delete it to train it again", flush=True)
    else:
        train_regressor(name, pictures, factors, folder, device)
    train_denoiser(pictures, folder, device)
    model_card.write(name, folder)
    print(f"done: {folder / 'README.md'} describes the model; delete the *_state.pt files when you are content")


if __name__ == "__main__":
    main()
