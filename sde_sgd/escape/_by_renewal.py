"""The rate of escape in one call."""

import math
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform._devices import Devices
from sde_sgd._platform._telling import warn
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Observable, Scalar
from sde_sgd.escape._rate import EscapeRate, rate
from sde_sgd.escape._renewal import Renewal
from sde_sgd.escape._stability import refuse_unstable
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import LAST_STEP, Process
from sde_sgd.simulation import Result, run

# exits from which the pilot knows how long to go on
_PILOT_EXITS, _PILOT_STEPS = 50, 64
# p below which exits are no Poisson process
_NO_ESCAPE = 1e-4
# chains whose loss says whether the start is forgotten: fewer say nothing, more cost and add nothing
_TOLD, _LOOKED_AT = 16, 4096
# standard errors by which the mean loss may change where it has come to rest, and beyond which it has not
_AT_REST, _ON_ITS_WAY = 2.0, 5.0
# by this part of a run the start should be forgotten: what leaves comes from the tails, which are slower
_EARLY = 8
# time constants of the velocity after which it is found again
_CONSTANTS = 10


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
        exits: about so many in all, give or take a third: a pilot run goes on until the mean loss of the
            chains stays and finds from its own exits, some 50, how many steps so many take. It is the
            burn-in of the run that is counted, so that where it stopped does not bias the rate, and that
            run is as long at least.
        most_steps: of each chain in all, with `exits`.
        burn_in: with `steps`, steps before anything is counted; by default K/4.
        key: of the random numbers.
        level: confidence of the interval.
        progress, devices: as in `run`.

    Returns:
        `EscapeRate`; without any exit an upper bound.

    Warns where the mean loss of the chains still changes by the end, so that they have not forgotten their
    start, where exits are no Poisson process: the border lies inside the well, or next to the start; and
    where less than half of the exits that were asked for came, as when `most_steps` are too few.

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
        begun = go(counted, steps=-(-(waits + horizon) // _EARLY), key=key, initial=first.start)
        left = waits + horizon - begun.steps
        whole = go(counted, steps=left, key=key, initial=begun) if left else begun
        return _told(rate(whole, level=level), begun, whole)
    if burn_in is not None:
        raise ValueError(f"burn_in must be left out with exits, got {burn_in!r}: the pilot run is that.")
    wanted = _checks.integer("exits", exits, at_least=1)
    most = _checks.integer("most_steps", most_steps, at_least=4 * _PILOT_STEPS, at_most=LAST_STEP)
    before = go(first, steps=_PILOT_STEPS // 2, key=key, initial=first.start)
    pilot = go(first, steps=before.steps, key=key, initial=before)
    while pilot.steps <= most // 4 and (
        _late_exits(before, pilot) < _PILOT_EXITS or _moved(before, pilot) > _AT_REST
    ):
        before, pilot = pilot, go(first, steps=pilot.steps, key=key, initial=pilot)
    late = _late_exits(before, pilot) / (chains * (pilot.steps - before.steps))
    left = most - pilot.steps
    # the velocities that are left behind are found again within these steps
    waits = min(max(_PILOT_STEPS, _velocity(process)), left // 2)
    horizon = left - waits
    if late:
        # as long as it took to forget the start: exits that come in bursts show
        horizon = min(horizon, max(pilot.steps, math.ceil(wanted / late / chains)))
    counted = Renewal(process, start=start, outside=outside, burn_in=waits)
    main = go(counted, steps=waits + horizon, key=jax.random.fold_in(key, 1), initial=pilot.theta)
    found = _told(rate(main, level=level), pilot, main)
    why = f"most_steps={most} ended the run" if horizon == left - waits else "the pilot run guessed too few"
    return _told_of_few(found, wanted, why, chains)


def _late_exits(before: Result, after: Result) -> int:
    """Those since an earlier end of the same run: what the start was has less to do with them."""
    return rate(after).exits - rate(before).exits


def _velocity(process: Process) -> int:
    """Steps after which a velocity is forgotten: some 1/(1 − m)."""
    slowest = float(np.max(np.asarray(process.hyper.momentum)))
    return math.ceil(_CONSTANTS / (1 - slowest))


def _moved(before: Result, after: Result) -> float:
    """By how many of its standard errors the mean loss has changed; 0 where too few chains say nothing."""
    chains = jax.tree.leaves(after.theta)[0].shape[0]
    if chains < _TOLD:
        return 0.0
    one, other = (
        np.asarray(
            _losses(after.process.problem, jax.tree.map(lambda leaf: leaf[:_LOOKED_AT], result.theta)),
            np.float64,
        )
        for result in (before, after)
    )
    error = float(np.hypot(one.std(), other.std())) / len(one) ** 0.5
    change = abs(float(other.mean() - one.mean()))
    return change / error if change > 0 and error > 0 else 0.0


@_traces.jit
def _losses(problem: Problem, theta: PyTree) -> Float[Array, " chains"]:
    result: Array = jax.vmap(problem.loss)(theta)
    return result


def _told(found: EscapeRate, before: Result, after: Result) -> EscapeRate:
    """The same, with a warning where chains have not forgotten their start, or do not before they leave."""
    if _moved(before, after) > _ON_ITS_WAY:
        warn(
            f"steps may be too few to forget the start: the mean loss of the chains still changes between "
            f"steps {before.steps} and {after.steps}, so that the rate is not that of the well. Give more, "
            f"or exits=... in their place.",
            stacklevel=3,
        )
        return found
    test = found.exponential
    if test is not None and test.rejects(_NO_ESCAPE):
        warn(
            f"outside may lie within the well, or start next to it, or steps may be too few to forget the "
            f"start: exits are no Poisson process (p = {test.p:.1g}), so there is no one rate. Draw the "
            f"border beyond the top of the barrier, or give more steps.",
            stacklevel=3,
        )
    return found


def _told_of_few(found: EscapeRate, wanted: int, why: str, chains: int) -> EscapeRate:
    """The same, with a warning where less than half of the exits came."""
    if 2 * found.exits < wanted:
        some, at_most = ("some", found.rate) if found.exits else ("more than", found.interval[1])
        warn(
            f"exits came to {found.exits} of {wanted}: {why} after {found.exposure // chains} steps of each "
            f"of {chains} chains, and {wanted} exits would take {some} {wanted / at_most / chains:.1g}. Give "
            f"more chains, more most_steps or steps=... in place of exits, or take by_splitting, which is "
            f"for rare events.",
            stacklevel=3,
        )
    return found
