"""Throughput against the number of chains, from 1 to 10⁷: the double well, ours and the peers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import jax

from benchmarks._ensemble import runner
from benchmarks._rows import Row, Target
from benchmarks._timing import (
    Contender,
    Effort,
    Entrant,
    Missing,
    announce,
    enter,
    enter_with,
    own_row,
    race,
    with_ratio,
)
from benchmarks.double_well import LEARNING_RATE, process
from benchmarks.double_well_c import libm
from benchmarks.double_well_diffrax import vmapped
from benchmarks.double_well_numba import prange
from benchmarks.double_well_torchsde import sdeint
from benchmarks.random_numbers import CHAINS, ceiling

SIZES = tuple(10**power for power in range(8))
# From here on every device has enough to do, and a larger ensemble must not be much slower.
FULL_SIZE, SHARE = 10_000, Target(0.5)
CEILING = "Gaussian random numbers alone"
# A call costs some time for each chain, so that of many chains must take seconds.
_SECONDS = {1_000_000: 0.6, 10_000_000: 2.5, 100_000_000: 4.0}
_PEER_ROUNDS = 3


@dataclass(frozen=True)
class Curve:
    """One line of the figure.

    Attributes:
        who: its name in the legend.
        build: from a number of chains to the ways of doing it.
        most: the largest ensemble that is affordable.
    """

    who: str
    build: Callable[[int], Sequence[Contender]]
    most: int = SIZES[-1]


def own_curves() -> list[Curve]:
    """What is held to the target: no ensemble from 10⁴ chains on is much slower than the best."""
    return [
        Curve("sde_sgd, two-point", partial(_ours, "two_point")),
        Curve("sde_sgd, Gaussian", partial(_ours, "gaussian")),
    ]


def peer_curves() -> list[Curve]:
    """Gaussian increments by others."""
    key = jax.random.key(0)
    return [
        Curve("C + OpenMP (libm)", lambda chains: libm(chains, LEARNING_RATE)),
        Curve("numba", lambda chains: prange(chains, LEARNING_RATE)),
        Curve("torchsde", lambda chains: sdeint(chains, LEARNING_RATE), most=1_000_000),
        Curve("diffrax, vmapped", lambda chains: vmapped(chains, LEARNING_RATE, key), most=1_000_000),
    ]


def measure(effort: Effort, sizes: Sequence[int] = SIZES) -> list[Row]:
    """Chain-steps per second of every curve at every size."""
    rows = measure_own(effort, sizes)
    short = Effort(min(_PEER_ROUNDS, effort.rounds), effort.seconds / 2)
    for curve in peer_curves():
        announce(f"ensemble_size, {curve.who}")
        rows += _theirs(curve, [size for size in sizes if size <= curve.most], short)
    top = Curve(CEILING, lambda chains: [ceiling(chains)])
    return rows + _theirs(top, [CHAINS], effort)


def measure_own(effort: Effort, sizes: Sequence[int]) -> list[Row]:
    """The same of our own curves alone."""
    rows: list[Row] = []
    for curve in own_curves():
        announce(f"ensemble_size, {curve.who}")
        rows += _own(curve, sizes, effort)
    return rows


def measure_each(effort: Effort, sizes: Sequence[int], full: int) -> list[Row]:
    """Our own curves where a size says nothing about the next; from `full` chains on with shares of the best.

    An accelerator is idle most of the time with few chains.
    """
    rows: list[Row] = []
    for curve in own_curves():
        announce(f"ensemble_size, {curve.who}")
        entrants = [enter(curve.build(size), effort.seconds) for size in sizes]
        spent = race(entrants, effort.rounds)
        own = [_row(curve, *triple) for triple in zip(sizes, entrants, spent, strict=True)]
        few = sum(size < full for size in sizes)
        rows += [*own[:few], *shares(own[few:], spent[few:], SHARE)]
    return rows


def shares(rows: Sequence[Row], spent: Sequence[Sequence[float]], target: Target) -> list[Row]:
    """Rows of one curve, each with its throughput over that of the best row."""
    best = min(spent, key=min)
    return [with_ratio(row, best, times, target) for row, times in zip(rows, spent, strict=True)]


def _own(curve: Curve, sizes: Sequence[int], effort: Effort) -> list[Row]:
    """The full sizes in one race, because they are compared; the small ones in another."""
    small = [size for size in sizes if size < FULL_SIZE]
    full = [size for size in sizes if size >= FULL_SIZE]
    rows = _theirs(curve, small, Effort(min(_PEER_ROUNDS, effort.rounds), effort.seconds))
    if not full:
        return rows
    entrants = [enter(curve.build(full[0]), effort.seconds)]
    rate = 1 / entrants[0].seconds_per_unit()
    # as many steps as fill the time at this rate: finding out for each size would take too long
    for size in full[1:]:
        seconds = max(effort.seconds, _SECONDS.get(size, 0))
        (contender,) = curve.build(size)
        entrants.append(enter_with(contender, max(1, round(seconds * rate / size))))
    spent = race(entrants, effort.rounds)
    own = [_row(curve, *triple) for triple in zip(full, entrants, spent, strict=True)]
    return rows + shares(own, spent, SHARE)


def _theirs(curve: Curve, sizes: Sequence[int], effort: Effort) -> list[Row]:
    try:
        entrants = [enter(curve.build(size), effort.seconds) for size in sizes]
    except Missing as reason:
        return [Row(_name(curve), "", "chain-steps", note=str(reason))]
    spent = race(entrants, effort.rounds)
    return [_row(curve, *triple) for triple in zip(sizes, entrants, spent, strict=True)]


def _row(curve: Curve, chains: int, entrant: Entrant, spent: Sequence[float]) -> Row:
    row = own_row(_name(curve), "chain-steps", entrant, spent)
    return replace(row, who=f"{chains:,} chain{'s' if chains > 1 else ''}", chains=chains)


def _name(curve: Curve) -> str:
    return f"ensemble_size, {curve.who}"


def _ours(increments: Literal["gaussian", "two_point"], chains: int) -> list[Contender]:
    return [Contender("sde_sgd", runner(process(increments), chains), chains)]
