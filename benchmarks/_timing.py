"""Interleaved timing: ours and every peer in turn, round after round, and the table of it."""

import importlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Literal

Kind = Literal["speed", "time"]

INSTALL_HINT = "pip install -e '.[benchmarks]'"

# Thread pools of some peers spin for a while after their work; the next one must not pay for it.
_REST_SECONDS = 0.03
_MOST_STEPS = 2**24


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, and seconds that one timing should take."""

    rounds: int
    seconds: float


FULL = Effort(rounds=9, seconds=0.3)
QUICK = Effort(rounds=3, seconds=0.06)


@dataclass(frozen=True)
class Contender:
    """Something to time.

    Attributes:
        who: its name in the table.
        run: `run(steps)` returns when that many steps are done and their results are there.
        work: units of work in one step.
    """

    who: str
    run: Callable[[int], object]
    work: float


@dataclass(frozen=True)
class Target:
    """What the ratio should be.

    Attributes:
        value: the bound.
        kind: "speed" is how many times faster ours is, to be at least `value`; "time" is how many
            times longer ours takes, to be at most `value`.
    """

    value: float
    kind: Kind = "speed"

    def met(self, ratio: float) -> bool:
        """Whether a ratio of this kind is good enough."""
        return ratio >= self.value if self.kind == "speed" else ratio <= self.value

    def __str__(self) -> str:
        return f"{'>=' if self.kind == 'speed' else '<='} {self.value:g}"


@dataclass(frozen=True)
class Peer:
    """Someone to compare with.

    Attributes:
        who: its name in the table.
        build: makes the ways of doing it, of which the fastest counts; raises `Missing` if the
            peer is not installed.
        target: what the ratio should be, or None for information.
    """

    who: str
    build: Callable[[], Sequence[Contender]]
    target: Target | None = None

    @property
    def ratio_kind(self) -> Kind:
        """Which ratio to report, see `Target`."""
        return "speed" if self.target is None else self.target.kind


class Missing(Exception):
    """A peer is not installed; the message says what to do."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        benchmark: what is measured.
        who: who does it.
        unit: of the throughputs, per second.
        throughput: from the best round.
        median: from the median round.
        ratio: ours against this peer, from the best round of each; None for ours.
        ratio_lowest, ratio_highest: of the ratios within one round.
        ratio_kind: "speed" or "time".
        target: the bound on the ratio, or None.
        met: whether it holds, or None without a target.
        note: why there are no numbers.
    """

    benchmark: str
    who: str
    unit: str
    throughput: float | None = None
    median: float | None = None
    ratio: float | None = None
    ratio_lowest: float | None = None
    ratio_highest: float | None = None
    ratio_kind: Kind = "speed"
    target: float | None = None
    met: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class _Entrant:
    """A contender with the number of steps that fills one timing."""

    contender: Contender
    steps: int

    def seconds_per_unit(self) -> float:
        time.sleep(_REST_SECONDS)
        return _seconds(self.contender, self.steps) / (self.steps * self.contender.work)


def require(*names: str) -> list[ModuleType]:
    """Import modules of a peer.

    Raises:
        Missing: if one of them is not installed.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise Missing(f"not installed; {INSTALL_HINT}") from error


def compare(benchmark: str, unit: str, ours: Contender, peers: Sequence[Peer], effort: Effort) -> list[Row]:
    """Time ours and then each peer, `effort.rounds` times over, all in one process.

    A machine's speed drifts; what is timed within a second or two of each other meets much the
    same drift. Compilation and first calls are left out.
    """
    print(f"measuring {benchmark} …", file=sys.stderr, flush=True)
    first = _enter([ours], effort)
    others = [_enter_peer(peer, effort) for peer in peers]
    entrants = [first, *(other for other in others if isinstance(other, _Entrant))]
    times: dict[int, list[float]] = {id(entrant): [] for entrant in entrants}
    for _ in range(effort.rounds):
        for entrant in entrants:
            times[id(entrant)].append(entrant.seconds_per_unit())
    rows = [_own_row(benchmark, unit, first, times[id(first)])]
    for peer, other in zip(peers, others, strict=True):
        if isinstance(other, Missing):
            rows.append(_missing_row(benchmark, unit, peer, other))
        else:
            row = _own_row(benchmark, unit, other, times[id(other)])
            rows.append(_with_ratio(row, peer, times[id(first)], times[id(other)]))
    return rows


