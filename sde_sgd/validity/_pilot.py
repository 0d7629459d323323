"""A short run of SGD from one point, and what can be measured in it."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from sde_sgd._platform._progress import Progress
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Sampling
from sde_sgd.curvature._operators import parameter_count
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem
from sde_sgd.problems._finite_sum import FiniteSumProblem
from sde_sgd.processes._base import Process
from sde_sgd.processes._langevin import Langevin
from sde_sgd.processes._sgd import SGD
from sde_sgd.simulation._result import Result
from sde_sgd.simulation._run import run
from sde_sgd.validity._factors import sampling_factor
from sde_sgd.validity._finer import finer
from sde_sgd.validity._gaussian_sgd import GaussianSGD
from sde_sgd.validity._orbit import Orbit
from sde_sgd.validity._skewness import noise_skewness, skewness_of
from sde_sgd.validity._view import DRAWS, example_slopes, look, mean_noise

# Examples times parameters up to which more chains and places are looked at: they cost next to nothing.
_SMALL = 1_000_000
_PLACES, _MORE_PLACES = 9, 33
_CHAINS, _MORE_CHAINS = 32, 128
# and still more where examples times parameters times chains stay below this
_CHEAP, _MOST_CHAINS = 9_000_000, 512
# velocities take 1/(1 − m) steps to build up; after five of those e⁻⁵ is left to come
_BUILD_UP = 5
# The measurement takes so many relaxation times 1/(η'λ₁) of the sharpest direction: long enough for an
# average, short enough for the directions of a network not to turn away. The first few of them go by
# before it begins: variances come to rest as e^{−2t}.
_RELAXATIONS = 65
_SETTLED = 5
# Samples, and fewer where each takes long: it costs about ten operations for each example, parameter
# and chain, and all samples of an ensemble may have so many.
_SAMPLES, _FEWEST = 60, 16
_OPERATIONS = 6e10
# what `run_pilot` does one after the other, for a progress bar
STAGES = 4


@dataclass(frozen=True, repr=False)
class Pilot(Shown):
    """What a pilot run shows, per direction i of the k sharpest.

    Attributes:
        steps, chains: of the pilot.
        diverged: chains that diverged.
        curvature: e_iᵀHe_i with e_i the eigenvectors where the pilot began, the mean of there and of the
            mean over the ends of some chains.
        curvatures: the same at each of these places, the beginning first, shape `(places, k)`.
        sharpest: λ₁ at the ends of some chains (that of the beginning if all diverged).
        noise_covariance: e_iᵀ C e_j of one example's gradient, over chains and time, shape `(k, k)`,
            with `noise_error`, of each element.
        noise_skewness: third cumulant of e_i·g_n over C_ii^{3/2}, each its mean over the places, with
            `noise_skewness_error`.
        mean_noise_variance: Tr C/d, with its standard error.
        temperature: 2⟨Cov(θ_i, ∂_iL)⟩ + the growth of Var θ_i in SDE time, with `temperature_error`:
            T_i of SGD as measured.
        skewness: of θ_i over chains and time, with `skewness_error`.
        step, loss: of the samples, shapes `(samples,)` and `(samples, chains)`.
        sgd: samples of SGD along the directions, after it has settled.
        finer: the same of the SDE in small steps (see `finer_name`), from the same start and at the same
            times; None if it takes too many of them or diverged.
        gaussian: the same of SGD with Gaussian noise of the same covariance, with `gaussian_skewness` and its
            error; None if SGD's own noise is Gaussian, or if `finer` is not the SDE itself.
        finer_loss: its losses at the end, shape `(chains,)`.
    """

    steps: int
    chains: int
    diverged: int
    curvature: np.ndarray
    curvatures: np.ndarray
    sharpest: np.ndarray
    noise_covariance: np.ndarray
    noise_error: np.ndarray
    noise_skewness: np.ndarray
    noise_skewness_error: np.ndarray
    mean_noise_variance: tuple[float, float]
    temperature: np.ndarray
    temperature_error: np.ndarray
    skewness: np.ndarray
    skewness_error: np.ndarray
    step: np.ndarray
    loss: np.ndarray
    sgd: Orbit
    finer: Orbit | None
    finer_name: str
    gaussian: Orbit | None
    gaussian_skewness: np.ndarray
    gaussian_skewness_error: np.ndarray
    finer_loss: np.ndarray

    @property
    def noise_variance(self) -> np.ndarray:
        """C_ii = e_iᵀ C e_i, shape `(k,)`."""
        return np.diag(self.noise_covariance)


class _Along(eqx.Module):
    """Along some directions: θ, ∇L, and C of one example's gradient; and the loss. One row of numbers."""

    problem: Problem
    directions: Float[Array, "k d"]

    def __call__(self, theta: PyTree) -> Float[Array, " numbers"]:
        at = self.directions @ ravel_pytree(theta)[0]
        if isinstance(self.problem, FiniteSumProblem):
            slopes, losses = example_slopes(self.problem, theta, self.directions)
            loss, slope = losses.mean(), slopes.mean(axis=1)
            slopes = slopes - slope[:, None]
            noise = slopes @ slopes.T / slopes.shape[1]
        else:
            loss = self.problem.loss(theta)
            slope = self.directions @ ravel_pytree(self.problem.gradient(theta))[0]
            noise = self.directions @ self.problem.gradient_covariance(theta) @ self.directions.T
        return jnp.concatenate([at, slope, noise.ravel(), loss[None]])


