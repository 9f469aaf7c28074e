"""Editing directions: eigenvectors of a matrix made of the projections of one self-attention layer."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Directions:
    """Unit directions in the space of one layer's tokens.

    vectors: (count, d), rows of unit length; values: (count,), their eigenvalues in descending order, or None for
    directions that are not eigenvectors; layer: name of the layer; method: how they were found.
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
    weights = [weight.detach().double().cpu() for weight in weights]
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


def find_directions(layer, count=None):
    """The first `count` eigenvectors of C (the paper's Eq. 19-20), strongest first; all of them when count is None.

    Raises ValueError when count is not between 1 and the layer's width d.
    """
    count = layer.channels if count is None else count
    _check_count(layer, count)
    values, vectors = eigenvectors(combined_matrix(layer).float())  # single precision is enough, and faster
    return Directions(vectors[:count], values[:count], layer.name, "paper")


def random_directions(layer, count, seed):
    """Unit directions drawn uniformly from the sphere: the control. Equal for equal seeds.

    Raises ValueError when count is not between 1 and the layer's width d.
    """
    _check_count(layer, count)
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, layer.channels, generator=generator)
    return Directions(torch.nn.functional.normalize(vectors, dim=1), None, layer.name, "random")


def _check_count(layer, count):
    if not 1 <= count <= layer.channels:
        raise ValueError(
            f"count is {count}: {layer.name} has {layer.channels} directions, ask for 1 to {layer.channels}."
        )
