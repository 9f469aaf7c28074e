"""Tag a version: `make release VERSION=0.1.0`.

The setup cell of every notebook installs a tag of this repository, which must exist and hold what it promises. So a
version is tagged only when every place that names one names this one.
"""

import re
import subprocess
import sys

from set_home import ROOT

PLACES = {
    "helpers/__init__.py": r'^__version__ = "(.+)"',  # pyproject.toml reads it there
    "CITATION.cff": r"^version: (\S+)",
    "book/changelog.md": r"^## v?(\d\S*)",  # the newest version stands first
}


def versions(root=ROOT):
    """{place: the versions that it names}, of all that must agree."""
    found = {place: re.findall(pattern, (root / place).read_text(), re.M)[:1] for place, pattern in PLACES.items()}
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            setup = re.search(r"%pip install.*?@v([\d.]+)", path.read_text())
            found[path.relative_to(root).as_posix()] = [setup[1]] if setup else []
    return found


def disagreements(version, found):
    """What names another version, or none, in words."""
    wrong = {place: named for place, named in found.items() if named != [version]}
    return [f"{place} names {named[0] if named else 'no version'}, not {version}" for place, named in wrong.items()]


def main(version):
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        sys.exit(f"VERSION is {version!r}: give three numbers, as in make release VERSION=0.1.0")
    if wrong := disagreements(version, versions()):
        sys.exit("\n".join(wrong))
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True).stdout:
        sys.exit("the working tree has changes: commit them first")
    if subprocess.run([*git, "tag", "--annotate", f"v{version}", "--message", f"Version {version}"]).returncode:
        sys.exit(1)
    print(f"tagged v{version}; publish it with: git push origin v{version}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
