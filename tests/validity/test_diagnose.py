"""Six runs with known answers, each named for its own reason, from pilot data alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_agree, class_data, refused, some_as_scripts

import sde_sgd as ss
from sde_sgd import validity
from sde_sgd.validity import _causes

Q = ss.problems.Quadratic


def tilted():
    well = Q(np.diag([2.0, 1.0]))
    return ss.problems.TiltedNoiseData(well, dataset_size=64, key=jax.random.key(1))


def cases():
    """Name → (problem, η, B, m, sampling, steps), and the causes that must be named for SDE and Gibbs."""
    well, skewed = ss.problems.DoubleWell(), ss.problems.DoubleWell(noise_law="exponential")
    # alike but for numbers, so that one program does both
    steep = Q(np.diag([15.0, 1.0]), noise=ss.problems.Diagonal([1.0, 1.0]))
    uneven = Q(np.eye(2), noise=ss.problems.Diagonal([4.0, 0.25]))
    return {
        "fine": ((well, 0.02, 1, 0.0, "replacement", 3000), None, None),
        "a step too large": (
            (steep, 0.1, 2, 0.0, "replacement", 2000),
            "step size",
            "step size",
        ),
        "shuffled": ((tilted(), 0.05, 4, 0.0, "shuffle", 2000), "sampling", "sampling"),
        "skewed": ((skewed, 0.05, 1, 0.0, "replacement", 2000), "skewness", "skewness"),
        "anisotropic": ((uneven, 0.05, 2, 0.0, "replacement", 2000), None, "anisotropy"),
        "a momentum transient": ((well, 0.0005, 1, 0.99, "replacement", 600), "momentum", "momentum"),
    }


@functools.cache
def diagnosed(name, seed=0):
    problem, rate, batch, momentum, sampling, steps = cases()[name][0]
    hyper = ss.Hyperparameters(rate, batch, momentum)
    return validity.diagnose(problem, hyper, steps=steps, sampling=sampling, key=jax.random.key(seed))


def named(cause):
    return None if cause is None else cause.name


@pytest.mark.script
@pytest.mark.parametrize("name", cases())
def test_the_right_cause_is_named(name):
    _, sde, gibbs = cases()[name]
    found = diagnosed(name)
    assert (named(found.worst("sde")), named(found.worst())) == (sde, gibbs), str(found)
    assert found.sde_holds is (sde is None)
    assert found.gibbs_holds is (gibbs is None)
    assert found.verdict == ("yes" if sde is None else "no")
    said = str(found)
    assert ("SGD follows its SDE: yes" in said) == (sde is None)
    assert gibbs is None or f"because of {gibbs}" in said


@pytest.mark.parametrize("seed", some_as_scripts([1, 2], [2]))
@pytest.mark.parametrize("name", some_as_scripts(["fine", "anisotropic"], ["fine"]))
def test_no_false_alarm_with_other_keys(name, seed):
    assert diagnosed(name, seed).sde_holds


@pytest.mark.script
@pytest.mark.parametrize("name", ["fine", "a step too large", "shuffled", "anisotropic"])
def test_the_measured_temperatures_are_the_corrected_ones(name):
    """In the double well the curvature is not the same everywhere, so there to O(η) only."""
    along = diagnosed(name).directions
    slack = 0.03 * along.corrected if name == "fine" else 0.0
    error = np.hypot(along.measured_error, slack)
    assert_agree(along.measured, along.corrected, error)


@pytest.mark.script
def test_uncorrected_temperatures_are_seen_to_be_wrong():
    """The twin: the SDE's own temperatures are far from those of SGD, where something is wrong."""
    for name in ("a step too large", "shuffled"):
        along = diagnosed(name).directions
        assert np.max(np.abs(along.measured - along.predicted) / along.measured_error) > 8


@pytest.mark.script
def test_a_wrong_batch_size_has_no_explanation():
    """Planted: the pilot ran with B = 2 and is judged as if B were 3."""
    found = diagnosed("anisotropic")
    told = {"sampling": "replacement", "dataset_size": None, "steps": found.steps}
    ratio = float(ss.Hyperparameters(0.05, 3).ratio)
    judged = dataclasses.replace(found.pilot, sgd=dataclasses.replace(found.pilot.sgd, ratio=ratio))
    right, wrong = (
        {cause.name: cause.answer for cause in _causes.causes(pilot, found.hyper, **told)}
        for pilot in (found.pilot, judged)
    )
    assert (right["unexplained"], wrong["unexplained"]) == ("within", "beyond")


def test_what_diverges_is_a_step_too_large():
    steep = Q(np.diag([25.0, 1.0]), noise=ss.problems.Diagonal([1.0, 1.0]))
    found = validity.diagnose(steep, ss.Hyperparameters(0.1, 2), steps=500, key=jax.random.key(0))
    assert named(found.worst()) == "step size"
    assert "diverged" in str(found)
    assert found.weak_error is None


@pytest.mark.script
def test_a_network_of_few_examples():
    """Real minibatches: noise along the sharpest direction far above the mean; all numbers are there."""
    net = ss.problems.mlp(class_data(size=24), hidden=(6,))
    hyper = ss.Hyperparameters(0.02, 8)
    found = validity.diagnose(net, hyper, steps=300, chains=8, pilot_steps=150, key=jax.random.key(0))
    assert found.pilot.curvature.shape == (4,)
    assert np.all(found.pilot.curvature > 0)
    assert np.isfinite(found.directions.measured).all()
    assert named(found.worst()) == "anisotropy"
    assert found.weak_error is not None


