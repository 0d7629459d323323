"""Cards of the diffusion theory: what judges them, and planted faults that turn them red."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sde_sgd as ss
from paper_checks._context import Context, Laws, folded
from paper_checks.diffusion_theory import (
    _arms,
    _bowls,
    _escapes,
    covariance,
    data,
    gaussian_noise,
    prefactor,
    saddle,
    sgd_sharpness,
    white_noise,
)
from paper_checks.diffusion_theory import exponential_or_polynomial as laws
from paper_checks.diffusion_theory._escapes import Escape
from paper_checks.diffusion_theory._forms import Times
from paper_checks.diffusion_theory._near import least_shown, near

SCRIPT = pytest.mark.script


def context(card_id, **faults):
    """At smoke scale."""
    return Context("smoke", folded(jax.random.key(0), card_id), Laws(**faults))


def test_near_holds_its_level_at_the_margin_and_finds_what_is_within():
    """5 % of 4000 numbers at the margin pass, ± 5 standard errors; nearly all in the middle do."""
    rng = np.random.default_rng(0)
    passed = [near("", 1.1 + 0.02 * z, 0.02, to=1.0, margin=0.1, n=1).met for z in rng.normal(size=4000)]
    assert abs(np.mean(passed) - 0.05) < 5 * (0.05 * 0.95 / 4000) ** 0.5
    assert (
        np.mean([near("", 0.02 * z, 0.02, to=0.0, margin=0.1, n=1).met for z in rng.normal(size=99)]) > 0.95
    )
    one, many = (near("", 0.06, 0.02, to=0.0, margin=0.1, n=1, tests=tests) for tests in (1, 4))
    assert many.p == pytest.approx(4 * one.p) and one.met and not many.met
    assert least_shown([one, many]) is many
    assert near("", float("nan"), float("nan"), to=0.0, margin=0.1, n=1).met is False


def found(factor, cosine, seed=0):
    """Eight made-up replicates with C/H at a factor, and a cosine."""
    rng = np.random.default_rng(seed)
    mu = factor * np.exp(0.05 * rng.normal(size=(8, 5)))
    return covariance.Found(np.tanh(np.arctanh(cosine) + 0.05 * rng.normal(size=8)), np.full(8, np.nan), mu)


def test_a_covariance_that_is_the_hessian_but_for_a_constant_is_told_from_one_that_is():
    """A cosine sees no constant."""
    equal, scaled = found(1.0, 0.97), found(0.3, 0.97)
    assert all(one.met for one in covariance._factors("", {"a": equal}))
    assert not any(one.met for one in covariance._factors("", {"a": scaled}))
    assert all(one.met for one in covariance._cosines("", {"a": scaled}))
    both = covariance._cosines("", {"a": equal, "b": found(1.0, 0.8)})
    assert covariance._furthest(both, -1) is both[1] and not both[1].met


@pytest.mark.script
@pytest.mark.parametrize(
    "arm",
    [pytest.param(_arms.ARMS[1], id="logistic"), pytest.param(_arms.ARMS[3], id="network", marks=SCRIPT)],
)
def test_with_labels_of_the_model_the_covariance_is_the_fisher_information(arm):
    """Every μ is 1 but for sampling: of 2240 examples and more within 30 %, of 5 directions."""
    given = context("covariance")
    problem = _arms.on_a_half(given, arm, 0)
    theta = _arms.random_point(given, arm, problem, 0)
    own = _arms.with_labels_of_the_model(problem, theta, 16, jax.random.key(1))
    near_one = ss.curvature.alignment(own, theta, 5, samples=2, matrix="gauss_newton", key=jax.random.key(2))
    np.testing.assert_allclose(near_one.generalised, np.ones(5), atol=0.3)


@pytest.mark.script
def test_the_index_of_gaussian_and_of_heavy_tailed_draws():
    """Over "minibatches" that are Gaussian α is 2, of Student's t₃ it is not: the control."""
    draws = np.random.default_rng(0).normal(size=(16, 500, 32))
    assert gaussian_noise._over_minibatches(draws).mean() == pytest.approx(0.5, abs=0.01)
    heavy = gaussian_noise._heavy_tails(context("gaussian-noise"), 8000)
    assert gaussian_noise._over(heavy, None, 1).met is False