def _own_row(benchmark: str, unit: str, entrant: _Entrant, spent: list[float]) -> Row:
    best, median = 1 / min(spent), 1 / statistics.median(spent)
    return Row(benchmark, entrant.contender.who, unit, best, median)


def _missing_row(benchmark: str, unit: str, peer: Peer, reason: Missing) -> Row:
    return Row(
        benchmark,
        peer.who,
        unit,
        ratio_kind=peer.ratio_kind,
        target=None if peer.target is None else peer.target.value,
        note=str(reason),
    )


def _with_ratio(row: Row, peer: Peer, ours: list[float], theirs: list[float]) -> Row:
    above, below = (theirs, ours) if peer.ratio_kind == "speed" else (ours, theirs)
    ratio = min(above) / min(below)
    within = [first / second for first, second in zip(above, below, strict=True)]
    return replace(
        row,
        ratio=ratio,
        ratio_lowest=min(within),
        ratio_highest=max(within),
        ratio_kind=peer.ratio_kind,
        target=None if peer.target is None else peer.target.value,
        met=None if peer.target is None else peer.target.met(ratio),
    )


def _enter_peer(peer: Peer, effort: Effort) -> _Entrant | Missing:
    try:
        return _enter(peer.build(), effort)
    except Missing as reason:
        return reason


def _enter(variants: Sequence[Contender], effort: Effort) -> _Entrant:
    """The fastest of some ways of doing the same, warm and with its number of steps."""
    entrants = [_Entrant(one, _steps_to_fill(one, effort.seconds)) for one in variants]
    if len(entrants) == 1:
        return entrants[0]
    best: dict[int, float] = {}
    for _ in range(3):
        for number, entrant in enumerate(entrants):
            spent = entrant.seconds_per_unit()
            best[number] = min(best.get(number, spent), spent)
    return entrants[min(best, key=lambda number: best[number])]


def _steps_to_fill(contender: Contender, seconds: float) -> int:
    """Steps that take about so many seconds; calls it often enough to be warm."""
    contender.run(1)
    contender.run(2)
    steps, spent = 1, _seconds(contender, 1)
    while spent < seconds / 2 and steps < _MOST_STEPS:
        growth = min(10.0, max(2.0, seconds / max(spent, 1e-9)))
        steps = min(_MOST_STEPS, int(steps * growth))
        spent = _seconds(contender, steps)
    return steps


def _seconds(contender: Contender, steps: int) -> float:
    began = time.perf_counter()
    contender.run(steps)
    return time.perf_counter() - began


_HEADINGS = ("benchmark", "who", "throughput", "ratio", "within rounds", "target", "verdict")


def table(rows: Sequence[Row]) -> str:
    """The rows as text: each benchmark under its name, ours first."""
    lines: list[Sequence[str]] = [_HEADINGS]
    previous = ""
    for row in rows:
        name = "" if row.benchmark == previous else row.benchmark
        if name and previous:
            lines.append(("",) * len(_HEADINGS))
        lines.append((name, *_cells(row)))
        previous = row.benchmark
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    target = "" if row.target is None else str(Target(row.target, row.ratio_kind))
    if row.throughput is None:
        return row.who, row.note, "", "", target, ""
    throughput = f"{quantity(row.throughput)} {row.unit}/s"
    if row.ratio is None:
        return row.who, throughput, "", "", "", ""
    label = "" if row.ratio_kind == "speed" else " (time)"
    spread = f"{_number(row.ratio_lowest)} to {_number(row.ratio_highest)}"
    verdict = {None: "", True: "met", False: "missed"}[row.met]
    return row.who, throughput, _number(row.ratio) + label, spread, target, verdict


def _number(value: float | None) -> str:
    assert value is not None
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def quantity(value: float) -> str:
    """Three digits and a prefix: 1.23e9 is '1.23 G', 45.6 is '45.6'."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"
