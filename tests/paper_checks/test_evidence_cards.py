"""Cards of evidence and of Gaussian noise: their statistics on made-up data, planted faults."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import class_data
from scipy import integrate

import sde_sgd as ss
from paper_checks._context import Context, Laws, folded
from paper_checks.bayesian_sgd import (
    _regression,
    evidence,
    evidence_test,
    laplace,
    noise_gaussian,
    reparameterisation,
)
from paper_checks.bayesian_sgd._regression import INFORMATIVE, RANDOM, Arm, Curves

SCRIPT = pytest.mark.script
LAMBDAS = np.array([0.01, 0.1, 1.0, 10.0, 100.0])


def context(card_id, **faults):
    """At smoke scale."""
    return Context("smoke", folded(jax.random.key(0), card_id), Laws(**faults), seed_key=jax.random.key(0))


def made_up(values, spread=0.1, splits=6, **others):
    """Curves of this evidence with a spread between splits."""
    noise = spread * np.random.default_rng(0).normal(size=(splits, len(values)))
    rows = np.asarray(values) + noise
    fields = {"evidence": rows, "likelihood": rows, "test": rows, "bound": 60.0, "guessing": np.log(2)}
    return Curves(LAMBDAS, **(fields | others))


def weighed(informative, random):
    """The three tests of the card."""
    return evidence.judged({INFORMATIVE: {"a": made_up(informative)}, RANDOM: {"a": made_up(random)}})


def test_evidence_is_high_over_a_range_and_that_of_random_labels_is_not():
    rejected = [-30, -20, -9, -3, 0]
    assert [one.met for one in weighed([20, 40, 45, 30, 3], rejected)] == [True, True, True]
    assert [one.met for one in weighed([3, 40, 45, 3, 3], rejected)] == [True, False, True]
    assert [one.met for one in weighed([3, 3, 4, 3, 3], rejected)] == [False, False, True]
    assert [one.met for one in weighed([20, 40, 45, 30, 3], [-30, -20, 2, 0, 0])] == [True, True, False]
    assert evidence.control({"a": made_up(rejected)}).met is False
    assert evidence.control({"a": made_up(rejected), "b": made_up([0, 0, 9, 0, 0])}).met is True


def test_a_width_is_that_around_the_peak():
    logs = np.log10(LAMBDAS)
    rows = np.array([[9, 3, 9, 10, 9], [9, 9, 10, 6, 6], [1, 2, 3, 2, 1], [6, 3, 1, 1, 1]], float)
    np.testing.assert_allclose(evidence.widths(logs, rows), [2, 4, 0, 0])


@pytest.mark.parametrize("classes", [2, 3])
def test_the_closed_form_is_the_evidence_of_the_library(classes):
    rng = np.random.default_rng(1)
    labels = np.arange(30) % classes
    inputs = (rng.normal(size=(30, 50)) + labels[:, None]).astype(np.float32)
    whole = ss.data.Dataset(inputs, labels, inputs[:5] + 1, labels[:5], classes=classes)
    data = _regression.in_span(whole)
    assert data.inputs.shape[1] == 30
    found = []
    for one in (data, whole):
        x, hot = _regression._arrays(one)
        at = _regression.fit(_regression._zeros(x, hot), x, hot, 2.0)
        assert np.abs(_regression._cost(at, x, hot, 2.0)[1]).max() < 1e-6
        found.append((*_regression.laplace(at, x, hot, 2.0), _regression.test_loss(at, one, 0.1)))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    problem = (ss.problems.logistic_regression if classes == 2 else ss.problems.softmax_regression)(data)
    start = jax.tree.map(np.zeros_like, problem.init(jax.random.key(0)))
    theta = ss.bayes.map_fit(problem, start, precision=2.0).theta
    library = ss.bayes.log_evidence(problem, theta, precision=2.0)
    np.testing.assert_allclose(found[0][:2], (library.value, library.likelihood), rtol=1e-4)


def test_the_test_loss_is_its_mean_over_flips():
    """One logit of 2 on two examples, of which the first is of class 1."""
    data = ss.data.Dataset(
        np.ones((2, 1), np.float32), [0, 1], np.ones((2, 1), np.float32), [1, 0], classes=2
    )
    right, wrong = np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))
    at = np.array([1.5, 0.5])
    assert _regression.test_loss(at, data, 0.0) == pytest.approx((right + wrong) / 2)
    one = dataclasses.replace(data, test_inputs=data.test_inputs[:1], test_targets=data.test_targets[:1])
    assert _regression.test_loss(at, one, 0.1) == pytest.approx(0.9 * right + 0.1 * wrong)


def test_agreement_of_evidence_and_test():
    falling = np.array([[0.5, 0.3, 0.1, 0.2, 0.6]])
    assert evidence_test.correlations(-falling, falling) == pytest.approx(1)
    assert evidence_test.correlations(falling, falling) == pytest.approx(-1)
    chosen = np.array([[0, 9, 1, 0, 0]])
    np.testing.assert_allclose(evidence_test.losses(chosen, falling, 0.7), [0.2 / 0.6])
    good = made_up([0.0, 1, 3, 2, -1], test=made_up([0.5, 0.3, 0.1, 0.2, 0.6], 0.01).evidence)
    bad = dataclasses.replace(good, evidence=-good.evidence)
    for what, met in ((good, True), (bad, False)):
        assert evidence_test.agreement_of({"a": good, "b": what}, "evidence").met is met
        assert evidence_test.lost({"a": good, "b": what}, "evidence").met is met


def test_the_grid_is_the_integral_and_says_where_it_is_not():
    x = np.array([-1.0, -0.5, 0.2, 0.4, 1.3])[:, None]
    y = np.array([0, 1, 0, 1, 1])

    def density(b, w):
        logits = (1 - 2 * y) * (w * x[:, 0] + b)
        return np.exp(-np.logaddexp(0, logits).sum() - 0.25 * (w * w + b * b)) * 0.5 / (2 * np.pi)

    exact = np.log(integrate.dblquad(density, -12, 12, -12, 12)[0]) + 5 * np.log(2)
    assert laplace.integral(x, y, 0.5, np.zeros(2)) == pytest.approx(exact, abs=1e-5)
    with pytest.raises(RuntimeError, match="the grid does not hold the integral"):
        laplace.integral(x, y, 0.5, np.array([60.0, 0.0]))


def test_the_largest_gap_of_the_approximation_counts():
    cases = [laplace.Case("a", 1.0, 2.0, 2.1), laplace.Case("b", 1.0, 2.0, 2.0)]
    assert laplace.judged(cases, "").met and laplace.judged(cases, "").estimate == pytest.approx(-0.1)
    assert not laplace.judged([*cases, laplace.Case("c", 1.0, 2.0, 1.8)], "").met
    values, labels = np.array([3.0, 1, 2, 5, 4, 6, 7, 0]), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    data = laplace.apart(-values, labels)
    weights = np.asarray(data.inputs)[:, 0]
    targets = np.asarray(data.targets)
    assert (len(weights), weights[targets == 0].min() > weights[targets == 1].max()) == (6, True)


def noise(draws, size=64):
    return noise_gaussian.Noise("start", "random", size, np.asarray(draws))


def test_gaussian_noise_passes_and_what_is_not_does_not():
    rng = np.random.default_rng(2)
    normal = [noise(row) for row in rng.normal(size=(27, 20_000))]
    heavy = noise(rng.standard_t(3, size=20_000) / 3**0.5)
    assert noise_gaussian.gaussian(normal, "").met
    assert not noise_gaussian.gaussian([*normal, heavy], "").met
    assert not noise_gaussian.gaussian([*normal, noise(1.3 * normal[0].draws)], "").met
    few = [noise(row) for row in rng.normal(size=(4, 800))]
    assert not noise_gaussian.gaussian(few, "").met  # too few to say


def test_mean_and_variance_of_noise_are_told():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(4, 20_000))
    assert all(noise_gaussian._mean(noise(row)).met for row in rows)
    assert not noise_gaussian._mean(noise(rows[0] + 0.12)).met
    same = [noise(row) for row in rows]
    assert noise_gaussian.variance(same, 64).met
    assert not noise_gaussian.variance([noise(1.04 * row) for row in rows], 64).met
    assert noise_gaussian.variance([*same, noise(9 * rows[0], 1)], 64).met


@SCRIPT
def test_sgd_that_takes_batches_of_another_size_has_another_noise():
    def one_more(problem, hyper, **options):
        other = ss.Hyperparameters(float(hyper.learning_rate), 2 * hyper.batch_size)
        return ss.SGD(problem, other, **options)

    sound = noise_gaussian.check(context("noise-gaussian"))
    assert sound.verdict == "reproduced"
    faulty = noise_gaussian.check(context("noise-gaussian", sgd=one_more))
    assert faulty.verdict != "reproduced"
    assert [one.met for one in faulty.measurements[:2]] == [False, False]


@SCRIPT
def test_evidence_without_its_occam_factor_is_noticed(monkeypatch):
    few = Arm("made up", lambda _: class_data())
    assert _regression.agreement(context("evidence"), [few]).met
    whole = ss.bayes.log_evidence

    def without(*args, **options):
        found = whole(*args, **options)
        return dataclasses.replace(found, value=found.value - found.occam)

    monkeypatch.setattr(ss.bayes, "log_evidence", without)
    assert not _regression.agreement(context("evidence"), [few]).met


def network(hidden=2):
    data = class_data()
    start = ss.problems.mlp(data, hidden=(hidden,)).init
    return ss.problems.EmpiricalRisk(reparameterisation.Network(), data, init=start)


def test_other_parameters_are_the_same_network():
    problem = network()
    theta = problem.init(jax.random.key(1))
    before = problem.predict(theta, problem.inputs)
    scales = reparameterisation.symmetry(theta, 3.0)
    moved = jax.tree.map(lambda leaf, by: leaf * jnp.float32(1) * by, theta, scales)
    np.testing.assert_allclose(problem.predict(moved, problem.inputs), before, atol=1e-5)
    units = reparameterisation.drawn_units(theta, jax.random.key(2))
    logs = np.log10(np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(units)]))
    assert np.ptp(logs) > 1 and np.abs(logs).max() <= 1
    other = reparameterisation.in_units(problem, units)
    moved = jax.tree.map(lambda leaf, unit: jnp.asarray(leaf / unit, leaf.dtype), theta, units)
    np.testing.assert_allclose(other.predict(moved, problem.inputs), before, atol=1e-5)


@SCRIPT
def test_the_evidence_stays_only_where_the_prior_is_carried_along():
    problem = network()
    fit = ss.bayes.map_fit(problem, problem.init(jax.random.key(1)), precision=1.0)
    prior = jax.tree.map(lambda leaf: np.ones(leaf.shape), fit.theta)
    before = reparameterisation.look(problem, fit.theta, prior)
    scales = reparameterisation.symmetry(fit.theta, 3.0)
    theta = jax.tree.map(np.multiply, fit.theta, scales)
    after = reparameterisation.look(problem, theta, reparameterisation.carried(prior, scales))
    left = reparameterisation.refitted(problem, fit.theta).value
    changes = {"carried": after.evidence - before.evidence}
    assert reparameterisation.judged(changes, "").met
    assert not reparameterisation.judged(changes | {"left": left - before.evidence}, "").met
    assert max(after.sharpness / before.sharpness, before.sharpness / after.sharpness) > 2
