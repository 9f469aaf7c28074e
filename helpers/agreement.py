"""Directions that agree: shifts to which different pictures respond alike, found from the model's own samples."""

import torch

from helpers.attention import get_layer
from helpers.directions import Directions, eigenvectors, refined_matrix
from helpers.editing import denoise, random_latents, set_timesteps, shifted_tokens

POOLED_SIDE = 32  # responses are compared at this resolution


@torch.no_grad()
def picture_responses(model, layer, vectors, seeds, share=0.65, alpha=1.0, batch_size=32, progress=None):
    """How the predicted picture of each sample responds to a shift of one layer's tokens, at one timestep.

    The response is half the difference of P(+alpha) and P(-alpha), over alpha, where P = (x_t - sqrt(1 - abar) eps) /
    sqrt(abar) is the picture that the network predicts from x_t: the derivative of the part of a DDIM step which an
    asymmetric edit moves. One pass per picture, direction and sign.

    vectors: (count, d); seeds: of the samples; share: t / T. progress: called with (done, total) passes.
    Returns (pictures, count, channels, side, side), averaged over squares of pixels to at most 32 x 32.
    """
    with model.lock:
        timesteps = set_timesteps(model, 50)
        way = [t for t in timesteps if t > share * model.train_timesteps]
        timestep = timesteps[len(way)]
        states = denoise(model, random_latents(model, seeds), way, [])
        signed = torch.cat([vectors, -vectors])
        total, found = len(states) * len(signed), []
        for number, state in enumerate(states):
            parts = []
            for rows in (alpha * signed).split(batch_size):
                x = state.expand(len(rows), *state.shape).contiguous()
                with shifted_tokens(layer, rows.unsqueeze(1)):
                    inputs = {k: v.expand(len(x), *v.shape[1:]) for k, v in model.unet_inputs.items()}
                    noise = model.unet(x, timestep, **inputs).sample
                parts.append(model.scheduler.step(noise, timestep, x, eta=0.0).pred_original_sample.float().cpu())
                if progress is not None:
                    progress(number * len(signed) + sum(map(len, parts)), total)
            up, down = torch.cat(parts).chunk(2)
            found.append(_pooled((up - down) / (2 * alpha)))
    return torch.stack(found)


def _pooled(pictures):
    side = min(POOLED_SIDE, *pictures.shape[-2:])
    return torch.nn.functional.adaptive_avg_pool2d(pictures, side)


def without_tint(responses):
    """Responses without their mean colour: (..., channels, height, width)."""
    return responses - responses.mean((-2, -1), keepdim=True)


def shared_moment(responses):
    """(M, M_0): mean of J_i J_j^T over pairs of different pictures, and of J_i J_i^T over pictures; (count, count).

    responses: (pictures, count, ...). M is the unbiased estimate of what the responses of two pictures have in common,
    because noise of one picture meets that of another; it may be indefinite.
    Raises ValueError for fewer than two pictures.

    >>> same = torch.eye(3).expand(4, 3, 3)
    >>> [moment.diagonal().tolist() for moment in shared_moment(same)]
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    rows = responses.flatten(2)
    if len(rows) < 2:
        raise ValueError(f"responses holds {len(rows)} picture: what pictures share needs at least two.")
    count, total = len(rows), rows.sum(0)
    own = torch.einsum("ikp,ilp->kl", rows, rows)
    return (total @ total.T - own) / (count * (count - 1)), own / count


def most_agreeing(responses, regularisation=0.03):
    """Combinations of the basis that maximise n^T M n / n^T (M_0 + r mean(M_0) I) n: (values, rows), best first.

    See `shared_moment`. The quotient is the part of the squared response that two pictures share, at most 1, when
    regularisation r is 0; r keeps directions away to which hardly anything responds. Rows have unit length.
    """
    shared, own = shared_moment(responses)
    own = own + regularisation * own.trace() / len(own) * torch.eye(len(own))
    half = torch.linalg.inv(torch.linalg.cholesky(own))
    values, rows = eigenvectors(half @ shared @ half.T)
    rows = torch.nn.functional.normalize(rows @ half, dim=1)
    return values, rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()


def agreeing_directions(model, layer, count=8, seeds=range(500, 516), span=64, share=0.65, progress=None):
    """The first `count` directions to which the samples of the given seeds respond most alike.

    layer: `AttentionLayer` or its name; span: of how many refined directions they are combinations, at most d.
    Needs 2 x span x len(seeds) network passes and no label, picture or training. Returns `Directions`, method "agree".
    Raises ValueError for a count above span, or fewer than two seeds.
    """
    layer = get_layer(model.unet, layer) if isinstance(layer, str) else layer
    span = min(span, layer.channels)
    if not 1 <= count <= span:
        raise ValueError(f"count is {count}: it must be 1 to the span, {span}.")
    basis = eigenvectors(refined_matrix(layer))[1][:span].float()
    responses = picture_responses(model, layer, basis, seeds, share, progress=progress)
    values, rows = most_agreeing(without_tint(responses))
    vectors = torch.nn.functional.normalize(rows[:count] @ basis, dim=1)
    return Directions(vectors, values[:count], layer.name, "agree")
