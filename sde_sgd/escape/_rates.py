"""Rates of escape over a grid of wells, learning rates and batch sizes."""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Observable, Scalar
from sde_sgd.escape._by_renewal import by_renewal
from sde_sgd.escape._rate import EscapeRate
from sde_sgd.escape._splitting import SplittingRate, by_splitting
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import Process
from sde_sgd.random import check_key
from sde_sgd.simulation._making import MakeProcess, made

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, repr=False)
class Well(Shown):
    """What chains leave.

    Attributes:
        problem: whose loss it is.
        start: parameters of one chain at its bottom.
        outside: true for the parameters of one chain that has left, or a loss at which it has.
        climb: how far out one chain is, for `by_splitting`; None for the loss.
    """

    problem: Problem
    start: PyTree
    outside: Observable | Scalar
    climb: Observable | None = None


MakeWell: TypeAlias = Callable[..., Well]
Found: TypeAlias = EscapeRate | SplittingRate

# what the dataset holds, and what is not an option but one for each point
_TAKEN = {
    "batch_size", "learning_rate", "rate", "low", "high", "steps", "time", "standard_error", "exits",
    "p_exponential",
}  # fmt: skip
_OF_A_POINT = {"process", "start", "outside", "climb", "key"}


def rates(
    process: MakeProcess,
    well: Well | MakeWell,
    *,
    learning_rate: Sequence[float] | float,
    batch_size: Sequence[int] | int = 1,
    momentum: float = 0.0,
    parameters: Mapping[str, Sequence[Any]] | None = None,
    by: Literal["renewal", "splitting"] = "renewal",
    key: Key[Array, ""],
    **options: Any,
) -> "xr.Dataset":
    """The rate of escape at every point of a grid, in one call.

        rates(SGD, lambda k: Well(steeper(k), -1 / k**0.5, 0.5), parameters={"k": [1, 2, 4]},
              learning_rate=[0.02, 0.05], batch_size=[1, 2], chains=1_000, exits=2_000, key=key)

    Args:
        process: `SGD`, or a function `(problem, hyper) -> process`, as `sweep` takes it.
        well: one well, or a function of `parameters` that makes it: their barrier, sharpness, noise.
        learning_rate, batch_size, momentum: η and B, one or several each, and m.
        parameters: name → values: a dimension each.
        by: "renewal" or "splitting": how the rate is found.
        key: of the random numbers; each point has its own.
        options: of `by_renewal` (`chains`, and `exits` or `steps`) or of `by_splitting`.

    Returns:
        Dataset over `parameters`, "batch_size" and "learning_rate": `rate` per step, `low` and `high` of its
        interval, `steps` and `time` (SDE time) of an escape; by renewal `exits` and `p_exponential`, by
        splitting `standard_error`.

    Raises:
        ValueError: as the estimator, naming the point; for names that are taken.
    """
    _checks.choice("by", by, ("renewal", "splitting"))
    check_key(key)
    axes: dict[str, list[Any]] = {name: list(values) for name, values in (parameters or {}).items()}
    taken = sorted(_TAKEN & set(axes))
    if taken or not all(axes.values()):
        raise ValueError(
            f"parameters must be name → values, some of each and none called as what the dataset holds, "
            f"{', '.join(sorted(_TAKEN))}, got {_checks.short(parameters)}."
        )
    for name, values in (("batch_size", batch_size), ("learning_rate", learning_rate)):
        axes[name] = np.atleast_1d(np.asarray(values)).tolist()
        if not axes[name]:
            raise ValueError(f"{name} must be one value or several, got none.")
    known = set(inspect.signature(by_renewal if by == "renewal" else by_splitting).parameters) - _OF_A_POINT
    if not set(options) <= known:
        raise ValueError(
            f"options must be among {', '.join(sorted(known))} for by={by!r}, got "
            f"{', '.join(sorted(set(options) - known))}; start, outside and climb belong to the Well."
        )
    found = []
    for number, point in enumerate(itertools.product(*axes.values())):
        *own, size, rate = point
        here = _well(well, dict(zip(list(axes)[:-2], own, strict=True)))
        moving = made(process, here.problem, Hyperparameters(rate, size, momentum), None)
        try:
            found.append(_one(moving, here, by, jax.random.fold_in(key, number), options))
        except ValueError as error:
            told = ", ".join(
                f"{name}={_checks.short(value)}" for name, value in zip(axes, point, strict=True)
            )
            raise ValueError(f"at {told}: {error}") from error
    return _dataset(axes, found, by)


def _well(well: Any, parameters: Mapping[str, Any]) -> Well:
    found = well if isinstance(well, Well) else _made(well, parameters)
    if not isinstance(found, Well) or (isinstance(well, Well) and parameters):
        raise ValueError(
            f"well must be a Well(problem, start, outside), or with parameters a function of them that makes "
            f"one, got {_checks.short(well)}."
        )
    return found


def _made(well: Any, parameters: Mapping[str, Any]) -> Any:
    try:
        return well(**parameters)
    except TypeError as error:
        raise ValueError(
            f"well must be made from {', '.join(parameters) or 'nothing'}, but failed: {error}"
        ) from error


def _one(process: Process, well: Well, by: str, key: Key[Array, ""], options: Mapping[str, Any]) -> Found:
    place = {"start": well.start, "outside": well.outside, "key": key}
    if by == "splitting":
        return by_splitting(process, climb=well.climb, **place, **options)
    return by_renewal(process, **place, **options)


def _dataset(axes: Mapping[str, Sequence[Any]], found: Sequence[Found], by: str) -> "xr.Dataset":
    import xarray as xr

    columns: dict[str, list[float]] = {
        "rate": [one.rate for one in found],
        "low": [one.interval[0] for one in found],
        "high": [one.interval[1] for one in found],
        "steps": [one.steps for one in found],
        "time": [one.time for one in found],
    }
    for one in found:
        if isinstance(one, SplittingRate):
            columns.setdefault("standard_error", []).append(one.standard_error)
        else:
            columns.setdefault("exits", []).append(one.exits)
            p = float("nan") if one.exponential is None else one.exponential.p
            columns.setdefault("p_exponential", []).append(p)
    shape = tuple(len(values) for values in axes.values())
    arrays = {name: (tuple(axes), np.asarray(values).reshape(shape)) for name, values in columns.items()}
    return xr.Dataset(arrays, dict(axes), {"level": found[0].level, "by": by})
