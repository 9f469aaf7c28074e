"""Directions for all pictures from one decomposition: principal components of h, and SeFa."""

import torch

from helpers.attention import get_layer
from helpers.baselines.edits import MiddleEdit, TokenEdit, check_unconditional, check_window, counted_passes, in_window
from helpers.directions import Directions, eigenvectors
from helpers.sampling import denoise, set_timesteps
from helpers.whitening import in_double


@torch.no_grad()
def pca(model, latents, count=10, num_inference_steps=50, window=(0.0, 1.0), batch_size=32):
    """Principal components of h over samples, step by step (Haas et al. 2024, sec. 4.1; Harkonen et al. 2020).

    latents: (samples, channels, height, width), in the paper 500 samples; window: shares of T in which components are
    found and applied, in the paper all steps; num_inference_steps: as for the edit. Each component is scaled by its
    standard deviation, so that a strength of 1 is one deviation, and signs agree with those at the first step.
    Returns `MiddleEdit`, with those deviations in `values`, (timesteps, count).
    Raises ValueError for a model, window or number of steps that does not fit, or a count that samples do not have.
    """
    check_unconditional(model)
    check_window(window)
    if not 1 <= count < len(latents):
        raise ValueError(f"count is {count}: {len(latents)} samples have 1 to {len(latents) - 1} components.")
    components, deviations, recorded = {}, [], []
    handle = model.unet.mid_block.register_forward_hook(lambda _, inputs, h: recorded.append(h.float()))
    try:
        with model.lock, counted_passes(model) as passes:
            timesteps = set_timesteps(model, num_inference_steps)
            inside = in_window(model, timesteps, window)
            for timestep in timesteps[: timesteps.index(inside[-1]) + 1]:
                recorded.clear()
                latents = torch.cat([denoise(model, part, [timestep], []) for part in latents.split(batch_size)])
                if timestep in inside:
                    h = torch.cat(recorded)
                    sizes, vectors = principal_components(h, count)
                    first = components.get(inside[0], vectors)
                    signs = (first * vectors).flatten(1).sum(1).sign()
                    components[timestep] = signs.view(-1, 1, 1, 1) * vectors * sizes.view(-1, 1, 1, 1)
                    deviations.append(sizes)
    finally:
        handle.remove()

    def shift(h, timestep, direction):
        if timestep not in components:
            raise ValueError(f"t = {timestep} is none of the {len(components)} timesteps with components: find anew.")
        return components[timestep][direction].to(h)

    return MiddleEdit(model, shift, count, window, False, passes, values=torch.stack(deviations))


def principal_components(rows, count):
    """Standard deviations (count,), descending, and unit principal components (count, ...) of rows (n, ...)."""
    centred = (rows - rows.mean(0)).flatten(1)
    _, sizes, vectors = torch.linalg.svd(centred, full_matrices=False)
    return sizes[:count] / (len(rows) - 1) ** 0.5, vectors[:count].view(count, *rows.shape[1:])


def sefa(model, layer, count=None, window=(0.5, 0.8), injection="symmetric"):
    """Eigenvectors of A^T A of one linear layer, here W_V alone (Shen and Zhou 2021, eq. 4 and 5).

    layer: name of a self-attention layer; count: None for all; window, injection: as for `Edit`. No pass is needed.
    Returns `TokenEdit`. Raises ValueError for a layer that is not there, or a count that it does not have.
    """
    layer = get_layer(model.unet, layer)
    count = layer.channels if count is None else count
    if not 1 <= count <= layer.channels:
        raise ValueError(f"count is {count}: {layer.name} has 1 to {layer.channels} directions.")
    weight = in_double(layer.module.to_v.weight).cpu()  # (out, in): W_V W_V^T is weight.T @ weight
    values, vectors = eigenvectors(weight.T @ weight)
    directions = Directions(vectors[:count].float(), values[:count].float(), layer.name, "sefa")
    return TokenEdit(model, directions, window, injection)