class _Track:
    """What `_Along` has recorded of the chains that did not diverge."""

    def __init__(self, result: Result, k: int):
        rows = np.asarray(result.record["along"], np.float64)
        self.all_losses = rows[:, :, -1]
        rows = rows[:, result.alive] if result.alive.any() else rows
        self.theta, self.slope = rows[..., :k], rows[..., k : 2 * k]
        self.noise = rows[..., 2 * k : 2 * k + k * k].reshape(*rows.shape[:2], k, k)
        self.loss = rows[..., -1]
        self.steps, self.time = np.asarray(result.record_steps), np.asarray(result.time, np.float64)

    def orbit(self, begin: int, ratio: float, step: float, factor: np.ndarray | float = 1.0) -> Orbit:
        """From sample `begin` on."""
        own = np.diagonal(self.noise, axis1=2, axis2=3)[begin:]
        return Orbit(self.theta[begin:], self.slope[begin:], own, self.time[begin:], ratio, step, factor)


def is_small(problem: Problem, theta: PyTree) -> bool:
    """Whether a look at all examples costs next to nothing."""
    return (problem.dataset_size or 1) * parameter_count(theta) <= _SMALL


def usual_chains(problem: Problem, theta: PyTree) -> int:
    """As many as can be had for nothing much; a power of two."""
    least = _MORE_CHAINS if is_small(problem, theta) else _CHAINS
    affordable = _CHEAP // ((problem.dataset_size or 1) * parameter_count(theta))
    return max(least, min(_MOST_CHAINS, 2 ** (affordable.bit_length() - 1) if affordable else 1))


def follow(
    process: Process,
    start: PyTree,
    *,
    directions: int | Float[Array, "k d"],
    chains: int,
    steps: int,
    every: int,
    key: Key[Array, ""],
) -> Result:
    """A run with `_along` recorded; always the same program, whatever the directions (a number: none yet)."""
    if isinstance(directions, int):
        size = parameter_count(start)
        directions = jnp.zeros((min(directions, size), size))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*chains diverged")
        return run(
            process,
            chains=chains,
            steps=steps,
            every=every,
            initial=start,
            record={"along": _Along(process.problem, directions)},
            key=key,
            progress=False,
        )


