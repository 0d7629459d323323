"""The processes of a sweep, made by what the user gave."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sde_sgd import _checks, _samplings
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import Process
from sde_sgd.schedules import Stage

MakeProcess = Callable[..., Process]


def made(make: MakeProcess, problem: Problem, hyper: Hyperparameters, schedule: Any) -> Process:
    """The process, with `schedule` if it is not None.

    Raises:
        ValueError: if `make` does not take these, or gives something else.
    """
    try:
        process = make(problem, hyper, **({} if schedule is None else {"schedule": schedule}))
    except TypeError as error:
        more = "" if schedule is None else ", schedule=...)"
        raise ValueError(
            f"process must make a process from (problem, hyper{more or ')'}, but "
            f"{_checks.short(make)} failed: {error}"
        ) from error
    if not isinstance(process, Process):
        raise ValueError(
            f"process must make a process from (problem, hyper), got {_checks.short(process)} from it."
        )
    return process


class SamplingOf:
    """How the process that is made for a stage draws its batches, on which the length of an epoch hangs.

    One process is made for each problem and batch size, to see.
    """

    def __init__(self, make: MakeProcess):
        self._make = make
        self._known: dict[tuple[int, int], str | None] = {}

    def __call__(self, problem: Problem, stage: Stage) -> str | None:
        """The sampling's name; None where no batches are drawn."""
        place = id(problem), stage.batch_size
        if place not in self._known:
            is_function = callable(stage.learning_rate)
            rate = np.asarray([1.0 if is_function else stage.learning_rate])
            hyper = Hyperparameters(rate, stage.batch_size, np.asarray([stage.momentum]))
            schedule = stage.learning_rate if is_function else None
            self._known[place] = _samplings.of(made(self._make, problem, hyper, schedule))
        return self._known[place]
