"""What a measurement says, and the table of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["speed", "time"]


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
class Row:
    """One line of the table.

    Attributes:
        benchmark: what is measured.
        who: who does it.
        unit: of the throughputs, per second.
        throughput: from the best round.
        median: from the median round.
        ratio: ours against this peer, from the best round of each; None for ours. Where sizes of an
            ensemble are compared, this size against the best one.
        ratio_lowest, ratio_highest: of the ratios within one round.
        ratio_kind: "speed" or "time".
        target: the bound on the ratio, or None.
        met: whether it holds, or None without a target.
        note: why there are no numbers.
        chains: size of the ensemble, for the figure, or None.
        call_share: share of a round that calls take whatever their steps, None where it is not known.
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
    chains: int | None = None
    call_share: float | None = None


# A round should hold no more than this of what calls take whatever their steps.
CALL_SHARE = 0.05
# of these one wants to know how long each takes
_TIMED = {"calls": "call", "programs": "program"}
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
    return in_columns(lines)


def calls_told(rows: Sequence[Row]) -> str:
    """Which rows tell more of calls than of steps, in a sentence."""
    told = [
        f"{row.benchmark} / {row.who} ({row.call_share:.0%})"
        for row in rows
        if row.call_share is not None and round(row.call_share, 2) > CALL_SHARE
    ]
    limit = f"rounds of which calls take more than {CALL_SHARE:.0%} whatever their steps"
    return f"{limit}, so that steps are faster than told: {'; '.join(told)}" if told else f"{limit}: none"


def in_columns(lines: Sequence[Sequence[str]]) -> str:
    """Cells below each other, the headings, which come first, underlined."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ruled = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in ruled
    )


def _cells(row: Row) -> tuple[str, ...]:
    target = "" if row.target is None else str(Target(row.target, row.ratio_kind))
    if row.throughput is None:
        return row.who, row.note, "", "", target, ""
    throughput = rate(row.throughput, row.unit)
    if row.ratio is None:
        return row.who, throughput, "", "", "", ""
    label = "" if row.ratio_kind == "speed" else " (time)"
    spread = f"{short(row.ratio_lowest)} to {short(row.ratio_highest)}"
    verdict = {None: "", True: "met", False: "missed"}[row.met]
    return row.who, throughput, short(row.ratio) + label, spread, target, verdict


def rate(value: float, unit: str) -> str:
    """Units per second, or the time of one; capitals take the prefix: GB and GFLOP, but M steps."""
    if unit in _TIMED:
        return f"{short(1e3 / value)} ms/{_TIMED[unit]}"
    number, _, prefix = quantity(value).partition(" ")
    return f"{number} {prefix}{unit}/s" if unit.isupper() else f"{quantity(value)} {unit}/s"


def short(value: float | None) -> str:
    """Three digits."""
    assert value is not None
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def quantity(value: float) -> str:
    """Three digits and a prefix: 1.23e9 is '1.23 G', 45.6 is '45.6'."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"
