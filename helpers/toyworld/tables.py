"""Long measurements of an embedded model, kept as small tables: measured once, read from then on, and never believed.

Whenever a table is read, one item in ten, drawn anew, is measured again and compared. A table that is missing, or lacks
items, is measured; an interrupted measurement goes on where it stopped.
"""

import csv
import json
import math
import random
from pathlib import Path

import torch
from tqdm.auto import tqdm

from helpers.models import EMBEDDED_FOLDER

RESULTS = Path(__file__).parent / "results"
AGAIN = 0.1  # share of the items that is measured again at every reading
TOLERANCE = 0.02  # of the largest number of a column: what another machine's rounding may do


def kept(name, model, columns, items, measure):
    """{item: (rows, columns)}: what `measure` finds for every item, from the table `name` where it is kept.

    model: an embedded `DiffusionModel`; the table holds for its weights only. columns: names of the numbers. items:
    strings. measure(item): a tensor (rows, columns), the same number of rows for every item.
    Raises ValueError for a table of other weights or columns, or one whose numbers are not what is measured.
    """
    path = RESULTS / f"{name}.csv"
    weights = checksum(model.name)
    found = _read(path, weights, columns)
    _check(path, columns, found, [item for item in items if item in found], measure)
    missing = [item for item in items if item not in found]
    for item in tqdm(missing, desc=f"measuring {name}", disable=not missing):
        found[item] = measure(item)
        _add(path, weights, columns, item, found[item])
    return {item: found[item] for item in items}


def checksum(name):
    """The first characters of the checksum of an embedded model's weights."""
    return json.loads((EMBEDDED_FOLDER / name / "training.json").read_text())["sha256"][:12]


def _read(path, weights, columns):
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    if header != ["weights", "item", *columns] or any(line[0] != weights for line in lines):
        raise ValueError(f"{path} is of other weights, or holds other columns: delete it to measure it again.")
    found = {}
    for _, item, *numbers in lines:
        found.setdefault(item, []).append([float(number) for number in numbers])
    return {item: torch.tensor(rows) for item, rows in found.items()}


def _check(path, columns, found, known, measure):
    """Measure some items again, and compare."""
    if not known:
        return
    scale = torch.cat([found[item] for item in known]).abs().amax(0)
    for item in random.SystemRandom().sample(known, math.ceil(AGAIN * len(known))):
        now, then = measure(item), found[item]
        if now.shape != then.shape:
            raise ValueError(f"{path} has {len(then)} rows of {item!r}, now there are {len(now)}: delete the table.")
        same = ((now - then).abs() <= TOLERANCE * scale + 1e-6).all(0)  # no number equals nan
        if not same.all():
            column = columns[int((~same).nonzero()[0])]
            raise ValueError(f"{path}: {column} of {item!r} is not what is measured now: delete the table.")


def _add(path, weights, columns, item, rows):
    path.parent.mkdir(exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not file.tell():
            writer.writerow(["weights", "item", *columns])
        writer.writerows([weights, item, *(f"{number:.6g}" for number in row)] for row in rows.tolist())
