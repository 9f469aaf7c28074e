"""Record the tokens that enter attention layers, or their moments timestep by timestep, and say how white they are."""

from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TokenMoments:
    """Moments of tokens z of width d, averaged over pictures and positions; float64, on the CPU.

    pictures: how many; mean: E[z], (d,); second: E[z z^T], (d, d);
    within: covariance inside one picture, averaged over the pictures, (d, d).
    """

    pictures: int
    mean: torch.Tensor
    second: torch.Tensor
    within: torch.Tensor

    @property
    def covariance(self):
        """The second moment about the mean of all tokens, (d, d)."""
        return self.second - torch.outer(self.mean, self.mean)

    def merge(self, other):
        """The moments of both sets of pictures together."""
        share = self.pictures / (self.pictures + other.pictures)
        mean, second, within = (
            share * getattr(self, name) + (1 - share) * getattr(other, name) for name in ("mean", "second", "within")
        )
        return TokenMoments(self.pictures + other.pictures, mean, second, within)


def in_double(tensor):
    """A tensor in float64, where it is; on the CPU when its device (Apple's MPS) has no float64."""
    tensor = tensor.detach()
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def token_moments(tokens):
    """`TokenMoments` of tokens (pictures, N, d)."""
    tokens = in_double(tokens)
    second = (tokens.mT @ tokens).mean(0) / tokens.shape[1]
    centres = tokens.mean(dim=1)
    within = second - centres.T @ centres / len(tokens)
    return TokenMoments(len(tokens), centres.mean(dim=0).cpu(), second.cpu(), within.cpu())


@contextmanager
def record_tokens(layers):
    """Keep the tokens of the last pass inside this context: yields {layer name: (pictures, N, d)}, empty before a pass.

    layers: `AttentionLayer`s. The hooks are gone afterwards, also after an exception.
    """
    tokens, handles = {}, []

    def keep(name):
        return lambda _, inputs: tokens.update({name: inputs[0].detach()})

    try:
        for layer in layers:
            handles.append(layer.module.to_q.register_forward_pre_hook(keep(layer.name)))
        yield tokens
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def record_moments(unet, layers):
    """Collect moments during every pass of a U-Net inside this context.

    layers: `AttentionLayer`s. Yields {(layer name, place): {timestep: TokenMoments}}, filled pass by pass, where place
    is "after" or "before" the layer's norm ("before" only where the norm is the layer's own, as in `UNet2DModel`).
    Passes at the same timestep are merged; a pass may have one timestep per row. The hooks are gone afterwards, also
    after an exception.
    """
    record, handles, now = {}, [], {}

    def remember_timesteps(_, inputs, named):
        timesteps = torch.as_tensor(named["timestep"] if "timestep" in named else inputs[1])
        now["timesteps"] = timesteps.flatten().tolist()

    def collect(key):
        def hook(_, inputs):
            tokens = inputs[0].mT if key[1] == "before" else inputs[0]  # a GroupNorm sees (batch, d, N)
            times, found = now["timesteps"], record.setdefault(key, {})
            for time in dict.fromkeys(times):
                rows = [row for row in range(len(tokens)) if times[row if len(times) > 1 else 0] == time]
                moments = token_moments(tokens[rows])
                found[time] = found[time].merge(moments) if time in found else moments

        return hook

    try:
        handles.append(unet.register_forward_pre_hook(remember_timesteps, with_kwargs=True))
        for layer in layers:
            handles.append(layer.module.to_q.register_forward_pre_hook(collect((layer.name, "after"))))
            if layer.module.group_norm is not None:
                handles.append(layer.module.group_norm.register_forward_pre_hook(collect((layer.name, "before"))))
        yield record
    finally:
        for handle in handles:
            handle.remove()


def identity_distance(matrix):
    """How far a second moment is from the identity: ||S - I||_F / ||I||_F. Zero for white tokens.

    >>> identity_distance(3 * torch.eye(5)).item()
    2.0
    """
    identity = torch.eye(len(matrix), dtype=matrix.dtype)
    return torch.linalg.norm(matrix - identity) / torch.linalg.norm(identity)


def off_diagonal_energy(matrix):
    """Sum of the squared entries off the diagonal, over that on it. Zero for white tokens.

    >>> off_diagonal_energy(torch.ones(3, 3)).item()
    2.0
    """
    diagonal = matrix.diagonal().square().sum()
    return (matrix.square().sum() - diagonal) / diagonal


def effective_rank(matrix):
    """Participation ratio (sum of eigenvalues)^2 / sum of their squares: 1 to d, and d for white tokens.

    >>> effective_rank(torch.eye(4)).item(), effective_rank(torch.ones(4, 4)).item()
    (4.0, 1.0)
    """
    return matrix.trace() ** 2 / matrix.square().sum()


def condition_number(matrix):
    """Largest over smallest eigenvalue of a symmetric matrix: 1 for white tokens, infinite for a singular matrix.

    >>> condition_number(torch.diag(torch.tensor([8.0, 2.0]))).item()
    4.0
    """
    values = torch.linalg.eigvalsh(matrix)
    return values[-1] / values[0].clamp(min=0)


def mean_share(moments):
    """Share of the mean token in the tokens' squared length: at most 1/d when white, 1 when all are equal."""
    return moments.mean.square().sum() / moments.second.trace()
