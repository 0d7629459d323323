"""Two samples on the line, pooled: the gap between their distribution functions and its null law."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sde_sgd.statistics._hypothesis_test import monte_carlo_p

# Up to so many values every one is a cell of its own; beyond, cells keep the cost of a null draw fixed.
_SINGLES = 4000
_CELLS = 256
_CHUNK = 2_000_000

Functional = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pooled:
    """D = F_x − F_y between the distinct values z of both samples.

    Attributes:
        x, y: the sorted samples.
        points: their distinct values z, shape `(k,)`.
        counts: how many of both samples are at each z.
        gap: D on [z_i, z_{i+1}).
        rising: the pooled distribution function H there.
    """

    x: np.ndarray
    y: np.ndarray
    points: np.ndarray
    counts: np.ndarray
    gap: np.ndarray
    rising: np.ndarray

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
        total = 0.0
        for sample, influence in ((self.x, right + share * at), (self.y, -right + (1 - share) * at)):
            values = influence[np.searchsorted(self.points, sample)]
            total += values.var() / len(sample)
        return float(np.sqrt(total))

    def permutation_p(self, power: int, draws: int, rng: np.random.Generator) -> float:
        """p of ∫ |D|^power dz when the labels x and y are dealt out anew.

        With more than 4000 values the statistic and its null are taken over 256 cells of the pooled
        sample, finer in the tails: the test stays exact, and its cost does not grow with n.
        """
        counts, points, of_x = (
            self.counts,
            self.points,
            np.diff(np.searchsorted(self.x, self.points, "right"), prepend=0),
        )
        if len(points) > _SINGLES:
            tails = np.sin(np.linspace(0, np.pi / 2, _CELLS + 1)[1:]) ** 2
            ends = np.unique(np.searchsorted(self.rising, tails - 1e-12).clip(0, len(points) - 1))
            first = np.concatenate([[0], ends[:-1] + 1])
            counts, of_x = np.add.reduceat(counts, first), np.add.reduceat(of_x, first)
            points = points[ends]
        widths, n = np.diff(points), len(self.x)
        null = [
            _area(deal(counts, n, size, rng), counts, n, widths, power) for size in chunks(draws, len(counts))
        ]
        return monte_carlo_p(float(_area(of_x, counts, n, widths, power)), np.concatenate(null))


def _area(of_x: np.ndarray, counts: np.ndarray, n: int, widths: np.ndarray, power: int) -> np.ndarray:
    """∫ |F_x − F_y|^power where `of_x` of the `counts` values in each cell are of the first sample."""
    inside = np.cumsum(of_x, axis=-1)[..., :-1]
    gap = inside / n - (np.cumsum(counts)[:-1] - inside) / (counts.sum() - n)
    return np.asarray((np.abs(gap) if power == 1 else gap * gap) @ widths)


def chunks(draws: int, width: int) -> list[int]:
    """Cut `draws` rows of `width` numbers into pieces that fit in memory."""
    size = max(1, _CHUNK // max(width, 1))
    return [min(size, draws - begin) for begin in range(0, draws, size)]


def deal(counts: np.ndarray, n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How many of `n` values drawn without replacement fall into each cell, shape `(draws, cells)`."""
    if (counts == 1).all():
        labels = np.zeros((draws, len(counts)), np.int8)
        labels[:, :n] = 1
        return np.asarray(rng.permuted(labels, axis=1))
    return np.asarray(rng.multivariate_hypergeometric(counts, n, size=draws, method="marginals"))


def pool(x: np.ndarray, y: np.ndarray) -> Pooled:
    """Two sorted samples as one."""
    points, counts = np.unique(np.concatenate([x, y]), return_counts=True)
    below_x = np.searchsorted(x, points, side="right") / len(x)
    below_y = np.searchsorted(y, points, side="right") / len(y)
    rising = np.cumsum(counts) / (len(x) + len(y))
    return Pooled(x, y, points, counts, below_x - below_y, rising)
