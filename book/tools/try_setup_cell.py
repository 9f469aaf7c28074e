"""Try the setup cell where a reader pastes it: in a runtime like Colab's, which has torch, numpy and ipywidgets 7.

A virtual environment with those packages and a fresh folder are made; the address in the setup cell is replaced by this
checkout. A chapter and the checks of the explorer and the panel must then run, and torch, numpy and ipywidgets must
be what they were.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import nbformat
from set_home import ROOT, current_home

NAMES = ["02-where-attention-sits", "a2-thirty-two-faces", "checks/explorer", "checks/studio"]
NOTEBOOKS = [ROOT / "notebooks" / f"{name}.ipynb" for name in NAMES]
PREINSTALLED = ["torch", "numpy<2.4", "ipywidgets==7.7.1", "ipykernel", "matplotlib", "pillow", "tqdm", "nbclient"]
KEPT = ["torch", "numpy", "ipywidgets"]
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
"""


def versions(python):
    listing = subprocess.run([python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True)
    return {package["name"]: package["version"] for package in json.loads(listing.stdout)}


def main():
    torch_pin = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    packages = [torch_pin if package == "torch" else package for package in PREINSTALLED]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        print("making a runtime with", ", ".join(packages), "...", flush=True)
        venv.create(folder / "runtime", with_pip=True)
        python = folder / "runtime" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        before = versions(python)
        without_browser = {name: value for name, value in os.environ.items() if name != "REQUIRE_BROWSER"}
        (folder / "fresh").mkdir()
        for path in NOTEBOOKS:
            notebook = nbformat.read(path, as_version=4)
            setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
            address = f"git+{current_home()}@v"
            start = setup.source.index(address)
            setup.source = setup.source[:start] + f"git+file://{ROOT}" + setup.source[setup.source.index('"', start) :]
            nbformat.write(notebook, folder / "fresh" / path.name)
            print("running", path.name, "there ...", flush=True)
            subprocess.run([python, "-c", RUN, path.name], check=True, cwd=folder / "fresh", env=without_browser)
        after = versions(python)
    added = sorted(set(after) - set(before))
    changed = [name for name in before if after.get(name) != before[name]]
    print("added:", ", ".join(added))
    if changed:
        sys.exit(f"the setup cell changed {', '.join(changed)}: what a runtime has must stay as it is")
    print("unchanged:", ", ".join(f"{name} {after[name]}" for name in KEPT))


if __name__ == "__main__":
    main()
