"""What all jobs of a sweep leave behind, on its named dimensions."""

from typing import Any

import jax
import numpy as np

from sde_sgd._platform._telling import warn
from sde_sgd.simulation._provenance import of_sweep
from sde_sgd.simulation._sweep_plan import Job, SweepPlan
from sde_sgd.simulation._sweep_result import SweepResult, build_dataset


def sweep_result(
    plan: SweepPlan, jobs: list[Job], key: Any, seconds: float, asked: Any, *, theta: bool
) -> SweepResult:
    """All outcomes on the named dimensions of the sweep."""
    shape = (len(plan.points), plan.seeds)
    grid = plan.clock.grid
    variables: dict[str, np.ndarray] = {}

    def place(name: str, job: Job, values: np.ndarray) -> None:
        if name not in variables:
            variables[name] = np.empty((*shape, *values.shape[1:]), values.dtype)
        points, seeds = zip(*job.runs, strict=True)
        variables[name][np.asarray(points), np.asarray(seeds)] = values

    for job in jobs:
        assert job.outcome is not None
        for name, values in job.outcome.record.items():
            missing = len(grid) - len(values)  # where all runs of a program have stopped early
            whole = np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
            place(name, job, np.moveaxis(whole, 0, 1))
        place("diverged_at", job, job.outcome.diverged)
        place("stopped_at", job, job.outcome.stopped)
    lost = int((variables["diverged_at"] >= 0).sum())
    if lost:
        warn(
            f"{lost} of {shape[0] * shape[1]} runs diverged; SweepResult.diverged() lists them.",
            stacklevel=3,
        )
    first = plan.process(plan.points[0].problem[1], 0, plan.points[:1], 0)
    dataset = build_dataset(
        plan.axes,
        plan.seeds,
        (plan.clock.dimension, grid),
        variables,
        _per_point(plan),
        {
            **of_sweep(plan.make, first, dict(point.problem for point in plan.points), key, shape, asked),
            "starts": "one for each seed" if plan.paired_starts else "one for each run",
            "length": f"{plan.clock.length:g} {plan.clock.unit}",
            "seconds": seconds,
        },
    )
    return SweepResult(dataset, _theta(plan, jobs) if theta else None, seconds)


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
    order = np.concatenate([np.asarray(job.runs) for job in jobs])
    place = np.lexsort((order[:, 1], order[:, 0]))

    def join(*leaves: Any) -> np.ndarray:
        whole = np.concatenate([np.asarray(leaf) for leaf in leaves])[place]
        return whole.reshape(*shape, plan.seeds, *whole.shape[1:])

    return jax.tree.map(join, *[job.outcome.state.theta for job in jobs if job.outcome is not None])
