"""What the tests are given: samples, points, laws and random numbers, checked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd.random import check_key
from sde_sgd.theory._density import Density1D

# keeps these numbers apart from any other generator seeded with the same key
_SEED = 0x7364_0100


def generator(key: Any) -> np.random.Generator:
    """A NumPy generator that is a function of one typed JAX key."""
    check_key(key)
    return np.random.default_rng([_SEED, *np.asarray(jax.random.key_data(key)).ravel().tolist()])


def _values(sample: Any, observable: Callable[[Any], Any] | None) -> tuple[list[np.ndarray], int]:
    """The float64 leaves of a `Result` (without diverged chains) or of arrays, and how many were dropped."""
    dropped, values = 0, sample
    if is_result(sample):
        dropped, values = sample.diverged, sample.samples()
        if observable is not None:
            values = jax.vmap(observable)(jax.tree.map(jnp.asarray, values))
    leaves = [np.asarray(leaf, dtype=np.float64) for leaf in jax.tree.leaves(values)]
    return leaves, dropped


def is_result(sample: Any) -> bool:
    """Whether this is what `run` gives."""
    return hasattr(sample, "samples") and hasattr(sample, "diverged")


def sample_values(name: str, sample: Any, observable: Callable[[Any], Any] | None) -> tuple[np.ndarray, int]:
    """The sorted values of a `Result` or an array, one for each chain, and how many were dropped."""
    leaves, dropped = _values(sample, observable)
    if len(leaves) != 1:
        raise ValueError(f"{name} has {len(leaves)} arrays; give a scalar observable=....")
    array = leaves[0]
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{name} must hold one number per chain, got shape {array.shape}; "
            f"give observable=lambda theta: theta[0] or the like."
        )
    check_values(name, array)
    return np.sort(array), dropped


def sample_points(name: str, sample: Any, observable: Callable[[Any], Any] | None) -> tuple[np.ndarray, int]:
    """The parameters of a `Result` or of arrays with a leading axis of chains, one row for each chain."""
    leaves, dropped = _values(sample, observable)
    lengths = {leaf.shape[0] if leaf.ndim else None for leaf in leaves}
    if len(lengths) != 1 or None in lengths:
        raise ValueError(
            f"{name} must be arrays with one leading axis of chains, "
            f"got shapes {[leaf.shape for leaf in leaves]}."
        )
    rows = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
    if rows.shape[1] == 0:
        raise ValueError(f"{name} must hold at least one number per chain, got shape {rows.shape}.")
    check_values(name, rows)
    return rows, dropped


def check_values(name: str, array: np.ndarray, at_least: int = 8) -> None:
    """Refuse too few values, or values that are not finite."""
    if len(array) < at_least:
        raise ValueError(f"{name} must hold at least {at_least} values, got {len(array)}; run more chains.")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} holds {int((~np.isfinite(array)).sum())} values that are not finite; leave "
            f"diverged chains out first (Result.samples() does)."
        )


@dataclass(frozen=True)
class Law:
    """A fully specified law on the line, known by its distribution function."""

    distribution: Callable[[Any], Any]

    def cdf(self, x: Any) -> np.ndarray:
        """P(X ≤ x), checked."""
        rising = np.asarray(self.distribution(x), np.float64)
        if rising.shape != np.shape(x) or not ((rising >= 0) & (rising <= 1)).all():
            raise ValueError(
                "reference must be a distribution function with values in [0, 1] for every x, got "
                f"shape {rising.shape} for x of shape {np.shape(x)}, from {np.min(rising, initial=np.inf):g} "
                f"to {np.max(rising, initial=-np.inf):g}."
            )
        return rising

    def grid(self, x: np.ndarray) -> np.ndarray:
        """Fine points that hold the law and the sorted sample `x`."""
        density = getattr(self.distribution, "__self__", None)
        if isinstance(density, Density1D):
            return density.grid
        low, high, reach = x[0], x[-1], x[-1] - x[0]
        for _ in range(60):
            outside = self.cdf(np.array([low, high]))
            if outside[0] < 1e-9 and outside[1] > 1 - 1e-9:
                return np.linspace(low, high, 20_001)
            low = low - reach if outside[0] >= 1e-9 else low
            high = high + reach if outside[1] <= 1 - 1e-9 else high
            reach *= 2
        raise ValueError(
            "reference must reach 0 and 1 at some finite x; this distribution function does not."
        )


def as_law(reference: Any) -> Law | None:
    """The law behind a density, a `scipy.stats` distribution or a distribution function, or None."""
    if is_result(reference):
        return None
    if hasattr(reference, "cdf"):
        return Law(reference.cdf)
    return Law(reference) if callable(reference) else None


def sample_and_reference(
    sample: Any, reference: Any, observable: Callable[[Any], Any] | None
) -> tuple[np.ndarray, np.ndarray | Law, int]:
    """The sorted sample, the law or the other sorted sample, and how many values were dropped."""
    x, dropped = sample_values("sample", sample, observable)
    law = as_law(reference)
    if law is not None:
        return x, law, dropped
    y, dropped_too = sample_values("reference", reference, observable)
    return x, y, dropped + dropped_too
