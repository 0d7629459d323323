"""The mean time in which the SDE passes a barrier, by quadrature."""

from dataclasses import dataclass

import numpy as np

from sde_sgd._platform._shown import Shown
from sde_sgd._types import Scalar
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.theory._escape._panels import UnresolvedError, log_passage_time
from sde_sgd.theory._escape._way import Way, find_way
from sde_sgd.theory._ito import ito_edge

_WANTED, _TAIL = 1e-9, 1e-13
# e^700 is about the largest float
_LARGEST = 700.0


@dataclass(frozen=True, repr=False)
class PassageTime(Shown):
    """A mean first-passage time.

    Attributes:
        time: in SDE time t = ηk/(1 − m).
        steps: the same in steps k of SGD.
        start, target: from where to where.
        error: how far it may be off, relative to it.
    """

    time: float
    steps: float
    start: float
    target: float
    error: float


def mean_passage_time(
    problem: Problem, hyper: Hyperparameters, *, target: Scalar, start: Scalar | None = None
) -> PassageTime:
    r"""The mean time of the SDE from a to its first visit of b, exact in one dimension:

        τ = ∫_a^b dy e^{Φ(y)} ∫_{−∞}^y dz e^{−Φ(z)}/D(z),    Φ = ∫ L'/D,    D = η'σ²(x)/(2B)

    for dx = −L' dt + √(2D) dW in Itô's reading, η' = η/(1 − m), and mirrored where b < a. (At −∞
    nothing gets out, as the loss grows there.) Where b lies well beyond the top of the barrier the place
    of neither point matters much: τ is the mean time of escape from the well. At the top itself it
    would be half as long. It is the SDE's time; SGD's differs by O(η), see `chain_passage_time`.

    Args:
        problem: one parameter, any noise: a formula or data.
        hyper: one η, B and m.
        target: b, beyond the top of the barrier.
        start: a, below it; by default the known minimum nearest to b that a barrier parts from it.

    Returns:
        `PassageTime`, whose `error` is at most 1e-8: what halving the panels of the quadrature still changes.

    Raises:
        ValueError: for more parameters, no barrier between the points, a start that is higher than it, noise
            that vanishes on the way, a loss that does not grow on the far side, or τ > e⁷⁰⁰.

    Source: Gardiner, *Handbook of Stochastic Methods*, section 5.2.7.
    """
    way = find_way(problem, hyper, start, target, "mean_passage_time")
    edges = _first_edges(way)

    def field(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = way.sign * u.ravel()
        slope = way.sign * way.line.derivatives(x)[1]
        return slope.reshape(u.shape), way.diffusion(x).reshape(u.shape)

    try:
        logarithm, error = log_passage_time(field, edges, way.sign * way.start, _WANTED)
    except UnresolvedError as failure:
        place = way.sign * failure.place
        noise = float(way.line.noise_variance(np.asarray([place]))[0])
        raise ValueError(
            f"the mean passage time from {way.start:g} to {way.target:g} is not resolved near {place:.6g}, "
            f"where the variance of the gradient noise is {noise:.3g}. Where the noise vanishes on a slope "
            f"the SDE cannot pass: give it a floor there."
        ) from failure
    if logarithm > _LARGEST:
        raise ValueError(
            f"the mean passage time from {way.start:g} to {way.target:g} is e^{logarithm:.0f}, more than a "
            f"float holds. Use a larger η/B, or a lower barrier."
        )
    time = float(np.exp(logarithm))
    return PassageTime(time, time / way.setting.effective_rate, way.start, way.target, error)


def _first_edges(way: Way) -> np.ndarray:
    """Edges of panels in u = ±x, ascending to the target, finer about the start.

    Raises:
        ValueError: if the loss does not grow on the far side.
    """
    ahead = np.linspace(way.start, way.target, 33)
    way.diffusion(ahead)
    far = ito_edge(way.line, way.setting, way.start, -way.sign, tail=_TAIL)
    behind = way.start - (way.start - far) * np.geomspace(1.0, 1e-3, 17)
    return np.sort(way.sign * np.concatenate([behind, ahead]))