def made_up_rate(log_time, exits=10_000):
    """Of an escape that took so many steps, with η = 1."""
    return ss.escape.EscapeRate(
        rate=float(np.exp(-log_time)),
        interval=(0.0, 1.0),
        exits=exits,
        exposure=exits,
        level=0.95,
        exponential=None,
        learning_rate=1.0,
    )


def made_up(log_time, exits=10_000):
    """An escape that took so long, in SDE time with η = 1."""
    return Escape(made_up_rate(log_time, exits), 1.0)


def test_the_line_through_times_of_escape():
    x = np.array([1.0, 2.0, 4.0])
    slope, error, intercept = _escapes.line(x, [made_up(3 + 2 * one) for one in x])
    assert (slope, intercept) == pytest.approx((2, 3))
    assert error == pytest.approx(0.01 / (x.var() * 3) ** 0.5)


def test_the_two_laws_are_told_apart():
    k = laws.FACTORS
    exponential = [made_up(6.5 / one - np.log(one)) for one in k]
    power = [made_up(6.5 - 5 * np.log(one)) for one in k]
    assert laws._law("", exponential, 6.5 / k).met
    assert not laws._law("", power, 6.5 / k).met
    assert laws._law("", power, -4 * np.log(k)).met
    assert not laws._law("", exponential, -4 * np.log(k)).met


SIZES = np.array(data.SIZES) / max(data.SIZES)


def over_sizes(form, seed=0, exits=1000):
    """Times of escape of a form over x, with the errors of so many exits."""
    noise = np.random.default_rng(seed).normal(size=len(SIZES)) * exits**-0.5
    times = Times(SIZES, [made_up_rate(one, exits) for one in form(SIZES) + noise])
    return data.Sweep("made up", "B", {data.DATA: times})


def straight(x):
    return 2 + 6 * x


def power_law(x):
    return 7 + 4 * np.log(x)


def bent(x):
    """A bowl of twelve directions: c = 6."""
    return 12 * x - 6 * np.log(x)


def test_each_form_of_times_is_found_where_it_is_true():
    """Over 200 seeds; the threshold of an AIC of 10 lies more than three standard errors off."""
    for seed in range(200):
        assert data._evidence([over_sizes(straight, seed)]).met
        assert not data._evidence([over_sizes(power_law, seed)]).met
    exact = over_sizes(bent, exits=10**10).data
    assert exact.prefactor.coefficients[2] == pytest.approx(6, abs=0.01)
    reach = 6 * (1 / SIZES[0] - 1)
    assert exact.bend[0] == pytest.approx(reach / exact.slope[0], rel=1e-3)


def test_the_errors_of_a_fit_are_those_of_many_seeds():
    """Slope and bend scatter as they say, ± 5 standard errors of 400 seeds; so does χ² by its 3 degrees."""
    found = [over_sizes(straight, seed).data for seed in range(400)]
    for name in ("slope", "bend"):
        values, errors = np.array([getattr(one, name) for one in found]).T
        assert abs(values.std() / errors.mean() - 1) < 5 / 800**0.5
    chi = np.array([one.exponential.chi_squared for one in found])
    assert abs(chi.mean() - 3) < 5 * (6 / 400) ** 0.5


def test_what_is_bent_is_not_straight_and_the_worst_sweep_counts():
    flat, curved = over_sizes(straight, exits=4000), over_sizes(bent, exits=4000)
    assert data._bend([flat]).met
    assert not data._bend([flat, curved]).met
    assert data._bend([flat, curved]).estimate == curved.data.bend[0]
    both = [flat, over_sizes(power_law, exits=4000)]
    assert data._evidence(both).estimate == both[1].data.evidence < 0
    assert data._r_squared(both).estimate == both[1].data.r_squared
    assert data._r_squared([flat]).met


