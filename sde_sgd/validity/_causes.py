"""What can part SGD from its SDE, and the SDE from Gibbs: one number each, where it lies, and a limit."""

import math
from dataclasses import dataclass

import numpy as np

from sde_sgd._platform._shown import Shown
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.validity import _interval
from sde_sgd.validity._factors import sampling_factor, skewness_factor, step_size_factor
from sde_sgd.validity._interval import BEYOND, WITHIN, Interval
from sde_sgd.validity._orbit import Estimate, Orbit
from sde_sgd.validity._pilot import Pilot

# What counts as too much. The first three are one tenth in the variance of SGD along a direction: half
# way, in ln, between nothing and what nobody would call the same (1.3) lies 1.14, and a pilot knows
# these three to a tenth of themselves. A skewness of 3/8 makes one tenth more variance on one side of
# the mean: on a side it is (1 + 2γ/(3√(2π))) times that of a Gaussian. What is measured with nothing
# known beforehand is known to a few hundredths only, and is there to exclude 1.3.
LIMITS = {
    "step size": 0.1,
    "sampling": 0.1,
    "skewness": 0.375,
    "momentum": 0.05,
    "unexplained": 0.2,
    "measured": 0.25,
    "anisotropy": 0.5,
}
# Variance on one side of the mean over that on both is 1 + this times the skewness, to first order.
_ONE_SIDE = 2 / (3 * math.sqrt(2 * math.pi))
# A direction comes to rest within the pilot if its curvature is not below this share of λ₁.
_RESOLVED = 0.1


@dataclass(frozen=True, repr=False)
class Cause(Shown):
    """One way to fail, and how far it has gone.

    Attributes:
        name: a key of `LIMITS`.
        breaks: "sde" if SGD then does not follow its SDE, "gibbs" if the SDE then does not settle in
            exp(−2L/T) with one T.
        effect: its size; `limit`: the size that counts as too much.
        interval: where the effect lies, with probability .99; a point where it follows from exact
            numbers, up to infinity where nothing bounds it.
        text: in words, with numbers.
    """

    name: str
    breaks: str
    effect: float
    limit: float
    interval: Interval
    text: str

    def __repr__(self) -> str:
        lies = f"from {self.interval.low:.2g} to {self.interval.high:.2g}"
        return f"Cause({self.name!r}: {self.effect:.3g}, {lies}, {self.answer} the limit {self.limit:.3g})"

    @property
    def severity(self) -> float:
        """The effect in units of its limit."""
        return self.effect / self.limit

    @property
    def answer(self) -> str:
        """One of "within" its limit, "beyond" it, and "cannot tell"."""
        return self.interval.answer(self.limit)

    @property
    def holds(self) -> bool:
        """Whether the effect was not shown to be beyond its limit."""
        return self.answer != BEYOND

    @property
    def standard_error(self) -> float:
        """About: the interval's half width over 2.6; 0 where the effect follows from exact numbers."""
        return (self.interval.high - self.interval.low) / (2 * 2.576)

    @property
    def pilots_needed(self) -> float:
        """How many times as much has to be measured to tell, 1 where it can be told."""
        return self.interval.pilots_needed(self.effect, self.limit)


@dataclass(frozen=True, repr=False)
class Directions(Shown):
    """Temperatures per direction.

    Attributes:
        predicted: of the SDE, T_i = η e_iᵀCe_i/((1 − m)B), along the pilot's own way.
        corrected: times the factors of a finite η, as measured by Var(∂_iL), and of the order of the
            examples, as calculated.
        measured, measured_error: in the pilot.
        variance_ratio: of SGD over the SDE, as measured and with nothing calculated.
        variance_low, variance_high: where it lies, with probability .99.
        resolved: which directions come to rest within the pilot; the others are not judged.
    """

    predicted: np.ndarray
    corrected: np.ndarray
    measured: np.ndarray
    measured_error: np.ndarray
    variance_ratio: np.ndarray
    variance_low: np.ndarray
    variance_high: np.ndarray
    resolved: np.ndarray


def directions(pilot: Pilot) -> Directions:
    """Predicted, corrected and measured temperatures, and ratios of variances."""
    predicted = pilot.sgd.predicted()
    corrected = predicted * np.exp(pilot.sgd.excess().value) * pilot.sgd.factor
    ratio = _measured_ratio(pilot)
    half = _interval.quantile(ratio.freedom) * ratio.standard_error
    return Directions(
        predicted=predicted,
        corrected=corrected,
        measured=pilot.temperature,
        measured_error=pilot.temperature_error,
        variance_ratio=np.exp(ratio.value),
        variance_low=np.exp(ratio.value - half),
        variance_high=np.exp(ratio.value + half),
        resolved=_resolved(pilot),
    )


