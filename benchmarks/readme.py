"""The tables of speeds in docs, and a few lines of them in the README: `python -m benchmarks.readme`.

What lies between the two lines `<!-- benchmarks -->` and `<!-- /benchmarks -->` is written anew from what
`--results` has written: in docs a pair of columns for each kind of processor, of one version of jax, and a
table of its own for each accelerator; in the README the lines that are marked for it, for one processor. The
picture of throughput beside the page is drawn anew from the same results.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks._against import Earlier, read
from benchmarks._figure import curves, draw
from benchmarks._readme_lines import LINES, Line
from benchmarks._rows import Row, rate, short
from benchmarks.accelerator._results import ENDING

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
# from the page's folder
FIGURE = Path("figures", "throughput.png")
NONE = "–"
# benchmark → its rows, of one kind of processor
Measured = dict[str, list[Row]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the results, write the README and the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIR")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", metavar="FILE")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md", metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        update(options.results, options.readme, options.page)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"written: {options.readme} and {options.page}")


def update(results: Path, readme: Path, page: Path) -> None:
    """Write the tables of all results into a page, a short one into a README, and draw the page's picture.

    Raises:
        ValueError: if there are none, or one of the two has not both marks, once each.
    """
    paths = [*results.glob("*.json"), *results.glob(f"*/*{ENDING}")]
    files = [file for file in (read(path, "--results") for path in sorted(paths)) if not file.is_smoke]
    if not any(not file.is_accelerator for file in files):
        raise ValueError(
            f"--results must be a folder with results of a processor, got {str(results)!r}, which has none: "
            f"its table would be empty. Put those of an accelerator into benchmarks/results."
        )
    accelerators = [file for file in files if file.is_accelerator]
    processors = [file for file in files if not file.is_accelerator]
    long = [*_of_processors(processors), *(part for file in accelerators for part in _of_accelerator(file))]
    told = {readme: [_short_table(by_kind(_of_one_jax(processors)))], page: long}
    texts = {file: _between_marks(file, parts) for file, parts in told.items()}
    for file, text in texts.items():
        file.write_text(text, encoding="utf-8")
    widest = max(processors, key=lambda file: len(curves(file.rows)))
    if curves(widest.rows):
        draw(widest.rows, page.parent / FIGURE, title=f"double well, {widest.title}")


def _between_marks(file: Path, parts: Sequence[str]) -> str:
    text = file.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{file.name} must hold the lines {BEGIN} and {END}, in this order, once each.")
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    return before + "\n\n".join([BEGIN, *parts, END]) + after


def _of_one_jax(files: Sequence[Earlier]) -> list[Earlier]:
    """Those of the version of jax that is shown, the one with most results first."""
    version = shared_version(files)
    return sorted((file for file in files if file.jax == version), key=_count, reverse=True)


def _short_table(kinds: dict[str, Measured]) -> str:
    """The lines that are marked for the README, of the first kind of processor."""
    kind, measured = next(iter(kinds.items()))
    cells = [[kind, "throughput", "beside", "ratio"], ["---"] * 4]
    for line in LINES:
        ratio = _ratio(line, measured)
        if line.in_readme and ratio:
            cells.append([line.what, _own(line, measured), line.beside, ratio])
    return _markdown(cells)


def _of_processors(files: Sequence[Earlier]) -> list[str]:
    """Their table, side by side, and what it says of itself."""
    shown = _of_one_jax(files)
    rounds, seconds = shown[0].effort
    said = (
        f"Throughputs are those of sde_sgd; a ratio is sde_sgd's over that of the peer beside it in the same "
        f"run, so that 2 is twice as fast. jax {shown[0].jax}, the best of {rounds} rounds of {seconds:g} s. "
        f"{NONE}: not measured there."
    )
    return [said, speed_table(by_kind(shown))]


def _of_accelerator(file: Earlier) -> list[str]:
    """All that was measured on one, and what the table says of itself."""
    cells = [["", f"on {file.title}", "its throughput", "sde_sgd's over it"], ["---"] * 4]
    before, notes = "", list(dict.fromkeys(row.note for row in file.rows if row.throughput and row.note))
    for row in file.rows:
        if row.throughput is None:
            continue
        name, before = "" if row.benchmark == before else row.benchmark, row.benchmark
        mark = f" ({notes.index(row.note) + 1})" if row.note else ""
        cells.append([name, f"{row.who}{mark}", rate(row.throughput, row.unit), _told(row)])
    rounds, seconds = file.effort
    said = f"{file.title}: jax {file.jax}, the best of {rounds} rounds of {seconds:g} s (`make accelerator`)"
    below = [f"({number}) {note}." for number, note in enumerate(notes, 1)]
    # it is long, and the page goes on after it
    return [f"<details><summary>{said}</summary>", _markdown(cells), *below, "</details>"]


def shared_version(files: Sequence[Earlier]) -> str:
    """The version of jax that most kinds of processor have results of; of several the newest."""
    kinds: dict[str, set[str]] = {}
    for file in files:
        kinds.setdefault(file.jax, set()).add(file.title)
    return max(kinds, key=lambda version: (len(kinds[version]), _numbers(version)))


def by_kind(files: Sequence[Earlier]) -> dict[str, Measured]:
    """Kind of processor → what was measured on it: each benchmark from the first file that has it."""
    kinds: dict[str, Measured] = {}
    for file in files:
        measured = kinds.setdefault(file.title, {})
        own: Measured = {}
        for row in file.rows:
            own.setdefault(row.benchmark, []).append(row)
        kinds[file.title] = own | measured
    return kinds


def speed_table(kinds: dict[str, Measured]) -> str:
    """A line of Markdown for each comparison that was made on one of them."""
    cells: list[list[str]] = [["", "beside"], ["---", "---"]]
    for kind in kinds:
        cells[0] += [kind, "ratio"]
        cells[1] += ["---", "---"]
    before = ""
    for line in LINES:
        ratios = [_ratio(line, measured) for measured in kinds.values()]
        if not any(ratios):
            continue
        is_new, before = line.what != before, line.what
        found = [line.what if is_new else "", line.beside]
        for measured, ratio in zip(kinds.values(), ratios, strict=True):
            found += [(_own(line, measured) or NONE) if is_new else "", ratio or NONE]
        cells.append(found)
    return _markdown(cells)


def _markdown(cells: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(entries)} |" for entries in cells)


def _own(line: Line, measured: Measured) -> str:
    """Our throughput, "" where it was not measured."""
    for row in measured.get(line.benchmark, ()):
        if row.throughput is not None and row.who.startswith(line.own):
            return rate(row.throughput, row.unit)
    return ""


def _ratio(line: Line, measured: Measured) -> str:
    """The ratio, "" where it was not measured."""
    for row in measured.get(line.benchmark, ()):
        if row.ratio is not None and row.who.startswith(line.who):
            return _told(row)
    return ""


def _told(row: Row) -> str:
    """Its ratio in words, "" where it has none."""
    if row.ratio is None:
        return ""
    if row.ratio_kind == "time":
        return f"{short(row.ratio)} times its time"
    return f"1/{1 / row.ratio:.0f}" if row.ratio < 0.1 else short(row.ratio)


def _count(file: Earlier) -> int:
    return sum(row.throughput is not None for row in file.rows)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


if __name__ == "__main__":
    main()
