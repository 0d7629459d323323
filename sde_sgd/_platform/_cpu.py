"""A CPU used whole: one device for each core, vectors as wide as it has them."""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jax
import jaxlib

from sde_sgd import _checks

_WIDTH = "xla_cpu_prefer_vector_width"
_COUNT = "xla_force_host_platform_device_count"
_WIDE = 512


@dataclass(frozen=True)
class CPUUse:
    """What `use_cpu` has set.

    Attributes:
        devices: JAX devices that the CPU is now, one for each core.
        vector_bits: widest vectors that compiled loops may use; None where it is left to XLA.
        note: why vectors are not wide; "" where they are, or were not asked for.
    """

    devices: int
    vector_bits: int | None
    note: str = ""


_in_use: list[CPUUse] = []
# XLA_FLAGS before the last call, and as it left them
_flags: list[tuple[str, str]] = []


def use_cpu(cores: int | None = None, wide_vectors: bool = True) -> CPUUse:
    """Let programs use the whole CPU: call it first, before the first array.

    To JAX a CPU is one device, and XLA makes vectors of 256 bits. This sets JAX's own option
    `jax_num_cpu_devices` and, in the environment variable `XLA_FLAGS`, XLA's `xla_cpu_prefer_vector_width`,
    for the whole process and those it starts. On a GPU or TPU it changes nothing that is computed there.
    Vectors of another width may round sums in another order: what must agree to the last bit is computed
    with the same.

    Args:
        cores: devices, over which `run` and `sweep` spread chains; by default the cores that this process
            may use.
        wide_vectors: take vectors of 512 bits where the processor has them. A width that `XLA_FLAGS` holds
            already stays.

    Returns:
        `CPUUse`: what was set.

    Raises:
        ValueError: if JAX has been initialised, and is set otherwise; or if `XLA_FLAGS` has a number of
            devices of its own.
    """
    count = available_cores() if cores is None else _checks.integer("cores", cores, at_least=1)
    _checks.flag("wide_vectors", wide_vectors)
    flags = os.environ.get("XLA_FLAGS", "")
    if _flags and flags == _flags[-1][1]:
        flags = _flags[-1][0]
    if f"{_COUNT}=" in flags:
        raise ValueError(
            f"cores={count} cannot be set: XLA_FLAGS={flags!r} holds a number of devices of its own. Take "
            f"--{_COUNT} out of it."
        )
    bits, note = _width(flags) if wide_vectors else (_given(flags), "")
    wanted = CPUUse(count, bits, note)
    if _in_use and _in_use[-1] == wanted:
        return wanted
    with _named(count, wanted):
        # once initialised, JAX takes the number that it has, and no other: so that one is tried too
        jax.config.update("jax_num_cpu_devices", count + 1)
        jax.config.update("jax_num_cpu_devices", count)
    now = flags if bits is None or _given(flags) is not None else f"{flags} --{_WIDTH}={bits}".strip()
    if now != os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = now
    _in_use[:], _flags[:] = [wanted], [(flags, now)]
    return wanted


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _named(count: int, wanted: CPUUse) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ValueError(
            f"cores={count} cannot be set any more: JAX has been initialised, by an array, a key or "
            f"jax.devices(), and has {jax.local_device_count()} {jax.default_backend()} device(s). Call "
            f"use_cpu first in the program, after the imports; in a notebook restart the kernel. It would "
            f"set {wanted}."
        ) from error


def _width(flags: str) -> tuple[int | None, str]:
    """Wide vectors where there are any, else why not."""
    given = _given(flags)
    if given is not None:
        return given, "" if given >= _WIDE else f"XLA_FLAGS asks for {given} bits"
    if not _has_wide_vectors():
        return None, "the processor is not known to have vectors of 512 bits"
    if not _is_known():
        return None, "this release of jaxlib has no option for the width"
    return _WIDE, ""


def _given(flags: str) -> int | None:
    """The width that `XLA_FLAGS` holds, or None."""
    for flag in flags.split():
        name, _, value = flag.lstrip("-").partition("=")
        if name == _WIDTH and value.isdecimal():
            return int(value)
    return None


def _has_wide_vectors() -> bool:
    """Whether Linux says that the processor has AVX-512."""
    information = Path("/proc/cpuinfo")
    try:
        text = information.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return {"avx512f", "avx512dq", "avx512vl"} <= set(flags.split())


def _is_known() -> bool:
    """Whether jaxlib knows the option: XLA ends the process at one that it does not know."""
    for library in sorted(Path(jaxlib.__file__).parent.glob("*.so")):
        if library.stat().st_size == 0:
            continue
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(_WIDTH.encode()) >= 0:
                return True
    return False
