"""What is kept: name → a function that gives arrays and numbers. All is small, with fixed keys."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from checkpointed_run import everything
from every_process import DATA, HYPER, PROCESSES, WELL
from helpers import class_data
from scipy import stats

import sde_sgd as ss
from sde_sgd import bayes, curvature, data, schedules, statistics, theory, validity

KEY = jax.random.key(11)
PARABOLA = ss.problems.Quadratic(1.0)
TWO = (np.diag([1.0, 0.3]), np.diag([1.0, 0.5]))
AT = np.linspace(-2, 2, 9)
ONE = jax.devices()[:1]


@functools.cache
def network() -> tuple[Any, Any]:
    """A small one, and its parameters."""
    problem = ss.problems.mlp(class_data(size=24), hidden=(5,))
    return problem, problem.init(KEY)


def norm(theta: Any) -> Any:
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(theta))


def of_process(name: str) -> Any:
    """Few chains, few steps, and all that is kept of them."""
    observe = {"norm": norm}
    counted = {"norm": ss.Histogram(0, 4, 8, norm)}
    kept = {"record": observe, "moments": observe, "histograms": counted}
    return everything(ss.run(PROCESSES[name](), chains=5, steps=11, every=3, key=KEY, devices=ONE, **kept))


def of_sweep(make: Any, problem: Any, **options: Any) -> Any:
    fixed = {"seeds": 2, "key": KEY, "record": {"norm": norm}, "keep_theta": True, "devices": ONE}
    return everything(ss.sweep(make, problem, **fixed, **options))


def samples(seed: int, n: int = 60, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, n)


def draws() -> np.ndarray:
    """Autocorrelated ones of eight chains."""
    rng, track = np.random.default_rng(3), [np.zeros(8)]
    for _ in range(199):
        track.append(0.7 * track[-1] + rng.normal(size=8))
    return np.asarray(track).T


def numbers(value: Any) -> Any:
    """The numbers of a result, name by name."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        return {name: numbers(entry) for name, entry in fields.items() if name != "seconds"}
    if isinstance(value, Mapping):
        return {str(name): numbers(entry) for name, entry in value.items()}
    if isinstance(value, tuple | list):
        return [numbers(entry) for entry in value]
    return value if isinstance(value, str | int | float | np.ndarray | np.generic | jax.Array) else None


def tests(test: Callable[..., Any], **options: Any) -> Any:
    """Two samples, a sample and a law, tied values."""
    pairs = [
        (samples(1), samples(2)),
        (samples(1), stats.norm()),
        (np.round(samples(1)), np.round(samples(2))),
    ]
    return [numbers(test(*pair, **options)) for pair in pairs]


def of_network(function: Callable[..., Any], *more: Any, **options: Any) -> Any:
    return numbers(function(*network(), *more, **options))


