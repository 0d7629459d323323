"""`sweep`: runs over η, B, m, problems and schedules × seeds in one call."""

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from sde_sgd import _checks
from sde_sgd._platform import _devices, _settings
from sde_sgd._platform._progress import Progress
from sde_sgd._platform._telling import warn
from sde_sgd._platform.checkpoints._checkpoint import Checkpoint
from sde_sgd._platform.checkpoints._session import Session, open_session
from sde_sgd._platform.reading._fingerprint import fingerprint
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import Process
from sde_sgd.random import check_key
from sde_sgd.schedules import Schedule
from sde_sgd.simulation import _start
from sde_sgd.simulation._asked import make_recorder, named
from sde_sgd.simulation._engine import Before, Outcome, Task, simulate
from sde_sgd.simulation._making import MakeProcess, SamplingOf, made
from sde_sgd.simulation._packing import do_jobs
from sde_sgd.simulation._plan import Plan, as_marks
from sde_sgd.simulation._points import Clock, Leg, Point, complete, listed_runs, make_point, settings
from sde_sgd.simulation._provenance import of_sweep, told_arguments
from sde_sgd.simulation._recording import Observable, Recorder
from sde_sgd.simulation._run import open_store
from sde_sgd.simulation._schedule_use import warn_of_absolute_schedule
from sde_sgd.simulation._sweep_config import told
from sde_sgd.simulation._sweep_result import SweepResult, build_dataset

# each is listed with its point and seed, and has its row in the result
_MOST_RUNS = 2**24