def causes(
    pilot: Pilot, hyper: Hyperparameters, sampling: Sampling, dataset_size: int | None, steps: int
) -> list[Cause]:
    """Every cause, worst first."""
    found = [
        _step_size(pilot, hyper),
        _sampling(pilot, hyper, sampling, dataset_size),
        _skewness(pilot, hyper, sampling, dataset_size),
        _momentum(hyper, steps),
        _all_examples() if _is_silent(hyper, sampling, dataset_size) else _unexplained(pilot),
        _measured(pilot),
        _anisotropy(pilot),
    ]
    return sorted(found, key=lambda cause: (-cause.severity, cause.name == "measured"))


def _resolved(pilot: Pilot) -> np.ndarray:
    sharpest = float(pilot.curvature.max())
    result: np.ndarray = np.asarray(pilot.curvature >= _RESOLVED * sharpest) | (pilot.curvature == sharpest)
    return result


def _less(one: Estimate, other: Estimate | None) -> Estimate:
    """The difference of two independent estimates."""
    if other is None:
        return one
    error = np.hypot(one.standard_error, other.standard_error)
    return Estimate(one.value - other.value, error, min(one.freedom, other.freedom))


def _worst(found: Estimate, which: np.ndarray) -> tuple[int, float, Interval]:
    """Of some directions that with the largest effect max(r, 1/r) − 1; its interval bounds those of all.

    It begins where that of some direction begins, and ends where none goes further.
    """
    each = [
        _interval.of_log_ratio(float(value), float(error), found.freedom)
        for value, error in zip(found.value[which], found.standard_error[which], strict=True)
    ]
    effects = np.nan_to_num([effect for effect, _ in each], nan=-1.0)
    place = int(np.argmax(effects))
    low, high = max(one.low for _, one in each), max(one.high for _, one in each)
    return int(np.flatnonzero(which)[place]), max(float(effects[place]), 0.0), Interval(low, high)


def _step_size(pilot: Pilot, hyper: Hyperparameters) -> Cause:
    r"""Variance of SGD over that of the same SDE in small steps, ⟨C⟩(1 + e)/h over ⟨C⟩/h; see `Orbit`.

    On a quadratic it is `step_size_factor`; elsewhere it contains what larger swings do to the
    curvature and the noise that the chains meet. λ₁ is asked for a second opinion: a curvature that is
    beyond the limit by itself makes an answer of "within" a "cannot tell".

    Where the finer run has Gaussian noise and SGD has not, SGD with Gaussian noise stands in its place, so
    that only the length of the steps differs: what the shape of the noise does is the matter of `_skewness`.
    """
    limit = LIMITS["step size"]
    edge = 2 * (1 + float(hyper.momentum))
    # the mean over the chains, for one of them on a steep spot does not set the law
    sharpest, between = _interval.of_mean(pilot.sharpest)
    if np.ptp(pilot.sharpest) == 0:
        between = Interval(sharpest, sharpest)
    used = float(hyper.learning_rate) * sharpest
    text = f"ηλ₁ = {used:.3g} against {edge:g}, where SGD is unstable"
    ends = [sharpest, *np.clip(between, 0.0, np.finfo(np.float64).max)]
    at, low, high = (float(value) - 1 for value in step_size_factor(np.array(ends), hyper))
    if pilot.diverged:
        text += f"; {pilot.diverged} of {pilot.chains} chains diverged{' where it is larger' * (used < edge)}"
        return Cause("step size", "sde", math.inf, limit, Interval(math.inf, math.inf), text)
    walked = pilot.sgd if pilot.gaussian is None else pilot.gaussian
    found = walked.excess() if pilot.finer is None else _less(walked.spread(), pilot.finer.cold_spread())
    place, effect, interval = _worst(found, _resolved(pilot))
    if not np.isfinite(found.value[place]) or not math.isfinite(interval.high):
        effect, interval = at, Interval(max(low, 0.0), high)
        text += f": a variance {1 + at:.3g} times the SDE's, if the loss were quadratic"
    else:
        ratio = math.exp(float(found.value[place]))
        than = "that its noise gives it" if pilot.finer is None else f"with {pilot.finer_name}"
        text += f": direction {place + 1} has {ratio:.3g} times the variance {than}"
        if interval.high < limit < low:
            interval = Interval(interval.low, high)
            text += f", though {1 + at:.3g} times by λ₁"
    return Cause("step size", "sde", effect, limit, interval, text)


