"""Random numbers have exactly their laws: normal ones, sums of signs and of exponentials.

All keys are fixed. A bound of `bound(count)` standard errors is exceeded by a correct generator
with probability 1e-6 for one choice of keys, and p-values are compared with 1e-6.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALARM, assert_agree, chi_square_p, float64
from random_words import EXTREMES, KEY, TOP, jit_bits, jit_exponential, jit_normal, jit_rademacher, words_of
from scipy import stats

from sde_sgd import random
from sde_sgd.random import Stream

BILLION = 10**9
jit_exponential_mean = jax.jit(random.exponential_mean, static_argnums=(2, 3, 4))


# Normal numbers


def check_normal(sample: np.ndarray) -> None:
    """Null: N(0, 1). Standard errors of the first four moments over n numbers: 1/√n, √(2/n),
    √(15/n) and √(96/n) for E x, E x², E x³, E x⁴; then Kolmogorov-Smirnov at 1e-6."""
    x = sample.ravel().astype(np.float64)
    powers = [np.mean(x**order) for order in (1, 2, 3, 4)]
    assert_agree(powers, [0, 1, 0, 3], np.sqrt(np.array([1, 2, 15, 96]) / x.size))
    assert stats.kstest(x, "norm").pvalue > ALARM


@pytest.mark.parametrize("step", [0, BILLION])
def test_normal_moments_and_law(step: int) -> None:
    words = words_of(Stream.BROWNIAN, step)
    check_normal(np.asarray(jit_normal(words, random.chain_numbers(10_000), (30,))))


def test_normal_coordinates_chains_and_steps_are_independent() -> None:
    """Null: independent N(0, 1). Products of neighbours (in coordinate, chain, step, substep and
    stream), and of their squares less one, have mean 0 and standard errors 1/√n and 2/√n."""
    chains, words = random.chain_numbers(3000), random.stream(KEY, Stream.BROWNIAN)
    x = np.asarray(jit_normal(random.at(words, 5), chains, (50,)), np.float64)
    others = [
        (x[:, 1:], x[:, :-1]),
        (x[1:], x[:-1]),
        (x, np.asarray(jit_normal(random.at(words, 6), chains, (50,)), np.float64)),
        (x, np.asarray(jit_normal(random.at(words, 5, 1), chains, (50,)), np.float64)),
        (x, np.asarray(jit_normal(random.at(words, 6, 5), chains, (50,)), np.float64)),
        (x, np.asarray(jit_normal(words, chains, (50,)), np.float64)),
    ]
    for a, b in others:
        root = np.sqrt(a.size)
        products = [np.mean(a * b), np.mean((a**2 - 1) * (b**2 - 1))]
        assert_agree(products, [0, 0], [1 / root, 2 / root], count=2 * len(others))


def test_normal_tails() -> None:
    """Null: 10⁷ numbers N(0, 1). The count beyond each level is binomial; two-sided p-values
    against 1e-6/4. Of the largest |x|: below 4.8 or above 7 has odds below 1e-6."""
    sample = np.abs(np.asarray(jit_normal(words_of(), random.chain_numbers(100_000), (100,))))
    assert sample.size == 10**7
    assert np.isfinite(sample).all()
    for level in (3.0, 4.0, 4.5, 5.0):
        tail = 2 * stats.norm.sf(level)
        count = int((sample > level).sum())
        assert stats.binomtest(count, sample.size, tail).pvalue > ALARM / 4
    assert 4.8 < sample.max() < 6.77


def planted_bits(first: np.ndarray, second: np.ndarray) -> Callable[..., Any]:
    """A stand-in for `random.bits` with chosen words."""
    return lambda *args: (jnp.asarray(first), jnp.asarray(second))


def test_normal_of_extreme_and_random_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against Box and Muller in float64 on the same rounded fraction.

    Rounding: the cosine's terms add up to cosh π = 11.6 in size, so it is off by at most about
    11.6 · 2⁻²⁴ = 7e-7, and the radius is at most 6.76: 5e-6 in all.
    """
    rng = np.random.default_rng(1)
    first, second = (grid.ravel() for grid in np.meshgrid(EXTREMES, EXTREMES))
    first = np.concatenate([first, rng.integers(0, 2**32, 100_000, np.uint32)])
    second = np.concatenate([second, rng.integers(0, 2**32, 100_000, np.uint32)])
    monkeypatch.setattr(random, "bits", planted_bits(first, second))
    draw = jax.jit(lambda: random.normal(words_of(), random.chain_numbers(len(first)), ()))
    got = np.asarray(draw(), np.float64)
    assert np.isfinite(got).all()
    fraction = (first.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    assert fraction.min() > 0
    assert fraction.max() == 1
    exact = np.sqrt(-2 * np.log(fraction.astype(np.float64)))
    exact = exact * np.cos(2 * np.pi * second / 2.0**32)
    np.testing.assert_allclose(got, exact, atol=5e-6)
    assert np.abs(got).max() == pytest.approx(np.sqrt(2 * 33 * np.log(2)), rel=1e-6)  # 6.76


def test_helpers_of_the_normal_at_extreme_words() -> None:
    uniform = np.asarray(random.uniform(jnp.asarray(EXTREMES)))
    assert uniform.min() == np.float32(2.0**-33)
    assert uniform.max() == 1.0
    log = np.asarray(random._log_float32(jnp.asarray(uniform)))
    np.testing.assert_allclose(log, np.log(uniform.astype(np.float64)), rtol=2e-7, atol=1e-7)
    assert log.max() <= 1e-7  # the square root's argument is clipped at 0
    # |f| = 1/2 is the far end of the cosine's polynomial, 0 the near one.
    square = np.linspace(0, 0.25, 10_001)
    cosine = random._horner(random._COSINE, jnp.asarray(square, jnp.float32))
    np.testing.assert_allclose(cosine, np.cos(2 * np.pi * np.sqrt(square)), atol=7e-7)


def test_normal_in_float64() -> None:
    """Moments and law as in float32; finer than float32; Box and Muller on 64 bits each."""
    with float64():
        words, chains = words_of(Stream.BROWNIAN, 3), random.chain_numbers(10_000)
        sample = jit_normal(words, chains, (30,), jnp.float64)
        assert sample.dtype == jnp.float64
        x = np.asarray(sample)
        low = jit_bits(random.at(words, 0, 1), chains, (30,))
        u64 = np.asarray(
            random._uniform64(
                jnp.asarray([0, 0, TOP, TOP], jnp.uint32), jnp.asarray([0, TOP, 0, TOP], jnp.uint32)
            )
        )
    check_normal(x)
    radius, angle = (
        np.asarray(high, np.float64) / 2.0**32 + (np.asarray(rest, np.float64) + 0.5) / 2.0**64
        for high, rest in zip(jit_bits(words, chains, (30,)), low, strict=True)
    )
    exact = np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle)
    np.testing.assert_allclose(x, exact, atol=1e-13)
    assert np.mean(x == x.astype(np.float32)) < 1e-3
    assert u64.dtype == np.float64
    assert u64[0] == 2.0**-65
    assert u64[-1] == 1.0
    np.testing.assert_allclose(u64[1:3], [2.0**-32 - 2.0**-65, 1 - 2.0**-32], rtol=1e-15)


