"""What stands for a process and its problem in a result that was read: numbers and names, no functions."""

import abc
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from sde_sgd import _samplings
from sde_sgd._platform.files._structure import made_of
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import Process, RateSchedule

_Class = TypeVar("_Class")


class _Refusal:
    """A method of what is known by name only."""

    def __init__(self, method: str):
        self.method = method

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return lambda *_, **__: _refuse(getattr(instance, "name", "it"), self.method)


def _refusing(*methods: str) -> Callable[[type[_Class]], type[_Class]]:
    """Gives a class these methods, all of which refuse."""

    def given(owner: type[_Class]) -> type[_Class]:
        for method in methods:
            setattr(owner, method, _Refusal(method))
        return abc.update_abstractmethods(owner)

    return given


def _refuse(name: str, method: str) -> NoReturn:
    raise ValueError(
        f"{method}: this result was read from a file or pickle, in which its {name} is described and not "
        f"held. Build it again (result.provenance['call'] says how) and put it back: "
        f"read_run(path, process=...) or result.with_process(...)."
    )


@_refusing(
    "init",
    "loss",
    "sampler",
    "batch_gradient",
    "driving_noise",
    "noisy_gradient",
    "noise_variance",
    "gradient_covariance",
    "gradient",
    "hessian",
    "minima",
)
class SavedProblem(Problem):
    """A problem of which the name and the size of its data set are known."""

    name: str = eqx.field(static=True)
    size: int | None = eqx.field(static=True)

    @property
    def dataset_size(self) -> int | None:
        return self.size


@_refusing("init", "streams", "step", "steps", "advance")
class SavedProcess(Process):
    """A process of which the name, η, B, m and the times of the records are known.

    Attributes:
        name: its class, such as "SGD".
        times: SDE time of the records.
        sampling: how it drew its batches; None if it drew none, or the file does not say.
    """

    problem: Problem
    hyper: Hyperparameters
    schedule: RateSchedule | None
    origin: Any
    name: str = eqx.field(static=True)
    times: np.ndarray
    sampling: str | None = eqx.field(static=True)

    @property
    def examples_per_gradient(self) -> int | None:
        return self.hyper.batch_size

    def __repr__(self) -> str:
        return f"SavedProcess({self.name} of {getattr(self.problem, 'name', '?')})"


def saved_process(process: Process, times: np.ndarray) -> SavedProcess:
    """What stands for a process."""
    if isinstance(process, SavedProcess):
        return process
    hyper = process.hyper
    return rebuilt(
        {
            "process": type(process).__name__,
            "problem": type(process.problem).__name__,
            "dataset_size": process.problem.dataset_size,
            "batch_size": hyper.batch_size,
            "has_momentum": hyper.has_momentum,
            "origin": int(process.origin),
            "sampling": _samplings.of(process),
        },
        {"learning_rate": np.asarray(hyper.learning_rate), "momentum": np.asarray(hyper.momentum)},
        times,
    )


def facts(process: SavedProcess) -> dict[str, Any]:
    """All about it but its arrays."""
    return {
        "process": process.name,
        "problem": process.problem.name,  # type: ignore[attr-defined]
        "dataset_size": process.problem.dataset_size,
        "batch_size": process.hyper.batch_size,
        "has_momentum": process.hyper.has_momentum,
        "origin": int(process.origin),
        "sampling": process.sampling,
    }


def rebuilt(told: dict[str, Any], rates: dict[str, np.ndarray], times: np.ndarray) -> SavedProcess:
    """A stand-in from its facts and arrays, to the last bit."""
    sizes = {"batch_size": told["batch_size"], "has_momentum": told["has_momentum"]}
    fields: dict[str, PyTree] = {
        "problem": made_of(SavedProblem, {"name": told["problem"], "size": told["dataset_size"]}),
        "hyper": made_of(Hyperparameters, {**rates, **sizes}),
        "schedule": None,
        "origin": np.int32(told["origin"]),
        "name": told["process"],
        "times": times,
        "sampling": told.get("sampling"),
    }
    result: SavedProcess = made_of(SavedProcess, fields)
    return result