@pytest.mark.script
def test_what_is_seen_at_a_place_is_exact(key):
    from sde_sgd.validity._pilot import _Along
    from sde_sgd.validity._view import look, mean_noise

    problem = ss.problems.mlp(class_data(size=24), hidden=(12,))
    theta = problem.init(key)
    covariance = np.asarray(problem.gradient_covariance(theta), np.float64)
    hessian = np.asarray(problem.hessian(theta))
    directions = jnp.linalg.qr(jax.random.normal(key, (len(hessian), 3)))[0].T
    seen = look(problem, [theta, theta], 3, directions, key)
    assert len(seen.curvature) == 2
    rows = np.asarray(problem.example_gradients(theta) @ directions.T, np.float64)
    np.testing.assert_allclose(seen.curvature[1], np.diag(directions @ hessian @ directions.T), atol=1e-4)
    np.testing.assert_allclose(seen.second[1], np.diag(directions @ covariance @ directions.T), atol=1e-5)
    np.testing.assert_allclose(
        seen.third[1], ((rows - rows.mean(axis=0)) ** 3).mean(axis=0), rtol=1e-2, atol=1e-6
    )
    np.testing.assert_allclose(seen.values[1], np.linalg.eigvalsh(hessian)[:-4:-1], rtol=1e-3)
    mean, error = mean_noise(seen.probes, len(hessian))
    assert_agree(mean, np.trace(covariance) / len(hessian), error)

    along = np.asarray(_Along(problem, directions)(theta))
    flat = np.asarray(jax.flatten_util.ravel_pytree(theta)[0])
    slope = jax.flatten_util.ravel_pytree(problem.gradient(theta))[0]
    np.testing.assert_allclose(along[:3], directions @ flat, atol=1e-5)
    np.testing.assert_allclose(along[3:6], directions @ slope, atol=1e-5)
    np.testing.assert_allclose(along[6:15].reshape(3, 3), directions @ covariance @ directions.T, atol=1e-5)
    np.testing.assert_allclose(along[15], problem.loss(theta), rtol=1e-5)


@pytest.mark.script
@pytest.mark.parametrize(
    ("rate", "variance", "exact"), [(0.3, 0.15, 1.41), (0.4, 0.1, 1.66), (0.5, 0.05, 2.02)]
)
def test_a_well_whose_curvature_is_not_the_same_everywhere(rate, variance, exact):
    """The exact variance within a well, by the chain's own law over Gibbs; a tenth for what a law is not."""
    well, hyper = ss.problems.DoubleWell(noise_variance=variance), ss.Hyperparameters(rate, 1)
    for seed in range(3):
        found = validity.diagnose(well, hyper, steps=2000, key=jax.random.key(seed))
        assert (found.verdict, named(found.worst("sde"))) == ("no", "step size"), str(found)
        (step,) = [cause for cause in found.causes if cause.name == "step size"]
        assert 1 + step.interval.low < 1.1 * exact
        assert 1 + step.interval.high > exact / 1.1


@pytest.mark.script
def test_a_step_too_large_where_the_loss_is_far_from_quadratic():
    """Logistic regression: 3.8 times the variance along e₁ by brute force, where 2/(2 − ηλ₁) is 2.5."""
    net = ss.problems.logistic_regression(ss.data.breast_cancer(), l2=0.05)
    start = ss.theory.refine_minimum(net, jax.tree.map(jnp.zeros_like, net.init(jax.random.key(0))), steps=30)
    for rate, answer in ((0.1, "yes"), (2.69, "no")):
        hyper = ss.Hyperparameters(rate, 32)
        found = validity.diagnose(net, hyper, steps=3000, initial=start, key=jax.random.key(5))
        assert found.verdict == answer, str(found)
    assert named(found.worst("sde")) == "step size"
    assert 2.8 < found.directions.variance_ratio[0] < 5


def test_progress_and_processes(capsys):
    well, hyper, key = ss.problems.DoubleWell(), ss.Hyperparameters(0.02, 1), jax.random.key(0)
    validity.diagnose(well, hyper, steps=3000, key=key, progress=True)
    assert "diagnose: 100%" in capsys.readouterr().err
    net = ss.problems.mlp(class_data(size=24), hidden=(6,))
    adam = ss.SGD(net, hyper, optimizer=optax.adam)
    for problem, options, message in (
        (net, {"optimizer": optax.adam}, "optimizer must be None"),
        (adam, {}, "problem must be a problem, got SGD with an optimizer"),
        (ss.SGD(net, hyper), {}, r"got a process, SGD: .*Use diagnose\(process.problem, process.hyper"),
    ):
        with refused(match=message):
            validity.diagnose(problem, hyper, steps=9, key=key, **options)


def test_bad_input(key):
    well, hyper = ss.problems.DoubleWell(), ss.Hyperparameters(0.05)
    with refused(match="learning_rate must be one number, got shape"):
        validity.diagnose(well, ss.Hyperparameters([0.1, 0.2]), steps=10, key=key)
    for options, message in (
        ({"chains": 2}, "chains must be an integer >= 4, got 2"),
        ({"steps": 0}, "steps must be an integer >= 2, got 0"),
        ({"directions_followed": 0}, "directions_followed must be an integer >= 1"),
    ):
        with refused(match=message):
            validity.diagnose(well, hyper, **{"steps": 10, "key": key, **options})
    with refused(match="problem"):
        validity.diagnose("well", hyper, steps=10, key=key)
