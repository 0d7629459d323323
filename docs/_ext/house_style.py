"""Docstrings as they are written here, made into what Sphinx reads.

They are plain text with `names` between backticks, formulas with * and |, and examples set in by four spaces.
A name that is public becomes a link, what is set in after a paragraph stays as it is, and no character of a
formula means anything. Sections (Args, Returns, …) are left to `sphinx.ext.napoleon`, which comes after.
"""

import re
from collections.abc import Iterator
from typing import Any

from public_names import modules, places
from sphinx.application import Sphinx

SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):$")
CODE = re.compile(r"(``.+?``|`[^`]+?`)", re.DOTALL)
BOLD = re.compile(r"(?<![\w*])\*\*(?=\S)(.+?)(?<=\S)\*\*(?![\w*])", re.DOTALL)
EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\W\d_])([^*\n]*?\w)\*(?![\w*])")
# the star of a list stays; any other, and every bar, is one of a formula
MARK = re.compile(r"^( *\* )|([*|])|(?<=\w)(_)(?!\w)", re.MULTILINE)
# by name: what napoleon would take apart
PROPERTIES: dict[str, list[str]] = {}


def setup(app: Sphinx) -> dict[str, Any]:
    """Before napoleon, whose priority is 500, and once more after it."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    app.connect("autodoc-process-docstring", _restore, priority=600)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}


def converted(lines: list[str], name: str) -> list[str]:
    """The lines of a docstring as reStructuredText with sections for napoleon.

    Args:
        lines: without the indentation of the code.
        name: the full name of what it is the docstring of.
    """
    made: list[str] = []
    for block, literal in _blocks(lines):
        if not literal:
            made += _inline("\n".join(block), name).split("\n")
        elif block[0].lstrip().startswith(">>>"):
            made += block
        else:
            outer = " " * (min(_depth(line) for line in block if line.strip()) - 4)
            made += [f"{outer}.. code-block:: text", "", *block]
    return made


def _process(*about: Any) -> None:
    _, what, name, _, _, lines = about
    lines[:] = converted(lines, name)
    if what in ("property", "attribute"):
        PROPERTIES[name] = list(lines)


def _restore(*about: Any) -> None:
    """Napoleon takes what stands before a colon in a property's first line for its type."""
    _, what, name, _, _, lines = about
    if what in ("property", "attribute"):
        lines[:] = PROPERTIES[name]


def _skip(*about: Any) -> bool | None:
    """Attributes that say which class of another library is meant are for that library."""
    value = about[3]
    is_class = isinstance(value, type) or hasattr(value, "__origin__")
    foreign = not str(getattr(value, "__module__", "")).startswith("sde_sgd")
    return True if is_class and foreign else None


def _blocks(lines: list[str]) -> Iterator[tuple[list[str], bool]]:
    """Pieces of text, and whether each is left as it is: set in deeper than what is around it, or Python."""
    block: list[str] = []
    literal, text_depth = False, 0
    for line, before in zip(lines, ["", *lines], strict=False):
        starts = literal
        if SECTION.match(line):
            starts, text_depth = False, 8
        elif line.strip() and not before.strip():
            if _depth(line) == 0:
                text_depth = 0
            starts = _depth(line) > text_depth or line.lstrip().startswith(">>>")
        if starts is not literal and block:
            yield block, literal
            block = []
        literal = starts
        block.append(line)
    yield block, literal


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _inline(text: str, name: str) -> str:
    parts = CODE.split(text)
    made = [_code(part, name) if index % 2 else _plain(part) for index, part in enumerate(parts)]
    # a span ends where no letter follows
    glued = [
        "\\ " if index % 2 and after[:1].isalnum() else "" for index, after in enumerate([*parts[1:], ""])
    ]
    return "".join(piece + glue for piece, glue in zip(made, glued, strict=True))


def _code(span: str, name: str) -> str:
    inner = re.sub(r"\s+", " ", span.strip("`"))
    target = target_of(inner, name)
    return f":py:obj:`{inner} <{target}>`" if target else f"``{inner}``"


def target_of(text: str, name: str) -> str | None:
    """The full public name that `text` means in the docstring of `name`; None if it is none, or itself."""
    bare = re.sub(r"^(ss|sde_sgd)\.", "", text)
    if not re.fullmatch(r"[A-Za-z_][\w.]*", bare):
        return None
    known = places()
    room = name.split(".")[1] if "." in name else ""
    module = f"sde_sgd.{room}" if room in modules() else "sde_sgd"
    found = known.get(f"{module}.{bare}") or known.get(f"sde_sgd.{bare}")
    if not found:
        # a word that only one room has, and that is none of every day
        only = {place for full, place in known.items() if full.rpartition(".")[2] == bare}
        if len(only) == 1 and ("_" in bare or bare[0].isupper()):
            (found,) = only
    return None if found == name else found


def _plain(text: str) -> str:
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        mark = "**" if match.group(0).startswith("**") else "*"
        kept.append(f"{mark}{_escaped(match.group(1))}{mark}")
        return f"\0{len(kept) - 1}\0"

    text = _escaped(EMPHASIS.sub(keep, BOLD.sub(keep, text.replace("\\", "\\\\"))))
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match.group(1))], text)


def _escaped(text: str) -> str:
    return MARK.sub(lambda match: match.group(1) or f"\\{match.group(0)}", text)
