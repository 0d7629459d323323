"""Looking at the sharpest directions of a network during SGD, and scaling steps along them, beside plain SGD.

A Hessian product over all examples is some four times the arithmetic of an epoch's forward passes, and five
eigenvectors are ten products or more: an epoch of SGD is less. So there are rows for fewer examples, and for
fewer epochs.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

import sde_sgd as ss
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare
from benchmarks.digits_mlp import HIDDEN

CHAINS, BATCH, RATE, FEW = 2, 16, 0.1, 64
EPOCHS = 100  # of a run that is looked at on a schedule
PLACES = (1, 2, 3, 5, 10, 20, 50, 100)
TRACKED, NUDGED = 1.35, 1.5  # times plain SGD


def measure(effort: Effort, chains: int = CHAINS) -> list[Row]:
    """Epochs per second of SGD that is looked at or nudged, times how much longer they take."""
    net = ss.problems.mlp(ss.data.digits(), hidden=HIDDEN)
    rows = []
    for name, subset in (("all examples", None), (f"{FEW} examples", FEW)):
        looked = {"λ": ss.curvature.Sharpness(net, 5, products=15, subset=subset)}
        for when, every in (("each epoch", 1), (f"{len(PLACES)} times in {EPOCHS} epochs", PLACES)):
            ours = _contender("sde_sgd, λ₁ to λ₅", _sgd(net), chains, record=looked, every=every)
            rows += _beside_plain(net, f"tracking {when}, {name}", ours, chains, TRACKED, every, effort)
        for epochs in (1, 10):
            steps = epochs * (net.dataset_size or 0) // BATCH
            optimizer = ss.curvature.nudged(optax.sgd, net, 5, every=steps, subset=subset)
            ours = _contender("sde_sgd, curvature.nudged", _sgd(net, optimizer=optimizer), chains)
            told = "each epoch" if epochs == 1 else f"every {epochs} epochs"
            rows += _beside_plain(net, f"nudged, refreshed {told}, {name}", ours, chains, NUDGED, 10, effort)
    return rows


def _sgd(net: ss.problems.EmpiricalRisk, **options: Any) -> ss.SGD:
    return ss.SGD(net, ss.Hyperparameters(RATE, BATCH), sampling="shuffle", **options)


def _beside_plain(
    net: ss.problems.EmpiricalRisk,
    name: str,
    ours: Contender,
    chains: int,
    target: float,
    every: int | Sequence[int],
    effort: Effort,
) -> list[Row]:
    """Beside plain SGD that is stopped as often, to look at nothing but its first parameter."""
    record = {"nothing": _first}
    plain = _contender("sde_sgd, plain SGD", _sgd(net), chains, record=record, every=every)
    peer = Peer(plain.who, partial(list, [plain]), Target(target, "time"))
    many = "" if chains == CHAINS else f", {chains} chains"
    return compare(f"sharpest directions, {name}{many}", "epochs", ours, [peer], effort)


def _first(theta: Any) -> jax.Array:
    first: jax.Array = jax.tree.leaves(theta)[0].ravel()[0]
    return first


def _contender(
    who: str, process: ss.Process, chains: int, *, record: Any = None, every: Any = 10
) -> Contender:
    """A round of n is n times 10 epochs, or n runs on a schedule; each run from the start."""
    epochs = EPOCHS if np.ndim(every) else 10
    return Contender(who, _runs(process, chains, epochs, record, every), chains * epochs)


def _runs(process: ss.Process, chains: int, epochs: int, record: Any, every: Any) -> Callable[[int], object]:
    def run(times: int) -> None:
        for _ in range(times):
            ss.run(
                process,
                chains=chains,
                epochs=epochs,
                every=every,
                record=record,
                key=jax.random.key(0),
                progress=False,
            )

    return run
