"""What a run keeps: trajectories of observables, streaming moments, streaming histograms."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown, described, short
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Observable
from sde_sgd.simulation._compensated import BLOCK, add_block, add_sample
from sde_sgd.simulation._counted import of_histogram

_CHUNK_BYTES = 64 * 2**20
# a histogram has a count on every device for each of them
_MOST_BINS = 2**24


class Histogram(Shown, eqx.Module):
    """Ask a run for a histogram of a scalar observable, gathered over chains and time.

    Args:
        low, high: range of the bins; what falls outside is counted apart, not lost. As in NumPy a bin holds
            its lower edge and not its upper one, but the last holds both.
        bins: number of equal bins.
        observable: a function of one chain's parameters, or a method of the problem by its name; None takes
            θ itself where it is a scalar.
    """

    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    bins: int = eqx.field(static=True)
    observable: Observable | str | None

    def __init__(self, low: float, high: float, bins: int = 100, observable: Observable | str | None = None):
        self.low = float(_checks.scalar("low", low, kept=True))
        self.high = float(_checks.scalar("high", high, above=self.low, hint="Give low < high.", kept=True))
        self.bins = _checks.integer("bins", bins, at_least=1, at_most=_MOST_BINS)
        if not (observable is None or isinstance(observable, str) or callable(observable)):
            raise ValueError(
                f"observable must be a function of one chain's parameters that gives one number, or the name "
                f"of a method of the problem, got {_checks.short(observable)}."
            )
        self.observable = observable

    @property
    def edges(self) -> np.ndarray:
        """The bins + 1 edges."""
        return np.linspace(self.low, self.high, self.bins + 1)

    @property
    def cells(self) -> int:
        """What is counted: below, every bin, above, not a number."""
        return self.bins + 3


class HistogramCounts(Shown, eqx.Module):
    """A finished histogram: counts per bin, and how many samples fell below and above.

    Infinities lie below or above like any number. What is not a number (NaN) has no place in a law:
    `not_a_number` of the samples are counted apart, and neither `total` nor `density` knows of them.
    """

    edges: np.ndarray
    counts: np.ndarray
    below: int
    above: int
    not_a_number: int = 0

    def _panel(self) -> Panel:
        return of_histogram(self)

    @property
    def total(self) -> int:
        """All samples that are numbers, inside the range or not."""
        return int(self.counts.sum()) + self.below + self.above

    @property
    def density(self) -> np.ndarray:
        """Probability density per bin, normalised by `total`: all 0 if there is no number at all."""
        result: np.ndarray = self.counts / (max(self.total, 1) * np.diff(self.edges))
        return result


class Moments(Shown, eqx.Module):
    """Mean and variance over time of one observable, chain by chain.

    Chains are independent, so the spread of their time averages gives a standard error that
    needs no assumption about correlation in time.

    A chain that did not diverge and yet has seen an infinite value or NaN has no moments:
    `not_finite` counts such chains. Nor has one that stopped before the first sample after `burn_in`.
    `mean`, `variance` and `standard_error` leave them out, and are NaN where none is left.

    Attributes:
        count: samples of a chain that went on to the end.
        mean_per_chain, variance_per_chain: shape `(chains, ...)`, NaN where there was no sample.
        alive: which chains did not diverge and gave a sample.
    """

    count: int
    mean_per_chain: np.ndarray
    variance_per_chain: np.ndarray
    alive: np.ndarray

    def __repr__(self) -> str:
        arrays = self.alive, self.mean_per_chain, self.variance_per_chain
        if not all(isinstance(array, np.ndarray) for array in arrays):
            return described(self)
        mean = f"mean {short(self.mean)} ± {short(self.standard_error)}, variance {short(self.variance)}"
        missing = int((~(self.alive & self.finite)).sum())
        left_out = f", {missing} of them left out" if missing else ""
        return f"Moments({mean}; {len(self.alive)} chains{left_out}, {short(self.count)} samples of each)"

    @property
    def not_finite(self) -> int:
        """Number of chains that did not diverge, but whose observable was not always finite."""
        return int((self.alive & ~self.finite).sum())

    @property
    def mean(self) -> np.ndarray:
        """Mean over time and chains (diverged ones and those of `not_finite` left out)."""
        return _mean(self._kept(self.mean_per_chain))

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of `mean`, from the spread of the chains' time averages."""
        kept = self._kept(self.mean_per_chain)
        if len(kept) < 2:
            return np.full(kept.shape[1:], np.nan)
        return np.asarray(kept.std(axis=0, ddof=1) / np.sqrt(len(kept)))

    @property
    def variance(self) -> np.ndarray:
        """Variance over time and chains together: E x² − (E x)²."""
        means = self._kept(self.mean_per_chain)
        within = _mean(self._kept(self.variance_per_chain))
        return np.asarray(within + _mean((means - _mean(means)) ** 2))

    @property
    def finite(self) -> np.ndarray:
        """Which chains have a finite mean and variance, shape `(chains,)`."""
        both = np.isfinite(self.mean_per_chain) & np.isfinite(self.variance_per_chain)
        return np.asarray(both.reshape(len(both), -1).all(axis=1))

    def _kept(self, per_chain: np.ndarray) -> np.ndarray:
        result: np.ndarray = per_chain[self.alive & self.finite].astype(np.float64)
        return result


