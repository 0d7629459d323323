"""A call of `sweep` that was looked at once: its points, its clock, and the runs that share a program."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from sde_sgd import _checks, _tree
from sde_sgd._platform.reading import _traces
from sde_sgd._platform.reading._fingerprint import fingerprint
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.problems._contract import check_problem
from sde_sgd.processes._base import Process
from sde_sgd.schedules import Schedule
from sde_sgd.simulation import _start
from sde_sgd.simulation._asked import make_recorder, named
from sde_sgd.simulation._length import is_list, rising
from sde_sgd.simulation._making import MakeProcess, SamplingOf, made
from sde_sgd.simulation._outcome import Outcome
from sde_sgd.simulation._points import Clock, Leg, Point, complete, listed_runs, make_point, settings
from sde_sgd.simulation._recording import Recorder
from sde_sgd.simulation._schedule_use import look_at_schedule, tell_momentum_lag
from sde_sgd.simulation._sweep_config import told

# each is listed with its point and seed, and has its row in the result
_MOST_RUNS = 2**24


@dataclass
class Job:
    """Runs that share a program, and what came of them."""

    number: int
    legs: tuple[Leg, ...]
    problem: tuple[str, Problem]
    runs: list[tuple[int, int]]
    cost: float
    outcome: Outcome | None = None


@dataclass(frozen=True)
class SweepPlan:
    """A validated call of `sweep`."""

    make: MakeProcess
    points: list[Point]
    axes: dict[str, list[Any]]
    seeds: int
    paired_starts: bool
    clock: Clock
    record: dict[str, Any]
    stop_loss: Any
    stop: Any = None

    @property
    def coordinates(self) -> set[str]:
        """What names a coordinate of the result beside the axes."""
        return {"problem", "learning_rate", "batch_size", "momentum", "ratio", self.clock.dimension}

    @property
    def is_staged(self) -> bool:
        return any(
            len(point.legs) > 1 or any(leg.schedule is not None for leg in point.legs)
            for point in self.points
        )

    @property
    def has_momentum(self) -> bool:
        return any(m > 0 for point in self.points for m in point.momenta)

    def recorder(self, process: Process) -> Recorder:
        """The observables for the process's problem."""
        return make_recorder(process, self.record, stop_loss=self.stop_loss, stop=self.stop)

    def check(self) -> None:
        """Make every kind of process and recorder once, so that nothing runs before all is accepted."""
        kinds: dict[Any, list[Point]] = {}
        for point in self.points:
            kinds.setdefault((point.problem[0], point.legs), []).append(point)
        for points in kinds.values():
            for stage, leg in enumerate(points[0].legs):
                process = self.process(points[0].problem[1], stage, points, 0)
                self.recorder(process)
                look_at_schedule(process, 0, leg.steps, stacklevel=4)

    def check_one_theta(self) -> None:
        """Refuse problems whose parameters do not go into one array.

        Raises:
            ValueError: naming two of them, with their shapes.
        """
        problems = dict(point.problem for point in self.points)
        shapes = {name: _traces.parameter_shapes(problem.init) for name, problem in problems.items()}
        (first, wanted), *others = shapes.items()
        for name, found in others:
            if not _start.same_shapes(found, wanted):
                raise ValueError(
                    f"keep_theta must be False where problems have parameters of several shapes, got "
                    f"{first!r} with {_tree.describe(wanted)} and {name!r} with {_tree.describe(found)}. "
                    f"Sweep them one by one, or record what is wanted of the parameters."
                )

    def process(self, problem: Problem, leg: int, points: Sequence[Point], begin: int) -> Process:
        """The process of one stage for runs at these points."""
        hyper = Hyperparameters(
            np.asarray([point.rates[leg] for point in points]),
            points[0].legs[leg].batch_size,
            np.asarray([point.momenta[leg] for point in points]),
            has_momentum=self.has_momentum,
        )
        schedule = points[0].legs[leg].schedule
        process = made(self.make, problem, hyper, schedule)
        if begin == 0:
            return process
        result: Process = eqx.tree_at(lambda at: at.origin, process, jnp.asarray(begin, jnp.int32))
        return result

    def jobs(self, chunk: int | None) -> list[Job]:
        """Runs grouped by what is compiled for them, in groups of at most `chunk`."""
        groups: dict[Any, list[int]] = {}
        for number, point in enumerate(self.points):
            groups.setdefault((point.problem[0], point.legs), []).append(number)
        jobs: list[Job] = []
        for members in groups.values():
            first = self.points[members[0]]
            runs = [(number, seed) for seed in range(self.seeds) for number in members]
            size = len(runs) if chunk is None else chunk
            for begin in range(0, len(runs), size):
                some = runs[begin : begin + size]
                jobs.append(Job(len(jobs), first.legs, first.problem, some, first.cost * len(some)))
        return jobs

    def config(self, key: Any, chunk: Any) -> dict[str, str]:
        """All that sets the results, but for how long it is where nothing else hangs on that."""
        lasting = self.is_staged  # stages of other lengths are another schedule
        groups = repr([job.runs for job in self.jobs(chunk)])
        return {
            **fingerprint(self.make, "process"),
            **fingerprint(dict(point.problem for point in self.points), "problem"),
            **fingerprint(key, "key"),
            **fingerprint(told(self.points, lasting=lasting), "points"),
            **fingerprint(self.record, "record"),
            **fingerprint(self.stop_loss, "stop_loss"),
            "seeds": str(self.seeds),
            "chunk": str(chunk),
            "clock": repr(self.clock) if lasting else self.clock.unit,
            "runs of the same program": f"{zlib.crc32(groups.encode()):08x}",
            **fingerprint(self.stop, "stop"),
            "paired_starts": str(self.paired_starts),
        }


