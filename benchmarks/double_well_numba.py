"""The double well in numba, with NumPy's generator and with a hand-written one."""

from typing import Any

import numpy as np

from benchmarks._timing import Contender, require


def prange(chains: int, rate: float) -> list[Contender]:
    """Threads over chains, the loop over steps inside; two generators to choose from."""
    (numba,) = require("numba")
    x = np.zeros(chains, np.float32)
    factor = np.float32(rate)
    numpys, written = _with_numpy_generator(numba), _with_xoshiro(numba)
    parts = numba.get_num_threads()
    return [
        Contender("numba (np.random.normal)", lambda steps: numpys(x, steps, factor, factor), chains),
        Contender("numba (xoshiro128++)", lambda steps: written(x, steps, factor, factor, parts), chains),
    ]


def _with_numpy_generator(numba: Any) -> Any:
    def advance(x: Any, steps: Any, rate: Any, scale: Any) -> None:
        for chain in numba.prange(x.size):
            y = x[chain]
            for _ in range(steps):
                y += scale * np.float32(np.random.normal()) - rate * (y * y * y - y)
            x[chain] = y

    return numba.njit(parallel=True, fastmath=True)(advance)


def _with_xoshiro(numba: Any) -> Any:
    """The generator and the loop of double_well.c's first function."""
    u32, f32 = np.uint32, np.float32
    to_unit, half, two_pi = f32(2.0**-32), f32(0.5), f32(2 * np.pi)

    def plain_rotate(x: Any, by: Any) -> Any:
        return u32(u32(x << u32(by)) | u32(x >> u32(32 - by)))

    rotate = numba.njit(plain_rotate)

    def plain_draw(a: Any, b: Any, c: Any, d: Any) -> Any:
        result = u32(rotate(u32(a + d), 7) + a)
        t = u32(b << u32(9))
        c = u32(c ^ a)
        d = u32(d ^ b)
        b = u32(b ^ c)
        a = u32(a ^ d)
        c = u32(c ^ t)
        return (f32(result) + half) * to_unit, a, b, c, rotate(d, 11)

    draw = numba.njit(fastmath=True)(plain_draw)

    def advance(x: Any, steps: Any, rate: Any, scale: Any, parts: Any) -> None:
        for part in numba.prange(parts):
            a, b, c, d = u32(0x9E3779B9), u32(part + 1), u32(0xD1B54A32), u32(0x94D049BB)
            for chain in range(part * x.size // parts, (part + 1) * x.size // parts):
                y = x[chain]
                for step in range(0, steps, 2):
                    u, a, b, c, d = draw(a, b, c, d)
                    v, a, b, c, d = draw(a, b, c, d)
                    radius = scale * np.sqrt(f32(-2) * np.log(u))
                    angle = two_pi * v
                    y += radius * np.cos(angle) - rate * (y * y * y - y)
                    if step + 1 < steps:
                        y += radius * np.sin(angle) - rate * (y * y * y - y)
                x[chain] = y

    return numba.njit(parallel=True, fastmath=True)(advance)
