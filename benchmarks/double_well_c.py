"""The double well in C, built on the spot by gcc."""

import ctypes
import functools
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Key

import sde_sgd as ss
from benchmarks._timing import Contender, Missing

_SOURCE = Path(__file__).with_name("double_well.c")
_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC")
_CHECK_STEPS, _CHECK_TOLERANCE = 50, 1e-3


@functools.cache
def library() -> Any:
    """The compiled functions of double_well.c.

    Raises:
        Missing: if there is no gcc, or it cannot build the file.
    """
    if shutil.which("gcc") is None:
        raise Missing("not installed; install gcc")
    with tempfile.TemporaryDirectory() as folder:
        compiled, linked = Path(folder, "double_well.o"), Path(folder, "double_well.so")
        # gcc takes half the vectors that the processor has unless it is told otherwise
        wide = ("-mprefer-vector-width=512",) if platform.machine() == "x86_64" else ()
        _gcc(*_FLAGS, *wide, "-c", str(_SOURCE), "-o", str(compiled))
        # linked apart: -ffast-math there would switch off denormal numbers in the whole process
        _gcc("-shared", "-fopenmp", str(compiled), "-o", str(linked), "-lm")
        loaded = ctypes.CDLL(str(linked))
    position, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    loaded.double_well_libm.argtypes = [position, count, count, number, number, ctypes.c_uint64]
    loaded.double_well_libm.restype = None
    word = ctypes.c_uint32
    loaded.double_well_same_bits.argtypes = [position, count, count, number, number, word, word]
    loaded.double_well_same_bits.restype = ctypes.c_int
    return loaded


def _gcc(*arguments: str) -> None:
    done = subprocess.run(["gcc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        first = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise Missing(f"gcc cannot build it: {first.rsplit('/', 1)[-1]}")


def libm(chains: int, rate: float) -> list[Contender]:
    """A generator per thread, Box and Muller's transform with the C library's functions."""
    step = library().double_well_libm
    x = np.zeros(chains, np.float32)

    def run(steps: int) -> None:
        step(x.ctypes.data, chains, steps, rate, rate, 1)

    return [Contender("C + OpenMP (libm)", run, chains)]


def same_bits(process: ss.Langevin, chains: int, key: Key[Array, ""]) -> list[Contender]:
    """The same numbers as sde_sgd's, in a loop that gcc vectorises.

    Raises:
        RuntimeError: if they are not the same.
    """
    step = library().double_well_same_bits
    rate = float(process.hyper.learning_rate)
    words = [int(word) for word in np.asarray(ss.random.stream(key, ss.random.Stream.BROWNIAN))]

    def move(x: np.ndarray, steps: int) -> None:
        if step(x.ctypes.data, len(x), steps, rate, rate, *words):
            raise MemoryError(f"no memory for the keys of {steps} steps.")

    _check_same(process, chains, key, move)
    x = np.zeros(chains, np.float32)
    return [Contender("C + OpenMP (same bits)", lambda steps: move(x, steps), chains)]


def _check_same(process: ss.Langevin, chains: int, key: Key[Array, ""], move: Any) -> None:
    theirs = np.linspace(-1.5, 1.5, chains, dtype=np.float32)
    result = ss.run(process, chains=chains, steps=_CHECK_STEPS, key=key, initial=theirs)
    ours = np.asarray(result.theta)
    move(theirs, _CHECK_STEPS)
    difference = float(np.abs(ours - theirs).max())
    if not difference <= _CHECK_TOLERANCE:
        raise RuntimeError(
            f"double_well.c and sde_sgd differ by {difference:.2g} after {_CHECK_STEPS} steps "
            f"(at most {_CHECK_TOLERANCE:g} is rounding): bring the generator in "
            f"double_well.c in line with sde_sgd.random."
        )
