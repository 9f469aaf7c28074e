"""Shifts of h that are learned: towards a meaning by Asyrp, apart from each other by NoiseCLR."""

import torch
from torch import nn
from torch.nn.functional import cosine_similarity, normalize

from helpers.baselines.edits import (
    MiddleEdit,
    asymmetric_step,
    check_unconditional,
    check_window,
    counted_passes,
    in_window,
    noise_pair,
)
from helpers.baselines.jacobians import middle
from helpers.models import EMBEDDED_FOLDER
from helpers.sampling import denoise, set_timesteps
from helpers.toyworld.regressor import UNIFORM_DEVIATION, FactorRegressor


def directional_loss(encode, direction):
    """A loss (edited, pictures) -> (batch,): 1 - cosine of encode(edited) - encode(pictures) with a direction.

    With CLIP's image encoder and the difference of two texts' codes it is the loss of Kwon et al. 2023, eq. 7.
    encode: pictures (batch, 3, height, width) in [0, 1] -> (batch, d), differentiable; direction: (d,).
    """

    def loss(edited, pictures):
        moved = encode(edited) - encode(pictures)
        return 1 - cosine_similarity(moved, direction.to(moved).expand_as(moved))

    return loss


def factor_loss(model_name, factor, sign=1):
    """`directional_loss` with the factor reader of a drawn world: up (sign 1) or down (-1) along one factor.

    Codes are the factors in standard deviations of the drawings, so moving any other factor raises the loss.
    Raises ValueError for a world without a reader of factors, or a factor that it does not have.
    """
    if not (EMBEDDED_FOLDER / model_name / "regressor.json").exists():
        raise ValueError(f"{model_name} comes with no reader of factors: give asyrp a loss of your own.")
    regressor = FactorRegressor.load(EMBEDDED_FOLDER / model_name)
    if factor not in regressor.factors:
        raise ValueError(f"unknown factor {factor!r}: choose one of {', '.join(regressor.factors)}.")
    direction = torch.zeros(len(regressor.factors))
    direction[regressor.factors.index(factor)] = sign
    return directional_loss(lambda pictures: regressor.to(pictures.device)(pictures) / UNIFORM_DEVIATION, direction)


class ShiftNetwork(nn.Module):
    """f_t(h): 1 x 1 convolution, plus an embedding of t, GroupNorm, SiLU, 1 x 1 convolution (Kwon et al. 2023, fig. 4).

    unet: whose embedding of t is used; h: (batch, channels, height, width). Called with (h, timestep), gives its like.
    """

    def __init__(self, unet):
        super().__init__()
        channels, embedding = unet.config.block_out_channels[-1], unet.time_embedding
        self.embed = lambda timestep: embedding(unet.time_proj(torch.tensor([timestep], device=unet.device)))
        self.into, self.out = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.time = nn.Linear(embedding.linear_2.out_features, channels)
        self.norm = nn.GroupNorm(unet.config.norm_num_groups, channels)

    def forward(self, h, timestep):
        time = self.time(nn.functional.silu(self.embed(timestep)))[:, :, None, None]
        return self.out(nn.functional.silu(self.norm(self.into(h) + time)))


def asyrp(
    model,
    latents,
    loss,
    epochs=5,
    batch_size=4,
    num_inference_steps=50,
    window=(0.5, 1.0),
    l1_weight=3.0,
    learning_rate=0.5,
    seed=0,
):
    """Train a shift of h under the asymmetric step (Kwon et al. 2023, eq. 5 to 8), with plain SGD.

    Along each trajectory, at every step inside the window, the shift network makes one update on
    mean(loss(P(h + dh), P(h)) + l1_weight |P(h + dh) - P(h)|), P the predicted picture; x_t goes on with the shift.
    latents: (pictures, channels, height, width), about 100 in the paper; loss: (edited, pictures), both in [0, 1],
    -> (batch,), see `factor_loss` and `directional_loss`. Noise is not added below the window (the paper's quality
    boosting), so that an edit can be compared with its unedited picture.
    Returns `MiddleEdit` with one direction and a loss per update; a strength of 1 is the trained shift.
    Raises ValueError for a model, window or number of steps that does not fit.
    """
    check_unconditional(model)
    check_window(window)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ShiftNetwork(model.unet).to(model.device)
    optimizer, losses = torch.optim.SGD(network.parameters(), lr=learning_rate), []
    with model.lock, counted_passes(model) as passes:
        timesteps = in_window(model, set_timesteps(model, num_inference_steps), window)
        for states in (part.to(model.device) for _ in range(epochs) for part in latents.split(batch_size)):
            for timestep in timesteps:
                noise, plain_noise = noise_pair(model, states, timestep, lambda h, t, _: network(h, t))
                states, edited, plain = asymmetric_step(model, states, timestep, noise, plain_noise)
                change = (edited - plain).abs().mean((1, 2, 3))
                total = (loss(edited / 2 + 0.5, plain / 2 + 0.5) + l1_weight * change).mean()
                optimizer.zero_grad()
                total.backward()
                optimizer.step()
                passes.vjp += len(states)
                states = states.detach()
                losses.append(total.item())
    network.requires_grad_(False)
    return MiddleEdit(model, lambda h, t, _: network(h, t), 1, window, False, passes, tuple(losses))


