"""The one loop: chunks of steps in a jitted program, host code between them."""

import contextlib
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, Key, PyTree

from sde_sgd import _checks, _devices, _tree, random
from sde_sgd._progress import Progress
from sde_sgd._recording import (
    Histogram,
    HistogramCounts,
    Moments,
    Observable,
    Recorder,
    observe,
)
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import ChainState, Process
from sde_sgd.random import Stream, check_key

# A chunk aims at this many seconds: long enough that host work is lost in it, short enough for a
# progress bar and for Ctrl-C.
_CHUNK_SECONDS = 1.0
_LAST_STEP = 2**31 - 1


class Result(eqx.Module):
    """What a run leaves behind.

    Attributes:
        state: the ensemble at the last step; give it to `run(initial=...)` to go on.
        process: what was run.
        steps: steps of the clock gone by at the end.
        record_steps: at which steps the records were taken, shape `(samples,)`.
        record: name → array of shape `(samples, chains, ...)`.
        moments: name → `Moments` over time, per chain.
        histograms: name → `HistogramCounts` over chains and time.
        diverged_at: per chain the first step at which a parameter was seen not to be finite, −1 if
            none was. Looked at are the samples and the end, not the steps between.
        seconds: wall-clock time, compilation included.
    """

    state: ChainState
    process: Process
    steps: int = eqx.field(static=True)
    record_steps: np.ndarray
    record: dict[str, np.ndarray]
    moments: dict[str, Moments]
    histograms: dict[str, HistogramCounts]
    diverged_at: np.ndarray
    seconds: float

    @property
    def theta(self) -> PyTree:
        """Parameters of all chains at the end, diverged ones included."""
        return self.state.theta

    @property
    def alive(self) -> np.ndarray:
        """Which chains never diverged, shape `(chains,)`."""
        return self.diverged_at < 0

    @property
    def diverged(self) -> int:
        """Number of chains that diverged."""
        return int((~self.alive).sum())

    def samples(self) -> PyTree:
        """Parameters at the end of the chains that did not diverge, as NumPy arrays."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[self.alive], self.theta)

    @property
    def time(self) -> np.ndarray:
        """SDE time t = ηk/(1 − m) of the records, shape `(samples,)` or `(samples, chains)`."""
        rate = np.asarray(self.process.hyper.effective_learning_rate)
        return np.multiply.outer(self.record_steps, rate)

    @property
    def epochs(self) -> np.ndarray:
        """Epochs kB/N of the records, shape `(samples,)`.

        Raises:
            ValueError: if the problem has no data set.
        """
        size = self.process.problem.dataset_size
        if size is None:
            raise ValueError(
                f"{type(self.process.problem).__name__} has no data set, hence no epochs; use time."
            )
        return self.record_steps * self.process.hyper.batch_size / size


def run(
    process: Process | Any,
    *,
    chains: int | Any,
    steps: int | Any,
    key: Key[Array, ""] | Any,
    initial: PyTree | Result | None = None,
    record: Mapping[str, Observable] | None = None,
    moments: Mapping[str, Observable] | None = None,
    histograms: Mapping[str, Histogram] | Histogram | None = None,
    every: int | Any | None = None,
    burn_in: int | Any = 0,
    throw: bool = False,
    progress: bool | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Result:
    """Run an ensemble of independent chains of any process.

    Chain i depends on `key` and i alone: not on the number of chains, on how the run is cut into
    chunks, or on whether it is stopped and continued. Memory does not grow with the number of
    steps, but for `record`, which keeps what it is asked to keep in host memory.

    Args:
        process: `SGD(problem, hyper)`, `Langevin(problem, hyper)`, …
        chains: number of chains.
        steps: SGD steps to go.
        key: `jax.random.key(seed)`; the same key gives the same chains.
        initial: where to start: parameters of one chain (all start there), parameters with a
            leading axis of chains, a `Result` to continue, or None for the problem's own start.
        record: name → function of one chain's parameters, kept at the start and every `every` steps.
        moments: name → function; mean and variance over the samples after `burn_in`.
        histograms: name → `Histogram`, or one `Histogram`, over the samples after `burn_in`.
        every: steps between samples; by default the whole run, so only the end is looked at.
        burn_in: steps before statistics are gathered.
        throw: raise if a chain diverges, instead of a warning.
        progress: show a progress bar: True, False, or None for long work on a terminal.
        devices: spread the chains over these; by default over all local ones, as many as divide
            the number of chains. A CPU counts as one device unless the configuration option
            `jax_num_cpu_devices` says otherwise; with one for each core all are kept busy.

    Returns:
        `Result`.

    Raises:
        ValueError: for arguments out of range, shapes that do not match, parameters that are not
            floating point, a start that is not finite, an observable that fails.
        FloatingPointError: if `throw` and a chain diverged.
    """
    started = time.perf_counter()
    if not isinstance(process, Process):
        raise ValueError(f"process must be SGD(...), Langevin(...) or the like, got {process!r}.")
    chains = _checks.integer("chains", chains, at_least=1)
    steps = _checks.integer("steps", steps, at_least=1)
    burn_in = _checks.integer("burn_in", burn_in, at_least=0)
    every = steps if every is None else _checks.integer("every", every, at_least=1)
    check_key(key)
    if isinstance(histograms, Histogram):
        histograms = {"theta": histograms}
    recorder = Recorder(dict(record or {}), dict(moments or {}), dict(histograms or {}))
    _check_per_chain(process, chains)
    state, start, diverged_before = _start(process, chains, key, initial)
    if start + steps > _LAST_STEP:
        raise ValueError(f"steps must end by {_LAST_STEP} on the clock, got {start} + {steps}.")
    last_sample = steps - steps % every
    if burn_in >= last_sample and (recorder.moments or recorder.histograms):
        raise ValueError(
            f"burn_in must be < {last_sample}, the last sample of {steps} steps with every = {every}, "
            f"to leave something to gather; got {burn_in}."
        )

    mesh = _devices.chain_mesh(chains, devices)
    gathered = _Gathered(recorder)
    if start == 0:
        gathered.add_start(state.theta)
    kept, capacity = recorder.init(state.theta, 1 if mesh is None else mesh.size)
    kept["diverged"] = jnp.asarray(diverged_before)
    kept = _devices.place(kept, mesh, _KEPT_SPECS)
    state = _devices.place(state, mesh, _devices.CHAINS)
    done, pace = 0, 1.0
    with contextlib.closing(Progress(steps, type(process).__name__, progress)) as bar:
        while done < steps:
            block, size, keep = _next_block(done, steps, every, pace, capacity)
            counts = [start + done, block, size, start + burn_in]
            began = time.perf_counter()
            state, kept = _chunk(
                mesh,
                process,
                recorder,
                state,
                kept,
                key,
                jnp.asarray(counts, jnp.int32),
                jnp.asarray(keep),
            )
            kept["diverged"].block_until_ready()
            spent = time.perf_counter() - began
            if keep:
                kept = gathered.add(kept, start + done + block * np.arange(1, size + 1))
            done += block * size
            bar.advance(block * size)
            # the first block holds the compilation, so grow from there by at most a factor 8
            pace = block * size * min(8.0, max(1e-3, _CHUNK_SECONDS / max(spent, 1e-6)))
    # the last steps may lie beyond the last sample, and their end is what `samples` hands out
    lost = ~np.asarray(_tree.finite_chains(state.theta)) & (np.asarray(kept["diverged"]) < 0)
    diverged_at = np.where(lost, start + steps, np.asarray(kept["diverged"]))
    result = Result(
        state=state,
        process=process,
        steps=start + steps,
        record_steps=gathered.steps,
        record=gathered.record,
        moments=_moments(kept, diverged_at < 0),
        histograms=gathered.histograms,
        diverged_at=diverged_at,
        seconds=time.perf_counter() - started,
    )
    _report_divergence(result, throw)
    return result


def _next_block(done: int, steps: int, every: int, pace: float, capacity: int) -> tuple[int, int, bool]:
    """Steps per sample, samples, and whether they are kept, for about `pace` steps of work.

    Samples lie at multiples of `every`. Work that takes long is cut in the middle of a sample
    too, so that a bar can move and Ctrl-C is heard; such a cut is not a sample.
    """
    to_sample = every - done % every
    left = steps - done
    if to_sample > left:
        return min(left, max(1, int(pace))), 1, False
    if to_sample < every or pace < every:
        block = min(to_sample, max(1, int(pace)))
        return block, 1, block == to_sample
    return every, min(left // every, capacity, int(pace // every)), True


_KEPT_SPECS = {
    "record": _devices.SAMPLES_CHAINS,
    "moments": _devices.CHAINS,
    "count": _devices.WHOLE,
    "histograms": _devices.CHAINS,
    "diverged": _devices.CHAINS,
}


@eqx.filter_jit
def _chunk(
    mesh: Mesh | None,
    process: Process,
    recorder: Recorder,
    state: ChainState,
    kept: dict[str, Any],
    key: Key[Array, ""],
    counts: Int[Array, "4"],
    keep: Bool[Array, ""],
) -> tuple[ChainState, dict[str, Any]]:
    """Some samples, some steps apart, from a start, on every device its own chains."""
    if mesh is None:
        return _chunk_here(process, recorder, state, kept, key, counts, keep)
    arrays, rest = eqx.partition((process, recorder), eqx.is_array)
    chains = _tree.chain_count(state.theta)
    spec = _devices.per_chain(arrays, chains, lambda name: ".hyper." in name)

    def here(arrays: Any, *args: Any) -> tuple[ChainState, dict[str, Any]]:
        return _chunk_here(*eqx.combine(arrays, rest), *args)

    whole = _devices.WHOLE
    return jax.shard_map(
        here,
        mesh=mesh,
        in_specs=(spec, _devices.CHAINS, _KEPT_SPECS, whole, whole, whole),
        out_specs=(_devices.CHAINS, _KEPT_SPECS),
        check_vma=False,
    )(arrays, state, kept, key, counts, keep)


def _chunk_here(
    process: Process,
    recorder: Recorder,
    state: ChainState,
    kept: dict[str, Any],
    key: Key[Array, ""],
    counts: Int[Array, "4"],
    keep: Bool[Array, ""],
) -> tuple[ChainState, dict[str, Any]]:
    """The chunk for the chains of one device. No count is compiled in."""
    start, block, size, burn_in = counts

    def sample(number: Int[Array, ""], carry: tuple[Any, Any]) -> tuple[Any, Any]:
        state, kept = carry
        begin = start + number * block
        state = process.advance(state, start=begin, steps=block, key=key)
        now = begin + block

        def update(kept: dict[str, Any]) -> dict[str, Any]:
            return recorder.update(kept, state.theta, number, now, now > burn_in)

        return state, lax.cond(keep, update, lambda kept: kept, kept)

    return lax.fori_loop(0, size, sample, (state, kept))


class _Gathered:
    """What the chunks of a run have brought to the host so far."""

    def __init__(self, recorder: Recorder):
        self._recorder = recorder
        self._records: list[dict[str, np.ndarray]] = []
        self._steps: list[np.ndarray] = []
        self._counts = {name: np.zeros(ask.bins + 2, np.int64) for name, ask in recorder.histograms.items()}

    def add_start(self, theta: PyTree) -> None:
        if self._recorder.record:
            values = _observe(self._recorder.record, theta)
            self._records.append({name: np.asarray(value)[None] for name, value in values.items()})
            self._steps.append(np.zeros(1, np.int64))

    def add(self, kept: dict[str, Any], steps: np.ndarray) -> dict[str, Any]:
        """Take over one chunk's records and counts; returns `kept` with the counts at zero."""
        if self._recorder.record:
            self._records.append(
                {name: np.asarray(part[: len(steps)]) for name, part in kept["record"].items()}
            )
            self._steps.append(steps)
        for name, counts in kept["histograms"].items():
            self._counts[name] += np.asarray(counts).sum(axis=0)
        return {**kept, "histograms": jax.tree.map(jnp.zeros_like, kept["histograms"])}

    @property
    def steps(self) -> np.ndarray:
        return np.concatenate(self._steps) if self._steps else np.zeros(0, np.int64)

    @property
    def record(self) -> dict[str, np.ndarray]:
        return {
            name: np.concatenate([part[name] for part in self._records])
            for name in self._recorder.record
            if self._records
        }

    @property
    def histograms(self) -> dict[str, HistogramCounts]:
        return {
            name: HistogramCounts(ask.edges, counts[1:-1], int(counts[0]), int(counts[-1]))
            for (name, ask), counts in zip(
                self._recorder.histograms.items(), self._counts.values(), strict=True
            )
        }


