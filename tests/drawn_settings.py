"""Settings for `diagnose`, drawn by a generator that does not know what comes out."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import sde_sgd as ss

SETTINGS = 40
FAMILIES = ("well", "quadratic", "logistic", "network")


@dataclass
class Setting:
    """One question: all that `diagnose` is told, and how to know the first well."""

    name: str
    problem: object
    hyper: ss.Hyperparameters
    sampling: str
    start: object
    share: float
    inside: object = None


def settings(seed):
    """The settings of a seed, family after family; nothing in here knows what comes out."""
    for number in range(SETTINGS):
        rng = np.random.default_rng([seed, number])
        yield (
            number,
            {"well": _well, "quadratic": _quadratic, "logistic": _logistic, "network": _network}[
                FAMILIES[number % 4]
            ](rng),
        )


def _numbers(rng, sharpest, batches=(1, 2, 4, 8, 16, 32)):
    """η, B, m: η from 1 % to 90 % of the stable range, evenly in its logarithm."""
    momentum = float(rng.choice([0.0, 0.5, 0.9]))
    share = float(np.exp(rng.uniform(np.log(0.01), np.log(0.9))))
    rate = share * 2 * (1 + momentum) / sharpest
    return ss.Hyperparameters(rate, int(rng.choice(batches)), momentum), share


def _law(rng):
    return str(rng.choice(["gaussian", "gaussian", "rademacher", "exponential"]))


def _well(rng):
    """A well whose barrier is 6 to 25 D high."""
    kind = str(rng.choice(["double well", "tilted well", "two minima", "Müller-Brown", "Styblinski-Tang"]))
    law, high = _law(rng), float(rng.uniform(6, 25))
    tilt = float(rng.uniform(0.05, 0.2))
    curvatures = tuple(float(value) for value in np.exp(rng.uniform(0, np.log(8), 2)))

    def made(variance):
        noise = {"noise_variance": variance, "noise_law": law}
        if kind == "double well":
            return ss.problems.DoubleWell(**noise)
        if kind == "tilted well":
            return ss.problems.DoubleWell(tilt=tilt, **noise)
        if kind == "two minima":
            return ss.problems.TwoMinima(
                curvatures=curvatures, depths=(0.0, 0.0), half_distance=1.0, smoothing=0.1, **noise
            )
        return ss.problems.MullerBrown(**noise) if kind[0] == "M" else ss.problems.StyblinskiTang(2, **noise)

    problem = made(1.0)
    start = ss.theory.refine_minimum(problem, problem.minima()[0], steps=20)
    sharpest = float(np.linalg.eigvalsh(np.atleast_2d(np.asarray(problem.hessian(start))))[-1])
    hyper, share = _numbers(rng, sharpest)
    if kind[0] == "M":
        barrier, inside = 1.06, lambda theta: theta[..., 1] > 0.62
    elif kind[0] == "S":
        barrier, inside = 39.3, lambda theta: (theta < 0.157).all(axis=-1)
    else:
        grid = np.linspace(float(start), -float(start), 4001)
        heights = np.asarray(jax.vmap(problem.loss)(jnp.asarray(grid, dtype=float)))
        top = int(heights[:3000].argmax())
        barrier, side = float(heights[top] - heights[0]), float(np.sign(grid[0] - grid[top]))
        where = float(grid[top])
        inside = lambda theta: side * (theta[..., 0] - where) > 0  # noqa: E731
    # D = η'σ²/(2B)
    variance = 2 * barrier / high * hyper.batch_size / float(hyper.effective_learning_rate)
    return Setting(f"{kind}, {law}", made(variance), hyper, "replacement", start, share, inside)


def _quadratic(rng):
    kind = str(rng.choice(["isotropic", "diagonal", "full", "position", "data"]))
    size = 1 if kind == "position" else int(rng.choice([1, 2, 4, 8]))
    law = _law(rng)
    values = np.exp(rng.uniform(np.log(0.05), np.log(2.0), size))
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
    hessian = turn @ np.diag(values) @ turn.T
    hyper, share = _numbers(rng, values.max())
    own = np.exp(rng.uniform(-1, 1, size))
    sampling = "replacement"
    if kind == "position":
        # far below where the second moment of the SDE ceases to exist, (η'/B) growth = 2h
        growth = float(rng.uniform(0.05, 0.4)) * 2 * values.max() / float(hyper.ratio)
        problem = ss.problems.Quadratic(
            float(values[0]), noise=ss.problems.PositionDependent(_growing(growth)), noise_law=law
        )
    elif kind == "data":
        well = ss.problems.Quadratic(hessian)
        problem = ss.problems.TiltedNoiseData(
            well, dataset_size=128, key=jax.random.key(int(rng.integers(1e6)))
        )
        sampling = str(rng.choice(["replacement", "subset", "shuffle"]))
    else:
        mixed = turn @ np.diag(own) @ turn.T if size > 1 else own[:, None]
        noise = {
            "isotropic": ss.problems.Isotropic(float(own[0])),
            "diagonal": ss.problems.Diagonal(own),
            "full": ss.problems.Full(mixed),
        }[kind]
        problem = ss.problems.Quadratic(hessian, noise=noise, noise_law=law)
    start = problem.minima()[0]
    label = law if kind != "data" else "N = 128"
    return Setting(f"quadratic, d = {size}, {kind}, {label}", problem, hyper, sampling, start, share)


def _growing(growth):
    return lambda theta: 1.0 + growth * theta * theta


def _logistic(rng):
    l2 = float(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
    which = str(rng.choice(["breast cancer", "wine"]))
    make = {
        "breast cancer": lambda: ss.problems.logistic_regression(ss.data.breast_cancer(), l2=l2),
        "wine": lambda: ss.problems.softmax_regression(ss.data.wine(), l2=l2),
    }[which]
    problem = make()
    zero = jax.tree.map(jnp.zeros_like, problem.init(jax.random.key(0)))
    start = ss.theory.refine_minimum(problem, zero, steps=30)
    return _of_data(rng, f"{which}, l2 = {l2:.2g}", problem, start)


def _network(rng):
    l2 = float(np.exp(rng.uniform(np.log(0.01), np.log(0.05))))
    hidden = int(rng.choice([4, 8]))
    problem = ss.problems.mlp(ss.data.wine(), hidden=(hidden,), l2=l2)
    key = jax.random.key(int(rng.integers(1e6)))
    flow = ss.run(
        ss.SGD(problem, ss.Hyperparameters(0.3, 128), sampling="subset"), chains=1, steps=3000, key=key
    )
    start = jax.tree.map(lambda leaf: leaf[0], flow.samples())
    return _of_data(rng, f"wine, {hidden} hidden, l2 = {l2:.2g}", problem, start)


def _of_data(rng, name, problem, start):
    sharpest = ss.curvature.top_eigenpairs(problem, start, 1, products=15, key=jax.random.key(0)).values[0]
    hyper, share = _numbers(rng, float(sharpest))
    sampling = str(rng.choice(["replacement", "replacement", "subset", "shuffle"]))
    return Setting(name, problem, hyper, sampling, start, share)
