"""Cards and what they found as a notebook shows them: escaped text, a table, the figure if it is small."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

_MOST = 42_000  # bytes of a figure; a third more as text
_STYLE = 'style="text-align:left;vertical-align:top;padding:.1em 1em .1em 0"'


def panel(
    title: str, head: str, rows: Mapping[str, str], table: Sequence[Sequence[str]] = (), figure: Any = None
) -> str:
    """A box with a heading, named rows, a table whose first row is its head, and a figure.

    Args:
        title: in bold; `head` follows it.
        head: what it says.
        rows: name → text.
        table: rows of cells.
        figure: of matplotlib, or the bytes of a PNG.
    """
    parts = [f"<div><strong>{html.escape(title)}</strong>: {html.escape(head)}</div>"]
    if rows:
        parts.append(_table(list(rows.items())))
    if table:
        parts.append(_table(table))
    picture = figure if isinstance(figure, bytes | None) else _png(figure)
    if picture is not None and len(picture) <= _MOST:
        code = base64.b64encode(picture).decode()
        parts.append(f'<img style="max-width:100%" alt="figure" src="data:image/png;base64,{code}"/>')
    return f'<div style="border-left:3px solid #999;padding-left:.8em">{"".join(parts)}</div>'


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ("".join(f"<td {_STYLE}>{html.escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _png(figure: Any) -> bytes | None:
    """The finest of three sizes that is small enough."""
    for dpi in (80, 55, 40):
        kept = io.BytesIO()
        figure.savefig(kept, format="png", dpi=dpi)
        if len(kept.getvalue()) <= _MOST:
            return kept.getvalue()
    return None
