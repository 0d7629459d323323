"""What chains that began at one point show of their temperature, direction by direction."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

# Of the jackknife: more would make errors hardly surer, and take as much longer.
_GROUPS = 32
# samples of a chain from whose mean its places are counted where a slope is fitted: a chain that has
# gone to another well then adds the slope there and not the one of the line between the wells
_BLOCK = 10
# A block of ten Gaussian samples has eight times the usual variance once in 1e9. On a way between wells
# the force changes its sign, so that its slope is far below that within them.
_FAR, _FORCELESS = 8.0, 0.25


@dataclass(frozen=True)
class Estimate:
    """A number per direction and its standard error by a jackknife over chains.

    Attributes:
        value, standard_error: shapes `(k,)`; NaN where there was too little to go on.
        freedom: degrees of freedom of the error.
    """

    value: np.ndarray
    standard_error: np.ndarray
    freedom: int


@dataclass(frozen=True)
class Orbit:
    """Samples of chains that began at one point, along k directions.

    Attributes:
        theta: θ_i, shape `(samples, chains, k)`.
        slope: ∂_iL, likewise.
        noise: C_ii of one example's gradient, likewise.
        time: SDE times of the samples, shape `(samples,)`.
        ratio: η/((1 − m)B), which makes a temperature of C_ii.
        step: the length of a step in SDE time as it counts for the balance of variances: η/(1 + m) for
            SGD, 0 for a scheme that leaves no error of first order.
        factor: what the order of the examples leaves of the variance, per direction; 1 for independent
            ones.
    """

    theta: np.ndarray
    slope: np.ndarray
    noise: np.ndarray
    time: np.ndarray
    ratio: float
    step: float
    factor: np.ndarray | float = 1.0

    @property
    def is_enough(self) -> bool:
        """Whether there are chains and samples enough for any estimate."""
        result: bool = self.theta.shape[0] >= 3 and self.theta.shape[1] >= 4
        return result

    def predicted(self) -> np.ndarray:
        """T_i = η⟨C_ii⟩/((1 − m)B): what the SDE's noise amounts to along this orbit, shape `(k,)`."""
        return self.ratio * np.asarray(self.noise.mean(axis=(0, 1)))

    def temperature(self) -> Estimate:
        """T_i = 2⟨Cov(θ_i, ∂_iL)⟩ + the growth of Var θ_i.

        d Var(θ_i)/dt = −2 Cov(θ_i, ∂_iL) + T_i holds whatever the loss, stationary or not. The integral
        over the samples is by the trapezoidal rule.
        """
        return self._jackknife(_balance)

    def warmth(self) -> Estimate:
        """ln of T_i over `predicted`, both from this orbit."""
        return self._jackknife(
            lambda some: _log(_balance(some)) - _log(some.predicted()),
        )

    def excess(self) -> Estimate:
        """ln(1 + e_i), e_i = step · Var(∂_iL)/T_i: how much hotter SGD runs for its steps being finite.

        One step of length s adds s² Var(∂_iL) to Var θ_i beside what the noise adds, so that in
        equilibrium 2 Cov(θ_i, ∂_iL) = T_i (1 + e_i): exact without momentum, for any loss and any
        step; with momentum exact on quadratics. No curvature enters. T_i is what `factor` leaves of it.
        """
        return self._jackknife(_excess)

    def unexplained(self) -> Estimate:
        """ln of T_i over `predicted` · (1 + e_i) · `factor`: 0 if these are all that counts."""
        known = np.log(np.maximum(self.factor, 1e-12))
        return self._jackknife(
            lambda some: _log(_balance(some)) - _log(some.predicted()) - _excess(some) - known
        )

    def spread(self) -> Estimate:
        """ln of ⟨C_ii⟩ (1 + e_i)/h_i, to which Var θ_i is proportional in equilibrium.

        h_i = Cov(θ_i, ∂_iL)/Var θ_i is the curvature as these chains feel it. On a quadratic it comes
        without any error, so that this estimate is far sharper than the variance itself.
        """
        return self._jackknife(lambda some: _log(some.noise.mean(axis=(0, 1))) + _excess(some) - _stiff(some))

    def cold_spread(self) -> Estimate:
        """`spread` without the excess: ln of ⟨C_ii⟩/h_i."""
        return self._jackknife(lambda some: _log(some.noise.mean(axis=(0, 1))) - _stiff(some))

    def warm_spread(self) -> Estimate:
        """`spread` with the measured temperature: ln of T_i/(ratio · h_i), whatever the sampling."""
        return self._jackknife(lambda some: _log(_balance(some) / some.ratio) - _stiff(some))

    def _jackknife(self, function: "Callable[[Orbit], np.ndarray]") -> Estimate:
        """Leave out one chain after the other, or one group of them where there are many."""
        chains, k = self.theta.shape[1:]
        if not self.is_enough:
            return Estimate(np.full(k, np.nan), np.full(k, np.nan), 1)
        groups = np.array_split(np.arange(chains), min(chains, _GROUPS))
        left_out = np.stack([function(self._without(group)) for group in groups])
        error = np.sqrt((len(groups) - 1) * left_out.var(axis=0))
        return Estimate(function(self), error, len(groups) - 1)

    def _without(self, group: np.ndarray) -> "Orbit":
        drop = partial(np.delete, obj=group, axis=1)
        return Orbit(
            drop(self.theta),
            drop(self.slope),
            drop(self.noise),
            self.time,
            self.ratio,
            self.step,
            self.factor,
        )


