"""What all jobs of a sweep, or of a part of it, leave behind, on named dimensions."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from sde_sgd._platform._telling import warn
from sde_sgd.simulation._provenance import Told, of_sweep
from sde_sgd.simulation._sweep_part import SweepPart, part_dataset
from sde_sgd.simulation._sweep_plan import Job, SweepPlan
from sde_sgd.simulation._sweep_result import SweepResult, build_dataset
from sde_sgd.simulation._sweep_share import Share


def sweep_result(
    plan: SweepPlan, jobs: list[Job], key: Any, seconds: float, asked: Told, *, theta: bool
) -> SweepResult:
    """All outcomes on the named dimensions of the sweep."""
    variables = Filled(len(plan.points), plan.seeds)
    _fill(variables, plan, jobs, [tuple(np.asarray(job.runs).T) for job in jobs])
    warn_of_lost(variables.arrays["diverged_at"], "; SweepResult.diverged() lists them", stacklevel=4)
    dataset = build_dataset(
        plan.axes,
        plan.seeds,
        (plan.clock.dimension, plan.clock.grid),
        variables.arrays,
        _per_point(plan),
        _attributes(plan, key, seconds, asked),
    )
    return SweepResult(dataset, _theta(plan, jobs) if theta else None, seconds)


def sweep_part(
    plan: SweepPlan, share: Share, key: Any, seconds: float, asked: Told, *, theta: bool
) -> SweepPart:
    """The outcomes of one part, with a row for each run, and what `merge_sweeps` needs of the whole."""
    jobs = share.jobs
    runs = np.asarray([run for job in jobs for run in job.runs], np.int64).reshape(-1, 2)
    points, seeds = runs.T
    variables = Filled(len(runs))
    ends = itertools.accumulate(len(job.runs) for job in jobs)
    _fill(
        variables, plan, jobs, [slice(end - len(job.runs), end) for job, end in zip(jobs, ends, strict=True)]
    )
    if jobs:
        where = f" in part {share.part}; diverged_at says which"
        warn_of_lost(variables.arrays["diverged_at"], where, stacklevel=4)
    labels = zip(*itertools.product(*plan.axes.values()), strict=True)
    settings = _per_point(plan)
    settings |= {name: np.asarray(values) for name, values in zip(plan.axes, labels, strict=True)}
    dataset = part_dataset(
        {
            "part": share.part,
            "config": share.told,
            "axes": {name: len(values) for name, values in plan.axes.items()},
            "seeds": plan.seeds,
            "settings": list(settings),
            "made_on": share.made_on,
        },
        seeds * len(plan.points) + points,
        (plan.clock.dimension, plan.clock.grid),
        variables.arrays,
        {**{name: values[points] for name, values in settings.items()}, "seed": seeds},
        _attributes(plan, key, seconds, asked),
    )
    return SweepPart(share.part, dataset, _joined(_thetas(jobs)) if theta and jobs else None, seconds)


class Filled:
    """Arrays over all runs (or settings), filled some of them at a time.

    Args:
        shape: of the runs.

    Attributes:
        arrays: name → array of that shape and the values' own.
    """

    def __init__(self, *shape: int):
        self._shape = shape
        self.arrays: dict[str, np.ndarray] = {}

    def put(self, name: str, where: Any, values: np.ndarray) -> None:
        """Put values whose leading axis is the run at these places."""
        if name not in self.arrays:
            self.arrays[name] = np.empty((*self._shape, *values.shape[1:]), values.dtype)
        self.arrays[name][where] = values


def warn_of_lost(diverged: np.ndarray, where: str, stacklevel: int) -> None:
    """Say how many runs diverged, if any did."""
    lost = int((diverged >= 0).sum())
    if lost:
        warn(f"{lost} of {diverged.size} runs diverged{where}.", stacklevel)


def on_axes(thetas: Sequence[Any], runs: np.ndarray, shape: Sequence[int]) -> Any:
    """Parameters of all runs, in pieces and in any order, on the axes of the sweep and the seeds.

    Args:
        thetas: pieces with a leading axis of runs.
        runs: point and seed of each, shape `(runs, 2)`.
        shape: of the axes and the seeds.
    """
    place = np.lexsort((runs[:, 1], runs[:, 0]))
    return jax.tree.map(
        lambda leaf: leaf[place].reshape(*shape, *leaf.shape[1:]),
        _joined(thetas),
    )


def _joined(thetas: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *thetas)


def _thetas(jobs: Sequence[Job]) -> list[Any]:
    return [job.outcome.state.theta for job in jobs if job.outcome is not None]


def _fill(variables: Filled, plan: SweepPlan, jobs: Sequence[Job], places: Sequence[Any]) -> None:
    """Put what was recorded of each job's runs at its place, and where they diverged and stopped."""
    samples = len(plan.clock.grid)
    for job, where in zip(jobs, places, strict=True):
        assert job.outcome is not None
        for name, values in job.outcome.record.items():
            missing = samples - len(values)  # where all runs of a program have stopped early
            whole = np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
            variables.put(name, where, np.moveaxis(whole, 0, 1))
        variables.put("diverged_at", where, job.outcome.diverged)
        variables.put("stopped_at", where, job.outcome.stopped)


def _attributes(plan: SweepPlan, key: Any, seconds: float, asked: Told) -> dict[str, Any]:
    """What a sweep is the result of."""
    shape = (len(plan.points), plan.seeds)
    first = plan.process(plan.points[0].problem[1], 0, plan.points[:1], 0)
    return {
        **of_sweep(plan.make, first, dict(point.problem for point in plan.points), key, shape, asked),
        "starts": "one for each seed" if plan.paired_starts else "one for each run",
        "length": f"{plan.clock.length:g} {plan.clock.unit}",
        "seconds": seconds,
    }


def _per_point(plan: SweepPlan) -> dict[str, np.ndarray]:
    # where a step is longer than what is left after the last sample, that sample is the end
    size = len(plan.clock.grid)
    steps = [point.sample_steps for point in plan.points]
    updates = np.stack([np.pad(taken, (0, size - len(taken)), "edge") for taken in steps])
    found: dict[str, np.ndarray] = {} if plan.clock.unit == "steps" else {"updates": updates}
    if "run" in plan.axes and any(point.problem[0] != "" for point in plan.points):
        found["problem"] = np.asarray([point.problem[0] for point in plan.points])
    if plan.is_staged:
        return found
    rates = np.asarray([point.rates[0] for point in plan.points])
    sizes = np.asarray([point.legs[0].batch_size for point in plan.points])
    momenta = np.asarray([point.momenta[0] for point in plan.points])
    found |= {"learning_rate": rates, "batch_size": sizes, "momentum": momenta}
    return found | {"ratio": rates / (sizes * (1 - momenta))}


def _theta(plan: SweepPlan, jobs: list[Job]) -> Any:
    shape = [len(values) for values in plan.axes.values()]
    return on_axes(
        _thetas(jobs), np.concatenate([np.asarray(job.runs) for job in jobs]), (*shape, plan.seeds)
    )
