"""SGD on a softmax regression on digits, along directions whose law is known."""

import functools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key

from sde_sgd._platform._shown import Shown, described
from sde_sgd.data._bundled import digits
from sde_sgd.data._dataset import Dataset
from sde_sgd.explorer._distances import Distance, distance
from sde_sgd.explorer._settings import DigitsSettings
from sde_sgd.explorer._wells import normal, settling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._models import softmax_regression
from sde_sgd.processes._sgd import SGD
from sde_sgd.simulation._run import run
from sde_sgd.theory._density import Density1D
from sde_sgd.theory._laplace import refine_minimum
from sde_sgd.theory._linear._covariance import eigenmodes, model_at_minimum
from sde_sgd.theory._linear._modes import sde_response, sgd_response
from sde_sgd.theory._setting import batch_noise, one_setting, positive_curvatures

CLASSES, SIDE, L2 = (3, 5, 8), 4, 0.1
# examples that all chains together draw, at most: fewer where an epoch is shuffled; and steps
_MOST, _STEPS = {"replacement": 300_000, "subset": 250_000, "shuffle": 200_000}, 400


@dataclass(frozen=True, repr=False, eq=False)
class Direction(Shown):
    """SGD along one direction u from the minimum.

    Attributes:
        name: of it.
        curvature: uᵀHu.
        sample: sorted uᵀ(θ − θ*), one for each chain that did not diverge.
        exact: the Gaussian of SGD's exact covariance at finite η.
        sde: that of the SDE's.
        to_exact, to_sde: distances of the sample from both.
    """

    name: str
    curvature: float
    sample: np.ndarray
    exact: Density1D
    sde: Density1D
    to_exact: Distance
    to_sde: Distance

    def __repr__(self) -> str:
        names = "name", "curvature", "to_exact"
        return described(self, {name: getattr(self, name) for name in names})


@dataclass(frozen=True, repr=False, eq=False)
class DigitsNumbers(Shown):
    """What SGD did on a softmax regression.

    Attributes:
        settings: what was asked.
        size: N.
        edge: 2(1 + m)/η, which must lie above the largest curvature.
        steps: how long SGD went from the Gaussian of its exact covariance.
        directions: the two sharpest and two random ones.
        diverged: how many chains did.
        notes: what to know of these numbers, a line each.
    """

    settings: DigitsSettings
    size: int
    edge: float
    steps: int
    directions: tuple[Direction, ...]
    diverged: int
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        ks: Mapping[str, float] = {one.name: one.to_exact.ks for one in self.directions}
        return described(self, {"edge": self.edge, "steps": self.steps, "ks": ks})


@dataclass(frozen=True)
class _Model:
    """The problem at its minimum θ*: all that does not depend on the settings."""

    problem: Any
    minimum: np.ndarray
    unravel: Any
    hessian: np.ndarray
    curvatures: np.ndarray
    modes: np.ndarray
    noise: np.ndarray
    directions: np.ndarray

    def sigma(self, response: np.ndarray) -> np.ndarray:
        """The covariance from how any two modes answer to the noise."""
        found: np.ndarray = self.modes @ (response * self.noise) @ self.modes.T
        symmetric: np.ndarray = (found + found.T) / 2
        return symmetric


