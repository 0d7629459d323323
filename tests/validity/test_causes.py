"""The arithmetic of a diagnosis against numbers worked by hand, at m > 0 too, and on orbits of known T."""

import dataclasses
import math

import numpy as np
import pytest
from helpers import assert_agree
from made_up_pilots import judged, orbit, pilot, standard

import sde_sgd as ss
from sde_sgd.validity import LIMITS, Cause
from sde_sgd.validity import _causes as causes
from sde_sgd.validity._factors import sampling_factor, skewness_factor, step_size_factor
from sde_sgd.validity._finer import finer
from sde_sgd.validity._interval import Interval, of_log_ratio, of_mean, quantile
from sde_sgd.validity._skewness import noise_skewness

H = ss.Hyperparameters


def still(curvature=3.0, spread=0.5, **options):
    """Var θ = spread², ∂L = curvature θ, nothing grows: T = 2 · curvature · spread²."""
    theta = spread * standard((40, 16, 1))
    return orbit(theta, curvature * theta, **options)


@pytest.mark.parametrize(
    ("momentum", "used", "factor"),
    [
        (0.0, 1.0, 2.0),
        (0.5, 1.0, 1.5),
        (0.9, 1.9, 2.0),
        (0.5, 3.0, np.inf),
        (0.9, -1.0, 1.0),
        (0.0, 0.2, 1 / 0.9),
    ],
)
def test_step_size_factor(momentum, used, factor):
    """2(1 + m)/(2(1 + m) − ηλ): 3/(3 − 1) at m = ½ and ηλ = 1."""
    found = step_size_factor(np.array([used / 0.1]), H(0.1, 4, momentum))
    np.testing.assert_allclose(found, [factor], rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sampling_factor_of_subsets(momentum):
    """(N − B)/(N − 1) whatever the momentum."""
    found = sampling_factor(np.array([0.3, 4.0]), H(0.1, 16, momentum), "subset", 64)
    np.testing.assert_allclose(found, 48 / 63, rtol=1e-6)
    np.testing.assert_array_equal(sampling_factor(np.ones(2), H(0.1, 16, momentum), "replacement", 64), 1.0)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_sampling_factor_of_shuffled_epochs(momentum):
    """Against the covariance of (θ, v) iterated epoch by epoch, here by itself."""
    rate, curvature, size, batch = 0.1, 2.0, 24, 6
    step = np.array([[1 - rate * curvature, -rate * momentum], [curvature, momentum]])
    kick = np.array([-rate, 1.0])
    n = size // batch

    def variance(noise):
        """Of θ over the steps of an epoch whose batches have this covariance."""
        at, means = np.zeros((2, 2)), []
        for _ in range(400):
            means = []
            push = np.zeros((2, 0))
            power = np.eye(2)
            for _ in range(n):
                push = np.column_stack([step @ push, kick])
                power = step @ power
                filled = push @ noise[: push.shape[1], : push.shape[1]] @ push.T
                means.append((power @ at @ power.T + filled)[0, 0])
            at = power @ at @ power.T + push @ noise @ push.T
        return np.mean(means)

    own, cross = (size - batch) / (size - 1) / batch, -1 / (size - 1)
    shuffled = variance(cross + (own - cross) * np.eye(n)) / variance(np.eye(n) / batch)
    found = sampling_factor(np.array([curvature]), H(rate, batch, momentum), "shuffle", size)
    np.testing.assert_allclose(found, [shuffled], rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("used", [0.01, 0.25, 1.0, 1.8])
def test_skewness_factor_is_that_of_the_sum_over_kicks(momentum, used):
    """κ₃(θ)/Var(θ)^{3/2} of θ = −Σ u_l ξ_l, with the u_l from the recursion itself."""
    velocity, at, kicks = 1.0, -1.0, [-1.0]
    for _ in range(20_000):
        velocity = momentum * velocity + used * at
        at -= velocity
        kicks.append(at)
    kicks = np.array(kicks)
    expected = abs((kicks**3).sum()) / (kicks**2).sum() ** 1.5 / 2
    np.testing.assert_allclose(skewness_factor(np.array([used]), H(1.0, 4, momentum)), [expected], rtol=1e-5)


def test_skewness_factor_by_hand():
    # θ is the last kick alone where ηλ = 1; a = ½: (1 − ¼)^{3/2}/(1 − ⅛)
    found = skewness_factor(np.array([1.0, 0.5]), H(1.0, 4))
    np.testing.assert_allclose(found, [0.5, 0.75**1.5 / 0.875 / 2], rtol=1e-6)
    # small η: (2√2/3)(ηλ/((1 − m)B))^{1/2}
    small = skewness_factor(np.array([1.0]), H(1e-4, 4, 0.5))
    np.testing.assert_allclose(small, [2 * 2**0.5 / 3 * (1e-4 / 0.5 / 4) ** 0.5], rtol=2e-3)
    # a subset of half the examples is as skewed as the other half, to the other side: not at all
    subset = skewness_factor(np.array([1.0]), H(1.0, 4), "subset", 10)
    np.testing.assert_allclose(subset, [0.5 * 2 / 8 * (9 / 6) ** 0.5], rtol=1e-6)
    assert skewness_factor(np.array([1.0]), H(1.0, 5), "subset", 10) == 0
    assert skewness_factor(np.array([-1.0, 0.0]), H(1.0, 4)).max() == 0


def test_skewness_of_noise_takes_the_power_three_halves():
    value, error = noise_skewness(np.array([[2.0], [6.0]]), np.array([[10.0], [22.0]]), 0)
    np.testing.assert_allclose(value, [16 / 4**1.5])
    # leaving out one: 22/6^{3/2} and 10/2^{3/2}
    ends = np.array([22 / 6**1.5, 10 / 2**1.5])
    np.testing.assert_allclose(error, [abs(ends[0] - ends[1]) / 2])
    _, drawn = noise_skewness(np.array([[4.0]]), np.array([[0.0]]), 600)
    np.testing.assert_allclose(drawn, [0.1])


def test_temperature_of_a_law_at_rest():
    np.testing.assert_allclose(still().temperature().value, [2 * 3.0 * 0.25])


def test_temperature_of_free_diffusion_is_all_growth():
    """No force: Var θ = T t."""
    time = np.linspace(0.5, 4.5, 9)
    theta = standard((1, 16, 1)) * np.sqrt(0.7 * time)[:, None, None]
    found = orbit(theta, np.zeros_like(theta), time=time).temperature()
    np.testing.assert_allclose(found.value, [0.7])


def test_temperature_takes_half_of_the_ends():
    """Cov(θ, ∂L) = t² at t = 0, ½, 1: the trapezoidal rule makes (0/2 + ¼ + ½)/2 = .375 of it."""
    time = np.array([0.0, 0.5, 1.0])
    theta = np.repeat(standard((1, 16, 1)), 3, axis=0)
    found = orbit(theta, theta * (time**2)[:, None, None], time=time).temperature()
    np.testing.assert_allclose(found.value, [2 * 0.375])


def test_jackknife_of_a_mean_is_its_standard_error():
    """Exactly, so that no factor (n − 1)/n can hide."""
    noise = np.random.default_rng(0).exponential(size=(5, 7, 2))
    some = orbit(np.zeros((5, 7, 2)), np.zeros((5, 7, 2)), noise=noise)
    found = some._jackknife(lambda left: left.noise.mean(axis=(0, 1)))
    np.testing.assert_allclose(found.standard_error, noise.mean(axis=0).std(axis=0, ddof=1) / 7**0.5)
    assert found.freedom == 6


def test_errors_of_estimates_are_the_spread_between_pilots():
    """300 made-up pilots: their spread is known to 4 %, so .2 is five standard errors."""
    names = ("temperature", "excess", "warm_spread")
    values, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        theta = rng.normal(size=(8, 12, 1))
        slope = theta + 0.3 * rng.normal(size=theta.shape)
        some = orbit(theta, slope, noise=4.0)
        found = [getattr(some, name)() for name in names]
        values.append([one.value[0] for one in found])
        errors.append([one.standard_error[0] for one in found])
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(errors), axis=0)), np.std(values, axis=0), rtol=0.2)


