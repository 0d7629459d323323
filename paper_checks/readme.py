"""The table of claims in docs, and what the README says of it: `python -m paper_checks.readme`.

What lies between the two lines `<!-- paper-checks -->` and `<!-- /paper-checks -->` is written anew in both,
from the report; and the picture of one card, which both show.
"""

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from paper_checks._card import Verdict
from paper_checks._record import SYMBOLS, Record, from_json, write
from paper_checks._report import figure_of

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- paper-checks -->", "<!-- /paper-checks -->"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the report, write the README, the page and the picture."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        update(options.report, options.readme, options.page, options.picture, options.figure)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"written: {options.readme}, {options.page} and {options.figure}")


def update(report: Path, readme: Path, page: Path, picture: str, figure: Path) -> None:
    """Write the table of a report into a page, a summary of it into a README, and the picture of one card.

    Args:
        report: folder with report.json and report.html.
        readme: a file with the two marks, for verdicts in a few lines.
        page: another one, for a line for each claim.
        picture: id of the card whose picture is shown.
        figure: where to put it.

    Raises:
        ValueError: if a file has not both marks, once each, or the report has no such picture.
    """
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    records = [from_json(entry) for entry in content["cards"]]
    png = figure_of((report / "report.html").read_text(encoding="utf-8"), picture)
    (shown,) = [record for record in records if record.id == picture]
    setting = (
        f"Scale {content['scale']}, seed {content['seed']}, {content['seconds'] / 60:.0f} minutes on "
        f"{_plain(content['device'])}. [All settings, thresholds and figures]({{}})."
    )
    said = {
        readme: [summary(records, link_to(page, readme))],
        page: [claim_table(records, content["scale"]), setting],
    }
    written = {}
    for file, parts in said.items():
        drawn = f"![{_plain(shown.summary)}]({link_to(figure, file)})"
        told = [part.replace("{}", link_to(report / "report.html", file)) for part in parts]
        text = file.read_text(encoding="utf-8")
        written[file] = between_marks(text, file.name, [drawn, *told])
    figure.parent.mkdir(parents=True, exist_ok=True)
    write(figure, png)
    for file, text in written.items():
        write(file, text.encode())


def between_marks(text: str, name: str, parts: Sequence[str]) -> str:
    """The text with these parts, and nothing else, between its two marks."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{name} must hold the lines {BEGIN} and {END}, in this order, once each.")
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    return before + "\n\n".join([BEGIN, *parts, END]) + after


def link_to(target: Path, page: Path) -> str:
    """The way to a file from the folder of a page."""
    return Path(os.path.relpath(target, page.parent)).as_posix()


def summary(records: Sequence[Record], link: str) -> str:
    """How many claims came out, and by name those that did not."""
    kinds = {verdict: [record for record in records if record.verdict == verdict] for verdict in SYMBOLS}
    counts = [f"{len(found)} {verdict}" for verdict, found in kinds.items() if found]
    failed = sum(record.control_failed for record in records)
    controls = "each" if failed == len(records) else f"{failed} of them"
    counted = (
        f"Of {len(records)} claims: {', '.join(counts)}; {controls} with a control that failed, as it must. "
        f"[All of them, with what was measured]({link})."
    )
    lines = [counted]
    missed = kinds[Verdict.NOT_REPRODUCED.value]
    if missed:
        lines += ["", "Not reproduced:", ""]
    for record in missed:
        measured = "" if record.main is None else f" ({record.main.name}: {record.main.value})"
        lines.append(_plain(f"- **{record.id}**: {record.card['claim']}{measured}"))
    return "\n".join(lines)


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
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "claims.md", metavar="FILE")
    parser.add_argument("--picture", default="two-minima", metavar="ID", help="card whose picture is shown")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "figures" / "paper_checks.png")
    return parser


if __name__ == "__main__":
    main()
