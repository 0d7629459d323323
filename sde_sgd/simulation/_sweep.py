"""`sweep`: runs over η, B, m, problems and schedules × seeds in one call."""

from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import overload

from jaxtyping import Array, Key

from sde_sgd import _checks
from sde_sgd._platform import _devices, _settings
from sde_sgd._platform._progress import Progress
from sde_sgd._platform.checkpoints._checkpoint import Checkpoint
from sde_sgd._platform.checkpoints._session import open_session
from sde_sgd._platform.checkpoints._store import open_store
from sde_sgd._types import FilePath, Numbers, Observable, Records
from sde_sgd.problems._base import Problem
from sde_sgd.random import check_key
from sde_sgd.schedules import Schedule
from sde_sgd.simulation._making import MakeProcess
from sde_sgd.simulation._packing import do_jobs
from sde_sgd.simulation._provenance import told_arguments
from sde_sgd.simulation._sweep_job import run_job
from sde_sgd.simulation._sweep_outcome import sweep_part, sweep_result
from sde_sgd.simulation._sweep_part import SweepPart
from sde_sgd.simulation._sweep_plan import clock_of, sweep_plan
from sde_sgd.simulation._sweep_result import SweepResult
from sde_sgd.simulation._sweep_share import keep, share_of


@overload
def sweep(
    process: MakeProcess,
    problem: Problem | Mapping[str, Problem],
    *,
    key: Key[Array, ""],
    learning_rate: Numbers | None = None,
    batch_size: Numbers | None = None,
    ratio: Numbers | None = None,
    momentum: Numbers | None = None,
    schedule: Schedule | Mapping[str, Schedule] | None = None,
    runs: Sequence[Mapping[str, float | str]] | None = None,
    seeds: int = 1,
    paired_starts: bool = True,
    epochs: float | None = None,
    time: float | None = None,
    steps: int | None = None,
    every: Numbers | None = None,
    stop_loss: float | None = None,
    stop: Observable | None = None,
    record: Records | None = None,
    keep_theta: bool = False,
    progress: bool | None = None,
    devices: _devices.Devices | None = None,
    data_devices: int = 1,
    chunk: int | None = None,
    memory_limit: int | None = None,
    checkpoint: Checkpoint | FilePath | None = None,
    resume: bool = False,
    part: None = None,
) -> SweepResult: ...


@overload
def sweep(
    process: MakeProcess,
    problem: Problem | Mapping[str, Problem],
    *,
    key: Key[Array, ""],
    learning_rate: Numbers | None = None,
    batch_size: Numbers | None = None,
    ratio: Numbers | None = None,
    momentum: Numbers | None = None,
    schedule: Schedule | Mapping[str, Schedule] | None = None,
    runs: Sequence[Mapping[str, float | str]] | None = None,
    seeds: int = 1,
    paired_starts: bool = True,
    epochs: float | None = None,
    time: float | None = None,
    steps: int | None = None,
    every: Numbers | None = None,
    stop_loss: float | None = None,
    stop: Observable | None = None,
    record: Records | None = None,
    keep_theta: bool = False,
    progress: bool | None = None,
    devices: _devices.Devices | None = None,
    data_devices: int = 1,
    chunk: int | None = None,
    memory_limit: int | None = None,
    checkpoint: Checkpoint | FilePath | None = None,
    resume: bool = False,
    part: tuple[int, int],
) -> SweepPart: ...