def test_excess_is_the_step_times_the_agitation_over_the_temperature():
    """Var ∂L = 9 · .25, T = ½ · 2, step .1; half the noise makes twice the share."""
    np.testing.assert_allclose(still().excess().value, [math.log1p(0.225)])
    np.testing.assert_allclose(still(factor=0.5).excess().value, [math.log1p(0.45)])
    np.testing.assert_allclose(still(step=0.0).excess().value, [0.0])


def test_spreads_are_of_noise_over_curvature():
    some = still()
    np.testing.assert_allclose(some.cold_spread().value, [math.log(2 / 3)])
    np.testing.assert_allclose(some.spread().value, [math.log(2 / 3 * 1.225)])
    # ½ · 2 of it is T, and h is 3: ln(1.5/½/3) = 0
    np.testing.assert_allclose(some.warm_spread().value, [0.0], atol=1e-12)
    np.testing.assert_allclose(some.warmth().value, [math.log(1.5)])
    np.testing.assert_allclose(some.unexplained().value, [math.log(1.5 / 1.225)])
    np.testing.assert_allclose(still(factor=0.8).unexplained().value, [math.log(1.5 / 0.8 / 1.28125)])
    # the curvature comes without error
    assert some.cold_spread().standard_error < 1e-12


def test_a_chain_that_leaves_for_another_well_does_not_change_the_curvature_felt():
    theta = 0.1 * standard((40, 16, 1))
    slope = 3 * theta
    theta[23:, 5] += 2.0
    np.testing.assert_allclose(orbit(theta, slope).cold_spread().value, [math.log(2 / 3)], atol=0.01)


