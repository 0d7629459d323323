"""A diagnosis in words, in lines of at most 80 characters."""

import math
import textwrap
from typing import TYPE_CHECKING

import numpy as np

from sde_sgd.validity._causes import Cause
from sde_sgd.validity._interval import BEYOND, CANNOT_TELL, WITHIN

if TYPE_CHECKING:
    from sde_sgd.validity._diagnose import Diagnosis

_WIDTH = 80
# characters that a ratio and its ends may take
_RATIO = 24
_MARKS = {WITHIN: "ok", BEYOND: "NO", CANNOT_TELL: "??"}
_QUESTIONS = {"sde": "SGD follows its SDE", "gibbs": "and settles in exp(-2L/T)"}
# Beyond so many pilots nobody will go on
_MANY = 1000.0


def report(found: "Diagnosis") -> str:
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


def _answer(found: "Diagnosis", breaks: str) -> list[str]:
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


def how_long(found: "Diagnosis", breaks: str) -> str:
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
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0e}" if math.isfinite(value) else "∞"


def _directions(found: "Diagnosis") -> list[str]:
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
