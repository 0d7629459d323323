"""Eigenvalues of the Hessian of the digits MLP: Lanczos beside its own products and PyHessian."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

import sde_sgd as ss
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare, require
from benchmarks._torch import device, digits, mlp, thread_counts, thread_text, with_threads
from benchmarks.digits_mlp import HIDDEN

PRODUCTS, RUNS, EIGENVALUES = 15, 16, 5
# PyHessian stops when two values of a power iteration differ by less than a tolerance; beside it are as many
# of our products as are at least as exact. By default (1e-3) the worst of its five eigenvalues is off by
# .0036 (median of 16 runs; .06 at most) after some 65 products, ours after 13 by 5e-5 (.04 at most). With
# 1e-5, after some 125, by 5e-5 (1.4e-4), ours after 15 by 1e-6 (8e-5).
PAIRS = {1e-3: 13, 1e-5: PRODUCTS}


def measure(effort: Effort) -> list[Row]:
    """Products per second of one trained network, and runs per second of 16."""
    problem = ss.problems.mlp(ss.data.digits(), hidden=HIDDEN)
    process = ss.SGD(problem, ss.Hyperparameters(0.1, 16))
    thetas = ss.run(process, chains=RUNS, steps=1600, key=jax.random.key(0), progress=False).theta
    thetas = jax.tree.map(np.asarray, thetas)
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), thetas)
    alone = Contender("sde_sgd, Lanczos", repeated(jax.jit(partial(eigenvalues, problem)), one), PRODUCTS)
    bare = Contender(
        "sde_sgd, its Hessian-vector products", repeated(jax.jit(partial(power, problem)), one), PRODUCTS
    )
    rows = compare(
        f"lanczos, {PRODUCTS} products",
        "products",
        alone,
        [Peer(bare.who, partial(list, [bare]), Target(1.2, "time"))],
        effort,
    )
    for tolerance, products in PAIRS.items():
        together = Contender("sde_sgd", repeated(*over_runs(problem, thetas, products)), RUNS)
        peer = Peer("PyHessian, a loop over runs", partial(pyhessian, thetas, tolerance), Target(10))
        name = f"lanczos, {EIGENVALUES} eigenvalues by {products} products, {RUNS} runs"
        rows += compare(name, "runs", together, [peer], effort)
    return rows


def eigenvalues(problem: ss.problems.Problem, theta: Any, products: int = PRODUCTS) -> Array:
    """λ_1 … λ_5 with their residuals."""
    found = ss.curvature.top_eigenpairs(problem, theta, EIGENVALUES, products=products, key=jax.random.key(0))
    return jnp.stack([found.values, found.residuals])


def power(problem: ss.problems.Problem, theta: Any) -> Array:
    """As many Hessian-vector products and no more: each is taken of the one before, made of length 1."""
    flat, unravel = ravel_pytree(theta)
    product = jax.linearize(jax.grad(lambda at: problem.loss(unravel(at))), flat)[1]

    def step(_: Array, vector: Array) -> Array:
        moved = product(vector)
        unit: jax.Array = moved / jnp.linalg.norm(moved)
        return unit

    last: jax.Array = lax.fori_loop(0, PRODUCTS, step, jax.random.normal(jax.random.key(0), flat.shape))
    return last


def over_runs(problem: ss.problems.Problem, thetas: Any, products: int) -> tuple[Callable[[Any], Array], Any]:
    """The function for all runs, divided among the devices, and its argument.

    On a CPU one run after the other, whose arrays stay in the cache; elsewhere vmapped.
    """
    runs = len(jax.tree.leaves(thetas)[0])
    devices = jax.devices()[: math.gcd(runs, jax.device_count())]
    mesh, spec = Mesh(np.array(devices), ("runs",)), PartitionSpec("runs")
    one = partial(eigenvalues, problem, products=products)
    mapped = partial(lax.map, one) if devices[0].platform == "cpu" else jax.vmap(one)
    spread = jax.shard_map(mapped, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    return jax.jit(spread), jax.device_put(thetas, NamedSharding(mesh, spec))


def repeated(function: Callable[[Any], Array], argument: Any) -> Callable[[int], object]:
    """A call of the function in every step."""

    def run(steps: int) -> None:
        for _ in range(steps):
            jax.block_until_ready(function(argument))

    return run


def pyhessian(thetas: Any, tolerance: float) -> list[Contender]:
    """The same networks one after the other: power iteration with deflation, on all examples at once."""
    torch, library = require("torch", "pyhessian")
    inputs, targets = digits(torch)
    models = [torch_network(torch, jax.tree.map(lambda leaf: leaf[run], thetas)) for run in range(RUNS)]  # noqa: B023
    criterion = torch.nn.CrossEntropyLoss()
    cuda = device(torch) == "cuda"
    state = {"next": 0}

    def run(steps: int) -> None:
        with warnings.catch_warnings():  # backward(create_graph=True), which it calls, warns
            warnings.simplefilter("ignore")
            for _ in range(steps):
                model = models[state["next"] % RUNS]
                state["next"] += 1
                model.zero_grad(set_to_none=True)
                torch.manual_seed(0)
                found = library.hessian(model, criterion, data=(inputs, targets), cuda=cuda)
                found.eigenvalues(maxIter=1000, tol=tolerance, top_n=EIGENVALUES)

    return [
        Contender(
            f"PyHessian (tolerance {tolerance:g}, {thread_text(threads)})",
            with_threads(torch, threads, run),
            1,
        )
        for threads in thread_counts()
    ]


def torch_network(torch: Any, theta: Any) -> Any:
    """The network of one run in PyTorch."""
    model = mlp(torch, HIDDEN)
    layers = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        for layer, own in zip(layers, theta, strict=True):
            layer.weight.copy_(torch.tensor(np.asarray(own["weight"]).T.copy()))
            layer.bias.copy_(torch.tensor(np.asarray(own["bias"])))
    return model
