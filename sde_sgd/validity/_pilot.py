"""A short run of SGD from one point, and what can be measured in it."""

import math
import warnings
from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from sde_sgd._result import Result
from sde_sgd._run import run
from sde_sgd.curvature._eigenpairs import top_eigenpairs
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.problems._finite_sum import FiniteSumProblem
from sde_sgd.processes._base import minibatch_streams
from sde_sgd.processes._sgd import SGD

_SAMPLES = 60
_DRAWS = 2**15
_PROBES = 64
_PRODUCTS = 30
_ENDS = 4
# velocities take 1/(1 − m) steps to build up; after five of those e⁻⁵ is left to come
_BUILD_UP = 5
# The measurement takes so many relaxation times 1/(η'λ₁) of the sharpest direction: long enough for an
# average, short enough for the directions of a network not to turn away.
_RELAXATIONS = 60


@dataclass(frozen=True)
class Pilot:
    """What a pilot run shows, per direction i of the k sharpest.

    Attributes:
        steps, chains: of the pilot.
        diverged: chains that diverged.
        curvature: e_iᵀHe_i with e_i the eigenvectors where the pilot began, the mean of there and of the
            ends of some chains.
        noise_covariance: e_iᵀ C e_j of one example's gradient, over chains and time, shape `(k, k)`.
        noise_skewness: third cumulant of e_i·g_n over C_ii^{3/2}, averaged as the curvature.
        sharpest: λ₁ at the ends of some chains (that of the beginning if all diverged).
        mean_noise_variance: Tr C/d, with its standard error.
        temperature: 2⟨Cov(θ_i, ∂_iL)⟩ + the growth of Var θ_i in SDE time, with `temperature_error`:
            T_i of SGD as measured.
        skewness: of θ_i over chains and time, with `skewness_error`.
        step, loss: of the samples, shapes `(samples,)` and `(samples, chains)`.
    """

    steps: int
    chains: int
    diverged: int
    curvature: np.ndarray
    sharpest: np.ndarray
    noise_covariance: np.ndarray
    noise_skewness: np.ndarray
    mean_noise_variance: tuple[float, float]
    temperature: np.ndarray
    temperature_error: np.ndarray
    skewness: np.ndarray
    skewness_error: np.ndarray
    step: np.ndarray
    loss: np.ndarray

    @property
    def noise_variance(self) -> np.ndarray:
        """C_ii = e_iᵀ C e_i, shape `(k,)`."""
        return np.diag(self.noise_covariance)


class _Along(eqx.Module):
    """The coordinates of θ along some directions."""

    directions: Float[Array, "k d"]

    def __call__(self, theta: PyTree) -> Float[Array, " k"]:
        return self.directions @ jax.flatten_util.ravel_pytree(theta)[0]


class _GradientAlong(eqx.Module):
    """The coordinates of ∇L along some directions."""

    problem: Problem
    directions: Float[Array, "k d"]

    def __call__(self, theta: PyTree) -> Float[Array, " k"]:
        return self.directions @ jax.flatten_util.ravel_pytree(self.problem.gradient(theta))[0]


class _NoiseAlong(eqx.Module):
    """e_iᵀ C(θ) e_j along some directions."""

    problem: Problem
    directions: Float[Array, "k d"]

    def __call__(self, theta: PyTree) -> Float[Array, "k k"]:
        if isinstance(self.problem, FiniteSumProblem):
            along = _example_slopes(self.problem, theta, self.directions)
            along = along - along.mean(axis=1, keepdims=True)
            return along @ along.T / along.shape[1]
        return self.directions @ self.problem.gradient_covariance(theta) @ self.directions.T


