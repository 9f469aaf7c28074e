"""What the numbers of a comparison say: selectivity, how many directions beat random ones, intervals.

The rules are those of the page "The protocol of the comparison".
"""

import math
import statistics

import torch

LEVEL = 0.01  # below which a p lies that counts
FLOOR = 0.001  # standard deviations: changes are kept no finer


def halves(changes):
    """Changes (..., latents, factors) on the latents that choose a target, and on those that judge it."""
    return changes[..., 0::2, :], changes[..., 1::2, :]


def selectivity(choosing, judging):
    """(target, selectivity): the factor that moves most in the mean of one half, and how alone it moves in the other.

    choosing, judging: (..., factors), mean changes in standard deviations over two halves of the latents. Selectivity
    is the target's change, counted in the direction that it took in the first half, over the root mean square of
    the other factors' changes: negative where the target turned round.

    >>> target, value = selectivity(torch.tensor([0.1, -3.0, 0.2]), torch.tensor([0.5, -2.0, 0.5]))
    >>> target.item(), value.item()
    (1, 4.0)
    """
    target = choosing.abs().argmax(-1, keepdim=True)
    moved = judging.gather(-1, target) * choosing.gather(-1, target).sign()
    others = (judging.square().sum(-1, keepdim=True) - moved.square()).clamp(min=0) / (judging.shape[-1] - 1)
    return target.squeeze(-1), (moved / others.sqrt().clamp(min=FLOOR)).squeeze(-1)


def selectivity_of(changes):
    """(target, selectivity, same sign) of an edit whose changes are (latents, factors).

    The latents at even places choose the target, those at odd places judge. Same sign: the share of the latter whose
    target moves as it did in the mean of the former.
    """
    choosing, judging = halves(changes)
    target, value = selectivity(choosing.mean(0), judging.mean(0))
    same = (judging[:, target] * choosing[:, target].mean() > 0).float().mean()
    return target.item(), value.item(), same.item()


def chance(count, method, null):
    """Probability that at least `count` of `method` numbers lie above all of `null` others, if all are of one kind.

    Then every order is as likely as any other, and the `count` largest must be among the `method`.

    >>> chance(1, 1, 64) == 1 / 65, round(chance(3, 16, 64), 4)
    (True, 0.0068)
    """
    return math.prod((method - i) / (method + null - i) for i in range(count))


def against_random(records, layer, method, injection, wanted, steps=25):
    """(names, expected, p): which directions of a method in a layer are more selective than all random ones there.

    names: {direction: target}; one sign is enough, and the oracle's must hit the factor that they are for. expected:
    how many there would be on average, at most, if the method drew at random. p: how likely as many would be, for the
    sign with more of them, times the number of signs. What misses the change beats nothing, and nothing is beaten by
    random ones that miss it: those stand last among their own. None where no random direction meets the change, or the
    method was not measured.
    """
    case, names, ps = dict(layer=layer, injection=injection, wanted=wanted, steps=steps), {}, []
    null = [records.rows[i]["selectivity"] for i in records.select(method="random", **case)]
    rows = [records.rows[i] for i in records.select(method=method, reached=None, **case)]
    count = len(records.select(method="random", reached=None, **case))
    if not null or not rows or method == "random":
        return None
    for sign in sorted({row["sign"] for row in rows}):
        some = [row for row in rows if row["sign"] == sign]
        above = [row for row in some if row["reached"] and row["selectivity"] > max(null)]
        above = [row for row in above if method != "oracle" or row["target"] == row["direction"]]
        names |= {row["direction"]: row["target"] for row in above}
        ps.append(chance(len(above), len(some), count))
    return names, len(rows) / (count + 1), min(1.0, len(ps) * min(ps))


def medians(records, places, draws=1000, seed=0):
    """Medians over rows of their selectivity, with directions and latents drawn again: (1 + draws,), first as it is.

    The signs of a direction are drawn together. Latents are drawn alike in every call, so that the difference of two
    calls is paired over them; directions are drawn by the seed. Not a number where there are no rows.
    """
    if not places:
        return torch.full((1 + draws,), torch.nan)
    means, latents = [], torch.Generator().manual_seed(0)
    for half in halves(records.of_factors(places)):
        share = drawn_again(half.shape[1], draws, latents) / half.shape[1]
        means.append(torch.einsum("bl,rlf->brf", share, half))
    values = selectivity(*means)[1]
    labels = [(records.rows[i]["layer"], records.rows[i]["direction"]) for i in places]
    kinds = list(dict.fromkeys(labels))
    weights = drawn_again(len(kinds), draws, torch.Generator().manual_seed(1 + seed)).long()
    weights = weights[:, [kinds.index(label) for label in labels]]
    return torch.stack([v.repeat_interleave(w).quantile(0.5) for v, w in zip(values, weights)])


def drawn_again(count, draws, generator):
    """How often each of `count` is drawn when as many are drawn with replacement: (1 + draws, count), first once each.

    >>> drawn_again(5, 3, torch.Generator().manual_seed(0)).sum(1).tolist()
    [5.0, 5.0, 5.0, 5.0]
    """
    taken = torch.randint(count, (draws, count), generator=generator)
    times = torch.nn.functional.one_hot(taken, count).sum(1).float()
    return torch.cat([torch.ones(1, count), times])


def interval(values):
    """(value, low, high): the first of the values, and what holds 95 % of the others."""
    low, high = values[1:].quantile(torch.tensor([0.025, 0.975])).tolist()
    return values[0].item(), low, high


def difference(records, method, other, wanted, layer=None, steps=25, injection="asymmetric"):
    """(value, low, high): median selectivity of a method minus that of another at one wanted change.

    layer: "encoder" or "decoder"; None for both together.
    """
    case = dict(layer=layer, injection=injection, wanted=wanted, steps=steps)
    first, second = (records.select(method=name, **case) for name in (method, other))
    return interval(medians(records, first) - medians(records, second, seed=1))


def verdicts(records, wanted, steps=25):
    """The table of one model at one wanted change: a dict per layer, method and injection.

    directions: how many; reached: at how many the wanted change was met, with some sign; beat, expected, p: see
    `against_random`, None without random directions; counts: whether p lies below `LEVEL`; selectivity, low, high:
    median over rows, with its 95 % interval; same_sign, tint, rms, alpha: medians over rows. Of rows that met the
    change; constants are as long as those of their edits instead.
    """
    entries, every = [], records.select(wanted=wanted, steps=steps, reached=None)
    for layer, method, injection in dict.fromkeys(
        tuple(records.rows[i][k] for k in ("layer", "method", "injection")) for i in every
    ):
        case = dict(layer=layer, method=method, injection=injection, wanted=wanted, steps=steps)
        rows = [records.rows[i] for i in records.select(reached=None, **case)]
        places = records.select(reached=None if "constant" in method else 1.0, **case)
        met = [records.rows[i] for i in places]
        count, reached = len({row["direction"] for row in rows}), len({r["direction"] for r in rows if r["reached"]})
        entry = {**case, "directions": count, "reached": reached}
        entry |= dict.fromkeys(("beat", "expected", "p", "counts"))
        found = None if "constant" in method else against_random(records, **case)
        if found is not None:
            entry |= {"beat": len(found[0]), "expected": found[1], "p": found[2], "counts": found[2] < LEVEL}
        if met:
            found = interval(medians(records, places))
            entry |= dict(zip(("selectivity", "low", "high"), found))
            entry |= {k: statistics.median(row[k] for row in met) for k in ("same_sign", "tint", "rms", "alpha")}
        entries.append(entry)
    return entries
