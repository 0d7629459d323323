"""How fast a large array goes through memory: the ceiling of whatever does little with each number."""

import jax.numpy as jnp

from benchmarks._ensemble import divisible, loop
from benchmarks._rows import Row
from benchmarks._timing import Contender, Effort, compare

# 256 MiB of float32: more than the caches of one machine hold
NUMBERS = 2**26


def measure(effort: Effort) -> list[Row]:
    """Bytes per second, read and written."""
    numbers = divisible(NUMBERS)
    add = loop(lambda step, array: array + 1, jnp.zeros((numbers,), jnp.float32))
    ours = Contender("jax.numpy, array + 1 in place", add, 2 * 4 * numbers)
    return compare("copy_bandwidth, 256 MiB", "B", ours, (), effort)
