"""Measure a trained embedded model against its drawings, and write its model card."""

import json

import torch
import torch.nn.functional as F
from PIL import Image

from helpers.clock import shift_for_side
from helpers.metrics import rms_change
from helpers.models import load_model
from helpers.sampling import random_latents, sample
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


def redrawing_error(name, regressor, pictures):
    """How far each picture is from the drawing of the factors that are read off it: RMS of the pixels, (batch,).

    A picture that shows something else than a drawing of its world, a torn face, is far from it.
    """
    read = read_factors(regressor, pictures).clamp(0, 1)
    return torch.cat([rms_change(p, WORLDS[name].draw(f)) for p, f in zip(pictures.split(64), read.split(64))])


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
    errors = {
        "samples": redrawing_error(name, regressor, pictures),
        "drawings": redrawing_error(name, regressor, fresh),
    }
    return {
        "spread": {factor: round(share, 3) for factor, share in zip(regressor.factors, shares)},
        "frechet_distance": distances,
        "redrawing_error": {
            of: {"median": round(e.median().item(), 4), "largest": round(e.max().item(), 4)} for of, e in errors.items()
        },
        "worst_seeds": errors["samples"].topk(8).indices.tolist(),
        "sampled_on": str(device),
    }, pictures


def bars(measured):
    """What a model must meet to be called trained: rows (bar, met, measured) of a table in words."""
    shares = measured["spread"]
    outside = [f"{factor} {share:.2f}" for factor, share in shares.items() if not 0.75 <= share <= 1.25]
    distances = list(measured["frechet_distance"].values())
    return [
        ("spread of every factor within 0.75 to 1.25", not outside, ", ".join(outside) or "all of them"),
        (
            "Frechet distance below that of drawings with one factor frozen",
            distances[0] < distances[3],
            f"{distances[0]:.3f} against {distances[3]:.3f}",
        ),
    ]


def write(name, folder):
    """Measure the model and write README.md, evaluation.json and samples.png (8 x 8, seeds 0 to 63) into its folder."""
    training = json.loads((folder / "training.json").read_text())
    r2 = json.loads((folder / "regressor.json").read_text())["r2"]
    measured, pictures = measure(name, folder)
    (folder / "evaluation.json").write_text(json.dumps(measured, indent=1) + "\n")
    side, shift = pictures.shape[-1], shift_for_side(pictures.shape[-1])
    grid = (pictures[:64] * 255).round().byte().view(8, 8, 3, side, side)
    grid = grid.permute(0, 3, 1, 4, 2).reshape(8 * side, 8 * side, 3)
    Image.fromarray(grid.numpy()).save(folder / "samples.png")
    rows = "\n".join(f"| {factor} | {r2[factor]:.3f} | {measured['spread'][factor]:.2f} |" for factor in r2)
    distances = "\n".join(f"| {label} | {value:.3f} |" for label, value in measured["frechet_distance"].items())
    met = "\n".join(f"| {bar} | {'yes' if met else 'no'} | {found} |" for bar, met, found in bars(measured))
    stages = "\n".join(
        f"| {stage['steps']} | {stage['learning_rate']:g} | "
        f"{stage['share_noisiest']:.0%} | {', '.join(f'{side}: {w:g}' for side, w in stage['scales'].items())} |"
        for stage in training["stages"]
    )
    errors = "\n".join(
        f"| {of} | {error['median']:.3f} | {error['largest']:.3f} |"
        for of, error in measured["redrawing_error"].items()
    )
    (folder / "README.md").write_text(f"""# {name}

An unconditional DDPM of drawn {side} x {side} pictures, with a regressor that reads a drawing's factors off it.
It is a teaching model: the pictures are drawings with known factors, made by `helpers/toyworld`, and show nobody.

Load it with `diffusers.DDPMPipeline.from_pretrained` on this folder, or with `helpers.models.load_model("{name}")`.

## Training

`python -m helpers.toyworld.train {name}`: {training["steps"]} steps of batch {training["batch_size"]}, drawn with seed
{training["seed"]} from {training["drawings"]} drawings; {training["seconds"] / 60:.0f} minutes on {training["device"]}.
AdamW, min-SNR-5 weighting at every scale that counts, exponential moving average of the weights, bf16 autocast.

| steps | learning rate | of a batch in the noisiest 15 % of t | side of squares: weight of their mean error |
|---|---|---|---|
{stages}

Schedule: linear betas of a 256 x 256 model, T = 1000, log-SNR shifted by 2 ln(256/{side}) = {shift:.2f}:
t / T means the noise level that it means in the public 256 x 256 models.
Last loss: {training["losses_per_100_steps"][-1]:.4f}. What attention did along training: along_training.csv.
Python {training["python"]}, torch {training["torch"]}, diffusers {training["diffusers"]}. Weights in fp16.

## Uncurated samples, seeds 0 to 63, DDIM with 50 steps

![an 8 x 8 grid of samples](samples.png)

## Bars

| bar | met | measured |
|---|---|---|
{met}

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

## Distance of a picture to the drawing of the factors read off it (RMS of the pixels)

| pictures | median | largest |
|---|---|---|
{errors}
""")
