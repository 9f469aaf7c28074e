"""Sample with DDIM from given latents, and edit: shift the tokens of a self-attention layer while sampling."""

import math
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from helpers.attention import get_layer


@dataclass(frozen=True)
class Edit:
    """Add alpha * direction to every token entering the projections of a layer while window[0] T < t < window[1] T.

    direction: (d,), of unit length when alpha is to be in the paper's units; layer: name of a self-attention layer.
    Raises ValueError for an alpha that is not finite, a direction that is not a finite vector, or an empty window.
    """

    direction: torch.Tensor
    alpha: float
    layer: str
    window: tuple = (0.5, 0.8)

    def __post_init__(self):
        if not math.isfinite(self.alpha):
            raise ValueError(f"alpha is {self.alpha}: it must be a finite number.")
        if self.direction.ndim != 1:
            raise ValueError(f"direction has shape {tuple(self.direction.shape)}: it must be one vector, (d,).")
        if not torch.isfinite(self.direction).all():
            raise ValueError(f"direction holds {(~torch.isfinite(self.direction)).sum()} numbers that are not finite.")
        start, end = self.window
        if not 0 <= start < end <= 1:
            raise ValueError(
                f"window is {self.window}: it must be (start, end) with 0 <= start < end <= 1, as shares of T."
            )


