"""The law of the time in which the SDE passes a barrier: Fokker-Planck with an end that absorbs."""

from dataclasses import dataclass

import numpy as np
import scipy

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown, described
from sde_sgd._types import Numbers, Scalar
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import NotKnownError, Problem
from sde_sgd.theory._escape._birth_death import passage_moments, slowest_rate
from sde_sgd.theory._escape._way import Way, find_way
from sde_sgd.theory._fokker_planck._generator import make_generator
from sde_sgd.theory._fokker_planck._grid import Grid
from sde_sgd.theory._ito import ito_edge

_TAIL = 1e-13
# cells between start and target to begin with, the most in all, and the most whose modes are found
_FIRST, _MOST, _MODES = 100, 60_000, 1200
# the error of the mean that is good enough, and the one that is refused
_WANTED, _REFUSED = 1e-7, 1e-3
# by how much the survival function may miss 1 at t = 0
_MISSED = 1e-4


@dataclass(frozen=True, repr=False)
class PassageLaw(Shown):
    r"""The law of a first-passage time: S(t) = Σ_k c_k e^{−λ_k t}.

    Attributes:
        time: its mean, in SDE time t = ηk/(1 − m).
        steps: the same in steps k of SGD.
        cv: standard deviation over mean: 1 for an exponential law.
        rate: the quasi-stationary rate, at which what is left gets over in the end: λ of the slowest mode.
        start, target: from where to where.
        error: how far the mean may be off, relative to it.
        decays, weights: λ_k and c_k, shape `(modes,)`.
    """

    time: float
    steps: float
    cv: float
    rate: float
    start: float
    target: float
    error: float
    decays: np.ndarray
    weights: np.ndarray

    def __repr__(self) -> str:
        names = ("time", "steps", "cv", "rate", "start", "target", "error")
        return described(self, {name: getattr(self, name) for name in names})

    def survival(self, times: Numbers) -> np.ndarray:
        """P(passage later than t), shaped like `times`, SDE times ≥ 0."""
        return np.asarray(np.clip(self._sum(times, self.weights), 0.0, 1.0))

    def density(self, times: Numbers) -> np.ndarray:
        """−dS/dt, in inverse SDE time, shaped like `times`, SDE times ≥ 0."""
        return np.asarray(np.maximum(self._sum(times, self.weights * self.decays), 0.0))

    def _sum(self, times: Numbers, weights: np.ndarray) -> np.ndarray:
        _checks.number("times", times, at_least=0)
        t = np.asarray(times, np.float64)
        parts = np.array_split(t.ravel(), 1 + t.size * len(weights) // 4_000_000)
        sums = [np.exp(-part[:, None] * self.decays) @ weights for part in parts]
        return np.concatenate(sums).reshape(t.shape)


def passage_law(
    problem: Problem, hyper: Hyperparameters, *, target: Scalar, start: Scalar | None = None
) -> PassageLaw:
    r"""How the first passage of the SDE from a to b is distributed: dp/dt = Qp on cells, lost at b.

    Q is that of `fokker_planck`, with b the centre of a cell from which nothing returns and a that of
    another. Mean and variance are sums of positive numbers over the cells; the mean is extrapolated from
    cells of widths h, 2h and on (Richardson, its error being O(h²)) until it settles at 1e-7. Behind a
    barrier of some D the law is exponential, but for a delay of the order of the relaxation in the well.

    Args:
        problem: one parameter, any noise: a formula or data.
        hyper: one η, B and m.
        target: b, beyond the top of the barrier.
        start: a, below it; by default as in `mean_passage_time`.

    Returns:
        `PassageLaw`. Its modes are found on up to 1200 cells, with their rates scaled to the mean.

    Raises:
        ValueError: as in `mean_passage_time`, if the mean is off by more than 1e-3 on 60 000 cells, or if b
            lies so deep that rounding hides how many are left.

    Source: Gardiner, *Handbook of Stochastic Methods*, sections 5.2.7 and 7.4; for the cells see
    `fokker_planck`.
    """
    way = find_way(problem, hyper, start, target, "passage_law")
    way.diffusion(np.linspace(way.start, way.target, 33))
    far = ito_edge(way.line, way.setting, way.start, -way.sign, tail=_TAIL)
    behind = abs((far - way.start) / (way.target - way.start))
    chains: list[_Chain] = []
    found: list[np.ndarray] = []
    count, error = _FIRST, float("inf")
    time = cv = slow = error
    while not error <= _WANTED and count * (1 + behind) <= _MOST:
        chains.append(_chain(way, hyper, count, behind))
        mean, variance = passage_moments(*chains[-1])
        found.append(np.asarray([mean, variance**0.5 / mean, 1 / slowest_rate(*chains[-1][:2])]))
        (time, cv, slow), error = _extrapolated(found)
        count *= 2
    if not error <= _REFUSED:
        raise ValueError(
            f"the passage from {way.start:g} to {way.target:g} is not resolved by {_MOST} cells: its mean is "
            f"off by {error:.1g} of it, as the law reaches to {far:.4g} or the noise jumps. "
            f"mean_passage_time knows the mean."
        )
    decays, weights = _modes(*[one for one in chains if len(one[0]) <= _MODES or one is chains[0]][-1])
    if abs(weights.sum() - 1) > _MISSED:
        raise ValueError(
            f"target must not lie so deep, got {way.target:g}: rounding hides how many are left (at t = 0 "
            f"by {abs(weights.sum() - 1):.1g} of them). Give one nearer to the top at {way.top:.4g}."
        )
    scale = float((weights / decays).sum()) / time
    return PassageLaw(
        time=time,
        steps=time / way.setting.effective_rate,
        cv=cv,
        rate=1 / slow,
        start=way.start,
        target=way.target,
        error=error,
        decays=decays * scale,
        weights=weights,
    )


def _extrapolated(found: list[np.ndarray]) -> tuple[list[float], float]:
    """The numbers without their error of second order, and how much that changed the first of them."""
    if len(found) < 3:
        return found[-1].tolist(), float("inf")
    last, before = (found[k] + (found[k] - found[k - 1]) / 3 for k in (-1, -2))
    return last.tolist(), float(abs(before[0] / last[0] - 1))


# rates up and down between cells in the order of the way, the last of which leaves for the target; the start
_Chain = tuple[np.ndarray, np.ndarray, int]


def _chain(way: Way, hyper: Hyperparameters, count: int, behind: float) -> _Chain:
    """`count` cells to the target, and as many as it takes behind the start."""
    width = abs(way.target - way.start) / count
    first = int(np.ceil(behind * count))
    ends = np.asarray([way.start - way.sign * (first + 0.5) * width, way.target + way.sign * width / 2])
    grid = Grid(np.atleast_1d(ends.min()), np.atleast_1d(ends.max()), (first + count + 1,))
    on_the_way = np.arange(first + count + 1) >= first
    order = slice(None, None, int(way.sign))
    held = on_the_way[order] / (count + 1)
    generator = make_generator(way.line.problem, hyper, grid, _constant(way), held)
    up, down = (rates[0][order] for rates in (generator.up, generator.down)[:: int(way.sign)])
    walled = int(np.argmax(up > 0))
    return up[walled:-1], down[walled:-1], first - walled


def _constant(way: Way) -> float | None:
    """D where the noise is isotropic and constant, else None."""
    try:
        way.line.problem.noise_variance()
    except NotKnownError:
        return None
    return float(way.diffusion(np.asarray([way.start]))[0])


def _modes(up: np.ndarray, down: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """λ_k and c_k, by eigenvectors of Q made symmetric by the law it would leave alone without the end."""
    decays, vectors = scipy.linalg.eigh_tridiagonal(up + down, -np.sqrt(up[:-1] * down[1:]))
    logarithms = np.concatenate([[0.0], np.cumsum(np.log(up[:-1] / down[1:]))]) / 2
    weights = (np.exp(logarithms - logarithms[start]) @ vectors) * vectors[start]
    # the smallest may be lost in the rounding of the largest
    decays[0] = slowest_rate(up, down)
    return decays, weights
