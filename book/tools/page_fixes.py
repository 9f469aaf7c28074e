"""Sphinx extension: mends what the theme leaves wrong, and adds to every page what no theme knows about this book."""

import html
import re
import textwrap

from bs4 import BeautifulSoup
from docutils import nodes

NAME = "Eigenvectors of Attention"
DESCRIPTION = (
    "An executable book about editing diffusion models without training, "
    "along the eigenvectors of a matrix made of attention projections."
)
ROLES = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "th": "columnheader", "td": "cell"}
IMAGE = r'(<img [^>]*src="([^"]*_images/[^"]+)"[^>]*>)'
SCALED = rf'<a class="reference internal image-reference"[^>]*>\s*{IMAGE}\s*</a>'  # Sphinx makes it a link already
PICTURE = rf"{SCALED}|{IMAGE}"
VERDICTS = ("holds", "holds partly", "fails", "not tested yet", "cannot be tested here")


def choose_theme_options(app, config):
    """Leave the top bar out (its menu button shadows the one that works), and keep the title beside the logo."""
    config.html_theme_options["navbar_persistent"] = []
    config.html_theme_options["logo"] = {"text": NAME}


def mend_page(app, pagename, templatename, context, doctree):
    """Mend scripts, title and colour mode, describe the page, and mend tables and pictures of its body."""
    unique = {(script.filename or "", script.attributes.get("body")): script for script in context["script_files"]}
    context["script_files"] = [script for key, script in unique.items() if "thebe" not in str(key).lower()]
    context["default_mode"] = "auto"
    if pagename == app.config.root_doc:
        context["title"], context["docstitle"] = app.config.html_title, ""
    else:
        context["docstitle"] = NAME
    context["body"] = re.sub(r"<table.*?</table>", mend_table, context.get("body", ""), flags=re.S)
    context["body"] = re.sub(PICTURE, link_picture, context["body"])
    context["body"] = re.sub(r"<li><p><strong>([\w ]+)</strong>", badge_in_list, context["body"])
    context["metatags"] = context.get("metatags", "") + meta_tags(context, doctree)


def describe(doctree):
    """The page's first paragraph of prose without a formula, at most 200 characters of it; None if there is none."""
    for paragraph in doctree.findall(nodes.paragraph) if doctree else ():
        if isinstance(paragraph.parent, nodes.section) and not list(paragraph.findall(nodes.math)):
            return textwrap.shorten(paragraph.astext(), 200, placeholder=" …")


def meta_tags(context, doctree):
    """Description and Open Graph tags; those that need an address stand there only if `html_baseurl` gives one."""
    title = BeautifulSoup(context.get("title") or NAME, "html.parser").get_text()
    description = describe(doctree) or f"{title}. {DESCRIPTION}"
    tags = {"og:title": title, "og:type": "article", "og:site_name": NAME, "og:description": description}
    if context.get("pageurl"):
        tags["og:url"] = context["pageurl"]
    quoted = {name: html.escape(content) for name, content in tags.items()}
    lines = [f'<meta property="{name}" content="{content}" />' for name, content in quoted.items()]
    return "\n".join(["", f'<meta name="description" content="{html.escape(description)}" />', *lines, ""])


def mend_table(match):
    """Let long names break between their parts, and make cards with badges of a table of verdicts on a phone."""
    soup = BeautifulSoup(match.group(), "html.parser")
    for text in [text for code in soup.select("td code") for text in code.find_all(string=True) if len(text) > 16]:
        first, *rest = re.split(r"(?<=[._=(/])(?=[A-Za-z_\"])", text)
        text.replace_with(first, *(part for name in rest for part in (soup.new_tag("wbr"), name)))
    headings = soup.select("thead th")
    labels = [cell.get_text(" ", strip=True) for cell in headings]
    for cell, label in zip(headings, labels):
        cell.name = "th" if label else "td"  # a corner without a word heads no column
    if "verdict" in labels:
        soup.table["class"] = [*soup.table.get("class", []), "cards"]
        for element in soup.find_all(list(ROLES)):  # a table that is shown as blocks stays a table to screen readers
            element["role"] = ROLES[element.name]
        for row in soup.select("tbody tr"):
            for label, cell in zip(labels, row.find_all("td")):
                cell["data-label"] = label
                if label == "verdict":
                    text = cell.get_text(" ", strip=True)
                    cell.clear()
                    cell.append(BeautifulSoup(badge(text), "html.parser"))
    return str(soup)


def badge(verdict):
    """A verdict as a badge: the word, and a colour by CSS."""
    return f'<span class="verdict verdict-{verdict.replace(" ", "-")}">{verdict}</span>'


def badge_in_list(match):
    """The same badge where a list explains the verdicts."""
    return f"<li><p>{badge(match[1])}" if match[1] in VERDICTS else match[0]


def link_picture(match):
    """Make a picture a link to its file, which `book.js` opens above the page; pictures of cards are links already."""
    image, file = match[1] or match[3], match[2] or match[4]
    return match[0] if "sd-card" in image else f'<a class="enlarge" href="{file}" title="Enlarge">{image}</a>'


def setup(app):
    app.connect("config-inited", choose_theme_options)
    app.connect("html-page-context", mend_page, priority=900)
    app.add_js_file("book.js", loading_method="defer")
    return {"parallel_read_safe": True}
