"""`run`: an ensemble of chains of one process."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform import _devices, _settings
from sde_sgd._platform._progress import Progress
from sde_sgd._platform.checkpoints._checkpoint import Checkpoint
from sde_sgd._platform.checkpoints._session import open_session
from sde_sgd._platform.checkpoints._store import Store
from sde_sgd._platform.reading._fingerprint import check_told, fingerprint
from sde_sgd.processes._base import LAST_STEP, ChainState, Process
from sde_sgd.random import check_key
from sde_sgd.simulation import _length, _start
from sde_sgd.simulation._asked import make_recorder
from sde_sgd.simulation._engine import Before, Outcome, Task, finished_moments, simulate
from sde_sgd.simulation._key_use import remember, warn_of_repeated_noise
from sde_sgd.simulation._memory import MemoryPrediction
from sde_sgd.simulation._plan import Plan
from sde_sgd.simulation._provenance import Told, told_arguments
from sde_sgd.simulation._recording import Histogram, HistogramCounts, Observable, Recorder
from sde_sgd.simulation._reports import report_divergence, report_not_finite
from sde_sgd.simulation._result import Result, with_its_process
from sde_sgd.simulation._schedule_use import warn_of_absolute_schedule

# their numbers, which key their noise, have 32 bits
_MOST_CHAINS = 2**32


def run(
    process: Process | Any,
    *,
    chains: int | Any,
    steps: int | Any | None = None,
    epochs: float | Any | None = None,
    time: float | Any | None = None,
    key: Key[Array, ""] | Any,
    initial: PyTree | Result | None = None,
    record: Mapping[str, Observable | str] | Sequence[str] | Any | None = None,
    moments: Mapping[str, Observable | str] | Sequence[str] | Any | None = None,
    histograms: Mapping[str, Histogram] | Histogram | Any | None = None,
    every: float | Any | None = None,
    burn_in: float | Any = 0,
    stop_loss: float | Any | None = None,
    stop: Callable[[PyTree], Any] | Any | None = None,
    throw: bool = False,
    progress: bool | None = None,
    devices: Sequence[jax.Device] | Any | None = None,
    data_devices: int | Any = 1,
    chunk: int | Any | None = None,
    memory_limit: int | Any | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | Any | None = None,
    resume: bool = False,
) -> Result:
    """Run an ensemble of independent chains of any process.

    Chain i depends on `key` and i alone: not on the number of chains, on how the run is cut into
    chunks, or on whether it is stopped and continued. Memory does not grow with the number of
    steps, but for `record`, which keeps what it is asked to keep in host memory.

    Args:
        process: `SGD(problem, hyper)`, `Langevin(problem, hyper)`, …
        chains: number of chains.
        steps, epochs, time: how long, one of them: SGD steps to go; epochs, kB/N of them, or k/⌈N/B⌉ with
            sampling="shuffle_all"; or SDE time, ηk/(1 − m), where it is the same for all chains.
        key: `jax.random.key(seed)`; the same key gives the same chains.
        initial: where to start: parameters of one chain (all start there), parameters with a
            leading axis of chains, a `Result` to continue, or None for the problem's own start. A `Result`
            goes on in time, with new noise under the same key; its bare parameters start at step 0
            again, with the noise of that step: give these another key.
        record: name → function of one chain's parameters, or a method of the problem by its name; a list of
            such names will do. Kept at the start, at every sample and at the end.
        moments: the same; mean and variance over the samples after `burn_in`.
        histograms: name → `Histogram`, or one `Histogram`, over the samples after `burn_in`.
        every: between samples, in the unit of the length; by default the whole run, so only the end is
            looked at. Where it does not divide the length, the end is recorded too, but moments and
            histograms do not take it: they weigh samples evenly, which are evenly spaced.
        burn_in: before statistics are gathered, in the unit of the length.
        stop_loss: a chain stays where it is from the first sample with L(θ) ≤ this, and statistics
            take no more of it; the run ends when all have (or have diverged).
        stop: the same for any condition: a function of one chain's parameters that says true where the
            chain is to stop. With both, what comes first counts.
        throw: raise if a chain diverges, instead of a warning.
        progress: show a progress bar: True, False, or None for long work on a terminal or notebook.
        devices: spread the chains over these; by default over all, those of other hosts too once
            `jax.distributed` is initialised. A CPU counts as one device unless the configuration
            option `jax_num_cpu_devices` says otherwise; with one for each core all are kept busy.
        data_devices: how many devices share the data and the batches of one chain, for large models
            and data sets (problems made by `EmpiricalRisk`): every step takes the mean of the
            gradients over them. The chains are spread over groups of so many.
        chunk: chains at a time, one chunk after the other; by default all together.
        memory_limit: refuse to start if more bytes are needed; by default what is available.
        checkpoint: a folder, or `Checkpoint(folder, seconds, keep)`: saved there every so often, at
            the end, and when Ctrl-C or SIGTERM comes, which then act. `Checkpoint` says more.
        resume: go on from the newest checkpoint that is whole, if there is one. With more `steps` than
            before, a run that is finished goes on too, to the bits of one that was as long from the start:
            all else must be as it was, `every` too (if it was given).

    Returns:
        `Result`.

    Raises:
        ValueError: for arguments out of range, shapes that do not match, parameters that are not
            floating point, a start that is not finite, an observable that fails; with `checkpoint` for
            functions of objects that do not show what they hold, such as an open file.
        FloatingPointError: if `throw` and a chain diverged.
        MemoryError: if it will not fit, with the largest `chunk` that does.
        CheckpointError: if a checkpoint cannot be read or belongs to another run, if another process
            uses the folder, or if the last checkpoint cannot be written; then its `result` is the result.
    """
    asked = dict(locals())
    initial = with_its_process(initial, process)
    _settings.refuse_tracing("run", process, key, initial)
    throw, resume = _checks.flag("throw", throw), _checks.flag("resume", resume)
    progress = _checks.flag("progress", progress, none=True)
    with _settings.own_settings() as meshed:
        started = perf_counter()
        recorder = make_recorder(process, record, moments, histograms, stop_loss, stop)
        process, recorder, key, initial = _settings.without_mesh((process, recorder, key, initial))
        job = _job(
            process,
            chains=chains,
            length={"steps": steps, "epochs": epochs, "time": time, "every": every, "burn_in": burn_in},
            key=key,
            initial=initial,
            recorder=recorder,
            devices=devices,
            data_devices=data_devices,
            chunk=chunk,
        )
        if memory_limit is not None:
            memory_limit = _checks.integer("memory_limit", memory_limit, at_least=1)
        store = open_store(checkpoint, resume, job.config)
        given = None if isinstance(initial, Result) else initial
        warn_of_absolute_schedule(process, job.plan.start, job.plan.steps, stacklevel=2)
        if given is not None:
            warn_of_repeated_noise(process, key, given, job.plan.steps, stacklevel=2)
        label, total = type(process).__name__, job.plan.steps * job.chains
        with open_session(
            Progress(total, label, progress, unit="chain-step"), store, memory_limit
        ) as session:
            outcomes = []
            for number, part in enumerate(job.parts()):
                outcome = simulate(
                    part.task,
                    part.shapes(),
                    part.start,
                    part.before,
                    session,
                    f"chunk-{number:05d}",
                    cost=part.task.layout.chains,
                )
                outcomes.append(
                    localised(outcome, part.task.layout, to_host=job.chunk < job.chains or meshed)
                )
        result = _result(job, outcomes, perf_counter() - started, told_arguments(run, asked))
        remember(process, key, given, result.theta, result.start, result.steps)
    report_divergence(result, throw)
    report_not_finite(result)
    if store is not None:
        store.report(result)
    return result


def predict_memory(
    process: Process | Any,
    *,
    chains: int | Any,
    steps: int | Any | None = None,
    epochs: float | Any | None = None,
    time: float | Any | None = None,
    key: Key[Array, ""] | Any | None = None,
    record: Mapping[str, Observable | str] | Sequence[str] | Any | None = None,
    moments: Mapping[str, Observable | str] | Sequence[str] | Any | None = None,
    histograms: Mapping[str, Histogram] | Histogram | Any | None = None,
    every: float | Any | None = None,
    devices: Sequence[jax.Device] | Any | None = None,
    data_devices: int | Any = 1,
) -> MemoryPrediction:
    """The memory that `run` with these arguments would take, from its compiled program.

    Nothing is run, and no chain is made. `run` asks the same question before it starts.

    Args:
        process, chains, record, moments, histograms, every, devices, data_devices: as in `run`.
        steps, epochs, time: as in `run`; by default one step.
        key: only its kind matters.

    Returns:
        `MemoryPrediction`: total bytes, bytes for each chain, what is available, the largest number
        of chains that fits.
    """
    _settings.refuse_tracing("predict_memory", process, key)
    with _settings.own_settings():
        if steps is None and epochs is None and time is None:
            steps, every = 1, None
        job = _job(
            process,
            chains=chains,
            length={"steps": steps, "epochs": epochs, "time": time, "every": every, "burn_in": 0},
            key=jax.random.key(0) if key is None else key,
            initial=None,
            recorder=make_recorder(process, record, moments, histograms),
            devices=devices,
            data_devices=data_devices,
            chunk=None,
        )
        (part,) = job.parts()
        state = part.shapes()
        _, program, _ = part.task.prepare(state)
        return part.task.predict_memory(state, program, None)


def open_store(
    checkpoint: Checkpoint | str | os.PathLike[str] | Any | None, resume: bool, config: Any
) -> Store | None:
    """The checkpoint folder, if one is asked for; `config` is called for its fingerprint."""
    if checkpoint is None:
        if resume:
            raise ValueError("resume=True needs checkpoint=..., the folder to resume from.")
        return None
    ask = (
        checkpoint
        if isinstance(checkpoint, Checkpoint)
        else Checkpoint(_checks.path("checkpoint", checkpoint))
    )
    told = config()
    check_told(told)
    return Store(ask, told, resume=resume)


@dataclass(frozen=True)
class _Chunk:
    """Some of a job's chains, run together."""

    task: Task
    numbers: range
    initial: PyTree | None
    continued: ChainState | None
    before: Before | None
    total: int

    def shapes(self) -> ChainState:
        if self.continued is not None:
            return jax.eval_shape(lambda: self.continued)
        return _start.abstract_start(self.task.process, len(self.numbers), self.task.key, self.initial)

    def start(self) -> ChainState:
        if self.continued is not None:
            return self.continued
        numbers = np.arange(self.numbers.start, self.numbers.stop, dtype=np.uint32)
        return _start.start(
            self.task.process, self.task.layout, numbers, self.task.key, self.initial, total=self.total
        )


