"""What a user asks a run to look at, as functions of one chain's parameters under names."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sde_sgd import _checks
from sde_sgd._types import Observable, Records
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import Process
from sde_sgd.simulation._recording import Histogram, Recorder

# What a problem can say of one chain in one number, as far as it can.
_TELLING = ("loss", "accuracy", "training_accuracy", "test_loss")


def named(argument: str, asked: Any) -> dict[str, Any]:
    """name → what is asked for: from such a mapping, a list of method names, or one method name.

    Raises:
        ValueError: for anything else.
    """
    if asked is None:
        return {}
    if isinstance(asked, str):
        return {asked: asked}
    if isinstance(asked, Mapping):
        for name in asked:
            if not isinstance(name, str):
                raise ValueError(f"{argument} must have names that are strings, got {_checks.short(name)}.")
        return dict(asked)
    if not isinstance(asked, Sequence) or not all(isinstance(name, str) for name in asked):
        raise ValueError(
            f"{argument} must be name → function of one chain's parameters, as in "
            f'{argument}={{"loss": problem.loss}}, or a list of names of methods of the problem, as in '
            f'{argument}=["loss"], got {_checks.short(asked)}.'
        )
    return {name: name for name in asked}


def observable(argument: str, asked: Observable | str, problem: Problem) -> Observable:
    """A function of one chain's parameters, from itself or from the name of a method of the problem.

    Raises:
        ValueError: for anything else, or a method that the problem does not have.
    """
    if not isinstance(asked, str):
        if not callable(asked):
            raise ValueError(
                f"{argument} must hold functions of one chain's parameters, or names of methods of the "
                f"problem, got {_checks.short(asked)}."
            )
        return asked
    found: Any = getattr(problem, asked, None)
    if asked.startswith("_") or not callable(getattr(type(problem), asked, None)):
        there = ", ".join(repr(name) for name in _TELLING if hasattr(problem, name))
        raise ValueError(
            f"{argument}: {type(problem).__name__} has no method {asked!r} to observe; it has {there}. Any "
            f'other function of the parameters goes by a name: {argument}={{"name": function}}.'
        )
    result: Observable = found
    return result


def observables(argument: str, asked: Any, problem: Problem) -> dict[str, Observable]:
    """name → function of one chain's parameters."""
    return {name: observable(argument, one, problem) for name, one in named(argument, asked).items()}


def histograms(asked: Any, problem: Problem) -> dict[str, Histogram]:
    """name → `Histogram`, from such a mapping or from one `Histogram`.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(asked, Histogram):
        asked = {"theta" if not isinstance(asked.observable, str) else asked.observable: asked}
    if asked is not None and not isinstance(asked, Mapping):
        raise ValueError(
            f"histograms must be name → Histogram(low, high), or one Histogram, got {_checks.short(asked)}."
        )
    found = {}
    for name, ask in named("histograms", asked).items():
        if not isinstance(ask, Histogram):
            raise ValueError(
                f"histograms must hold Histogram(low, high, bins, observable), got {_checks.short(ask)} "
                f"under {name!r}."
            )
        if isinstance(ask.observable, str):
            function = observable("histograms", ask.observable, problem)
            ask = Histogram(ask.low, ask.high, ask.bins, function)  # noqa: PLW2901
        found[name] = ask
    return found


def make_recorder(
    process: Process,
    record: Records | None = None,
    moments: Records | None = None,
    histograms_asked: Mapping[str, Histogram] | Histogram | None = None,
    stop_loss: float | None = None,
    stop: Callable[[Any], Any] | None = None,
) -> Recorder:
    """What is kept of a run, from the arguments of `run`."""
    if not isinstance(process, Process):
        raise ValueError(
            f"process must be SGD(...), Langevin(...) or the like, got {_checks.short(process)}."
        )
    problem = process.problem
    recorder = Recorder(
        observables("record", record, problem),
        observables("moments", moments, problem),
        histograms(histograms_asked, problem),
    )
    if stop_loss is not None:
        limit = _checks.array("stop_loss", _checks.scalar("stop_loss", stop_loss))
        recorder = dataclasses.replace(recorder, loss=problem.loss, stop_loss=limit)
    if stop is not None:
        if not callable(stop):
            raise ValueError(
                f"stop must be a function of one chain's parameters that says true where the chain is to "
                f"stop, got {_checks.short(stop)}. A loss to stop at is stop_loss=...."
            )
        recorder = dataclasses.replace(recorder, stop=stop)
    return recorder
