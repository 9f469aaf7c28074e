"""How a model's attention changes while it trains, measured at a few steps and kept as a table beside the weights.

Which matrix finds the better directions depends on how large the score part of a layer's response is beside the value
part, and that is something that training makes.
"""

import csv

import torch

from helpers.attention import attention_response, find_layers, head_weights
from helpers.directions import combined_matrix, eigenvectors, refined_matrix, sensitivity_matrix
from helpers.whitening import in_double, record_tokens

FILE = "along_training.csv"
STEPS = (0, 100, 300, 1_000, 3_000, 10_000)  # and the last one
SHARE, PICTURES, COUNT = 0.65, 4, 8  # t / T; noised drawings; first directions of each matrix
COLUMNS = ("step", "layer", "score_over_value", "paper", "refined")


def record(step, unet, pictures, scheduler, folder):
    """Measure every self-attention layer of a network after so many steps and add the rows to the table in `folder`.

    pictures: (batch, channels, side, side) in [-1, 1]. score_over_value: squared size of the score part of B_i
    over that of the value part; paper, refined: share of the sum of the largest `COUNT` eigenvalues of S that the first
    directions of C and of C_refined reach. Before W_O, averaged over tokens of the pictures, noised to `SHARE` of T.
    """
    timestep = int(SHARE * scheduler.config.num_train_timesteps)
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0)).to(pictures.device)
    noisy, layers = scheduler.add_noise(pictures, noise, torch.tensor([timestep])), find_layers(unet)
    with record_tokens(layers) as tokens, torch.no_grad():
        unet(noisy, timestep)
    rows = [row for row in read(folder) if row["step"] < step] if (folder / FILE).exists() else []
    for layer in layers:
        found = in_double(tokens[layer.name])
        ratio = torch.stack([score_over_value(layer, picture) for picture in found]).mean().item()
        best = sensitivity_matrix(layer, found, output_projection=False)
        matrices = combined_matrix(layer), refined_matrix(layer, output_projection=False)
        shares = [share_of_best(matrix, best) for matrix in matrices]
        rows.append(dict(zip(COLUMNS, (step, layer.name, *(round(number, 4) for number in (ratio, *shares))))))
    with (folder / FILE).open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def score_over_value(layer, tokens):
    """Squared size of the score part of B_i over that of the value part: tokens (N, d) of one picture, in float64."""
    weights = head_weights(layer, tokens.dtype)
    score = attention_response(tokens, weights) - weights.value.unsqueeze(1)
    return score.square().sum((0, 2, 3)).mean() / weights.value.square().sum()


def share_of_best(matrix, sensitivity):
    """Of the sum of the largest `COUNT` eigenvalues of S, the share that the first directions of a matrix reach."""
    vectors = eigenvectors(matrix)[1][:COUNT]
    return ((vectors @ sensitivity * vectors).sum() / eigenvectors(sensitivity)[0][:COUNT].sum()).item()


def read(folder):
    """Rows of the table in a model's folder, as dicts: numbers but for the layer's name."""
    with (folder / FILE).open(newline="") as file:
        rows = [{k: v if k == "layer" else float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return [{**row, "step": int(row["step"])} for row in rows]
