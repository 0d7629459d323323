"""The verdicts on record, and which of a run are worse."""

import json
from collections.abc import Sequence
from pathlib import Path

from paper_checks._card import Verdict
from paper_checks._record import ERROR, Record, to_text, write

EXPECTED = Path(__file__).with_name("expected.json")


def read_expected(path: Path, scale: str) -> dict[str, str]:
    """Card id → verdict on record at this scale; empty if nothing is.

    Raises:
        ValueError: if the file holds anything else.
    """
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    found = content.get(scale, {})
    for card, verdict in found.items():
        if verdict not in list(Verdict):
            raise ValueError(
                f"{path.name} holds {verdict!r} for {card} at scale {scale}; it must be one of "
                f"{', '.join(Verdict)}. Write it anew with --record."
            )
    return dict(found)


def worse(records: Sequence[Record], expected: dict[str, str]) -> list[str]:
    """A line for every card that raised, or whose verdict is worse than the one on record."""
    lines = []
    for record in records:
        before = expected.get(record.id)
        if record.verdict == ERROR:
            lines.append(f"{record.id}: {record.summary}")
        elif before is not None and record.rank > Verdict(before).rank:
            lines.append(f"{record.id}: {record.verdict}, where {before!r} is on record")
    return lines


def record_expected(path: Path, scale: str, records: Sequence[Record]) -> None:
    """Put the verdicts of this run on record, leaving those of other cards and scales as they are."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    verdicts = {record.id: record.verdict for record in records if record.verdict != ERROR}
    content[scale] = dict(sorted((content.get(scale, {}) | verdicts).items()))
    write(path, to_text(content))
