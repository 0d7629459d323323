"""The rate of escape in one call."""

import math
from functools import partial

import jax
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform._devices import Devices
from sde_sgd._types import Observable, Scalar
from sde_sgd.escape._rate import EscapeRate, rate
from sde_sgd.escape._renewal import Renewal
from sde_sgd.escape._stability import refuse_unstable
from sde_sgd.processes._base import LAST_STEP, Process
from sde_sgd.simulation import run

# exits from which the pilot knows how long to go on
_PILOT_EXITS, _PILOT_STEPS = 50, 64


def by_renewal(
    process: Process,
    *,
    start: PyTree,
    outside: Observable | Scalar,
    chains: int,
    steps: int | None = None,
    exits: int | None = None,
    most_steps: int = 10_000_000,
    burn_in: int | None = None,
    key: Key[Array, ""],
    level: float = 0.95,
    progress: bool | None = None,
    devices: Devices | None = None,
) -> EscapeRate:
    """The rate of escape by counting: chains that leave are put back at the start (`Renewal`, `rate`).

    The one to take where chains leave within reach of a run: chains × steps ≫ 1/rate. Its relative error
    is 1/√exits whatever the dimension. The horizon should also be much longer than a chain takes to forget
    its start, which the burn-in sees to. Rarer events: `by_splitting`; where they leave: `by_first_exit`.

    Args:
        process, start, outside: as for `Renewal`.
        chains: number of chains.
        steps: the horizon K of each chain after the burn-in; or
        exits: about so many in all: a pilot run finds how many steps that takes, and is the burn-in of the
            run that is counted, so that where it stopped does not bias the rate.
        most_steps: of each chain in all, with `exits`.
        burn_in: with `steps`, steps before anything is counted; by default K/4.
        key: of the random numbers.
        level: confidence of the interval.
        progress, devices: as in `run`.

    Returns:
        `EscapeRate`; without any exit an upper bound.

    Raises:
        ValueError: as `Renewal` and `run`, for an η at which SGD is unstable at the start, and unless one of
            `steps` and `exits` is given.
    """
    if (steps is None) == (exits is None):
        raise ValueError(f"give one of steps and exits, got steps={steps!r} and exits={exits!r}.")
    first = Renewal(process, start=start, outside=outside)
    refuse_unstable(process, first.start)
    go = partial(run, chains=chains, progress=progress, devices=devices)
    if steps is not None:
        horizon = _checks.integer("steps", steps, at_least=1)
        waits = -(-horizon // 4) if burn_in is None else _checks.integer("burn_in", burn_in, at_least=0)
        counted = Renewal(process, start=start, outside=outside, burn_in=waits)
        return rate(go(counted, steps=waits + horizon, key=key, initial=first.start), level=level)
    if burn_in is not None:
        raise ValueError(f"burn_in must be left out with exits, got {burn_in!r}: the pilot run is that.")
    wanted = _checks.integer("exits", exits, at_least=1)
    most = _checks.integer("most_steps", most_steps, at_least=4 * _PILOT_STEPS, at_most=LAST_STEP)
    pilot = go(first, steps=_PILOT_STEPS, key=key, initial=first.start)
    while rate(pilot).exits < _PILOT_EXITS and pilot.steps <= most // 4:
        pilot = go(first, steps=pilot.steps, key=key, initial=pilot)
    found = rate(pilot)
    left = most - pilot.steps
    # the velocities that are left behind are found again within the pilot's first steps
    waits = min(_PILOT_STEPS, left // 2)
    horizon = left - waits
    if found.exits:
        horizon = min(horizon, math.ceil(wanted / found.rate / chains))
    counted = Renewal(process, start=start, outside=outside, burn_in=waits)
    main = go(counted, steps=waits + horizon, key=jax.random.fold_in(key, 1), initial=pilot.theta)
    return rate(main, level=level)
