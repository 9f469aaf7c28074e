"""Measure a trained embedded model against its drawings, and write its model card."""

import json

import torch
import torch.nn.functional as F
from PIL import Image

from helpers.editing import random_latents, sample
from helpers.models import load_model
from helpers.toyworld import WORLDS, draw_dataset, sample_factors
from helpers.toyworld.regressor import FactorRegressor, read_factors

SAMPLES = 512
REFERENCE_DRAWINGS = 2_000


def frechet_distance(first, second):
    """Frechet distance between Gaussians fitted to two sets of features, (samples, features) each (Heusel et al. 2017).

    >>> features = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    >>> abs(frechet_distance(features, features)) < 1e-4, round(frechet_distance(features, features + 1), 3)
    (True, 4.0)
    """
    first, second = first.double(), second.double()
    mean_gap = (first.mean(0) - second.mean(0)).square().sum()
    a, b = torch.cov(first.T), torch.cov(second.T)
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    return (mean_gap + a.trace() + b.trace() - 2 * cross).item()


def spread(regressor, pictures, drawings):
    """Standard deviation of each factor over pictures, as a share of that over drawings: (factors,)."""
    return read_factors(regressor, pictures).std(0) / read_factors(regressor, drawings).std(0)


def measure(name, folder):
    """Sample 512 pictures (seeds 0 to 511) and compare them with drawings. Returns (measurements, pictures)."""
    model, regressor = load_model(name), FactorRegressor.load(folder)
    device = model.device
    parts = []
    for start in range(0, SAMPLES, 32):
        print(f"sampling pictures {start + 1} to {start + 32} of {SAMPLES}", flush=True)
        parts.append(sample(model, random_latents(model, range(start, start + 32)), progress=True))
    pictures = torch.cat(parts)
    drawings = draw_dataset(name, REFERENCE_DRAWINGS, seed=10)[0].float() / 255
    fresh = draw_dataset(name, SAMPLES, seed=11)[0].float() / 255
    blurred = F.interpolate(F.avg_pool2d(fresh, 2), scale_factor=2, mode="bilinear")
    fixed = sample_factors(name, SAMPLES, seed=12)
    first_factor = next(iter(WORLDS[name].factors))
    fixed[:, 0] = 0.5
    candidates = {
        f"{SAMPLES} samples of the model": pictures,
        f"{SAMPLES} fresh drawings (the floor)": fresh,
        "fresh drawings at half the resolution": blurred,
        f"fresh drawings whose {first_factor} never changes": WORLDS[name].draw(fixed),
    }
    with torch.no_grad():
        reference = regressor.features(drawings)
        distances = {
            label: round(frechet_distance(regressor.features(p), reference), 3) for label, p in candidates.items()
        }
    shares = spread(regressor, pictures, drawings).tolist()
    return {
        "spread": {factor: round(share, 3) for factor, share in zip(regressor.factors, shares)},
        "frechet_distance": distances,
        "sampled_on": str(device),
    }, pictures


def write(name, folder):
    """Measure the model and write README.md, evaluation.json and samples.png (8 x 8, seeds 0 to 63) into its folder."""
    training = json.loads((folder / "training.json").read_text())
    r2 = json.loads((folder / "regressor.json").read_text())["r2"]
    measured, pictures = measure(name, folder)
    (folder / "evaluation.json").write_text(json.dumps(measured, indent=1) + "\n")
    grid = (pictures[:64] * 255).round().byte().view(8, 8, 3, 64, 64).permute(0, 3, 1, 4, 2).reshape(512, 512, 3)
    Image.fromarray(grid.numpy()).save(folder / "samples.png")
    rows = "\n".join(f"| {factor} | {r2[factor]:.3f} | {measured['spread'][factor]:.2f} |" for factor in r2)
    distances = "\n".join(f"| {label} | {value:.3f} |" for label, value in measured["frechet_distance"].items())
    (folder / "README.md").write_text(f"""# {name}

An unconditional DDPM of drawn 64 x 64 pictures, with a regressor that reads the drawing's factors off a picture.
It is a teaching model: the pictures are drawings with known factors, made by `helpers/toyworld`, and show nobody.

Load it with `diffusers.DDPMPipeline.from_pretrained` on this folder, or with `helpers.models.load_model("{name}")`.

## Training

`python -m helpers.train {name}`: {training["steps"]} steps of batch {training["batch_size"]}, drawn with seed
{training["seed"]} from {training["drawings"]} drawings; {training["seconds"] / 60:.0f} minutes on {training["device"]}.
AdamW, min-SNR-5 weighting, exponential moving average of the weights, bf16 autocast.
Last loss: {training["losses_per_100_steps"][-1]:.4f}.
Python {training["python"]}, torch {training["torch"]}, diffusers {training["diffusers"]}. Weights in fp16.

## Uncurated samples, seeds 0 to 63, DDIM with 50 steps

![an 8 x 8 grid of samples](samples.png)

## Factors

R2: how well the regressor reads the factor off drawings that it has not seen. Spread: standard deviation of the factor
over {SAMPLES} samples of the model, as a share of that over drawings; 1 means that the model varies it fully.

| factor | R2 | spread |
|---|---|---|
{rows}

## Frechet distance to {REFERENCE_DRAWINGS} drawings, in the regressor's features (lower is better)

| pictures | distance |
|---|---|
{distances}
""")
