"""What a diagnosis holds, its answers, and the report in lines of at most 80 characters."""

import math
import textwrap
from dataclasses import dataclass

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown, short
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.validity import _panels
from sde_sgd.validity._causes import Cause, Directions
from sde_sgd.validity._interval import BEYOND, CANNOT_TELL, WITHIN
from sde_sgd.validity._pilot import Pilot
from sde_sgd.validity._weak_error import WeakError

_ASKED = ("sde", "gibbs")
# what the others should explain
_OBSERVED = ("measured", "unexplained")
_WIDTH = 80
# characters that a ratio and its ends may take
_RATIO = 24
_MARKS = {WITHIN: "ok", BEYOND: "NO", CANNOT_TELL: "??"}
_QUESTIONS = {"sde": "SGD follows its SDE", "gibbs": "and settles in exp(-2L/T) within its well"}
# Beyond so many pilots nobody will go on
_MANY = 1000.0


@dataclass(frozen=True, repr=False)
class Diagnosis(Shown):
    """What `diagnose` found. Print it, or draw it with `plot.diagnosis`.

    Attributes:
        problem, hyper, sampling, steps: what was asked about.
        causes: every way to fail, worst first.
        directions: temperatures per direction, predicted, corrected and measured.
        weak_error: mean loss of SGD less that of the SDE in small steps at the end of the pilot, from
            independent chains; None if chains diverged or the small steps were too many.
        pilot: all that was measured.
        seconds: wall-clock time.
    """

    problem: Problem
    hyper: Hyperparameters
    sampling: Sampling
    steps: int
    causes: tuple[Cause, ...]
    directions: Directions
    weak_error: WeakError | None
    pilot: Pilot
    seconds: float

    def answer(self, breaks: str = "sde") -> str:
        """One of "yes", "no" and "cannot tell".

        "no" needs one cause shown to be beyond its limit, "yes" needs all of them shown to be within,
        the measured ratio of variances among them.

        Args:
            breaks: "sde" for "does SGD follow its SDE?", "gibbs" for "does one temperature describe all
                directions beyond that?".
        """
        answers = {cause.answer for cause in self._asked(breaks)}
        if BEYOND in answers:
            return "no"
        return "cannot tell" if CANNOT_TELL in answers else "yes"

    @property
    def verdict(self) -> str:
        """Does SGD follow its SDE? "yes", "no" or "cannot tell"."""
        return self.answer("sde")

    def worst(self, breaks: str | None = None) -> Cause | None:
        """The worst cause beyond its limit: of any kind, of "sde" or of "gibbs"; None if there is none.

        "measured" and "unexplained" are what the others should explain, and not named where it can be
        helped: if they stand alone, the worst cause that is likely, though not shown, to be beyond its limit
        comes first. Where the steps are too long and the noise is too skewed, the step size comes first:
        smaller steps of the same batches shrink the skewness of θ as well, and larger batches only that.
        """
        asked = [cause for cause in self.causes if breaks in (None, cause.breaks)]
        beyond = [cause for cause in asked if not cause.holds]
        named = [cause for cause in beyond if cause.name not in _OBSERVED]
        if beyond and not [cause for cause in named if cause.breaks == "sde"]:
            observed = any(cause.name in _OBSERVED for cause in beyond)
            likely = [one for one in asked if one.breaks == "sde" and one.effect > one.limit]
            likely = [one for one in likely if one.answer == CANNOT_TELL and one.name not in _OBSERVED]
            named = (likely if observed else []) + named
        found = next(iter(named or beyond), None)
        if found is not None and found.name == "skewness" and not found.holds:
            return next((cause for cause in named if cause.name == "step size" and not cause.holds), found)
        return found

    def undecided(self, breaks: str = "sde") -> tuple[Cause, ...]:
        """The causes that the pilot cannot tell from their limits."""
        return tuple(cause for cause in self._asked(breaks) if cause.answer == CANNOT_TELL)

    @property
    def sde_holds(self) -> bool | None:
        """Whether SGD follows its SDE; None if this pilot cannot tell."""
        return {"yes": True, "no": False}.get(self.answer("sde"))

    @property
    def gibbs_holds(self) -> bool | None:
        """Whether, beyond that, one temperature describes all directions; None if it cannot be told."""
        return {"yes": True, "no": False}.get(self.answer("gibbs"))

    def __repr__(self) -> str:
        worst = self.worst()
        cause = "" if worst is None else f", worst cause {short(worst)}"
        gibbs = f"{_QUESTIONS['gibbs']}: {self.answer('gibbs')}"
        return f"Diagnosis(SGD follows its SDE: {self.verdict}, {gibbs}{cause}; {short(self.hyper)})"

    def __str__(self) -> str:
        return report(self)

    def _panel(self) -> Panel:
        return _panels.of_diagnosis(self)

    def _asked(self, breaks: str) -> list[Cause]:
        _checks.choice("breaks", breaks, _ASKED)
        return [cause for cause in self.causes if breaks == "gibbs" or cause.breaks == "sde"]


