"""Two virtual devices, strict dtype promotion, and helpers that every test may use."""

import os

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


@pytest.fixture(scope="session")
def one_device() -> list[jax.Device]:
    """The first device alone."""
    return jax.local_devices()[:1]
