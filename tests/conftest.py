"""Two virtual devices, strict dtype promotion, and helpers that every test may use."""

import os
from importlib.metadata import version
from typing import Any

import jax
import pytest

# Before any array exists: the second device is there for the tests of sharding.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much effort goes into compiling programs."""
    parser.addoption(
        "--compile-effort",
        type=int,
        default=3,
        choices=range(4),
        help="LLVM's level; below 3, which users get, jax 0.10 also fuses in a cheaper way, of other bits",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Before the first program is compiled, here and for the processes that tests start."""
    effort = config.getoption("compile_effort")
    if effort < 3:
        flags = [os.environ.get("XLA_FLAGS", ""), f"--xla_backend_optimization_level={effort}"]
        # newer ones end at once at this flag, which they do not know
        if version("jaxlib").startswith("0.10."):
            flags.append("--xla_cpu_use_fusion_emitters=false")
        os.environ["XLA_FLAGS"] = " ".join(flags).strip()


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