def test_too_little_is_no_estimate():
    for shape in ((2, 16, 1), (40, 3, 1)):
        some = orbit(np.ones(shape), np.ones(shape))
        assert not some.is_enough
        assert np.isnan(some.temperature().value).all()


def test_intervals_by_hand():
    assert quantile(31) == pytest.approx(2.7440, abs=1e-4)
    half = 2.7440 * 0.02
    effect, interval = of_log_ratio(math.log(1.2), 0.02, 31)
    assert effect == pytest.approx(0.2)
    assert interval == pytest.approx((1.2 * math.exp(-half) - 1, 1.2 * math.exp(half) - 1), abs=1e-5)
    # to the other side of 1, and astride it
    assert of_log_ratio(-math.log(1.2), 0.02, 31)[1] == pytest.approx(interval)
    assert of_log_ratio(0.01, 0.02, 31)[1] == pytest.approx((0.0, math.expm1(0.01 + half)), abs=1e-5)
    assert of_log_ratio(math.nan, 0.1, 31)[1] == (0.0, math.inf)
    assert of_mean(np.array([1.0, 2.0, 3.0]))[1] == pytest.approx((2 - 5.7301, 2 + 5.7301), abs=1e-3)
    assert of_mean(np.array([1.0]))[1] == (-math.inf, math.inf)


def test_intervals_hold_what_they_should():
    """.99 of 4000 made-up means: 5 standard errors are .008."""
    values = np.random.default_rng(1).normal(size=(4000, 5))
    held = [low < 0 < high for _, (low, high) in map(of_mean, values)]
    assert abs(np.mean(held) - 0.99) < 0.008


