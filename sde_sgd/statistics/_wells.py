"""The wells of a law on the line, and how often a sample is found in each."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy

from sde_sgd.statistics._law import Law
from sde_sgd.theory._density import Density1D


@dataclass(frozen=True)
class Wells:
    """Where a sample is, well by well.

    Attributes:
        edges: between the wells, the least likely points between two modes, shape `(k − 1,)`.
        of_sample: the share of the sample in each well, shape `(k,)`.
        of_law: that of the law.
        within: mean over the sample's wells of the Kolmogorov-Smirnov distance inside a well.
        n: values in the sample.
    """

    edges: np.ndarray
    of_sample: np.ndarray
    of_law: np.ndarray
    within: float
    n: int

    @property
    def gap(self) -> float:
        """The Kolmogorov-Smirnov distance that is due to the shares alone."""
        return float(np.abs(np.cumsum(self.of_sample - self.of_law)[:-1]).max(initial=0.0))

    @property
    def p(self) -> float:
        """Of "the wells are occupied as the law says", by exact binomial tests at the edges (Bonferroni)."""
        below = np.rint(np.cumsum(self.of_sample)[:-1] * self.n).astype(int)
        odds = np.cumsum(self.of_law)[:-1].clip(0.0, 1.0)
        each = [
            scipy.stats.binomtest(int(k), self.n, float(q)).pvalue for k, q in zip(below, odds, strict=True)
        ]
        return min(1.0, len(each) * min(each, default=1.0))

    def labels(self, values: np.ndarray) -> np.ndarray:
        """The number of the well of each value."""
        return np.searchsorted(self.edges, values)

    def __str__(self) -> str:
        if len(self.of_law) > 4:
            worst = int(np.abs(self.of_sample - self.of_law).argmax())
            ends = [-np.inf, *self.edges, np.inf]
            return (
                f"of {len(self.of_law)} wells that from {ends[worst]:.3g} to {ends[worst + 1]:.3g} holds "
                f"{self.of_sample[worst]:.3g} of the sample and {self.of_law[worst]:.3g} of the law"
            )
        ours, theirs = (" : ".join(f"{s:.3g}" for s in shares) for shares in (self.of_sample, self.of_law))
        between = " and ".join(f"{edge:.3g}" for edge in self.edges)
        return f"the wells beside {between} are occupied {ours}, by the law {theirs}"


def wells(x: np.ndarray, law: Law) -> Wells | None:
    """The wells of a law with two modes or more, between which p falls to half the lower mode or less."""
    known = _density(law)
    if known is None:
        return None
    grid, p = known
    edges = _edges(grid, p)
    if not len(edges):
        return None
    rising = np.concatenate([[0.0], law.cdf(edges), [1.0]])
    cut = np.concatenate([[0], np.searchsorted(x, edges, side="right"), [len(x)]])
    inside = 0.0
    for k, (begin, end) in enumerate(pairwise(cut)):
        mass = rising[k + 1] - rising[k]
        if end > begin and mass > 0:
            u = (law.cdf(x[begin:end]) - rising[k]) / mass
            steps = np.arange(end - begin + 1) / (end - begin)
            inside += (end - begin) * max(np.abs(u - steps[1:]).max(), np.abs(u - steps[:-1]).max())
    return Wells(edges, np.diff(cut) / len(x), np.diff(rising), float(inside / len(x)), len(x))


def _density(law: Law) -> tuple[np.ndarray, np.ndarray] | None:
    source: Any = law.source
    if isinstance(source, Density1D):
        return source.grid, source.pdf(source.grid)
    if law.quantile is None or not callable(getattr(source, "pdf", None)):
        return None
    low, high = (float(law.quantile(level)) for level in (1e-6, 1 - 1e-6))
    grid = np.linspace(low, high, 4001)
    return grid, np.asarray(source.pdf(grid), np.float64)


def _edges(grid: np.ndarray, p: np.ndarray) -> np.ndarray:
    # zeros around, so that a mode at the end of the grid is one
    peaks = (scipy.signal.find_peaks(np.pad(p, 1))[0] - 1).tolist()
    kept: list[int] = []
    for peak in peaks:
        while kept:
            barrier = p[kept[-1] : peak + 1].min()
            if barrier <= 0.5 * min(p[kept[-1]], p[peak]):
                kept.append(peak)
                break
            if p[peak] <= p[kept[-1]]:
                break
            kept.pop()
        else:
            kept.append(peak)
    cuts = [a + int(p[a : b + 1].argmin()) for a, b in pairwise(kept)]
    return np.asarray(grid[cuts])
