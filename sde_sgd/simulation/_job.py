"""A call of `run` that was looked at once: which ensembles, from where, how far."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform import _devices, _settings
from sde_sgd._platform.reading import _traces
from sde_sgd._platform.reading._fingerprint import fingerprint
from sde_sgd.processes._base import LAST_STEP, ChainState, Process
from sde_sgd.random import check_key
from sde_sgd.simulation import _length, _start
from sde_sgd.simulation._outcome import Before, never
from sde_sgd.simulation._plan import Plan
from sde_sgd.simulation._recording import Recorder
from sde_sgd.simulation._result import Result
from sde_sgd.simulation._task import Task

# their numbers, which key their noise, have 32 bits
_MOST_CHAINS = 2**32


@dataclass(frozen=True)
class Chunk:
    """Some of a job's chains, run together."""

    task: Task
    numbers: range
    initial: PyTree | None
    continued: ChainState | None
    before: Before | None
    total: int

    def shapes(self) -> ChainState:
        if self.continued is not None:
            result: ChainState = _tree.abstract(self.continued)
            return result
        return _start.abstract_start(self.task.process, len(self.numbers), self.task.key, self.initial)

    def start(self) -> ChainState:
        if self.continued is not None:
            return self.continued
        numbers = np.arange(self.numbers.start, self.numbers.stop, dtype=np.uint32)
        return _start.start(
            self.task.process, self.task.layout, numbers, self.task.key, self.initial, total=self.total
        )


@dataclass(frozen=True)
class Job:
    """A validated call of `run`."""

    process: Process
    recorder: Recorder
    key: Key[Array, ""]
    plan: Plan
    chains: int
    chunk: int
    initial: PyTree | Result | None
    devices: _devices.Devices | None
    data_devices: int

    def parts(self) -> Iterator[Chunk]:
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
                yield Chunk(task, chosen, None, state, Before(lost, never(len(lost))), self.chains)
            else:
                yield Chunk(task, chosen, self._initial_of(here), None, None, self.chains)

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
        given = _checks.floating("initial", self.initial)
        whole = _start.given_start(self.process.problem, given, self.chains)
        return jax.tree.map(lambda leaf: leaf[here], whole)


def job_of(
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
) -> Job:
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
    return Job(process, recorder, key, plan, chains, chunk, initial, devices, data_devices)


def _check_gathers(asked: _length.Length, every: Any) -> None:
    """Refuse statistics over no sample, or over samples that lie unevenly."""
    if _length.is_list(every):
        raise ValueError(
            f"every must be one distance for moments and histograms, which weigh all samples alike, got "
            f"{_checks.short(list(every))}. Give them a run of their own, or record the observables."
        )
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
    theta = _tree.abstract(initial.theta)
    own = _traces.parameter_shapes(process.problem.init)
    if _tree.same_structure(own, theta) and _tree.dtypes(own) != _tree.dtypes(theta):
        raise ValueError(
            f"initial is a Result in {_tree.dtypes(theta)}, and this process works in {_tree.dtypes(own)}: "
            f"its state cannot be taken over. Pass initial=result.theta, which is converted and starts at "
            f"step 0, or go on with result.process."
        )
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((chains, *leaf.shape[1:]), leaf.dtype), theta)
    numbers = jax.ShapeDtypeStruct((chains,), jnp.uint32)
    if not _start.same_shapes(initial.state, _start.begin.shapes(process, one, numbers)):
        many = len(initial.diverged_at)
        first = f"jax.tree.map(lambda leaf: leaf[:{chains}], result.theta)"
        way_out = f"initial={first if many > chains else 'result.theta'}"
        way_out = f"chains={many} and {way_out}" if many < chains else way_out
        raise ValueError(
            f"initial is a Result of {type(initial.process).__name__} with {many} chains whose state does "
            f"not fit this process with {chains} chains; pass {way_out} to start from its parameters."
        )
    return initial.steps
