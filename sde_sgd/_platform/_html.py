"""What a notebook shows of an object: a line that says the most, a small table, small pictures.

All words are escaped here, once: a data set may be called "<script>". Colours are those of the text around,
so that light and dark notebooks are served alike.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GOOD, BAD, OPEN = "#009E73", "#D55E00", "#999999"
_MOST = 60_000  # characters in all
_ROWS, _CELL = 40, 300  # rows of a table, characters of a cell
_CELL_STYLE = 'style="text-align:left;vertical-align:top;padding:.1em 1em .1em 0"'


@dataclass(frozen=True)
class Panel:
    """An object as a notebook shows it.

    Attributes:
        title: its class.
        head: what it says, in a line.
        rows: name → value, in words.
        columns, table: a table of more columns: their names, and rows of words.
        pictures: SVG, whose words are escaped already.
        notes: lines below.
        colour: of the bar at the left.
    """

    title: str
    head: str = ""
    rows: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    pictures: Sequence[str] = ()
    notes: Sequence[str] = ()
    colour: str = OPEN

    def html(self) -> str:
        """As HTML of at most 60 kB; pictures are left out if they would make it more."""
        words = self._html(self.pictures)
        return words if len(words) <= _MOST else self._html(())

    def _html(self, pictures: Sequence[str]) -> str:
        head = f": {escaped(self.head)}" if self.head else ""
        parts = [f"<div><strong>{escaped(self.title)}</strong>{head}</div>"]
        if self.rows:
            parts.append(_table((), [(name, value) for name, value in self.rows.items()]))
        if self.table:
            parts.append(_table(self.columns, self.table))
        parts += [f'<div style="margin:.3em 0">{picture}</div>' for picture in pictures if picture]
        parts += [f'<div style="opacity:.75">{escaped(note)}</div>' for note in self.notes]
        style = f"border-left:3px solid {self.colour};padding-left:.8em;overflow-x:auto"
        return f'<div style="{style}">{"".join(parts)}</div>'


def preformatted(text: str) -> str:
    """Text as it is printed."""
    return f"<pre>{html.escape(text[: _MOST // 8])}</pre>"


def escaped(text: str) -> str:
    """Words that are no markup, and not too many of them."""
    return html.escape(text if len(text) <= _CELL else f"{text[: _CELL - 1]}…")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    shown = list(rows[:_ROWS])
    if len(rows) > _ROWS:
        shown.append([f"… {len(rows)} in all"])
    head = "".join(f"<th {_CELL_STYLE}>{escaped(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td {_CELL_STYLE}>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in shown
    )
    top = f"<thead><tr>{head}</tr></thead>" if columns else ""
    return f'<table style="border-collapse:collapse">{top}<tbody>{body}</tbody></table>'
