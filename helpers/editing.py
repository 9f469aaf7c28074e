"""An edit: what it adds to the tokens of a self-attention layer, and when."""

import math
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from helpers.attention import AttentionLayer, get_layer

SITES = ("projections", "residual")
INJECTIONS = ("symmetric", "asymmetric")


@dataclass(frozen=True, eq=False)
class Edit:
    """Add alpha * direction to the tokens of a self-attention layer while window[0] T < t < window[1] T.

    direction: (d,), of unit length when alpha is to be in the paper's units; layer: a self-attention layer or its name.
    window: shares of T, see `helpers.clock.equal_noise_window` for models on another schedule; 0 includes t = 0.
    mask: None for all tokens, or (height, width) weights in [0, 1] of any size, which are averaged over the token grid.
    site: "projections" shifts what enters `to_q`, `to_k` and `to_v` (the paper's Z); "residual" shifts the feature map
    before the layer's norm, so that the shift also goes straight through (`UNet2DModel` only).
    injection: where the shift enters a DDIM step. "symmetric" shifts the predicted noise in both its parts;
    "asymmetric" shifts the predicted picture alone and leaves the direction back to x_t as the network has it without
    the shift (Kwon et al. 2023), at the price of a second pass for steps inside the window.
    Raises ValueError for an alpha that is not finite, a direction that is not a finite vector, an empty window, a mask
    of another shape or range, an unknown site or injection.
    """

    direction: torch.Tensor
    alpha: float
    layer: str
    window: tuple = (0.5, 0.8)
    mask: torch.Tensor | None = None
    site: str = "projections"
    injection: str = "symmetric"

    def __post_init__(self):
        if isinstance(self.layer, AttentionLayer):
            object.__setattr__(self, "layer", self.layer.name)
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
        for name, value, known in (("site", self.site, SITES), ("injection", self.injection, INJECTIONS)):
            if value not in known:
                raise ValueError(f"{name} is {value!r}: it must be one of {', '.join(known)}.")
        if self.mask is not None and (self.mask.ndim != 2 or not ((self.mask >= 0) & (self.mask <= 1)).all()):
            extent = f"{self.mask.min():g} to {self.mask.max():g}" if self.mask.numel() else "nothing"
            shape = tuple(self.mask.shape)
            raise ValueError(f"mask has shape {shape} and values from {extent}: it must be (height, width), in [0, 1].")


@dataclass(frozen=True, eq=False)
class Shifts:
    """What a batch's edits add to one layer's tokens in one window; made by `collect_shifts`.

    rows: for every row of the batch a list of (alpha * direction, mask or None).
    """

    layer: AttentionLayer
    window: tuple
    site: str
    injection: str
    rows: list

    def holds(self, timestep, train_timesteps):
        """Whether a timestep lies in the window."""
        start, end = self.window
        return start * train_timesteps < timestep < end * train_timesteps or start == timestep == 0

    def tokens(self, count, height, width):
        """The shift of `count` tokens of a picture or latent of height x width: (batch, 1 or count, d)."""
        rows = []
        for edits in self.rows:
            total = torch.zeros(1, self.layer.channels)
            for shift, mask in edits:
                weights = torch.ones(1, 1) if mask is None else token_weights(mask, count, height, width)
                total = total + weights * shift
            rows.append(total)
        tallest = max(len(row) for row in rows)
        return torch.stack([row.expand(tallest, -1) for row in rows])


def token_weights(mask, count, height, width):
    """A mask averaged over the grid of `count` tokens of a picture of height x width, row by row: (count, 1)."""
    down = max(1, round(math.sqrt(count * height / width)))
    if count % down:
        raise ValueError(f"{count} tokens do not tile {height} x {width}: a mask cannot be used at this layer.")
    weights = mask.detach().float().cpu()[None, None]
    return torch.nn.functional.adaptive_avg_pool2d(weights, (down, count // down)).flatten().unsqueeze(1)


@contextmanager
def shifted_tokens(layer, shift, site="projections"):
    """Inside this context, the inputs of `to_q`, `to_k` and `to_v` of a layer are Z + shift (the paper's Eq. 3).

    layer: `AttentionLayer`; shift: broadcasts to (batch, N, d), or a function of N that gives such a tensor. With site
    "residual" it is added to the feature map before the layer's norm instead. Contexts may be nested: their shifts add
    up. The hooks are gone afterwards, also after an exception.
    Raises ValueError when the layer's projections were fused into one, for a shift of the wrong width, or where a
    layer's residual stream is out of its own reach.
    """
    module = layer.module
    _check_site(layer, site)
    if torch.is_tensor(shift):
        _check_width(layer, shift)

    def moved(tokens):
        return tokens + (shift if torch.is_tensor(shift) else shift(tokens.shape[1])).to(tokens)

    def shift_tokens(_, inputs):
        return (moved(inputs[0]), *inputs[1:])

    def shift_feature_map(_, inputs):
        return (moved(inputs[0].flatten(2).mT).mT.unflatten(2, inputs[0].shape[2:]), *inputs[1:])

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


def check_windows(shifts, timesteps, train_timesteps):
    """Raises ValueError for an edit whose window holds none of the timesteps: it would silently do nothing."""
    for shift in shifts:
        if not any(shift.holds(t, train_timesteps) for t in timesteps):
            steps = ", ".join(f"{t:g}" for t in timesteps[:3]) + (" ..." if len(timesteps) > 3 else "")
            raise ValueError(
                f"the window {shift.window} holds none of the {len(timesteps)} timesteps ({steps}) of "
                f"T = {train_timesteps}: widen it, or take more steps."
            )


def rows_of_edits(edits, batch):
    """One list of edits per row: of None, of one `Edit` for all rows, or of a list with one entry per row or for all.

    >>> rows_of_edits(None, 2), rows_of_edits([[]], 2)
    ([[], []], [[], []])
    """
    rows = [edits] if edits is None or isinstance(edits, Edit) else list(edits)
    if len(rows) == 1:
        rows *= batch
    if len(rows) != batch:
        raise ValueError(f"{len(rows)} edits for {batch} latents: give one entry per row, None for no edit.")
    return [[] if row is None else [row] if isinstance(row, Edit) else list(row) for row in rows]


def collect_shifts(unet, rows):
    """Put the edits together that share a layer, a window, a site and an injection: a list of `Shifts`.

    rows: one list of edits per row of a batch. Raises ValueError for edits that do not fit the network.
    """
    shifts = {}
    for row, edits in enumerate(rows):
        for edit in edits:
            layer = get_layer(unet, edit.layer)
            _check_site(layer, edit.site)
            _check_width(layer, edit.direction)
            key = edit.layer, tuple(edit.window), edit.site, edit.injection
            if key not in shifts:
                shifts[key] = Shifts(layer, *key[1:], [[] for _ in rows])
            shifts[key].rows[row].append((edit.alpha * edit.direction.detach().float().cpu(), edit.mask))
    return list(shifts.values())


def _check_width(layer, direction):
    if direction.shape[-1] != layer.channels:
        raise ValueError(f"the direction has {direction.shape[-1]} numbers: {layer.name} needs {layer.channels}.")


def _check_site(layer, site):
    if site == "projections" and getattr(layer.module, "fused_projections", False):
        raise ValueError(f"the projections of {layer.name} are fused: call unet.unfuse_qkv_projections() first.")
    if site == "residual" and getattr(layer.module, "group_norm", None) is None:
        raise ValueError(f"{layer.name} has no norm of its own: use site 'projections' for this model.")
