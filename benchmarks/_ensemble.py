"""Our side of every benchmark: `sde_sgd.run`, continued from a start that is compiled and warm."""

from collections.abc import Callable

import jax

import sde_sgd as ss


def runner(process: ss.Process, chains: int) -> Callable[[int], ss.Result]:
    """A function that runs an ensemble of the process for some steps, each time from its start."""
    key = jax.random.key(0)
    start = ss.run(process, chains=chains, steps=1, key=key)

    def run(steps: int) -> ss.Result:
        return ss.run(process, chains=chains, steps=steps, key=key, initial=start, progress=False)

    return run
