"""One measurement: its name, how long it may take, and what it finds."""

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from benchmarks._rows import Row

Status = Literal["done", "failed", "skipped", "over its limit", "not begun"]


class Skip(Exception):
    """This cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Found:
    """What a step has found.

    Attributes:
        lines: in words, a line each.
        facts: the same as numbers, under names.
        rows: throughputs and ratios.
        right: whether all that was checked holds; None where nothing was.
    """

    lines: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    rows: Sequence[Row] = ()
    right: bool | None = None


@dataclass(frozen=True)
class Step:
    """One measurement.

    Attributes:
        name: of its file, and in the report.
        limit: seconds it may take, compilation and all.
        measure: from whether it is only to be tried, small, to what it finds.
        needs: packages without which it is skipped.
    """

    name: str
    limit: float
    measure: Callable[[bool], Found]
    needs: tuple[str, ...] = ()

    def run(self, smoke: bool) -> Found:
        """Measure.

        Raises:
            Skip: if a package that it needs is missing.
        """
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            raise Skip(f"{' and '.join(missing)} not installed")
        return self.measure(smoke)


@dataclass(frozen=True)
class Report:
    """How a step went.

    Attributes:
        name: of the step.
        status: how it ended.
        seconds: it took, compilation and all.
        reason: why there is nothing, where there is nothing.
        found: what it found, or None.
    """

    name: str
    status: Status
    seconds: float = 0.0
    reason: str = ""
    found: Found | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it failed, or found that something is not as it should be."""
        return self.status == "failed" or (self.found is not None and self.found.right is False)

    def as_json(self) -> dict[str, Any]:
        """As plain values, with None for what is no number."""
        content: dict[str, Any] = _plain(asdict(self))
        return content

    @classmethod
    def of_json(cls, content: dict[str, Any]) -> "Report":
        """Back from plain values."""
        found = content["found"]
        if found is not None:
            found = Found(**{**found, "rows": [Row(**row) for row in found["rows"]]})
        return cls(**{**content, "found": found})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