@pytest.mark.script
def test_the_level_is_what_the_parabola_reaches_on_average():
    """½ Tr HΣ is B times less at B times more, and L's mean over SGD at small η, within 5 %."""
    given = context("data")
    at = _bowls.bowl(given, data.ARMS[0])
    small = ss.Hyperparameters(0.1 * at.rate, 8)
    assert at.mean_loss(small) == pytest.approx(2 * at.mean_loss(ss.Hyperparameters(0.1 * at.rate, 16)))
    assert at.height == pytest.approx(2.4 * 10 * at.mean_loss(small))
    process = given.sgd(at.problem, small)
    result = given.run("level", process, chains=2000, steps=1000, initial=at.minimum)
    losses = np.asarray(jax.vmap(at.problem.loss)(result.theta)) - at.loss
    error = float(losses.std()) / 2000**0.5
    expected = at.mean_loss(small)
    assert float(losses.mean()) == pytest.approx(expected, abs=0.05 * expected + 5 * error)


@pytest.mark.script
def test_as_many_chains_leave_as_are_asked_for(monkeypatch):
    """And a bowl without a way out is given up."""
    monkeypatch.setattr(_bowls, "LONGEST", 1000)
    given = context("data")
    at = _bowls.bowl(given, data.ARMS[0])
    hyper = ss.Hyperparameters(at.rate, 8)
    assert _bowls.leave(given, "enough", at, hyper, 300, at.height).exits >= 300
    found = _bowls.leave_parabola(given, "none", at, hyper, 300, 1e-6 * at.covariance)
    assert not found.exits


def twice_the_batch(problem, hyper, **options):
    """Half the noise: B is 2B."""
    return ss.SGD(problem, ss.Hyperparameters(hyper.learning_rate, 2 * hyper.batch_size), **options)


def less_noise(problem, hyper, **options):
    """A tenth of the variance gone."""
    noise = ss.problems.Isotropic(0.9 * problem.noise.sigma_squared)
    return ss.SGD(eqx.tree_at(lambda one: one.noise, problem, noise), hyper, **options)


@pytest.mark.script
def test_a_time_of_escape_is_that_of_the_chain():
    """And with a tenth of the noise gone it is not; exits are counted as Poisson numbers."""
    start = jnp.array([white_noise.START])
    for law, is_right in ((ss.SGD, True), (less_noise, False)):
        problem, hyper = white_noise._problem(4.0)
        found = _escapes.escape(
            context("white-noise", sgd=law),
            "one",
            problem,
            hyper,
            start=start,
            target=white_noise.TARGET,
            exits=4000,
        )
        assert (abs(found.log_time - white_noise._chain(4.0)) < 5 * found.error) is is_right


def unmet(card, **faults):
    """Numbers of the measurements that are not met."""
    outcome = card.check(context(card.id, **faults))
    return [number for number, one in enumerate(outcome.measurements) if one.met is False]


@pytest.mark.script
@pytest.mark.parametrize(
    ("card", "red"),
    [
        (sgd_sharpness.CARD, [0, 1, 2]),
        (prefactor.CARD, [0, 1]),
        (laws.CARD, [0, 1, 2]),
        (saddle.CARD, [0, 1]),
    ],
    ids=lambda one: getattr(one, "id", None),
)
def test_half_the_noise_is_noticed(card, red):
    assert unmet(card, sgd=twice_the_batch) == red


@pytest.mark.script
def test_noise_that_does_not_fall_with_the_batch_size_is_noticed():
    """Times over B are flat then: neither form is ahead, and nothing is straight."""

    def same(problem, hyper, **options):
        return ss.SGD(problem, ss.Hyperparameters(hyper.learning_rate, 8), **options)

    assert unmet(data.CARD, sgd=same)[:2] == [0, 1]


@pytest.mark.script
def test_noise_that_is_gaussian_at_any_batch_size_is_noticed():
    """Its excess kurtosis does not fall as 1/B."""

    def gaussian(problem, hyper, **options):
        return ss.Langevin(problem, hyper, substeps=1, solver=diffrax.Euler(), **options)

    outcome = gaussian_noise.CARD.check(context("gaussian-noise", sgd=gaussian))
    assert outcome.measurements[0].met and outcome.measurements[-1].met is False
