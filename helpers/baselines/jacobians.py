"""Directions of one picture: singular vectors of a Jacobian at x_t, by Pullback and by LOCO."""

import copy

import torch
from diffusers.models.attention_processor import AttnProcessor

from helpers.baselines.edits import NoisyPictureEdit, Passes, check_share, check_unconditional, counted_passes
from helpers.sampling import denoise, set_timesteps


def singular_vectors(function, point, count, iterations=50, tolerance=1e-4, seed=0, passes=None):
    """The strongest right singular vectors of a function's Jacobian at a point, by subspace iteration.

    V <- right singular vectors of (J V^T)^T J, from a random orthonormal start, until none moves any more up to sign
    (Park et al. 2023, alg. 1). function: of a batch of points, row by row; point: of any shape; passes: to which they
    are added. tolerance: of 1 - |cosine| from one iteration to the next; where singular values lie close together, as
    with random weights, vectors creep and are still far from the exact ones when they move less than that. The entry of
    largest magnitude is positive.
    Returns (values, vectors): (count,) descending, and (count, *point.shape) of unit length.
    Raises ValueError for a count that the point does not have, or no iteration.
    """
    if not 1 <= count <= point.numel():
        raise ValueError(f"count is {count}: it must be 1 to {point.numel()}.")
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}: it must be at least 1.")
    passes = Passes() if passes is None else passes
    rows = point.expand(count, *point.shape).contiguous()
    start = torch.randn(point.numel(), count, generator=torch.Generator().manual_seed(seed))
    vectors = torch.linalg.qr(start)[0].T.to(point)
    pull = torch.func.vjp(function, rows)[1]
    passes.forward += count
    for _ in range(iterations):
        pushed = torch.func.jvp(function, (rows,), (vectors.view_as(rows),))[1]
        pulled = pull(pushed)[0].flatten(1)
        passes.jvp, passes.vjp = passes.jvp + count, passes.vjp + count
        squares, turned = torch.linalg.svd(pulled, full_matrices=False)[1:]
        moved = 1 - (turned * vectors).sum(1).abs()
        vectors = turned
        if moved.max() < tolerance:
            break
    vectors = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    return squares.sqrt(), vectors.view_as(rows)


def differentiable(unet):
    """A copy of a U-Net in single precision that torch.func can differentiate forwards.

    Fused attention has no forward derivative, and that of GroupNorm takes contiguous tensors only.
    """
    unet = copy.deepcopy(unet).float().to(memory_format=torch.contiguous_format)
    for module in unet.modules():
        if hasattr(module, "set_processor"):
            module.set_processor(AttnProcessor())
        if isinstance(module, torch.nn.GroupNorm):
            module.register_forward_pre_hook(lambda _, inputs: inputs[0].clone(memory_format=torch.contiguous_format))
    return unet


class _AtMiddle(Exception):
    """Ends a pass at the middle block."""


def middle(unet, latents, timestep):
    """h, the output of the middle block, of x_t: (batch, channels, height, width). The decoder is not evaluated."""
    found = []

    def stop(_, inputs, h):
        found.append(h)
        raise _AtMiddle

    handle = unet.mid_block.register_forward_hook(stop)
    try:
        unet(latents, timestep)
    except _AtMiddle:
        return found[0]
    finally:
        handle.remove()


def predicted_picture(unet, scheduler, latents, timestep):
    """x0_hat = (x_t - sqrt(1 - abar) eps) / sqrt(abar), not clipped."""
    signal = scheduler.alphas_cumprod[timestep].to(latents)
    return (latents - (1 - signal) ** 0.5 * unet(latents, timestep).sample) / signal**0.5


@torch.no_grad()
def states_at(model, latents, share, num_inference_steps):
    """x_t on the way of DDIM at the first timestep t <= share T, in single precision, and that t."""
    check_unconditional(model)
    check_share(share)
    with model.lock:
        timesteps = set_timesteps(model, num_inference_steps)
        before = [t for t in timesteps if t > share * model.train_timesteps]
        if len(before) == len(timesteps):
            raise ValueError(f"share is {share}: all of the {num_inference_steps} timesteps lie above it.")
        return denoise(model, latents, before, []).float(), timesteps[len(before)]


def pullback(model, latents, count=1, share=0.6, num_inference_steps=50, iterations=50, tolerance=1e-4, seed=0):
    """Directions of x_t that move h most, for each latent its own (Park et al. 2023, sec. 3.2 and alg. 1).

    latents: (pictures, channels, height, width), one or those that will be edited; share: t / T at which they are
    found and applied, in the paper 1.0, 0.8 or 0.6; num_inference_steps: as for the edit. An edit repeats 16 times
    x_t += 0.1 (eps(x_t + strength v) - eps(x_t)); strength 1 is the authors' own.
    Returns `NoisyPictureEdit`. Raises ValueError for a model, count, share or number of steps that does not fit.
    """
    with counted_passes(model) as passes:
        states, timestep = states_at(model, latents, share, num_inference_steps)
    unet = differentiable(model.unet)
    found = [
        singular_vectors(lambda x: middle(unet, x, timestep), state, count, iterations, tolerance, seed, passes)
        for state in states
    ]
    values, vectors = (torch.stack(part) for part in zip(*found))
    return NoisyPictureEdit(model, vectors, values, timestep, True, passes)


def loco(
    model, latents, mask, count=1, null=5, share=0.6, num_inference_steps=50, iterations=50, tolerance=1e-4, seed=0
):
    """Directions of x_t that move the predicted picture inside a mask and not outside (Chen et al. 2024, alg. 1).

    V of mask * x0_hat(x_t), from which the span of the `null` strongest of (1 - mask) * x0_hat(x_t) is taken away:
    v - Vn^T Vn v, of unit length. latents, share, num_inference_steps: as for `pullback`, share 0.6 to 0.7 in the
    paper; mask: (height, width) in [0, 1], the same for all latents; null: 0 leaves V as it is. An edit is one shift
    x_t += strength v, with strengths up to 8 in the paper.
    Returns `NoisyPictureEdit`. Raises ValueError for a model, count, share or number of steps that does not fit, and
    for a mask of another size or range, or one that holds all or nothing.
    """
    size = tuple(latents.shape[-2:])
    if tuple(mask.shape) != size:
        raise ValueError(f"mask has shape {tuple(mask.shape)}: the latents need {size}.")
    mask = mask.float().to(model.device)
    if not (0 <= mask.min() and mask.max() <= 1) or not 0 < mask.mean() < 1:
        raise ValueError(f"mask has values from {mask.min():g} to {mask.max():g}: some in [0, 1], not all 0 or all 1.")
    with counted_passes(model) as passes:
        states, timestep = states_at(model, latents, share, num_inference_steps)
    unet, found = differentiable(model.unet), []

    def strongest(weights, state, number):
        def seen(x):
            return weights * predicted_picture(unet, model.scheduler, x, timestep)

        return singular_vectors(seen, state, number, iterations, tolerance, seed, passes)

    for state in states:
        values, vectors = strongest(mask, state, count)
        if null:
            outside = strongest(1 - mask, state, null)[1].flatten(1)
            vectors = vectors.flatten(1) - vectors.flatten(1) @ outside.T @ outside
            vectors = torch.nn.functional.normalize(vectors, dim=1).view(count, *state.shape)
        found.append((values, vectors))
    values, vectors = (torch.stack(part) for part in zip(*found))
    return NoisyPictureEdit(model, vectors, values, timestep, False, passes)
