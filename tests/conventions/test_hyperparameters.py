"""η, B, m, N, T, D and the clocks: by hand, round trips, one program for all values, refusals."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import REFUSED, bare, refused

import sde_sgd as ss
from sde_sgd import hyperparameters as hp

ARRAY = np.array([0.01, 0.1, 1.5])
RATES = [pytest.param(0.1, id="number"), pytest.param(ARRAY, id="array")]
MOMENTA = [0.0, 0.9, pytest.param(np.array([0.0, 0.5, 0.99]), id="array")]
CLOSE = {"rtol": 3e-6}


# By hand


def test_numbers_by_hand() -> None:
    hyper = ss.Hyperparameters(0.1, 4, 0.75)
    np.testing.assert_allclose(hyper.effective_learning_rate, 0.4, **CLOSE)
    np.testing.assert_allclose(hyper.ratio, 0.1, **CLOSE)
    np.testing.assert_allclose(hyper.temperature(3.0), 0.3, **CLOSE)
    np.testing.assert_allclose(hyper.diffusion(3.0), 0.15, **CLOSE)
    np.testing.assert_allclose(hyper.time(50), 20.0, **CLOSE)
    np.testing.assert_allclose(hyper.steps(20.0), 50.0, **CLOSE)
    np.testing.assert_allclose(hyper.epochs(50, 20), 10.0, **CLOSE)
    np.testing.assert_allclose(hyper.noise_scale(20), 1.6, **CLOSE)
    np.testing.assert_allclose(hp.learning_rate_for_temperature(0.3, 4, 3.0, 0.75), 0.1, **CLOSE)
    np.testing.assert_allclose(hp.epochs_to_steps(10, 4, 20), 50.0, **CLOSE)


def test_temperature_is_twice_the_diffusion() -> None:
    """Gibbs is exp(−2L/T) = exp(−L/D): the double well at η/B = .1 has T = .1 and D = .05."""
    hyper = ss.Hyperparameters(0.1)
    np.testing.assert_allclose(hyper.temperature(1.0), 0.1, **CLOSE)
    np.testing.assert_allclose(hyper.diffusion(1.0), 0.05, **CLOSE)


@pytest.mark.parametrize(
    ("batch", "size", "factor"),
    [(1, 2, 1.0), (1, 100, 1.0), (4, 64, 60 / 63), (16, 64, 48 / 63), (64, 64, 0.0), (1, 1, 0.0)],
)
def test_finite_population_factor(batch: int, size: int, factor: float) -> None:
    assert hp.finite_population_factor(batch, size) == pytest.approx(factor, rel=1e-15)


def test_the_edge_of_stability_is_where_heavy_balls_root_is_minus_one() -> None:
    """One for each chain; just below it the roots of r² − (1 + m − ηλ) r + m are inside the circle."""
    hyper = ss.Hyperparameters([0.1, 0.4], 8, [0.0, 0.9])
    edges = np.asarray(hyper.edge_of_stability, np.float64)
    np.testing.assert_allclose(edges, [20.0, 9.5], rtol=1e-6)
    for rate, momentum, edge in zip([0.1, 0.4], [0.0, 0.9], edges, strict=True):
        for share, stable in ((0.99, True), (1.01, False)):
            roots = np.roots([1.0, -(1 + momentum - rate * share * edge), momentum])
            assert (np.abs(roots).max() < 1) == stable


def test_noise_scale_limits() -> None:
    assert float(hp.noise_scale(0.1, 64, 64)) == 0.0
    np.testing.assert_allclose(hp.noise_scale(0.1, 1, 10**6, 0.5), 0.2 * 1e6, rtol=2e-6)


def test_defaults_are_plain_single_example_sgd() -> None:
    hyper = ss.Hyperparameters(0.1)
    assert hyper.batch_size == 1
    assert float(hyper.momentum) == 0
    assert not hyper.has_momentum
    assert ss.Hyperparameters(0.1, momentum=[0.0, 0.1]).has_momentum
    assert not ss.Hyperparameters(0.1, momentum=[0.0, 0.0]).has_momentum


@pytest.mark.parametrize("batch", [3, np.int64(3), 3.0])
def test_a_whole_number_is_a_batch_size(batch: Any) -> None:
    assert ss.Hyperparameters(0.1, batch).batch_size == 3


# Round trips


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("rate", RATES)
def test_time_and_steps_invert_each_other(rate: Any, momentum: Any) -> None:
    time = hp.steps_to_time(1234.0, rate, momentum)
    expected = 1234.0 * np.asarray(rate) / (1 - np.asarray(momentum))
    np.testing.assert_allclose(time, expected, rtol=1e-5)
    steps = hp.time_to_steps(time, rate, momentum)
    np.testing.assert_allclose(steps, np.full(np.shape(time), 1234.0), rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 7, pytest.param(np.array([1, 7, 64]), id="array")])
@pytest.mark.parametrize("steps", [1000.0, pytest.param(np.array([0.0, 1.0, 1e6]), id="array")])
def test_epochs_and_steps_invert_each_other(steps: Any, batch: Any) -> None:
    epochs = hp.steps_to_epochs(steps, batch, 64)
    np.testing.assert_allclose(epochs, steps * np.asarray(batch) / 64, **CLOSE)
    back = hp.epochs_to_steps(epochs, batch, 64)
    np.testing.assert_allclose(back, np.broadcast_to(steps, np.shape(epochs)), **CLOSE)


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("rate", RATES)
def test_temperature_and_learning_rate_invert_each_other(rate: Any, momentum: Any) -> None:
    heat = hp.temperature(rate, 8, 2.5, momentum)
    expected = np.asarray(rate) * 2.5 / 8 / (1 - np.asarray(momentum))
    np.testing.assert_allclose(heat, expected, rtol=1e-5)
    back = hp.learning_rate_for_temperature(heat, 8, 2.5, momentum)
    np.testing.assert_allclose(back, np.broadcast_to(rate, np.shape(heat)), rtol=1e-5)


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("rate", RATES)
def test_methods_are_the_functions(rate: Any, momentum: Any) -> None:
    hyper = ss.Hyperparameters(rate, 4, momentum)
    effective = hp.effective_learning_rate(rate, momentum)
    pairs = [
        (hyper.effective_learning_rate, effective),
        (hyper.ratio, effective / 4),
        (hyper.temperature(2.0), hp.temperature(rate, 4, 2.0, momentum)),
        (hyper.diffusion(2.0), hp.temperature(rate, 4, 2.0, momentum) / 2),
        (hyper.time(9), hp.steps_to_time(9, rate, momentum)),
        (hyper.steps(9.0), hp.time_to_steps(9.0, rate, momentum)),
        (hyper.epochs(9, 12), hp.steps_to_epochs(9, 4, 12)),
        (hyper.noise_scale(12), hp.noise_scale(rate, 4, 12, momentum)),
    ]
    for method, function in pairs:
        np.testing.assert_array_equal(method, function)


# The same ratio


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_matching_keeps_the_ratio_whatever_is_changed(momentum: float) -> None:
    hyper = ss.Hyperparameters(0.1, 8, momentum)
    changes = [
        ({"batch_size": 32}, (0.4, 32, momentum)),
        ({"learning_rate": 0.4}, (0.4, 32, momentum)),
        ({"momentum": 0.9}, (0.01 / (1 - momentum), 8, 0.9)),
        ({"batch_size": 16, "momentum": 0.75}, (0.05 / (1 - momentum), 16, 0.75)),
        ({"learning_rate": 0.05, "momentum": 0.75}, (0.05, round(16 * (1 - momentum)), 0.75)),
        ({}, (0.1, 8, momentum)),
    ]
    for change, (rate, size, m) in changes:
        other = hyper.matching(**change)
        np.testing.assert_allclose([other.learning_rate, other.momentum], [rate, m], **CLOSE)
        assert other.batch_size == size
        assert other.has_momentum == (m > 0)
        np.testing.assert_allclose(other.ratio, hyper.ratio, **CLOSE)
        np.testing.assert_allclose(other.temperature(3.0), hyper.temperature(3.0), **CLOSE)


def test_matching_goes_back_and_forth_and_takes_arrays() -> None:
    hyper = ss.Hyperparameters(ARRAY, 8, [0.0, 0.5, 0.9])
    wide = hyper.matching(batch_size=24)
    np.testing.assert_allclose(wide.learning_rate, 3 * ARRAY, **CLOSE)
    narrow = wide.matching(learning_rate=ARRAY)
    assert narrow.batch_size == 8
    np.testing.assert_allclose(narrow.learning_rate, ARRAY, **CLOSE)
    plain = hyper.matching(momentum=0.0)
    assert not plain.has_momentum
    np.testing.assert_allclose(plain.ratio, hyper.ratio, **CLOSE)


def test_a_buffer_may_be_kept_without_momentum() -> None:
    assert ss.Hyperparameters(0.1, has_momentum=True).has_momentum
    assert ss.Hyperparameters(0.1, momentum=0.5, has_momentum=False).has_momentum
    assert jax.eval_shape(lambda m: ss.Hyperparameters(0.1, momentum=m), 0.0).has_momentum


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.4, "batch_size": 32}, "only if learning_rate or batch_size is free, got both"),
        ({"learning_rate": 0.13}, r"batch_size would be 10\.4 .* give batch_size and let"),
        ({"learning_rate": 0.001}, r"batch_size would be 0\.08"),
        ({"learning_rate": np.array([0.1, 0.2])}, "the same positive integer for all chains"),
        ({"learning_rate": -0.1}, "batch_size would be -8|learning_rate must be finite and > 0"),
        ({"batch_size": 2.5}, "batch_size must be an integer >= 1, got 2.5"),
        ({"momentum": 1.0}, "momentum must be finite and >= 0 and < 1, got 1"),
    ],
)
def test_what_nothing_matches_is_refused(change: Any, message: str) -> None:
    with refused(match=message):
        ss.Hyperparameters(0.1, 8).matching(**change)


# Leaves of a pytree


def test_rates_and_momenta_are_leaves_and_the_batch_size_is_not() -> None:
    leaves = jax.tree.leaves(ss.Hyperparameters(0.1, 4, 0.5))
    np.testing.assert_allclose(leaves, [0.1, 0.5], **CLOSE)


def test_a_new_rate_or_momentum_is_not_compiled_again() -> None:
    traces = []

    @eqx.filter_jit
    def heat(hyper: ss.Hyperparameters) -> jax.Array:
        traces.append(hyper)
        return hyper.temperature(1.0)

    for rate, momentum in [(0.1, 0.5), (0.2, 0.5), (0.3, 0.9)]:
        expected = rate / 4 / (1 - momentum)
        np.testing.assert_allclose(heat(ss.Hyperparameters(rate, 4, momentum)), expected, **CLOSE)
    assert len(traces) == 1
    heat(ss.Hyperparameters(0.1, 8, 0.5))  # B sets shapes
    assert len(traces) == 2
    heat(ss.Hyperparameters([0.1, 0.2], 8, 0.5))
    assert len(traces) == 3


def test_vmap_and_grad_pass_through() -> None:
    rates = jnp.asarray([0.1, 0.2])
    heat = jax.vmap(lambda rate: ss.Hyperparameters(rate, 2).temperature(3.0))(rates)
    np.testing.assert_allclose(heat, [0.15, 0.3], **CLOSE)
    slope = jax.grad(lambda m: ss.Hyperparameters(0.1, 2, m).temperature(3.0))(0.5)
    np.testing.assert_allclose(slope, 0.15 / 0.25, **CLOSE)


# Refusals

BAD_RATES = [
    (0.0, r"learning_rate must be finite and > 0, got 0\."),
    (-0.1, r"learning_rate must be finite and > 0, got -0\.1\."),
    (np.nan, r"learning_rate must be finite and > 0, got nan\."),
    (np.inf, r"learning_rate must be finite and > 0, got inf\."),
    ([0.1, -2.0], r"learning_rate must be finite and > 0, got -2 \(entry 1\)\."),
    ([], r"learning_rate must not be empty"),
    ("fast", r"learning_rate must be a real number or an array of them, got 'fast'\."),
    (None, r"learning_rate must be (a real number|finite)"),
    (1j, r"learning_rate must be a real number"),
    (
        np.ones((2, 2)),
        r"learning_rate must be a number or one for each chain, got an array of shape \(2, 2\)\.",
    ),
]
BAD_MOMENTA = [
    (1.0, r"momentum must be finite and >= 0 and < 1, got 1\. Plain SGD is momentum=0\."),
    (-0.1, r"momentum must be finite and >= 0 and < 1, got -0\.1\."),
    (np.nan, r"momentum must be finite and >= 0 and < 1, got nan\."),
    ([0.5, 1.5], r"momentum must be finite and >= 0 and < 1, got 1\.5 \(entry 1\)\."),
    (
        np.zeros((2, 1)),
        r"momentum must be a number or one for each chain, got an array of shape \(2, 1\)\.",
    ),
]
BAD_BATCHES: list[Any] = [0, -3, 2.5, np.nan, np.inf, True, "8", None, np.array([1, 2])]


@pytest.mark.parametrize(("rate", "message"), BAD_RATES)
def test_bad_learning_rates_are_refused(rate: Any, message: str) -> None:
    with refused(match=message):
        ss.Hyperparameters(rate)


@pytest.mark.parametrize(("momentum", "message"), BAD_MOMENTA)
def test_bad_momenta_are_refused(momentum: Any, message: str) -> None:
    with refused(match=message):
        ss.Hyperparameters(0.1, momentum=momentum)


@pytest.mark.parametrize("batch", BAD_BATCHES)
def test_bad_batch_sizes_are_refused(batch: Any) -> None:
    with refused(match=r"batch_size must be an integer >= 1, got "):
        ss.Hyperparameters(0.1, batch)


def test_rates_and_momenta_for_different_numbers_of_chains_are_refused() -> None:
    ss.Hyperparameters([0.1, 0.2], momentum=[0.5, 0.6])
    with refused(match=r"as many entries .* got shapes \(2,\) and \(3,\)"):
        ss.Hyperparameters([0.1, 0.2], momentum=[0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    "call",
    [
        lambda: ss.Hyperparameters(0.1).epochs(5, 0),
        lambda: ss.Hyperparameters(0.1).noise_scale(0),
        lambda: hp.steps_to_epochs(5, 1, 0),
        lambda: hp.epochs_to_steps(5, 1, 0),
        lambda: hp.noise_scale(0.1, 1, 0),
        lambda: hp.finite_population_factor(1, 0),
        lambda: hp.finite_population_factor(1, -1),
    ],
)
def test_an_empty_data_set_is_refused(call: Any) -> None:
    with refused(match="dataset_size must be an integer >= 1, got "):
        call()


@pytest.mark.parametrize("size", [2.5, None, "64"])
def test_a_data_set_size_that_is_no_integer_is_refused(size: Any) -> None:
    with pytest.raises(REFUSED):
        hp.noise_scale(0.1, 1, size)
    with refused(match="dataset_size must be an integer >= 1, got "):
        bare(hp.noise_scale)(0.1, 1, size)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    message = "batch_size must be <= dataset_size = 64"
    with refused(match=message + " without replacement, got 65"):
        hp.finite_population_factor(65, 64)
    with refused(match=message + ", got 65"):
        hp.noise_scale(0.1, 65, 64)
    with refused(match=message):
        ss.Hyperparameters(0.1, 65).noise_scale(64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hp.temperature(0.1, 4, -1.0), r"noise_variance must be finite and >= 0, got -1"),
        (lambda: hp.temperature(0.1, 4, np.nan), r"noise_variance must be finite and >= 0"),
        (lambda: hp.temperature(0.1, 0, 1.0), r"batch_size must be finite and > 0, got 0"),
        (lambda: hp.temperature(0.0, 4, 1.0), r"learning_rate must be finite and > 0, got 0"),
        (lambda: hp.temperature(0.1, 4, 1.0, 1.0), r"momentum must be finite and >= 0 and < 1"),
        (lambda: hp.effective_learning_rate(0.1, 1.0), r"momentum must be finite .* got 1"),
        (lambda: hp.steps_to_time(5, -0.1), r"learning_rate must be finite and > 0, got -0.1"),
        (lambda: hp.time_to_steps(5, np.inf), r"learning_rate must be finite and > 0, got inf"),
        (lambda: hp.noise_scale(np.nan, 1, 9), r"learning_rate must be finite and > 0, got nan"),
        (lambda: hp.noise_scale(0.1, 0, 9), r"batch_size must be finite and > 0, got 0"),
        (lambda: hp.epochs_to_steps(5, 0, 9), r"batch_size must be finite and > 0, got 0"),
        (
            lambda: hp.learning_rate_for_temperature(0.1, 4, 0.0),
            r"noise_variance must be finite and > 0, got 0",
        ),
        (
            lambda: hp.learning_rate_for_temperature(0.1, 0, 1.0),
            r"batch_size must be finite and > 0, got 0",
        ),
        (
            lambda: hp.learning_rate_for_temperature(0.1, 4, 1.0, 1.0),
            r"momentum must be finite .* got 1",
        ),
    ],
)
def test_functions_refuse_numbers_out_of_range(call: Any, message: str) -> None:
    with refused(match=message):
        call()


def test_zero_noise_has_zero_temperature() -> None:
    assert float(ss.Hyperparameters(0.1).temperature(0.0)) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1e-50,), "learning_rate must be finite and > 0, got 1e-50, which is 0 in float32"),
        (([0.1, 1e-40],), r"got 1e-40, which is 0 in float32 \(entry 1\)"),
        ((1e300,), "learning_rate must be .* which is inf in float32"),
        (
            (0.1, 1, 1 - 1e-8),
            "momentum must be .* < 1, got 0.99999999, which is 1 in float32. .*jax_enable_x64",
        ),
        ((0.1j,), "learning_rate must be a real number, got complex ones"),
        ((np.asarray([0.1 + 0j]),), "learning_rate must be a real number, got complex ones"),
    ],
)
def test_numbers_are_checked_as_they_are_kept(arguments, message):
    """What float32 rounds out of the range is refused; float64 keeps it."""
    with refused(match=message):
        ss.Hyperparameters(*arguments)
    if "x64" in message:
        with jax.enable_x64(True):
            assert float(ss.Hyperparameters(*arguments).momentum) < 1


KEPT = {
    "noise_variance": lambda: ss.problems.DoubleWell(noise_variance=1e300),
    "variances": lambda: ss.problems.Diagonal([1.0, 1e300]),
    "covariance": lambda: ss.problems.Full([[1e300]]),
    "hessian": lambda: ss.problems.Quadratic(1e-50),
    "hessian ": lambda: ss.problems.Quadratic([[1e300]]),
    "tilt": lambda: ss.problems.DoubleWell(tilt=1e300),
    "curvatures": lambda: ss.problems.TwoMinima(curvatures=(1e-50, 1.0)),
    "depths": lambda: ss.problems.TwoMinima(depths=(0.0, 1e300)),
    "temperature": lambda: ss.SGLD(ss.problems.DoubleWell(), ss.Hyperparameters(0.1), temperature=1e300),
    "learning_rate": lambda: ss.schedules.Stage(1, 1e-50, 1),
    "low": lambda: ss.Histogram(-1e300, 0.0),
    "high": lambda: ss.Histogram(1.0, 1 + 1e-9),
    "l2": lambda: ss.problems.linear_regression(ss.data.Dataset(np.eye(2), np.ones(2)), l2=1e300),
    "inputs": lambda: ss.data.Dataset(np.full((3, 2), 1e300), np.zeros(3)),
    "targets": lambda: ss.data.Dataset(np.ones((3, 2)), np.full(3, -1e300)),
}


@pytest.mark.parametrize("name", KEPT)
def test_every_number_is_checked_as_it_is_kept(name):
    with refused(match=rf"^{name.strip()} must be .*(in float32|is infinite there)"):
        KEPT[name]()


def test_a_sweep_refuses_what_it_would_label_wrongly():
    well, key = ss.problems.DoubleWell(), jax.random.key(0)
    for axes in (
        {"learning_rate": [0.1, 1e-50], "batch_size": 1},
        {"ratio": [0.1, 1e-50], "batch_size": 1},
        {"learning_rate": 0.1, "batch_size": 1, "momentum": [0.0, 1 - 1e-8]},
    ):
        with refused(match="in float32"):
            ss.sweep(ss.SGD, well, **axes, steps=5, key=key)


def test_complex_data_are_refused():
    with refused(match=r"inputs must hold real numbers, got complex ones \(complex128\)"):
        ss.data.Dataset(np.full((1, 1), 2j), np.zeros(1))
    with refused(match="targets must hold real numbers, got complex"):
        ss.data.Dataset(np.ones((1, 1)), np.zeros(1, complex))
