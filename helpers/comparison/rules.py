"""Verdicts of the protocol that are no difference of medians: from global to local, one constant, more steps."""

import math
import statistics

import torch

from helpers.comparison.plan import CHANGES, spaced


def areas(records, layer):
    """(place, area) of the eigenvectors of C in a layer that met the change, with plus signs; the first place is 0."""
    plan, width = records.facts["plan"], records.facts["widths"][layer]
    between = spaced(plan["directions"], width - plan["few"] - 1, plan["few"])
    place_of = {
        "C": lambda i: i - 1,
        "between": lambda i: between[i - 1],
        "bottom": lambda i: width - i,
    }
    case, found = dict(layer=layer, injection="asymmetric", wanted=CHANGES[0], steps=plan["steps"], sign=1), []
    for method, place in place_of.items():
        rows = [records.rows[i] for i in records.select(method=method, **case)]
        found += [(place(int(row["direction"])), row["area"]) for row in rows]
    return found


def area_falls(records, layer, draws=10_000):
    """(rank correlation, p): whether eigenvectors of C change a smaller area the later they come, rule 6.

    Spearman's correlation of place and area over the first, those between and the last, with plus signs, where they met
    the change; p by permutation, one-sided. NaN for fewer than four directions.
    """
    found = areas(records, layer)
    if len(found) < 4:
        return math.nan, math.nan
    ranks = torch.tensor(found).argsort(0).argsort(0).double()
    places, sizes = (column - column.mean() for column in ranks.T)
    generator = torch.Generator().manual_seed(0)
    orders = torch.rand(draws, len(sizes), generator=generator).argsort(1)
    scale = places.norm() * sizes.norm()
    drawn, value = (sizes[orders] @ places) / scale, (sizes @ places) / scale
    return value.item(), (1 + (drawn <= value + 1e-12).sum().item()) / (1 + draws)


def constant_is_all(records):
    """(median likeness of constants, of random ones, verdict) in both layers, rule 7; of edits that met the change."""
    medians_of = []
    for start in ("", "random "):
        values = []
        for i in records.select(wanted=CHANGES[0], steps=records.facts["plan"]["steps"], reached=None):
            row = records.rows[i]
            if not row["method"].startswith(f"{start}constant of "):
                continue
            edit = {k: row[k] for k in ("layer", "injection", "wanted", "steps", "direction")}
            edit |= {"method": row["method"].removeprefix(f"{start}constant of "), "sign": 1}
            values += [row["likeness"]] if records.select(**edit) else []
        medians_of.append(statistics.median(values) if values else math.nan)
    return *medians_of, medians_of[0] >= 0.95 and medians_of[1] <= 0.3


def keep_target(records):
    """(kept, tried): directions that keep their target with more steps, rule 9; of those that met the change."""
    plan, kept, tried = records.facts["plan"], 0, 0
    for i in records.select(steps=plan["fine_steps"], reached=None):
        row = records.rows[i]
        same = {k: row[k] for k in ("layer", "method", "injection", "wanted", "direction", "sign")}
        for j in records.select(steps=plan["steps"], **same):
            tried, kept = tried + 1, kept + (records.rows[j]["target"] == row["target"])
    return kept, tried
