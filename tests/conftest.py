"""Two virtual devices, strict dtype promotion, one cache of programs, and helpers that every test may use."""

import os
import tempfile
from typing import Any

# Before JAX is imported, here and in what tests start: what one process has compiled no other compiles again.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True)
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": _compiled.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }

import jax
import pytest

# Before any array exists: the second device is there for the tests of sharding.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture
def key() -> jax.Array:
    """A fixed key."""
    return jax.random.key(0)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Runs here are cut at the same places as those of `checkpointed_run`; where each block begins."""
    from checkpointed_run import fixed_pace

    from sde_sgd.simulation import _engine

    begun: list[int] = []

    def noted(*args: Any) -> tuple[int, int, bool]:
        begun.append(args[0])
        return fixed_pace(*args)

    monkeypatch.setattr(_engine, "next_block", noted)
    return begun


@pytest.fixture(scope="session")
def one_device() -> list[jax.Device]:
    """The first device alone."""
    return jax.local_devices()[:1]
