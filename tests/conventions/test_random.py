"""The generator: Threefry bit for bit, no repeats, the same chain in any crowd, and exact laws.

All keys are fixed. A bound of `bound(count)` standard errors is exceeded by a correct generator
with probability 1e-6 for one choice of keys, and p-values are compared with 1e-6.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALARM, REFUSED, assert_agree, bare, chi_square_p, float64, refused
from jax.extend.random import threefry_2x32
from scipy import stats

from sde_sgd import random
from sde_sgd.random import Stream

KEY = jax.random.key(20)
TOP = 2**32 - 1
BILLION = 10**9

jit_normal = jax.jit(random.normal, static_argnums=(2, 3))
jit_rademacher = jax.jit(random.rademacher_sum, static_argnums=(2, 3))
jit_exponential = jax.jit(random.exponential_sum, static_argnums=(2, 3, 4))
jit_exponential_mean = jax.jit(random.exponential_mean, static_argnums=(2, 3, 4))
jit_bits = jax.jit(random.bits, static_argnums=2)


def words_of(name: Stream = Stream.GRADIENT_NOISE, step: int = 0) -> jax.Array:
    return random.at(random.stream(KEY, name), step)


# The bits


def test_threefry_known_answers() -> None:
    """The three test vectors that Salmon et al. publish with Random123."""
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    cases = [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((TOP, TOP), (TOP, TOP), (0x1CB996FC, 0xBB002BE7)),
        (pi[2:], pi[:2], (0xC4923A9C, 0x483DF7A0)),
    ]
    for key, counter, expected in cases:
        key_words = tuple(jnp.uint32(word) for word in key)
        counter_words = tuple(jnp.uint32(word) for word in counter)
        got = random.threefry2x32(key_words, counter_words)
        assert tuple(int(word) for word in got) == expected


def test_threefry_is_the_one_of_jax() -> None:
    rng = np.random.default_rng(0)
    extremes = np.array([0, 1, TOP, 2**31, 2**31 - 1, 0xFFFF], np.uint32)
    first = np.concatenate([extremes, rng.integers(0, 2**32, 999, np.uint32), extremes])
    second = np.concatenate([extremes[::-1], rng.integers(0, 2**32, 999, np.uint32), extremes])
    for key in [(0, 0), (TOP, TOP), (1, 0), tuple(rng.integers(0, 2**32, 2, np.uint32))]:
        words = jnp.asarray(key, jnp.uint32)
        theirs = threefry_2x32(words, jnp.asarray(np.concatenate([first, second])))
        ours = random.threefry2x32((words[0], words[1]), (jnp.asarray(first), jnp.asarray(second)))
        np.testing.assert_array_equal(np.concatenate(ours), theirs)


def test_stream_is_a_fold_of_the_key() -> None:
    for name in Stream:
        own = jax.random.bits(jax.random.fold_in(KEY, int(name)), (2,), jnp.uint32)
        np.testing.assert_array_equal(random.stream(KEY, name), own)


def test_streams_differ_from_each_other_and_from_split_keys() -> None:
    words = {tuple(np.asarray(random.stream(KEY, name))) for name in Stream}
    split = jax.random.split(KEY, 1000)
    bits = jax.vmap(lambda key: jax.random.bits(key, (2,), jnp.uint32))(split)
    words |= {tuple(row) for row in np.asarray(bits)}
    words |= {tuple(row) for row in np.asarray(jax.random.key_data(split))}
    assert len(words) == len(Stream) + 2000


def test_other_key_implementations_have_streams() -> None:
    words = random.stream(jax.random.key(0, impl="rbg"), Stream.BROWNIAN)
    assert words.shape == (2,)
    assert words.dtype == jnp.uint32


def test_every_number_is_a_function_of_its_address() -> None:
    """Word for word: key → stream → (step, substep) → (chain, coordinate), in jax's own Threefry."""
    step, substep, chain, shape = 12345, 6, 789, (3, 4)

    def theirs(words: Any, x: int, y: int) -> Any:
        return threefry_2x32(words, jnp.asarray([x, y], jnp.uint32))

    key = theirs(random.stream(KEY, Stream.BROWNIAN), step, substep)
    chains = jnp.asarray([5, chain], jnp.uint32)
    here = random.at(random.stream(KEY, Stream.BROWNIAN), step, substep)
    first, second = jit_bits(here, chains, shape)
    for coordinate in range(12):
        got = (int(first[1].ravel()[coordinate]), int(second[1].ravel()[coordinate]))
        assert got == tuple(int(word) for word in theirs(key, chain, coordinate))


# The same chain in any crowd

