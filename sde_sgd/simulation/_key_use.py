"""Which keys have been used here, so that a second stage on the noise of the first is noticed."""

import collections
import hashlib
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd._platform._telling import warn
from sde_sgd._platform.reading import _traces
from sde_sgd.processes._base import Process
from sde_sgd.random import Words

# chains that are compared, and runs that are remembered
_CHAINS, _RUNS = 8, 256
_SMALL = 2**16  # bytes


@dataclass(frozen=True)
class _Use:
    """Steps `start` to `end` of the streams of a key, and the mark of the parameters where they ended."""

    key: bytes
    streams: frozenset[str]
    start: int
    end: int
    mark: bytes


_USES: collections.deque[_Use] = collections.deque(maxlen=_RUNS)


def warn_of_repeated_noise(
    process: Process, key: Key[Array, ""], initial: PyTree, steps: int, stacklevel: int
) -> None:
    """Warn if a run starts from the parameters at which one of the same key ended, and repeats its steps.

    Its noise would then be that which has made these parameters: no error of the program, but variances
    that grow with the square of the number of stages. A run that is only done again is not meant, nor an SDE
    beside SGD under one key: their streams are others.
    """
    name, marked = _name(key), None
    same = [use for use in _USES if use.key == name and use.start < steps]
    streams = _streams(process, key) if same else frozenset()
    for use in same:
        if not use.streams & streams:
            continue
        marked = _mark(initial) if marked is None else marked
        if marked == use.mark:
            warn(
                f"initial is where a run of {use.end - use.start} steps with this very key ended: from step "
                f"0 on its noise would come again, and with it what it did to the parameters. Continue with "
                f"initial=result, which goes on in time, or take another key, jax.random.fold_in(key, 1).",
                stacklevel=stacklevel + 1,
            )
            return


def remember(
    process: Process, key: Key[Array, ""], initial: PyTree | None, theta: PyTree, start: int, end: int
) -> None:
    """Note a run that has ended at the parameters `theta`; nothing where they did not move by noise."""
    rows = _rows(theta)
    alone = all(len(leaf) < 2 for leaf in rows)
    if not alone and all((leaf == leaf[:1]).all() for leaf in rows):
        return
    marked = _mark(theta)
    if initial is None or _mark(initial) != marked:
        _USES.append(_Use(_name(key), _streams(process, key), start, end, marked))


def _name(key: Key[Array, ""]) -> bytes:
    return str(jax.random.key_impl(key)).encode() + np.asarray(jax.random.key_data(key)).tobytes()


def _streams(process: Process, key: Key[Array, ""]) -> frozenset[str]:
    return frozenset(_words.shapes(process, key))


@_traces.jit
def _words(process: Process, key: Key[Array, ""]) -> dict[str, Words]:
    return process.streams(key)


def _rows(theta: PyTree) -> list[np.ndarray]:
    """The parameters of the first chains, or where they are one chain's some of them."""
    leaves = [leaf if np.ndim(leaf) else np.reshape(leaf, 1) for leaf in jax.tree.leaves(theta)]
    # a small array is on the host sooner than a part of it is cut off on its devices
    near = [np.asarray(leaf) if leaf.nbytes <= _SMALL else leaf for leaf in leaves]
    return [np.asarray(leaf[:_CHAINS], np.float64) for leaf in near]


def _mark(theta: PyTree) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for leaf in _rows(theta):
        found.update(repr(leaf.shape).encode() + leaf.tobytes())
    return found.digest()
