"""The generator: Threefry bit for bit, no repeats, the same chain in any crowd, and integers below a bound.

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
from random_words import EXTREMES, KEY, TOP, jit_bits, jit_exponential, jit_normal, jit_rademacher, words_of
from scipy import stats

from sde_sgd import random
from sde_sgd.random import Stream

BILLION = 10**9


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


@pytest.mark.same_bits
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


@pytest.mark.same_bits
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