def _mean(rows: np.ndarray) -> np.ndarray:
    """Over the first axis; NaN where it is empty."""
    return np.asarray(rows.mean(axis=0)) if len(rows) else np.full(rows.shape[1:], np.nan)


class Recorder(eqx.Module):
    """The observables of a run as one pure function of the ensemble, and where they are kept.

    Attributes:
        record, moments, histograms: what is asked for, by name.
        loss: L(θ) of one chain where chains stop at a loss, else None.
        stop_loss: that loss, an array so that it is not compiled in.
        stop: whether one chain is to stop, or None.
    """

    record: dict[str, Observable]
    moments: dict[str, Observable]
    histograms: dict[str, Histogram]
    loss: Observable | None = None
    stop_loss: Float[Array, ""] | None = None
    stop: Observable | None = None

    @property
    def stops(self) -> bool:
        """Whether chains may stop before the end."""
        return self.loss is not None or self.stop is not None

    def reached(self, theta: PyTree) -> Bool[Array, " chains"]:
        """Which chains are where they are to stop."""
        found = jnp.zeros((_tree.chain_count(theta),), bool)
        if self.loss is not None and self.stop_loss is not None:
            found = found | (jax.vmap(self.loss)(theta) <= self.stop_loss)
        if self.stop is not None:
            found = found | _told_to_stop(self.stop, theta)
        return found

    def shapes(self, theta: PyTree) -> PyTree:
        """Shapes of one sample of the records."""
        return _observed.shapes(self.record, theta)

    def init(self, theta: PyTree, shards: int) -> dict[str, Any]:
        """Empty records, moments and histograms.

        Histograms are counted on each of `shards` groups of devices for itself.
        """
        observed = self.shapes(theta)
        capacity = samples_at_once(observed, _tree.chain_count(theta))
        followed = _observed.shapes(self.moments, theta)
        chains = _tree.chain_count(theta)

        def pair() -> dict[str, Any]:
            result: dict[str, Any] = jax.tree.map(
                lambda s: (jnp.zeros(s.shape, s.dtype), jnp.zeros(s.shape, s.dtype)), followed
            )
            return result

        return {
            "record": jax.tree.map(lambda s: jnp.zeros((capacity, *s.shape), s.dtype), observed),
            "block": pair(),
            "moments": {"mean": pair(), "square": pair()},
            "count": jnp.zeros((), jnp.int32),
            "merged": jnp.zeros((), jnp.int32),
            "given": jnp.zeros((chains,), jnp.int32),
            "histograms": {
                name: jnp.zeros((shards, ask.cells), jnp.int32) for name, ask in self.histograms.items()
            },
            "diverged": jnp.full((chains,), -1, jnp.int32),
            "stopped": jnp.full((chains,), -1, jnp.int32),
        }

    def update(
        self,
        kept: dict[str, Any],
        theta: PyTree,
        sample: Int[Array, ""],
        step: Int[Array, ""],
        gather: Bool[Array, ""],
        about: Mapping[str, tuple[Array, Array]],
    ) -> dict[str, Any]:
        """Add the ensemble at `step` as sample number `sample`; statistics only if `gather`.

        The samples in the block of moments are counted from `about`, the means without the block.
        """
        first = (kept["diverged"] < 0) & ~_tree.finite_chains(theta)
        diverged = jnp.where(first, step, kept["diverged"])
        values = observe(self.record, theta)
        record = jax.tree.map(
            lambda store, value: jax.lax.dynamic_update_index_in_dim(store, value, sample, 0),
            kept["record"],
            values,
        )
        count = kept["count"] + gather.astype(jnp.int32)
        stopped, given = kept["stopped"], kept["given"]
        if self.stops:
            # what a chain leaves behind must not depend on how long the others go on
            gather = gather & going(kept)
            given = given + gather.astype(jnp.int32)
            stopped = jnp.where((stopped < 0) & self.reached(theta), step, stopped)
        taken = self._taken(count, given, kept["merged"])
        block = {}
        for name, value in observe(self.moments, theta).items():
            # about the mean so far, so that a mean far from 0 costs no digits
            value = value - about[name][0]  # noqa: PLW2901
            block[name] = add_sample(
                kept["block"][name], value, _column(taken, value), _column(gather, value)
            )
        histograms = {
            name: _count(kept["histograms"][name], ask, theta, (diverged < 0) & gather)
            for name, ask in self.histograms.items()
        }
        return {
            "record": record,
            "block": block,
            "count": count,
            "merged": kept["merged"],
            "given": given,
            "histograms": histograms,
            "diverged": diverged,
            "stopped": stopped,
        }

    def merge(self, kept: dict[str, Any]) -> dict[str, Any]:
        """Take the block of samples into the moments if it is full."""
        if not self.moments:
            return kept
        given = kept["given"] if self.stops else kept["count"]
        taken, before = self._taken(kept["count"], given, kept["merged"]), jnp.minimum(given, kept["merged"])

        def full(_: None) -> tuple[Any, Any, Array]:
            means, squares = {}, {}
            for name, block in kept["block"].items():
                means[name], squares[name] = add_block(
                    kept["moments"]["mean"][name],
                    kept["moments"]["square"][name],
                    _column(before, block[0]),
                    block,
                    _column(taken, block[0]),
                )
            empty = jax.tree.map(jnp.zeros_like, kept["block"])
            return {"mean": means, "square": squares}, empty, kept["count"]

        def wait(_: None) -> tuple[Any, Any, Array]:
            return kept["moments"], kept["block"], kept["merged"]

        moments, block, merged = lax.cond(room(kept) == 0, full, wait, None)
        return {**kept, "moments": moments, "block": block, "merged": merged}

    def _taken(self, count: Array, given: Array, merged: Array) -> Array:
        """How many samples are in the block: one number, or where chains stop one for each."""
        return jnp.maximum((given if self.stops else count) - merged, 0)


