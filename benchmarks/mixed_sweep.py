"""A sweep of the digits MLP over 5 batch sizes × 4 ratios × 16 seeds: 320 runs in one call."""

from collections.abc import Callable

import jax
import numpy as np

import sde_sgd as ss
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare
from benchmarks._torch import loop_over_seeds
from benchmarks.digits_mlp import HIDDEN

SIZES, RATIOS, SEEDS = (4, 8, 16, 32, 64), (0.0025, 0.005, 0.01, 0.02), 16
RUNS = len(SIZES) * len(RATIOS) * SEEDS
EPOCHS = 10  # of one sweep


def measure(effort: Effort) -> list[Row]:
    """Epochs per second, summed over runs, with the training loss at start and end."""
    problem = ss.problems.mlp(ss.data.digits(), hidden=HIDDEN)
    ours = Contender("sde_sgd.sweep", by_sweep(problem), RUNS * EPOCHS)
    peers = (
        Peer(
            "sde_sgd.run, by hand for each B",
            lambda: [Contender("sde_sgd.run, by hand for each B", by_hand(problem), RUNS * EPOCHS)],
            Target(1.1, "time"),
        ),
        Peer("PyTorch, a loop over runs", torch_loop, Target(12)),
    )
    return compare(f"mixed_sweep, {RUNS} runs", "epochs", ours, peers, effort)


def by_sweep(problem: ss.problems.EmpiricalRisk) -> Callable[[int], object]:
    """All runs in one call."""

    def run(times: int) -> object:
        return [one() for _ in range(times)]

    def one() -> object:
        return ss.sweep(
            ss.SGD,
            problem,
            batch_size=SIZES,
            ratio=RATIOS,
            seeds=SEEDS,
            epochs=EPOCHS,
            key=jax.random.key(0),
            progress=False,
        )

    return run


def by_hand(problem: ss.problems.EmpiricalRisk) -> Callable[[int], object]:
    """The same runs, an ensemble for each batch size."""
    steps_per_epoch = {size: problem.dataset_size // size for size in SIZES}
    record = {"loss": problem.loss}

    def run(times: int) -> object:
        return [one() for _ in range(times)]

    def one() -> object:
        return [
            ss.run(
                ss.SGD(problem, ss.Hyperparameters(np.tile(np.asarray(RATIOS) * size, SEEDS), size)),
                chains=len(RATIOS) * SEEDS,
                steps=EPOCHS * steps_per_epoch[size],
                record=record,
                key=jax.random.key(0),
                progress=False,
            )
            for size in SIZES
        ]

    return run


def torch_loop() -> list[Contender]:
    """One run after the other; every batch size has as many runs, so one epoch of each is timed."""
    size = ss.data.digits().size
    ways = zip(*[loop_over_seeds(HIDDEN, batch, 0.01 * batch) for batch in SIZES], strict=True)

    def together(parts: tuple[Contender, ...]) -> Contender:
        def run(epochs: int) -> None:
            for part, batch in zip(parts, SIZES, strict=True):
                part.run(epochs * (size // batch))

        return Contender(parts[0].who.replace("seeds", "runs"), run, len(SIZES))

    return [together(parts) for parts in ways]