@dataclass(frozen=True)
class _Job:
    """A validated call of `run`."""

    process: Process
    recorder: Recorder
    key: Key[Array, ""]
    plan: Plan
    chains: int
    chunk: int
    initial: PyTree | Result | None
    devices: Sequence[jax.Device] | None
    data_devices: int

    def parts(self) -> Iterator[_Chunk]:
        for begin in range(0, self.chains, self.chunk):
            # a range: nothing of this size may be made before the memory has been looked at
            chosen = range(begin, min(begin + self.chunk, self.chains))
            here = slice(chosen.start, chosen.stop)
            lanes = _devices.lanes(self.process.problem)
            layout = _devices.layout(len(chosen), self.devices, self.data_devices, lanes)
            process = _devices.map_per_chain(lambda leaf: leaf[here], self.process, self.chains)  # noqa: B023
            task = Task(layout, process, self.recorder, self.key, self.plan)
            if isinstance(self.initial, Result):
                whole = len(chosen) == self.chains
                state = self.initial.state
                state = state if whole else jax.tree.map(lambda leaf: leaf[here], state)  # noqa: B023
                lost = self.initial.diverged_at[here]
                yield _Chunk(task, chosen, None, state, Before(lost, np.full_like(lost, -1)), self.chains)
            else:
                yield _Chunk(task, chosen, self._initial_of(here), None, None, self.chains)

    def config(self) -> dict[str, str]:
        """All that sets the result but how far it goes, and at how many steps it looks."""
        initial = self.initial
        if isinstance(initial, Result):
            initial = (initial.state, initial.steps, initial.diverged_at)
        return {
            **fingerprint(self.process, "process"),
            **fingerprint(self.key, "key"),
            **fingerprint(initial, "initial"),
            **fingerprint(self.recorder, "recorder"),
            "chains": str(self.chains),
            "chunk": str(self.chunk),
            "burn_in": str(self.plan.burn_in),
        }

    def _initial_of(self, here: slice) -> PyTree | None:
        if self.initial is None or here == slice(0, self.chains):
            return self.initial
        template = _tree.shapes(self.process.problem.init, self.key)
        whole = _start.given_start(template, _checks.floating("initial", self.initial), self.chains)
        return jax.tree.map(lambda leaf: leaf[here], whole)


