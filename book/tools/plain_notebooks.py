"""Write the chapters as plain notebooks: `make plain`, or `python book/tools/plain_notebooks.py FOLDER`.

The chapters are written in MyST Markdown, of which Colab, GitHub and a Jupyter without MyST show directives and roles
as raw text. Here they become plain Markdown: references to what stands in the same chapter are words, with the numbers
of the built book, and all others are links to it. Code cells and their outputs stay as they are.
A directive or a role that has no rule here is an error.
"""

import posixpath
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml
from pybtex.database import parse_file
from pybtex.richtext import Text
from set_home import ROOT, current_home

FENCE = re.compile(r"(?P<marks>`{3,}|:{3,}|~{3,})(?:\{(?P<name>[^}]+)\})? *(?P<argument>.*)")
CODE_OR_ROLE = re.compile(r"(?:\{([\w:-]+)\})?(?<!`)(`+)(?!`)(.+?)(?<!`)\2(?!`)", re.S)
ATTRIBUTES = re.compile(r"(?<=[)\]`])\{(?:[.#]|\w+=)[^}\n]*\}")
LOCAL_LINK = re.compile(r"(!?\[[^\]]*\])\((?!\w+:)([\w./-]+\.(?:md|ipynb|png|svg|jpg|gif))(#[\w-]*)?\)")
BOXES = {"admonition", "note", "tip", "hint", "important", "warning", "caution", "seealso", "dropdown"}
FIGURE, EQUATION = "Fig.", "Eq."


class Target(NamedTuple):
    """Something with a label: the page it stands on, its anchor there, its kind, number and title."""

    page: str
    anchor: str
    kind: str
    number: str
    title: str = ""


def blocks(text):
    """Split Markdown into (name, argument, options, body); the name of text is "", that of a code block "code"."""
    lines, plain = iter(text.splitlines()), []
    for line in lines:
        fence = FENCE.fullmatch(line)
        if not fence:
            plain.append(line)
            continue
        if plain:
            yield "", "", {}, "\n".join(plain)
            plain = []
        body, end = [], re.compile(rf"{fence['marks'][0]}{{{len(fence['marks'])},}} *")
        for inner in lines:
            if end.fullmatch(inner):
                break
            body.append(inner)
        else:
            raise ValueError(f"a block is not closed: {line}")
        if not fence["name"]:
            yield "code", "", {}, "\n".join([line, *body, fence["marks"]])
            continue
        options = {}
        while body and (option := re.fullmatch(r":([\w-]+): *(.*)", body[0])):
            options[option[1]] = option[2]
            body.pop(0)
        yield fence["name"], fence["argument"].strip(), options, "\n".join(body).strip("\n")
    if plain:
        yield "", "", {}, "\n".join(plain)


def kind_of(name):
    """What a directive's number is called; of a proof, which has none, and of all others, None."""
    kinds = {"math": EQUATION, "figure": FIGURE, "figure-md": FIGURE, "exercise": "Exercise", "prf:proof": None}
    return kinds.get(name, name.removeprefix("prf:").capitalize() if name.startswith("prf:") else None)


def label_of(name, argument, options):
    return argument if name == "figure-md" else options.get("label") or options.get("name")


def quote(title, body):
    return "\n".join(f"> {line}".rstrip() for line in [f"**{title}**", "", *body.strip("\n").splitlines()])


def folded(title, body):
    return f"<details>\n<summary>{title}</summary>\n\n{body.strip()}\n\n</details>"


def display(tex, tag=""):
    """An equation on one line: in a quote, Jupyter would take the marks of further lines for a part of it."""
    tex = re.sub(r"\s+", " ", tex).strip()
    tex = rf"\begin{{aligned}}{tex}\end{{aligned}}" if r"\\" in tex and r"\begin" not in tex else tex
    return f"$${tex}{tag}$$"


