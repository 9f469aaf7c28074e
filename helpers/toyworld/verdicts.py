"""What the numbers of a comparison say: selectivity, p against random directions, false discovery rate, intervals.

The rules are those of the page "The protocol of the comparison".
"""

import math
import statistics

import torch

LEVEL = 0.01  # below which a p lies that counts, adjusted for the false discovery rate
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


def student_tail(value, freedom):
    """Probability that Student's t with so many degrees of freedom exceeds value; by the trapezoidal rule.

    >>> round(student_tail(2.0, 10), 4)
    0.0367
    """
    x = torch.linspace(0, abs(value), 4001, dtype=torch.float64)
    height = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    inside = torch.trapezoid(height * (1 + x**2 / freedom) ** (-(freedom + 1) / 2), x).item()
    return max(0.5 - inside, 0.0) if value > 0 else 0.5 + inside


def p_value(value, null):
    """Probability that a further random direction is as selective as value, given the selectivities of some.

    Both on the scale asinh, where those of random directions are nearly normal: the tail of the predictive t
    distribution. A rank among 64 could not fall below 1/65.
    """
    null = [math.asinh(number) for number in null]
    spread = statistics.stdev(null) * math.sqrt(1 + 1 / len(null))
    return student_tail((math.asinh(value) - statistics.mean(null)) / max(spread, 1e-9), len(null) - 1)


def adjusted(ps):
    """p values adjusted for the false discovery rate (Benjamini and Hochberg 1995), in the given order.

    >>> adjusted([0.01, 0.04, 0.03, 0.005])
    [0.02, 0.04, 0.04, 0.02]
    """
    order = sorted(range(len(ps)), key=lambda i: ps[i], reverse=True)
    found, least = [0.0] * len(ps), 1.0
    for rank, i in zip(range(len(ps), 0, -1), order):
        least = min(least, ps[i] * len(ps) / rank)
        found[i] = least
    return found


def p_values(records, method, wanted, steps=25):
    """{(layer, direction): (p, adjusted p)} of a method's directions in both layers, at one wanted change.

    records: `helpers.toyworld.records.Records`. p is the smaller one of a direction's signs, times their number, and 1
    for a direction that misses the change. Random directions of the same layer are the null; one of them is judged by
    the others. The false discovery rate is controlled over the directions of the method.
    """
    case, found = dict(injection="asymmetric", wanted=wanted, steps=steps), {}
    null = {place: records.rows[place] for place in records.select(method="random", **case)}
    for place in records.select(method=method, reached=None, **case):
        row = records.rows[place]
        others = [r["selectivity"] for i, r in null.items() if r["layer"] == row["layer"] and i != place]
        p = p_value(row["selectivity"], others) if row["reached"] and len(others) > 1 else 1.0
        found.setdefault((row["layer"], row["direction"]), []).append(p)
    ps = [min(1.0, len(signs) * min(signs)) for signs in found.values()]
    return dict(zip(found, zip(ps, adjusted(ps))))


def medians(records, places, draws=1000, seed=0):
    """Medians over rows of their selectivity, with directions and latents drawn again: (1 + draws,), first as it is.

    The signs of a direction are drawn together. Latents are drawn alike in every call, so that the difference of two
    calls is paired over them; directions are drawn by the seed.
    """
    means, latents = [], torch.Generator().manual_seed(0)
    for half in halves(records.changes[places]):
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


def difference(records, method, other, wanted, layer=None, steps=25):
    """(value, low, high): median selectivity of a method minus that of another at one wanted change.

    layer: "encoder" or "decoder"; None for both together.
    """
    case = dict(layer=layer, injection="asymmetric", wanted=wanted, steps=steps)
    first, second = (records.select(method=name, **case) for name in (method, other))
    return interval(medians(records, first) - medians(records, second, seed=1))


def verdicts(records, wanted, steps=25):
    """The table of one model at one wanted change: a dict per layer, method and injection.

    directions: how many; reached: at how many the wanted change was met, with some sign; beat: how many are more
    selective than random directions (`LEVEL`), those of the oracle only in the factor that they are for, None for
    the other injection; selectivity, low, high: median over rows, with its 95 % interval; same_sign, rms, alpha:
    medians over rows. Of rows that met the change; constants are as long as those of their edits instead.
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
        entry = {**case, "directions": count, "reached": reached, "beat": None}
        if injection == "asymmetric":
            ps = p_values(records, method, wanted, steps)
            hit = {r["direction"] for r in met if method != "oracle" or r["target"] == r["direction"]}
            entry["beat"] = sum(p < LEVEL and d in hit for (where, d), (_, p) in ps.items() if where == layer)
        if met:
            found = interval(medians(records, places))
            entry |= dict(zip(("selectivity", "low", "high"), found))
            entry |= {k: statistics.median(row[k] for row in met) for k in ("same_sign", "rms", "alpha")}
        entries.append(entry)
    return entries