def _job(
    process: Process,
    *,
    chains: Any,
    length: Mapping[str, Any],
    key: Any,
    initial: Any,
    recorder: Recorder,
    devices: Any,
    data_devices: Any,
    chunk: Any,
) -> _Job:
    # all at once are a matter of memory, which is said with a way out
    most = 2**53 if chunk is None else _MOST_CHAINS
    chains = _checks.integer("chains", chains, at_least=1, at_most=most)
    chunk = chains if chunk is None else min(chains, _checks.integer("chunk", chunk, at_least=1))
    devices = None if devices is None else _devices.available(devices)
    data_devices = _checks.integer("data_devices", data_devices, at_least=1)
    check_key(key)
    _settings.check_precision("process", process)
    if isinstance(initial, Result):
        _settings.check_precision("initial.state", initial.state)
    _check_per_chain(process, chains)
    if isinstance(initial, Result):
        start = _check_initial(process, chains, initial)
    else:
        start = 0
        _checks.check_floating("initial", initial)
    asked = _length.in_steps(process, **length)
    if start + asked.steps > LAST_STEP:
        raise ValueError(f"steps must end by {LAST_STEP} on the clock, got {start} + {asked.steps}.")
    if recorder.moments or recorder.histograms:
        _check_gathers(asked, length["every"])
    plan = Plan(
        start,
        asked.steps,
        asked.marks,
        asked.burn_in,
        sample_start=start == 0,
        keep_end=asked.last_mark < asked.steps,
    )
    return _Job(process, recorder, key, plan, chains, chunk, initial, devices, data_devices)


