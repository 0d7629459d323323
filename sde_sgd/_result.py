"""`Result`: what a run leaves behind."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd._recording import HistogramCounts, Moments
from sde_sgd.processes._base import ChainState, Process, scheduled


class Result(eqx.Module):
    """What a run leaves behind.

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
        """SDE time t = Σ_k η_k/(1 − m) of the records, shape `(samples,)` or `(samples, chains)`."""
        rate = np.asarray(self.process.hyper.effective_learning_rate)
        return np.multiply.outer(scheduled_steps(self.process, self.record_steps), rate)

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


def scheduled_steps(process: Process, steps: np.ndarray) -> np.ndarray:
    """Σ_{j<k} f(j) at every k in `steps`, with f the schedule: k itself without one."""
    if process.schedule is None or not len(steps):
        return steps
    origin = int(process.origin)
    numbers = jnp.arange(origin, max(origin, int(steps.max())))
    factors = np.asarray(
        jax.vmap(lambda k: scheduled(jnp.ones(()), process.schedule, process.origin, k))(numbers)
    )
    total = np.concatenate([[0.0], np.cumsum(factors, dtype=np.float64)])
    return np.where(steps <= origin, steps, origin + total[np.maximum(steps - origin, 0)])
