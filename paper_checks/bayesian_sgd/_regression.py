"""Linear classifiers of images and their Laplace evidence over λ, for informative and for random labels.

Fits and evidence are closed forms in NumPy, which are quick at many λ; `agreement` holds some of them against
`ss.bayes.log_evidence`. All fits along λ come from one path, from large λ to small, by Newton's method.
Images are given in orthogonal coordinates of the space that those for training span. The prior alone sets the
weights outside of it, to 0, and is the same in all directions, so that this changes no evidence and no
prediction.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg, special
from threadpoolctl import threadpool_limits

import sde_sgd as ss
from paper_checks._card import Measurement
from paper_checks._context import Context, folded

LEVEL = 0.05
AGREEMENT = 0.01  # nats, far below what any test here asks for
MOST_STEPS, CONVERGED = 100, 1e-8  # of Newton's method; the gain of a step that is the last, in nats
INFORMATIVE, RANDOM = "informative", "random"


@dataclass(frozen=True)
class Arm:
    """Images, and how many of them are for training.

    Attributes:
        name: of the arm, unique for data, size and noise.
        data: key → data set, split by the key.
        flipped: fraction of the labels that are made wrong, in training and test alike.
    """

    name: str
    data: Callable[[jax.Array], ss.data.Dataset]
    flipped: float = 0.0


def mnist(*digits: int, size: int = 800) -> Callable[[jax.Array], ss.data.Dataset]:
    """Some of the 5,000 real MNIST images."""
    return lambda key: ss.data.mnist(digits=digits, train_size=size, key=key)


def digits(size: int) -> Callable[[jax.Array], ss.data.Dataset]:
    """scikit-learn's digits, all ten classes."""
    return lambda key: ss.data.digits(size, key=key)


ZERO_ONE = Arm("MNIST 0/1", mnist(0, 1))
ALL_DIGITS = Arm("digits, ten classes", digits(400))
FEW = Arm("MNIST 0/1, N = 60", mnist(0, 1, size=60))


@dataclass(frozen=True)
class Curves:
    """Over splits and λ, each of shape `(splits, λ)`.

    Attributes:
        precisions: λ.
        evidence: ln(evidence/null), in nats.
        likelihood: N ln k − Σ ℓ_n of the training labels at the fit, in nats.
        test: cross-entropy on the test set, nats per example.
        bound: N ln k, the most that evidence or likelihood can be.
        guessing: ln k.
    """

    precisions: np.ndarray
    evidence: np.ndarray
    likelihood: np.ndarray
    test: np.ndarray
    bound: float
    guessing: float


def curves(
    context: Context, arm: Arm, precisions: Sequence[float], splits: int, labels: str = INFORMATIVE
) -> Curves:
    """Fits of several splits at several λ; the same for all cards that ask for the same."""
    return found(arm, labels, _seed(context), tuple(sorted(precisions)), splits)


@lru_cache(maxsize=64)
def found(arm: Arm, labels: str, seed: tuple[int, ...], precisions: tuple[float, ...], splits: int) -> Curves:
    """What `curves` gives, kept."""
    drawn = [images(arm, labels, seed, split) for split in range(splits)]
    flipped = arm.flipped if labels == INFORMATIVE else 0.0
    # matrices this small are factorised sooner by one thread each
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(lambda data: _path(data, precisions, flipped), drawn))
    evidence, likelihood, test = np.moveaxis(np.array(rows), -1, 0)
    guessing = float(np.log(drawn[0].classes or 2))
    return Curves(np.array(precisions), evidence, likelihood, test, drawn[0].size * guessing, guessing)


def images(arm: Arm, labels: str, seed: tuple[int, ...], split: int) -> ss.data.Dataset:
    """One split, with its labels."""
    parent = folded(jax.random.wrap_key_data(jnp.array(seed, jnp.uint32)), arm.name)
    key = jax.random.fold_in(parent, split)
    data = in_span(arm.data(key))
    if labels == RANDOM:
        return ss.data.with_label_noise(data, 1.0, key=folded(key, RANDOM))
    if arm.flipped:
        return ss.data.with_label_noise(data, arm.flipped, key=folded(key, "flipped"), to="other")
    return data


def in_span(data: ss.data.Dataset) -> ss.data.Dataset:
    """The same in orthogonal coordinates of the space that the training images span."""
    x, tests = (np.asarray(one, np.float64) for one in (data.inputs, data.test_inputs))
    _, sizes, axes = np.linalg.svd(x, full_matrices=False)
    axes = axes[sizes > 1e-6 * sizes[0]].T
    return ss.data.Dataset(
        x @ axes, data.targets, tests @ axes, data.test_targets, classes=data.classes, name=data.name
    )


def _path(
    data: ss.data.Dataset, precisions: tuple[float, ...], flipped: float
) -> list[tuple[float, float, float]]:
    """Evidence, likelihood and test cross-entropy at each λ."""
    x, hot = _arrays(data)
    at = _zeros(x, hot)
    values = []
    for precision in sorted(precisions, reverse=True):
        at = fit(at, x, hot, precision)
        evidence, likelihood = laplace(at, x, hot, precision)
        values.append((evidence, likelihood, test_loss(at, data, flipped)))
    return values[::-1]


