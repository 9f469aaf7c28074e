"""Sphinx extension: mends two flaws of the theme that show as errors in a browser's console."""


def mend_page(app, pagename, templatename, context, doctree):
    """Include every script once (some are registered twice), and name the colour mode, which is left empty."""
    unique = {(script.filename or "", script.attributes.get("body")): script for script in context["script_files"]}
    context["script_files"] = list(unique.values())
    context["default_mode"] = "auto"


def setup(app):
    app.connect("html-page-context", mend_page, priority=900)
    return {"parallel_read_safe": True}
