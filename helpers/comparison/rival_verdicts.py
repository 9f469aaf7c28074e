"""What the numbers of a comparison with other methods say, and the files in which they are kept.

The rules are those of the page "The protocol of the comparison with other methods".
"""

import statistics

import torch
from torch.nn.functional import cosine_similarity

from helpers.comparison.plan import CHANGES
from helpers.comparison.records import CASE, FOLDER, READ_OFF, Records
from helpers.comparison.verdicts import drawn_again, halves, interval, selectivity

MEASURES = ("rms", "ssim", "identity", "area", "tint_share")  # of each picture
#: with an interval; more is better in all of them
JUDGED = ("selectivity", "score", "largest_share", "ssim", "identity")
COLUMNS = (*CASE, "direction", "sign", "alpha", "reached", "rms", "psnr", *MEASURES[1:], *READ_OFF, *JUDGED[1:3])


class RivalRecords(Records):
    """The records of one world: NAME-rivals.csv, .safetensors and .json, used as `Records`.

    vectors holds what methods found, of those of which it is small, and "measures" (rows, latents, `MEASURES`).
    """

    columns, command = COLUMNS, "python -m helpers.comparison.rivals"

    def __init__(self, name, folder=FOLDER, plan=None, factors=(), tint=()):
        super().__init__(name, folder, plan, factors, tint)
        nothing = torch.zeros(0, self.changes.shape[1], len(MEASURES))
        self.vectors["measures"] = self.vectors.get("measures", nothing)[: self.facts["rows"]]

    def path(self, ending):
        """The file of that ending."""
        return self.folder / f"{self.name}-rivals.{ending}"

    def add(self, rows, changes, measures, **facts):
        """As `Records.add`, with the measures (rows, latents, `MEASURES`) of each picture."""
        self.vectors["measures"] = torch.cat([self.vectors["measures"], measures.float()])
        super().add(rows, changes, **facts)

    def also(self, place):
        """The columns of a row that `Records` lacks; they follow from what is kept of each picture."""
        rms, similarity, identity = self.vectors["measures"][place, :, :3].T
        psnr = -20 * rms.clamp(min=1e-6).log10().mean()
        factors = self.of_factors([place])
        score, share = (judge(factors, None)[0, 0] for judge in (directional_score, largest_share))
        found = dict(ssim=similarity.mean(), identity=identity.mean(), psnr=psnr, score=score, largest_share=share)
        return {name: float(f"{value.item():.4g}") for name, value in found.items()}

    def _write_rows(self, path):
        for place, row in enumerate(self.rows):
            row |= self.also(place)
        super()._write_rows(path)


def directional_score(changes, weights=None):
    """How alike different pictures are changed: (draws, rows), at most 1, about 0 where they have nothing in common.

    changes: (rows, latents, factors), or of any embedding; weights: how often each latent is drawn, (draws, latents),
    None for once. Mean over the latents at odd places of the cosine between a change and the mean of those at even
    ones.

    >>> same = torch.tensor([[[1.0, 2.0]] * 4]); turned = same * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
    >>> [round(directional_score(some).item(), 3) for some in (same, turned)]
    [1.0, -1.0]
    """
    weights = torch.ones(1, changes.shape[1]) if weights is None else weights
    (choosing, judging), (first, second) = halves(changes), (weights[:, 0::2], weights[:, 1::2])
    means = torch.einsum("bl,rlf->brf", first / first.sum(1, keepdim=True), choosing)
    alike = cosine_similarity(judging.unsqueeze(0), means.unsqueeze(2), dim=-1)
    return torch.einsum("bl,brl->br", second / second.sum(1, keepdim=True), alike)


def largest_share(changes, weights=None):
    """Share of a picture's squared change that its own largest factor holds, mean over pictures: (draws, rows).

    It asks for no sign and no agreement between pictures. Arguments: as for `directional_score`.

    >>> largest_share(torch.tensor([[[0.0, -3.0], [1.0, 1.0]]])).item()
    0.75
    """
    weights = torch.ones(1, changes.shape[1]) if weights is None else weights
    squares = changes.square()
    shares = squares.amax(-1) / squares.sum(-1).clamp(min=1e-12)
    return weights / weights.sum(1, keepdim=True) @ shares.T