STATISTICS = {
    "kolmogorov_smirnov": lambda: tests(statistics.kolmogorov_smirnov),
    "anderson_darling": lambda: tests(statistics.anderson_darling),
    "cramer_von_mises": lambda: tests(statistics.cramer_von_mises),
    "wasserstein": lambda: tests(statistics.wasserstein, key=KEY),
    "energy": lambda: numbers(statistics.energy(samples(1), samples(2, shift=0.5), key=KEY)),
    "compare": lambda: str(statistics.compare(samples(1), samples(2))),
    "equivalence": lambda: [
        tests(statistics.equivalence, margin=margin, quantity=quantity)
        for quantity, margin in (("mean", 0.5), ("variance", 1.5))
    ],
    "holm": lambda: str(statistics.holm({"a": 0.01, "b": 0.2, "c": 0.04})),
    "slope": lambda: numbers(statistics.slope(np.arange(8.0), samples(4, 8) + np.arange(8), key=KEY)),
    "curve_test": lambda: numbers(
        statistics.curve_test(samples(6, 40).reshape(8, 5), samples(7, 40).reshape(8, 5), key=KEY)
    ),
    "time_average": lambda: [
        statistics.effective_sample_size(draws()),
        statistics.mcse(draws()),
        statistics.split_r_hat(draws()),
        numbers(statistics.time_average(draws())),
    ],
    "temperature_test": lambda: numbers(
        statistics.temperature_test(samples(5)[:, None], samples(5)[:, None], 2.0)
    ),
}
THEORY = {
    "temperature": lambda: theory.temperature(WELL, HYPER),
    "gibbs": lambda: theory.gibbs(WELL, HYPER).cdf(AT),
    "modified_gibbs": lambda: theory.modified_gibbs(WELL, HYPER).cdf(AT),
    "ito_density": lambda: theory.ito_density(WELL, HYPER).cdf(AT),
    "gibbs in the plane": lambda: theory.gibbs(ss.problems.MullerBrown(scale=1e-3), HYPER).error,
    "chain_law": lambda: theory.chain_law(WELL, ss.Hyperparameters(0.2, 2)).cdf(AT),
    "fokker_planck": lambda: [
        law.cdf(AT) for law in theory.fokker_planck(WELL, HYPER, initial=0.5, times=[0.1, 1.0]).densities
    ],
    "relaxation_time": lambda: theory.relaxation_time(WELL, ss.Hyperparameters(0.4, 1)),
    "laplace": lambda: [
        numbers(theory.laplace_probabilities(WELL, HYPER)),
        theory.refine_minimum(WELL, np.float32(0.8)),
        theory.occupation(np.asarray([0.0, 0.1]), np.asarray([1.0, 0.5]), 0.1),
    ],
    "stationary_covariance": lambda: [
        theory.stationary_covariance(
            DATA, HYPER, at=[{"weight": jnp.ones((3, 1))}], law=law, sampling=sampling
        )
        for law in ("sgd", "sde")
        for sampling in ("replacement", "subset")
    ],
    "discrete_covariance": lambda: (
        [
            theory.discrete_covariance(
                *TWO, ss.Hyperparameters(0.1, 4, momentum), sampling=sampling, dataset_size=24
            )
            for momentum in (0.0, 0.5)
            for sampling in ("replacement", "subset")
        ]
        + [
            theory.discrete_covariance(
                *TWO, ss.Hyperparameters(0.1, 4), sampling="shuffle", dataset_size=24, average=average
            )
            for average in (False, True)
        ]
    ),
    "lyapunov_covariance": lambda: theory.lyapunov_covariance(*TWO, HYPER),
    "regression_covariance": lambda: numbers(theory.regression_covariance(DATA, HYPER)),
    "online_regression": lambda: [
        theory.online_regression_variance(HYPER, law=law) for law in ("sgd", "sde")
    ],
    "directional_variance": lambda: numbers(
        theory.directional_variance(np.asarray([1.0, 0.3]), np.asarray([1.0, 0.5]), HYPER)
    ),
    "effective_temperature": lambda: numbers(theory.effective_temperature(*TWO, HYPER)),
}
CURVATURE = {
    "top_eigenpairs": lambda: of_network(curvature.top_eigenpairs, k=3, key=KEY),
    "trace": lambda: of_network(curvature.trace, key=KEY),
    "frobenius_norm": lambda: of_network(curvature.frobenius_norm, key=KEY),
    "spectral_density": lambda: of_network(curvature.spectral_density, key=KEY),
    "log_determinant": lambda: of_network(curvature.log_determinant, key=KEY, shift=5.0),
    "covariance_spectrum": lambda: of_network(curvature.covariance_spectrum, k=2, key=KEY),
    "alignment": lambda: of_network(curvature.alignment, key=KEY),
    "products": lambda: [
        of_network(product, network()[1])
        for product in (curvature.hvp, curvature.gauss_newton_product, curvature.covariance_product)
    ],
    "plane": lambda: of_network(curvature.plane, key=KEY, points=3),
}
VALIDITY = {
    "weak_error": lambda: numbers(validity.weak_error(WELL, HYPER, time=0.4, chains=400, key=KEY)),
    "diagnose": lambda: numbers(
        validity.diagnose(
            PARABOLA, ss.Hyperparameters(0.2, 2), steps=400, key=KEY, chains=64, progress=False
        ).causes
    ),
    "phase_diagram": lambda: numbers(
        validity.phase_diagram(
            WELL,
            learning_rate=[0.02, 0.04],
            batch_size=[2, 4],
            key=KEY,
            seeds=4,
            time=0.4,
            progress=False,
            devices=ONE,
        )
    ),
    "local_learning_coefficient": lambda: numbers(
        bayes.local_learning_coefficient(
            DATA,
            [{"weight": jnp.ones((3, 1))}],
            key=KEY,
            learning_rate=1e-3,
            steps=60,
            chains=4,
            progress=False,
        )
    ),
}
CASES: dict[str, Callable[[], Any]] = {
    **{f"process: {name}": functools.partial(of_process, name) for name in PROCESSES},
    "sweep: grid": lambda: of_sweep(
        ss.SGD, DATA, batch_size=[2, 4], learning_rate=[0.02, 0.05], epochs=2, every=1
    ),
    "sweep: equal time": lambda: of_sweep(
        ss.Langevin, WELL, batch_size=[2, 4], ratio=[0.01, 0.02], time=0.6, every=0.2, momentum=0.5
    ),
    "sweep: own starts": lambda: of_sweep(
        functools.partial(ss.SGD, sampling="subset"),
        DATA,
        batch_size=5,
        learning_rate=[0.02, 0.05],
        steps=9,
        every=4,
        paired_starts=False,
        chunk=3,
    ),
    "sweep: schedule": lambda: of_sweep(
        ss.SGD,
        DATA,
        schedule=schedules.decay(
            [1.0, 1.0], learning_rate=0.1, batch_size=4, factor=2.0, by="batch_size", largest_fraction=None
        ),
    ),
    **{f"statistics: {name}": case for name, case in STATISTICS.items()},
    **{f"theory: {name}": case for name, case in THEORY.items()},
    **{f"curvature: {name}": case for name, case in CURVATURE.items()},
    **{f"validity: {name}": case for name, case in VALIDITY.items()},
    "data: digits": lambda: data.digits(key=KEY).inputs[:4],
    "data: teacher": lambda: data.teacher(6, key=KEY, test_size=4).inputs,
    "data: label noise": lambda: data.with_label_noise(data.digits(), 0.5, key=KEY).targets,
    "data: augmented": lambda: data.augmented_digits(4, key=KEY).inputs,
}