class Book:
    """Pages of the book in order, their titles, and the numbers that the built book gives to what has a label."""

    def __init__(self, root=ROOT):
        self.root, contents = root, yaml.safe_load((root / "_toc.yml").read_text())
        owner, name = current_home(root).split("/")[-2:]
        self.address = f"https://{owner}.github.io/{name}"  # GitHub Pages serves the book here
        self.bibliography = parse_file(root / "book" / "references.bib", bib_format="bibtex").entries
        self.name = yaml.safe_load((root / "_config.yml").read_text())["title"]
        self.titles, self.chapters, self.targets = {}, {}, {}
        counts, numbered = Counter(), 0
        self.read(contents["root"], "", counts)
        for part in contents["parts"]:
            for chapter in part["chapters"]:
                numbered += bool(part.get("numbered"))
                self.read(chapter["file"], f"{numbered}." if part.get("numbered") else "", counts)

    def notebook(self, page):
        """The page as a notebook, or None where it is not one."""
        path = self.root / f"{page}.ipynb"
        return nbformat.read(path, as_version=4) if path.exists() else None

    def read(self, page, chapter, counts):
        """Note a page's title and all that has a label; count in the order of the page, in each chapter anew."""

        def note(kind, label, title=""):
            counts[kind, chapter] += 1
            anchor = f"equation-{label}" if kind == EQUATION else label
            self.targets[label] = Target(page, anchor, kind, f"{chapter}{counts[kind, chapter]}", title)

        def walk(text):
            for name, argument, options, body in blocks(text):
                label = label_of(name, argument, options)
                if label and kind_of(name):
                    note(kind_of(name), label, argument)
                if name == "":
                    for label in re.findall(r"\$\$ *\(([\w-]+)\)", body):
                        note(EQUATION, label)
                elif name != "code":
                    walk(body)

        notebook = self.notebook(page)
        cells = notebook.cells if notebook else []
        first = cells[0].source if notebook else (self.root / f"{page}.md").read_text()
        self.titles[page], self.chapters[page] = re.search(r"^# (.*)", first, re.M)[1], chapter
        if not notebook:
            walk(first)
        for cell in cells:
            if cell.cell_type == "markdown":
                walk(cell.source)
            elif figure := cell.metadata.get("mystnb", {}).get("figure"):
                note(FIGURE, figure["name"])

    def link(self, page, anchor=""):
        if page not in self.titles:
            raise ValueError(f"no such page in the book: {page}")
        return f"{self.address}/{page}.html{'#' if anchor else ''}{anchor}"

    def cite(self, key):
        entry = self.bibliography[key]
        names = [" ".join(person.prelast_names + person.last_names) for person in entry.persons["author"]]
        who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        address = self.link("book/bibliography")
        if "eprint" in entry.fields:
            address = f"https://arxiv.org/abs/{entry.fields['eprint']}"
        return f"[{Text.from_latex(who)}, {entry.fields['year']}]({address})"

    def role(self, name, content, page):
        """A role in plain Markdown."""
        text, target = re.fullmatch(r"(?:(.*?)\s*<)?([^<>]*)>?", content, re.S).groups()
        if name == "doc":
            target = posixpath.normpath(posixpath.join("/", posixpath.dirname(page), target)).lstrip("/")
            address = self.link(target)
            return f"[{text or self.titles[target]}]({address})"
        if name == "term":
            return text or target
        if name == "cite":
            return f"({'; '.join(self.cite(key.strip()) for key in target.split(','))})"
        if name not in ("ref", "numref", "eq", "prf:ref"):
            raise ValueError(f"no rule for the role {name!r}")
        found = self.targets[target]
        words = f"({found.number})" if found.kind == EQUATION else f"{found.kind} {found.number}"
        words = text.replace("%s", found.number).replace("{number}", found.number) if text else words
        return words if found.page == page else f"[{words}]({self.link(found.page, found.anchor)})"

    def inline(self, text, page):
        """Roles, labelled equations, attributes and links of some Markdown without directives."""

        def local(link):
            words, path, anchor = link.groups()
            path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
            stem, suffix = posixpath.splitext(path)
            if suffix in (".md", ".ipynb"):
                return f"{words}({self.link(stem, (anchor or '').lstrip('#'))})"
            return f"{words}({self.address}/_images/{posixpath.basename(path)})"

        def code_or_role(found):
            return self.role(found[1], found[3], page) if found[1] else found[0]

        def equation(found):
            return display(found[1], rf" \tag{{{self.targets[found[2]].number}}}" if found[2] else "")

        text = re.sub(r"\$\$(.+?)\$\$(?: *\(([\w-]+)\))?", equation, text, flags=re.S)
        return ATTRIBUTES.sub("", LOCAL_LINK.sub(local, CODE_OR_ROLE.sub(code_or_role, text)))

    def directive(self, name, argument, options, body, page):
        """A directive in plain Markdown."""
        found, title = self.targets.get(label_of(name, argument, options)), self.inline(argument, page)
        if name == "math":
            return display(body, rf" \tag{{{found.number}}}" if found else "")
        if name in ("figure", "figure-md"):
            body = body if name == "figure-md" else f"![{options.get('alt', '')}]({argument})\n\n{body}"
            picture, _, caption = body.partition("\n\n")
            return f"{self.inline(picture, page)}\n\n{self.caption(found, caption, page)}"
        inside = self.plain(body, page)
        if name in BOXES:
            title = title or name.capitalize()
            return folded(title, inside) if "dropdown" in (name, options.get("class")) else quote(title, inside)
        if name == "solution":
            exercise = self.targets[argument]
            return folded(f"Solution to Exercise {exercise.number}: {self.inline(exercise.title, page)}", inside)
        if name == "exercise" or name.startswith("prf:"):
            number = f"{found.kind} {found.number}" if found else name.removeprefix("prf:").capitalize()
            return quote(f"{number}: {title}" if title else number, inside)
        raise ValueError(f"no rule for the directive {name!r}")

    def caption(self, found, text, page):
        return f"**{found.kind} {found.number}.** {self.inline(text, page)}" if found else self.inline(text, page)

    def plain(self, text, page):
        """MyST Markdown of a page as plain Markdown."""
        parts = []
        for name, argument, options, body in blocks(text):
            if name == "code":
                parts.append(body)
            elif name:
                parts.append(self.directive(name, argument, options, body, page))
            elif body.strip():
                parts.append(self.inline(body, page).strip("\n"))
        return "\n\n".join(parts)

    def plain_notebook(self, page):
        """A chapter as a plain notebook: with its number, captions as cells of their own, and solutions folded."""
        notebook, cells = self.notebook(page), []
        about = f"*A page of the book [{self.name}]({self.link(page)}), in Markdown that every Jupyter shows.*"
        for cell in notebook.cells:
            cells.append(cell)
            if cell.cell_type == "markdown":
                cell.source = self.plain(cell.source, page)
                continue
            if "hide-cell" in cell.metadata.get("tags", []):
                cell.metadata |= {"cellView": "form", "jupyter": {"source_hidden": True, "outputs_hidden": True}}
            elif "hide-input" in cell.metadata.get("tags", []):
                cell.metadata |= {"cellView": "form", "jupyter": {"source_hidden": True}}
            if figure := cell.metadata.get("mystnb", {}).get("figure"):
                caption = self.caption(self.targets[figure["name"]], figure["caption"], page)
                cells.append(nbformat.v4.new_markdown_cell(caption, id=f"{cell.id[:50]}-caption"))
        title, _, rest = cells[0].source.partition("\n")
        number = f"{self.chapters[page]} " if self.chapters[page] else ""
        cells[0].source = f"# {number}{title.removeprefix('# ')}\n\n{about}\n{rest}"
        notebook.cells = cells
        return notebook


def write_plain_notebooks(folder, root=ROOT):
    """Write every chapter that is a notebook below a folder, under its own path. Returns the paths."""
    book, paths = Book(root), []
    for page in book.titles:
        if book.notebook(page):
            paths.append(Path(folder) / f"{page}.ipynb")
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            try:
                nbformat.write(book.plain_notebook(page), paths[-1])
            except (KeyError, ValueError) as error:
                raise ValueError(f"{page}: {error}") from error
    return paths


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: plain_notebooks.py FOLDER")
    for path in write_plain_notebooks(sys.argv[1]):
        print("wrote", path)
