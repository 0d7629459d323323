"""Formulas as MathML, which browsers draw by themselves: pages need no network and no script for them."""

import html
import re
import xml.etree.ElementTree as ET
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

LOG = logging.getLogger(__name__)
ACCENTS = set("ˆˉ˜→˙¯^~")
SPACE = "http://www.w3.org/1998/Math/MathML"
ET.register_namespace("", SPACE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer `html_math_renderer = "mathml"`."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True}


def mathml(formula: str, *, block: bool) -> str:
    r"""A formula of LaTeX as MathML.

    The converter of docutils takes \frac12 for a fraction of 12, puts the index of \hat g_B below g, and bars
    far from what they enclose.

    Raises:
        ValueError: for what it does not know.
    """
    plain = re.sub(r"\\([dt]?frac)(\d)(?=\d)", r"\\\1{\2}", formula)
    try:
        made = latex2mathml.tex2mathml(plain, as_block=block)
    except (MathError, SyntaxError) as error:
        raise ValueError(f"formula {formula!r}: {error}") from error
    # names such as &ApplyFunction; are not XML's
    made = re.sub(r"&(?!lt;|gt;|amp;)(\w+;)", lambda name: html.unescape(name.group()), made)
    root = ET.fromstring(made)  # noqa: S314 - written above
    for node in root.iter(f"{{{SPACE}}}munderover"):
        base, below, above = node
        if above.text in ACCENTS:
            node.tag = f"{{{SPACE}}}msub"
            accented = ET.Element(f"{{{SPACE}}}mover", {"accent": "true"})
            accented.extend([base, above])
            node[:] = [accented, below]
    for bar in root.iter(f"{{{SPACE}}}mo"):
        if bar.text == "|":
            bar.attrib |= {"stretchy": "false", "lspace": "0", "rspace": "0"}
    return ET.tostring(root, encoding="unicode")


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_made(node, block=False))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="formula">{_made(node, block=True)}</div>')
    raise nodes.SkipNode


def _made(node: nodes.Element, *, block: bool) -> str:
    try:
        return mathml(node.astext(), block=block)
    except ValueError as error:
        LOG.warning("%s", error, location=node)
        return node.astext()
