"""`run`: an ensemble of chains of one process."""

from collections.abc import Mapping
from time import perf_counter

import jax
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform import _settings
from sde_sgd._platform._devices import Devices
from sde_sgd._platform._progress import Progress
from sde_sgd._platform.checkpoints._checkpoint import Checkpoint
from sde_sgd._platform.checkpoints._session import open_session
from sde_sgd._platform.checkpoints._store import open_store
from sde_sgd._types import FilePath, Numbers, Observable, Records
from sde_sgd.processes._base import Process
from sde_sgd.simulation._asked import make_recorder
from sde_sgd.simulation._engine import simulate
from sde_sgd.simulation._job import Job, job_of
from sde_sgd.simulation._key_use import remember, warn_of_repeated_noise
from sde_sgd.simulation._memory import MemoryPrediction
from sde_sgd.simulation._outcome import Outcome, finished_moments, joined_outcomes, localised
from sde_sgd.simulation._provenance import Told, told_arguments
from sde_sgd.simulation._recording import Histogram, HistogramCounts
from sde_sgd.simulation._reports import report_divergence, report_not_finite
from sde_sgd.simulation._result import Result, with_its_process
from sde_sgd.simulation._schedule_use import look_at_schedule


def run(
    process: Process,
    *,
    chains: int,
    steps: int | None = None,
    epochs: float | None = None,
    time: float | None = None,
    key: Key[Array, ""],
    initial: PyTree | Result | None = None,
    record: Records | None = None,
    moments: Records | None = None,
    histograms: Mapping[str, Histogram] | Histogram | None = None,
    every: Numbers | None = None,
    burn_in: float = 0,
    stop_loss: float | None = None,
    stop: Observable | None = None,
    throw: bool = False,
    progress: bool | None = None,
    devices: Devices | None = None,
    data_devices: int = 1,
    chunk: int | None = None,
    memory_limit: int | None = None,
    checkpoint: Checkpoint | FilePath | None = None,
    resume: bool = False,
) -> Result:
    """Run an ensemble of independent chains of any process.

    Chain i depends on `key` and i alone: not on the number of chains, on how the run is cut into
    chunks, or on whether it is stopped and continued (with data, whose products come in batches, to
    rounding). Memory does not grow with the number of steps, but for `record`, which keeps what it is asked
    to keep in host memory.

    >>> import jax, sde_sgd as ss
    >>> sgd = ss.SGD(ss.problems.Quadratic(1.0), ss.Hyperparameters(learning_rate=0.1, batch_size=2))
    >>> result = run(sgd, chains=5, steps=20, every=10, record=["loss"], key=jax.random.key(0))
    >>> result.theta.shape, result.record["loss"].shape
    ((5,), (3, 5))

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
            histograms do not take it: they weigh samples evenly, which are evenly spaced. For `record` alone
            a rising list of places will do, dense where much happens: [1, 2, 3, 5, 10, 20, 50].
        burn_in: before statistics are gathered, in the unit of the length.
        stop_loss: a chain stays where it is from the first sample with L(θ) ≤ this, and statistics
            take no more of it; the run ends when all have (or have diverged).
        stop: the same for any condition: a function of one chain's parameters that says true where the
            chain is to stop. With both, what comes first counts.
        throw: raise if a chain diverges, instead of a warning.
        progress: show a progress bar: True, False, or None for long work on a terminal or notebook.
        devices: spread the chains over these; by default over all, those of other hosts too once
            `jax.distributed` is initialised. A CPU counts as one device unless `use_cpu` has made it
            one for each core; then all are kept busy.
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
        job = job_of(
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
        look_at_schedule(process, job.plan.start, job.plan.steps, stacklevel=2)
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
    report_divergence(result, process.against_divergence, throw)
    report_not_finite(result)
    if store is not None:
        store.report(result)
    return result


def predict_memory(
    process: Process,
    *,
    chains: int,
    steps: int | None = None,
    epochs: float | None = None,
    time: float | None = None,
    key: Key[Array, ""] | None = None,
    record: Records | None = None,
    moments: Records | None = None,
    histograms: Mapping[str, Histogram] | Histogram | None = None,
    every: Numbers | None = None,
    devices: Devices | None = None,
    data_devices: int = 1,
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
        job = job_of(
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


def _result(job: Job, outcomes: list[Outcome], seconds: float, asked: Told) -> Result:
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
