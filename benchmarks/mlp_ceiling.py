"""SGD of a wider MLP on digits beside the rate at which the machine multiplies matrices."""

from collections.abc import Sequence
from functools import partial

import sde_sgd as ss
from benchmarks import matrix_products
from benchmarks._ensemble import runner
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare
from benchmarks._torch import loop_over_seeds

RUNS, BATCH, LEARNING_RATE, HIDDEN = 16, 128, 0.05, (256, 256)
WIDTHS = (64, *HIDDEN, 10)


def measure(effort: Effort, whom: Sequence[str] | None = None) -> list[Row]:
    """Floating-point operations per second in matrix products.

    Args:
        effort: how long.
        whom: the peers by name; by default all.
    """
    problem = ss.problems.mlp(ss.data.digits(), hidden=HIDDEN)
    process = ss.SGD(problem, ss.Hyperparameters(LEARNING_RATE, BATCH))
    products = matrix_products.of_step(WIDTHS, BATCH)
    flops = sum(product.flops for product in products)
    ours = Contender("sde_sgd", runner(process, RUNS), RUNS * flops)
    peers = (
        Peer("best product", partial(_one_by_one, products), Target(0.65)),
        Peer("products of a step", partial(_together, products)),
        Peer("large products", _large),
        Peer(
            "PyTorch, a loop over runs",
            partial(loop_over_seeds, HIDDEN, BATCH, LEARNING_RATE, work=flops),
        ),
    )
    chosen = [peer for peer in peers if whom is None or peer.who in whom]
    name = f"mlp_ceiling, {'-'.join(map(str, WIDTHS))}, B = {BATCH}, {RUNS} runs"
    return compare(name, "FLOP", ours, chosen, effort)


def _one_by_one(products: list[matrix_products.Product]) -> list[Contender]:
    return [
        matrix_products.contender(f"its best product alone ({product})", [product], RUNS)
        for product in sorted(set(products), key=str)
    ]


def _together(products: list[matrix_products.Product]) -> list[Contender]:
    return [matrix_products.contender("all its products, each with factors of its own", products, RUNS)]


def _large() -> list[Contender]:
    return [
        matrix_products.contender(f"large products, {size}x{size}", [matrix_products.square(size)], 1)
        for size in (1024, 2048)
    ]
