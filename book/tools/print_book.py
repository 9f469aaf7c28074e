"""Write the built book as one file, to read offline and to print: `make print`, or `python book/tools/print_book.py`.

The pages of SITE, in the order of the table of contents, become SITE / .. / print / book.html, with every picture,
style and font inside; where Chromium is installed it prints them as book.pdf beside it. Sphinx's own builder for a
single page is of no use here: sphinx-exercise hides all other extensions from it, and sections of one name in two
chapters collide.
"""

import base64
import html
import mimetypes
import posixpath
import re
import shutil
import sys
from pathlib import Path

import yaml
from bs4 import BeautifulSoup
from release import versions
from set_home import ROOT, current_home

STYLE = Path(__file__).with_name("print.css")
NOT_ON_PAPER = ".headerlink, .live, script, style, summary"
SLIDER = (
    "In the web pages a slider runs through these pictures, and a menu has further directions. Shown here is the first "
    "direction: a row for each picture, and columns from the lowest strength to the highest."
)
PAPER = {"preferCSSPageSize": True, "printBackground": True, "generateDocumentOutline": True, "generateTaggedPDF": True}
LONGEST = 300  # of typesetting, in s
# what is wider than the paper is made smaller, once formulas are set
FIT = """addEventListener("load", () => MathJax.startup.promise.then(() => document.fonts.ready).then(() => {
  const beyond = (element, box) => element.getBoundingClientRect().right - box.getBoundingClientRect().right;
  for (const table of document.querySelectorAll("table")) {
    const more = beyond(table, table.closest("section"));
    if (more > 1) table.style.zoom = 1 - more / table.offsetWidth;
  }
  for (const formula of document.querySelectorAll("div.math > mjx-container")) {
    const room = formula.clientWidth, needed = formula.scrollWidth;
    if (needed > room + 1) formula.firstElementChild.style.zoom = room / needed;
  }
  document.documentElement.dataset.ready = "yes";
}));"""


