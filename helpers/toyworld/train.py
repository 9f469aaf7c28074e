"""Train an embedded model: `python -m helpers.toyworld.train toy-faces` is the whole recipe.

It draws a data set, or reads the photographs of clothes, trains a network that reads its pictures and then a DDPM (Ho
et al. 2020), and writes both with a model card into helpers/models/NAME. Interrupt it at any time and start it again:
it goes on from its last checkpoint. It takes minutes on a large GPU; on two CPU cores clothes take eight
hours, a drawn world a day or more.
"""

import argparse
import functools
import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import NamedTuple

import diffusers
import torch
import torch.nn.functional as F
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from helpers.clock import shifted_betas
from helpers.models import EMBEDDED_FOLDER
from helpers.toyworld import WORLDS, along_training, clothes, model_card
from helpers.toyworld.drawings import Drawings
from helpers.toyworld.photographs import Photographs
from helpers.toyworld.training_loop import SEED, training_loop

BATCH_SIZE = 128
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


def denoiser_stages(side):
    """The stages for pictures of a side: the picture, its mean colour, and both."""
    scales = 1, 4, 16, side
    return (
        Stage(6_000, 1e-3, 0.0, {1: 1}),
        Stage(500, 2e-4, 0.75, dict.fromkeys(scales, 1)),
        Stage(1_800, 3e-4, 0.35, {scale: 1 / scale for scale in scales}),
    )


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
    """Train the U-Net to predict the noise and save it, averaged over steps, as a DDPMPipeline in fp16.

    The schedule is the linear one of 256 x 256 models with its log-SNR shifted for the side of the pictures, so that
    t / T means the noise level that it means there (`helpers.clock`).
    """
    torch.manual_seed(SEED)
    side = pictures.shape[-1]
    unet, ema = (UNet2DModel(sample_size=side, **data_set.unet).to(device) for _ in range(2))
    ema.load_state_dict(unet.state_dict())
    ema.requires_grad_(False)
    on_gpu = device == "cuda"  # bf16 is ten times slower than float32 on a CPU that has no instructions for it
    if not on_gpu:
        unet.to(memory_format=torch.channels_last)
    betas = shifted_betas(side)
    scheduler = DDPMScheduler(num_train_timesteps=len(betas), trained_betas=betas)
    signal_to_noise = (scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)).to(device)

    def loss_of_batch(stage, generator):
        rows = torch.randint(len(pictures), (BATCH_SIZE,), generator=generator, device=device)
        clean = pictures[rows].float() / 127.5 - 1
        noise = torch.randn(clean.shape, generator=generator, device=device)
        timesteps = draw_timesteps(BATCH_SIZE, stage.share_noisiest, len(betas), generator)
        noisy = scheduler.add_noise(clean, noise, timesteps)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=on_gpu):
            predicted = unet(noisy, timesteps).sample
        return denoising_loss(predicted.float() - noise, signal_to_noise[timesteps], stage.scales)

    stages = denoiser_stages(side)
    total = sum(stage.steps for stage in stages)

    def record(before, step):
        if before + step in (*along_training.STEPS, total):
            some = pictures[: along_training.PICTURES].float() / 127.5 - 1
            along_training.record(before + step, ema, some, scheduler, folder)

    losses, seconds, before = [], 0.0, 0
    for number, stage in enumerate(stages, start=2):
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
        "stages": [stage._asdict() for stage in stages],
        "batch_size": BATCH_SIZE,
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


def train(data_set, folder, device):
    """The whole recipe, into a folder. data_set: `Drawings` or `Photographs`."""
    print(f"{data_set.name}, {data_set.what}: training on {device}; writing to {folder}", flush=True)
    pictures, wanted = (tensor.to(device) for tensor in data_set.load())
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{data_set.reader.file}.safetensors"
    if weights.exists():
        print(f"{weights.name} is there already and is kept; delete it to train it again", flush=True)
    else:
        data_set.train_reader(pictures, wanted, folder)
    train_denoiser(data_set, pictures, folder, device)
    model_card.write(data_set, folder)
    print(f"done: {folder / 'README.md'} describes the model; delete the *_state.pt files when you are content")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=[*sorted(WORLDS), Photographs.name], help="which embedded model to train")
    parser.add_argument("--data", type=Path, default=clothes.FOLDER, help="folder of the photographs (%(default)s)")
    arguments = parser.parse_args()
    is_drawn = arguments.name in WORLDS
    data_set = Drawings(arguments.name) if is_drawn else Photographs(arguments.data)
    try:
        train(data_set, EMBEDDED_FOLDER / arguments.name, "cuda" if torch.cuda.is_available() else "cpu")
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