def report(found: Diagnosis) -> str:
    """The answers, every cause, and the temperatures."""
    h = found.hyper
    lines = [
        *_answer(found, "sde"),
        *_answer(found, "gibbs"),
        "",
        *_wrapped(
            f"SGD on {type(found.problem).__name__}: η = {float(h.learning_rate):.4g}, B = {h.batch_size}, "
            f"m = {float(h.momentum):.4g}, sampling {found.sampling}, {found.steps} steps"
        ),
        *_wrapped(f"pilot: {found.pilot.chains} chains of {found.pilot.steps} steps, {found.seconds:.1f} s"),
        "",
        "      cause        effect    from     to   limit",
    ]
    for cause in found.causes:
        lines += _cause(cause)
    if found.weak_error is not None:
        value, error = found.weak_error["loss"]
        lines += [
            "",
            *_wrapped(
                f"mean loss at the end of the pilot, SGD less {found.weak_error.process}: "
                f"{value:+.2g} ± {error:.1g} of {found.weak_error.sde[0]:.3g}"
            ),
        ]
    return "\n".join([*lines, "", *_directions(found)])


def _answer(found: Diagnosis, breaks: str) -> list[str]:
    question = _QUESTIONS[breaks]
    answer = found.answer(breaks)
    if answer == "yes":
        return [f"{question}: yes"]
    cause = found.worst("sde" if breaks == "sde" else None)
    if answer == "no":
        assert cause is not None
        likely = " most likely" if cause.holds else ""
        return _wrapped(f"{question}: NO,{likely} because of {cause.name} ({cause.text})")
    names = ", ".join(one.name for one in found.undecided(breaks))
    return _wrapped(f"{question}: cannot tell from this pilot ({names}); {how_long(found, breaks)}")


def how_long(found: Diagnosis, breaks: str) -> str:
    """What a pilot that tells would take."""
    needed = max(cause.pilots_needed for cause in found.undecided(breaks))
    if needed > _MANY:
        return "an effect lies so close to its limit, or is so uncertain, that no pilot will"
    chains = math.ceil(found.pilot.chains * needed * 1.2 - 1e-6)
    return f"one of about {chains} chains of {found.pilot.steps} steps would"


def _cause(cause: Cause) -> list[str]:
    low, high = map(_number, cause.interval)
    head = (
        f"  {_MARKS[cause.answer]}  {cause.name:12} {_number(cause.effect):>6}  {low:>6} {high:>6}  "
        f"{cause.limit:>6.3g}"
    )
    return [head, *_wrapped(cause.text, indent=" " * 6)]


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0e}" if math.isfinite(value) else "∞"
    # so many digits that what is beside a limit is on its side of it
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1g}"


def _directions(found: Diagnosis) -> list[str]:
    along = found.directions
    lines = ["           temperature: SDE  corrected       measured   variance SGD/SDE"]
    for number, value in enumerate(found.pilot.curvature):
        measured = f"{along.measured[number]:.3g} ± {along.measured_error[number]:.1g}"
        low, high = along.variance_low[number], along.variance_high[number]
        ratio = f"{along.variance_ratio[number]:.2f} ({low:.2f}-{high:.2f})"
        if not np.isfinite([low, high]).all() or found.pilot.diverged:
            ratio = "not measured"
        elif len(ratio) > _RATIO:
            ratio = f"{along.variance_ratio[number]:.1e} ({low:.0e}-{high:.0e})"
        lines.append(
            f"  {number + 1:2}  λ {value:8.3g} {along.predicted[number]:8.3g}  "
            f"{along.corrected[number]:9.3g}  {measured:>15}  {ratio:>17}"
        )
    return lines


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent or "  ", break_long_words=True
    )
