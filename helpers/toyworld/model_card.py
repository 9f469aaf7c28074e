"""Sample a trained embedded model, have it measured against what it learned, and write its model card."""

import json

import matplotlib.pyplot as plt
import torch
from PIL import Image

from helpers.clock import shift_for_side
from helpers.plots import COLOURS

SAMPLES = 512


def frechet_distance(first, second):
    """Fréchet distance between Gaussians fitted to two sets of features, (samples, features) each (Heusel et al. 2017).

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


@torch.no_grad()
def distances_to(reference, candidates, reader):
    """Fréchet distance of each of {label: pictures} to reference pictures, in a reader's features, by label."""
    features = reader.features(reference)
    return {label: round(frechet_distance(reader.features(p), features), 3) for label, p in candidates.items()}


def table(head, rows):
    """A table in Markdown, of strings.

    >>> print(table(("class", "share"), [("coat", "0.1")]))
    | class | share |
    |---|---|
    | coat | 0.1 |
    """
    first, *others = ("| " + " | ".join(row) + " |" for row in (head, *rows))
    return "\n".join([first, "|" + "---|" * len(head), *others])


def write(data_set, folder):
    """Measure the model in a folder, seeds 0 to 511, and write evaluation.json, samples.png, losses.png and README.md.

    data_set: what it learned, such as `helpers.toyworld.drawings.Drawings`.
    """
    pictures = data_set.samples(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    measured = {**data_set.measure(pictures, folder), "sampled_on": device}
    (folder / "evaluation.json").write_text(json.dumps(measured, indent=1) + "\n")
    side = pictures.shape[-1]
    grid = (pictures[:64] * 255).round().byte().view(8, 8, 3, side, side)
    grid = grid.permute(0, 3, 1, 4, 2).reshape(8 * side, 8 * side, 3)
    Image.fromarray(grid.numpy()).save(folder / "samples.png")
    write_card(data_set, folder, side)


def draw_losses(training, path):
    """A PNG of the loss over the steps, one curve per stage, since the stages count different things."""
    losses, start = training["losses_per_100_steps"], 0
    figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
    axis.set_prop_cycle(color=COLOURS)
    for number, stage in enumerate(training["stages"], 1):
        part = range(start // 100, (start + stage["steps"]) // 100)
        axis.plot([100 * k + 100 for k in part], [losses[k] for k in part], label=f"stage {number}")
        start += stage["steps"]
    axis.set(xlabel="training step", ylabel="weighted loss", yscale="log")
    axis.legend()
    figure.savefig(path)
    plt.close(figure)


def write_card(data_set, folder, side):
    """Write README.md and losses.png from what training and measurement have left in the folder."""
    training, measured = (json.loads((folder / f"{name}.json").read_text()) for name in ("training", "evaluation"))
    draw_losses(training, folder / "losses.png")
    stages = [
        (
            str(stage["steps"]),
            f"{stage['learning_rate']:g}",
            f"{stage['share_noisiest']:.0%}",
            ", ".join(f"{side}: {weight:g}" for side, weight in stage["scales"].items()),
        )
        for stage in training["stages"]
    ]
    of_squares = "side of squares: weight of their mean error"
    head = "steps", "learning rate", "of a batch in the noisiest 15 % of t", of_squares
    bars = [(bar, "yes" if met else "no", found) for bar, met, found in data_set.bars(measured)]
    name, what, minutes = data_set.name, data_set.what, f"{training['seconds'] / 60:.0f}"
    precision, afterwards = training["precision"], training.get("afterwards")
    afterwards = f"\n{afterwards}" if afterwards else ""  # what was done beyond the recipe
    (folder / "README.md").write_text(f"""# {name}

{data_set.about}

{data_set.how_to_load.format(name=name)}

## Training

`python -m helpers.toyworld.train {name}`: {training["steps"]} steps of batch {training["batch_size"]}, drawn with seed
{training["seed"]} from {training[what]} {what}; {minutes} minutes on {training["device"]}.
AdamW, min-SNR-5 weighting at every scale that counts, exponential moving average of the weights, {precision}.\
{afterwards}

{table(head, stages)}

Schedule: linear betas of a 256 x 256 model, T = 1000, log-SNR shifted by 2 ln(256/{side}) = {shift_for_side(side):.2f}:
t / T means the noise level that it means in the public 256 x 256 models.
{data_set.remembered}\
Python {training["python"]}, torch {training["torch"]}, diffusers {training["diffusers"]}. Weights in fp16.

![loss over the steps, one curve per stage](losses.png)

## Uncurated samples, seeds 0 to 63, {data_set.how_sampled}

![an 8 x 8 grid of samples](samples.png)

## Bars

{table(("bar", "met", "measured"), bars)}

{data_set.card(measured, folder)}""")