def test_answers_and_how_much_more_would_tell():
    assert Interval(0.0, 0.09).answer(0.1) == "within"
    assert Interval(0.11, 0.2).answer(0.1) == "beyond"
    assert Interval(0.05, math.inf).answer(0.1) == "cannot tell"
    # half a width of .06 must become one of .03
    assert Interval(0.01, 0.13).pilots_needed(0.07, 0.1) == pytest.approx(4)
    assert Interval(0.0, 0.05).pilots_needed(0.07, 0.1) == 1
    assert Interval(0.05, 0.15).pilots_needed(0.1, 0.1) == math.inf
    cause = Cause("step size", "sde", 0.07, 0.1, Interval(0.01, 0.13), "")
    assert (cause.answer, cause.holds, cause.severity) == ("cannot tell", True, pytest.approx(0.7))
    assert cause.standard_error == pytest.approx(0.06 / 2.576)


def test_all_is_within_where_nothing_is_wrong():
    found = judged()
    assert {cause.answer for cause in found.values()} == {"within"}
    assert set(found) == set(LIMITS)


def test_step_size_is_the_variance_over_that_in_small_steps():
    """e = .3 along the first direction; there half the noise was felt and twice the curvature."""
    base = pilot().sgd
    spread = base.slope.var(axis=1, ddof=1).mean(axis=0)[0]
    hot = dataclasses.replace(base, step=0.3 * 2.0 / spread)
    cold = dataclasses.replace(base, noise=0.5 * base.noise, step=0.0)
    stiff = dataclasses.replace(cold, slope=2 * base.slope)
    for other, ratio in ((None, 1.3), (dataclasses.replace(base, step=0.0), 1.3), (cold, 2.6), (stiff, 5.2)):
        cause = judged(pilot(sgd=hot, finer=other))["step size"]
        assert cause.effect == pytest.approx(ratio - 1, rel=1e-6)
        assert cause.interval.low < cause.effect < cause.interval.high
        assert cause.answer == "beyond"
        assert f"{ratio:.3g} times" in cause.text


ONE_SIDE = 0.2659615203  # 2/(3√(2π))


def test_the_shape_of_the_noise_is_no_fault_of_the_step():
    """Variances of SGD, of SGD with Gaussian noise and of the SDE as 1.5 : 1.25 : 1, and θ leans by .6 more
    than with Gaussian noise. Without that run all of it would be the step's, and the skewness .75 by theory.
    """
    base = pilot().sgd
    gaussian = dataclasses.replace(base, noise=base.noise / 1.2)
    cold = dataclasses.replace(base, noise=base.noise / 1.5, step=0.0)
    hyper = H(1.0, 4)
    skewed = {"noise_skewness": np.array([1.5, 0.0]), "finer": cold}
    alone = judged(pilot(**skewed), hyper)
    assert alone["skewness"].effect == pytest.approx(0.75)
    assert alone["step size"].effect == pytest.approx(0.5, abs=0.002)
    leaning = {"skewness": np.array([0.7, 0.0]), "gaussian_skewness": np.array([0.1, 0.0])}
    found = judged(pilot(**skewed, gaussian=gaussian, **leaning), hyper)
    assert found["step size"].effect == pytest.approx(0.25, abs=0.002)
    larger = 1.2 * (1 + ONE_SIDE * 0.6)
    assert found["skewness"].effect == pytest.approx((larger - 1) / ONE_SIDE, abs=0.01)
    assert found["skewness"].interval == pytest.approx((found["skewness"].effect,) * 2, abs=0.02)
    assert f"{larger:.3g} times the variance, on one side" in found["skewness"].text
    assert found["skewness"].answer == found["step size"].answer == "beyond"