def follow(
    problem: Problem,
    hyper: Hyperparameters,
    start: PyTree | None,
    vectors: Float[Array, "k d"],
    *,
    sampling: str,
    chains: int,
    steps: int,
    key: Key[Array, ""],
) -> Result:
    """SGD with θ, ∇L and C along the vectors recorded; always the same program, whatever the vectors."""
    every = _spacing(max(1, steps // _SAMPLES), problem, hyper, sampling)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*chains diverged")
        return run(
            SGD(problem, hyper, sampling=sampling),
            chains=chains,
            steps=max(every, steps - steps % every),
            every=every,
            initial=start,
            record={
                "theta": _Along(vectors),
                "slope": _GradientAlong(problem, vectors),
                "noise": _NoiseAlong(problem, vectors),
                "loss": problem.loss,
            },
            key=key,
            progress=False,
        )


def run_pilot(
    problem: Problem,
    hyper: Hyperparameters,
    start: PyTree,
    *,
    sampling: str,
    chains: int,
    steps: int,
    directions: int,
    key: Key[Array, ""],
) -> Pilot:
    """`chains` runs of SGD that all begin at `start`, the parameters of one chain."""
    keys = jax.random.split(key, 4)
    size = jax.flatten_util.ravel_pytree(start)[0].size
    products = min(size, _PRODUCTS)
    found = top_eigenpairs(problem, start, min(directions, size), products=products, key=keys[0])
    vectors = jax.vmap(lambda one: jax.flatten_util.ravel_pytree(one)[0])(found.vectors)
    momentum = float(hyper.momentum)
    build_up = _BUILD_UP * momentum / (1 - momentum)
    fastest = float(hyper.effective_learning_rate) * max(float(found.values[0]), 1e-30)
    steps = min(steps, math.ceil(2 * build_up + _RELAXATIONS / fastest))
    options: Any = {"sampling": sampling, "chains": chains, "steps": max(steps, 2)}
    result = follow(problem, hyper, start, vectors, key=keys[2], **options)
    alive = result.alive
    theta = np.asarray(result.record["theta"], np.float64)[:, alive]
    slope = np.asarray(result.record["slope"], np.float64)[:, alive]
    settled = int(np.searchsorted(result.record_steps, build_up))
    temperature, temperature_error = _temperature(theta[settled:], slope[settled:], result.time[settled:])
    skewness, skewness_error = _skewness(theta)
    # the beginning, and the ends of some chains: the model that predicts is the mean of the two
    points = jax.tree.map(lambda leaf: leaf[None], start)
    sharpest = np.asarray(found.values[:1], np.float64)
    if alive.any():
        ends = jax.tree.map(lambda leaf: jnp.asarray(leaf[:_ENDS]), result.samples())
        points = jax.tree.map(lambda one, more: jnp.concatenate([one, more]), points, ends)
        top = partial(top_eigenpairs, k=1, products=products, key=keys[3])
        sharpest = np.asarray(jax.vmap(lambda at: top(problem, at).values[0])(ends), np.float64)
    curvature, second, third = (
        np.asarray(each[0] if len(each) == 1 else (each[0] + each[1:].mean(axis=0)) / 2, np.float64)
        for each in _local(problem, points, vectors, keys[1])
    )
    noise = np.asarray(result.record["noise"], np.float64)[settled:, alive if alive.any() else slice(None)]
    return Pilot(
        steps=result.steps,
        chains=chains,
        diverged=result.diverged,
        curvature=curvature,
        sharpest=sharpest,
        noise_covariance=noise.mean(axis=(0, 1)),
        noise_skewness=third / np.maximum(second, 1e-30) ** 1.5,
        mean_noise_variance=_mean_noise(problem, start, keys[1]),
        temperature=temperature,
        temperature_error=temperature_error,
        skewness=skewness,
        skewness_error=skewness_error,
        step=np.asarray(result.record_steps),
        loss=np.asarray(result.record["loss"], np.float64),
    )


def _spacing(wanted: int, problem: Problem, hyper: Hyperparameters, sampling: str) -> int:
    """Steps between samples; for shuffled epochs such that they fall on all places of an epoch alike."""
    if sampling != "shuffle" or problem.dataset_size is None:
        return wanted
    epoch = problem.dataset_size // hyper.batch_size
    return next(every for every in range(wanted, wanted + epoch + 1) if math.gcd(every, epoch) == 1)


@eqx.filter_jit
def _local(
    problem: Problem, points: PyTree, directions: Float[Array, "k d"], key: Key[Array, ""]
) -> tuple[Array, Array, Array]:
    """At every point, along all directions: e_iᵀHe_i, and the second and third cumulants of e_i·g_n."""

    def one(theta: PyTree) -> tuple[Array, Array, Array]:
        _, unravel = jax.flatten_util.ravel_pytree(theta)

        def curved(direction: Array) -> Array:
            moved = jax.jvp(problem.gradient, (theta,), (unravel(direction),))[1]
            return direction @ jax.flatten_util.ravel_pytree(moved)[0]

        along = _example_slopes(problem, theta, directions, key)
        along = along - along.mean(axis=1, keepdims=True)
        return jax.vmap(curved)(directions), (along**2).mean(axis=1), (along**3).mean(axis=1)

    return lax.map(one, points)


def _example_slopes(
    problem: Problem, theta: PyTree, directions: Float[Array, "k d"], key: Key[Array, ""] | None = None
) -> Float[Array, "k examples"]:
    """e·g_n of all examples, or of many drawn ones where there is no end of them."""
    _, unravel = jax.flatten_util.ravel_pytree(theta)
    if isinstance(problem, FiniteSumProblem):

        def along(direction: Array) -> Array:
            return jax.jvp(problem.example_losses, (theta,), (unravel(direction),))[1]

        return lax.map(along, directions)
    assert key is not None
    sampler = problem.sampler("replacement", 1)
    batch, _ = sampler.draw(
        None, minibatch_streams(key), jnp.zeros((), jnp.int32), jnp.arange(_DRAWS, dtype=jnp.uint32)
    )
    drawn = jax.vmap(
        lambda one: jax.flatten_util.ravel_pytree(problem.batch_gradient(theta, one))[0],
    )(batch)
    return directions @ drawn.T


def _mean_noise(problem: Problem, theta: PyTree, key: Key[Array, ""]) -> tuple[float, float]:
    """Tr C/d at θ and its standard error: the mean of zᵀCz/d over random signs z."""
    size = jax.flatten_util.ravel_pytree(theta)[0].size
    if size <= _PROBES:
        probes = jnp.eye(size)
    else:
        probes = jax.random.rademacher(key, (_PROBES, size), float) / size**0.5
    slopes = eqx.filter_jit(_example_slopes)(problem, theta, probes, key)
    each = np.asarray(slopes, np.float64).var(axis=1)
    return float(each.mean()), 0.0 if size <= _PROBES else float(each.std(ddof=1) / _PROBES**0.5)


def _temperature(theta: np.ndarray, slope: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T_i from the balance of Var θ_i, shapes `(k,)`; the standard error is a jackknife over chains.

    d Var(θ_i)/dt = −2 Cov(θ_i, ∂_iL) + T_i holds whatever the loss, stationary or not. The integral
    over the samples is by the trapezoidal rule.
    """
    samples, chains, k = theta.shape
    if chains < 3 or samples < 3:
        return np.full(k, np.nan), np.full(k, np.nan)
    weights = np.full(samples, 1.0 / (samples - 1))
    weights[[0, -1]] /= 2
    length = float(time[-1] - time[0])

    def balance(at: np.ndarray, g: np.ndarray) -> np.ndarray:
        centred = at - at.mean(axis=1, keepdims=True)
        together = (centred * g).sum(axis=1) / (at.shape[1] - 1)
        growth = at[-1].var(axis=0, ddof=1) - at[0].var(axis=0, ddof=1)
        return np.asarray(2 * weights @ together + growth / length)

    left_out = np.stack(
        [balance(np.delete(theta, one, 1), np.delete(slope, one, 1)) for one in range(chains)]
    )
    return balance(theta, slope), np.sqrt((chains - 1) * left_out.var(axis=0))


def _skewness(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skewness of θ_i over chains and the second half of the time, with the chains' own spread as error."""
    late = theta[len(theta) // 2 :]
    chains = late.shape[1]
    if chains < 3:
        return np.full(late.shape[2], np.nan), np.full(late.shape[2], np.nan)
    centred = late - late.mean(axis=(0, 1))
    scale = np.maximum(centred.var(axis=(0, 1)), 1e-300) ** 1.5
    each = (centred**3).mean(axis=0) / scale
    return each.mean(axis=0), each.std(axis=0, ddof=1) / chains**0.5