def contrastive_loss(changes, temperature=0.5):
    """-log of the mean of exp(cosine / temperature) over positive pairs, over that of negative pairs; a number.

    Positive: changes of one direction on two pictures; negative: of two directions on one picture (Dalva and Yanardag
    2024, eq. 5). changes: (directions, pictures, ...), at least two of each. The mean over directions is returned.
    """
    rows = normalize(changes.flatten(2), dim=2)
    directions, pictures = rows.shape[:2]
    alike = torch.exp(torch.einsum("kap,kbp->kab", rows, rows) / temperature)
    unlike = torch.exp(torch.einsum("kap,lap->kla", rows, rows) / temperature)
    others = 1 - torch.eye(pictures, device=rows.device)
    apart = 1 - torch.eye(directions, device=rows.device)
    positive = (alike * others).sum((1, 2)) / others.sum()
    negative = (unlike * apart[:, :, None]).sum((1, 2)) / ((directions - 1) * pictures)
    return -torch.log(positive / negative).mean()


def noiseclr(
    model,
    latents,
    count=100,
    iterations=1000,
    pictures_per_step=6,
    directions_per_step=20,
    num_inference_steps=50,
    window=(0.5, 0.8),
    temperature=0.5,
    learning_rate=1e-3,
    seed=0,
):
    """Learn shifts of h by contrast: NoiseCLR (Dalva and Yanardag 2024) without text, where it has pseudo-words.

    Each update draws pictures, directions and a timestep of the window, and descends `contrastive_loss` of what the
    shifts change in the predicted noise, with AdamW. latents: (pictures, channels, height, width), from which the
    pictures are sampled, 100 in the paper; x_t is a picture with noise. The length of a shift is fixed: the root mean
    square distance of h from its mean over pictures at the window's first step. An edit adds strength (eps_k - eps_0)
    to the predicted noise at the steps of the window.
    Returns `MiddleEdit` with a loss per update.
    Raises ValueError for a model, window or number of steps that does not fit, or too few pictures or directions.
    """
    check_unconditional(model)
    check_window(window)
    if not 2 <= pictures_per_step <= len(latents):
        raise ValueError(f"pictures_per_step is {pictures_per_step}: it must be 2 to {len(latents)}, the pictures.")
    if not 2 <= directions_per_step <= count:
        raise ValueError(f"directions_per_step is {directions_per_step}: it must be 2 to {count}, the directions.")
    generator = torch.Generator().manual_seed(seed)
    with model.lock, counted_passes(model) as passes:
        timesteps = set_timesteps(model, num_inference_steps)
        inside = in_window(model, timesteps, window)
        with torch.no_grad():
            pictures = torch.cat([denoise(model, part, timesteps, []) for part in latents.split(32)])
            noisy = model.scheduler.add_noise(pictures, random_like(pictures, generator), torch.tensor(inside[0]))
            h = torch.cat([middle(model.unet, part, inside[0]) for part in noisy.split(32)])
        radius = (h - h.mean(0)).flatten(1).square().sum(1).mean().sqrt()
        vectors = nn.Parameter(random_like(h[:1].expand(count, -1, -1, -1), generator))
        optimizer, losses = torch.optim.AdamW([vectors], lr=learning_rate), []

        def shift(h, timestep, direction):
            return (radius * normalize(vectors[direction], dim=(-3, -2, -1))).to(h)

        for _ in range(iterations):
            timestep = inside[torch.randint(len(inside), (), generator=generator)]
            some = pictures[torch.randperm(len(pictures), generator=generator)[:pictures_per_step]]
            chosen = torch.randperm(count, generator=generator)[:directions_per_step]
            noisy = model.scheduler.add_noise(some, random_like(some, generator), torch.tensor(timestep))
            changes = noise_changes(model, noisy, timestep, shift(h, timestep, chosen))
            loss = contrastive_loss(changes, temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            passes.vjp += changes.shape[:2].numel()
            losses.append(loss.item())
    vectors.requires_grad_(False)
    return MiddleEdit(model, shift, count, window, True, passes, tuple(losses))


def random_like(tensor, generator):
    """Standard normal numbers of a tensor's shape, drawn on the CPU."""
    return torch.randn(tensor.shape, generator=generator).to(tensor)


def noise_changes(model, noisy, timestep, shifts):
    """What each shift of h changes in the predicted noise of each picture: (shifts, pictures, channels, height, width).

    noisy: x_t, (pictures, channels, height, width); shifts: (shifts, channels, height, width), like h.
    """

    def moved(_, inputs, h):
        return torch.cat([h[: -len(noisy)] + shifts.repeat_interleave(len(noisy), 0), h[-len(noisy) :]])

    handle = model.unet.mid_block.register_forward_hook(moved)
    try:
        noise = model.unet(noisy.repeat(len(shifts) + 1, 1, 1, 1), timestep).sample
    finally:
        handle.remove()
    return (noise[: -len(noisy)] - noise[-len(noisy) :].repeat(len(shifts), 1, 1, 1)).unflatten(0, (len(shifts), -1))