def test_normal_in_float64_of_extreme_words(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = [part.ravel() for part in np.meshgrid([0, TOP], [0, TOP, 2**31, 2**30])]
    monkeypatch.setattr(random, "bits", planted_bits(*(part.astype(np.uint32) for part in grid)))
    with float64():
        sample = np.asarray(random.normal(jnp.zeros(2, jnp.uint32), random.chain_numbers(8), (), jnp.float64))
    assert np.isfinite(sample).all()
    assert np.abs(sample).max() < 9.6


def test_low_precision_is_a_rounded_float32() -> None:
    chains = random.chain_numbers(10)
    half = jit_normal(words_of(), chains, (2,), jnp.bfloat16)
    full = jit_normal(words_of(), chains, (2,))
    np.testing.assert_array_equal(half, full.astype(jnp.bfloat16))


# Sums of signs and of exponentials


@pytest.mark.parametrize("count", [1, 33, 64, 70, 200])
def test_rademacher_sum_is_binomial(count: int) -> None:
    """Null: Σ of B signs. Mean 0 with standard error √(B/n); variance B with √((2B² − 2B)/n);
    χ² of the counts against the binomial law (cells of fewer than 20 pooled) at 1e-6."""
    n = 100_000
    total = np.asarray(jit_rademacher(words_of(), random.chain_numbers(n // 10), (10,), count)).ravel()
    assert np.all(np.abs(total) <= count)
    assert np.all((total - count) % 2 == 0)
    mean, variance = total.mean(), np.mean(total.astype(float) ** 2)
    errors = np.sqrt(np.array([count, 2 * count**2 - 2 * count]) / n)
    assert_agree([mean, variance], [0, count], errors)
    observed = np.bincount((total + count) // 2, minlength=count + 1).astype(float)
    expected = n * stats.binom.pmf(np.arange(count + 1), count, 0.5)
    kept = expected >= 20
    if not kept.all():
        observed = np.append(observed[kept], observed[~kept].sum())
        expected = np.append(expected[kept], expected[~kept].sum())
        if expected[-1] < 20:
            observed = np.append(observed[:-2], observed[-2:].sum())
            expected = np.append(expected[:-2], expected[-2:].sum())
    assert chi_square_p(observed, expected) > ALARM


def test_rademacher_blocks_use_new_bits() -> None:
    """With 128 signs the second 64 are not the first again: their correlation over n = 10⁵ sums
    has standard error 64/√n per product of variance 64²."""
    n = 100_000
    half = np.asarray(jit_rademacher(words_of(), random.chain_numbers(n), (), 64), np.float64)
    whole = np.asarray(jit_rademacher(words_of(), random.chain_numbers(n), (), 128), np.float64)
    assert_agree(np.mean(half * (whole - half)) / 64, 0, 1 / np.sqrt(n))


def test_signs() -> None:
    """Null: fair signs; the mean of n has standard error 1/√n."""
    draw = jax.jit(random.signs, static_argnums=(2, 3))
    sample = np.asarray(draw(words_of(), random.chain_numbers(1000), (30,), jnp.float32))
    assert set(np.unique(sample)) == {-1.0, 1.0}
    assert sample.dtype == np.float32
    assert_agree(sample.mean(), 0, 1 / np.sqrt(sample.size))


@pytest.mark.parametrize("count", [1, 2, 7, 64, 65, 400])
def test_exponential_sum_is_gamma(count: int) -> None:
    """Null: Gamma(B). Central moments B, 2B and their standard errors from the exact
    μ₄ = 3B² + 6B and μ₆ = 15B³ + 130B² + 120B; then Kolmogorov-Smirnov at 1e-6."""
    n = 100_000
    sample = jit_exponential(words_of(), random.chain_numbers(n // 10), (10,), count)
    x = np.asarray(sample, np.float64).ravel()
    assert x.min() >= 0
    assert np.isfinite(x).all()
    gap = x - count
    moments = [gap.mean(), (gap**2).mean(), (gap**3).mean()]
    b = float(count)
    spread = [b, 3 * b**2 + 6 * b - b**2, 15 * b**3 + 130 * b**2 + 120 * b - 4 * b**2]
    assert_agree(moments, [0, b, 2 * b], np.sqrt(np.array(spread) / n))
    skewness = (gap**3).mean() / (gap**2).mean() ** 1.5
    assert skewness == pytest.approx(2 / np.sqrt(b), rel=0.2)
    assert stats.kstest(x, stats.gamma(count).cdf).pvalue > ALARM


@pytest.mark.parametrize("count", [1, 64, 65, 10**4, 10**6, 10**7, 10**9])
def test_exponential_mean_has_its_law_for_any_count(count: int) -> None:
    """Null: √B times the mean of B Exp(1) numbers, less 1, is (Gamma(B) − B)/√B. Mean 0 with standard error
    1/√n, variance 1 with √((2 + 6/B)/n), skewness 2/√B; Kolmogorov-Smirnov at 1e-6. A sum in float32, number
    after number, is off by .08 at B = 1e6 and by 36 at 1e7: by 25 and 11,000 standard errors.
    """
    n = 100_000
    mean = np.asarray(jit_exponential_mean(words_of(), random.chain_numbers(n // 10), (10,), count))
    x = np.sqrt(count) * mean.astype(np.float64).ravel()
    cumulant = 6 / count
    third = 15 + 130 / count + 120 / count**2 - 4 / count
    found = [x.mean(), np.mean(x**2), np.mean(x**3)]
    errors = np.sqrt(np.array([1, 2 + cumulant, third]) / n)
    assert_agree(found, [0, 1, 2 / np.sqrt(count)], errors)
    assert stats.kstest(count + np.sqrt(count) * x, stats.gamma(count).cdf).pvalue > ALARM


def test_exponential_noise_has_mean_zero_to_a_ten_thousandth() -> None:
    """Null: 4e6 means of B = 100, each with standard deviation 1/10: a standard error of 5e-5, and of 2e-4
    for those of B = 6. A mean of .999 for 1 would be 20 and 5 of them off."""
    for count in (6, 100):
        n = 4_000_000
        mean = np.asarray(jit_exponential_mean(words_of(), random.chain_numbers(n // 10), (10,), count))
        assert_agree(mean.mean(dtype=np.float64), 0, 1 / np.sqrt(count * n), count=2)


@pytest.mark.same_bits
def test_a_chain_draws_the_same_exponential_mean_among_any() -> None:
    few = jit_exponential_mean(words_of(), random.chain_numbers(3), (2,), 200)
    many = jit_exponential_mean(words_of(), random.chain_numbers(5000), (2,), 200)
    np.testing.assert_array_equal(few, many[:3])


def test_exponential_mean_in_float64() -> None:
    with float64():
        x = np.asarray(
            random.exponential_mean(words_of(), random.chain_numbers(20_000), (), 10**6, "float64")
        )
    assert x.dtype == np.float64
    assert_agree(x.mean() * 1e3, 0, 1 / np.sqrt(x.size))


def test_exponential_sum_is_finite_at_extreme_words(monkeypatch: pytest.MonkeyPatch) -> None:
    extremes = np.array([0, TOP], np.uint32)
    monkeypatch.setattr(random, "bits", planted_bits(extremes, extremes))
    for count in (1, 2):
        total = np.asarray(random.exponential_sum(words_of(), random.chain_numbers(2), (), count))
        np.testing.assert_allclose(total, [count * 33 * np.log(2), 0.0], rtol=1e-6)
