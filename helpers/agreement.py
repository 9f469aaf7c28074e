"""Directions that agree: shifts to which different pictures respond alike, found from the model's own samples."""

import math

import torch

from helpers.attention import get_layer
from helpers.directions import Directions, eigenvectors, refined_matrix
from helpers.editing import shifted_tokens
from helpers.sampling import denoise, random_latents, rows_of_input, set_timesteps

POOLED_SIDE = 32  # responses are compared at this resolution
STEPS = 20  # of the way from noise to the timestep where responses are measured


@torch.no_grad()
def picture_responses(model, layer, vectors, seeds, share=0.65, alpha=1.0, batch_size=32, progress=None):
    """How the predicted picture of each sample responds to a shift of one layer's tokens, at one timestep.

    The response is half the difference of P(+alpha) and P(-alpha), over alpha, where P is the picture that the network
    predicts from x_t: the derivative of the part of a DDIM step which an asymmetric edit moves. It takes one pass per
    picture, direction and sign, and a few per picture from noise to x_t.

    layer: `AttentionLayer`; vectors: (count, d); seeds: of the samples, all different; share: t / T, where the model's
    clock is the paper's (see `helpers.clock`); progress: called with (done, total) passes.
    Returns (pictures, count, channels, side, side), averaged over squares of pixels to at most 32 x 32, on the CPU.
    Raises ValueError for a seed that comes twice, a share or an alpha that measures nothing, or vectors of wrong width.
    """
    seeds = list(seeds)
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise ValueError(f"seed {twice} comes twice: pictures must differ, or what one answers passes for agreement.")
    if not 0 < share < 1:
        raise ValueError(f"share is {share}: it must be between 0 and 1, a share of T.")
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha is {alpha}: it must be a finite number above 0.")
    signed = alpha * torch.cat([vectors, -vectors]).unsqueeze(1)
    total, found = len(seeds) * len(signed), []
    with model.lock:
        timesteps = set_timesteps(model, STEPS)
        way = [t for t in timesteps if t > share * model.train_timesteps]
        timestep = timesteps[min(len(way), len(timesteps) - 1)]
        for number, state in enumerate(denoise(model, random_latents(model, seeds), way, [])):
            pictures = []
            for shift in signed.split(batch_size):
                rows = state.expand(len(shift), -1, -1, -1).contiguous(memory_format=torch.channels_last)
                with shifted_tokens(layer, shift):
                    inputs = {name: rows_of_input(name, v, 1, [0] * len(rows)) for name, v in model.unet_inputs.items()}
                    noise = model.unet(rows, timestep, **inputs).sample
                pictures.append(model.scheduler.step(noise, timestep, rows, eta=0.0).pred_original_sample.float().cpu())
                if progress is not None:
                    progress(number * len(signed) + sum(map(len, pictures)), total)
            up, down = torch.cat(pictures).chunk(2)
            side = min(POOLED_SIDE, *up.shape[-2:])
            found.append(torch.nn.functional.adaptive_avg_pool2d((up - down) / (2 * alpha), side))
    return torch.stack(found)


def without_tint(responses):
    """Responses without their mean colour: (..., channels, height, width)."""
    return responses - responses.mean((-2, -1), keepdim=True)


def shared_moment(responses):
    """(M, M_0): mean of J_i J_j^T over pairs of different pictures, and of J_i J_i^T over pictures; (count, count).

    responses: (pictures, count, ...). M is the unbiased estimate of what the responses of two pictures have in common,
    because noise of one picture meets that of another; it may be indefinite. In float64.
    Raises ValueError for fewer than two pictures, or numbers that are not finite.

    >>> same = torch.eye(3).expand(4, 3, 3)
    >>> [moment.diagonal().tolist() for moment in shared_moment(same)]
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    rows = responses.double().flatten(2)
    if len(rows) < 2:
        raise ValueError(f"responses holds {len(rows)} picture: what pictures share needs at least two.")
    if not torch.isfinite(rows).all():
        raise ValueError(f"responses hold {(~torch.isfinite(rows)).sum()} numbers that are not finite.")
    count, total = len(rows), rows.sum(0)
    own = torch.einsum("ikp,ilp->kl", rows, rows)
    return (total @ total.T - own) / (count * (count - 1)), own / count


def agreement(responses, rows):
    """n^T M n / n^T M_0 n: the part of the squared response that two pictures share, for each combination, (rows,).

    responses: (pictures, count, ...); rows: (rows, count), combinations of the directions that were measured.
    At most 1, where all pictures respond alike; about 0 where they have nothing in common; it may be negative.
    """
    rows = rows.double()
    shared, own = (((rows @ moment) * rows).sum(1) for moment in shared_moment(responses))
    return shared / own


def most_agreeing(responses, regularisation=0.1):
    """Combinations of the basis that maximise n^T M n / n^T (M_0 + r mean(M_0) I) n: (values, rows), best first.

    See `shared_moment`; mean(M_0) is the mean of its eigenvalues. With r = 0 it is `agreement`; r keeps combinations
    away to which hardly anything responds. Rows have unit length; their entry of largest magnitude is positive. This is
    the correlated component analysis of Dmochowski et al. (2012), of responses to directions instead of recordings.
    Raises ValueError for a negative r, or where nothing responds.
    """
    if regularisation < 0:
        raise ValueError(f"regularisation is {regularisation}: it must be 0 or more.")
    shared, own = shared_moment(responses)
    if not own.trace() > 0:
        raise ValueError("nothing responds to any of the directions: is this the layer that was shifted?")
    own = own + regularisation * own.trace() / len(own) * torch.eye(len(own), dtype=own.dtype)
    values, rows = torch.linalg.eigh(own)
    half = rows * values.clamp(min=1e-9 * values[-1]) ** -0.5  # own = (half half^T)^-1
    values, rows = eigenvectors(half.T @ shared @ half)
    rows = torch.nn.functional.normalize(rows @ half.T, dim=1)
    return values, rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()


def agreeing_directions(model, layer, count=8, seeds=range(500, 516), span=40, share=0.65, progress=None):
    """The first `count` directions to which the samples of the given seeds respond most alike, their tint left out.

    layer: `AttentionLayer` or its name; span: of how many refined directions they are combinations, at most d.
    Takes 2 x span x len(seeds) network passes, and some on the way from noise (`picture_responses`); no label, no
    picture from outside, no training. Returns `Directions`, method "agree", with the values of `most_agreeing`.
    Raises ValueError for a count above the span, fewer than two seeds, or what `picture_responses` refuses.

    >>> from helpers.models import load_model
    >>> found = agreeing_directions(load_model("toy-faces"), "mid_block.attentions.0", 2, seeds=[1, 2], span=4)
    >>> found.method, tuple(found.vectors.shape)
    ('agree', (2, 128))
    """
    layer = get_layer(model.unet, layer) if isinstance(layer, str) else layer
    span, seeds = min(span, layer.channels), list(seeds)
    if not 1 <= count <= span:
        raise ValueError(f"count is {count}: it must be 1 to the span, {span}.")
    if len(seeds) < 2:
        raise ValueError(f"{len(seeds)} seed given: what pictures share needs at least two.")
    basis = eigenvectors(refined_matrix(layer))[1][:span].float()
    responses = picture_responses(model, layer, basis, seeds, share, progress=progress)
    values, rows = most_agreeing(without_tint(responses))
    vectors = torch.nn.functional.normalize(rows[:count].float() @ basis, dim=1)
    return Directions(vectors, values[:count].float(), layer.name, "agree")
