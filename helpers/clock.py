"""The clock of a diffusion model: which noise level a timestep means, and which timesteps mean the same noise level.

A picture of side r shows the same content at the same noise level as one of side 256 when its log-SNR is higher by
2 ln(256 / r): averaging s x s pixels divides the variance of the noise by s^2 and leaves smooth content alone
(Hoogeboom et al. 2023, "simple diffusion"; Chen 2023).
"""

import math

import torch

REFERENCE_SIDE = 256


def log_snr(alphas_cumprod):
    """Natural logarithm of the signal-to-noise ratio abar / (1 - abar), of any shape.

    >>> round(log_snr(torch.tensor(0.5)).item(), 3)
    0.0
    """
    return torch.logit(alphas_cumprod.double())


def shift_for_side(side):
    """By how much the log-SNR of a picture of this side (pixels) exceeds that of a 256 x 256 picture at equal content.

    >>> round(shift_for_side(64), 2)
    2.77
    """
    return 2 * math.log(REFERENCE_SIDE / side)


def shifted_betas(side, num_train_timesteps=1000):
    """Betas of the linear 256 x 256 schedule (Ho et al. 2020) with its log-SNR shifted for pictures of another side.

    Returns a list of `num_train_timesteps` floats, for `trained_betas` of a diffusers scheduler. With side 256 it is
    the linear schedule itself.

    >>> betas = shifted_betas(256)
    >>> round(betas[0], 6), round(betas[-1], 6)
    (0.0001, 0.02)
    """
    linear = torch.linspace(1e-4, 0.02, num_train_timesteps, dtype=torch.float64)
    alphas_cumprod = torch.sigmoid(log_snr((1 - linear).cumprod(0)) + shift_for_side(side))
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])
    return [float(f"{beta:.9g}") for beta in (1 - alphas_cumprod / before).tolist()]


def log_snr_of(scheduler):
    """log-SNR at every timestep t = 0 .. T - 1 of a diffusers scheduler: (T,), descending.

    Schedulers with `alphas_cumprod`; for flow matching, where x_t = (1 - sigma) x_0 + sigma eps, sigma = t / T.
    """
    if hasattr(scheduler, "alphas_cumprod"):
        return log_snr(scheduler.alphas_cumprod)
    total = scheduler.config.num_train_timesteps
    sigma = torch.arange(total, dtype=torch.float64).clamp(min=0.5) / total
    return 2 * torch.log((1 - sigma) / sigma)


def equal_noise_window(scheduler, side, window=(0.5, 0.8)):
    """The window of a scheduler that holds the noise levels which a window of the paper's models holds.

    scheduler: any with `alphas_cumprod`, or for flow matching; side: of its pictures, in pixels; window: shares of T
    on the linear 256 x 256 schedule. Returns (start, end), shares of the scheduler's T, for `Edit`.
    Raises ValueError for a window that is not within 0 and 1, or that the scheduler's noise levels do not reach.

    >>> from diffusers import DDIMScheduler
    >>> equal_noise_window(DDIMScheduler(), 256)
    (0.5, 0.8)
    >>> equal_noise_window(DDIMScheduler(), 64)
    (0.231, 0.607)
    """
    if not 0 <= window[0] < window[1] <= 1:
        raise ValueError(f"window is {window}: it must be (start, end) with 0 <= start < end <= 1, as shares of T.")
    paper = log_snr((1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)) + shift_for_side(side)
    own = log_snr_of(scheduler)
    edges = []
    for share in window:
        level = paper[min(round(share * len(paper)), len(paper) - 1)]
        edges.append(0.0 if share == 0 else 1.0 if share == 1 else (own > level + 1e-4).sum().item() / len(own))
    start, end = edges
    if start >= end:
        raise ValueError(f"no timestep of {type(scheduler).__name__} has the noise levels of the window {window}.")
    return start, end
