"""What directions do to a model's pictures: the strength for a wanted change, and the factor that moves most."""

from dataclasses import replace

import torch

from helpers.engine import SLIDERS
from helpers.metrics import factor_changes, lpips, psnr, rms_change, ssim
from helpers.toyworld import WORLDS

LADDER = (2, 4, 8, 16, 32, 64)  # strengths that are tried for a wanted change
TRIES, TOLERANCE = 4, 0.05
NAMING_STRENGTH, NAMING_SEEDS = 8, (2001, 2002, 2003)
SMALLEST_NAMED = 0.5  # standard deviations


def matching_strength(engine, settings, layer_name, index, change, step=lambda done, total: None):
    """alpha with which one direction alone changes the picture by a wanted amount.

    engine: `Engine`; settings: `Settings`, whose strengths are ignored; change: root mean squared change of the pixels,
    in [-1, 1], whose sign becomes that of alpha. The strengths of `LADDER` are tried in one batch, once per direction
    and sign; between them the Illinois method narrows down, until the change is right to 5 % or four more edits were
    tried. Where even the largest strength changes less, that one is returned.
    """
    if change == 0:
        return 0.0
    key = replace(settings, strengths={}), layer_name, index, change
    if key not in engine.strengths:
        engine.strengths[key] = _search(engine, settings, layer_name, index, change, step)
    return engine.strengths[key]


def _search(engine, settings, layer_name, index, change, step):
    sign, wanted = (1 if change > 0 else -1), abs(change)

    def changes(strengths):
        edits = [replace(settings, strengths={layer_name: (0,) * index + (sign * a,)}) for a in strengths]
        pictures = engine.edits(edits, step)
        return rms_change(pictures, engine.original(settings.latents, step).expand_as(pictures)).tolist()

    known = [(0.0, 0.0), *zip(LADDER, changes(LADDER), strict=True)]
    above = next((i for i, (_, found) in enumerate(known) if found >= wanted), None)
    if above is None:
        return sign * float(LADDER[-1])
    (low, below), (high, beyond) = ((strength, found - wanted) for strength, found in known[above - 1 : above + 1])
    side = None
    for _ in range(TRIES):  # the Illinois variant of false position
        strength = (low * beyond - high * below) / (beyond - below)
        (found,) = changes([strength])
        if abs(found / wanted - 1) <= TOLERANCE:
            break
        if found < wanted:
            low, below = strength, found - wanted
            beyond = beyond / 2 if side == "low" else beyond
            side = "low"
        else:
            high, beyond = strength, found - wanted
            below = below / 2 if side == "high" else below
            side = "high"
    return sign * strength


def measured_names(engine, layer, method, settings, strength=NAMING_STRENGTH, step=lambda done, total: None):
    """For each of the first directions, the factor of the drawn world that it moves most, or "unclear": a list of str.

    Edited pictures at alpha = strength and its negative are compared on three samples that are fixed in advance. A
    direction is named when the strongest factor moves by half a standard deviation or more in the mean, and the same
    way in all three. settings: `Settings`, for window and site. Raises ValueError for a model of unknown factors.
    """
    if engine.model.name not in WORLDS:
        raise ValueError(f"{engine.model.name} has no known factors: directions can be named by you only.")
    count = min(SLIDERS, len(engine.directions(layer, method, step)))
    differences = []
    for seed in NAMING_SEEDS:
        both = [
            replace(settings, method=method, latents=seed, strengths={layer.name: (0,) * i + (sign * strength,)})
            for sign in (1, -1)
            for i in range(count)
        ]
        pictures = engine.edits(both, step)
        changes = factor_changes(engine.model.name, pictures[count:], pictures[:count])
        differences.append(torch.stack(list(changes.values()), dim=1))
    moves = torch.stack(differences)  # (samples, directions, factors)
    names = []
    for index in range(count):
        mean = moves[:, index].mean(0)
        strongest = mean.abs().argmax()
        agreed = moves[:, index, strongest].sign().unique().numel() == 1
        clear = agreed and mean[strongest].abs() >= SMALLEST_NAMED
        names.append(f"{list(changes)[strongest]} {mean[strongest]:+.1f} sd" if clear else "unclear")
    return names


def measures(model_name, original, edited):
    """What an edit did to a picture (3, height, width), in words: a list of str, with the factors that moved most."""
    if torch.equal(original, edited):
        return ["unedited"]
    pair = original.unsqueeze(0), edited.unsqueeze(0)
    found = [
        f"RMS change {rms_change(*pair).item():.3f}",
        f"PSNR {psnr(*pair).item():.1f} dB",
        f"SSIM {ssim(*pair).item():.3f}",
    ]
    changes = factor_changes(model_name, *pair)
    most = sorted(changes, key=lambda name: -changes[name].abs().item())[:3]
    found += [f"{name} {changes[name].item():+.1f} sd" for name in most]
    try:
        return [*found, f"LPIPS {lpips(*pair).item():.3f}"]
    except RuntimeError as error:
        return [*found, str(error).rstrip(".")]