def medians(records, places, what, draws=1000, seed=0):
    """Medians over rows of one of `JUDGED`, with directions and latents drawn again: (1 + draws,), first as it is.

    Latents are drawn alike in every call, those that choose and those that judge apart, so that differences of two
    calls are paired over them; directions are drawn by the seed. Not a number where there are no rows.
    """
    if not places:
        return torch.full((1 + draws,), torch.nan)
    changes, generator = records.of_factors(places), torch.Generator().manual_seed(0)
    weights = torch.ones(1 + draws, changes.shape[1])
    for start in (0, 1):
        weights[:, start::2] = drawn_again(weights[0, start::2].numel(), draws, generator)
    if what == "selectivity":
        parts = zip(halves(changes), (weights[:, 0::2], weights[:, 1::2]))
        means = [torch.einsum("bl,rlf->brf", w / w.sum(1, keepdim=True), half) for half, w in parts]
        values = selectivity(*means)[1]
    elif what in MEASURES:
        of_pictures = records.vectors["measures"][places][..., MEASURES.index(what)]
        values = weights / weights.sum(1, keepdim=True) @ of_pictures.T
    else:
        values = {"score": directional_score, "largest_share": largest_share}[what](changes, weights)
    taken = torch.randint(len(places), (draws, len(places)), generator=torch.Generator().manual_seed(1 + seed))
    taken = torch.cat([torch.arange(len(places))[None], taken])
    return values.gather(1, taken).quantile(0.5, dim=1)


def difference(records, method, other, what, wanted=CHANGES[0], first=None):
    """(value, low, high): median of a method minus that of another, of the rows that met the change.

    first: how many directions of each, None for all.
    """
    drawn = []
    for seed, name in enumerate((method, other)):
        places = records.select(method=name, wanted=wanted)
        places = [i for i in places if first is None or int(records.rows[i]["direction"]) <= first]
        drawn.append(medians(records, places, what, seed=seed))
    return interval(drawn[0] - drawn[1])


def hits(records, method):
    """(hit, tried): directions that were made for one factor and have it as their target; see the fact "targets"."""
    rows = [records.rows[i] for i in records.select(method=method, wanted=CHANGES[0], reached=None)]
    wanted = records.facts["targets"]
    return sum(row["reached"] == 1 and row["target"] == wanted[int(row["direction"]) - 1] for row in rows), len(rows)


def order_of_table_2(records, ours, others=("Asyrp", "Pullback", "LOCO", "NoiseCLR")):
    """{measure: methods that `ours` exceeds, with an interval above 0}: the paper's Table 2, at equal change."""
    measures = ("ssim", "identity", "score")
    return {what: [name for name in others if difference(records, ours, name, what)[1] > 0] for what in measures}


def verdicts(records, wanted=CHANGES[0]):
    """The table at one wanted change: a dict per method.

    directions, reached: how many, and of how many the change was met; of `JUDGED` the median, with "low" and "high",
    and "beats": whether its difference to random directions has an interval above 0; medians of the other columns; and
    what the method costs. Of rows that met the change.
    """
    entries = []
    for method in dict.fromkeys(row["method"] for row in records.rows if row["wanted"] == wanted):
        places = records.select(method=method, wanted=wanted)
        entry = {"method": method, "directions": len(records.select(method=method, wanted=wanted, reached=None))}
        entry |= {"reached": len(places), **records.facts["costs"].get(method, {})}
        for what in JUDGED if places else ():
            value, low, high = interval(medians(records, places, what))
            beats = None if method == "random" else difference(records, method, "random", what, wanted)[1] > 0
            entry |= {what: value, f"{what} low": low, f"{what} high": high, f"{what} beats": beats}
        for column in ("alpha", "rms", "psnr", "area", "tint_share", "same_sign", "tint") if places else ():
            entry[column] = statistics.median(records.rows[i][column] for i in places)
        entries.append(entry)
    return entries
