"""Euler-Maruyama of the one-dimensional double well: sde_sgd beside C, numba, torchsde, diffrax.

Everyone makes the same step, x ← x − η(x³ − x) + ησξ with ξ ~ N(0, 1), in float32.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import diffrax
import jax

import sde_sgd as ss
from benchmarks._ensemble import runner
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare
from benchmarks.double_well_c import libm, same_bits
from benchmarks.double_well_diffrax import one_path, vmapped
from benchmarks.double_well_numba import prange
from benchmarks.double_well_torchsde import sdeint
from benchmarks.random_numbers import ceiling
from sde_sgd.problems import DoubleWell

LEARNING_RATE = 0.05
FEW, MANY = 1_000, 100_000
CEILING = "ceiling: its random numbers alone"


def process(increments: Literal["gaussian", "two_point"] = "gaussian") -> ss.Langevin:
    """The Langevin SDE with η = .05 and σ = 1, by one step of Euler's method for each of SGD."""
    hyper = ss.Hyperparameters(LEARNING_RATE, 1)
    return ss.Langevin(DoubleWell(), hyper, solver=diffrax.Euler(), substeps=1, increments=increments)


def measure(effort: Effort) -> list[Row]:
    """Chain-steps per second at 10³ and 10⁵ chains; then two-point beside Gaussian increments."""
    rows: list[Row] = []
    for chains, name in ((FEW, "10^3"), (MANY, "10^5")):
        ours = Contender("sde_sgd", runner(process(), chains), chains)
        rows += compare(
            f"double_well, {name} chains",
            "chain-steps",
            ours,
            peers(chains),
            effort if chains == FEW else effort.long(),
        )
    two_point = Contender("sde_sgd, two-point", runner(process("two_point"), MANY), MANY)
    gaussian = Contender("sde_sgd, Gaussian", runner(process(), MANY), MANY)
    peer = Peer(gaussian.who, partial(list, [gaussian]), Target(2.5))
    return rows + compare("two-point increments, 10^5 chains", "chain-steps", two_point, [peer], effort)


def peers(chains: int) -> Sequence[Peer]:
    """Whom to compare with, and what the ratio should be at that number of chains."""

    def target(few: float | None, many: float | None) -> Target | None:
        value = many if chains == MANY else few
        return None if value is None else Target(value)

    key = jax.random.key(0)
    return (
        Peer("C + OpenMP (libm)", partial(libm, chains, LEARNING_RATE), target(None, 1)),
        Peer("C + OpenMP (same bits)", partial(same_bits, process(), chains, key)),
        Peer("numba", partial(prange, chains, LEARNING_RATE), target(None, 1.3)),
        Peer("torchsde", partial(sdeint, chains, LEARNING_RATE), target(20, 5)),
        Peer(
            "diffrax, vmapped over chains",
            partial(vmapped, chains, LEARNING_RATE, key),
            target(None, 5),
        ),
        Peer("diffrax, one path for all chains", partial(one_path, chains, LEARNING_RATE, key)),
        Peer(CEILING, partial(random_numbers, chains), target(None, 0.9)),
    )


def random_numbers(chains: int) -> list[Contender]:
    """What no Euler-Maruyama step on these numbers can beat."""
    return [ceiling(chains, CEILING)]
