"""What the tests are given: samples and points, one for each chain, checked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from typing_extensions import TypeAliasType

from sde_sgd import _checks, _tree
from sde_sgd._platform._shown import short
from sde_sgd.processes._base import Process
from sde_sgd.random import check_key
from sde_sgd.statistics._hypothesis_test import HypothesisTest, distance_test
from sde_sgd.statistics._law import Law, as_law, check_rises
from sde_sgd.statistics._pooled import Pooled, pool
from sde_sgd.theory._density import Density1D, Density2D

# keeps these numbers apart from any other generator seeded with the same key
_SEED = 0x7364_0100
# the null of a test of two samples
ONE_LAW = "both samples follow one law"


def generator(key: Any) -> np.random.Generator:
    """A NumPy generator that is a function of one typed JAX key."""
    check_key(key)
    return np.random.default_rng([_SEED, *np.asarray(jax.random.key_data(key)).ravel().tolist()])


@runtime_checkable
class Ends(Protocol):
    """What `run` gives, as far as statistics look at it: where its chains ended, and which were lost."""

    @property
    def samples(self) -> PyTree: ...

    @property
    def diverged(self) -> np.ndarray: ...


@runtime_checkable
class Distribution(Protocol):
    """A law by its distribution function, as a frozen distribution of `scipy.stats`."""

    def cdf(self, x: Any) -> Any: ...


Sample = TypeAliasType("Sample", Ends | PyTree)
Reference = TypeAliasType(
    "Reference", Ends | Density1D | Density2D | Distribution | Callable[[Any], Any] | PyTree
)


def is_result(sample: Any) -> bool:
    """Whether this is what `run` gives."""
    return hasattr(sample, "samples") and hasattr(sample, "diverged")


@dataclass(frozen=True)
class Given:
    """A sample and what it is held against.

    Attributes:
        x: the sorted sample.
        other: the law, or both samples.
        dropped: values left out because their chain diverged; pairs, where chains are pairs.
        dropped_reference: how many of them were of the other sample; 0 for pairs.
    """

    x: np.ndarray
    other: Law | Pooled
    dropped: int
    dropped_reference: int = 0

    @property
    def n(self) -> int | tuple[int, int]:
        """Values, of each sample."""
        return len(self.x) if isinstance(self.other, Law) else self.other.n

    @property
    def null(self) -> str:
        """What holds where there is no difference."""
        return "the sample follows the law" if isinstance(self.other, Law) else ONE_LAW

    @property
    def note(self) -> str:
        """What was left out, and what was taken together."""
        paired = isinstance(self.other, Pooled) and self.other.pairs is not None
        return note(self.dropped, paired)

    def outcome(self, name: str, found: tuple[float, float, float]) -> HypothesisTest:
        """Of a test by a distance, from the distance, its standard error and p."""
        return distance_test(name, found, null=self.null, n=self.n, note=self.note)


def note(dropped: int, paired: bool) -> str:
    """The note about chains that diverged, and about those of one key."""
    if not paired:
        return f"{dropped} diverged and left out" if dropped else ""
    lost = f"; {dropped} pairs diverged and left out" if dropped else ""
    return f"both runs have one key and share random numbers: chain i is paired with chain i{lost}"


def sample_and_reference(sample: Any, reference: Any, observable: Callable[[Any], Any] | None) -> Given:
    """The sorted sample, with the law or the other sample, in pairs where two runs share their key."""
    check_observable(observable)
    law = None if is_result(reference) else as_law(reference, observable)
    if law is not None:
        x, dropped = sample_values("sample", sample, observable)
        return Given(check_rises(law, np.sort(x)), law, dropped)
    if share_key(sample, reference):
        trees, dropped = _aligned(sample, reference)
        x, y = (_scalars(name, tree, observable) for name, tree in zip(_NAMES, trees, strict=True))
        return Given(np.sort(x), pool(x, y, paired=True), dropped)
    x, dropped = sample_values("sample", sample, observable)
    y, dropped_too = sample_values("reference", reference, observable)
    return Given(np.sort(x), pool(x, y), dropped + dropped_too, dropped_too)


_NAMES = ("sample", "reference")


def two_of_points(
    sample: Any, reference: Any, observable: Callable[[Any], Any] | None
) -> tuple[np.ndarray, np.ndarray, int, bool]:
    """Rows of two samples, one for each chain, how many were dropped, and whether they are pairs."""
    check_observable(observable)
    if share_key(sample, reference):
        trees, dropped = _aligned(sample, reference)
        x, y = (_points(name, _mapped(tree, observable)) for name, tree in zip(_NAMES, trees, strict=True))
        return x, y, dropped, True
    (x, dropped), (y, dropped_too) = (
        sample_points(name, one, observable) for name, one in zip(_NAMES, (sample, reference), strict=True)
    )
    return x, y, dropped + dropped_too, False


def share_key(sample: Any, reference: Any) -> bool:
    """Whether two `Result`s are of one key, so that chain i of one depends on chain i of the other.

    They share their starting points, and their noise where the clocks overlap.
    """
    if not (is_result(sample) and is_result(reference)):
        return False
    first, second = sample.key, reference.key
    if first is None or second is None or first.dtype != second.dtype:
        return False
    return bool(np.array_equal(jax.random.key_data(first), jax.random.key_data(second)))


def _aligned(sample: Any, reference: Any) -> tuple[tuple[Any, Any], int]:
    """θ of the chains that both have and that diverged in neither, in their order; and how many did."""
    for name, one in zip(_NAMES, (sample, reference), strict=True):
        _check_alive(name, one)
    both = min(len(sample.diverged_at), len(reference.diverged_at))
    alive = sample.alive[:both] & reference.alive[:both]

    def kept(result: Any) -> Any:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:both][alive], result.theta)

    return (kept(sample), kept(reference)), int((~alive).sum())


def _check_alive(name: str, result: Any) -> None:
    """Refuse a run of which nothing is left."""
    if result.diverged and result.diverged == len(result.diverged_at):
        raise ValueError(
            f"{name} must have chains that did not diverge, got {result.diverged} of {result.diverged} that "
            f"did; take a smaller learning rate."
        )


def check_observable(observable: Any) -> None:
    """Refuse what is no function."""
    if observable is not None and not callable(observable):
        raise ValueError(
            f"observable must be a function of one chain's parameters, such as lambda theta: theta[0], got "
            f"{short(observable)}."
        )


def _mapped(values: Any, observable: Callable[[Any], Any] | None) -> list[np.ndarray]:
    """The float64 leaves of parameters, or of the observable's values."""
    if observable is not None:
        values = jax.tree.map(jnp.asarray, values)
        try:
            values = jax.vmap(observable)(values)
        except Exception as error:
            one = jax.tree.map(lambda leaf: leaf[0], values)
            raise ValueError(
                f"observable failed on the parameters of one chain, of shapes {_tree.describe(one)}: {error}"
            ) from error
    return [np.asarray(leaf, dtype=np.float64) for leaf in jax.tree.leaves(values)]


