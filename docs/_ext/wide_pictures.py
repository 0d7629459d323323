"""Pictures twice as wide as high get a class, so that on a phone they scroll in place of shrinking."""

from typing import Any

import imagesize
from docutils import nodes
from sphinx.application import Sphinx

ASPECT = 2.0


def setup(app: Sphinx) -> dict[str, Any]:
    """Mark them once it is known which file each picture is."""
    app.connect("doctree-resolved", _mark)
    return {"parallel_read_safe": True}


def _mark(app: Sphinx, page: nodes.document, *_: Any) -> None:
    for picture in page.findall(nodes.image):
        if "width" not in picture and picture["uri"] in app.env.images:
            width, height = imagesize.get(app.srcdir / picture["uri"])
            if width >= ASPECT * height:
                picture["classes"].append("wide")
