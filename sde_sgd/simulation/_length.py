"""How long a run is: steps, epochs or SDE time, and where its samples lie, all in steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from sde_sgd import _checks, _samplings
from sde_sgd.processes._base import LAST_STEP, Process
from sde_sgd.schedules import nearest
from sde_sgd.simulation._plan import as_marks


@dataclass(frozen=True)
class Length:
    """A length in steps, and what is measured on the same clock.

    Attributes:
        steps: of the run.
        marks: steps at which samples are taken, rising, without the start.
        burn_in: steps before statistics are gathered.
    """

    steps: int
    marks: range | np.ndarray
    burn_in: int

    @property
    def last_mark(self) -> int:
        """The last sample that statistics take, 0 if there is none."""
        return int(self.marks[-1]) if len(self.marks) else 0


def in_steps(process: Process, *, steps: Any, epochs: Any, time: Any, every: Any, burn_in: Any) -> Length:
    """The length of a run in steps, from one of steps, epochs kB/N (k/⌈N/B⌉ for sampling="shuffle_all")
    and SDE time ηk/(1 − m).

    `every` and `burn_in` are in the unit of the length: how far apart samples are, or where they lie. Samples
    lie at the nearest step.

    Raises:
        ValueError: unless exactly one length is given and makes sense, and for samples less than a step
            apart, not rising, or beyond the end.
    """
    given = {"steps": steps, "epochs": epochs, "time": time}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(f"give one of steps, epochs and time, got {' and '.join(names) or 'none'}.")
    if steps is not None:
        return _of_steps(steps, every, burn_in)
    (unit,) = names
    rate = _steps_in_one(process, unit)
    length = _checks.scalar(unit, given[unit], above=0, hint="Leave it out to give steps.")
    whole = _in_range(unit, length * rate)
    if whole < 1:
        raise ValueError(f"{unit} must be at least one step, which is {1 / rate:g} {unit}, got {length:g}.")
    burn_in = _checks.scalar("burn_in", burn_in, at_least=0)
    begin = _check_burn_in(_in_range("burn_in", burn_in * rate), whole, f"{burn_in:g} {unit}")
    if every is None:
        return Length(whole, range(whole, whole + 1, whole), begin)
    if is_list(every):
        marks = nearest(np.asarray(rising(every, length, unit)) * rate)
        if np.any(np.diff(marks, prepend=0) < 1):
            raise ValueError(
                f"every must hold places at least one step apart, which is {1 / rate:g} {unit}, got "
                f"{_checks.short(list(every))}."
            )
        return Length(whole, as_marks(np.minimum(marks, whole)), begin)
    every = _checks.scalar("every", every, above=0)
    apart = every * rate
    if abs(apart - round(apart)) < 1e-6 * apart:  # rates have gone through float32
        apart = round(apart)
    if apart < 1:
        raise ValueError(f"every must be at least one step, which is {1 / rate:g} {unit}, got {every:g}.")
    count = math.floor(length / every + 1e-9)
    marks = np.unique(np.minimum(nearest(np.arange(1, count + 1) * apart), whole))
    return Length(whole, as_marks(marks), begin)


def _of_steps(steps: Any, every: Any, burn_in: Any) -> Length:
    steps = _in_range("steps", _checks.integer("steps", steps, at_least=1))
    burn_in = _check_burn_in(_checks.integer("burn_in", burn_in, at_least=0), steps)
    if is_list(every):
        return Length(steps, as_marks(rising(every, steps, "steps")), burn_in)
    every = steps if every is None else _checks.integer("every", every, at_least=1)
    return Length(steps, range(every, steps + 1, every), burn_in)


def is_list(values: Any) -> bool:
    """Whether it is a sequence or an array with an axis."""
    if isinstance(values, np.ndarray | jax.Array):
        return values.ndim > 0
    return isinstance(values, Sequence) and not isinstance(values, str)


def rising(every: Any, length: float, unit: str) -> tuple[Any, ...]:
    """The places of samples, in the unit of the length, without the start.

    Raises:
        ValueError: unless they rise from above 0 to the length at most; steps are whole.
    """
    if unit == "steps":
        places: Any = [
            _checks.integer("every", place, at_least=1, hint="Of others: numpy.unique(numpy.rint(every)).")
            for place in every
        ]
    else:
        places = [float(_checks.scalar("every", place, above=0)) for place in every]
    if not places or not np.all(np.diff(places) > 0):
        raise ValueError(
            f"every must be one distance, or rising places of samples such as [1, 2, 5, 10], got "
            f"{_checks.short(list(every))}."
        )
    if places[-1] > length * (1 + 1e-6):  # lists may be of float32
        raise ValueError(f"every must hold places up to the length, {length:g} {unit}, got {places[-1]:g}.")
    return tuple(places)


def _check_burn_in(burn_in: int, steps: int, given: str = "") -> int:
    if burn_in > steps:
        raise ValueError(f"burn_in must be at most the {steps} steps of the run, got {given or burn_in}.")
    return burn_in


def _steps_in_one(process: Process, unit: str) -> float:
    """Steps in one epoch, or in one unit of SDE time."""
    hyper = process.hyper
    if unit == "epochs":
        size = process.problem.dataset_size
        if size is None:
            raise ValueError(
                f"epochs need a data set, which {type(process.problem).__name__} has not; give steps or time."
            )
        steps, whole = _samplings.epoch(hyper.batch_size, size, _samplings.of(process))
        result: float = steps / whole
        return result
    worth = np.unique(np.asarray(hyper.effective_learning_rate, np.float64))
    if len(worth) > 1 or process.schedule is not None:
        why = "a schedule" if process.schedule is not None else "a learning rate or momentum for each chain"
        raise ValueError(
            f"time must be as many steps for all chains throughout, but there is {why}; give steps."
        )
    return float(1 / worth[0])


def _in_range(name: str, steps: float) -> int:
    if steps > LAST_STEP:
        raise ValueError(f"{name} must end by {LAST_STEP} steps on the clock, got {steps:.10g} of them.")
    return int(nearest(steps)) if isinstance(steps, float) else steps
