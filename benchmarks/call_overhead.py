"""What a call costs beside its steps: `run` and `sweep`, already compiled, beside the bare programs."""

from collections.abc import Callable
from functools import partial

import jax

import sde_sgd as ss
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare

CHAINS, SIZES, RATE = 10, (1, 2, 4), 0.05
# 4 ms where the bare call takes 27 µs
TARGET = Target(150, "time")


def measure(effort: Effort) -> list[Row]:
    """Time of a call that makes one step of 10 chains of the double well, and of a sweep for each program."""
    key, well = jax.random.key(0), ss.problems.DoubleWell()

    def run() -> object:
        return ss.run(process(1), chains=CHAINS, steps=1, key=key, progress=False)

    def sweep() -> object:
        return ss.sweep(
            ss.SGD, well, learning_rate=RATE, batch_size=SIZES, seeds=CHAINS, steps=1, key=key, progress=False
        )

    alone = Peer("jax.jit, its step alone", lambda: [_bare("its step alone", (1,))], TARGET)
    each = Peer("jax.jit, their steps alone", lambda: [_bare("their steps alone", SIZES)], TARGET)
    rows = compare("call_overhead, run", "calls", _calls("sde_sgd.run", run, 1), [alone], effort)
    return rows + compare(
        "call_overhead, sweep", "programs", _calls("sde_sgd.sweep", sweep, len(SIZES)), [each], effort
    )


def process(size: int) -> ss.SGD:
    """SGD with batches of that size, which is a program of its own."""
    return ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(RATE, size))


def _bare(who: str, sizes: tuple[int, ...]) -> Contender:
    """One step of each of these, and nothing else."""
    key = jax.random.key(0)
    programs = []
    for size in sizes:
        own = process(size)
        state = ss.run(own, chains=CHAINS, steps=1, key=key, progress=False).state
        step = jax.jit(partial(own.advance, start=0, steps=1, key=key))
        programs.append(partial(step, jax.tree.map(jax.numpy.asarray, state)))
    return _calls(f"jax.jit, {who}", lambda: jax.block_until_ready([step() for step in programs]), len(sizes))


def _calls(who: str, call: Callable[[], object], work: int) -> Contender:
    """So many calls are the steps of this one."""

    def run(times: int) -> None:
        for _ in range(times):
            call()

    return Contender(who, run, work)