_observe = eqx.filter_jit(observe)


def _moments(kept: dict[str, Any], alive: np.ndarray) -> dict[str, Moments]:
    count = int(kept["count"])
    return {
        name: Moments(count, np.asarray(mean), np.asarray(square) / max(count, 1), alive)
        for name, (mean, square) in kept["moments"].items()
    }


def _check_per_chain(process: Process, chains: int) -> None:
    for name in ("learning_rate", "momentum"):
        shape = getattr(process.hyper, name).shape
        if shape not in ((), (chains,)):
            raise ValueError(
                f"{name} has shape {shape} for {chains} chains; give one number or one per chain."
            )


def _start(
    process: Process, chains: int, key: Key[Array, ""], initial: PyTree | Result | None
) -> tuple[ChainState, int, np.ndarray]:
    """The ensemble to start from, its place on the clock, and which chains had diverged."""
    chain = random.chain_numbers(chains)
    template = jax.eval_shape(process.problem.init, key)
    if isinstance(initial, Result):
        expected = jax.eval_shape(lambda: process.init(_spread(initial.theta, chains), chain))
        if not _tree.same_structure(initial.state, expected) or any(
            old.shape != new.shape
            for old, new in zip(jax.tree.leaves(initial.state), jax.tree.leaves(expected), strict=True)
        ):
            raise ValueError(
                f"initial is a Result of {type(initial.process).__name__} with "
                f"{_tree.chain_count(initial.theta)} chains whose state does not fit this process "
                f"with {chains} chains; pass initial=result.theta to start from its parameters."
            )
        return initial.state, initial.steps, initial.diverged_at
    if initial is None:
        theta = _checks.floating("init", _own_start(process.problem, key, chain))
    else:
        theta = _given_start(template, _checks.floating("initial", initial), chains)
    _check_start(process, theta)
    return process.init(theta, chain), 0, np.full(chains, -1, np.int32)


