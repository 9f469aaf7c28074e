"""Editing directions: eigenvectors of a matrix made of the projections of one self-attention layer."""

import zlib
from dataclasses import dataclass, fields

import torch

from helpers.attention import HeadWeights, attention_response, head_weights
from helpers.whitening import in_double, token_moments

METHODS = ("paper", "refined", "exact", "pca")


@dataclass(frozen=True)
class Directions:
    """Unit directions in the space of one layer's tokens.

    vectors: (count, d), rows of unit length, of arbitrary sign; values: (count,), their eigenvalues in descending
    order, or None for directions that are not eigenvectors; layer: name of the layer; method: how they were found.
    """

    vectors: torch.Tensor
    values: torch.Tensor | None
    layer: str
    method: str

    def __len__(self):
        return len(self.vectors)


def combined_matrix(layer):
    """C = W_Q W_Q^T + W_K W_K^T + W_V W_V^T (the paper's Eq. 20), (d, d) in float64, on the CPU.

    PyTorch stores the weight of a projection as (out, in), the transpose of W in Q = Z W: each term is
    `weight.T @ weight`, and the eigenvectors live where the shift is applied, in the space of the tokens.
    """
    weights = [layer.module.to_q.weight, layer.module.to_k.weight, layer.module.to_v.weight]
    weights = [in_double(weight).cpu() for weight in weights]
    return sum(weight.T @ weight for weight in weights)


def eigenvectors(matrix):
    """Eigenvalues (d,) in descending order and unit eigenvectors as rows (d, d) of a symmetric matrix.

    An eigenvector's sign is arbitrary; here its entry of largest magnitude is positive, so that every run agrees.

    >>> eigenvectors(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))[0].tolist()
    [3.0, 1.0]
    """
    values, columns = torch.linalg.eigh(matrix)
    values, rows = values.flip(0), columns.flip(1).T
    largest = rows.abs().argmax(dim=1, keepdim=True)
    return values, rows * rows.gather(1, largest).sign()


def refined_matrix(layer, covariance=None, output_projection=True):
    """C_refined = R R^T with R = (I + W_Q W_K^T Sigma / sqrt(d_h)) W_V W_O summed over heads; (d, d), float64, CPU.

    The mean squared change of the attention output per unit alpha^2 is n^T S n, see `sensitivity_matrix`; R R^T is
    what S becomes when attention is uniform and tokens have the covariance Sigma, (d, d): the identity when None, so
    that no picture is needed. Without output_projection the change is taken before W_O, head by head.
    """
    weights = _weights_in_double(layer)
    scores = weights.query @ weights.key.mT / weights.key.shape[-1] ** 0.5
    if covariance is not None:
        scores = scores @ covariance.to(scores)
    response = weights.value + scores @ weights.value
    return _squared(response.unsqueeze(1), weights, output_projection).cpu()


def sensitivity_matrix(layer, tokens, output_projection=True):
    """S = mean over tokens of B_i B_i^T: n^T S n is the mean squared change of the output per unit alpha^2, exactly.

    To first order in alpha; B_i is `attention_response`, times W_O and summed over heads with output_projection.
    tokens: (pictures, N, d) entering the layer's projections. Returns (d, d) in float64, on the CPU.
    Raises ValueError for tokens of another shape, or that are not finite.
    """
    _check_tokens(layer, tokens)
    weights = _weights_in_double(layer)
    total = torch.zeros(layer.channels, layer.channels, dtype=torch.float64)
    for picture in in_double(tokens).to(weights.query):
        for first in range(0, len(picture), 64):  # a few queries at a time, to spare memory
            response = attention_response(picture, weights, slice(first, first + 64))
            total += _squared(response, weights, output_projection).cpu()
    return total / tokens.shape[:2].numel()


def _weights_in_double(layer):
    weights = head_weights(layer)
    return HeadWeights(*(in_double(getattr(weights, field.name)) for field in fields(HeadWeights)))


