"""Say where this repository lives: `make home URL=https://github.com/OWNER/NAME`.

The address stands in _config.yml; this writes the new one there and wherever the old one is repeated.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def current_home(root=ROOT):
    return re.search(r"^\s*url:\s*(\S+)", (root / "_config.yml").read_text(), re.M).group(1)


def set_home(url, root=ROOT):
    """Replace the address in every file that holds it. Returns the files that changed."""
    if not re.fullmatch(r"(https|file)://\S+", url):
        raise SystemExit(
            f"URL is {url!r}: give the repository's address, as in make home URL=https://github.com/OWNER/NAME"
        )
    old, new = current_home(root), url.removesuffix("/").removesuffix(".git")
    files = [root / name for name in ("_config.yml", "README.md", "CITATION.cff")]
    changed = []
    for path in files + sorted((root / "notebooks").rglob("*.ipynb")):
        text = path.read_text()
        if old in text:
            path.write_text(text.replace(old, new))
            changed.append(path)
    return changed


if __name__ == "__main__":
    for path in set_home(sys.argv[1] if len(sys.argv) > 1 else ""):
        print("updated", path.relative_to(ROOT))
