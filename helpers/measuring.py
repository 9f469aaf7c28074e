"""What an edit does to a picture: the strength for a wanted change, and the change in words."""

from dataclasses import replace

import torch

from helpers.metrics import factor_changes, lpips, psnr, rms_change, ssim, tint_share

#: strengths that are tried for a wanted change, by injection: shifting the predicted picture alone needs smaller ones
LADDERS = {"symmetric": (2, 4, 8, 16, 32, 64), "asymmetric": (0.5, 1, 2, 4, 8, 16, 32, 64)}
TRIES, TOLERANCE = 4, 0.05


def matching_strength(engine, settings, layer_name, index, change, step=lambda done, total: None):
    """alpha with which one direction alone changes the picture by a wanted amount.

    engine: `Engine`; settings: `Settings`, whose strengths are ignored; change: root mean squared change of the pixels,
    in [-1, 1], whose sign becomes that of alpha. The strengths of `LADDERS` are tried in one batch, once per direction
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
    sign, wanted, ladder = (1 if change > 0 else -1), abs(change), LADDERS[settings.injection]

    def changes(strengths):
        edits = [replace(settings, strengths={layer_name: (0,) * index + (sign * a,)}) for a in strengths]
        pictures = engine.edits(edits, step)
        return rms_change(pictures, engine.original(settings.latents, step).expand_as(pictures)).tolist()

    known = [(0.0, 0.0), *zip(ladder, changes(ladder), strict=True)]
    above = next((i for i, (_, found) in enumerate(known) if found >= wanted), None)
    if above is None:
        return sign * float(ladder[-1])
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
