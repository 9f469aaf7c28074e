"""What an edit does to a picture: the strength for a wanted change, and the change in words."""

import math
from dataclasses import replace

import torch

from helpers.metrics import lpips, psnr, rms_change, ssim, tint_share
from helpers.toyworld.regressor import factor_changes

LADDER = (0.5, 2, 8, 32, 128)  # strengths that are tried for a wanted change
TRIES, TOLERANCE = 6, 0.05


def matching_strength(engine, settings, layer_name, index, change, step=lambda done, total: None):
    """alpha with which one direction alone changes the picture by a wanted amount.

    engine: `Engine`; settings: `Settings`, whose strengths are ignored; change: root mean squared change of the pixels,
    in [-1, 1], whose sign becomes that of alpha. The strengths of `LADDER` are tried in one batch, once per direction
    and sign; between them the Illinois method narrows down, in logarithms of both, until the change is right to 5 % or
    six more edits were tried, of which the nearest is taken. Where even the largest strength changes less, that one is
    returned.
    """
    if change == 0:
        return 0.0
    key = replace(settings, strengths={}), layer_name, index, change
    if key not in engine.strengths:
        engine.strengths[key] = _search(engine, settings, layer_name, index, change, step)
    return engine.strengths[key]


def _search(engine, settings, layer_name, index, change, step):
    sign, wanted = (1 if change > 0 else -1), abs(change)

    def over(strengths):
        """log(change / wanted change) for some strengths."""
        edits = [replace(settings, strengths={layer_name: (0,) * index + (sign * a,)}) for a in strengths]
        pictures = engine.edits(edits, step)
        found = rms_change(pictures, engine.original(settings.latents, step).expand_as(pictures))
        return (found.clamp(min=1e-9) / wanted).log().tolist()

    known = [(math.log(strength), found) for strength, found in zip(LADDER, over(LADDER))]
    above = next((i for i, (_, found) in enumerate(known) if found >= 0), None)
    if above is None:
        return sign * float(LADDER[-1])
    far = math.log(1000)  # below the ladder the change is taken to be proportional to the strength
    low, below = known[above - 1] if above else (known[0][0] - far, known[0][1] - far)
    (high, beyond), side = known[above], None
    tried = []
    for _ in range(TRIES):  # the Illinois variant of false position
        strength = (low * beyond - high * below) / (beyond - below)
        (found,) = over([math.exp(strength)])
        tried.append((abs(found), strength))
        if abs(math.exp(found) - 1) <= TOLERANCE:
            break
        if found < 0:
            low, below = strength, found
            beyond = beyond / 2 if side == "low" else beyond
            side = "low"
        else:
            high, beyond = strength, found
            below = below / 2 if side == "high" else below
            side = "high"
    return sign * math.exp(min(tried)[1])


def measures(model_name, original, edited):
    """What an edit did to a picture (3, height, width), in words: a list of str.

    With the share of the squared change that is one uniform tint, and what moved most of the factors and mean colours.
    """
    if torch.equal(original, edited):
        return ["unedited"]
    pair = original.unsqueeze(0), edited.unsqueeze(0)
    found = [
        f"RMS change {rms_change(*pair).item():.3f}",
        f"PSNR {psnr(*pair).item():.1f} dB",
        f"SSIM {ssim(*pair).item():.3f}",
        f"one tint {tint_share(*pair).item():.2f} of it",
    ]
    changes = factor_changes(model_name, *pair)
    most = sorted(changes, key=lambda name: -changes[name].abs().item())[:3]
    found += [f"{name} {changes[name].item():+.1f} sd" for name in most]
    try:
        return [*found, f"LPIPS {lpips(*pair).item():.3f}"]
    except RuntimeError as error:
        return [*found, str(error).rstrip(".")]