def test_the_shape_of_the_noise_is_as_uncertain_as_the_two_skewnesses():
    """At .001 on 63 degrees of freedom t(.995) = 2.656; errors of .03 and .04 make .05. A ratio below 1, as a
    light-tailed noise makes it, counts by its inverse."""
    base, hyper = pilot().sgd, H(1.0, 4)
    skewed = {"noise_skewness": np.array([1.5, 0.0]), "gaussian": base, "finer": base}
    errors = {"skewness_error": np.array([0.03, 0.0]), "gaussian_skewness_error": np.array([0.04, 0.0])}
    cause = judged(pilot(**skewed, skewness=np.array([0.5, 0.0]), **errors), hyper)["skewness"]
    assert cause.effect == pytest.approx(0.5, abs=1e-3)
    assert cause.interval == pytest.approx((0.5 - 0.1328, 0.5 + 0.1328), abs=0.02)
    assert cause.answer == "cannot tell"
    skewed["gaussian"] = dataclasses.replace(base, noise=1.5 * base.noise)
    smaller = judged(pilot(**skewed), hyper)["skewness"]
    assert smaller.effect == pytest.approx(0.5 / ONE_SIDE, abs=0.01)


def test_a_skewness_that_theory_finds_small_is_not_asked_about():
    base = pilot().sgd
    far = dataclasses.replace(base, noise=base.noise / 2)
    mild = {"noise_skewness": np.array([0.5, 0.0]), "gaussian": far, "finer": far}
    cause = judged(pilot(**mild), H(1.0, 4))["skewness"]
    assert cause.effect == pytest.approx(0.25)
    assert cause.answer == "within"


def test_a_curvature_beyond_the_edge_forbids_a_yes():
    """ηλ₁ of 1.9 ± .1 and of 1 ± .6: the interval's upper end is beyond the edge in the latter."""
    hyper = H(1.0, 1)
    steep = judged(pilot(sharpest=np.array([1.8, 1.9, 1.9, 2.0])), hyper)["step size"]
    assert (steep.answer, steep.interval.high) == ("cannot tell", math.inf)
    unknown = orbit(np.full((30, 64, 2), np.nan), np.full((30, 64, 2), np.nan))
    lost = {"sgd": unknown, "finer": None}
    wide = judged(pilot(sharpest=np.array([0.4, 1.0, 1.6]), **lost), hyper)["step size"]
    assert wide.effect == pytest.approx(1.0)
    assert wide.interval == (0.0, math.inf)
    exact = judged(pilot(sharpest=np.full(3, 0.5), **lost), H(1.0, 1, 0.5))["step size"]
    assert (exact.effect, *exact.interval) == pytest.approx([0.2, 0.2, 0.2])


def test_divergence_is_a_step_too_large():
    cause = judged(pilot(diverged=3))["step size"]
    assert (cause.answer, cause.effect) == ("beyond", math.inf)
    assert "3 of 64 chains diverged" in cause.text


def test_sampling_is_judged_at_both_ends_of_the_curvature():
    """Shuffled epochs leave less where it is flatter: .2 to 1.8 about 1."""
    curvatures = np.array([[0.8, 0.5], [1.0, 0.5], [1.2, 0.5]])
    hyper = H(0.5, 4)
    cause = judged(pilot(curvatures=curvatures), hyper, sampling="shuffle", size=64)["sampling"]
    at = 1 - sampling_factor(np.array([0.5, 1.0]), hyper, "shuffle", 64)
    assert cause.effect == pytest.approx(at[0])
    assert cause.interval.low == pytest.approx(at[0])
    assert cause.interval.high >= 1 - sampling_factor(np.array([1e-6]), hyper, "shuffle", 64)[0] - 0.3
    subset = judged(pilot(), H(0.5, 16), sampling="subset", size=64)["sampling"]
    assert (subset.effect, *subset.interval) == pytest.approx([15 / 63] * 3, rel=1e-6)


def test_momentum_is_the_share_of_its_start():
    cause = judged(hyper=H(0.001, 1, 0.9), steps=90)["momentum"]
    assert (cause.effect, *cause.interval) == pytest.approx([0.1] * 3)
    assert (cause.answer, judged(hyper=H(0.001, 1, 0.5), steps=100)["momentum"].answer) == (
        "beyond",
        "within",
    )