def sweep_plan(
    process: MakeProcess,
    problem: Problem | Mapping[str, Problem],
    *,
    axes: dict[str, Any],
    runs: Any,
    seeds: int,
    paired_starts: bool,
    clock: Clock,
    record: Any,
    stop_loss: Any,
    stop: Any,
) -> SweepPlan:
    if not callable(process) or isinstance(process, Process):
        raise ValueError(
            f"process must be SGD, Langevin or a function (problem, hyper) -> process, got "
            f"{_checks.short(process)}; the sweep makes the hyperparameters."
        )
    if isinstance(problem, list | tuple):
        raise ValueError(
            f"problem must be one problem or name → problem, such as {{'clean': ..., 'noisy': ...}}, got "
            f"{_checks.short(problem)}."
        )
    problems = dict(problem) if isinstance(problem, Mapping) else {"": problem}
    for name, one in problems.items():
        check_problem(one, f"problem {name!r}" if name else "problem")
    schedules = _schedules(axes, runs)
    if runs is None:
        grid, chosen = settings(axes)
    else:
        grid, chosen = listed_runs(runs, axes)
    points, sampling_of = [], SamplingOf(process)
    for setting in chosen:
        schedule = schedules.get(setting.get("schedule", ""), axes["schedule"])
        values = {} if isinstance(schedule, Schedule) else complete(setting)
        which = setting.get("problem", "")
        staged = schedule if isinstance(schedule, Schedule) else None
        if staged is not None:
            called = setting["schedule"] if isinstance(axes["schedule"], Mapping) else None
            _look_at_stages(staged, problems[which], sampling_of, (called, which))
        points.append(make_point((which, problems[which]), staged, values, clock, sampling_of))
    if seeds * len(points) > _MOST_RUNS:
        raise ValueError(
            f"seeds x points must be at most {_MOST_RUNS}, got {seeds} x {len(points)}; each run has its own "
            f"place in the result. Take run(..., chains=...) for many chains of one setting."
        )
    plan = SweepPlan(
        process, points, grid, seeds, paired_starts, clock, named("record", record), stop_loss, stop
    )
    taken = {*grid, *plan.coordinates, "seed", "updates", "diverged_at", "stopped_at"} & set(plan.record)
    if taken:
        raise ValueError(f"record: {sorted(taken)} name something else in the result; choose other names.")
    plan.check()
    return plan


def _schedules(axes: Mapping[str, Any], runs: Any) -> Mapping[str, Any]:
    """Name → `Schedule`; one alone has no name, and without any there is None."""
    schedules = axes["schedule"] if isinstance(axes["schedule"], Mapping) else {"": axes["schedule"]}
    if axes["schedule"] is not None:
        given = [
            name for name in ("learning_rate", "batch_size", "ratio", "momentum") if axes[name] is not None
        ]
        if given or runs is not None:
            raise ValueError(f"schedule sets η, B and m itself; leave out {', '.join(given) or 'runs'}.")
        for name, one in schedules.items():
            if not isinstance(one, Schedule):
                raise ValueError(
                    f"schedule {name!r} must be a Schedule, got {_checks.short(one)}.".replace(" ''", "")
                )
    return schedules


def _look_at_stages(
    schedule: Schedule, problem: Problem, sampling_of: SamplingOf, names: tuple[str | None, str]
) -> None:
    """Refuse a batch that grows too far; warn of momentum that lags, where batches are drawn."""
    called = "schedule" if names[0] is None else f"schedule {names[0]!r}"
    called += f" for problem {names[1]!r}" if names[1] else ""
    schedule.check_fits(problem.dataset_size, called)
    sampling = sampling_of(problem, schedule.stages[0])
    if sampling is not None:
        tell_momentum_lag(schedule, problem.dataset_size, sampling, called, stacklevel=4)


def clock_of(schedule: Any, epochs: Any, time: Any, steps: Any, every: Any) -> Clock:
    given = {"epochs": epochs, "time": time, "steps": steps}
    named = {unit: length for unit, length in given.items() if length is not None}
    if schedule is not None and not named:
        one = next(iter(schedule.values())) if isinstance(schedule, Mapping) and schedule else schedule
        if not isinstance(one, Schedule):
            raise ValueError(
                f"schedule must be a Schedule, or several by name, got {_checks.short(schedule)}."
            )
        named = {one.unit: one.length}
    if len(named) != 1:
        raise ValueError(f"give one of epochs, time and steps, got {sorted(named) or 'none'}.")
    ((unit, length),) = named.items()
    length = _checks.scalar(unit, length, above=0)
    if is_list(every):
        if steps is not None:
            length = _checks.integer("steps", length, at_least=1)
        return Clock(unit, float(length), tuple(float(place) for place in rising(every, length, unit)))
    every = length if every is None else _checks.scalar("every", every, above=0)
    if steps is not None:
        length = _checks.integer("steps", length, at_least=1)
        every = _checks.integer("every", every, at_least=1)
    if every > length * (1 + 1e-9):
        raise ValueError(f"every must be at most the length, {length:g} {unit}, got {every:g}.")
    return Clock(unit, float(length), float(every))
