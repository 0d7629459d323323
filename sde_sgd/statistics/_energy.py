"""The energy test: do two samples in any number of dimensions follow one law?"""

import numpy as np
import scipy
from jaxtyping import Array, Key

from sde_sgd import _checks
from sde_sgd._types import Observable
from sde_sgd.statistics._hypothesis_test import HypothesisTest, distance_test, monte_carlo_p
from sde_sgd.statistics._pooled import pool, square
from sde_sgd.statistics._samples import ONE_LAW, Reference, Sample, generator, note, two_of_points

_BLOCK = 4_000_000


def energy(
    sample: Sample,
    reference: Reference,
    *,
    key: Key[Array, ""],
    permutations: int = 499,
    standardise: bool = True,
    observable: Observable | None = None,
) -> HypothesisTest:
    r"""E = 2 E|X − Y| − E|X − X'| − E|Y − Y'|, zero only where both laws are the same.

    A permutation test, exact at any n, ties or none; within the pairs of chains where two runs share their
    key. In one dimension E = 2 ∫ (F − G)² dx at a cost of n ln n; in
    more it takes (n + m)² distances and `permutations` times as many multiplications: a sixth of a
    second for n = m = 1000, minutes for 2·10⁴. The distances are made block by block.

    Args:
        sample, reference: independent points, arrays (or pytrees) with a leading axis of chains, or
            `Result`s (the ends of their chains; diverged ones are left out).
        key: a typed key, for the permutations.
        permutations: number R of them; p is a multiple of 1/(R + 1).
        standardise: divide each coordinate by its standard deviation in the pooled sample, so that
            no coordinate is lost beside larger ones. E is then in those units.
        observable: function of one chain's parameters (any shape), applied to every `Result`.

    Returns:
        `HypothesisTest`, whose value is E as it is (not less its mean under the null). Its standard error
        is that of the delta method: right where the laws differ, the order of magnitude where they do not.

    Raises:
        ValueError: for fewer than 8 points, values that are not finite, or shapes that do not fit.

    Power at level .05 against T 5 % too high (θ normal, n = 2·10⁴ each): one coordinate: .43 ± .03, three
    coordinates: .80 ± .03 (there p is from 200 draws of the null law in place of permutations). With 500
    points each a 5 % error is not seen. The temperature test has .997 and more.

    Source: Székely, Rizzo 2004, *Testing for equal distributions in high dimension*; 2013, *J. Stat.
    Planning Inf.* 143.
    """
    count, rng = _checks.integer("permutations", permutations, at_least=19), generator(key)
    x, y, dropped, paired = two_of_points(sample, reference, observable)
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"sample and reference must have as many coordinates, got {x.shape[1]} and {y.shape[1]}."
        )
    if standardise:
        spread = np.concatenate([x, y]).std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        x, y = x / spread, y / spread
    found = _on_line if x.shape[1] == 1 else _in_space
    return distance_test(
        "energy distance",
        found(x, y, paired, count, rng),
        null=ONE_LAW,
        n=(len(x), len(y)),
        note=note(dropped, paired),
    )


def _on_line(
    x: np.ndarray, y: np.ndarray, paired: bool, count: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    pooled = pool(x[:, 0], y[:, 0], paired=paired)
    widths = np.diff(pooled.points, append=pooled.points[-1])
    error = pooled.error(4 * pooled.gap * widths)
    return float(2 * pooled.gap**2 @ widths), error, pooled.permutation_p(square, count, rng)


def _in_space(
    x: np.ndarray, y: np.ndarray, paired: bool, count: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """E = −wᵀ D w with weights 1/n on x and −1/m on y, for all permutations of w at once."""
    n, m = len(x), len(y)
    points = np.concatenate([x, y])
    weights = np.tile(np.repeat([1 / n, -1 / m], [n, m]), (1 + count, 1))
    if paired:
        weights[1:] *= np.tile(rng.choice([-1.0, 1.0], (count, n)), 2)
    else:
        rng.permuted(weights[1:], axis=1, out=weights[1:])
    sums, potential = np.zeros(1 + count), np.empty(n + m)
    rows = max(1, _BLOCK // (n + m))
    for begin in range(0, n + m, rows):
        block = slice(begin, begin + rows)
        carried = weights @ scipy.spatial.distance.cdist(points, points[block])
        sums -= np.einsum("ij,ij->i", carried, weights[:, block])
        potential[block] = carried[0]
    # one more point at z adds −2 (D w)(z), times its sign
    if paired:
        error = 2 * np.sqrt((potential[:n] - potential[n:]).var() / n)
    else:
        error = 2 * np.sqrt(potential[:n].var() / n + potential[n:].var() / m)
    return float(sums[0]), float(error), monte_carlo_p(float(sums[0]), sums[1:])