def test_measured_and_unexplained_see_a_wrong_temperature():
    """The pilot is 1.5 times as hot as its noise makes it, in a direction and in the other."""
    base = pilot().sgd
    for factor, effect in ((1.5, 0.5), (1 / 1.5, 0.5)):
        hot = dataclasses.replace(base, noise=base.noise / factor)
        found = judged(pilot(sgd=hot, finer=dataclasses.replace(hot, step=0.0)))
        for name in ("measured", "unexplained"):
            assert_agree(found[name].effect, effect, 2 * found[name].standard_error)
            assert found[name].answer == "beyond"


def test_directions_that_do_not_come_to_rest_are_not_judged():
    base = pilot().sgd
    odd = dataclasses.replace(base, noise=base.noise * np.array([1.0, 5.0]))
    assert judged(pilot(sgd=odd, finer=odd))["measured"].answer == "beyond"
    flat = pilot(sgd=odd, finer=odd, curvature=np.array([1.0, 0.05]))
    assert judged(flat)["measured"].answer == "within"
    np.testing.assert_array_equal(causes.directions(flat).resolved, [True, False])


def test_anisotropy_by_hand():
    """Eigenvalues 4 and 1 over a mean of 2.5 ± .1: 1/.4 − 1; t of 15 degrees is 2.947."""
    cause = judged(pilot(noise_covariance=np.diag([4.0, 1.0]), mean_noise_variance=(2.5, 0.1)))["anisotropy"]
    assert cause.effect == pytest.approx(1.5)
    assert cause.interval == pytest.approx((2.5 - 0.2947 - 1, 2.5 + 0.2947 - 1), abs=1e-3)
    turn = np.array([[1, 1], [-1, 1]]) / 2**0.5
    turned = judged(
        pilot(noise_covariance=turn @ np.diag([4.0, 1.0]) @ turn.T, mean_noise_variance=(2.5, 0.0))
    )
    assert turned["anisotropy"].effect == pytest.approx(1.5)


def test_no_noise_is_not_anisotropic():
    cause = judged(pilot(noise_covariance=np.zeros((2, 2)), mean_noise_variance=(0.0, 0.0)))["anisotropy"]
    assert (cause.effect, cause.answer, cause.text) == (0.0, "within", "there is no gradient noise")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_small_steps_are_of_the_same_sde(momentum):
    """η/((1 − m)B), and no step above a tenth of a relaxation time or a quarter of SGD's own."""
    data = ss.problems.logistic_regression(ss.data.breast_cancer(), l2=0.1)
    many = 10**12
    for rate, batch, sharpest in ((0.1, 32, 0.5), (0.1, 32, 30.0), (0.5, 3, 2.0), (0.01, 1, 1.0)):
        hyper = H(rate, batch, momentum)
        made = finer(data, hyper, sharpest, 100, many)
        units = made.process.hyper
        assert float(units.ratio) == pytest.approx(float(hyper.ratio))
        assert made.units * float(units.learning_rate) == pytest.approx(float(hyper.effective_learning_rate))
        assert made.step == pytest.approx(float(units.learning_rate) / made.process.l)
        assert made.step <= float(hyper.effective_learning_rate) / 4 * 1.001
        assert made.step * sharpest <= 0.1001
        exact = finer(data, hyper, sharpest, 100, 31)
        assert (exact.units, exact.process.hyper) == (1, hyper)
        assert exact.step == pytest.approx(float(hyper.effective_learning_rate) / exact.process.substeps)
        assert exact.step * sharpest <= 0.1001
    well = finer(ss.problems.DoubleWell(), H(0.2, 2, momentum), 2.0, 100, 1)
    assert (well.step, well.units, well.process.substeps) == (0.0, 1, 4 if momentum == 0 else 64)
    assert finer(data, H(1.0, 1), 100.0, 10_000, many) is None