def run_pilot(
    problem: Problem,
    hyper: Hyperparameters,
    starts: list[PyTree],
    *,
    sampling: Sampling,
    chains: int,
    steps: int,
    directions: int,
    key: Key[Array, ""],
    bar: Progress,
) -> Pilot:
    """`chains` runs of SGD that all begin at the first of `starts`, in `STAGES`.

    The others tell, where it costs nothing, whether that one is out of the ordinary.
    """
    keys = jax.random.split(key, 4)
    start = starts[0]
    small = is_small(problem, start)
    places = _MORE_PLACES if small else _PLACES
    size = parameter_count(start)
    k = min(directions, size)
    first = look(problem, starts[: places if small else 1], places, jnp.zeros((k, size)), keys[0])
    vectors = jnp.asarray(first.vectors[0])
    highest = first.values[np.isfinite(first.values[:, 0]), 0]
    highest = float(highest.mean()) if len(highest) else math.inf
    bar.advance(1)

    momentum = float(hyper.momentum)
    build_up = _BUILD_UP * momentum / (1 - momentum)
    fastest = float(hyper.effective_learning_rate) * max(highest, 1e-30)
    steps = max(2, min(steps, math.ceil(2 * build_up + _RELAXATIONS / fastest)))
    settled = min(build_up + _SETTLED / fastest, steps / 2)
    every = _spacing(problem, hyper, sampling, steps, chains * size)
    steps = max(every, steps - steps % every)
    options: dict[str, Any] = {"chains": chains, "directions": vectors}
    sgd = SGD(problem, hyper, sampling=sampling)
    result = follow(sgd, start, steps=steps, every=every, key=keys[2], **options)
    track = _Track(result, k)
    begin = int(np.searchsorted(track.steps, settled))
    bar.advance(1)

    reference = finer(problem, hyper, highest, steps, chains * size)
    other = None
    gaussian = None
    if reference is not None and not result.diverged:
        other = _follow(reference.process, reference.units, start, every, steps, key=keys[3], **options)
        is_sde = isinstance(reference.process, Langevin)
        if other is not None and is_sde and not _has_gaussian_noise(problem):
            # shuffled epochs have no Gaussian counterpart; their order is judged by itself
            how: Sampling = "subset" if sampling == "subset" else "replacement"
            process = GaussianSGD(problem, hyper, how)
            gaussian = _follow(process, 1, start, every, steps, key=keys[1], **options)
    bar.advance(1)

    ends = separate(result, places - 1)
    there = look(problem, [start, *ends], places, vectors, keys[0])
    sharpest = there.values[1:, 0] if ends else there.values[:, 0]
    curvatures = there.curvature
    curvature = curvatures[0]
    if ends:
        # the directions are those of the beginning, where the curvature along them is a largest one
        curvature = curvatures.mean(axis=0) if small else (curvature + curvatures[1:].mean(axis=0)) / 2
    drawn = 0 if isinstance(problem, FiniteSumProblem) else DRAWS
    skewness, skewness_error = noise_skewness(there.second, there.third, drawn)
    bar.advance(1)
    ratio, step = float(hyper.ratio), float(hyper.learning_rate) / (1 + momentum)
    size_of_data = problem.dataset_size
    orbit = track.orbit(begin, ratio, step, sampling_factor(curvature, hyper, sampling, size_of_data))
    factor = orbit.factor if sampling == "subset" else 1.0
    temperature = orbit.temperature()
    own_skewness, own_error = skewness_of(track.theta)
    gaussian_skewness, gaussian_error = skewness_of((track if gaussian is None else gaussian).theta)
    noise = track.noise[begin:].mean(axis=0)
    return Pilot(
        steps=result.steps,
        chains=chains,
        diverged=result.diverged,
        curvature=curvature,
        curvatures=curvatures,
        sharpest=sharpest,
        noise_covariance=noise.mean(axis=0),
        noise_error=noise.std(axis=0, ddof=1) / len(noise) ** 0.5 if len(noise) > 1 else noise[0] * np.nan,
        noise_skewness=skewness,
        noise_skewness_error=skewness_error,
        mean_noise_variance=mean_noise(there.probes, size),
        temperature=temperature.value,
        temperature_error=temperature.standard_error,
        skewness=own_skewness,
        skewness_error=own_error,
        step=track.steps,
        loss=track.all_losses,
        sgd=orbit,
        finer=None if other is None or reference is None else other.orbit(begin, ratio, reference.step),
        finer_name="" if reference is None else reference.name,
        gaussian=None if gaussian is None else gaussian.orbit(begin, ratio, step, factor),
        gaussian_skewness=gaussian_skewness,
        gaussian_skewness_error=gaussian_error,
        finer_loss=np.empty(0) if other is None else other.loss[-1],
    )


def _has_gaussian_noise(problem: Problem) -> bool:
    return isinstance(problem, AnalyticProblem) and problem.noise_law == "gaussian"


def _follow(
    process: Process,
    units: int,
    start: PyTree,
    every: int,
    steps: int,
    *,
    key: Key[Array, ""],
    **options: Any,
) -> _Track | None:
    """Another process where and when SGD was looked at, in its own units; None if a chain diverges."""
    result = follow(process, start, steps=steps * units, every=every * units, key=key, **options)
    return None if result.diverged else _Track(result, len(options["directions"]))


def _spacing(problem: Problem, hyper: Hyperparameters, sampling: Sampling, steps: int, numbers: int) -> int:
    """Steps between samples; for shuffled epochs such that they fall on all places of an epoch alike."""
    cost = 10.0 * numbers * (problem.dataset_size or 1)
    samples = max(_FEWEST, min(_SAMPLES, int(_OPERATIONS / cost)))
    wanted = max(1, steps // samples)
    if sampling != "shuffle" or problem.dataset_size is None:
        return wanted
    epoch = problem.dataset_size // hyper.batch_size
    return next(every for every in range(wanted, wanted + epoch + 1) if math.gcd(every, epoch) == 1)


def separate(result: Result, most: int) -> list[PyTree]:
    """Where chains that did not diverge ended, one by one."""
    ends = result.samples()
    count = min(most, int(result.alive.sum()))
    return [jax.tree.map(lambda leaf: leaf[chain], ends) for chain in range(count)]  # noqa: B023
