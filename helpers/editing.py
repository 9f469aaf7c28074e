"""Sample with DDIM from given latents, and edit: shift the tokens of a self-attention layer while sampling."""

import math
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from helpers.attention import get_layer

SITES = ("projections", "residual")


@dataclass(frozen=True, eq=False)
class Edit:
    """Add alpha * direction to the tokens of a self-attention layer while window[0] T < t < window[1] T.

    direction: (d,), of unit length when alpha is to be in the paper's units; layer: name of a self-attention layer.
    mask: None for all tokens, or (side, side) weights in [0, 1] over the token grid, for a local edit.
    site: "projections" shifts what enters `to_q`, `to_k` and `to_v` (the paper's Z); "residual" shifts the feature map
    before the layer's norm, so that the shift also goes straight through (`UNet2DModel` only).
    Raises ValueError for an alpha that is not finite, a direction that is not a finite vector, an empty window, a mask
    of another shape or range, or an unknown site.
    """

    direction: torch.Tensor
    alpha: float
    layer: str
    window: tuple = (0.5, 0.8)
    mask: torch.Tensor | None = None
    site: str = "projections"

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
        if self.site not in SITES:
            raise ValueError(f"site is {self.site!r}: it must be one of {', '.join(SITES)}.")
        if self.mask is not None and (self.mask.ndim != 2 or not ((self.mask >= 0) & (self.mask <= 1)).all()):
            extent = f"{self.mask.min():g} to {self.mask.max():g}" if self.mask.numel() else "nothing"
            shape = tuple(self.mask.shape)
            raise ValueError(f"mask has shape {shape} and values from {extent}: it must be (side, side), in [0, 1].")


def random_latents(model, seeds):
    """Gaussian latents, one per seed, each independent of its neighbours: (len(seeds), channels, height, width)."""
    rows = [torch.randn(model.sample_shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return torch.stack(rows).to(model.device, model.dtype)


@contextmanager
def shifted_tokens(layer, shift, site="projections"):
    """Inside this context, the inputs of `to_q`, `to_k` and `to_v` of a layer are Z + shift (the paper's Eq. 3).

    layer: `AttentionLayer`; shift: broadcasts to (batch, N, d). With site "residual" the shift is added to the feature
    map before the layer's norm instead. Contexts may be nested: their shifts add up. The hooks are gone afterwards,
    also after an exception.
    Raises ValueError when the layer's projections were fused into one, for a shift of the wrong width, or where a
    layer's residual stream is out of its own reach.
    """
    module = layer.module
    _check_site(layer, site)
    if shift.shape[-1] != layer.channels:
        raise ValueError(f"the direction has {shift.shape[-1]} numbers: {layer.name} needs {layer.channels}.")

    def shift_tokens(_, inputs):
        return (inputs[0] + shift.to(inputs[0]), *inputs[1:])

    def shift_feature_map(_, inputs):
        tokens = inputs[0].flatten(2).mT + shift.to(inputs[0])
        return (tokens.mT.unflatten(2, inputs[0].shape[2:]), *inputs[1:])

    handles = []
    try:
        if site == "residual":
            handles.append(module.register_forward_pre_hook(shift_feature_map))
        else:
            for projection in (module.to_q, module.to_k, module.to_v):
                handles.append(projection.register_forward_pre_hook(shift_tokens))
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
    shifts = collect_shifts(model.unet, _rows_of_edits(edits, len(latents)))
    with model.lock:
        timesteps = set_timesteps(model, num_inference_steps)
        with tqdm(timesteps, disable=not progress, desc="denoising") as bar:
            return to_pictures(denoise(model, latents, bar, shifts))


def check_steps(model, num_inference_steps):
    """Raises ValueError for a number of steps that the model's schedule does not have."""
    if not 1 <= num_inference_steps <= model.train_timesteps:
        raise ValueError(f"num_inference_steps is {num_inference_steps}: it must be 1 to {model.train_timesteps}.")


def set_timesteps(model, num_inference_steps):
    """The timesteps of a trajectory, from noise to picture; the scheduler is set to them, so hold `model.lock`."""
    check_steps(model, num_inference_steps)
    model.scheduler.set_timesteps(num_inference_steps)
    return model.scheduler.timesteps.tolist()


def denoise(model, latents, timesteps, shifts):
    """DDIM steps at the given timesteps, each with those shifts whose window holds it (see `collect_shifts`)."""
    inputs = {name: _for_every_row(name, value, len(latents)) for name, value in model.unet_inputs.items()}
    for timestep in timesteps:
        with ExitStack() as stack:
            for layer, (start, end), site, shift in shifts:
                if start * model.train_timesteps < timestep < end * model.train_timesteps:
                    stack.enter_context(shifted_tokens(layer, shift, site))
            noise = model.unet(latents, timestep, **inputs).sample
        latents = model.scheduler.step(noise, timestep, latents, eta=0.0).prev_sample
    return latents


def _for_every_row(name, value, batch):
    """Repeat an input of the U-Net that holds one row for every row of the batch."""
    if len(value) not in (1, batch):
        raise ValueError(f"unet_inputs[{name!r}] holds {len(value)} rows for {batch} latents: give one row, for all.")
    return value.expand(batch, *value.shape[1:])


def to_pictures(latents):
    """Latents at t = 0 as pictures in [0, 1], on the CPU."""
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


def collect_shifts(unet, rows):
    """Sum the shifts that share a layer, a window and a site: [(layer, window, site, (batch, 1 or N, d)), ...].

    rows: one list of edits per row of a batch. Raises ValueError for edits that do not fit the U-Net.
    """
    shifts = {}
    for row, edits in enumerate(rows):
        for edit in edits:
            layer = get_layer(unet, edit.layer)
            _check_site(layer, edit.site)
            if len(edit.direction) != layer.channels:
                raise ValueError(
                    f"the direction has {len(edit.direction)} numbers: {edit.layer} needs {layer.channels}."
                )
            key = edit.layer, tuple(edit.window), edit.site
            old = shifts[key][3] if key in shifts else torch.zeros(len(rows), 1, layer.channels)
            shift = edit.alpha * edit.direction.detach().float().cpu().unsqueeze(0)
            if edit.mask is not None:
                shift = _mask_tokens(layer, edit.mask) * shift
            new = old.expand(-1, max(old.shape[1], shift.shape[0]), -1).clone()
            new[row] += shift
            shifts[key] = layer, key[1], edit.site, new
    return [(layer, window, site, shift.to(unet.device, unet.dtype)) for layer, window, site, shift in shifts.values()]


def _check_site(layer, site):
    if site == "projections" and getattr(layer.module, "fused_projections", False):
        raise ValueError(f"the projections of {layer.name} are fused: call unet.unfuse_qkv_projections() first.")
    if site == "residual" and layer.module.group_norm is None:
        raise ValueError(f"{layer.name} has no norm of its own: use site 'projections' for this model.")


def _mask_tokens(layer, mask):
    if mask.shape != (layer.resolution, layer.resolution):
        raise ValueError(
            f"the mask has shape {tuple(mask.shape)}: {layer.name} has {layer.resolution} x {layer.resolution} tokens."
        )
    return mask.detach().float().cpu().flatten().unsqueeze(1)
