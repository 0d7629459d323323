"""How heavy tails are: the index of a stable law."""

from dataclasses import dataclass

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Numbers

_FEWEST = 8
# share of the values on one side of 0 beyond which sums grow by their mean, not by their spread
_LOPSIDED = 0.95


@dataclass(frozen=True, repr=False)
class TailIndex(Shown):
    """An estimate of the index α of a symmetric stable law.

    Attributes:
        alpha: the estimate; 2 for Gaussian values, 1 for Cauchy's, and by chance above 2.
        standard_error: of `alpha`.
        block: values in each of the sums it is found from.
        n: values that were used.
    """

    alpha: float
    standard_error: float
    block: int
    n: int


def tail_index(values: Numbers, *, block: int | None = None) -> TailIndex:
    r"""The index of an α-stable law, from how sums of K₁ values grow, K₁^{1/α}:

        1/α = (1/ln K₁) [(1/K₂) Σ_i ln|Y_i| − (1/K) Σ_j ln|X_j|],    K = K₁K₂

    with Y_i the sum of block i of K₁ values. It is a mean over K₂ blocks, whose jackknife error is that of a
    mean; that of α follows by the delta method.

    It says α < 2 of any values of a common scale that varies: a mixture of Gaussians of different
    variance, such as gradient noise pooled over parameters or over time, has an ln|X| that is smaller on
    average than that of its sums says (Jensen), without a heavy tail. Give one coordinate at a time,
    at one θ.

    Args:
        values: independent draws X_j of a law symmetric about 0, shape `(n,)`.
        block: K₁ ≥ 2; by default √n.

    Returns:
        `TailIndex`. Values beyond the last whole block are left out.

    Raises:
        ValueError: for wrong shapes, values or sums that are 0, nearly all values on one side of 0, or
            fewer than 8 blocks.

    Source: Mohammadi, Mohammadpour, Ogata 2015, Metrika 78, 549, corollary 2.4; used by Simsekli, Sagun,
    Gurbuzbalaban 2019 (arXiv:1901.06053).
    """
    _checks.number("values", values)
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"values must have shape (n,), got {array.shape}; give one coordinate at a time.")
    size = int(array.size**0.5) if block is None else _checks.integer("block", block, at_least=2)
    count = array.size // max(size, 1)
    if size < 2 or count < _FEWEST:
        raise ValueError(
            f"values must fill {_FEWEST} blocks or more, got {array.size} in blocks of {size}. Give more "
            f"values, or a smaller block."
        )
    rows = array[: size * count].reshape(count, size)
    sums = rows.sum(axis=1)
    if (rows == 0).any() or (sums == 0).any():
        raise ValueError(
            "values must not be 0 and must not cancel, as their logarithms are taken, but some are or do: "
            "noise of a few sizes, such as signs, has no stable index."
        )
    above = int((rows > 0).sum())
    if max(above, rows.size - above) > _LOPSIDED * rows.size:
        raise ValueError(
            f"values must be symmetric about 0, but {above} of {rows.size} are above it. Subtract their "
            f"median, or the gradient that they scatter about."
        )
    inverse = (np.log(np.abs(sums)) - np.log(np.abs(rows)).mean(axis=1)) / np.log(size)
    mean, error = float(inverse.mean()), float(inverse.std(ddof=1) / count**0.5)
    if not mean > 0:
        raise ValueError(
            f"values must be independent, but sums of {size} of them are no larger than they are: they "
            f"cancel. Give draws that are not anti-correlated."
        )
    return TailIndex(1 / mean, error / mean**2, size, size * count)
