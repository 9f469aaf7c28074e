"""The directions of a comparison: of each method, of random draws, and of an oracle that is told the factors."""

import torch
from torch.nn.functional import normalize

from helpers.agreement import agreeing_directions
from helpers.comparison.plan import spaced
from helpers.directions import combined_matrix, eigenvectors, find_directions, random_directions

SPAN = 40  # refined directions that those which agree combine
SHARE = 0.65  # t / T, the middle of the window, at which tokens are recorded and responses taken
#: seeds that no page of the book has used, and no two uses share: of latents, and of random directions
SEEDS = {"test": 9000, "agree": 9100, "pca": 9200, "oracle": 9300, "renderer": 9400}
RANDOM_SEEDS = {"random": 9000, "oracle": 9001, "constants": 9002}
RIDGES = [10.0**power for power in range(-3, 4)]  # among which cross-validation chooses
MIXED = 0.05  # of the factors' mean square, added before what others do is taken out


def seeds_of(use, count):
    """The first `count` seeds of a use."""
    return tuple(range(SEEDS[use], SEEDS[use] + count))


def contestants(edits, layer, method, plan):
    """The directions (count, d) of a method that needs no factors, strongest first; "bottom": weakest first.

    "between": eigenvectors of C at even distances after the first `plan.directions` and before the last `plan.few`.

    edits: `ManyEdits`; layer: `AttentionLayer`; plan: `Plan` of `helpers.comparison.plan`.
    """
    count = min(plan.directions, layer.channels)
    if method == "random":
        return random_directions(layer, plan.random, RANDOM_SEEDS["random"]).vectors
    if method in ("between", "bottom"):
        found = eigenvectors(combined_matrix(layer))[1].float()
        places = spaced(count, len(found) - plan.few - 1, plan.few)
        return found[places] if method == "between" else found.flip(0)[: plan.few]
    if method == "agree":
        seeds, span = seeds_of("agree", plan.responses), min(SPAN, layer.channels)
        edits.passes += 2 * span * len(seeds)
        return agreeing_directions(edits.model, layer, count, seeds, span, SHARE).vectors
    if method == "pca":
        tokens = edits.tokens(layer, seeds_of("pca", plan.token_pictures), SHARE, plan.steps)
        return find_directions(layer, count, "pca", tokens).vectors
    return find_directions(layer, count, {"C": "paper"}.get(method, method)).vectors


def oracle(edits, layer, read, alpha, plan):
    """One direction per factor, (factors, d), found by least squares from what random directions do to other latents.

    Each random direction is tried with both signs, at strength alpha, on one of the oracle's latents.
    read: pictures -> (pictures, factors).
    """
    seeds = seeds_of("oracle", plan.latents)
    vectors = random_directions(layer, min(plan.oracle_directions, layer.channels), RANDOM_SEEDS["oracle"]).vectors
    while len(vectors) < plan.oracle_directions:  # a layer gives no more at once than it is wide
        seed = RANDOM_SEEDS["oracle"] + 100 * len(vectors)
        more = random_directions(layer, min(plan.oracle_directions - len(vectors), layer.channels), seed).vectors
        vectors = torch.cat([vectors, more])
    which = torch.arange(len(vectors)).repeat(2) % len(seeds)
    pictures = edits.edited(layer, alpha * torch.cat([vectors, -vectors]), which, seeds, plan.steps)
    up, down = read(pictures).chunk(2)
    return oracle_directions(vectors, (up - down) / 2)


def oracle_directions(vectors, responses):
    """For each factor the direction that by least squares moves it and no other: (factors, d), of unit length.

    vectors: (count, d), directions that were tried; responses: (count, factors), what each did. The responses are
    fitted by a linear map with a ridge that generalised cross-validation chooses (Golub, Heath and Wahba 1979); its
    rows are then made dual to each other.
    """
    vectors, responses = vectors.double(), responses.double()
    left, scale, right = torch.linalg.svd(vectors, full_matrices=False)
    seen, best = left.T @ responses, None
    for ridge in RIDGES:
        kept = scale**2 / (scale**2 + ridge)
        error = responses.square().sum() - ((2 * kept - kept**2).unsqueeze(1) * seen**2).sum()
        score = error / (len(vectors) - kept.sum()).clamp(min=1e-6) ** 2
        if best is None or score < best[0]:
            best = score, right.T @ ((kept / scale.clamp(min=1e-9)).unsqueeze(1) * seen)
    fitted = best[1]  # (d, factors)
    moment = fitted.T @ fitted
    moment = moment + MIXED * moment.diagonal().mean().clamp(min=1e-12) * torch.eye(len(moment), dtype=moment.dtype)
    return normalize(fitted @ torch.linalg.inv(moment), dim=0).T.float()