def room(kept: Mapping[str, Any]) -> Int[Array, ""]:
    """How many samples the block of moments can still take."""
    result: Int[Array, ""] = BLOCK - (kept["count"] - kept["merged"])
    return result


def _column(values: Array, leaf: Array) -> Array:
    """A number, or one for each chain, against an array whose first axis is chains."""
    return values.reshape(values.shape + (1,) * (leaf.ndim - 1)) if values.ndim else values


def going(kept: Mapping[str, Any]) -> Bool[Array, " chains"]:
    """Which chains have neither stopped nor diverged: where chains may stop, the others stay."""
    result: Bool[Array, " chains"] = (kept["stopped"] < 0) & (kept["diverged"] < 0)
    return result


def samples_at_once(sample: PyTree, chains: int) -> int:
    """How many samples of these shapes one chunk of a run may hold."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(sample))
    # the device counts in int32, so a chunk must not overflow one bin
    result: int = max(1, min(1024, _CHUNK_BYTES // max(size, 1), (2**31 - 1) // chains))
    return result


def observe(observables: Mapping[str, Observable], theta: PyTree) -> dict[str, Array]:
    """Every observable of every chain; an observable that fails is named."""
    values = {}
    for name, function in observables.items():
        try:
            values[name] = jax.vmap(function)(theta)
        except Exception as error:
            raise ValueError(
                f"the observable {name!r} failed on the parameters of one chain, shapes "
                f"{_tree.describe(jax.tree.map(lambda leaf: leaf[0], theta))}: {error}"
            ) from error
        if not isinstance(values[name], jax.Array):
            raise ValueError(
                f"the observable {name!r} must return one array, got {type(values[name]).__name__}"
                f"{_fields(values[name])}."
            )
        if not jnp.issubdtype(values[name].dtype, jnp.floating):
            values[name] = values[name].astype(jnp.result_type(float))
    return values


_observed = _traces.jit(observe)


def _told_to_stop(stop: Observable, theta: PyTree) -> Bool[Array, " chains"]:
    """The predicate at every chain; one that fails, or does not say yes or no, is named."""
    try:
        found = jax.vmap(stop)(theta)
    except Exception as error:
        raise ValueError(
            f"stop failed on the parameters of one chain, shapes "
            f"{_tree.describe(jax.tree.map(lambda leaf: leaf[0], theta))}: {error}"
        ) from error
    if not isinstance(found, jax.Array) or found.ndim != 1 or found.dtype != bool:
        got = (
            f"{found.dtype}{list(found.shape[1:])}" if isinstance(found, jax.Array) else type(found).__name__
        )
        raise ValueError(
            f"stop must return one true or false for the parameters of one chain, got {got}; for instance "
            f"stop=lambda theta: problem.loss(theta) < 0.1."
        )
    return found


def _count(counts: Array, ask: Histogram, theta: PyTree, kept: Bool[Array, " chains"]) -> Array:
    assert not isinstance(ask.observable, str)  # the run has looked it up
    values = theta if ask.observable is None else observe({"histogram": ask.observable}, theta)["histogram"]
    leaves = jax.tree.leaves(values)
    if len(leaves) != 1 or leaves[0].ndim != 1:
        raise ValueError(
            f"a Histogram needs one number per chain, got shapes {_tree.describe(values)}; "
            f"give it an observable that returns a scalar."
        )
    scaled = (leaves[0] - ask.low) * (ask.bins / (ask.high - ask.low))
    index = jnp.clip(jnp.floor(scaled), -1, ask.bins) + 1
    index = jnp.where(leaves[0] == ask.high, ask.bins, index)  # the last bin holds its upper edge
    # the last cell, before a conversion makes some integer of NaN
    index = jnp.where(jnp.isnan(scaled), ask.cells - 1, index).astype(jnp.int32)
    return counts.at[0, index].add(kept.astype(jnp.int32))


def _fields(value: Any) -> str:
    """Which of its entries could be recorded, where it has names for them."""
    names = getattr(type(value), "_fields", ())
    return f"; take one of its fields ({', '.join(names)})" if names else ""
