"""A schedule multiplies the learning rate; one that gives the rate itself, as optax's do, is noticed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd._platform._telling import warn
from sde_sgd._platform.reading import _traces
from sde_sgd.processes._base import Process

# Steps of the run at which a schedule is looked at: so many that a peak between two of them is not missed
# by more than `_NEAR` of it.
_LOOKS = 257
_NEAR = 0.05
# Above it a learning rate cannot be told from a factor.
_LARGEST = 0.5


def warn_of_absolute_schedule(process: Process, start: int, steps: int, stacklevel: int) -> None:
    """Warn if the largest factor of a run is a learning rate of it: then η enters twice.

    Factors by which a rate is multiplied are 1 at their largest, wherever they begin: where the largest is
    within 5 % of η, and η ≤ 1/2, they are taken for the rate itself. A warm-up that the run does not see the
    end of says nothing.
    """
    rates = np.unique(np.asarray(process.hyper.learning_rate, np.float64))
    rates = rates[rates <= _LARGEST]
    if process.schedule is None or not len(rates):
        return
    # a schedule counts from where its stage begins
    at = start - int(process.origin) + np.unique(np.linspace(0, steps - 1, min(steps, _LOOKS)).astype(int))
    at = at.astype(np.int32)
    with jax.numpy_dtype_promotion("standard"):  # optax schedules mix integers and floats
        factors = np.asarray(_factors(process.schedule, jnp.asarray(at)), np.float64)
    if factors.shape != at.shape or not np.isfinite(factors).all():
        return
    place = int(factors.argmax())
    peak = float(factors[place])
    if place == len(at) - 1 and peak > factors[0]:  # it still rises
        return
    near = rates[np.abs(peak - rates) <= _NEAR * rates]
    if len(near):
        rate = float(near[np.abs(near - peak).argmin()])
        warn(
            f"schedule multiplies learning_rate, and its largest value in this run, {peak:.3g}, is the "
            f"learning_rate of {rate:.3g} itself: η is {peak * rate:.3g} at most. If the schedule gives the "
            f"learning rate, as optax has it, give learning_rate=1.0, or divide it: "
            f"schedule=lambda step: schedule(step) / {rate:.3g}.",
            stacklevel=stacklevel + 1,
        )


@_traces.jit
def _factors(schedule: Any, steps: Any) -> Any:
    return jax.vmap(schedule)(steps)
