"""Two samples on the line, pooled: the gap between their distribution functions and its null law."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sde_sgd.statistics._hypothesis_test import monte_carlo_p, sequential_p

# Up to so many values every one is a cell of its own; beyond, cells keep the cost of a null draw fixed.
_SINGLES = 4000
_CELLS = 256
_CHUNK = 2_000_000
# Two values of the pooled sample that coincide with more than these odds: the null laws without ties are off
_TIED = 1e-3
# Where more pairs than this differ, the sum over swaps is normal
_PAIRS = 4000
_STREAM = 0x7364_0101
# The most null draws without a key, and the smallest p they can give
DRAWS = 9999
FLOOR = 1 / (1 + DRAWS)


@dataclass(frozen=True)
class Cells:
    """The pooled sample in cells, each with its last value.

    Attributes:
        points: the last value of each cell, shape `(k,)`.
        counts: how many of both samples are in it.
        of_x: how many of the first sample.
        size: nm/(n + m).
    """

    points: np.ndarray
    counts: np.ndarray
    of_x: np.ndarray
    size: float

    @property
    def weights(self) -> np.ndarray:
        """dH of all cells but the last, where the gap is 0."""
        return np.asarray(self.counts[:-1] / self.counts.sum())

    @property
    def rising(self) -> np.ndarray:
        """H at the end of all cells but the last."""
        return np.asarray(np.cumsum(self.counts)[:-1] / self.counts.sum())

    @property
    def widths(self) -> np.ndarray:
        """From the end of each cell to that of the next."""
        return np.diff(self.points)

    def gap(self, of_x: np.ndarray) -> np.ndarray:
        """F_x − F_y at the end of all cells but the last, where `of_x` of the counts are of the first."""
        n = int(self.of_x.sum())
        inside = np.cumsum(of_x, axis=-1)[..., :-1]
        gap = inside / n - (np.cumsum(self.counts)[:-1] - inside) / (self.counts.sum() - n)
        return np.asarray(gap)


# from gaps of shape (..., k − 1) and their cells to numbers of shape (...); large where the laws differ
Statistic = Callable[[np.ndarray, Cells], np.ndarray]


def largest(gap: np.ndarray, _cells: Cells) -> np.ndarray:
    """sup |F − G|."""
    return np.asarray(np.abs(gap).max(axis=-1, initial=0.0))


def area(gap: np.ndarray, cells: Cells) -> np.ndarray:
    """∫ |F − G| dx."""
    return np.asarray(np.abs(gap) @ cells.widths)


def square(gap: np.ndarray, cells: Cells) -> np.ndarray:
    """∫ (F − G)² dx."""
    return np.asarray((gap * gap) @ cells.widths)


@dataclass(frozen=True)
class Pooled:
    """D = F_x − F_y between the distinct values z of both samples.

    Attributes:
        x, y: the sorted samples.
        points: their distinct values z, shape `(k,)`.
        counts: how many of both samples are at each z.
        gap: D on [z_i, z_{i+1}).
        rising: the pooled distribution function H there.
        pairs: both samples in the order of chains, shape `(2, n)`, where chain i of one depends on chain
            i of the other; None for independent samples.
    """

    x: np.ndarray
    y: np.ndarray
    points: np.ndarray
    counts: np.ndarray
    gap: np.ndarray
    rising: np.ndarray
    pairs: np.ndarray | None = None

    @property
    def n(self) -> tuple[int, int]:
        """How many values each sample has."""
        return len(self.x), len(self.y)

    @property
    def size(self) -> float:
        """nm/(n + m)."""
        return 1 / (1 / len(self.x) + 1 / len(self.y))

    @property
    def relabels(self) -> bool:
        """Whether p must be by labels dealt out anew: values are tied, or chains are pairs."""
        total = self.counts.sum()
        tied = float(self.counts @ (self.counts - 1)) / float(total) ** 2 > _TIED
        return bool(tied) or self.pairs is not None

    def error(self, slope: np.ndarray, at_points: np.ndarray | float = 0.0) -> float:
        """Delta-method standard error of a functional Φ of the two distribution functions.

        Args:
            slope: ∂Φ/∂D on each [z_i, z_{i+1}), times that interval's weight.
            at_points: what a value at z_i adds besides, of either sample.
        """
        # one more x at z lifts F everywhere to the right of it
        right = np.cumsum(slope[::-1])[::-1]
        share = len(self.x) / (len(self.x) + len(self.y))
        at = np.broadcast_to(np.asarray(at_points, np.float64), self.points.shape)
        influences = right + share * at, -right + (1 - share) * at
        if self.pairs is not None:
            places = np.searchsorted(self.points, self.pairs)
            both = influences[0][places[0]] + influences[1][places[1]]
            return float(np.sqrt(both.var() / len(both)))
        total = 0.0
        for sample, influence in zip((self.x, self.y), influences, strict=True):
            total += influence[np.searchsorted(self.points, sample)].var() / len(sample)
        return float(np.sqrt(total))

    def gap_variance(self) -> np.ndarray:
        """The variance of D at each z where both laws are one."""
        if self.pairs is None:
            result: np.ndarray = self.rising * (1 - self.rising) / self.size
            return result
        low, high = np.sort(np.searchsorted(self.points, self.pairs), axis=0)
        # the two of a pair are on different sides of z from the smaller to the larger
        apart = np.bincount(low, minlength=len(self.points)) - np.bincount(high, minlength=len(self.points))
        return np.asarray(np.cumsum(apart) / len(low) ** 2)

    def permutation_p(self, statistic: Statistic, draws: int, rng: np.random.Generator) -> float:
        """p of a statistic when the labels x and y are dealt out anew `draws` times, within pairs if paired.

        With more than 4000 values the statistic and its null are taken over 256 cells of the pooled
        sample, finer in the tails: the test stays exact, and its cost does not grow with n.
        """
        cells = self.cells(_SINGLES)
        null = np.concatenate([statistic(gap, cells) for gap in self.null_gaps(cells, draws, rng)])
        return monte_carlo_p(float(statistic(cells.gap(cells.of_x), cells)), null)

    def sequential_p(self, statistic: Statistic) -> float:
        """p of a statistic when labels are dealt out anew, as often as it takes, up to 9999 times.

        The random numbers are a function of the two samples, so that no key is needed: the same samples
        have the same p.
        """
        cells = self.cells(_SINGLES if len(self.x) + len(self.y) <= _SINGLES else 2 * _CELLS)
        data = self.pairs if self.pairs is not None else np.concatenate([self.x, self.y])
        rng = stream(data, len(self.x))
        observed = float(statistic(cells.gap(cells.of_x), cells))
        null = (statistic(gap, cells) for gap in self.null_gaps(cells, DRAWS, rng, at_once=500))
        return sequential_p(observed, null)

    def null_quantile(self, statistic: Statistic, level: float) -> float:
        """What a statistic exceeds with odds `level` when labels are dealt out anew; nan for a tiny level."""
        draws = int(min(DRAWS, np.ceil(10 / level)))
        if draws * level < 5:
            return float("nan")
        cells, rng = self.cells(2 * _CELLS), stream(self.points, len(self.x))
        null = np.concatenate([statistic(gap, cells) for gap in self.null_gaps(cells, draws, rng)])
        return float(np.quantile(null, 1 - level))

    def cells(self, singles: int) -> Cells:
        """One for each distinct value, or 256, finer in the tails, where there are more than `singles`."""
        counts, points = self.counts, self.points
        # of many pairs a covariance between cells is needed
        singles = singles if self.pairs is None else min(singles, 2 * _CELLS)
        of_x = np.diff(np.searchsorted(self.x, points, "right"), prepend=0)
        if len(points) > singles:
            tails = np.sin(np.linspace(0, np.pi / 2, _CELLS + 1)[1:]) ** 2
            ends = np.unique(np.searchsorted(self.rising, tails - 1e-12).clip(0, len(points) - 1))
            first = np.concatenate([[0], ends[:-1] + 1])
            counts, of_x = np.add.reduceat(counts, first), np.add.reduceat(of_x, first)
            points = points[ends]
        return Cells(points, counts, of_x, self.size)

    def null_gaps(
        self, cells: Cells, draws: int, rng: np.random.Generator, at_once: int | None = None
    ) -> Iterator[np.ndarray]:
        """Gaps over the cells with labels dealt out anew, some at a time, shape `(·, k − 1)`."""
        if self.pairs is not None:
            yield from _Swaps.of(self.pairs, cells).draw(draws, rng, at_once)
            return
        width = len(cells.counts) if not _singly(cells.counts) else int(cells.counts.sum())
        for size in chunks(draws, width, at_once):
            yield cells.gap(deal(cells.counts, len(self.x), size, rng))


@dataclass(frozen=True)
class _Swaps:
    """Gaps when the two of each pair change places or not, ±1 at random.

    Right for any dependence within a pair: D is a mean over pairs of 1{x ≤ z} − 1{y ≤ z}, whose mean is 0
    where both laws are one, and a swap turns its sign.

    Attributes:
        x, y: the cells of the pairs that differ.
        n: all pairs.
        cells: how many.
    """

    x: np.ndarray
    y: np.ndarray
    n: int
    cells: int

    @classmethod
    def of(cls, pairs: np.ndarray, cells: Cells) -> "_Swaps":
        x, y = np.searchsorted(cells.points, pairs)
        return cls(x[x != y], y[x != y], pairs.shape[1], len(cells.points))

    def draw(self, draws: int, rng: np.random.Generator, at_once: int | None) -> Iterator[np.ndarray]:
        """Gaps, some draws at a time, shape `(·, k − 1)`: of many pairs as normal numbers."""
        if len(self.x) > _PAIRS:
            root = self._root()
            for size in chunks(draws, self.cells, at_once):
                yield rng.standard_normal((size, len(root))) @ root / self.n
            return
        order = np.argsort(np.concatenate([self.x, self.y]), kind="stable")
        which, sign = order % max(len(self.x), 1), np.where(order < len(self.x), 1, -1).astype(np.int8)
        met, begin = np.unique(np.concatenate([self.x, self.y])[order], return_index=True)
        for size in chunks(draws, max(2 * len(self.x), self.cells), at_once):
            steps = np.zeros((size, self.cells), np.int32)
            if len(met):
                signs = rng.integers(0, 2, (size, len(self.x)), dtype=np.int8) * 2 - 1
                steps[:, met] = np.add.reduceat(signs[:, which] * sign, begin, axis=1, dtype=np.int32)
            yield np.cumsum(steps, axis=1)[:, :-1] / self.n

    def _root(self) -> np.ndarray:
        """R with RᵀR the covariance of n D under swaps, shape `(k − 1, k − 1)`."""
        at, covariance = np.arange(self.cells - 1), np.zeros((self.cells - 1, self.cells - 1))
        for begin in range(0, len(self.x), 4000):
            block = slice(begin, begin + 4000)
            steps = (self.x[block, None] <= at).astype(np.float32) - (self.y[block, None] <= at)
            covariance += steps.T @ steps
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)


def stream(data: np.ndarray, n: int) -> np.random.Generator:
    """Random numbers that are a function of the data."""
    return np.random.default_rng([_STREAM, n, zlib.crc32(np.ascontiguousarray(data).tobytes())])


def chunks(draws: int, width: int, at_once: int | None = None) -> list[int]:
    """Cut `draws` rows of `width` numbers into pieces that fit in memory."""
    size = max(1, _CHUNK // max(width, 1))
    size = size if at_once is None else min(size, at_once)
    return [min(size, draws - begin) for begin in range(0, draws, size)]


def _singly(counts: np.ndarray) -> bool:
    """Whether it is quicker to deal out single values than counts: some ten of them cost as much."""
    return bool((counts == 1).all()) or int(counts.sum()) <= 10 * len(counts)


def deal(counts: np.ndarray, n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How many of `n` values drawn without replacement fall into each cell, shape `(draws, cells)`."""
    if _singly(counts):
        labels = np.zeros((draws, int(counts.sum())), np.int8)
        labels[:, :n] = 1
        dealt = rng.permuted(labels, axis=1)
        if len(counts) == dealt.shape[1]:
            return np.asarray(dealt)
        return np.add.reduceat(dealt, np.cumsum(counts) - counts, axis=1, dtype=np.int64)
    return np.asarray(rng.multivariate_hypergeometric(counts, n, size=draws, method="marginals"))


def pool(x: np.ndarray, y: np.ndarray, *, paired: bool = False) -> Pooled:
    """Two samples as one; `paired` where x_i and y_i depend on each other."""
    pairs = np.stack([x, y]) if paired else None
    x, y = np.sort(x), np.sort(y)
    points, counts = np.unique(np.concatenate([x, y]), return_counts=True)
    below_x = np.searchsorted(x, points, side="right") / len(x)
    below_y = np.searchsorted(y, points, side="right") / len(y)
    rising = np.cumsum(counts) / (len(x) + len(y))
    return Pooled(x, y, points, counts, below_x - below_y, rising, pairs)
