"""What a comparison of directions found on one model, kept as files: a table, the changes behind it, the facts."""

import csv
import hashlib
import json
import os
import platform
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import diffusers
import torch
from safetensors.torch import load_file, save_file

from helpers.comparison.plan import Plan, parts
from helpers.comparison.verdicts import selectivity_of
from helpers.models import EMBEDDED_FOLDER
from helpers.toyworld import WORLDS

FOLDER = Path(__file__).parent / "results"
TEXT = ("layer", "method", "injection", "direction", "target")
CASE = ("layer", "method", "injection", "wanted", "steps")
READ_OFF = ("target", "selectivity", "same_sign", "tint")
COLUMNS = (*CASE, "direction", "sign", "alpha", "rms", "reached", "area", "tint_share", *READ_OFF, "likeness")
THOUSANDTHS = 1000


class Records:
    """The records of one model: NAME.csv, NAME.safetensors and NAME.json in a folder.

    rows: dicts, one per direction, sign, wanted change and number of steps (`COLUMNS`); changes: (rows, latents,
    readings), what each edit did to each picture, in standard deviations, kept to the thousandth: of the factors, and
    then of the tint; vectors: {"encoder agree": (count, d)}, directions that were measured; facts: of the run.
    plan: of a run that starts or goes on, a dict; None to read only. factors, tint: names of the readings. weights:
    `checksum` of a model that is not embedded; None to read records of any.
    Raises ValueError where there is nothing to read, or where what is there has another plan, weights or readings.
    """

    columns, command = COLUMNS, "python -m helpers.comparison"

    def __init__(self, name, folder=FOLDER, plan=None, factors=(), tint=(), weights=None):
        self.name, self.folder, self.rows, self.vectors = name, Path(folder), [], {}
        card = EMBEDDED_FOLDER / name / "training.json"
        weights = json.loads(card.read_text())["sha256"] if card.exists() else weights
        self.facts = {"sha256": weights, "plan": plan, "factors": list(factors), "tint": list(tint)}
        self.facts |= {"rows": 0, "passes": 0, "seconds": 0}
        self.changes = torch.zeros(0, plan["latents"] if plan else 0, len(factors) + len(tint))
        if not self.path("json").exists():
            if plan is None:
                raise ValueError(f"{self.path('json')} is missing: run {self.command} {name}.")
            return
        facts = json.loads(self.path("json").read_text())
        same = all(facts[key] == self.facts[key] for key in ("plan", "factors", "tint"))
        if weights not in (None, facts["sha256"]) or not (plan is None or same):
            raise ValueError(f"{self.path('json')} has another plan, weights or readings: delete {self.path('*')}.")
        self.facts = facts
        with self.path("csv").open(newline="") as file:
            lines = list(csv.DictReader(file))[: facts["rows"]]  # what follows is of a part that was cut off
        self.rows = [{k: v if k in TEXT else float(v) for k, v in line.items()} for line in lines]
        self.vectors = load_file(self.path("safetensors"))
        self.changes = self.vectors.pop("changes")[: facts["rows"]].float() / THOUSANDTHS

    def path(self, ending):
        """The file of that ending."""
        return self.folder / f"{self.name.replace('/', '-')}.{ending}"

    @contextmanager
    def locked(self):
        """No other process may add to these records inside this context. Raises ValueError where one does."""
        import fcntl  # not on Windows, where records can be read

        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path("lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"another process measures {self.name}: wait for it, or end it.") from None
            try:
                yield
            finally:
                self.path("lock").unlink()

    def select(self, **wanted):
        """Places of the rows with these values, of those that met the wanted change; with reached=None of all."""
        wanted = {k: v for k, v in {"reached": 1.0, **wanted}.items() if v is not None}
        return [i for i, row in enumerate(self.rows) if all(row[key] == value for key, value in wanted.items())]

    @cached_property
    def parts(self):
        """All parts of the plan, what matters most first."""
        return parts(Plan(**self.facts["plan"]), len(self.facts["factors"]), self.name in WORLDS, self.facts["sha256"])

    def missing(self):
        """The parts of the plan that are not measured yet."""
        return [part for part in self.parts if not self.select(reached=None, **part.case)]

    def of_factors(self, places):
        """Changes of the factors alone in some rows: (rows, latents, factors)."""
        return self.changes[places][..., : len(self.facts["factors"])]

    def read_off(self, changes):
        """The columns `READ_OFF` of a row, which follow from its changes (latents, readings).

        tint: root mean square of the mean changes of the colours, nan where none are read.
        """
        factors = self.facts["factors"]
        target, value, same = selectivity_of(changes[:, : len(factors)])
        tint = changes[:, len(factors) :].mean(0).square().mean().sqrt().item()
        return dict(zip(READ_OFF, (factors[target], value, same, tint), strict=True))

    def add(self, rows, changes, **facts):
        """Keep the rows of a part, with their changes (rows, latents, readings), and facts of the run: all or nothing.

        Target, selectivity, sign agreement and tint are computed here, from the changes as they are kept.
        """
        changes = (changes * THOUSANDTHS).round().clamp(-32767, 32767) / THOUSANDTHS
        for row, change in zip(rows, changes, strict=True):
            row = {**row, **self.read_off(change)}
            self.rows.append({k: row[k] if k in TEXT else rounded(row[k]) for k in COLUMNS})
        self.changes = torch.cat([self.changes, changes])
        self.facts = {**self.facts, **facts, "rows": len(self.rows), "versions": versions()}
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {name: vectors.contiguous() for name, vectors in self.vectors.items()}
        kept["changes"] = (self.changes * THOUSANDTHS).round().short()
        self._replace("safetensors", lambda path: save_file(kept, path))
        self._replace("csv", self._write_rows)
        self._replace("json", lambda path: path.write_text(json.dumps(self.facts, indent=1) + "\n"))

    def _write_rows(self, path):
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows([row[k] if k in TEXT else f"{row[k]:.4g}" for k in self.columns] for row in self.rows)

    def _replace(self, ending, write):
        """A file is whole or as it was, whenever the run ends."""
        path = self.path(ending)
        beside = path.with_name(f".{path.name}")
        write(beside)
        os.replace(beside, path)


def checksum(model):
    """sha256 of the weights of a `DiffusionModel`'s network, whatever file they came from."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.unet.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def rounded(number):
    """A number as it is kept: to four significant digits.

    >>> rounded(12.3456)
    12.35
    """
    return float(f"{number:.4g}")


def versions():
    """Of what computes."""
    return {"python": platform.python_version(), "torch": torch.__version__, "diffusers": diffusers.__version__}