def _squared(response, weights, output_projection):
    """Sum of B B^T over heads and positions; response: (heads, positions, d, d_h)."""
    if output_projection:
        response = (response @ weights.output.unsqueeze(1)).sum(0, keepdim=True)
    columns = response.movedim(2, 0).flatten(1)
    return columns @ columns.T


def find_directions(layer, count=None, method="paper", tokens=None):
    """The first `count` editing directions of a layer, strongest first; all of them when count is None.

    method: "paper" for eigenvectors of `combined_matrix` (the paper's Eq. 19-20), "refined" of `refined_matrix`; these
    need nothing but weights. "exact" for those of `sensitivity_matrix`, "pca" for the principal components of the
    tokens (Härkönen et al. 2020), which need tokens (pictures, N, d).
    Raises ValueError for an unknown method, or a count that is not between 1 and the layer's width d.
    """
    count = layer.channels if count is None else count
    _check_count(layer, count)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}.")
    needs_tokens = method in ("exact", "pca")
    if needs_tokens and tokens is None:
        raise ValueError(f"method {method!r} needs tokens=: record them with helpers.whitening.record_tokens.")
    if not needs_tokens and tokens is not None:
        raise ValueError(f"method {method!r} was given tokens: it uses weights only, leave them out.")
    if needs_tokens:
        _check_tokens(layer, tokens)
        matrix = sensitivity_matrix(layer, tokens) if method == "exact" else token_moments(tokens).covariance
    else:
        matrix = combined_matrix(layer) if method == "paper" else refined_matrix(layer)
    values, vectors = eigenvectors(matrix.float())  # single precision is enough, and faster
    return Directions(vectors[:count], values[:count], layer.name, method)


def random_directions(layer, count, seed):
    """Unit directions drawn uniformly from the sphere: the control. Equal for equal seeds and layers.

    Every layer has draws of its own, so that what one of them does by chance is not repeated all over a model.
    Raises ValueError when count is not between 1 and the layer's width d.
    """
    _check_count(layer, count)
    generator = torch.Generator().manual_seed(seed + (zlib.crc32(layer.name.encode()) << 20))
    vectors = torch.randn(count, layer.channels, generator=generator)
    return Directions(torch.nn.functional.normalize(vectors, dim=1), None, layer.name, "random")


def without(direction, others):
    """A direction with everything removed that lies in the span of others (their null space), of unit length again.

    direction: (d,); others: (count, d), of any length and also dependent ones. Returns a tensor like direction.
    Raises ValueError for others of another width, or when nothing is left.

    >>> without(torch.tensor([3.0, 4.0]), torch.tensor([[2.0, 0.0], [1.0, 0.0]])).tolist()
    [0.0, 1.0]
    """
    if others.ndim != 2 or others.shape[1] != len(direction):
        raise ValueError(f"others has shape {tuple(others.shape)}: it must be (count, {len(direction)}).")
    start, rows = in_double(direction), torch.nn.functional.normalize(in_double(others), dim=1)
    _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
    basis = basis[sizes > 1e-6]  # in single precision, dependent rows leave some 1e-7
    left = start - start @ basis.T @ basis
    if left.norm() < 1e-6 * start.norm():
        raise ValueError("the direction lies in the span of the others: nothing is left of it.")
    return (left / left.norm()).to(direction)


def _check_count(layer, count):
    if not 1 <= count <= layer.channels:
        raise ValueError(
            f"count is {count}: {layer.name} has {layer.channels} directions, ask for 1 to {layer.channels}."
        )


def _check_tokens(layer, tokens):
    if tokens.ndim != 3 or tokens.shape[-1] != layer.channels:
        raise ValueError(
            f"tokens have shape {tuple(tokens.shape)}: {layer.name} needs (pictures, N, {layer.channels})."
        )
    if not torch.isfinite(tokens).all():
        raise ValueError(f"tokens hold {(~torch.isfinite(tokens)).sum()} numbers that are not finite.")
