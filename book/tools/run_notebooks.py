"""Run notebooks in place and keep their outputs: `make notebooks`, or `make notebooks ONLY=notebooks/01-*.ipynb`."""

import base64
import csv
import io
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGES = ROOT / "book" / "images"
#: figures of notebooks that prose pages and the README show, by name; each is kept as IMAGES / NAME.png
PICTURES = {"first-edit", "five-models", "shared-pictures"}
SHARP = 100_000  # bytes that a figure may have at double resolution, in 256 colours
LARGE = 225_000  # bytes from which a figure at the resolution shown gets 256 colours, too
TIMES = ROOT / "book" / "execution-times.csv"


def encoded(picture, colours=None):
    """The picture as a PNG (bytes) without an alpha channel, with a palette of so many colours if a number is given."""
    picture, small = picture.convert("RGB"), io.BytesIO()
    if colours is not None:
        picture = picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    picture.save(small, "PNG", optimize=True)
    return small.getvalue()


def shrink(png, width=None):
    """(PNG, width to show it at) of a figure: at double resolution where that is small, or no larger than without.

    png: base64; width: in pixels of the page, where the figure was drawn at double resolution. Width is None for a
    figure to be shown as large as it is. Large ones get a palette of 256 colours.
    """
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    sharp = None
    if width is not None and picture.width > width:
        sharp = encoded(picture, 256)
        sharp = encoded(picture, 192) if len(sharp) > SHARP else sharp
        picture = picture.convert("RGB").resize((width, round(picture.height * width / picture.width)), Image.LANCZOS)
    small = encoded(picture)
    small = encoded(picture, 256) if len(small) >= LARGE else small
    if sharp is not None and len(sharp) <= max(SHARP, len(small)):  # large squares of one colour take little room
        return base64.b64encode(sharp).decode(), width
    return base64.b64encode(small).decode(), None


def shrink_pictures(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                width = output.metadata.pop("image/png", {}).get("width")
                output.data["image/png"], width = shrink(output.data["image/png"], width)
                if width is not None:
                    output.metadata["image/png"] = {"width": width}


def record_time(path, notebook, seconds):
    """Keep how long a chapter ran, and with which versions, for the page on execution times."""
    if path.parent != ROOT / "notebooks":
        return
    with TIMES.open(newline="") as file:
        header, *rows = csv.reader(file)
    said = "".join(output.get("text", "") for cell in notebook.cells[:3] for output in cell.get("outputs", []))
    versions = next((line for line in said.splitlines() if line.startswith("Running with ")), "").split(" with ", 1)[-1]
    kept = {row[0]: row for row in rows}
    name = f"{{doc}}`../notebooks/{path.stem}`"
    kept[name] = [name, f"{seconds:.0f}", versions]
    beside = TIMES.with_suffix(".part")
    with beside.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *(kept[name] for name in sorted(kept))])
    beside.replace(TIMES)  # another run may read it meanwhile


def run(path):
    """Execute one notebook; its file changes only when every cell has run."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}}, record_timing=False
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    shrink_pictures(notebook)
    if not any(WIDGET in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])):
        notebook.metadata.pop("widgets", None)  # of widgets that no reader sees
    nbformat.write(notebook, path)
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        if name in PICTURES:
            png = next(output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {}))
            IMAGES.mkdir(exist_ok=True)
            (IMAGES / f"{name}.png").write_bytes(base64.b64decode(png))
    return notebook


def main():
    paths = [Path(argument).resolve() for argument in sys.argv[1:]] or sorted((ROOT / "notebooks").rglob("*.ipynb"))
    paths = [path for path in paths if ".ipynb_checkpoints" not in path.parts]
    for number, path in enumerate(paths, 1):
        start = time.time()
        print(f"[{number}/{len(paths)}] {path.relative_to(ROOT)} ...", end=" ", flush=True)
        notebook = run(path)
        record_time(path, notebook, time.time() - start)
        print(f"{time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
