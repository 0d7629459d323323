"""This run's ratios beside those of one that was written down: a guard against regressions in ratios."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._environment import Environment
from benchmarks._rows import Row, in_columns, short

_HEADINGS = ("benchmark", "who", "then", "now", "range", "")


@dataclass(frozen=True)
class Earlier:
    """What a file of results holds.

    Attributes:
        path: the file.
        title, is_accelerator, jax: what it was measured on, whether that is no processor, and the version.
        effort: the rounds, and the seconds of each.
        rows: its lines.
        is_smoke: whether all was only tried, small.
    """

    path: Path
    title: str
    is_accelerator: bool
    jax: str
    effort: tuple[int, float]
    rows: tuple[Row, ...]
    is_smoke: bool = False

    @property
    def device(self) -> str:
        """What it was measured on, with the version of jax."""
        return f"{self.title}, jax {self.jax}"


@dataclass(frozen=True)
class Change:
    """One ratio, then and now.

    Attributes:
        then, now: the rows; None where there is none with a ratio.
    """

    then: Row | None
    now: Row | None

    @property
    def spread(self) -> float:
        """The wider of the two ranges within rounds: what a ratio moves by without any change."""
        return max((_width(row) for row in (self.then, self.now) if row is not None), default=0.0)

    @property
    def gain(self) -> float:
        """By how much the ratio is better now; a longer time is worse."""
        if self.then is None or self.now is None or self.then.ratio is None or self.now.ratio is None:
            return 0.0
        difference = self.now.ratio - self.then.ratio
        return difference if self.now.ratio_kind == "speed" else -difference

    @property
    def verdict(self) -> str:
        """Fallen or risen by more than the range, new, not measured, or nothing to say."""
        if self.then is None:
            return "new"
        if self.now is None:
            return "not measured"
        if abs(self.gain) <= self.spread:
            return ""
        return "rose" if self.gain > 0 else "FELL"


def read(path: Path, option: str = "--against") -> Earlier:
    """The results that `--results` or `--json` has written.

    Args:
        path: the file.
        option: that names it, for messages.

    Raises:
        ValueError: if it is no such file.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # the first results did not say how many devices there were
        here = Environment(**({"devices": 1} | content["environment"]))
        effort = (int(content["effort"]["rounds"]), float(content["effort"]["seconds"]))
        rows = tuple(Row(**row) for row in content["rows"])
        smoke = bool(content.get("smoke", False))
    except OSError as error:
        raise ValueError(f"{option} must be a file that can be read, got {str(path)!r}: {error}.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{option} must be a file that --results or --json has written, got {str(path)!r}: "
            f"{type(error).__name__}: {error}."
        ) from error
    return Earlier(path, here.title, here.device != here.processor, here.jax, effort, rows, smoke)


def changes(earlier: Earlier, rows: Sequence[Row], *, everything: bool) -> list[Change]:
    """Every ratio of either, in the order of this run, then what is missing from it.

    Args:
        earlier: what was written down.
        rows: of this run.
        everything: whether this run is of all benchmarks; if not, nothing is missing of those it left out.
    """
    then = {(row.benchmark, row.who): row for row in earlier.rows if row.ratio is not None}
    now = {(row.benchmark, row.who): row for row in rows if row.ratio is not None}
    measured = {row.benchmark for row in rows}
    gone = [row for key, row in then.items() if key not in now and (everything or row.benchmark in measured)]
    return [Change(then.get(key), row) for key, row in now.items()] + [Change(row, None) for row in gone]


def report(earlier: Earlier, found: Sequence[Change], device: str, effort: tuple[int, float]) -> str:
    """The table, and what fell in a sentence."""
    lines = [f"against {earlier.path}, {earlier.device}"]
    if earlier.device != device:
        lines.append(f"this is {device}: ratios differ between processors and versions")
    if earlier.effort != effort:
        lines.append(
            f"then {earlier.effort[0]} rounds of {earlier.effort[1]:g} s, now {effort[0]} of "
            f"{effort[1]:g} s: few and short rounds scatter more"
        )
    fell = [change for change in found if change.verdict == "FELL"]
    lines += ["", in_columns([_HEADINGS, *map(_cells, found)]), ""]
    told = ", ".join(f"{change.now.benchmark} / {change.now.who}" for change in fell if change.now)
    lines.append(f"fell by more than the range: {told or 'none'}, of {len(found)} ratios")
    return "\n".join(lines)


def _cells(change: Change) -> tuple[str, ...]:
    row = change.now or change.then
    assert row is not None
    then, now = (_ratio(each) for each in (change.then, change.now))
    return row.benchmark, row.who, then, now, short(change.spread), change.verdict


def _ratio(row: Row | None) -> str:
    return "" if row is None or row.ratio is None else short(row.ratio)


def _width(row: Row) -> float:
    if row.ratio_lowest is None or row.ratio_highest is None:
        return 0.0
    return row.ratio_highest - row.ratio_lowest
