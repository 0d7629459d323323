"""`Result`: what a run leaves behind."""

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd import _samplings, _tree
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown, known, short
from sde_sgd._platform._telling import warn
from sde_sgd._platform.files._dataset_file import read_dataset, write_dataset
from sde_sgd._platform.files._structure import (
    as_jax,
    dumped,
    key_of,
    key_parts,
    loaded,
    made_of,
    packed,
    unpacked,
)
from sde_sgd._types import FilePath
from sde_sgd.processes._base import LAST_STEP, ChainState, Process, scheduled
from sde_sgd.simulation import _panels, _provenance, _start
from sde_sgd.simulation._recording import HistogramCounts, Moments
from sde_sgd.simulation._result_file import from_dataset, to_dataset
from sde_sgd.simulation._saved_process import SavedProcess, saved_process

if TYPE_CHECKING:
    import xarray as xr

# steps of a schedule that are looked at together
_BLOCK = 2**20


class Result(Shown, eqx.Module):
    """What a run leaves behind.

    It can be saved and pickled. What a file or pickle cannot hold of the process (functions, mostly) is
    described: then `process` knows its name, η, B and m and refuses to run, until `with_process` puts the
    real one back. All else is the same to the last bit.

    Attributes:
        state: the ensemble at the last step, on the host where it was run in chunks, over several
            hosts or inside a mesh (`jax.set_mesh`). To go on, give the whole result to `run(initial=...)`.
        process: what was run.
        steps: steps of the clock gone by at the end.
        record_steps: at which steps the records were taken, shape `(samples,)`.
        record: name → array of shape `(samples, chains, ...)`.
        moments: name → `Moments` over time, per chain.
        histograms: name → `HistogramCounts` over chains and time.
        diverged_at: per chain the first step at which a parameter was seen not to be finite, −1 if
            none was. Looked at are the samples and the end, not the steps between.
        stopped_at: per chain the sample at which the loss had reached `stop_loss`, or `stop` said true; −1 if
            neither was so.
        seconds: wall-clock time, compilation included.
        key: of the random numbers, None where it is not known. Two results share noise where their keys
            are equal and their steps from `start` to `steps` overlap.
        start: the step of the clock at which the run began: 0, or where the result ended that it continues.
        asked: the arguments of `run` as text, and what could not be written.
        told: `provenance` as JSON, of a result that was read.
    """

    state: ChainState
    process: Process
    steps: int = eqx.field(static=True)
    record_steps: np.ndarray
    record: dict[str, np.ndarray]
    moments: dict[str, Moments]
    histograms: dict[str, HistogramCounts]
    diverged_at: np.ndarray
    stopped_at: np.ndarray
    seconds: float
    key: Key[Array, ""] | None = None
    start: int = eqx.field(static=True, default=0)
    asked: _provenance.Told | None = eqx.field(static=True, default=None, repr=False)
    told: str | None = eqx.field(static=True, default=None, repr=False)

    def __repr__(self) -> str:
        process, gone = self.process, known(self.diverged_at)
        what = [f"{type(process).__name__} on {type(getattr(process, 'problem', None)).__name__}"]
        what.append(short(getattr(process, "hyper", None)))
        if gone is None or not gone.ndim:
            what.append(f"diverged_at={short(self.diverged_at)}")
        else:
            what.append(f"{len(gone)} chains of which {int((gone >= 0).sum())} diverged")
        what.append(f"steps {short(self.start)} to {short(self.steps)}")
        kept = {"record": self.record, "moments": self.moments, "histograms": self.histograms}
        what += [f"{name}={short(value)}" for name, value in kept.items() if value]
        return f"Result({', '.join(what)}, seconds={short(self.seconds)})"

    def _panel(self) -> Panel:
        return _panels.of_run(self)

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
        return int((self.diverged_at >= 0).sum())

    def samples(self) -> PyTree:
        """Parameters at the end of the chains that did not diverge, as NumPy arrays."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[self.alive], self.theta)

    @property
    def time(self) -> np.ndarray:
        """SDE time t = Σ_k η_k/(1 − m) of the records, shape `(samples,)` or `(samples, chains)`."""
        if isinstance(self.process, SavedProcess):
            return self.process.times
        rate = np.asarray(self.process.hyper.effective_learning_rate)
        result: np.ndarray = np.multiply.outer(scheduled_steps(self.process, self.record_steps), rate)
        return result

    @property
    def epochs(self) -> np.ndarray:
        """Epochs kB/N of the records, or k/⌈N/B⌉ with sampling="shuffle_all", shape `(samples,)`.

        Raises:
            ValueError: if the problem has no data set.
        """
        size = self.process.problem.dataset_size
        if size is None:
            raise ValueError(
                f"{type(self.process.problem).__name__} has no data set, hence no epochs; use time."
            )
        steps, whole = _samplings.epoch(self.process.hyper.batch_size, size, _samplings.of(self.process))
        result: np.ndarray = self.record_steps * whole / steps
        return result

    @property
    def provenance(self) -> dict[str, Any]:
        """What this is the result of.

        A dictionary of plain values: "process" with its options, "hyperparameters", "problem", shapes of
        "parameters", "data" with checksums, "key", "start" and "steps", "versions", "device", and "call":
        Python that repeats the run. What cannot be written as Python is named in it.
        """
        if self.told is not None:
            return dict(json.loads(self.told))
        asked = ("...", ("arguments of the call",), (), "") if self.asked is None else self.asked
        key = key_parts(self.key)
        # as it was when it was run, for constructors are tried
        with jax.enable_x64("float64" in _tree.dtypes(self.theta)):
            return {
                "made_by": "run",
                **_provenance.of_process(self.process),
                **_provenance.of_problem(self.process.problem),
                "chains": len(self.diverged_at),
                "start": self.start,
                "steps": self.steps,
                "key": None if key is None else {"generator": key[0], "words": key[1]},
                **_provenance.environment(self.state),
                "call": _provenance.call_text("run", asked, self.process, self.process.problem),
            }

    def to_xarray(self) -> "xr.Dataset":
        """Everything but the process as an `xarray.Dataset`.

        Dimensions "step" and "chain". Variables: the records under their names; `diverged_at`, `stopped_at`;
        `moments.name.mean_per_chain` …, `histograms.name.counts` and `.edges`; the parameters at the end,
        `theta`, or `theta[0]['weight']` and so on; `state…`, what else the process carries. The coordinate
        `time` is SDE time. Attributes: `call`, `provenance` and the like.
        """
        return to_dataset(self)

    def save(self, path: FilePath, *, overwrite: bool = False) -> Path:
        """Write `to_xarray()` as NetCDF (`.nc`) or Zarr (`.zarr`), for `read_run`; xarray opens it too.

        It is written beside `path` and put in its place whole: what was there stays until then, whatever
        happens. A checksum of every variable and of every byte goes with it.

        Raises:
            ValueError: for another ending, or if there is something already and not `overwrite`.
            FileError: if it cannot be written; what was there is as it was.
            ImportError: without netCDF4 or zarr, whichever it takes.
        """
        return write_dataset(to_dataset(self), path, "run", overwrite=overwrite)

    def with_process(self, process: Process) -> "Result":
        """The same result with its process put back, after it was read: to go on, and for its times.

        Warns if the file describes another one, with both values: the times are then those of this process.

        Raises:
            ValueError: if the process has other parameters, or carries something else along.
        """
        found = self._with(process)
        other = _provenance.differences(self.provenance, process)
        if other:
            warn(
                f"process is not the one that this result is of: {'; '.join(other)}. Its times and its repr "
                f"now follow the process given. To go on with another process: run(process, initial=result).",
                stacklevel=2,
            )
        return found

    def _with(self, process: Process) -> "Result":
        if not isinstance(process, Process) or isinstance(process, SavedProcess):
            raise ValueError(f"process must be SGD(...), Langevin(...) or the like, got {process!r}.")
        key = jax.random.key(0) if self.key is None else self.key
        expected = _start.abstract_start(process, len(self.diverged_at), key, None)
        have, want = jax.tree.leaves(self.state), jax.tree.leaves(expected)
        if _shapes(have) != _shapes(want):
            raise ValueError(
                f"process is {type(process).__name__} on {type(process.problem).__name__}, whose state has "
                f"the arrays {_shapes(want)}; this is the result of {self.process!r}, which has "
                f"{_shapes(have)}. Build it as result.provenance['call'] says, or give initial=result.theta."
            )
        state = jax.tree.unflatten(jax.tree.structure(expected), have)
        return _replaced(self, process=process, state=state)

    def __copy__(self) -> "Result":
        return _replaced(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Result":
        shared = ("process", "key")  # frozen
        names = [name for name in self.__dataclass_fields__ if name not in shared]
        return _replaced(self, **{name: copy.deepcopy(getattr(self, name), memo) for name in names})

    def __reduce__(self) -> Any:
        content: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        content["told"] = json.dumps(self.provenance)
        content["key"] = key_parts(self.key)
        content["chain"] = np.asarray(self.state.chain), isinstance(self.state.chain, jax.Array)
        content["theta"], content["extra"] = packed(self.state.theta), packed(self.state.extra)
        content["process"] = dumped(self.process)
        content["saved"] = saved_process(self.process, self.time)
        return _unpickled, (content,)


_PLAIN = (
    "steps",
    "record_steps",
    "record",
    "moments",
    "histograms",
    "diverged_at",
    "stopped_at",
    "seconds",
    "start",
    "asked",
)


def _shapes(leaves: list[Any]) -> str:
    return ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves)


def _replaced(result: Result, **changed: Any) -> Result:
    fields = {name: getattr(result, name) for name in result.__dataclass_fields__}
    made: Result = made_of(Result, {**fields, **changed})
    return made


def _unpickled(content: dict[str, Any]) -> Result:
    fields = {name: content[name] for name in (*_PLAIN, "told")}
    values, in_jax = content["chain"]
    chain = as_jax(values) if in_jax else values
    state = {"theta": unpacked(content["theta"]), "chain": chain, "extra": unpacked(content["extra"])}
    process = loaded(content["process"])
    fields["process"] = content["saved"] if process is None else process
    fields |= {"state": made_of(ChainState, state), "key": key_of(content["key"])}
    made: Result = made_of(Result, fields)
    return made


def with_its_process(initial: Any, process: Any) -> Any:
    """A result that was read, to be continued with this process; anything else as it is."""
    if not isinstance(initial, Result) or not isinstance(initial.process, SavedProcess):
        return initial
    is_real = isinstance(process, Process) and not isinstance(process, SavedProcess)
    return initial._with(process) if is_real else initial


def read_run(path: FilePath, *, process: Process | None = None) -> Result:
    """Read what `Result.save` has written, to the last bit.

    Whatever needs no process takes what is read like what `run` gave: `statistics.compare`,
    `plot.histograms`, `plot.curves`, `samples()`, `moments`, `time`. Parameters in dictionaries, lists and
    tuples have their structure again; other nodes (Equinox modules) are known by their names until their
    process is there. To go on: `run(process, initial=read_run(path))`.

    Args:
        path: of the file or folder.
        process: what was run, to put back; as `Result.with_process` does.

    Raises:
        ValueError: if there is no such file, or it ends in neither .nc nor .zarr; if the process is another.
        FileError: if it is damaged in any way, or was not written by `Result.save`.
        ImportError: without netCDF4 or zarr, whichever it takes.
    """
    result: Result = made_of(Result, from_dataset(read_dataset(path, "run")))
    return result if process is None else result.with_process(process)


def scheduled_steps(process: Process, steps: np.ndarray) -> np.ndarray:
    """Σ_{j<k} f(j) at every k in `steps`, with f the schedule: k itself without one.

    Summed in float64 in the order of the steps, a block of them at a time: what was asked for is all
    that is kept.
    """
    if process.schedule is None or not len(steps):
        return steps
    origin, last = int(process.origin), int(steps.max())
    factors: Any = jax.vmap(lambda k: scheduled(jnp.ones(()), process.schedule, process.origin, k))
    wanted, place = np.unique(np.maximum(steps - origin, 0), return_inverse=True)
    sums, total = np.zeros(len(wanted)), 0.0
    # all blocks of one length: another one would be compiled again
    size = min(_BLOCK, max(1, last - origin))
    for begin in range(0, last - origin, size):
        # the last of them may lie beyond the clock: then some of its steps come twice, and are not used
        numbers = np.minimum(np.arange(origin + begin, origin + begin + size), LAST_STEP)
        block = np.asarray(factors(jnp.asarray(numbers, jnp.int32)), np.float64)
        running = np.cumsum(np.concatenate([[total], block]))
        first, after = np.searchsorted(wanted, [begin, begin + size], side="right")
        sums[first:after] = running[wanted[first:after] - begin]
        total = running[-1]
    return np.where(steps <= origin, steps, origin + sums[place.reshape(np.shape(steps))])