def _check_gathers(asked: _length.Length, every: Any) -> None:
    """Refuse statistics over no sample."""
    if not asked.last_mark:
        raise ValueError(
            f"every must be at most the length of the run, {asked.steps} steps, for moments and histograms "
            f"to have a sample, got {every}. Leave it out to look at the end only."
        )
    if asked.burn_in >= asked.last_mark:
        raise ValueError(
            f"burn_in must be < {asked.last_mark} steps, where the last of the samples lies that moments and "
            f"histograms take, to leave something to gather; got {asked.burn_in} steps."
        )


def _check_per_chain(process: Process, chains: int) -> None:
    for name in ("learning_rate", "momentum"):
        shape = getattr(process.hyper, name).shape
        if shape not in ((), (chains,)):
            raise ValueError(
                f"{name} has shape {shape} for {chains} chains; give one number or one per chain."
            )


def _check_initial(process: Process, chains: int, initial: Result) -> int:
    """The place on the clock where a result ended, if its state fits the process."""
    theta = jax.eval_shape(lambda: initial.theta)
    own = eqx.filter_eval_shape(process.problem.init, jax.random.key(0))
    if _tree.same_structure(own, theta) and _tree.dtypes(own) != _tree.dtypes(theta):
        raise ValueError(
            f"initial is a Result in {_tree.dtypes(theta)}, and this process works in {_tree.dtypes(own)}: "
            f"its state cannot be taken over. Pass initial=result.theta, which is converted and starts at "
            f"step 0, or go on with result.process."
        )
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((chains, *leaf.shape[1:]), leaf.dtype), theta)
    numbers = jax.ShapeDtypeStruct((chains,), jnp.uint32)
    expected = eqx.filter_eval_shape(process.init, one, numbers)
    if not _start.same_shapes(initial.state, expected):
        raise ValueError(
            f"initial is a Result of {type(initial.process).__name__} with "
            f"{len(initial.diverged_at)} chains whose state does not fit this process "
            f"with {chains} chains; pass initial=result.theta to start from its parameters."
        )
    return initial.steps


