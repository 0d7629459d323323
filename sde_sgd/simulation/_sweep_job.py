"""The stages of runs that share a program, one after the other."""

from functools import partial
from typing import Any

import jax
import numpy as np

from sde_sgd._platform import _devices
from sde_sgd._platform.checkpoints._session import Session
from sde_sgd.simulation import _start
from sde_sgd.simulation._engine import simulate
from sde_sgd.simulation._outcome import Before
from sde_sgd.simulation._plan import Plan, as_marks
from sde_sgd.simulation._sweep_plan import Job, SweepPlan
from sde_sgd.simulation._task import Task


def run_job(
    plan: SweepPlan,
    job: Job,
    devices: _devices.Devices | None,
    session: Session,
    *,
    key: Any,
    data_devices: int,
    theta: bool,
) -> None:
    """All stages of one job; its outcome stays with it."""
    points = [plan.points[number] for number, _ in job.runs]
    numbers = np.asarray([seed * len(plan.points) + number for number, seed in job.runs], np.uint32)
    layout = _devices.layout(len(numbers), devices, data_devices, _devices.lanes(job.problem[1]))
    before, begin, outcomes = Before.nothing(len(numbers)), 0, []
    state: Any = None
    for stage, leg in enumerate(job.legs):
        process = plan.process(job.problem[1], stage, points, begin)
        session.bar.note(f"B = {leg.batch_size}")
        recorder = plan.recorder(process)
        schedule = Plan(begin, leg.steps, as_marks(leg.marks), sample_start=stage == 0)
        task = Task(layout, process, recorder, key, schedule)
        if state is None:
            shapes = _start.abstract_start(process, len(numbers), key, None)
            places = np.asarray([seed for _, seed in job.runs], np.uint32) if plan.paired_starts else None
            make_state = partial(_start.start, process, layout, numbers, key, None, places)
        else:
            shapes, make_state = jax.eval_shape(lambda: state), partial(_same, state)  # noqa: B023
        outcome = simulate(
            task,
            shapes,
            make_state,
            before,
            session,
            f"job-{job.number:05d}-stage-{stage:02d}",
            cost=leg.batch_size * len(numbers),
        )
        before, begin, state = Before(outcome.diverged, outcome.stopped), begin + leg.steps, outcome.state
        outcomes.append(outcome)
    last = outcomes[-1]
    last.record = {
        name: np.concatenate([outcome.record[name] for outcome in outcomes]) for name in last.record
    }
    last.state = layout.to_host(last.state) if theta else None  # type: ignore[assignment]
    job.outcome = last


def _same(state: Any) -> Any:
    return state