def fit(start: np.ndarray, x: np.ndarray, hot: np.ndarray, precision: float) -> np.ndarray:
    """The maximum a posteriori of weights and biases in a row, one logit where there are two classes.

    Args:
        start: where it begins.
        x: inputs, shape `(N, pixels)`.
        hot: labels as one-hot rows, shape `(N, k)`.
        precision: λ.
    """
    at = start
    for _ in range(MOST_STEPS):
        value, gradient = _cost(at, x, hot, precision)
        step = linalg.cho_solve(linalg.cho_factor(_hessian(at, x, precision)), gradient)
        gain, length = float(gradient @ step), 1.0
        if gain < CONVERGED:
            return np.asarray(at - step)
        while _cost(at - length * step, x, hot, precision)[0] > value - 1e-4 * length * gain:
            length /= 2
        at = at - length * step
    raise RuntimeError(f"Newton's method has not converged at λ = {precision:g}.")


def laplace(at: np.ndarray, x: np.ndarray, hot: np.ndarray, precision: float) -> tuple[float, float]:
    """ln(evidence/null) at a fit, and N ln k − Σ ℓ_n."""
    logs = _log_odds(at, x)
    half = np.log(np.diag(np.linalg.cholesky(_hessian(at, x, precision) / precision))).sum()
    likelihood = len(x) * np.log(hot.shape[1]) + (hot * logs).sum()
    return float(likelihood - 0.5 * precision * at @ at - half), float(likelihood)


def test_loss(at: np.ndarray, data: ss.data.Dataset, flipped: float) -> float:
    """Cross-entropy on the test set, its mean over the labels that flips could give."""
    logs = _log_odds(at, np.asarray(data.test_inputs, np.float64))
    odds = np.full(logs.shape, flipped / (logs.shape[1] - 1))
    odds[np.arange(len(logs)), np.asarray(data.test_targets)] = 1 - flipped
    return float(-(odds * logs).sum(axis=1).mean())


def agreement(context: Context, arms: Sequence[Arm]) -> Measurement:
    """The library's evidence against the closed form, at λ = 1 of one split: the largest difference."""
    gaps = {}
    for arm in arms:
        for labels in (INFORMATIVE, RANDOM):
            data = images(arm, labels, _seed(context), 0)
            x, hot = _arrays(data)
            at = fit(_zeros(x, hot), x, hot, 1.0)
            outputs = len(at) // (x.shape[1] + 1)
            theta = [{"weight": at[:-outputs].reshape(-1, outputs), "bias": at[-outputs:]}]
            regression = ss.problems.logistic_regression if outputs == 1 else ss.problems.softmax_regression
            library = ss.bayes.log_evidence(regression(data), theta, precision=1.0)
            gaps[f"{arm.name}, {labels}"] = library.value - laplace(at, x, hot, 1.0)[0]
    furthest = max(gaps, key=lambda name: abs(gaps[name]))
    return Measurement(
        name=f"bayes.log_evidence minus the closed form, λ = 1, nats: {furthest}",
        estimate=gaps[furthest],
        n=len(gaps),
        threshold=f"within {AGREEMENT:g} of 0",
        met=abs(gaps[furthest]) < AGREEMENT,
    )


def _seed(context: Context) -> tuple[int, ...]:
    key = context.key if context.seed_key is None else context.seed_key
    return tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())


def _arrays(data: ss.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and one-hot labels in float64."""
    return np.asarray(data.inputs, np.float64), np.eye(data.classes or 2)[np.asarray(data.targets)]


def _zeros(x: np.ndarray, hot: np.ndarray) -> np.ndarray:
    return np.zeros((x.shape[1] + 1) * (1 if hot.shape[1] == 2 else hot.shape[1]))


def _cost(at: np.ndarray, x: np.ndarray, hot: np.ndarray, precision: float) -> tuple[float, np.ndarray]:
    """Loss and prior summed over examples, and their gradient."""
    outputs = len(at) // (x.shape[1] + 1)
    logs = _log_odds(at, x)
    residual = (np.exp(logs) - hot)[:, -outputs:]
    gradient = np.concatenate([(x.T @ residual).ravel(), residual.sum(axis=0)]) + precision * at
    return float(-(hot * logs).sum() + 0.5 * precision * at @ at), gradient


def _hessian(at: np.ndarray, x: np.ndarray, precision: float) -> np.ndarray:
    """Its second derivative."""
    outputs = len(at) // (x.shape[1] + 1)
    odds = np.exp(_log_odds(at, x))[:, -outputs:]
    wide = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    found = np.zeros((wide.shape[1], outputs, wide.shape[1], outputs))
    for a in range(outputs):
        for b in range(a + 1):
            weights = odds[:, a] * ((a == b) - odds[:, b])
            found[:, a, :, b] = found[:, b, :, a] = (wide.T * weights) @ wide
    return found.reshape(len(at), len(at)) + precision * np.eye(len(at))


def _log_odds(at: np.ndarray, x: np.ndarray) -> np.ndarray:
    """ln of the probability of every class, shape `(N, k)`."""
    outputs = len(at) // (x.shape[1] + 1)
    logits = x @ at[:-outputs].reshape(-1, outputs) + at[-outputs:]
    if outputs == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return np.asarray(special.log_softmax(logits, axis=1))
