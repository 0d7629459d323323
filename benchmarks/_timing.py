"""Interleaved timing: ours and every peer in turn, round after round."""

import importlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

from benchmarks._rows import CALL_SHARE, Kind, Row, Target

INSTALL_HINT = "pip install -e '.[benchmarks]'"

# Thread pools of some peers spin for a while after their work; the next one must not pay for it.
_REST_SECONDS = 0.03
_MOST_STEPS, _LEAST = 2**24, 1e-9


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, and seconds that one timing should take."""

    rounds: int
    seconds: float

    def long(self) -> "Effort":
        """So long that the few ms which a call of `run` takes whatever its steps are below 1 %."""
        return replace(self, seconds=4 * self.seconds)


# A timing takes up to so many times longer, to keep the calls' own time below `CALL_SHARE` of it.
_LONGEST = 8
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
class Entrant:
    """A contender with the number of steps that fills one timing.

    Attributes:
        call_share: share of a timing that a call takes whatever its steps, None where it is not known.
    """

    contender: Contender
    steps: int
    call_share: float | None = None

    def seconds_per_unit(self) -> float:
        """Time it once."""
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


def announce(benchmark: str) -> None:
    """Say on the standard error what is being measured."""
    print(f"measuring {benchmark} …", file=sys.stderr, flush=True)


def compare(benchmark: str, unit: str, ours: Contender, peers: Sequence[Peer], effort: Effort) -> list[Row]:
    """Time ours and then each peer, `effort.rounds` times over, all in one process.

    A machine's speed drifts; what is timed within a second or two of each other meets much the
    same drift. Compilation and first calls are left out.
    """
    announce(benchmark)
    first = enter([ours], effort.seconds)
    others = [_enter_peer(peer, effort.seconds) for peer in peers]
    entrants = [first, *(other for other in others if isinstance(other, Entrant))]
    own, *spent = race(entrants, effort.rounds)
    rows = [own_row(benchmark, unit, first, own)]
    for peer, other in zip(peers, others, strict=True):
        if isinstance(other, Missing):
            rows.append(_missing_row(benchmark, unit, peer, other))
        else:
            theirs = spent.pop(0)
            row = own_row(benchmark, unit, other, theirs)
            above, below = (theirs, own) if peer.ratio_kind == "speed" else (own, theirs)
            rows.append(with_ratio(row, above, below, peer.target))
    return rows


def enter(variants: Sequence[Contender], seconds: float) -> Entrant:
    """The fastest of some ways of doing the same, warm and with the steps that take so many seconds."""
    entrants = [_filled(one, seconds) for one in variants]
    if len(entrants) == 1:
        return entrants[0]
    best: dict[int, float] = {}
    for _ in range(3):
        for number, entrant in enumerate(entrants):
            spent = entrant.seconds_per_unit()
            best[number] = min(best.get(number, spent), spent)
    return entrants[min(best, key=lambda number: best[number])]


def enter_with(contender: Contender, steps: int) -> Entrant:
    """A contender with that number of steps, warm."""
    contender.run(1)
    spent = _seconds(contender, steps)
    if steps == 1:
        return Entrant(contender, steps)
    once = _quickest(contender, 1)
    call = max(0.0, once - (spent - once) / (steps - 1))
    return Entrant(contender, steps, call / spent)


def race(entrants: Sequence[Entrant], rounds: int) -> list[list[float]]:
    """Seconds per unit of work of each entrant, in every round; each round times all of them in turn."""
    spent: list[list[float]] = [[] for _ in entrants]
    for _ in range(rounds):
        for entrant, times in zip(entrants, spent, strict=True):
            times.append(entrant.seconds_per_unit())
    return spent


def own_row(benchmark: str, unit: str, entrant: Entrant, spent: Sequence[float]) -> Row:
    """What one entrant reached, from its seconds per unit in every round."""
    best, median = 1 / min(spent), 1 / statistics.median(spent)
    return Row(benchmark, entrant.contender.who, unit, best, median, call_share=entrant.call_share)


def with_ratio(row: Row, above: Sequence[float], below: Sequence[float], target: Target | None) -> Row:
    """The row with the ratio of two lists of seconds per unit, one of each round."""
    ratio = min(above) / min(below)
    within = [first / second for first, second in zip(above, below, strict=True)]
    return replace(
        row,
        ratio=ratio,
        ratio_lowest=min(within),
        ratio_highest=max(within),
        ratio_kind="speed" if target is None else target.kind,
        target=None if target is None else target.value,
        met=None if target is None else target.met(ratio),
    )


def _missing_row(benchmark: str, unit: str, peer: Peer, reason: Missing) -> Row:
    return Row(
        benchmark,
        peer.who,
        unit,
        ratio_kind=peer.ratio_kind,
        target=None if peer.target is None else peer.target.value,
        note=str(reason),
    )


def _enter_peer(peer: Peer, seconds: float) -> Entrant | Missing:
    try:
        return enter(peer.build(), seconds)
    except Missing as reason:
        return reason


def _filled(contender: Contender, seconds: float) -> Entrant:
    """The contender with steps for so many seconds, or for more if a call would be a good part of them."""
    contender.run(1)
    most = _LONGEST * seconds
    once, twice = _seconds(contender, 1), _seconds(contender, 2)
    if min(once, twice - once) >= most:  # one step is more than is asked for: no need to time many
        return Entrant(contender, 1)
    call, step = _call_and_step(contender, seconds)
    wanted = max(seconds, min(call / CALL_SHARE, most)) - call
    steps = min(_MOST_STEPS, max(1, round(wanted / step)))
    return Entrant(contender, steps, call / (call + steps * step))


def _call_and_step(contender: Contender, seconds: float) -> tuple[float, float]:
    """Seconds that a call takes whatever its steps, and those of a step, from so many seconds of steps."""
    once, steps = _quickest(contender, 1), 2
    while True:
        more = _seconds(contender, steps) - once
        if more >= seconds / 2:  # a machine that was busy for a moment must not end this
            more = min(more, _seconds(contender, steps) - once)
        if more >= seconds / 2 or steps >= _MOST_STEPS:
            step = max(more, _LEAST) / (steps - 1)
            return max(0.0, once - step), step
        growth = min(10.0, max(2.0, seconds / max(more, _LEAST)))
        steps = min(_MOST_STEPS, int(steps * growth))


def _quickest(contender: Contender, steps: int) -> float:
    return min(_seconds(contender, steps) for _ in range(2))


def _seconds(contender: Contender, steps: int) -> float:
    began = time.perf_counter()
    contender.run(steps)
    return time.perf_counter() - began
