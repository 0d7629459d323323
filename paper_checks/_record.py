"""What is kept of a card that was run: one JSON file and one picture, written at once or not at all."""

import dataclasses
import json
import math
import os
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paper_checks._card import Card, Measurement, Outcome, Verdict
from paper_checks._notebook import panel

ERROR = "error"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SYMBOLS = {
    Verdict.REPRODUCED.value: "✓",
    Verdict.PARTLY.value: "◐",
    Verdict.NOT_REPRODUCED.value: "✗",
    Verdict.NOT_TESTED.value: "–",
    ERROR: "!",
}


@dataclass(frozen=True)
class Record:
    """A card's texts, and what its check found.

    Attributes:
        fingerprint: of all that sets the result.
        card: the texts of the card; `paper` and `source` of its paper.
        verdict: of `Verdict`, or "error".
        measurements, control, summary: of the `Outcome`.
        control_failed: whether the control came out as it must.
        seconds: that the check took, those before an interruption not included.
        device: it ran on.
        figure: the picture as PNG.
        error: the traceback of a check that raised.
    """

    fingerprint: str
    card: dict[str, str]
    verdict: str
    summary: str
    seconds: float
    device: str
    measurements: tuple[Measurement, ...] = ()
    control: Measurement | None = None
    control_failed: bool = False
    figure: bytes | None = dataclasses.field(default=None, repr=False)
    error: str | None = None

    @property
    def id(self) -> str:
        """Of the card."""
        return self.card["id"]

    @property
    def rank(self) -> int:
        """Of the verdict, 0 for the best; an error is worse than any verdict."""
        return len(Verdict) if self.verdict == ERROR else Verdict(self.verdict).rank

    @property
    def main(self) -> Measurement | None:
        """The first measurement."""
        return self.measurements[0] if self.measurements else None

    def _repr_html_(self) -> str:
        """Claim, verdict, measurements and figure for a notebook."""
        rows = [("", "measured", "must be", ""), *(one.words for one in self.measurements)]
        told = {"claim": self.card["claim"], "control": self.control_text, "device": self.device}
        head = f"{SYMBOLS.get(self.verdict, '')} {self.verdict}. {self.summary}"
        return panel(f"Record of {self.id}", head, told, rows, self.figure)

    @property
    def control_text(self) -> str:
        """Whether the control failed, in words."""
        if self.control is None:
            return "none"
        return "failed, as it must" if self.control_failed else "did not fail: this proves nothing"


def recorded(card: Card, fingerprint: str, outcome: Outcome, seconds: float, device: str) -> Record:
    """The record of a card whose check has ended."""
    return Record(
        fingerprint=fingerprint,
        card=card_texts(card),
        verdict=outcome.verdict.value,
        summary=outcome.summary,
        seconds=seconds,
        device=device,
        measurements=outcome.measurements,
        control=outcome.control,
        control_failed=outcome.control_failed,
        figure=None if outcome.figure is None else _png(outcome.figure),
    )


def failed(card: Card, fingerprint: str, error: Exception, seconds: float, device: str) -> Record:
    """The record of a card whose check raised."""
    lines = "".join(traceback.format_exception(error)).replace(str(Path.cwd()) + os.sep, "")
    summary = f"The check raised {type(error).__name__}: {error}"
    return Record(fingerprint, card_texts(card), ERROR, summary, seconds, device, error=lines)


def card_texts(card: Card) -> dict[str, str]:
    """What the report says about a card before it is run."""
    paper = {"paper": card.paper.name, "paper_title": card.paper.title, "source": card.paper.source}
    return card.texts() | paper


def to_json(record: Record) -> dict[str, Any]:
    """All but the picture; numbers that are not finite become text, which JSON has no number for."""
    content = dataclasses.asdict(record)
    del content["figure"]
    for measurement in [*content["measurements"], content["control"]]:
        for name, value in (measurement or {}).items():
            if isinstance(value, float) and not math.isfinite(value):
                measurement[name] = str(value)
    return content


def from_json(content: dict[str, Any], figure: bytes | None = None) -> Record:
    """The inverse of `to_json`.

    Raises:
        ValueError: if something in it is of another kind than `to_json` writes.
    """
    measurements = tuple(_measurement(entry) for entry in content["measurements"])
    control = None if content["control"] is None else _measurement(content["control"])
    record = Record(**(content | {"measurements": measurements, "control": control, "figure": figure}))
    texts = {name: getattr(record, name) for name in ("fingerprint", "summary", "device", "verdict")}
    for name, text in (texts | record.card | {"error": record.error or ""}).items():
        if not isinstance(text, str):
            raise ValueError(f"{name} of a card must be text, got {text!r}.")
    for name in ("id", "paper"):
        if not _NAME.fullmatch(record.card[name]):
            raise ValueError(
                f"{name} of a card must be lower-case letters, digits and hyphens, got {record.card[name]!r}."
            )
    if record.verdict not in SYMBOLS:
        raise ValueError(
            f"verdict of {record.id} must be one of {', '.join(SYMBOLS)}, got {record.verdict!r}."
        )
    if type(record.seconds) not in (int, float) or type(record.control_failed) is not bool:
        raise ValueError(f"seconds of {record.id} must be a number, and control_failed true or false.")
    return record


def save(record: Record, folder: Path) -> None:
    """Write `<id>.png`, then `<id>.json`: the card is finished once the latter is there."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{record.id}.png"
    if record.figure is None:
        picture.unlink(missing_ok=True)
    else:
        write(picture, record.figure)
    write(folder / f"{record.id}.json", to_text(to_json(record)))


def load(folder: Path, card_id: str, fingerprint: str) -> Record | None:
    """The record of a finished card, if it is whole and has this fingerprint."""
    picture = folder / f"{card_id}.png"
    try:
        content = json.loads((folder / f"{card_id}.json").read_text(encoding="utf-8"))
        record = from_json(content, picture.read_bytes() if picture.exists() else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record if (record.fingerprint, record.id) == (fingerprint, card_id) else None


def to_text(content: Any) -> bytes:
    """JSON to be read by people too."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write(path: Path, content: bytes) -> None:
    """Put a file in place at once: what is there is whole, whenever it is looked at."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)


def _measurement(content: dict[str, Any]) -> Measurement:
    numbers = {
        name: float(content[name])
        for name in ("estimate", "standard_error", "p")
        if content[name] is not None
    }
    measurement = Measurement(**(content | numbers))
    if not isinstance(measurement.name, str) or not isinstance(measurement.threshold, str):
        raise ValueError(f"name and threshold of a measurement must be text, got {content!r}.")
    if measurement.met not in (True, False, None) or not isinstance(measurement.n, int | None):
        raise ValueError(f"met and n of a measurement must be a truth value and a number, got {content!r}.")
    return measurement


def _png(figure: Any) -> bytes:
    import io

    kept = io.BytesIO()
    figure.savefig(kept, format="png", dpi=110)
    return kept.getvalue()
