"""What can part SGD from its SDE, and the SDE from Gibbs: one number each, with a limit."""

import math
from dataclasses import dataclass

import numpy as np

from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.theory._covariance import discrete_covariance
from sde_sgd.validity._pilot import Pilot

# What counts as too much. All are effects on the stationary law of a direction or on the run as a whole.
LIMITS = {
    "step size": 0.1,
    "sampling": 0.1,
    "skewness": 0.25,
    "momentum": 0.05,
    "unexplained": 0.2,
    "anisotropy": 0.5,
}
# A measured effect must stand out from its error by this much to be named.
_ERRORS = 4.0


@dataclass(frozen=True)
class Cause:
    """One way to fail, and how far it has gone.

    Attributes:
        name: a key of `LIMITS`.
        breaks: "sde" if SGD then does not follow its SDE, "gibbs" if the SDE then does not settle in
            exp(−2L/T) with one T.
        effect: its size; `limit`: the size that counts as too much.
        standard_error: of the effect, 0 where it follows from exact numbers.
        text: in words, with numbers.
    """

    name: str
    breaks: str
    effect: float
    limit: float
    standard_error: float
    text: str

    @property
    def severity(self) -> float:
        """The effect in units of its limit."""
        return self.effect / self.limit

    @property
    def holds(self) -> bool:
        """Whether the effect stays below its limit, or is not told from it by its error."""
        return self.effect - _ERRORS * self.standard_error <= self.limit


@dataclass(frozen=True)
class Directions:
    """Temperatures per direction.

    Attributes:
        predicted: of the SDE, T_i = η e_iᵀCe_i/((1 − m)B), for the sampling named.
        corrected: times the exact factors of a finite η and of the order of the examples.
        measured, measured_error: in the pilot.
    """

    predicted: np.ndarray
    corrected: np.ndarray
    measured: np.ndarray
    measured_error: np.ndarray


def step_size_factor(curvature: np.ndarray, hyper: Hyperparameters) -> np.ndarray:
    """Variance of SGD over that of its SDE on a quadratic: 2(1 + m)/(2(1 + m) − ηλ); ∞ where unstable."""
    twice = 2 * (1 + float(hyper.momentum))
    room = twice - float(hyper.learning_rate) * np.maximum(curvature, 0.0)
    return np.where(room > 0, twice / np.where(room > 0, room, 1.0), np.inf)


def sampling_factor(
    curvature: np.ndarray, hyper: Hyperparameters, sampling: str, dataset_size: int | None
) -> np.ndarray:
    """Variance under `sampling` over that with replacement, on a quadratic of these curvatures."""
    if sampling == "replacement" or dataset_size is None:
        return np.ones_like(curvature)
    stable = 1.9 * (1 + float(hyper.momentum)) / float(hyper.learning_rate)

    def one(value: float) -> float:
        h, c = np.array([[min(max(value, 1e-6 * stable), stable)]]), np.eye(1)
        drawn, independent = (
            discrete_covariance(
                h, c, hyper, sampling=how, dataset_size=dataset_size, average=how == "shuffle"
            )
            for how in (sampling, "replacement")
        )
        return float(drawn[0, 0] / independent[0, 0])

    return np.array([one(float(value)) for value in curvature])


def directions(pilot: Pilot, hyper: Hyperparameters, sampling: str, dataset_size: int | None) -> Directions:
    """Predicted, corrected and measured temperatures."""
    white = float(hyper.ratio) * pilot.noise_variance
    factor = step_size_factor(pilot.curvature, hyper)
    factor = factor * sampling_factor(pilot.curvature, hyper, sampling, dataset_size)
    return Directions(white, white * factor, pilot.temperature, pilot.temperature_error)


def causes(
    pilot: Pilot, hyper: Hyperparameters, sampling: str, dataset_size: int | None, steps: int
) -> list[Cause]:
    """Every cause, worst first."""
    found = [
        _step_size(pilot, hyper),
        _sampling(pilot, hyper, sampling, dataset_size),
        _skewness(pilot, hyper),
        _momentum(hyper, steps),
        _unexplained(directions(pilot, hyper, sampling, dataset_size)),
        _anisotropy(pilot),
    ]
    return sorted(found, key=lambda cause: -cause.severity)