def _log(values: np.ndarray) -> np.ndarray:
    """ln, NaN where there is none."""
    return np.log(np.where(values > 0, values, np.nan))


def _balance(some: Orbit) -> np.ndarray:
    samples, chains = some.theta.shape[:2]
    weights = np.full(samples, 1.0 / (samples - 1))
    weights[[0, -1]] /= 2
    centred = some.theta - some.theta.mean(axis=1, keepdims=True)
    together = (centred * some.slope).sum(axis=1) / (chains - 1)
    growth = some.theta[-1].var(axis=0, ddof=1) - some.theta[0].var(axis=0, ddof=1)
    return np.asarray(2 * weights @ together + growth / float(some.time[-1] - some.time[0]))


def _excess(some: Orbit) -> np.ndarray:
    white = some.predicted() * np.maximum(some.factor, 1e-12)
    agitation = some.step * some.slope.var(axis=1, ddof=1).mean(axis=0)
    return np.asarray(np.log1p(agitation / np.where(white > 0, white, np.nan)))


def _stiff(some: Orbit) -> np.ndarray:
    """ln h_i: the slope of ∂_iL against θ_i, both counted from what is common to all chains."""
    at, g = _inner(some.theta), _inner(some.slope)
    variance, together = ((one * at).mean(axis=1) for one in (at, g))
    # A chain that moved much further than others and met no force on its way went to another well: it
    # says nothing about the curvature of either.
    usual = np.median(variance, axis=(0, 1))
    slope = together.sum(axis=(0, 1)) / np.maximum(variance.sum(axis=(0, 1)), 1e-300)
    gone = (variance > _FAR * usual) & (together < _FORCELESS * np.abs(slope) * variance)
    variance, together = (np.where(gone, 0.0, one).sum(axis=(0, 1)) for one in (variance, together))
    return _log(together / np.maximum(variance, 1e-300))


def _inner(values: np.ndarray) -> np.ndarray:
    """Counted from the median of all chains at that time, and from the chain's mean in a block of time.

    The median, since the mean of the others must not follow one that leaves.

    Shape `(blocks, samples, chains, k)`; what is left over at the end of the samples is dropped.
    """
    values = values - np.median(values, axis=1, keepdims=True)
    length = min(_BLOCK, len(values))
    blocks = values[: len(values) // length * length].reshape(-1, length, *values.shape[1:])
    result: np.ndarray = blocks - blocks.mean(axis=1, keepdims=True)
    return result