def localised(outcome: Outcome, layout: _devices.Layout, *, to_host: bool) -> Outcome:
    """The outcome without padding, its state on the host if it must be."""
    if to_host or jax.process_count() > 1:
        outcome.state = layout.to_host(outcome.state)
    elif layout.slots > layout.chains:
        outcome.state = jax.tree.map(lambda leaf: leaf[: layout.chains], outcome.state)
    return outcome


def _result(job: _Job, outcomes: list[Outcome], seconds: float, asked: Told) -> Result:
    joined = joined_outcomes(outcomes)
    return Result(
        state=joined.state,
        process=job.process,
        steps=job.plan.start + job.plan.steps,
        record_steps=joined.record_steps,
        record=joined.record,
        moments=finished_moments(joined, joined.diverged < 0),
        histograms={
            name: HistogramCounts(ask.edges, counts[1:-2], int(counts[0]), int(counts[-2]), int(counts[-1]))
            for (name, ask), counts in zip(
                job.recorder.histograms.items(), joined.histograms.values(), strict=True
            )
        },
        diverged_at=joined.diverged,
        stopped_at=joined.stopped,
        seconds=seconds,
        key=job.key,
        start=job.plan.start,
        asked=asked,
    )


def joined_outcomes(outcomes: list[Outcome]) -> Outcome:
    """One outcome of all chains, from those of the chunks they were run in."""
    if len(outcomes) == 1:
        return outcomes[0]
    longest = max(outcomes, key=lambda outcome: len(outcome.record_steps))

    def along(axis: int, *parts: Any) -> np.ndarray:
        return np.concatenate([np.asarray(part) for part in parts], axis=axis)

    def filled(outcome: Outcome, name: str) -> np.ndarray:
        """A chunk whose chains all stopped early stays at its last sample."""
        values = outcome.record[name]
        missing = len(longest.record_steps) - len(values)
        return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values

    return Outcome(
        state=jax.tree.map(lambda *leaves: along(0, *leaves), *[outcome.state for outcome in outcomes]),
        diverged=along(0, *[outcome.diverged for outcome in outcomes]),
        stopped=along(0, *[outcome.stopped for outcome in outcomes]),
        count=along(0, *[outcome.count for outcome in outcomes]),
        moments={
            name: (
                along(0, *[outcome.moments[name][0] for outcome in outcomes]),
                along(0, *[outcome.moments[name][1] for outcome in outcomes]),
            )
            for name in longest.moments
        },
        record={name: along(1, *[filled(outcome, name) for outcome in outcomes]) for name in longest.record},
        record_steps=longest.record_steps,
        histograms={
            name: sum((outcome.histograms[name] for outcome in outcomes[1:]), outcomes[0].histograms[name])
            for name in longest.histograms
        },
    )