LAWS: dict[str, Callable[..., Any]] = {
    "bits": lambda words, chain, shape: jit_bits(words, chain, shape)[0],
    "normal": jit_normal,
    "rademacher": lambda words, chain, shape: jit_rademacher(words, chain, shape, 70),
    "exponential": lambda words, chain, shape: jit_exponential(words, chain, shape, 5),
}


@pytest.mark.parametrize(("law", "shape"), [*((law, (2, 3)) for law in LAWS), ("normal", ()), ("bits", ())])
def test_row_is_the_same_for_any_number_of_chains(law: str, shape: tuple[int, ...]) -> None:
    crowd = np.asarray(LAWS[law](words_of(), random.chain_numbers(10_000), shape))
    for chains in (1, 100):
        few = np.asarray(LAWS[law](words_of(), random.chain_numbers(chains), shape))
        assert few.shape == (chains, *shape)
        np.testing.assert_array_equal(few, crowd[:chains])
    # a share of the chains, as one of several devices holds it
    share = np.asarray(LAWS[law](words_of(), random.chain_numbers(10_000)[7001:7101], shape))
    np.testing.assert_array_equal(share, crowd[7001:7101])


def test_row_is_the_same_in_float64() -> None:
    with float64():
        crowd = jit_normal(words_of(), random.chain_numbers(1000), (3,), jnp.float64)
        few = jit_normal(words_of(), random.chain_numbers(1), (3,), jnp.float64)
        np.testing.assert_array_equal(few, crowd[:1])


# No repeats


def draw_everywhere(at: Callable[..., Any], steps: np.ndarray) -> np.ndarray:
    """Every 64 bits drawn at 10⁶ addresses: 4 streams × 10 steps × 5 substeps × 50 × 100."""
    assert len(steps) == 10

    @jax.jit
    def draw(words: Any, step: Any, substep: Any) -> Any:
        here = at(words, step, substep)
        return random.bits(here, random.chain_numbers(50), (100,))

    drawn = []
    for name in (Stream.MINIBATCH, Stream.GRADIENT_NOISE, Stream.BROWNIAN, Stream.LEVY_AREA):
        words = random.stream(KEY, name)
        for step in steps:
            for substep in range(5):
                first, second = draw(words, int(step), substep)
                drawn.append(np.asarray(first).astype(np.uint64) << np.uint64(32))
                drawn[-1] = (drawn[-1] | np.asarray(second)).ravel()
    return np.concatenate(drawn)


def repeats(numbers: np.ndarray) -> int:
    return len(numbers) - len(np.unique(numbers))


STEPS = {"early": np.arange(10), "late": BILLION + np.arange(10), "last": 2**31 - 11 + np.arange(10)}


@pytest.mark.parametrize("steps", STEPS)
def test_no_address_repeats_another(steps: str) -> None:
    """Null: independent 64-bit words. Among 10⁶ the expected number of equal pairs is
    (10⁶)²/2⁶⁵ = 2.7e-8, so one repeat is a failure."""
    numbers = draw_everywhere(random.at, STEPS[steps])
    assert len(numbers) == 10**6
    assert repeats(numbers) == 0


