"""The cards on nudged SGD: pairs judged as a family, what is read from curves, a planted fault."""

import functools

import jax
import numpy as np
import pytest
from scipy import stats

import sde_sgd as ss
from paper_checks._context import Context, Laws, folded
from paper_checks.sharpest_directions import _nudging, ablation, nudged
from paper_checks.sharpest_directions._paired import all_above, all_below, any_of


def family(rng, *means, pairs=8):
    return {f"arm {number}": rng.normal(mean, 1.0, pairs) for number, mean in enumerate(means)}


@pytest.mark.parametrize("judge", [all_above, all_below])
def test_a_family_is_met_only_where_all_are_shown(judge):
    rng, sign = np.random.default_rng(0), 1 if judge is all_above else -1
    far = judge("", family(rng, 9.0 * sign, 9.0 * sign), limit=0.0, threshold="")
    assert far.met and np.log(far.estimate) * sign > 5
    mixed = judge("λ₁", family(rng, 9.0 * sign, -9.0 * sign), limit=0.0, threshold="")
    assert not mixed.met and mixed.name == "λ₁, least shown of 2: arm 1"
    assert np.log(mixed.estimate) * sign < -5


def test_a_family_holds_its_level_at_the_limit():
    """One of three arms at the limit: met in 5 % of families at most; 400 families, a false alarm of 1e-6."""
    rng = np.random.default_rng(1)
    met = [all_below("", family(rng, 0.3, -9, -9), limit=0.3, threshold="").met for _ in range(400)]
    # the arm at the limit is the last of three in Holm's order, so its own level is 5 %
    assert stats.binom.isf(1 - 1e-6, 400, 0.05) <= sum(met) <= stats.binom.isf(1e-6, 400, 0.05)


def test_a_control_is_met_where_any_is_shown_and_holds_its_level():
    rng = np.random.default_rng(2)
    one = any_of(all_above, "λ₁", family(rng, 0.0, 9.0), limit=0.0, threshold="")
    assert one.met and "arm 1" in one.name
    met = [any_of(all_above, "", family(rng, 0, 0, 0, 0), limit=0.0, threshold="").met for _ in range(400)]
    assert sum(met) <= stats.binom.isf(1e-6, 400, 0.05)


def test_a_ratio_and_its_error():
    """e^m and e^m s/√n for logarithms, m and s/√n else, in both directions."""
    values = np.log(np.array([1.3, 1.5, 1.7]))
    mean, error = values.mean(), values.std(ddof=1) / 3**0.5
    for judge in (all_above, all_below):
        found = judge("", {"": values}, limit=0.0, threshold="")
        np.testing.assert_allclose(
            [found.estimate, found.standard_error], np.exp(mean) * np.array([1, error])
        )
        plain = judge("", {"": values}, limit=0.0, threshold="", ratio=False)
        np.testing.assert_allclose([plain.estimate, plain.standard_error], [mean, error])
        assert plain.p == pytest.approx(found.p)
    below = all_below("", {"": values}, limit=0.5, threshold="")
    assert below.p == pytest.approx(stats.ttest_1samp(values, 0.5, alternative="less").pvalue)


def test_a_run_that_diverged_counts_against():
    values = np.array([-3.0, -3.1, np.nan, -2.9])
    found = all_below("", {"": values}, limit=0.0, threshold="")
    assert found.p == 1 and not found.met and found.n == 3


def curves(loss, sharpness):
    return _nudging.Curves(np.arange(loss.shape[1]), loss, sharpness, loss, loss)


def test_sharpness_at_equal_loss_is_read_between_samples():
    """L falls by half at each sample, λ₁ = L³ in one arm and 2L³ in the other, which is one sample ahead."""
    loss = 0.5 ** np.arange(6.0) * np.array([[1.0], [1.3]])
    slow, fast = curves(loss, loss**3), curves(loss / 2, 2 * (loss / 2) ** 3)
    np.testing.assert_allclose(slow.at_loss(slow.sharpness, 0.3), 3 * np.log(0.3))
    np.testing.assert_allclose(_nudging.log_sharpness(fast, slow, _nudging.EQUAL_LOSS), np.log(2))
    np.testing.assert_allclose(_nudging.log_sharpness(fast, slow, _nudging.EQUAL_EPOCHS), np.log(1 / 4))
    np.testing.assert_allclose(slow.last_accuracy, loss[:, 4:].mean(axis=1))  # of the samples 0 to 5
    np.testing.assert_allclose(slow.last_log_sharpness, np.log(loss[:, 4:] ** 3).mean(axis=1))
    np.testing.assert_allclose(_nudging.log_loss(fast, slow), np.log(1 / 2))


def ways(rng, **falls):
    """Runs whose ln λ₁ falls by so much on average, those of a seed alike."""
    start, own = rng.normal(size=(12, 1)), 0.1 * rng.normal(size=12)
    made = {}
    for variant, fall in falls.items():
        end = start[:, 0] - fall * (1 + own) + 0.02 * rng.normal(size=12)
        path = np.exp(np.column_stack([start[:, 0], end]))
        made[variant.replace("_", "-")] = ablation.Way(np.arange(2), path, path)
    return made


def test_a_share_of_the_fall():
    rng = np.random.default_rng(3)
    found = {"one": ways(rng, SGD=1.0, remove_top=0.1, only_top=0.9), "two": ways(rng, SGD=0.5, only_top=0.2)}
    (removed,) = ablation.shares(found, ablation.REMOVE, above=False)
    assert removed.met and removed.name == "share of the fall of λ₁, remove-top, one"
    assert abs(removed.estimate - 0.1) < 5 * removed.standard_error < 0.1
    much, little = ablation.shares(found, ablation.ONLY, above=True)
    assert much.met and not little.met
    for only, share in ((much, 0.9), (little, 0.4)):
        assert abs(only.estimate - share) < 5 * only.standard_error < 0.2
    # the other way round, and corrected for two
    opposite = ablation.shares(found, ablation.ONLY, above=False)
    assert [one.met for one in opposite] == [False, True]
    alone = ablation.shares({"one": found["one"]}, ablation.ONLY, above=True)[0]
    assert much.p == pytest.approx(2 * alone.p)


def test_without_a_fall_there_is_no_share_of_it():
    """λ₁ rises, and more so without the sharpest directions."""
    found = {"one": ways(np.random.default_rng(4), SGD=-0.1, remove_top=-0.3)}
    (removed,) = ablation.shares(found, ablation.REMOVE, above=False)
    assert not removed.met and ablation.excess(found["one"], ablation.REMOVE).mean() > 0.2


@pytest.mark.script
def test_steps_that_are_not_nudged_are_noticed():
    """SGD that takes no notice of the optimizer it is given: nothing is sharper."""

    def plain(problem, hyper, **options):
        return ss.SGD(problem, hyper, **{**options, "optimizer": None})

    key = folded(jax.random.key(0), "nudged")
    found = nudged.check(Context("smoke", key, Laws(sgd=functools.wraps(ss.SGD)(plain))))
    sharper, fast, well, *_ = found.measurements
    assert not sharper.met and sharper.estimate == 1
    assert fast.met and well.met and found.control_failed
