"""What a card is, and how its verdict comes about."""

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from matplotlib.figure import Figure

from paper_checks._context import Context


class Verdict(StrEnum):
    """From best to worst."""

    REPRODUCED = "reproduced"
    PARTLY = "partly"
    NOT_REPRODUCED = "not reproduced"
    NOT_TESTED = "not tested at this scale"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return list(Verdict).index(self)


def decide(parts: Sequence[bool], *, control_failed: bool) -> Verdict:
    """All parts of the claim met: reproduced; some: partly; none: not reproduced.

    Where the control did not fail, what was met proves nothing, so the claim counts as not tested;
    a claim of which nothing was met stays not reproduced. No parts at all: not tested.
    """
    if parts and not any(parts):
        return Verdict.NOT_REPRODUCED
    if not parts or not control_failed:
        return Verdict.NOT_TESTED
    return Verdict.REPRODUCED if all(parts) else Verdict.PARTLY


@dataclass(frozen=True)
class Measurement:
    """One number of a card, beside what it should be.

    Attributes:
        name: what was measured, in a few words.
        estimate: the number.
        threshold: what it must satisfy, in words and numbers; for one that only informs, what to
            compare it with.
        met: whether it does; None for one that only informs.
        standard_error: None where there is none, as for quadrature.
        n: independent values behind it.
        p: p-value of the null hypothesis that the threshold names.
    """

    name: str
    estimate: float
    threshold: str
    met: bool | None
    standard_error: float | None = None
    n: int | None = None
    p: float | None = None

    @property
    def value(self) -> str:
        """Estimate ± standard error, the error to two digits."""
        error = self.standard_error
        if error is None or not 0 < error < float("inf"):
            text = f"{self.estimate:.3g}"
        elif 1e-5 <= error < 1e5:
            digits = max(0, 1 - int(f"{error:.1e}".partition("e")[2]))
            text = f"{self.estimate:.{digits}f} ± {error:.{digits}f}"
        else:
            text = f"{self.estimate:.3g} ± {error:.2g}"
        return text.replace("-", "−")

    @property
    def words(self) -> tuple[str, str, str, str]:
        """Name, value, threshold and whether it is met."""
        return self.name, self.value, self.threshold, self.judged

    @property
    def judged(self) -> str:
        """Whether it satisfies its threshold, in a word."""
        return {True: "met", False: "not met", None: "for information"}[self.met]

    def __str__(self) -> str:
        return "{}: {} ({}: {})".format(*self.words)


@dataclass(frozen=True)
class Outcome:
    """What a card's check found.

    Attributes:
        measurements: the main one first. The verdict follows from those with `met` true or false.
        control: measured and judged as the main one is, where the claim must not hold: it must come
            out with `met` false. None only for a claim that was not tested.
        summary: one sentence for readers of the table.
        figure: makes the point at a glance.
    """

    measurements: tuple[Measurement, ...]
    control: Measurement | None
    summary: str
    figure: Figure | None = None

    def __post_init__(self) -> None:
        if self.control is None and any(one.met is not None for one in self.measurements):
            raise ValueError("control must be given where measurements are judged: a test needs one.")
        if self.control is not None and self.control.met is None:
            raise ValueError("control must be judged: its met is True (the test is blind) or False.")

    @classmethod
    def not_tested(cls, why: str) -> "Outcome":
        """For a claim that this scale cannot test."""
        return cls((), None, why)

    @property
    def control_failed(self) -> bool:
        """Whether the control came out as it must."""
        return self.control is not None and self.control.met is False

    @property
    def verdict(self) -> Verdict:
        """See `decide`."""
        parts = [one.met for one in self.measurements if one.met is not None]
        return decide(parts, control_failed=self.control_failed)

    def __repr__(self) -> str:
        count = len(self.measurements)
        return f"Outcome({self.verdict}; {count} measurements; {self.summary})"

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.summary}", *(f"  {one}" for one in self.measurements)]
        return "\n".join(lines if self.control is None else [*lines, f"  control, must fail: {self.control}"])

    def _repr_html_(self) -> str:
        """Verdict, measurements and figure for a notebook."""
        rows: list[tuple[str, ...]] = [("", "measured", "must be", "")]
        rows += [one.words for one in self.measurements]
        if self.control is not None:
            name, *rest = self.control.words
            rows.append((f"control, must fail: {name}", *rest))
        return _panel("Outcome", f"{self.verdict}. {self.summary}", {}, rows, self.figure)