def sweep(
    process: MakeProcess | Any,
    problem: Problem | Mapping[str, Problem] | Any,
    *,
    key: Key[Array, ""] | Any,
    learning_rate: Any = None,
    batch_size: Any = None,
    ratio: Any = None,
    momentum: Any = None,
    schedule: Schedule | Mapping[str, Schedule] | Any | None = None,
    runs: Sequence[Mapping[str, Any]] | None = None,
    seeds: int | Any = 1,
    paired_starts: bool = True,
    epochs: float | Any | None = None,
    time: float | Any | None = None,
    steps: int | Any | None = None,
    every: float | Any | None = None,
    stop_loss: float | Any | None = None,
    stop: Callable[[Any], Any] | Any | None = None,
    record: Mapping[str, Observable | str] | Sequence[str] | Any | None = None,
    keep_theta: bool = False,
    progress: bool | None = None,
    devices: Sequence[jax.Device] | Any | None = None,
    data_devices: int | Any = 1,
    chunk: int | Any | None = None,
    memory_limit: int | Any | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | Any | None = None,
    resume: bool = False,
) -> SweepResult:
    """Run every setting of a grid or list with several seeds.

        result = sweep(SGD, net, batch_size=[4, 8, 16], ratio=[0.005, 0.01], seeds=16, epochs=20,
                       record=["loss", "accuracy"], key=jax.random.key(0))
        result.sel(ratio=0.01)["loss"].mean("seed")

    Runs with the same batch size and number of steps are one compiled program with everything else
    vmapped and spread over the devices; a program is compiled once for each batch size and number
    of runs. Seed s of point p has the noise of chain s · (number of points) + p of `key` and the starting
    point of chain s: a seed starts at one point in all settings, so that differences between settings
    at equal seed are not those of their starts, and its noise is its own in each. More seeds leave the
    runs there were as they are.

    Args:
        process: `SGD`, `Langevin`, or a `functools.partial` of them with more arguments, such as
            `partial(Langevin, noise="isotropic")`.
        problem: one problem, or name → problem for an axis "problem" (label noise, data set size …).
        key: `jax.random.key(seed)`.
        learning_rate, batch_size, ratio, momentum: one value, or a list for an axis of the grid. Give
            two of η, B and ratio = η/(B(1 − m)).
        schedule: a `Schedule`, or name → `Schedule` for an axis "schedule", in place of η, B and m.
        runs: a list of settings such as `{"learning_rate": 0.1, "batch_size": 8}` in place of a grid.
        seeds: runs of each setting.
        paired_starts: False: every run has a start of its own, that of the chain whose noise it has. Problems
            whose parameters have other shapes or laws start where their own law says, paired or not.
        epochs, time, steps: how long: equal epochs kB/N, or k/⌈N/B⌉ with sampling="shuffle_all"; equal SDE
            time ηk/(1 − m); or equal steps.
        every: between samples, in the same unit; by default only start and end. The end is a sample too where
            `every` does not divide the length.
        stop_loss: a run stays where it is from the first sample with L(θ) ≤ this.
        stop: the same for any condition, a function of one chain's parameters, as in `run`.
        record: name → function of one chain's parameters, or a method of the problem by its name;
            a list of such names will do. Default: the loss.
        keep_theta: keep the final parameters of all runs in host memory.
        progress, devices, data_devices, memory_limit, checkpoint: as in `run`.
        resume: as in `run`. Without a `schedule` a sweep can be made longer too: `every` as it was, if given.
        chunk: at most so many runs at a time; by default all that share a program.

    Returns:
        `SweepResult`.

    Raises:
        ValueError: for settings that do not fit together or are out of range.
        MemoryError, CheckpointError: as in `run`.
    """
    asked = dict(locals())
    _settings.refuse_tracing("sweep", problem, key, learning_rate, ratio, momentum)
    keep_theta, resume = _checks.flag("keep_theta", keep_theta), _checks.flag("resume", resume)
    progress = _checks.flag("progress", progress, none=True)
    with _settings.own_settings():
        problem, key, record = _settings.without_mesh((problem, key, record))
        plan = _plan(
            process,
            problem,
            axes={
                "problem": problem if isinstance(problem, Mapping) else None,
                "schedule": schedule,
                "learning_rate": learning_rate,
                "batch_size": batch_size,
                "ratio": ratio,
                "momentum": momentum,
            },
            runs=runs,
            seeds=_checks.integer("seeds", seeds, at_least=1),
            paired_starts=_checks.flag("paired_starts", paired_starts),
            clock=_clock(schedule, epochs, time, steps, every),
            record=["loss"] if record is None else record,
            stop_loss=stop_loss,
            stop=stop,
        )
        check_key(key)
        devices = None if devices is None else _devices.available(devices)
        data_devices = _checks.integer("data_devices", data_devices, at_least=1)
        if memory_limit is not None:
            memory_limit = _checks.integer("memory_limit", memory_limit, at_least=1)
        chunk = None if chunk is None else _checks.integer("chunk", chunk, at_least=1)
        store = open_store(checkpoint, resume, lambda: plan.config(key, chunk))
        started = perf_counter()
        jobs = plan.jobs(chunk)
        total = sum(job.cost for job in jobs)
        with open_session(Progress(total, "sweep", progress, unit="example"), store, memory_limit) as session:
            work = partial(_run_job, plan, key=key, data_devices=data_devices, theta=keep_theta)
            groups = [-(-len(job.runs) // _devices.lanes(job.problem[1])) for job in jobs]
            width = max(groups) * data_devices
            do_jobs(jobs, [job.cost for job in jobs], width, devices, session, work)
        result = plan.result(
            jobs, key, perf_counter() - started, told_arguments(sweep, asked), theta=keep_theta
        )
    if store is not None:
        store.report(result)
    return result


@dataclass
class _Job:
    """Runs that share a program, and what came of them."""

    number: int
    legs: tuple[Leg, ...]
    problem: tuple[str, Problem]
    runs: list[tuple[int, int]]
    cost: float
    outcome: Outcome | None = None


@dataclass(frozen=True)
class _SweepPlan:
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
    def _is_staged(self) -> bool:
        return any(len(point.legs) > 1 or point.legs[0].schedule is not None for point in self.points)

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
                warn_of_absolute_schedule(process, 0, leg.steps, stacklevel=4)

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
        return eqx.tree_at(lambda at: at.origin, process, jnp.asarray(begin, jnp.int32))

    def jobs(self, chunk: int | None) -> list[_Job]:
        """Runs grouped by what is compiled for them, in groups of at most `chunk`."""
        groups: dict[Any, list[int]] = {}
        for number, point in enumerate(self.points):
            groups.setdefault((point.problem[0], point.legs), []).append(number)
        jobs: list[_Job] = []
        for members in groups.values():
            first = self.points[members[0]]
            runs = [(number, seed) for seed in range(self.seeds) for number in members]
            size = len(runs) if chunk is None else chunk
            for begin in range(0, len(runs), size):
                some = runs[begin : begin + size]
                jobs.append(_Job(len(jobs), first.legs, first.problem, some, first.cost * len(some)))
        return jobs

    def config(self, key: Any, chunk: Any) -> dict[str, str]:
        """All that sets the results, but for how long it is where nothing else hangs on that."""
        lasting = self._is_staged  # stages of other lengths are another schedule
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

    def result(self, jobs: list[_Job], key: Any, seconds: float, asked: Any, *, theta: bool) -> SweepResult:
        """All outcomes on the named dimensions of the sweep."""
        shape = (len(self.points), self.seeds)
        grid = self.clock.grid
        variables: dict[str, np.ndarray] = {}

        def place(name: str, job: _Job, values: np.ndarray) -> None:
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
        first = self.process(self.points[0].problem[1], 0, self.points[:1], 0)
        dataset = build_dataset(
            self.axes,
            self.seeds,
            (self.clock.dimension, grid),
            variables,
            self._per_point(),
            {
                **of_sweep(self.make, first, dict(point.problem for point in self.points), key, shape, asked),
                "starts": "one for each seed" if self.paired_starts else "one for each run",
                "length": f"{self.clock.length:g} {self.clock.unit}",
                "seconds": seconds,
            },
        )
        return SweepResult(dataset, self._theta(jobs) if theta else None, seconds)

    def _per_point(self) -> dict[str, np.ndarray]:
        # where a step is longer than what is left after the last sample, that sample is the end
        size = len(self.clock.grid)
        steps = [point.sample_steps for point in self.points]
        updates = np.stack([np.pad(taken, (0, size - len(taken)), "edge") for taken in steps])
        found: dict[str, np.ndarray] = {} if self.clock.unit == "steps" else {"updates": updates}
        if "run" in self.axes and any(point.problem[0] != "" for point in self.points):
            found["problem"] = np.asarray([point.problem[0] for point in self.points])
        if self._is_staged:
            return found
        rates = np.asarray([point.rates[0] for point in self.points])
        sizes = np.asarray([point.legs[0].batch_size for point in self.points])
        momenta = np.asarray([point.momenta[0] for point in self.points])
        found |= {"learning_rate": rates, "batch_size": sizes, "momentum": momenta}
        return found | {"ratio": rates / (sizes * (1 - momenta))}

    def _theta(self, jobs: list[_Job]) -> Any:
        shape = [len(values) for values in self.axes.values()]
        order = np.concatenate([np.asarray(job.runs) for job in jobs])
        place = np.lexsort((order[:, 1], order[:, 0]))

        def join(*leaves: Any) -> np.ndarray:
            whole = np.concatenate([np.asarray(leaf) for leaf in leaves])[place]
            return whole.reshape(*shape, self.seeds, *whole.shape[1:])

        return jax.tree.map(join, *[job.outcome.state.theta for job in jobs if job.outcome is not None])


def _run_job(
    plan: _SweepPlan,
    job: _Job,
    devices: Sequence[jax.Device] | None,
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


def _plan(
    process: Any,
    problem: Any,
    *,
    axes: dict[str, Any],
    runs: Any,
    seeds: int,
    paired_starts: bool,
    clock: Clock,
    record: Any,
    stop_loss: Any,
    stop: Any,
) -> _SweepPlan:
    if not callable(process) or isinstance(process, Process):
        raise ValueError(
            f"process must be SGD, Langevin or a function (problem, hyper) -> process, got "
            f"{_checks.short(process)}; the sweep makes the hyperparameters."
        )
    problems = dict(problem) if isinstance(problem, Mapping) else {"": problem}
    for name, one in problems.items():
        if not isinstance(one, Problem):
            raise ValueError(
                f"problem {name!r} must be a sde_sgd problem, got {_checks.short(one)}.".replace(" ''", "")
            )
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
        points.append(make_point((which, problems[which]), staged, values, clock, sampling_of))
    if seeds * len(points) > _MOST_RUNS:
        raise ValueError(
            f"seeds x points must be at most {_MOST_RUNS}, got {seeds} x {len(points)}; each run has its own "
            f"place in the result. Take run(..., chains=...) for many chains of one setting."
        )
    plan = _SweepPlan(
        process, points, grid, seeds, paired_starts, clock, named("record", record), stop_loss, stop
    )
    taken = {*grid, *plan.coordinates, "seed", "updates", "diverged_at", "stopped_at"} & set(plan.record)
    if taken:
        raise ValueError(f"record: {sorted(taken)} name something else in the result; choose other names.")
    plan.check()
    return plan


def _clock(schedule: Any, epochs: Any, time: Any, steps: Any, every: Any) -> Clock:
    given = {"epochs": epochs, "time": time, "steps": steps}
    named = {unit: length for unit, length in given.items() if length is not None}
    if schedule is not None and not named:
        one = next(iter(schedule.values())) if isinstance(schedule, Mapping) and schedule else schedule
        if isinstance(one, Schedule):
            named = {one.unit: one.length}
    if len(named) != 1:
        raise ValueError(f"give one of epochs, time and steps, got {sorted(named) or 'none'}.")
    ((unit, length),) = named.items()
    length = _checks.scalar(unit, length, above=0)
    every = length if every is None else _checks.scalar("every", every, above=0)
    if steps is not None:
        length = _checks.integer("steps", length, at_least=1)
        every = _checks.integer("every", every, at_least=1)
    if every > length * (1 + 1e-9):
        raise ValueError(f"every must be at most the length, {length:g} {unit}, got {every:g}.")
    return Clock(unit, float(length), float(every))


def _same(state: Any) -> Any:
    return state
