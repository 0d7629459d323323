"""How fast is it there: the ceilings of the device, and what is reached of them."""

import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sde_sgd as ss
from benchmarks import (
    chain_kernel,
    copy_bandwidth,
    digits_mlp,
    digits_mlp_sde,
    ensemble_size,
    escape,
    exact_noise_step,
    lanczos,
    matrix_products,
    mlp_ceiling,
    random_numbers,
)
from benchmarks._ensemble import runner
from benchmarks._rows import Row, table
from benchmarks._timing import Contender, Effort, compare
from benchmarks.accelerator._step import Found

_TRIED, _FULL = Effort(rounds=1, seconds=0.02), Effort(rounds=3, seconds=0.15)
_SIZES = tuple(10**power for power in range(3, 9))
# chains from which on a GPU has enough to do
_ENOUGH = {True: 10_000, False: 1_000_000}
_SEEDS = (64, 1_024, 16_384)
_BATCHES, _RATIOS, _RUNS_OF_EACH = tuple(range(8, 48, 4)), tuple(np.geomspace(0.001, 0.01, 10)), 100
_CURVATURE_RUNS = 1_000
# sides of square products: the smaller is only to be tried
_SQUARES = {True: 128, False: 8192}


def effort(smoke: bool) -> Effort:
    """How long one timing takes."""
    return _TRIED if smoke else _FULL


def ceilings(smoke: bool) -> Found:
    """Normal numbers, bytes and products per second, in one run: what nothing on the device can beat."""
    chains = 10_000 if smoke else 10_000_000
    numbers = compare(
        f"random_numbers, {chains:,} a step", "numbers", random_numbers.ceiling(chains), (), effort(smoke)
    )
    return found([*numbers, *copy_bandwidth.measure(effort(smoke)), *_products(smoke)])


def _products(smoke: bool) -> list[Row]:
    """Large products at float32's own precision, with factors rounded to 10 bits, and in bfloat16."""
    size = _SQUARES[smoke]
    kinds: dict[str, tuple[Any, str | None]] = {
        "float32": (jnp.float32, "float32"),
        "TF32": (jnp.float32, "tensorfloat32"),
        "bfloat16": (jnp.bfloat16, None),
    }
    if jax.default_backend() == "cpu":
        del kinds["TF32"]  # a processor has none
    rows: list[Row] = []
    for name, (dtype, precision) in kinds.items():
        who = f"{name}, {size}x{size}"
        product = matrix_products.contender(who, [matrix_products.square(size)], 1, dtype, precision)
        rows += compare(f"matrix_products, {name}", "FLOP", product, (), effort(smoke))
    return rows


def ensembles(smoke: bool) -> Found:
    """Euler-Maruyama of the double well from 10³ to 10⁸ chains, Gaussian and two-point increments."""
    sizes = _SIZES[:2] if smoke else _SIZES
    return found(ensemble_size.measure_each(effort(smoke), sizes, _ENOUGH[smoke]))


def kernel(smoke: bool) -> Found:
    """The double well in one kernel beside the plain loop, at 10⁴ and 10⁷ chains."""
    return found(chain_kernel.measure(effort(smoke)))


def network_seeds(smoke: bool) -> Found:
    """SGD of the digits MLP: steps per second, summed over the seeds of one ensemble."""
    rows: list[Row] = []
    for seeds in _SEEDS[:1] if smoke else _SEEDS:
        rows += compare(f"digits_mlp, {seeds} seeds", "steps", digits_mlp.ours(seeds), (), effort(smoke))
    return found(rows)


def network_products(smoke: bool) -> Found:
    """SGD of the 64-256-256-10 MLP beside its own matrix products."""
    peers = ["products of a step"] if smoke else ["best product", "products of a step"]
    return found(mlp_ceiling.measure(effort(smoke), peers))


def large_sweep(smoke: bool) -> Found:
    """10,000 runs over B, η/B and seeds in one call of `sweep`, warm."""
    problem = ss.problems.mlp(ss.data.digits(), hidden=digits_mlp.HIDDEN)
    batches, ratios, seeds = (_BATCHES[:2], _RATIOS[:2], 2) if smoke else (_BATCHES, _RATIOS, _RUNS_OF_EACH)
    spent = []
    for _ in range(2):
        began = time.perf_counter()
        result = ss.sweep(
            ss.SGD, problem, batch_size=batches, ratio=ratios, seeds=seeds, epochs=1, key=jax.random.key(0),
            progress=False,
        )  # fmt: skip
        spent.append(time.perf_counter() - began)
    runs = len(batches) * len(ratios) * seeds
    rate = runs / spent[-1]
    row = Row(f"large_sweep, {runs:,} runs of one epoch", "sde_sgd.sweep", "epochs", rate, rate)
    lost = int(result.dataset.diverged_at.values.max() >= 0)
    lines = [f"first call {spent[0]:.1f} s with compilation, then {spent[1]:.1f} s"]
    return Found([*lines, *_lines([row])], {"seconds": spent, "diverged": lost}, [row])


def sde(smoke: bool) -> Found:
    """The SDE with exact gradient noise: one step, and 64 seeds."""
    rows = exact_noise_step.measure(effort(smoke))
    return found(rows if smoke else [*rows, *digits_mlp_sde.measure(effort(smoke))])


def curvature(smoke: bool) -> Found:
    """The five largest eigenvalues of the Hessian of 1,000 digits MLPs at once."""
    runs = 8 if smoke else _CURVATURE_RUNS
    problem = ss.problems.mlp(ss.data.digits(), hidden=digits_mlp.HIDDEN)
    process = ss.SGD(problem, ss.Hyperparameters(0.1, 16))
    steps = 20 if smoke else 800
    thetas = ss.run(process, chains=runs, steps=steps, key=jax.random.key(0), progress=False).theta
    ours = Contender("sde_sgd", lanczos.repeated(*lanczos.over_runs(problem, thetas, lanczos.PRODUCTS)), runs)
    name = f"lanczos, {lanczos.EIGENVALUES} eigenvalues by {lanczos.PRODUCTS} products, {runs:,} runs"
    return found(compare(name, "runs", ours, (), effort(smoke)))


def exits(smoke: bool) -> Found:
    """Chains that are put back where they leave, beside chains that do not leave."""
    return found(escape.beside_plain(effort(smoke)))


def residual_network(smoke: bool) -> Found:
    """SGD of a ResNet-20 on generated images of 32 × 32 × 3: images per second, 1 run and 16."""
    depth, side, size, batch = (8, 8, 64, 4) if smoke else (20, 32, 2048, 128)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(size, side, side, 3)).astype(np.float32)
    problem = ss.problems.resnet(ss.data.Dataset(images, rng.integers(0, 10, size), classes=10), depth=depth)
    process = ss.SGD(problem, ss.Hyperparameters(0.05, batch))
    rows: list[Row] = []
    for runs in (1,) if smoke else (1, 16):
        ours = Contender("sde_sgd", runner(process, runs), runs * batch)
        rows += compare(f"resnet-{depth}, B = {batch}, {runs} runs", "images", ours, (), effort(smoke))
    return found(rows)


def found(rows: Sequence[Row]) -> Found:
    """Rows, and the table of them."""
    return Found(_lines(rows), rows=rows)


def _lines(rows: Sequence[Row]) -> list[str]:
    return table(rows).splitlines()
