"""The Pallas kernel: a tile of chains in registers, all steps of it, then the next tile."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from sde_sgd.simulation._kernel import _lanes
from sde_sgd.simulation._kernel._one_chain import OneChain

# Chains to a program on a GPU, of four warps. Few chains are spread over all its multiprocessors; of many a
# thread takes several, which share the work on what they have in common: the words of a step's numbers.
_WARPS = 4
_FEW_TILE, _MANY_TILE = 32 * _WARPS, 4 * 32 * _WARPS
_MANY_CHAINS = 2**18
# a vector register of a TPU
_TPU_TILE = (8, 128)


def tile(chains: int, platform: str) -> tuple[int, ...]:
    """The shape in which a program holds its chains: lanes of a vector, and rows of it on a TPU."""
    if platform == "tpu":
        return _TPU_TILE
    return (_MANY_TILE if chains >= _MANY_CHAINS else _FEW_TILE,)


def launch(
    chain: OneChain, inputs: Sequence[Array], chains: int, platform: str, *, interpret: bool
) -> list[Array]:
    """What the program of one chain gives for each of many.

    Args:
        chain: the program, and which of its inputs have one entry for each chain.
        inputs: its inputs, those with a leading axis of `chains`.
        chains: how many there are.
        platform: "gpu" or "tpu", which the kernel is compiled for; any, where it is interpreted.
        interpret: step through it with XLA instead.

    Returns:
        Its outputs, all with a leading axis of `chains`.
    """
    lanes = tile(chains, platform)
    blocks = -(-chains // math.prod(lanes))
    tables = _Tables([value for value, own in zip(inputs, chain.per_chain, strict=True) if not own])
    rows = [
        _row(column, blocks, lanes)
        for value, own in zip(inputs, chain.per_chain, strict=True)
        if own
        for column in value.reshape(chains, -1).T
    ]
    results = chain.program.out_avals
    out_rows = [
        jax.ShapeDtypeStruct(_whole(blocks, lanes), result.dtype)
        for result in results
        for _ in range(math.prod(result.shape))
    ]
    call = _pallas_call(
        partial(_body, chain, tables, lanes), blocks, len(tables.arrays), rows, out_rows, platform, interpret
    )
    columns = iter(call(*tables.arrays, *rows))

    def collected(result: Any) -> Array:
        here = [next(columns).reshape(-1)[:chains] for _ in range(math.prod(result.shape))]
        return jnp.stack(here, axis=1).reshape(chains, *result.shape[1:])

    return [collected(result) for result in results]


class _Tables:
    """Numbers that all chains share, one array of them for each dtype, as a kernel takes them.

    Args:
        values: arrays of any shapes.

    Attributes:
        arrays: the tables.
    """

    def __init__(self, values: Sequence[Array]):
        self.shapes = [(value.dtype, value.shape) for value in values]
        self.dtypes = list(dict.fromkeys(value.dtype for value in values))
        self.arrays = [
            jnp.concatenate([jnp.ravel(value) for value in values if value.dtype == dtype])
            for dtype in self.dtypes
        ]

    def read(self, refs: Sequence[Any]) -> list[_lanes.Cells]:
        """The values as cells, number by number."""
        by_dtype = dict(zip(self.dtypes, refs, strict=True))
        places = dict.fromkeys(self.dtypes, 0)
        found = []
        for dtype, shape in self.shapes:
            size = math.prod(shape)
            found.append(
                _lanes.filled(shape, [by_dtype[dtype][places[dtype] + number] for number in range(size)])
            )
            places[dtype] += size
        return found


def _body(chain: OneChain, tables: _Tables, lanes: tuple[int, ...], *refs: Any) -> None:
    """What one program of the kernel does."""
    shared = iter(tables.read(refs[: len(tables.arrays)]))
    rows = iter(refs[len(tables.arrays) :])
    inputs = [
        _lanes.filled(value.shape, [next(rows)[...] for _ in range(math.prod(value.shape))])
        if own
        else next(shared)
        for value, own in zip(chain.program.in_avals, chain.per_chain, strict=True)
    ]
    for result in _lanes.evaluate(chain.program, inputs):
        for number in result.flat:
            next(rows)[...] = _lanes.spread(number, lanes)


def _whole(blocks: int, lanes: tuple[int, ...]) -> tuple[int, ...]:
    return (blocks * lanes[0], *lanes[1:])


def _row(column: Array, blocks: int, lanes: tuple[int, ...]) -> Array:
    """Numbers of the chains in whole tiles: the last chain fills up the last of them."""
    missing = blocks * math.prod(lanes) - column.size
    return jnp.pad(column, (0, missing), mode="edge").reshape(_whole(blocks, lanes))


def _pallas_call(
    body: Callable[..., None],
    blocks: int,
    tables: int,
    rows: Sequence[Array],
    results: Sequence[jax.ShapeDtypeStruct],
    platform: str,
    interpret: bool,
) -> Callable[..., list[Array]]:
    """The kernel to call with the tables, whole, and the rows, tile by tile."""
    from jax.experimental import pallas as pl

    lanes = (results[0].shape[0] // blocks, *results[0].shape[1:])
    own = pl.BlockSpec(lanes, lambda block: (block, *(0 for _ in lanes[1:])))
    whole, options = pl.BlockSpec(), None
    if not interpret and platform == "tpu":
        from jax.experimental.pallas import tpu as pltpu

        whole = pl.BlockSpec(memory_space=pltpu.SMEM)
    elif not interpret:
        from jax.experimental.pallas import triton

        options = triton.CompilerParams(num_warps=_WARPS)
    called: Callable[..., list[Array]] = pl.pallas_call(
        body,
        grid=(blocks,),
        in_specs=[whole] * tables + [own] * len(rows),
        out_specs=[own] * len(results),
        out_shape=list(results),
        interpret=interpret,
        name="chain_kernel",
        compiler_params=options,
    )
    return called