def _step_size(pilot: Pilot, hyper: Hyperparameters) -> Cause:
    edge = 2 * (1 + float(hyper.momentum))
    # the mean over the chains, for one of them on a steep spot does not set the law
    sharpest = float(pilot.sharpest.mean())
    used = float(hyper.learning_rate) * sharpest
    factor = float(step_size_factor(np.array([sharpest]), hyper)[0])
    text = f"ηλ₁ = {used:.3g} against {edge:g}, where SGD is unstable: "
    if pilot.diverged:
        text += f"{pilot.diverged} of {pilot.chains} chains diverged"
        factor = math.inf
    elif math.isinf(factor):
        text += "at the edge"
    else:
        text += f"the sharpest direction has {factor:.3g} times the variance that the SDE gives it"
    spread = pilot.sharpest.std(ddof=1) / len(pilot.sharpest) ** 0.5 if len(pilot.sharpest) > 1 else 0.0
    slope = float(hyper.learning_rate) / edge * factor**2
    error = 0.0 if math.isinf(factor) else float(spread) * slope
    return Cause("step size", "sde", factor - 1, LIMITS["step size"], error, text)


def _sampling(pilot: Pilot, hyper: Hyperparameters, sampling: str, dataset_size: int | None) -> Cause:
    factors = sampling_factor(pilot.curvature, hyper, sampling, dataset_size)
    worst = float(factors[np.argmax(np.abs(factors - 1))])
    if sampling == "shuffle":
        flat = hyper.batch_size / (float(hyper.effective_learning_rate) * (dataset_size or 1))
        text = (
            f"shuffled epochs leave {worst:.3g} of the variance that independent examples give, and less "
            f"where λ < (1 − m)B/(ηN) = {flat:.2g}"
        )
    elif sampling == "subset":
        text = f"batches of different examples have {worst:.3g} of the variance of independent ones"
    else:
        text = "independent examples, as the SDE has it"
    return Cause("sampling", "sde", abs(worst - 1), LIMITS["sampling"], 0.0, text)


def _skewness(pilot: Pilot, hyper: Hyperparameters) -> Cause:
    """Third cumulant of the chain θ' = (1 − ηh)θ − ηξ: κ₃(θ) = −η³κ₃(ξ)/(1 − (1 − ηh)³)."""
    steepness = float(hyper.ratio) * np.maximum(pilot.curvature, 0.0)
    predicted = np.abs(pilot.noise_skewness) * (2 * 2**0.5 / 3) * np.sqrt(steepness)
    worst = int(np.argmax(predicted))
    text = (
        f"gradients of examples have skewness {pilot.noise_skewness[worst]:+.2g}, "
        f"and θ gets {predicted[worst]:.2g} of it at this η/B"
    )
    return Cause("skewness", "sde", float(predicted[worst]), LIMITS["skewness"], 0.0, text)


def _momentum(hyper: Hyperparameters, steps: int) -> Cause:
    m = float(hyper.momentum)
    start_up = m / (1 - m)
    text = (
        f"the velocity takes {start_up:.3g} steps to build up, {start_up / steps:.1%} of the run"
        if m
        else "no momentum"
    )
    return Cause("momentum", "sde", start_up / steps, LIMITS["momentum"], 0.0, text)


def _unexplained(along: Directions) -> Cause:
    """A temperature that is not what all the corrections make of it."""
    limit = LIMITS["unexplained"]
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(along.measured / along.corrected - 1)
        error = along.measured_error / along.corrected
    known = np.isfinite(apart) & np.isfinite(error)
    if not known.any():
        return Cause("unexplained", "sde", 0.0, limit, 0.0, "no temperature could be measured")
    worst = int(np.argmax(np.where(known, apart - _ERRORS * error, -np.inf)))
    ratio = along.measured[worst] / along.corrected[worst]
    text = (
        f"direction {worst + 1} is {ratio:.3g} ± {error[worst]:.2g} times as hot as step size and "
        f"sampling make it"
    )
    return Cause("unexplained", "sde", float(apart[worst]), limit, float(error[worst]), text)


def _anisotropy(pilot: Pilot) -> Cause:
    mean, error = pilot.mean_noise_variance
    # of C within the span of the directions: those may be turned against its own
    ratios = np.linalg.eigvalsh(pilot.noise_covariance) / max(mean, 1e-300)
    worst = int(np.argmax(np.abs(np.log(np.maximum(ratios, 1e-30)))))
    ratio = max(float(ratios[worst]), 1e-30)
    effect = max(ratio, 1 / ratio) - 1
    text = f"C has {ratio:.3g} times its mean eigenvalue Tr C/d in a direction of the {len(ratios)} followed"
    spread = (1 + effect) * error / max(mean, 1e-300)
    return Cause("anisotropy", "gibbs", effect, LIMITS["anisotropy"], spread, text)