@functools.cache
def model() -> _Model:
    """Softmax regression on the digits 3, 5 and 8 in 4 × 4 pixels, with l2."""
    whole = digits()
    inputs, labels = np.asarray(whole.inputs), np.asarray(whole.targets)
    kept = np.isin(labels, CLASSES)
    pixels = inputs[kept].reshape(-1, SIDE, 8 // SIDE, SIDE, 8 // SIDE).mean((2, 4)).reshape(kept.sum(), -1)
    pixels = (pixels - pixels.mean()) / pixels.std()
    data = Dataset(pixels, np.searchsorted(CLASSES, labels[kept]), name="digits 3, 5, 8")
    problem = softmax_regression(data, l2=L2)
    minimum = refine_minimum(problem, problem.init(jax.random.key(0)))
    hessian, covariance = model_at_minimum(problem, minimum)
    flat, unravel = ravel_pytree(minimum)
    # once, as `discrete_covariance` does it for each call
    values, modes, noise = eigenmodes(hessian, covariance)
    assert values[0] > 0.9 * L2
    # what rounding has made negative
    levels, axes = np.linalg.eigh(noise)
    noise = (axes * np.maximum(levels, 0.0)) @ axes.T
    random = np.random.default_rng(0).normal(size=(2, flat.size))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    directions = np.concatenate([modes[:, [-1, -2]].T, random])
    start, rebuilt = np.asarray(flat, np.float64), jax.jit(jax.vmap(unravel))
    return _Model(problem, start, rebuilt, hessian, values, modes, noise, directions)


NAMES = "sharpest", "second sharpest", "random", "other random"


def simulate_digits(settings: DigitsSettings, key: Key[Array, ""]) -> DigitsNumbers:
    """Run SGD from the Gaussian of its exact covariance, and see what it makes of it."""
    known = model()
    size = known.problem.dataset_size
    hyper = Hyperparameters(settings.learning_rate, settings.batch_size, settings.momentum, has_momentum=True)
    setting = one_setting(hyper)
    positive_curvatures(known.curvatures, setting)
    shuffled = settings.sampling == "shuffle"
    # epochs have no SDE: that of replacement is shown
    unshuffled = batch_noise("replacement" if shuffled else settings.sampling, setting, size)
    pairs = known.curvatures[:, None], known.curvatures[None, :]
    own = known.sigma(sgd_response(*pairs, batch_noise(settings.sampling, setting, size), setting))
    sde = known.sigma(sde_response(*pairs, unshuffled, setting))
    steps = _steps(settings, size)
    keys = jax.random.split(key, 2)
    normals = np.asarray(jax.random.normal(keys[0], (settings.chains, len(own))), np.float64)
    # Σ is singular: adding the same to all outputs changes nothing, and so there is no noise
    root = np.linalg.cholesky(own + 1e-9 * np.trace(own) / len(own) * np.eye(len(own)))
    begin = known.minimum + normals @ root.T
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*chains diverged")
        found = run(
            SGD(known.problem, hyper, sampling=settings.sampling),
            chains=settings.chains,
            steps=steps,
            key=keys[1],
            initial=known.unravel(jnp.asarray(begin, float)),
            progress=False,
        )
    ends = np.concatenate(
        [np.asarray(leaf, np.float64).reshape(settings.chains, -1) for leaf in jax.tree.leaves(found.theta)],
        axis=1,
    )
    along = (ends[found.alive] - known.minimum) @ known.directions.T
    notes = ["no white-noise SDE matches shuffled epochs: its Gaussian is that of replacement"]
    return DigitsNumbers(
        settings,
        size,
        float(hyper.edge_of_stability),
        steps,
        tuple(
            _direction(name, u, known.hessian, np.sort(sample), own, sde)
            for name, u, sample in zip(NAMES, known.directions, along.T, strict=True)
        ),
        found.diverged,
        (*(notes if shuffled else ()), *_trouble(found.diverged, settings)),
    )


def _trouble(diverged: int, settings: DigitsSettings) -> tuple[str, ...]:
    return (f"{diverged} of {settings.chains} chains diverged",) if diverged else ()


def _direction(
    name: str, u: np.ndarray, hessian: np.ndarray, sample: np.ndarray, own: np.ndarray, sde: np.ndarray
) -> Direction:
    exact, white = (
        normal(float(u @ covariance @ u), which) for covariance, which in ((own, "SGD"), (sde, "SDE"))
    )
    to_exact, to_sde = distance(sample, exact), distance(sample, white)
    return Direction(name, float(u @ hessian @ u), sample, exact, white, to_exact, to_sde)


def _steps(settings: DigitsSettings, size: int) -> int:
    """As many as do not take long; whole epochs where they are shuffled."""
    epoch = size // settings.batch_size if settings.sampling == "shuffle" else 1
    steps = min(_STEPS, _MOST[settings.sampling] / settings.chains / settings.batch_size)
    # they begin at rest
    steps = max(steps, settling(settings.momentum))
    return max(1, math.ceil(steps / epoch) if settings.momentum else round(steps / epoch)) * epoch
