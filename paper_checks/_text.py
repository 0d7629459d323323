"""Records as lines of text."""

from collections.abc import Sequence

from paper_checks._card import Card, Measurement
from paper_checks._record import SYMBOLS, Record


def table(records: Sequence[Record], expected: dict[str, str]) -> str:
    """One line for each card, in columns as wide as they need."""
    rows = [["card", "verdict", "main measurement", "p", "control", "s", "on record"]]
    for record in records:
        main = record.main
        rows.append(
            [
                record.id,
                f"{SYMBOLS[record.verdict]} {record.verdict}",
                "" if main is None else f"{main.name} {main.value}",
                "" if main is None else p_value(main.p),
                record.control_text,
                f"{record.seconds:.0f}",
                expected.get(record.id, "nothing"),
            ]
        )
    return aligned(rows)


def listing(cards: Sequence[Card]) -> str:
    """Id, paper and claim of each card."""
    return aligned([[card.id, card.paper.name, card.claim] for card in cards])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def p_value(p: float | None) -> str:
    """Two digits, or a bound where it is tiny."""
    if p is None:
        return ""
    return "< 1e-6" if p < 1e-6 else f"{p:.2g}"


def count(n: int | None) -> str:
    """With thin spaces between thousands."""
    return "" if n is None else f"{n:,}".replace(",", "\u202f")


def judged(measurement: Measurement) -> str:
    """Whether it satisfies its threshold, in a word."""
    return measurement.judged
