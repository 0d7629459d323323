"""The README's table of claims and its picture, from a report: `python -m paper_checks.readme`.

What lies between the two lines `<!-- paper-checks -->` and `<!-- /paper-checks -->` is written anew.
"""

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from paper_checks._record import SYMBOLS, Record, from_json, write
from paper_checks._report import figure_of

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- paper-checks -->", "<!-- /paper-checks -->"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the report, write the README and the picture."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        update(options.report, options.readme, options.picture, options.figure)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"written: {options.readme} and {options.figure}")


def update(report: Path, readme: Path, picture: str, figure: Path) -> None:
    """Write the table and the picture of one card of a report into a README.

    Args:
        report: folder with report.json and report.html.
        readme: the file with the two marks.
        picture: id of the card whose picture is shown.
        figure: where to put it.

    Raises:
        ValueError: if the README has not both marks, once each, or the report has no such picture.
    """
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    records = [from_json(entry) for entry in content["cards"]]
    png = figure_of((report / "report.html").read_text(encoding="utf-8"), picture)
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{readme.name} must hold the lines {BEGIN} and {END}, in this order, once each.")
    (shown,) = [record for record in records if record.id == picture]
    link = Path(os.path.relpath(figure, readme.parent)).as_posix()
    page = Path(os.path.relpath(report / "report.html", readme.parent)).as_posix()
    setting = (
        f"Scale {content['scale']}, seed {content['seed']}, {content['seconds'] / 60:.0f} minutes on "
        f"{_plain(content['device'])}. [All settings, thresholds and figures]({page})."
    )
    parts = [
        BEGIN,
        f"![{_plain(shown.summary)}]({link})",
        claim_table(records, content["scale"]),
        setting,
        END,
    ]
    figure.parent.mkdir(parents=True, exist_ok=True)
    write(figure, png)
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    write(readme, (before + "\n\n".join(parts) + after).encode())


def claim_table(records: Sequence[Record], scale: str) -> str:
    """A line of Markdown for each card, paper by paper, with its data and the scale of them all."""
    lines: list[str] = []
    for paper in dict.fromkeys(record.card["paper"] for record in records):
        of_paper = [record for record in records if record.card["paper"] == paper]
        lines += [] if not lines else [""]
        lines += [
            f"*{_plain(of_paper[0].card['paper_title'])}* ({_plain(of_paper[0].card['source'])})",
            "",
            f"| claim | data (scale: {scale}) | verdict | measured | control |",
            "|---|---|---|---|---|",
        ]
        for record in of_paper:
            measured = "" if record.main is None else f"{record.main.name}: {record.main.value}"
            verdict = f"{SYMBOLS[record.verdict]} {record.verdict}"
            claim = f"**{record.id}**: {record.card['claim']}"
            cells = [claim, record.card["data"], verdict, measured, record.control_text]
            lines.append("| " + " | ".join(_plain(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Fit for a cell of a table or a line of text; what would begin a tag, an image or a link does not."""
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text.replace("\n", " "))
    return re.sub(r"(?<=\])(?=[(\[])", r"\\", text.replace("|", "\\|"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m paper_checks.readme", description=__doc__)
    parser.add_argument("--report", type=Path, default=ROOT / "paper_checks" / "results", metavar="DIR")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", metavar="FILE")
    parser.add_argument("--picture", default="two-minima", metavar="ID", help="card whose picture is shown")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "figures" / "paper_checks.png")
    return parser


if __name__ == "__main__":
    main()
