"""One ensemble to run: its program, and the memory it will take."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array, Key, PyTree

from sde_sgd._platform import _devices, _settings
from sde_sgd._platform._devices import Layout
from sde_sgd._platform.reading import _traces
from sde_sgd.processes._base import Process
from sde_sgd.simulation._memory import MemoryPrediction, predict
from sde_sgd.simulation._plan import Plan
from sde_sgd.simulation._program import Ensemble, Program
from sde_sgd.simulation._recording import Recorder

# XLA counts along an axis in 32 bits.
_MOST_CHAINS = 2**31 - 1


@dataclass(frozen=True)
class Task:
    """One ensemble to run.

    Attributes:
        layout: which device holds what.
        process, recorder, key: what is run, what is kept, and the key of its random numbers.
        plan: how long.
    """

    layout: Layout
    process: Process
    recorder: Recorder
    key: Key[Array, ""]
    plan: Plan

    def prepare(self, state: PyTree) -> tuple[Ensemble, Program, PyTree]:
        """Compile for a state of these shapes, or find what is compiled; and the shapes of what is kept.

        Raises:
            MemoryError: for more chains on a device than it can number.
            ValueError: if numbers of several precisions do not go together.
        """
        here = self.layout.slots // self.layout.groups
        if here > _MOST_CHAINS:
            size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
            raise MemoryError(
                f"{self.layout.chains} chains at once are {here} on a device, which numbers {_MOST_CHAINS}; "
                f"their state alone takes {size / 1e9:.3g} GB. run(..., chunk={2**20 * self.layout.groups}) "
                f"runs so many at a time; `predict_memory` says how many fit."
            )
        ensemble = Ensemble(self.layout, self.process, self.recorder, self.key)
        padded = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((self.layout.slots, *leaf.shape[1:]), leaf.dtype), state
        )
        kept = _kept.shapes(self.recorder, padded.theta, self.layout.groups)
        try:
            return ensemble, ensemble.program(padded, kept), kept
        except (TypeError, ValueError) as error:
            told = _settings.mixed_precision(self.process, padded)
            if not told or (isinstance(error, ValueError) and "dtype promotion" not in str(error)):
                raise
            raise ValueError(told) from error

    def predict_memory(self, state: PyTree, program: Program, limit: int | None) -> MemoryPrediction:
        """What the run will take, its records on the host included."""
        sample = jax.tree.leaves(self.recorder.shapes(state.theta))
        sample_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in sample)
        # twice: the pieces, and the whole that is made of them
        return predict(self.layout, program, 2 * sample_bytes * self.plan.samples, limit)

    def predictions(self, shapes: PyTree) -> Callable[[int, int | None], MemoryPrediction]:
        """The prediction for another number of chains, and another limit."""

        def one(chains: int, limit: int | None) -> MemoryPrediction:
            devices, data = list(self.layout.mesh.devices.flat), self.layout.data_devices
            layout = _devices.layout(chains, devices, data, _devices.lanes(self.process.problem))
            process = _devices.map_per_chain(lambda leaf: leaf[:chains], self.process, self.layout.chains)
            task = dataclasses.replace(self, layout=layout, process=process)
            state = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct((chains, *leaf.shape[1:]), leaf.dtype), shapes
            )
            return task.predict_memory(state, task.prepare(state)[1], limit)

        return one


@_traces.jit
def _kept(recorder: Recorder, theta: PyTree, groups: int) -> dict[str, Any]:
    return recorder.init(theta, groups)