def sweep(
    process: MakeProcess,
    problem: Problem | Mapping[str, Problem],
    *,
    key: Key[Array, ""],
    learning_rate: Numbers | None = None,
    batch_size: Numbers | None = None,
    ratio: Numbers | None = None,
    momentum: Numbers | None = None,
    schedule: Schedule | Mapping[str, Schedule] | None = None,
    runs: Sequence[Mapping[str, float | str]] | None = None,
    seeds: int = 1,
    paired_starts: bool = True,
    epochs: float | None = None,
    time: float | None = None,
    steps: int | None = None,
    every: Numbers | None = None,
    stop_loss: float | None = None,
    stop: Observable | None = None,
    record: Records | None = None,
    keep_theta: bool = False,
    progress: bool | None = None,
    devices: _devices.Devices | None = None,
    data_devices: int = 1,
    chunk: int | None = None,
    memory_limit: int | None = None,
    checkpoint: Checkpoint | FilePath | None = None,
    resume: bool = False,
    part: tuple[int, int] | None = None,
) -> SweepResult | SweepPart:
    """Run every setting of a grid or list with several seeds.

    >>> import jax, sde_sgd as ss
    >>> well, key = ss.problems.DoubleWell(), jax.random.key(0)
    >>> result = sweep(ss.SGD, well, batch_size=[1, 4], ratio=[0.01, 0.02], seeds=3, steps=10, key=key)
    >>> result.sel(ratio=0.01)["loss"].mean("seed").sizes
    Frozen({'batch_size': 2, 'step': 2})

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
            `every` does not divide the length. A rising list of places will do too, as in `run`.
        stop_loss: a run stays where it is from the first sample with L(θ) ≤ this.
        stop: the same for any condition, a function of one chain's parameters, as in `run`.
        record: name → function of one chain's parameters, or a method of the problem by its name;
            a list of such names will do. Default: the loss.
        keep_theta: keep the final parameters of all runs in host memory.
        progress, devices, data_devices, memory_limit, checkpoint: as in `run`.
        resume: as in `run`. Without a `schedule` a sweep can be made longer too: `every` as it was, if given.
        chunk: at most so many runs at a time; by default all that share a program.
        part: (i, n), from (0, n) to (n − 1, n): only the i-th of n parts, for jobs of a cluster that know
            nothing of each other; `merge_sweeps` puts them together. Whole groups of runs that share a
            program are shared out by cost. Where there are fewer of them than parts, some parts have nothing
            to do, and `chunk` makes more groups. With `checkpoint`, one folder for all parts, each has
            a folder of its own there and leaves its file beside it.

    Returns:
        `SweepResult`; with `part` a `SweepPart`.

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
        plan = sweep_plan(
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
            clock=clock_of(schedule, epochs, time, steps, every),
            record=["loss"] if record is None else record,
            stop_loss=stop_loss,
            stop=stop,
        )
        if keep_theta:
            plan.check_one_theta()
        check_key(key)
        devices = None if devices is None else _devices.available(devices)
        data_devices = _checks.integer("data_devices", data_devices, at_least=1)
        if memory_limit is not None:
            memory_limit = _checks.integer("memory_limit", memory_limit, at_least=1)
        chunk = None if chunk is None else _checks.integer("chunk", chunk, at_least=1)
        if part is None:
            share, jobs = None, plan.jobs(chunk)
            store = open_store(checkpoint, resume, lambda: plan.config(key, chunk))
        else:
            share = share_of(
                part, plan, key, chunk, theta=keep_theta, devices=devices, data_devices=data_devices
            )
            jobs = share.jobs
            store = open_store(share.place(checkpoint), resume, lambda: share.own_config)
        started = perf_counter()
        total = sum(job.cost for job in jobs)
        with open_session(Progress(total, "sweep", progress, unit="example"), store, memory_limit) as session:
            work = partial(run_job, plan, key=key, data_devices=data_devices, theta=keep_theta)
            groups = [-(-len(job.runs) // _devices.lanes(job.problem[1])) for job in jobs]
            width = max(groups, default=1) * data_devices
            do_jobs(jobs, [job.cost for job in jobs], width, devices, session, work)
        seconds, told = perf_counter() - started, told_arguments(sweep, asked)
        result = (
            sweep_result(plan, jobs, key, seconds, told, theta=keep_theta)
            if share is None
            else sweep_part(plan, share, key, seconds, told, theta=keep_theta)
        )
    if store is not None:
        if isinstance(result, SweepPart):
            keep(result, store.ask.directory)
        store.report(result)
    return result
