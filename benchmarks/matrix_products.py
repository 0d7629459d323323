"""The matrix products that SGD of a dense network makes, and how fast they go alone."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Int

from benchmarks._ensemble import divisible, loop
from benchmarks._timing import Contender


@dataclass(frozen=True)
class Product:
    """One product of every run.

    Attributes:
        name: in words.
        equation: for `jax.numpy.einsum`, with the runs as the axis r.
        left, right: shapes of the factors, without the runs.
        flops: multiplications and additions, of one run.
    """

    name: str
    equation: str
    left: tuple[int, int]
    right: tuple[int, int]
    flops: int

    def __str__(self) -> str:
        return f"{self.name}, {self.left[0]}x{self.left[1]} and {self.right[0]}x{self.right[1]}"


def of_step(widths: Sequence[int], batch: int) -> list[Product]:
    """Forward and backward products of one batch; nobody asks for the gradient of the inputs."""
    products = []
    for number, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        flops = 2 * batch * fan_in * fan_out
        inputs, weight, slope = (batch, fan_in), (fan_in, fan_out), (batch, fan_out)
        products.append(Product("forward", "rbi,rio->rbo", inputs, weight, flops))
        products.append(Product("weight gradient", "rbi,rbo->rio", inputs, slope, flops))
        if number:
            products.append(Product("input gradient", "rbo,rio->rbi", slope, weight, flops))
    return products


def square(size: int) -> Product:
    """A large one, which only the processor limits."""
    return Product("square", "rbi,rio->rbo", (size, size), (size, size), 2 * size**3)


def contender(
    who: str,
    products: Sequence[Product],
    runs: int,
    dtype: DTypeLike = jnp.float32,
    precision: str | None = None,
) -> Contender:
    """These products and nothing else, each for so many runs, divided among the devices."""
    runs = divisible(runs)
    keys = jax.random.split(jax.random.key(0), (len(products), 2))
    factors = [
        (
            jax.random.normal(pair[0], (runs, *product.left), dtype),
            jax.random.normal(pair[1], (runs, *product.right), dtype),
        )
        for product, pair in zip(products, keys, strict=True)
    ]

    def multiply(product: Product, left: Array, right: Array) -> Array:
        return jnp.einsum(product.equation, left, right, precision=precision)

    def body(_: Int[Array, ""], carry: Any) -> Any:
        new = []
        for product, (left, right, before) in zip(products, carry, strict=True):
            # a number of the last result goes in, so that no product can be moved out of the loop
            here = left.at[0, 0, 0].set(before[0, 0, 0] * jnp.asarray(1e-6, dtype))
            new.append((here, right, multiply(product, here, right)))
        return new

    start = []
    for product, (left, right) in zip(products, factors, strict=True):
        result = jax.eval_shape(partial(multiply, product), left, right)
        start.append((left, right, jnp.zeros(result.shape, result.dtype)))
    return Contender(who, loop(body, start), runs * sum(product.flops for product in products))
