"""Cards of the best batch size: what judges them, on made-up curves; and laws that they must notice."""

import jax
import numpy as np
import pytest
from scipy import stats

import sde_sgd as ss
from paper_checks._context import Context, Laws
from paper_checks.bayesian_sgd import _noise_grid, _optima, bopt_n, collapse, peak, regularised_gap
from paper_checks.bayesian_sgd._noise_grid import BASE, Arm
from paper_checks.bayesian_sgd._optimum import Curve, fall, power, proportional, top

KEY = jax.random.key(0)
SEEDS = 10
RATES = (0.0125, 0.025, 0.05, 0.1)


def bump(batches, best, rng, noise=0.003, seeds=SEEDS, bend=0.01):
    """Accuracy with a top at B = best, a parabola in ln B, and noise."""
    curve = 0.9 - bend * np.log(batches / best) ** 2
    return curve[:, None] + noise * rng.normal(size=(len(batches), seeds))


def arm(rate, momentum, best, rng, noise=0.003):
    """Loss above .1 below half of the best B."""
    batches = np.array(_noise_grid.window(rate, momentum), float)
    loss = (
        np.log(0.1) - 2 * np.log(2 * batches / best)[:, None] + 0.1 * rng.normal(size=(len(batches), SEEDS))
    )
    name = f"η = {rate:g}, m = {momentum:g}"
    accuracy = bump(batches, best, rng, noise)
    return Arm(rate, momentum, Curve(name, batches, accuracy), Curve(name, batches, loss))


def arms(exponent, seed=0, noise=0.003):
    rng = np.random.default_rng(seed)
    return [arm(rate, 0.9, 32 * (rate / 0.1) ** exponent, rng, noise) for rate in RATES]


def test_the_top_is_that_of_the_parabola():
    batches = np.array([8, 11, 16, 23, 32, 45, 64.0])
    for best in (14.0, 20.0, 30.0):
        values = 0.9 - 0.02 * np.log(batches / best) ** 2
        assert np.exp(top(np.log(batches), values)) == pytest.approx(best, rel=1e-6)


def test_a_highest_point_at_the_end_is_no_optimum():
    rng = np.random.default_rng(0)
    batches = np.array([8, 16, 32, 64.0])
    inside, outside = (Curve("", batches, bump(batches, best, rng)) for best in (20.0, 500.0))
    assert not inside.ends_highest and outside.ends_highest
    assert top(outside.logs, outside.values.mean(axis=1)) == np.log(64)
    x = (0.05, 0.1, 0.2)
    made = [Curve(str(one), batches * one / 0.1, bump(batches * one / 0.1, 200 * one, rng)) for one in x]
    assert proportional("", power(x, made, key=KEY), made).met
    ended = [*made[:2], Curve("ended", made[2].batches, bump(made[2].batches, 4000, rng))]
    found = proportional("", power(x, ended, key=KEY), ended)
    assert found.met is False and "ended" in found.name


def test_training_fails_below_the_last_batch_whose_loss_is_high():
    logs = np.log([2.0, 4.0, 8.0, 16.0])
    high, low = np.log(1.0), np.log(0.01)
    assert fall(logs, np.array([high, low, high, low])) == pytest.approx(np.log(8 * 2**0.5))
    assert fall(logs, np.array([low] * 4)) == logs[0]
    assert fall(logs, np.array([high] * 4)) == logs[-1]


@pytest.mark.parametrize(("exponent", "met"), [(1.0, True), (0.7, False), (1.3, False)])
def test_only_proportional_optima_pass(exponent, met):
    made = arms(exponent)
    context = Context("quick", KEY)
    found = _optima.judged(context, made, RATES, "η")
    assert found.main.met is met
    assert found.power.exponent == pytest.approx(exponent, abs=0.15)
    assert found.rival.exponent == pytest.approx(exponent, abs=0.15)
    assert found.control.met is False


def test_errors_of_an_exponent_are_its_spread_over_data_sets():
    """15 sets of made-up runs: mean error over spread within a factor of 2, the mean at 1."""
    found = [
        power(RATES, [one.accuracy for one in arms(1.0, seed, 0.004)], key=jax.random.key(seed))
        for seed in range(15)
    ]
    exponents = np.array([one.exponent for one in found])
    spread = exponents.std(ddof=1)
    assert 1 / 2 < np.mean([one.error for one in found]) / spread < 2
    assert abs(exponents.mean() - 1) < 5 * spread / 15**0.5
    assert np.mean([one.low < 1 < one.high for one in found]) > 0.6


def test_optima_dealt_out_have_no_slope():
    for count in (2, 3, 4, 5):
        order = _optima.dealt(count)
        assert sorted(order) == list(range(count))
    assert abs(np.polyfit(range(4), _optima.dealt(4), 1)[0]) < 1e-9
    assert abs(np.polyfit(range(5), _optima.dealt(5), 1)[0]) < 0.4


def test_windows_hold_optima_of_other_exponents():
    """From .6 to 1.4, the best B of every η is within its window, though not in its middle."""
    for exponent in (0.6, 1.4):
        for rate in RATES:
            sizes = _noise_grid.window(rate, 0.9)
            assert sizes[0] < 32 * (rate / 0.1) ** exponent < sizes[-1]
    assert _noise_grid.window(0.05, 0.9) == _noise_grid.window(0.1, 0.8)


