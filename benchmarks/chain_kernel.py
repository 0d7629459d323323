"""The steps of a formula's chains in one kernel, beside the plain loop with its launches for each step."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import jax

import sde_sgd as ss
from benchmarks._ensemble import runner
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare
from benchmarks.double_well import process

Increments = Literal["gaussian", "two_point"]
FEW, MANY = 10_000, 10_000_000
# at MANY chains, of one H100
HOPED = 50e9
WHY_NOT = "no numbers: a CPU has no kernel to compile, and interpreting one is not for speed"


def measure(effort: Effort, sizes: Sequence[int] = (FEW, MANY)) -> list[Row]:
    """Chain-steps per second of the double well, for both kinds of increments."""
    if jax.default_backend() == "cpu":
        return [Row("chain_kernel", "sde_sgd, chain_kernel", "chain-steps", note=WHY_NOT)]
    return [
        row
        for chains in sizes
        for increments in get_args(Increments)
        for row in _measured(increments, chains, effort)
    ]


def by_kernel(process: ss.Process, chains: int) -> Callable[[int], ss.Result]:
    """`runner` inside the block of the kernel."""
    with ss.chain_kernel():
        run = runner(process, chains)

    def inside(steps: int) -> ss.Result:
        with ss.chain_kernel():
            return run(steps)

    return inside


def _measured(increments: Increments, chains: int, effort: Effort) -> list[Row]:
    made = process(increments)
    kernel = Contender("sde_sgd, chain_kernel", by_kernel(made, chains), chains)
    plain = Contender("sde_sgd, plain loop", runner(made, chains), chains)
    peer = Peer(plain.who, partial(list, [plain]), Target(5) if chains == FEW else None)
    name = f"chain_kernel, {increments}, {chains:,} chains"
    rows = compare(name, "chain-steps", kernel, [peer], effort)
    return rows if chains == FEW else [*rows, _hoped(rows[0])]


def _hoped(ours: Row) -> Row:
    """What is hoped for of one H100, with ours against it."""
    assert ours.throughput is not None
    assert ours.median is not None
    ratio, median = ours.throughput / HOPED, ours.median / HOPED
    target = Target(1)
    return Row(
        ours.benchmark,
        "hoped for of an H100",
        ours.unit,
        HOPED,
        ratio=ratio,
        ratio_lowest=median,
        ratio_highest=ratio,
        target=target.value,
        met=target.met(ratio),
    )
