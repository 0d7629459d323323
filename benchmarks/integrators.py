"""What it costs to integrate the SDE: the default solvers beside one step of Euler's method.

Throughputs are in steps of SGD's clock, whatever the number of solver steps in each. What they buy is in
the docstring of `Langevin`: one Euler step has the stationary law of SGD, not that of the SDE.
"""

from functools import partial
from typing import Any

import diffrax

import sde_sgd as ss
from benchmarks._ensemble import runner
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare

CHAINS = 100_000
SEEDS = 8


def measure(effort: Effort) -> list[Row]:
    """On the double well at 10^5 chains, where C = σ²I, and on the digits MLP, where C depends on θ."""
    well, hyper = ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 1)
    digits = ss.problems.mlp(ss.data.digits(), hidden=(64, 64))
    rows = _rows(
        "integrators, double well, 10^5 chains",
        {
            "default: Leimkuhler-Matthews": ss.Langevin(well, hyper),
            "Euler, 1 substep": ss.Langevin(well, hyper, solver=diffrax.Euler(), substeps=1),
            "Euler, 16 substeps": ss.Langevin(well, hyper, solver=diffrax.Euler(), substeps=16),
            "Heun, 4 substeps": ss.Langevin(well, hyper, solver=diffrax.Heun(), substeps=4),
        },
        CHAINS,
        {"Euler, 1 substep": Target(0.8)},
        effort.long(),
    )
    return rows + _rows(
        f"integrators, digits MLP, {SEEDS} seeds",
        {
            "default: Euler, 32 substeps": ss.Langevin(digits, ss.Hyperparameters(0.05, 8)),
            "Euler, 1 substep": ss.Langevin(digits, ss.Hyperparameters(0.05, 8), substeps=1),
            "SGD": ss.SGD(digits, ss.Hyperparameters(0.05, 8)),
        },
        SEEDS,
        {},
        effort,
    )


def _rows(
    name: str, processes: dict[str, Any], chains: int, targets: dict[str, Target], effort: Effort
) -> list[Row]:
    ours, *others = (Contender(who, runner(process, chains), chains) for who, process in processes.items())
    peers = [Peer(other.who, partial(list, [other]), targets.get(other.who)) for other in others]
    return compare(name, "chain-steps", ours, peers, effort)
