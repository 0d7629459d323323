"""Means and variances of samples without end, by blocks, in sums that do not saturate.

A float32 counts ones up to 2²⁴ and stays there. So a few samples at a time are summed up plainly, which
costs next to nothing, and the sums of such blocks in pairs of floats with twice the digits. What
comes out depends on the samples alone, not on where a run is cut.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

# Samples in a block: so few that plain sums lose nothing that matters, so many that pairs cost nothing.
BLOCK = 256

Pair = tuple[Array, Array]


def add(total: Pair, term: Array) -> Pair:
    """The sum of a pair (high, low) and a term, as a pair: high is the sum rounded, low the rest of it.

    No product is rounded here, so it does not matter whether a compiler fuses products with sums.

    Source: Knuth 1998, *The Art of Computer Programming* 2, 4.2.2, theorems B and C; Dekker 1971.
    """
    high, low = total
    coarse = high + term
    took = coarse - high
    low = low + ((high - (coarse - took)) + (term - took))
    high = coarse + low
    return high, low - (high - coarse)


def add_sample(block: Pair, value: Array, taken: Int[Array, "..."], gather: Bool[Array, "..."]) -> Pair:
    """Mean and sum of squared deviations of a block after one more sample.

    Args:
        block: the two before it.
        value: the sample.
        taken: how many samples there are with it.
        gather: where it is false nothing changes, whatever the value.

    Source: Welford 1962, Technometrics 4, 419.
    """
    mean, square = block
    weight = 1 / jnp.maximum(taken, 1).astype(value.dtype)
    new = mean + weight * (value - mean)
    return (
        jnp.where(gather, new, mean),
        jnp.where(gather, square + (value - mean) * (value - new), square),
    )


def add_block(
    mean: Pair, square: Pair, merged: Int[Array, "..."], block: Pair, taken: Int[Array, "..."]
) -> tuple[Pair, Pair]:
    """Mean and sum of squared deviations, in pairs, of `merged` samples and a block of `taken` more.

    The samples of the block are counted from the high part of `mean`.

    Source: Chan, Golub, LeVeque 1983, The American Statistician 37, 242.
    """
    gap = block[0] - mean[1]
    dtype = gap.dtype
    share = taken.astype(dtype) / jnp.maximum(merged + taken, 1).astype(dtype)
    between = gap * gap * (share * merged.astype(dtype))
    return add(mean, share * gap), add(add(square, block[1]), between)


def whole(block: Any, mean: Any, square: Any, merged: Any, count: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sum of squared deviations of all samples, in float64 on the host.

    Args:
        block: the two of the samples that were not merged, counted from the high part of `mean`.
        mean, square: pairs of those that were.
        merged: how many that is, but for chains that have stopped before.
        count: samples of each chain, shape `(chains,)`.
    """
    block, mean, square = ([np.asarray(part, np.float64) for part in pair] for pair in (block, mean, square))
    before = np.minimum(count, merged).reshape(-1, *(1,) * (block[0].ndim - 1))
    share = 1 - before / np.maximum(count, 1).reshape(before.shape)
    gap = block[0] - mean[1]
    return sum(mean) + share * gap, sum(square) + block[1] + gap * gap * share * before
