"""The page of a report written anew, without running a card: `python -m paper_checks.page`.

From report.json, and from the pictures in the page that is there.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from paper_checks._record import from_json, write
from paper_checks._report import figure_of, report, setting_of

RESULTS = Path(__file__).with_name("results")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read report.json and report.html, write report.html."""
    parser = argparse.ArgumentParser(prog="python -m paper_checks.page", description=__doc__)
    parser.add_argument("--report", type=Path, default=RESULTS, metavar="DIR")
    folder = parser.parse_args(arguments).report
    try:
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        before = (folder / "report.html").read_text(encoding="utf-8")
        records = [from_json(entry, _picture(before, entry["card"]["id"])) for entry in content["cards"]]
        write(folder / "report.html", report(records, setting_of(content)).encode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"{type(error).__name__}: {error}")
    print(f"written: {folder / 'report.html'}")


def _picture(page: str, card_id: str) -> bytes | None:
    try:
        return figure_of(page, card_id)
    except ValueError:
        return None


if __name__ == "__main__":
    main()