@eqx.filter_jit
def _own_start(problem: Problem, key: Key[Array, ""], chain: Array) -> PyTree:
    root = jax.random.fold_in(key, int(Stream.INITIAL))
    return jax.vmap(lambda number: problem.init(jax.random.fold_in(root, number)))(chain)


@eqx.filter_jit
def _finite_start(problem: Problem, theta: PyTree) -> Array:
    size = problem.dataset_size
    if size is None:
        losses = jax.vmap(problem.loss)(theta)
    else:  # the activations of a large data set for many chains at once would not fit
        losses = lax.map(problem.loss, theta, batch_size=max(1, 2**20 // size))
    return _tree.finite_chains(theta) & jnp.isfinite(losses)


def _spread(theta: PyTree, chains: int) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros((chains, *leaf.shape[1:]), leaf.dtype), theta)


def _given_start(template: PyTree, given: PyTree, chains: int) -> PyTree:
    if _tree.same_structure(given, template):
        wanted, leaves = jax.tree.leaves(template), jax.tree.leaves(given)
        pairs = list(zip(leaves, wanted, strict=True))
        if all(leaf.shape == want.shape for leaf, want in pairs):
            return jax.tree.map(
                lambda leaf, want: jnp.broadcast_to(leaf.astype(want.dtype), (chains, *want.shape)),
                given,
                template,
            )
        if all(leaf.shape == (chains, *want.shape) for leaf, want in pairs):
            return jax.tree.map(lambda leaf, want: leaf.astype(want.dtype), given, template)
    raise ValueError(
        f"initial has shapes {_tree.describe(given)}; this problem's parameters have "
        f"{_tree.describe(template)}. Give one such set, or the same with a leading axis of "
        f"{chains} chains."
    )


def _check_start(process: Process, theta: PyTree) -> None:
    """Refuse a start where a parameter or the loss is not finite."""
    bad = ~np.asarray(_finite_start(process.problem, theta))
    if bad.any():
        raise ValueError(
            f"initial parameters of {int(bad.sum())} of {len(bad)} chains have diverged already: "
            f"the loss or a parameter is not finite (first at chain {int(bad.argmax())}). Start "
            f"closer to a minimum, or scale the loss down."
        )


def _report_divergence(result: Result, throw: bool) -> None:
    if not result.diverged:
        return
    first = int(result.diverged_at[result.diverged_at >= 0].min())
    message = (
        f"{result.diverged} of {len(result.diverged_at)} chains diverged, the first by step {first}; "
        f"they are marked in diverged_at and left out of statistics. A smaller learning rate helps: "
        f"a quadratic of curvature h is stable only for learning_rate * h < 2."
    )
    if throw:
        raise FloatingPointError(message)
    warnings.warn(message, stacklevel=3)