def _places(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high ends for the mean over the places, per direction; both the value where all agree."""
    both = [_interval.of_mean(column) for column in values.T]
    alike = np.ptp(values, axis=0) <= 1e-5 * np.abs(values).max(axis=0)
    low, high = (np.array([one[end] for _, one in both]) for end in (0, 1))
    mean = values.mean(axis=0)
    return np.where(alike, mean, low), np.where(alike, mean, high)


def _sampling(pilot: Pilot, hyper: Hyperparameters, sampling: Sampling, dataset_size: int | None) -> Cause:
    factors = sampling_factor(pilot.curvature, hyper, sampling, dataset_size)
    effects = np.abs(factors - 1)
    worst = int(np.argmax(effects))
    if sampling == "replacement":
        interval = Interval(0.0, 0.0)
        text = "independent examples, as the SDE has it"
    else:
        # at both ends of the curvature, for the factor bends
        ends = np.array(
            [
                np.abs(sampling_factor(np.maximum(end, 0.0), hyper, sampling, dataset_size) - 1)
                for end in _finite(pilot)
            ]
        )
        ends = np.concatenate([ends, effects[None]])
        interval = Interval(float(ends.min(axis=0).max()), float(ends.max()))
        text = f"different examples in a batch leave {factors[worst]:.3g} of the variance of independent ones"
    if sampling == "shuffle":
        flat = hyper.batch_size / (float(hyper.effective_learning_rate) * (dataset_size or 1))
        text = (
            f"shuffled epochs leave {factors[worst]:.3g} of the variance of independent examples, and less "
            f"where λ < (1 − m)B/(ηN) = {flat:.2g}"
        )
    return Cause("sampling", "sde", float(effects[worst]), LIMITS["sampling"], interval, text)


def _finite(pilot: Pilot) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the curvature per direction; its own range where two places are too few for an interval."""
    low, high = _places(pilot.curvatures)
    least, most = pilot.curvatures.min(axis=0), pilot.curvatures.max(axis=0)
    return np.where(np.isfinite(low), low, least), np.where(np.isfinite(high), high, most)


def _skewness(pilot: Pilot, hyper: Hyperparameters, sampling: Sampling, dataset_size: int | None) -> Cause:
    """Third cumulant of θ on a quadratic, from that of one example's gradient: `skewness_factor`.

    Where that is not small, and SGD with Gaussian noise was run as well, the two are compared instead:
    no law is assumed, and more than the third cumulant counts.
    """
    factor = skewness_factor(pilot.curvature, hyper, sampling, dataset_size)
    effects = np.abs(pilot.noise_skewness) * factor
    worst = int(np.argmax(effects))
    half = _interval.quantile(len(pilot.curvatures) - 1) * pilot.noise_skewness_error
    low, high = pilot.noise_skewness - half, pilot.noise_skewness + half
    nearest = np.where(low * high <= 0, 0.0, np.minimum(np.abs(low), np.abs(high)))
    furthest = np.maximum(np.abs(low), np.abs(high))
    interval = Interval(float((nearest * factor).max()), float((furthest * factor).max()))
    text = (
        f"gradients of examples have skewness {pilot.noise_skewness[worst]:+.2g}, "
        f"and θ gets {effects[worst]:.2g} of it at this η and B"
    )
    if pilot.gaussian is not None and interval.answer(LIMITS["skewness"]) != WITHIN:
        return _shape(pilot, pilot.gaussian, float(pilot.noise_skewness[worst]))
    return Cause("skewness", "sde", float(effects[worst]), LIMITS["skewness"], interval, text)


def _shape(pilot: Pilot, gaussian: Orbit, skewness: float) -> Cause:
    """How much more variance SGD has on one side of its mean than with Gaussian noise of the same C.

    In units of the skewness that would do as much: the ratio of variances times (1 + aγ), less 1, over a,
    with γ the difference of the skewnesses of θ.
    """
    change = _less(pilot.sgd.spread(), gaussian.spread())
    half = _interval.quantile(change.freedom) * change.standard_error
    lean = np.abs(pilot.skewness - pilot.gaussian_skewness)
    error = np.hypot(pilot.skewness_error, pilot.gaussian_skewness_error)
    about = _interval.quantile(pilot.chains - 1) * error

    def effect(log_ratio: np.ndarray, skewness: np.ndarray) -> np.ndarray:
        larger = np.exp(log_ratio) * (1 + _ONE_SIDE * skewness)
        return np.asarray((np.maximum(larger, np.exp(-log_ratio)) - 1) / _ONE_SIDE)

    ends = np.stack([change.value - half, change.value + half, np.clip(0.0, *_around(change.value, half))])
    least = effect(ends, np.maximum(lean - about, 0.0)).min(axis=0)
    most = effect(ends, lean + about).max(axis=0)
    which = np.flatnonzero(_resolved(pilot) & np.isfinite(most))
    if not len(which):
        return _nothing("skewness", LIMITS["skewness"])
    found = effect(change.value, lean)
    place = int(which[np.argmax(found[which])])
    interval = Interval(max(float(least[which].max()), 0.0), float(most[which].max()))
    text = (
        f"gradients of examples have skewness {skewness:+.2g}: direction {place + 1} has "
        f"{1 + _ONE_SIDE * found[place]:.3g} times the variance, on one side of the mean, that Gaussian "
        f"noise of the same C gives it"
    )
    return Cause("skewness", "sde", float(found[place]), LIMITS["skewness"], interval, text)


def _around(value: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return value - half, value + half


def _momentum(hyper: Hyperparameters, steps: int) -> Cause:
    m = float(hyper.momentum)
    start_up = m / (1 - m)
    share = start_up / steps
    text = (
        f"the velocity takes {start_up:.3g} steps to build up, {share:.1%} of the run" if m else "no momentum"
    )
    return Cause("momentum", "sde", share, LIMITS["momentum"], Interval(share, share), text)


def _unexplained(pilot: Pilot) -> Cause:
    """A temperature that is not what all the corrections make of it."""
    found, limit = pilot.sgd.unexplained(), LIMITS["unexplained"]
    if not np.isfinite(found.value).any():
        return _nothing("unexplained", limit)
    place, effect, interval = _worst(found, _resolved(pilot))
    text = (
        f"direction {place + 1} is {math.exp(found.value[place]):.3g} times as hot as step size and "
        f"sampling make it"
    )
    return Cause("unexplained", "sde", effect, limit, interval, text)


def _is_silent(hyper: Hyperparameters, sampling: Sampling, dataset_size: int | None) -> bool:
    """Whether every batch holds all examples once."""
    return sampling != "replacement" and hyper.batch_size == dataset_size


def _all_examples() -> Cause:
    text = "every batch holds all examples, so that there is no temperature to explain"
    return Cause("unexplained", "sde", 0.0, LIMITS["unexplained"], Interval(0.0, 0.0), text)


def _measured(pilot: Pilot) -> Cause:
    """The variance of SGD over that of its SDE with nothing calculated."""
    found, limit = _measured_ratio(pilot), LIMITS["measured"]
    if not np.isfinite(found.value).any():
        return _nothing("measured", limit)
    place, effect, interval = _worst(found, _resolved(pilot))
    ratio = math.exp(found.value[place])
    text = f"direction {place + 1} has {ratio:.3g} times the variance of the SDE, all told"
    return Cause("measured", "sde", effect, limit, interval, text)


def _measured_ratio(pilot: Pilot) -> Estimate:
    """ln of the ratio of variances per direction."""
    if pilot.finer is None:
        return pilot.sgd.warmth()
    return _less(pilot.sgd.warm_spread(), pilot.finer.cold_spread())


def _nothing(name: str, limit: float) -> Cause:
    return Cause(name, "sde", 0.0, limit, Interval(0.0, math.inf), "no temperature could be measured")


def _anisotropy(pilot: Pilot) -> Cause:
    mean, error = pilot.mean_noise_variance
    if not mean > 0:
        why = "there is no gradient noise"
        return Cause("anisotropy", "gibbs", 0.0, LIMITS["anisotropy"], Interval(0.0, 0.0), why)
    half = _interval.quantile(15) * error
    # of C within the span of the directions: those may be turned against its own
    values, vectors = np.linalg.eigh(pilot.noise_covariance)
    # errors of the eigenvalues, of first order
    spread = np.sqrt(np.einsum("ij,ik,jk->k", pilot.noise_error**2, vectors**2, vectors**2))
    spread = _interval.quantile(pilot.chains - 1) * np.nan_to_num(spread, nan=np.inf)

    def deviation(value: np.ndarray, scale: float) -> np.ndarray:
        ratio = np.maximum(value, 0.0) / max(scale, 1e-300)
        ratio = np.maximum(ratio, 1e-30)
        result: np.ndarray = np.maximum(ratio, 1 / ratio) - 1
        return result

    effects = deviation(values, mean)
    worst = int(np.argmax(effects))
    below, above = values - spread, values + spread
    least, most = mean - half, mean + half
    ends = np.stack([deviation(below, most), deviation(above, least)])
    astride = (below / most < 1) & (above / max(least, 1e-300) > 1)
    nearest = np.where(astride, 0.0, ends.min(axis=0))
    interval = Interval(float(nearest.max()), float(ends.max()))
    ratio = max(float(values[worst]), 0.0) / max(mean, 1e-300)
    text = f"C has {ratio:.3g} times its mean eigenvalue Tr C/d in a direction of the {len(values)} followed"
    return Cause("anisotropy", "gibbs", float(effects[worst]), LIMITS["anisotropy"], interval, text)
