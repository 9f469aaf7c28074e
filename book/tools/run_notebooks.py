"""Run notebooks in place and keep their outputs: `make notebooks`, or `make notebooks ONLY=notebooks/01-*.ipynb`."""

import base64
import io
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[2]
WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGES = ROOT / "book" / "images"
#: figures of notebooks that prose pages and the README show, by name; each is kept as IMAGES / NAME.png
PICTURES = {"first-edit", "five-models"}


def shrink(png):
    """The PNG (base64) without its alpha channel, which is opaque; a large one with a palette of 256 colours."""
    picture, small = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    picture = picture.convert("RGB") if picture.mode == "RGBA" else picture
    if len(png) >= 300_000:
        picture = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    picture.save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def shrink_pictures(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = shrink(output.data["image/png"])


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


def main():
    paths = [Path(argument).resolve() for argument in sys.argv[1:]] or sorted((ROOT / "notebooks").rglob("*.ipynb"))
    paths = [path for path in paths if ".ipynb_checkpoints" not in path.parts]
    for number, path in enumerate(paths, 1):
        start = time.time()
        print(f"[{number}/{len(paths)}] {path.relative_to(ROOT)} ...", end=" ", flush=True)
        run(path)
        print(f"{time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