def data_address(path):
    """A file as an address that holds its content."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def contents(root=ROOT):
    """The parts of the book in order, as (caption, its pages)."""
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    return [("", [toc["root"]])] + [
        (part["caption"], [page["file"] for page in part["chapters"]]) for part in toc["parts"]
    ]


def anchor(page, name=""):
    """What an anchor of a page is called in the whole book."""
    return "-".join(filter(None, (page.replace("/", "-"), name)))


def chapter(site, page, pages):
    """A built page as a part of the whole: its own anchors, links within the file, pictures inside."""
    file = site / f"{page}.html"
    article = BeautifulSoup(file.read_text(), "html.parser").select_one("article.bd-article")
    for element in article.select(NOT_ON_PAPER):
        element.decompose()
    for still in article.select(".edit-explorer .fallback"):
        still.insert_after(BeautifulSoup(f"<p class='slider'>{SLIDER}</p>", "html.parser"))
    for folded in article.find_all("details"):
        folded.name = "div"
    for element in article.find_all(id=True):
        element["id"] = anchor(page, element["id"])
    for link in article.select("a.enlarge, a.image-reference"):
        link.unwrap()
    for link in article.find_all("a", href=True):
        path, _, name = link["href"].partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else f"{page}.html"
        if target.removesuffix(".html") in pages:
            link["href"] = "#" + anchor(target.removesuffix(".html"), name)
    for picture in article.find_all("img", src=True):
        if not picture["src"].startswith("data:"):
            picture["src"] = data_address(file.parent / picture["src"])
    article["id"] = anchor(page)
    return article


def styles(site, page):
    """The styles of a built page, with their fonts and pictures inside, and those for paper."""
    soup, folder = BeautifulSoup((site / f"{page}.html").read_text(), "html.parser"), site / posixpath.dirname(page)
    paths = [folder / link["href"].partition("?")[0] for link in soup.select("head link[rel=stylesheet]")]
    return "\n".join([*map(style, paths), STYLE.read_text()])


def style(path):
    """One style with its fonts and pictures inside; of a font that comes in two formats the smaller one."""
    text = re.sub(r',url\([^)]*\.ttf\) format\("truetype"\)', "", path.read_text())
    file = r"url\((?![\"']?data:|#)([^)]+)\)"
    return re.sub(file, lambda found: f"url({data_address(path.parent / found[1])})", text)


def formulas(site):
    """MathJax as a script that needs no other file."""
    folder = site / "_static" / "mathjax"
    fonts = folder / "output" / "chtml" / "fonts" / "woff-v2"
    script = re.sub(
        r"%%URL%%/([\w-]+\.woff)", lambda found: data_address(fonts / found[1]), (folder / "tex-chtml.js").read_text()
    )
    return script.replace("</script", r"<\/script")


def whole(site, root=ROOT):
    """The whole book as one page in HTML."""
    settings = yaml.safe_load((root / "_config.yml").read_text())
    title, home = settings["title"], current_home(root)
    parts = contents(root)
    pages = [page for _, part in parts for page in part]
    chapters = {page: chapter(site, page, pages) for page in pages}
    links = {link["href"][1:] for part in chapters.values() for link in part.find_all("a", href=re.compile("^#"))}
    lost = links - {element["id"] for part in chapters.values() for element in [part, *part.find_all(id=True)]}
    assert not lost, f"links lead nowhere: {sorted(lost)}"
    lines = []
    for caption, part in parts:
        entries = [f'<li><a href="#{anchor(page)}">{chapters[page].h1.decode_contents()}</a></li>' for page in part]
        lines += [f"<p>{caption}</p>" if caption else "", f"<ul>{''.join(entries)}</ul>"]
    name, _, subtitle = title.partition(": ")
    version = versions(root)["helpers/__init__.py"][0]
    logo = data_address(root / settings["logo"])
    cover = (
        f'<img src="{logo}" alt=""><p class="title">{name}</p><p class="subtitle">{subtitle}</p>'
        f"<p>{settings['author']}</p><p>Version {version}</p>"
        "<p>The web pages, with sliders, and every chapter as a notebook:<br>"
        f'<a href="{home}">{home.removeprefix("https://")}</a></p>'
    )
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{styles(site, pages[1])}</style>
<script>window.MathJax = {{options: {{enableMenu: false, processHtmlClass: "math"}}}};</script>
<script>{formulas(site)}</script>
<script>{FIT}</script>
</head>
<body>
<section class="cover">{cover}</section>
<nav class="parts"><h2>Contents</h2>{"".join(lines)}</nav>
<main class="bd-content">{"".join(map(str, chapters.values()))}</main>
</body>
</html>
"""


def print_pdf(page, pdf):
    """Print a page by Chromium, once its formulas are set."""
    from capture_studio import open_browser
    from selenium.webdriver.support.ui import WebDriverWait

    with open_browser() as browser:
        browser.set_page_load_timeout(LONGEST)
        browser.get(page.as_uri())
        WebDriverWait(browser, LONGEST).until(
            lambda b: b.execute_script("return document.documentElement.dataset.ready")
        )
        faults = browser.execute_script("return document.querySelectorAll('mjx-merror').length")
        assert not faults, f"{faults} formulas cannot be set"
        pdf.write_bytes(base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", PAPER)["data"]))


def main(site=ROOT / "_build" / "html"):
    folder = Path(site).resolve().parent / "print"
    folder.mkdir(exist_ok=True)
    page, pdf = folder / "book.html", folder / "book.pdf"
    page.write_text(whole(Path(site).resolve()))
    print(f"wrote {page}: {page.stat().st_size / 1e6:.0f} MB")
    if shutil.which("chromium") and shutil.which("chromedriver"):
        print_pdf(page, pdf)
        print(f"wrote {pdf}: {pdf.stat().st_size / 1e6:.0f} MB")
    else:
        print("no chromium and chromedriver here: open the page in a browser and print it")


if __name__ == "__main__":
    main(*sys.argv[1:])