def test_near_the_birthday_expectation_in_32_bits() -> None:
    """Null: 10⁶ independent 32-bit words; pairs of equal ones are Poisson with mean
    n(n − 1)/2³³ = 116.4. Neither too few nor too many, at 1e-6 for both tails together."""
    first = np.asarray(jit_bits(words_of(), random.chain_numbers(10_000), (100,))[0]).ravel()
    _, counts = np.unique(first, return_counts=True)
    pairs = int((counts * (counts - 1) // 2).sum())
    mean = len(first) * (len(first) - 1) / 2**33
    low, high = stats.poisson.ppf(ALARM / 2, mean), stats.poisson.isf(ALARM / 2, mean)
    assert low <= pairs <= high


def test_planted_faults_are_caught_as_repeats() -> None:
    """One key for all steps, one for all substeps, and steps rounded to float32: all repeat."""
    whole_steps = [
        (lambda words, step, substep: words, STEPS["early"], 980_000),
        (lambda words, step, substep: random.at(words, step), STEPS["early"], 800_000),
        (
            lambda words, step, substep: random.at(
                words, step.astype(jnp.float32).astype(jnp.int32), substep
            ),
            STEPS["late"],
            900_000,
        ),
    ]
    for at, steps, expected in whole_steps:
        assert repeats(draw_everywhere(at, steps)) == expected


def test_consecutive_steps_near_a_billion_differ() -> None:
    """32 steps that are one float32 number give 32 different keys and uncorrelated normals.

    Null: independent N(0, 1); the 31 correlations of neighbours over n = 10⁴ chains each have
    standard error 1/√n.
    """
    steps = BILLION + np.arange(32)
    assert len(np.unique(steps.astype(np.float32))) == 1
    words = random.stream(KEY, Stream.BROWNIAN)
    keys = np.asarray(jax.vmap(lambda step: random.at(words, step))(jnp.asarray(steps)))
    assert len(np.unique(keys, axis=0)) == 32
    sample = np.asarray(jax.vmap(lambda key: jit_normal(key, random.chain_numbers(10_000), ()))(keys))
    neighbours = (sample[1:] * sample[:-1]).mean(axis=1)
    assert_agree(neighbours, np.zeros(31), 0.01)


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


_LOW = np.array([0, 1, 2, 127, 128, 129, 255, 256, 2**16, 2**23, 2**24 - 1, 2**30, 2**31 - 1])
EXTREMES = np.concatenate([_LOW, TOP - _LOW]).astype(np.uint32)


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


# Integers

BOUNDS = [1, 2, 3, 10, 2**16 - 1, 2**16, 2**16 + 1, 10**6 + 3, 2**31 - 1]


@pytest.mark.parametrize("limit", BOUNDS)
def test_below_is_exact_integer_arithmetic(limit: int) -> None:
    rng = np.random.default_rng(2)
    word = np.concatenate([EXTREMES, rng.integers(0, 2**32, 10_000, np.uint32)])
    got = np.asarray(random.below(jnp.asarray(word), limit))
    expected = (word.astype(np.uint64) * np.uint64(limit)) >> np.uint64(32)
    np.testing.assert_array_equal(got, expected.astype(np.int64))
    assert got.min() == 0
    assert got.max() == limit - 1


def test_below_with_a_bound_for_each_word() -> None:
    word = jnp.asarray(np.random.default_rng(3).integers(0, 2**32, 9, np.uint32))
    got = random.below(word, jnp.asarray(BOUNDS, jnp.int32))
    expected = [(int(w) * limit) >> 32 for w, limit in zip(np.asarray(word), BOUNDS, strict=True)]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("limit", [2, 7, 1000])
def test_below_is_unbiased(limit: int) -> None:
    """Null: uniform on 0..bound−1 (the bias of 2⁻³² is nothing here); χ² of 10⁶ draws at 1e-6."""
    word = jit_bits(words_of(), random.chain_numbers(1000), (1000,))[0]
    counts = np.bincount(np.asarray(random.below(word, limit)).ravel(), minlength=limit)
    assert chi_square_p(counts, np.full(limit, 1e6 / limit)) > ALARM


# Streams


def test_streams_are_independent() -> None:
    """Null: independent N(0, 1) in every stream. All 28 correlations over n = 10⁵ numbers have
    standard error 1/√n."""
    chains = random.chain_numbers(10_000)
    rows = np.stack(
        [np.asarray(jit_normal(words_of(name, 3), chains, (10,))).ravel() for name in Stream]
    ).astype(np.float64)
    table = rows @ rows.T / rows.shape[1]
    above = table[np.triu_indices(len(Stream), 1)]
    assert_agree(above, np.zeros(28), 1 / np.sqrt(rows.shape[1]))


def test_different_keys_are_independent() -> None:
    """Null as above, for 10 neighbouring seeds: 45 correlations over n = 10⁵."""
    chains = random.chain_numbers(10_000)
    streams = [random.stream(jax.random.key(seed), Stream.BROWNIAN) for seed in range(10)]
    rows = np.stack([np.asarray(jit_normal(words, chains, (10,))).ravel() for words in streams])
    table = rows.astype(np.float64) @ rows.T / rows.shape[1]
    assert_agree(table[np.triu_indices(10, 1)], np.zeros(45), 1 / np.sqrt(rows.shape[1]))


# Refusals


@pytest.mark.parametrize(
    "key",
    [
        0,
        None,
        np.zeros(2, np.uint32),
        jnp.zeros(2, jnp.uint32),
        jax.random.split(jax.random.key(0), 2),
        jax.random.split(jax.random.key(0), 1),
        "key",
    ],
    ids=["seed", "None", "numpy", "raw", "two keys", "one in an array", "string"],
)
def test_anything_but_one_typed_key_is_refused(key: Any) -> None:
    message = r"key must be one typed key such as jax.random.key\(0\), got "
    with refused(match=message):
        random.check_key(key)
    with refused(match=message):
        bare(random.stream)(key, Stream.BROWNIAN)
    with pytest.raises(REFUSED):
        random.stream(key, Stream.BROWNIAN)


def test_typed_keys_are_accepted() -> None:
    random.check_key(KEY)
    random.check_key(jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32)))
    jax.eval_shape(partial(random.stream, name=Stream.BROWNIAN), KEY)


@pytest.mark.parametrize("chains", [0, -1])
def test_no_chains_are_refused(chains: int) -> None:
    with refused(match="chains must be an integer >= 1, got "):
        random.chain_numbers(chains)