def random_latents(model, seeds):
    """Gaussian latents, one per seed, each independent of its neighbours: (len(seeds), channels, height, width)."""
    rows = [torch.randn(model.sample_shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return torch.stack(rows).to(model.device, model.dtype)


@contextmanager
def shifted_tokens(layer, shift):
    """Inside this context, the inputs of `to_q`, `to_k` and `to_v` of a layer are Z + shift (the paper's Eq. 3).

    layer: `AttentionLayer`; shift: broadcasts to (batch, N, d). The hooks are gone afterwards, also after an exception.
    Raises ValueError when the layer's projections were fused into one, or for a shift of the wrong width.
    """
    module = layer.module
    if getattr(module, "fused_projections", False):
        raise ValueError(f"the projections of {layer.name} are fused: call unet.unfuse_qkv_projections() first.")
    if shift.shape[-1] != layer.channels:
        raise ValueError(f"the direction has {shift.shape[-1]} numbers: {layer.name} needs {layer.channels}.")
    handles = []
    try:
        for projection in (module.to_q, module.to_k, module.to_v):
            handles.append(projection.register_forward_pre_hook(lambda _, inputs: (inputs[0] + shift, *inputs[1:])))
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def sample(model, latents, edits=None, num_inference_steps=50, progress=False):
    """Run DDIM (Song et al. 2021, eta = 0) from Gaussian latents to pictures.

    latents: (batch, channels, height, width) standard normal, see `random_latents`.
    edits: None, or one entry per row: None, an `Edit`, or a list of edits whose shifts add up.
    Returns pictures on the CPU, (batch, channels, height, width) in [0, 1]. Raises ValueError for bad edits.
    """
    timesteps = _timesteps(model, num_inference_steps)
    shifts = _shifts(model, _rows_of_edits(edits, len(latents)))
    with tqdm(timesteps, disable=not progress, desc="denoising") as bar:
        return _to_pictures(_denoise(model, latents, bar, shifts))


@torch.no_grad()
def edit_grid(
    model, latents, directions, alphas, window=(0.5, 0.8), num_inference_steps=50, batch_size=16, progress=False
):
    """Edit every latent along every direction with every strength.

    latents: (pictures, channels, height, width); directions: `Directions`; alphas: strengths in the paper's units.
    Returns pictures on the CPU, (directions, alphas, pictures, channels, height, width) in [0, 1].

    The steps before the window are the same for all edits of a latent and are computed once, as is alpha = 0; the rest
    goes through the network in batches of `batch_size`.
    """
    if not len(alphas):
        raise ValueError("alphas is empty: give at least one strength.")
    timesteps = _timesteps(model, num_inference_steps)
    jobs = [(row, None) for row in range(len(latents))] + [
        (row, Edit(vector, float(alpha), directions.layer, window))
        for vector in directions.vectors
        for alpha in alphas
        if alpha != 0
        for row in range(len(latents))
    ]
    _shifts(model, [[edit] for _, edit in jobs if edit is not None])  # refuses bad edits before any work is done
    shared = [t for t in timesteps if t >= window[1] * model.train_timesteps]
    start = torch.cat([_denoise(model, part, shared, []) for part in latents.split(batch_size)])
    pictures = []
    for first in tqdm(range(0, len(jobs), batch_size), disable=not progress, desc="batches of edits"):
        rows, edits = zip(*jobs[first : first + batch_size], strict=True)
        shifts = _shifts(model, _rows_of_edits(edits, len(rows)))
        pictures.append(_to_pictures(_denoise(model, start[list(rows)], timesteps[len(shared) :], shifts)))
    pictures = torch.cat(pictures)
    unedited, edited = pictures[: len(latents)], pictures[len(latents) :]
    changed = [column for column, alpha in enumerate(alphas) if alpha != 0]
    grid = unedited.repeat(len(directions), len(alphas), 1, 1, 1, 1)
    grid[:, changed] = edited.view(len(directions), len(changed), *unedited.shape)
    return grid


def _timesteps(model, num_inference_steps):
    """The timesteps of a trajectory, from noise to picture; the scheduler is set to them."""
    if not 1 <= num_inference_steps <= model.train_timesteps:
        raise ValueError(f"num_inference_steps is {num_inference_steps}: it must be 1 to {model.train_timesteps}.")
    model.scheduler.set_timesteps(num_inference_steps)
    return model.scheduler.timesteps.tolist()


def _denoise(model, latents, timesteps, shifts):
    """DDIM over the given timesteps, each step with those shifts whose window holds it."""
    inputs = {name: _for_every_row(name, value, len(latents)) for name, value in model.unet_inputs.items()}
    for timestep in timesteps:
        with ExitStack() as stack:
            for layer, (start, end), shift in shifts:
                if start * model.train_timesteps < timestep < end * model.train_timesteps:
                    stack.enter_context(shifted_tokens(layer, shift))
            noise = model.unet(latents, timestep, **inputs).sample
        latents = model.scheduler.step(noise, timestep, latents, eta=0.0).prev_sample
    return latents


def _for_every_row(name, value, batch):
    """Repeat an input of the U-Net that holds one row for every row of the batch."""
    if len(value) not in (1, batch):
        raise ValueError(f"unet_inputs[{name!r}] holds {len(value)} rows for {batch} latents: give one row, for all.")
    return value.expand(batch, *value.shape[1:])


def _to_pictures(latents):
    return (latents.float() / 2 + 0.5).clamp(0, 1).cpu()


def _rows_of_edits(edits, batch):
    """One list of edits per row."""
    if isinstance(edits, Edit):
        raise ValueError("edits is a single Edit: give a list with one entry per row of the latents.")
    rows = [None] * batch if edits is None else list(edits)
    if len(rows) != batch:
        raise ValueError(
            f"{len(rows)} edits for {batch} latents: give one entry per row, None where nothing is edited."
        )
    return [[] if row is None else [row] if isinstance(row, Edit) else list(row) for row in rows]


def _shifts(model, rows):
    """Sum the shifts of all rows that share a layer and a window: [(layer, window, (batch, 1, d)), ...]."""
    shifts = {}
    for row, edits in enumerate(rows):
        for edit in edits:
            key = edit.layer, tuple(edit.window)
            if key not in shifts:
                layer = get_layer(model.unet, edit.layer)
                zeros = torch.zeros(len(rows), 1, layer.channels, device=model.device, dtype=model.dtype)
                shifts[key] = layer, tuple(edit.window), zeros
            layer, _, shift = shifts[key]
            if len(edit.direction) != layer.channels:
                raise ValueError(
                    f"the direction has {len(edit.direction)} numbers: {edit.layer} needs {layer.channels}."
                )
            shift[row, 0] += edit.alpha * edit.direction.to(shift)
    return list(shifts.values())
