"""Directive `paper-report`: the verdict, the picture and the sentence of each card of a report."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import PIL.Image
from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
WIDTH = 720  # pixels: half as wide on the page
REPORT = "report.html"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive; links to the report lead to the copy beside the pages."""
    app.add_directive("paper-report", PaperReport)
    app.connect("doctree-read", _lead_to_the_copy)
    return {"parallel_read_safe": True}


class PaperReport(SphinxDirective):
    """```{paper-report} FOLDER```, relative to the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Paper by paper, a figure for each card."""
        folder = (Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]).resolve()
        for name in ("report.json", REPORT):
            self.env.note_dependency(str(folder / name))
        sys.path.insert(0, str(ROOT))
        from paper_checks._record import SYMBOLS
        from paper_checks._report import figure_of

        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        page = (folder / REPORT).read_text(encoding="utf-8")
        made: list[nodes.Node] = []
        paper = ""
        for entry in content["cards"]:
            card = entry["card"]
            if card["paper"] != paper:
                paper = card["paper"]
                made.append(nodes.rubric("", f"{card['paper_title']} ({card['source']})"))
            kept = _kept(Path(self.env.srcdir) / "_build" / "report", card["id"], figure_of(page, card["id"]))
            picture = nodes.image(uri=f"/_build/report/{kept.name}", alt=entry["summary"], width="360px")
            link = nodes.reference("", "", picture, refuri=f"{REPORT}#{card['id']}", internal=True)
            told = nodes.paragraph("", "", nodes.strong("", card["id"]))
            told += nodes.Text(f": {SYMBOLS[entry['verdict']]} {entry['verdict']}. {card['claim']} ")
            told += nodes.emphasis("", entry["summary"])
            made.append(nodes.container("", link, told, classes=["card"]))
        return made


def _kept(folder: Path, name: str, png: bytes) -> Path:
    """The picture in a file, small."""
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise ValueError(f"the id of a card must be lower-case letters, digits and hyphens, got {name!r}.")
    folder.mkdir(parents=True, exist_ok=True)
    picture = PIL.Image.open(io.BytesIO(png)).convert("RGB")
    height = round(picture.height * WIDTH / picture.width)
    path = folder / f"{name}.png"
    picture.resize((WIDTH, height), PIL.Image.Resampling.LANCZOS).quantize(128).save(path, optimize=True)
    return path


def _lead_to_the_copy(_: Sphinx, doctree: nodes.document) -> None:
    for node in list(doctree.findall(download_reference)):
        if str(node.get("reftarget", "")).endswith(f"results/{REPORT}"):
            node.replace_self(nodes.reference("", "", *node.children, refuri=REPORT, internal=True))
