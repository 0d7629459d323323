"""Two virtual devices, strict dtype promotion, and helpers that every test may use."""

import os
from typing import Any

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