@dataclass(frozen=True)
class Paper:
    """A paper whose claims are checked.

    Attributes:
        name: for `--paper`, lower-case letters, digits and hyphens.
        title: of the paper.
        source: authors, year, identifier.
    """

    name: str
    title: str
    source: str

    def __post_init__(self) -> None:
        _check_slug("name", self.name)

    def at(self, place: str) -> "Place":
        """Where it makes a claim: section, equation or figure."""
        return Place(self, place)


@dataclass(frozen=True)
class Card:
    """One claim and its test. All texts are plain and self-contained: they make the report.

    They may be written over several lines, which become one.

    Attributes:
        id: for `--only`, lower-case letters, digits and hyphens, unique among all papers.
        paper: where the claim is made.
        place: section, equation or figure.
        claim: in our words.
        data: what it is tested on at the scale "quick", in a few words; it stands in the table of verdicts.
        paper_setting: how the paper tested it.
        our_setting: how it is tested here, sizes of every scale included.
        statistic: what is computed.
        threshold: what it must satisfy.
        reason: where the threshold comes from: theory, null distribution or the paper's effect size.
        control: where the claim must not hold, so that the same test must fail.
        check: makes the test.
    """

    id: str
    paper: Paper
    place: str
    claim: str
    data: str
    paper_setting: str
    our_setting: str
    statistic: str
    threshold: str
    reason: str
    control: str
    check: Callable[[Context], Outcome]

    def __post_init__(self) -> None:
        _check_slug("id", self.id)
        for name, text in self.texts().items():
            # written over several lines in the source, one line everywhere else
            object.__setattr__(self, name, re.sub(r"[ \n]+", " ", text).strip())
            if not text.strip():
                raise ValueError(f"{name} of card {self.id!r} must say something, got {text!r}.")

    def __repr__(self) -> str:
        return f"Card({self.id!r} of {self.paper.name}: {self.claim})"

    def __str__(self) -> str:
        names = ((name.replace("_", " "), text) for name, text in self.texts().items())
        return "\n".join([f"{self.paper.title} ({self.paper.source})", *(f"  {n}: {t}" for n, t in names)])

    def _repr_html_(self) -> str:
        """Claim, setting, threshold and control for a notebook."""
        texts = {name.replace("_", " "): text for name, text in self.texts().items() if name != "id"}
        source = {"paper": f"{self.paper.title}, {self.paper.source}"}
        return _panel("Card", self.id, source | texts)

    def texts(self) -> dict[str, str]:
        """Name → text of all fields but paper and check."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("paper", "check")
        }


@dataclass(frozen=True)
class Place:
    """Where in a paper a claim is made."""

    paper: Paper
    text: str

    def card(self, *, check: Callable[[Context], Outcome], **texts: str) -> Card:
        """The card of a claim made there, from its other texts; its id is the name of the file of `check`."""
        name = check.__module__.rpartition(".")[2].replace("_", "-")
        return Card(id=name, paper=self.paper, place=self.text, check=check, **texts)


def _panel(*shown: Any) -> str:
    """As HTML. Not imported as the rest is: how a card looks is no part of what sets its result."""
    return str(importlib.import_module("paper_checks._notebook").panel(*shown))


def _check_slug(name: str, value: str) -> None:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value):
        raise ValueError(f"{name} must be lower-case letters, digits and hyphens, got {value!r}.")
