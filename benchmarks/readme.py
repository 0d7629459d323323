"""The README's table of speeds, from what `--results` has written: `python -m benchmarks.readme`.

What lies between the two lines `<!-- benchmarks -->` and `<!-- /benchmarks -->` is written anew: a pair of
columns for each kind of processor or accelerator, of one version of jax.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks._against import Earlier, read
from benchmarks._readme_lines import LINES, Line
from benchmarks._rows import Row, rate, short

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
NONE = "–"
# benchmark → its rows, of one kind of processor
Measured = dict[str, list[Row]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the results, write the README."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIR")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        update(options.results, options.readme)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"written: {options.readme}")


def update(results: Path, readme: Path) -> None:
    """Write the table of all results of a folder into a README.

    Raises:
        ValueError: if there are none, or the README has not both marks, once each.
    """
    files = [read(path, "--results") for path in sorted(results.glob("*.json"))]
    if not files:
        raise ValueError(f"--results must be a folder with results, got {str(results)!r}, which has none.")
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{readme.name} must hold the lines {BEGIN} and {END}, in this order, once each.")
    version = shared_version(files)
    shown = sorted((file for file in files if file.jax == version), key=_count, reverse=True)
    rounds, seconds = shown[0].effort
    said = (
        f"Throughputs are those of sde_sgd, ratios beside the peer in the same run; jax {version}, the best "
        f"of {rounds} rounds of {seconds:g} s. {NONE}: not measured there."
    )
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    parts = [BEGIN, speed_table(by_kind(shown)), said, END]
    readme.write_text(before + "\n\n".join(parts) + after, encoding="utf-8")


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
            if row.ratio_kind == "time":
                return f"{short(row.ratio)} times its time"
            return f"1/{1 / row.ratio:.0f}" if row.ratio < 0.1 else short(row.ratio)
    return ""


def _count(file: Earlier) -> int:
    return sum(row.throughput is not None for row in file.rows)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


if __name__ == "__main__":
    main()