def test_a_best_batch_is_not_read_where_chance_makes_it_best():
    """Without a peak the gain is 0 on average, and is called one as often as the level says."""
    rng = np.random.default_rng(1)
    tables = [0.9 + 0.01 * rng.normal(size=(9, SEEDS)) for _ in range(200)]
    mean = np.array([[one.mean() for one in peak.gains(table).values()] for table in tables])
    assert (np.abs(mean.mean(axis=0)) < 5 * mean.std(axis=0, ddof=1) / 200**0.5).all()
    called = sum(bool(peak._judge("", table).met) for table in tables)
    assert called < stats.binom.isf(1e-6, 200, 0.05)


def test_a_peak_must_be_above_both_ends():
    rng = np.random.default_rng(2)
    batches = np.array([8, 16, 32, 64, 128, 1000.0])
    assert peak._judge("", bump(batches, 40, rng)).met
    assert not peak._judge("", bump(batches, 1000, rng)).met
    assert not peak._judge("", bump(batches, 8, rng)).met
    table = bump(batches, 40, rng)
    mixed = peak.dealt(table, KEY)
    np.testing.assert_array_equal(np.sort(mixed, axis=0), np.sort(table, axis=0))
    assert not peak._judge("", mixed).met


def gap_table(gaps, rng, noise=0.003):
    """Accuracy of shape (λ, 3, seeds) with these gaps."""
    base = 0.9 + 0.01 * rng.normal(size=SEEDS)
    accuracy = np.array([[base + gap, base + gap / 2, base] for gap in gaps])
    return accuracy + noise * rng.normal(size=accuracy.shape)


def test_a_gap_must_be_there_and_shrink():
    rng = np.random.default_rng(3)

    def met(accuracy):
        return regularised_gap._judge("", regularised_gap.gaps_of(accuracy)).met

    table = gap_table((0.012, 0.006, 0.001), rng)
    assert met(table)
    assert not met(gap_table((0.012, 0.012, 0.012), rng))
    assert not met(gap_table((0.0, -0.006, -0.012), rng))
    assert met(gap_table((0.012, -0.006, -0.03), rng))
    assert not met(regularised_gap.dealt(table, KEY))


def families(law, seed=4):
    """Arms whose accuracy is the same function of ln(best/B) for a best B of the law."""
    rng = np.random.default_rng(seed)
    settings = [*((rate, 0.9) for rate in RATES), (0.1, 0.2), (0.1, 0.6), (0.1, 0.8)]
    return [arm(rate, m, law(rate, m), rng) for rate, m in settings]


def judged(made, over):
    names = [one.name for one in made]
    values = [one.accuracy.values for one in made]
    return collapse.judge(names, [collapse.axis(one, over) for one in made], values, over, KEY)


def test_curves_collapse_over_what_sets_them():
    laws = {
        collapse.OVER_G: lambda rate, m: 32 * (rate / 0.1) * 0.1 / (1 - m),
        collapse.OVER_B: lambda rate, m: 32.0,
        collapse.WITHOUT_M: lambda rate, m: 32 * rate / 0.1,
    }
    for right, law in laws.items():
        made = families(law)
        assert [over for over in laws if judged(made, over).met] == [right]


def test_distances_of_one_curve_are_near_nothing():
    made = families(lambda rate, m: 32 * (rate / 0.1) * 0.1 / (1 - m), seed=5)
    found = judged(made, collapse.OVER_G)
    assert found.estimate < 1.0 and "21 pairs" in found.name


def test_noise_scale_of_an_arm():
    one = arm(0.1, 0.9, 32, np.random.default_rng(6))
    hyper = ss.Hyperparameters(0.1, 32, 0.9)
    here = one.noise[list(one.accuracy.batches).index(32)]
    assert here == pytest.approx(float(hyper.noise_scale(1000)) * 1000 / (1000 - 32), rel=1e-5)


def of_four(problem, hyper, **options):
    """An SGD whose steps are of 4 examples, whatever B says."""
    return ss.SGD(problem, ss.Hyperparameters(hyper.learning_rate, 4, hyper.momentum), **options)


@pytest.mark.script
def test_the_grid_shows_what_an_sgd_that_ignores_b_does():
    """Right, each arm fails at its smallest B and is good at its largest; with a B of 4 throughout, over g
    nothing lines up."""
    context = Context("smoke", KEY)
    found = _noise_grid.arms(context)
    assert list(found) == _noise_grid.settings(context)
    for (rate, m), one in found.items():
        assert one.accuracy.batches.tolist() == _noise_grid.window(rate, m, 3)
        accuracy, loss = (curve.values.mean(axis=1) for curve in (one.accuracy, one.loss))
        assert accuracy[-1] > 0.9 > accuracy[0]
        assert loss[-1] < np.log(0.1) < loss[0]
    planted = _noise_grid.arms(Context("smoke", KEY, Laws(sgd=of_four)))
    one = planted[BASE].accuracy.values.mean(axis=1)
    assert np.ptp(one) < 0.1
    assert not judged(list(planted.values()), collapse.OVER_G).met


def test_batch_sizes_hold_optima_that_do_not_move_with_n_and_that_move_as_its_square():
    """B_opt of the exponents 0 and 2 is within the window of each N, and not at its ends."""
    for one in bopt_n.series(Context("quick", KEY)).values():
        for exponent in (0, 1, 2):
            for size in one.sizes:
                best, batches = one.middle * (size / one.sizes[1]) ** exponent, one.batches(size)
                assert batches[0] < best < batches[-1]