def _values(name: str, sample: Any, observable: Callable[[Any], Any] | None) -> tuple[list[np.ndarray], int]:
    """The float64 leaves of a `Result` (without diverged chains) or of arrays, and how many were dropped."""
    if is_result(sample):
        _check_alive(name, sample)
        return _mapped(sample.samples(), observable), int(sample.diverged)
    _check_is_no_law(name, sample)
    for leaf in jax.tree.leaves(sample):
        _checks.check_unmasked(name, leaf)
    if isinstance(sample, list | tuple) and all(np.ndim(leaf) == 0 for leaf in jax.tree.leaves(sample)):
        sample = _plain(sample)  # numbers in a list are an array
    parts = [_plain(leaf) for leaf in jax.tree.leaves(sample)]
    if any(part.dtype.kind == "c" for part in parts):
        raise ValueError(f"{name} must hold real numbers, got complex ones; take their real part or modulus.")
    leaves = [part.astype(np.float64) for part in parts if part.dtype.kind in "biuf"]
    if not leaves or len(leaves) < len(parts):
        raise ValueError(
            f"{name} must be a Result, an array of numbers or, as a reference, a law with a cdf (a Density1D "
            f"or a frozen scipy.stats distribution), got {short(sample)}."
        )
    return leaves, 0


def _check_is_no_law(name: str, sample: Any) -> None:
    """Refuse what is to be run first, and a law in the place of a sample."""
    if isinstance(sample, Process):
        kind = type(sample).__name__
        raise ValueError(
            f"{name} must be what a run gives, got {kind}, the process itself; run it first: "
            f"run(process, chains=..., steps=..., key=key)."
        )
    if name == "sample" and (isinstance(sample, Density2D) or hasattr(sample, "cdf")):
        raise ValueError(
            f"sample must be a Result or an array of numbers, got {short(sample)}, a law; the sample is "
            f"given first, the law second."
        )


def _plain(values: Any) -> np.ndarray:
    """As NumPy has it; what is no array of numbers, such as a ragged list, as one object."""
    try:
        plain = np.asarray(values)
    except (TypeError, ValueError):
        return np.array(None)
    return plain.astype(np.float64) if plain.dtype == jnp.bfloat16 else plain


def sample_values(name: str, sample: Any, observable: Callable[[Any], Any] | None) -> tuple[np.ndarray, int]:
    """The values of a `Result` or an array, one for each chain, and how many were dropped."""
    leaves, dropped = _values(name, sample, observable)
    return _line(name, leaves), dropped


def _scalars(name: str, theta: Any, observable: Callable[[Any], Any] | None) -> np.ndarray:
    return _line(name, _mapped(theta, observable))


def _line(name: str, leaves: list[np.ndarray]) -> np.ndarray:
    """One number for each chain, or a refusal."""
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
    return array


def sample_points(name: str, sample: Any, observable: Callable[[Any], Any] | None) -> tuple[np.ndarray, int]:
    """The parameters of a `Result` or of arrays with a leading axis of chains, one row for each chain."""
    leaves, dropped = _values(name, sample, observable)
    return _points(name, leaves), dropped


def _points(name: str, leaves: list[np.ndarray]) -> np.ndarray:
    lengths = {leaf.shape[0] if leaf.ndim else None for leaf in leaves}
    if len(lengths) != 1 or None in lengths:
        raise ValueError(
            f"{name} must be arrays with one leading axis of chains, "
            f"got shapes {[leaf.shape for leaf in leaves]}."
        )
    if not len(leaves[0]):
        raise ValueError(f"{name} must hold at least 8 values, got none; run more chains.")
    rows = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
    if rows.shape[1] == 0:
        raise ValueError(f"{name} must hold at least one number per chain, got shape {rows.shape}.")
    check_values(name, rows)
    return rows


def check_values(name: str, array: np.ndarray, at_least: int = 8) -> None:
    """Refuse too few values, or values that are not finite."""
    if len(array) < at_least:
        raise ValueError(f"{name} must hold at least {at_least} values, got {len(array)}; run more chains.")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} holds {int((~np.isfinite(array)).sum())} values that are not finite; leave "
            f"diverged chains out first (Result.samples() does), and see where the observable is not finite."
        )
