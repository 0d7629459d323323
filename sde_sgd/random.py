"""Counter-based random numbers: named streams keyed by integers (step, chain, coordinate).

Every number is a pure function of (key, stream, step, substep, chain, coordinate). So chain i
is the same whatever the number of chains, the length of the chunks that a run is cut into, the
devices it is spread over, and wherever it is resumed; and a run of 10⁹ steps never meets the
same number twice (time in float32 would repeat itself).

The generator is Threefry-2x32 with 20 rounds (Salmon et al. 2011), bit for bit the one behind
`jax.random.key`. It is written out here because `jax.random` on a CPU leaves its rounds in a loop
that XLA does not fuse with what follows; unrolled, the same bits cost a fraction.
"""

import enum
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key, UInt32
from typing_extensions import TypeAliasType

from sde_sgd import _checks
from sde_sgd._platform import _names
from sde_sgd._types import Count

DType = TypeAliasType("DType", DTypeLike)
Words = UInt32[Array, "2"]
# the numbers of chains, which key what is drawn for them
Chains = UInt32[Array, " chains"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


class Stream(enum.IntEnum):
    """What a random number is for. Streams of one key are independent of each other."""

    # fold_in(key, i) can be split(key)[i] for small i, so the numbers stay clear of those
    INITIAL = 0x7364_0000 + 1
    MINIBATCH = 0x7364_0000 + 2
    SHUFFLE = 0x7364_0000 + 3
    GRADIENT_NOISE = 0x7364_0000 + 4
    BROWNIAN = 0x7364_0000 + 5
    LEVY_AREA = 0x7364_0000 + 6
    DIRECTION = 0x7364_0000 + 7
    TWO_POINT = 0x7364_0000 + 8


def threefry2x32(
    key: tuple[Array, Array], counter: tuple[Array, Array]
) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """Threefry-2x32-20: two words of key and two of counter to two words of random bits.

    Source: Salmon, Moraes, Dror, Shaw 2011, *Parallel random numbers: as easy as 1, 2, 3*.
    """
    schedule = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    x, y = counter[0] + schedule[0], counter[1] + schedule[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = (y << jnp.uint32(rotation)) | (y >> jnp.uint32(32 - rotation))
            y = y ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return x, y


def stream(key: Key[Array, ""], name: Stream) -> Words:
    """The two key words of one named stream of `key`, whatever the key's implementation.

    Raises:
        ValueError: if `key` is not a typed key from `jax.random.key`.
    """
    check_key(key)
    return jax.random.bits(jax.random.fold_in(key, int(name)), (2,), jnp.uint32)


def streams(key: Key[Array, ""], **names: Stream) -> dict[str, Words]:
    """The words of several streams of `key`, each under the name it is given here; else as `stream`."""
    return {name: stream(key, of) for name, of in names.items()}


def check_key(key: object) -> None:
    """Refuse anything but one typed key, as `jax.random.key(0)` makes it."""
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not typed or getattr(key, "shape", None) != ():
        raise ValueError(
            f"key must be one typed key such as jax.random.key(0), got {_checks.short(key)}. "
            f"A seed or a raw array is not accepted; use jax.random.key or jax.random.wrap_key_data."
        )


def at(words: Words, step: Count, substep: Count = 0) -> Words:
    """The key words for one step (and substep) of a stream: any pair of integers below 2³²."""
    counter = (jnp.asarray(step).astype(jnp.uint32), jnp.asarray(substep).astype(jnp.uint32))
    return jnp.stack(threefry2x32((words[0], words[1]), counter))


def bits(
    words: Words, chain: Chains, shape: tuple[int, ...]
) -> tuple[UInt32[Array, "chains ..."], UInt32[Array, "chains ..."]]:
    """Two arrays of 32 random bits each, shape `(chains, *shape)`; row i depends on `chain[i]` only."""
    full = (chain.shape[0], *shape)
    counter = lax.broadcast_in_dim(chain, full, (0,))
    if shape:
        coordinate = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
        coordinate = lax.broadcast_in_dim(coordinate, full, tuple(range(1, len(full))))
    else:
        coordinate = jnp.zeros(full, jnp.uint32)
    return threefry2x32((words[0], words[1]), (counter, coordinate))


# cos(2π f) for |f| ≤ 1/2 as a polynomial in f²: a Chebyshev fit, largest error 3e-8.
_COSINE = tuple(
    np.polynomial.chebyshev.Chebyshev.interpolate(
        lambda square: np.cos(2 * np.pi * np.sqrt(square)), 6, domain=[0.0, 0.25]
    )
    .convert(kind=np.polynomial.Polynomial)
    .coef[::-1]
)


def _log1p_series(count: int) -> tuple[float, ...]:
    """Coefficients of (log(1 + x) − x + x²/2)/x³ on [√½ − 1, √2 − 1], highest power first."""

    def residual(x: np.ndarray) -> np.ndarray:
        return np.where(np.abs(x) < 1e-3, 1 / 3 - x / 4 + x**2 / 5, (np.log1p(x) - x + x**2 / 2) / x**3)

    fit = np.polynomial.chebyshev.Chebyshev.interpolate(
        residual, count - 1, domain=[math.sqrt(0.5) - 1, math.sqrt(2) - 1]
    )
    return tuple(fit.convert(kind=np.polynomial.Polynomial).coef[::-1])


_LOG = _log1p_series(9)
_SQRT_HALF_BITS = int(np.float32(math.sqrt(0.5)).view(np.int32))


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    result = jnp.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + jnp.asarray(coefficient, x.dtype)
    return result


def _log_float32(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """Natural logarithm of positive normal float32 numbers, from arithmetic that vectorises."""
    raw = lax.bitcast_convert_type(u, jnp.int32)
    exponent = (raw - jnp.int32(_SQRT_HALF_BITS)) >> jnp.int32(23)
    x = lax.bitcast_convert_type(raw - (exponent << jnp.int32(23)), jnp.float32) - 1.0
    square = x * x
    tail = x * square * _horner(_LOG, x) - 0.5 * square
    result: Float[Array, ...] = x + tail + exponent.astype(jnp.float32) * jnp.float32(math.log(2))
    return result


def uniform(first: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """Random bits to float32 numbers in (0, 1]: (bits + ½) / 2³², with 24 bits of precision."""
    result: Float[Array, ...] = (first.astype(jnp.float32) + 0.5) * jnp.float32(2.0**-32)
    return result


def normal(
    words: Words, chain: Chains, shape: tuple[int, ...], dtype: DType = jnp.float32
) -> Float[Array, "chains ..."]:
    """Independent N(0, 1) numbers of shape `(chains, *shape)`, by Box and Muller's transform.

    The radius takes the first 32 bits, so the tails reach 6.7 standard deviations; the angle
    takes the second. In float64 the radius and the angle take 64 bits each.
    """
    first, second = bits(words, chain, shape)
    if jnp.dtype(dtype) == jnp.float64:
        third, fourth = bits(at(words, 0, 1), chain, shape)
        radius = _uniform64(first, third)
        angle = _uniform64(second, fourth)
        return jnp.sqrt(-2.0 * jnp.log(radius)) * jnp.cos(2 * jnp.pi * angle)
    fraction = lax.bitcast_convert_type(second, jnp.int32).astype(jnp.float32) * jnp.float32(2.0**-32)
    square = jnp.maximum(-2.0 * _log_float32(uniform(first)), 0.0)
    sample = jnp.sqrt(square) * _horner(_COSINE, fraction * fraction)
    return sample.astype(dtype)


def _uniform64(high: Array, low: Array) -> Float[Array, "..."]:
    scaled = high.astype(jnp.float64) * 2.0**32 + low.astype(jnp.float64) + 0.5
    return jnp.minimum(scaled * 2.0**-64, 1.0)


def rademacher_sum(
    words: Words, chain: Chains, shape: tuple[int, ...], count: int
) -> Int[Array, "chains ..."]:
    """Sum of `count` independent signs ±1, by counting random bits; shape `(chains, *shape)`."""

    def block(number: Count, kept: int) -> Int[Array, "chains ..."]:
        pair = bits(at(words, number), chain, shape)
        halves = [(pair[0], min(kept, 32)), (pair[1], max(kept - 32, 0))]
        ones = [lax.population_count(word >> jnp.uint32(32 - keep)) for word, keep in halves if keep]
        return 2 * sum(ones[1:], ones[0]).astype(jnp.int32) - kept

    # a loop, not one expression: XLA's compiler is slow on several generators fused into one kernel
    total = jnp.zeros((chain.shape[0], *shape), jnp.int32)
    total = lax.fori_loop(0, count // 64, lambda number, total: total + block(number, 64), total)
    result: Int[Array, "chains ..."] = total + block(count // 64, count % 64) if count % 64 else total
    return result


# So many exponential numbers are added up one by one; more of them are drawn at once.
_MOST_ADDED = 64
# −(log(1 + u) − u + u²/2 − u³/3)/u⁴ = ¼ − u/5 + u²/6 − …, highest power first
_GAMMA_TAIL = tuple((-1.0) ** power / (power + 4) for power in range(14))[::-1]


def exponential_sum(
    words: Words, chain: Chains, shape: tuple[int, ...], count: int, dtype: DType = jnp.float32
) -> Float[Array, "chains ..."]:
    """Sum of `count` independent Exp(1) numbers; shape `(chains, *shape)`."""
    if count > _MOST_ADDED:
        return count * (1 + exponential_mean(words, chain, shape, count, dtype))

    def add(draw: Int[Array, ""], total: Array) -> Array:
        first, second = bits(at(words, draw), chain, shape)
        return total - jnp.log(uniform(first)) - jnp.log(uniform(second))

    total = jnp.zeros((chain.shape[0], *shape), jnp.float32)
    total = lax.fori_loop(0, count // 2, add, total)
    if count % 2:
        total = total - jnp.log(uniform(bits(at(words, count // 2), chain, shape)[0]))
    result: Float[Array, "chains ..."] = total.astype(dtype)
    return result


def exponential_mean(
    words: Words, chain: Chains, shape: tuple[int, ...], count: int, dtype: DType = jnp.float32
) -> Float[Array, "chains ..."]:
    """Mean of `count` independent Exp(1) numbers, less 1: mean 0 and variance 1/count, skewness 2/√count.

    The sum has a Gamma law, and many are drawn by rejection at once. The 1 never enters, so that no
    digit is lost for any count.

    Source: Marsaglia, Tsang 2000, *A simple method for generating gamma variables*, ACM TOMS 26, 363.
    """
    if count <= _MOST_ADDED:
        return exponential_sum(words, chain, shape, count, dtype) / count - 1.0
    d = count - 1 / 3
    size = (9 * d) ** -0.5

    def draw(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        number, kept, done = carry
        here = at(words, number)
        u = size * normal(here, chain, shape, dtype)
        # d(1 − v + log v) + x²/2 for v = (1 + u)³, but for what cancels: 3d(log(1 + u) − u + u²/2 − u³/3)
        excess = -3 * d * (u * u) * (u * u) * _horner(_GAMMA_TAIL, u)
        taken = (u > -1) & (jnp.log(uniform(bits(at(here, 1), chain, shape)[0])).astype(dtype) < excess)
        value = (u * (3 + u * (3 + u)) * d - 1 / 3) / count
        return number + 1, jnp.where(done | ~taken, kept, value), done | taken

    full = (chain.shape[0], *shape)
    begin = jnp.zeros((), jnp.int32), jnp.zeros(full, dtype), jnp.zeros(full, bool)
    return lax.while_loop(lambda carry: ~carry[2].all(), draw, begin)[1]


def signs(words: Words, chain: Chains, shape: tuple[int, ...], dtype: DType) -> Float[Array, "chains ..."]:
    """Independent random signs ±1 of shape `(chains, *shape)`."""
    return rademacher_sum(words, chain, shape, 1).astype(dtype)


def sign_from_bit(
    pair: UInt32[Array, "2 ..."], number: Count, size: float, dtype: DType
) -> Float[Array, "..."]:
    """±`size`, minus where bit `number` of 0..63 of 64 random bits is set.

    Args:
        pair: the 64 bits, two words on the leading axis: bits 0..31 and 32..63, lowest first.
        number: which of them.
        size: the absolute value, ≥ 0.
        dtype: of the result.
    """
    place = jnp.asarray(number).astype(jnp.uint32)
    word = lax.dynamic_index_in_dim(pair, place >> jnp.uint32(5), keepdims=False)
    top = (word << (jnp.uint32(31) - (place & jnp.uint32(31)))) & jnp.uint32(1 << 31)
    # one bit into the sign of a constant: cheaper than a conversion and a product
    width = jnp.finfo(dtype).bits
    if width > 32:
        top = top.astype(jnp.uint64) << jnp.uint64(width - 32)
    elif width < 32:
        top = (top >> jnp.uint32(32 - width)).astype(f"uint{width}")
    plus = lax.bitcast_convert_type(jnp.asarray(size, dtype), top.dtype)
    return lax.bitcast_convert_type(plus ^ top, dtype)


def below(word: UInt32[Array, "..."], bound: Int[Array, "..."] | int) -> Int[Array, "..."]:
    """Random integers in 0..bound−1 from 32 random bits each: ⌊bits · bound / 2³²⌋.

    No probability is off by more than 2⁻³², a relative bias of at most bound / 2³².
    """
    factor = jnp.asarray(bound).astype(jnp.uint32)
    low_mask, shift = jnp.uint32(0xFFFF), jnp.uint32(16)
    word_high, word_low = word >> shift, word & low_mask
    factor_high, factor_low = factor >> shift, factor & low_mask
    carry = (word_low * factor_low) >> shift
    middle = word_high * factor_low + carry
    cross = word_low * factor_high + (middle & low_mask)
    result: Int[Array, ...] = (word_high * factor_high + (middle >> shift) + (cross >> shift)).astype(
        jnp.int32
    )
    return result


def chain_numbers(chains: int) -> Chains:
    """The chain numbers 0..chains−1 that key an ensemble's random numbers."""
    _checks.integer("chains", chains, at_least=1)
    return lax.iota(jnp.uint32, chains)


__dir__ = _names.public(globals())
