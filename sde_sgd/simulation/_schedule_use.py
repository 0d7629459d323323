"""What schedules give over a run: factors of the learning rate, not the rate itself; momentum that lags."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd._platform._telling import warn
from sde_sgd._platform.reading import _traces
from sde_sgd.processes._base import Process
from sde_sgd.schedules import Schedule

# Steps of the run at which a schedule is looked at: so many that a peak between two of them is not missed
# by more than `_NEAR` of it.
_LOOKS = 257
_NEAR = 0.05
# Above it a learning rate cannot be told from a factor.
_LARGEST = 0.5
# below 0 by so much of the largest: it is 0
_ROUNDING = 1e-6
# of a stage: a lag above it shows in its curve
_LAG = 0.1


def look_at_schedule(process: Process, start: int, steps: int, stacklevel: int) -> None:
    """Refuse factors that no step can have, and warn if the largest is a learning rate: η enters twice.

    Factors by which a rate is multiplied are 1 at their largest, wherever they begin: where the largest is
    within 5 % of η, and η ≤ 1/2, they are taken for the rate itself. A warm-up that the run does not see the
    end of says nothing.

    Raises:
        ValueError: for a factor that is negative or not finite, at one of up to 257 steps of the run.
    """
    if process.schedule is None:
        return
    # a schedule counts from where its stage begins
    at = start - int(process.origin) + np.unique(np.linspace(0, steps - 1, min(steps, _LOOKS)).astype(int))
    at = at.astype(np.int32)
    with jax.numpy_dtype_promotion("standard"):  # optax schedules mix integers and floats
        factors = np.asarray(_factors(process.schedule, jnp.asarray(at)), np.float64)
    finite = np.isfinite(factors)
    wrong = ~finite | (factors < -_ROUNDING * np.abs(factors[finite]).max(initial=0.0))
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"schedule must give factors >= 0 of the learning rate, and gives {factors[first]:.3g} at step "
            f"{at[first]} of the {at[-1] + 1} that this run goes to. Where it should end at 0: "
            f"schedule=lambda step: jnp.maximum(schedule(step), 0)."
        )
    rates = np.unique(np.asarray(process.hyper.learning_rate, np.float64))
    rates = rates[rates <= _LARGEST]
    if not len(rates):
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


def tell_momentum_lag(
    schedule: Schedule, dataset_size: int | None, sampling: Any, name: str, stacklevel: int
) -> None:
    """Warn of stages that a momentum buffer sets back by more than a tenth of their length."""
    lags = schedule.momentum_lags(dataset_size, sampling=sampling)
    for number, (stage, lag) in enumerate(zip(schedule.stages, lags, strict=True), 1):
        if lag <= _LAG * stage.length:
            continue
        m = float(stage.momentum)
        fills = stage.length / stage.steps(schedule.unit, dataset_size, sampling=sampling) / (1 - m)
        epoch = "1/(⌈N/B⌉(1 − m))" if sampling == "shuffle_all" else "B/(N(1 − m))"
        how = epoch if schedule.unit == "epochs" else "1/(1 − m)"
        warn(
            f"{name}: in stage {number} of {len(schedule.stages)} the momentum buffer takes about {how} = "
            f"{fills:.3g} {schedule.unit} to fill, which sets the stage back by {lag:.3g} of its "
            f"{stage.length:g}: equal η/(B(1 − m)) does not give equal curves there. Take a smaller batch or "
            f"momentum at first, or a longer stage.",
            stacklevel=stacklevel + 1,
        )
        return


@_traces.jit
def _factors(schedule: Any, steps: Any) -> Any:
    return jax.vmap(schedule)(steps)
