"""What the device says of itself."""

import dataclasses
import os
import shutil
import subprocess

import jax
import numpy as np

import sde_sgd as ss
from benchmarks._environment import environment
from benchmarks.accelerator._step import Found

_ASKED = (
    "name", "driver_version", "memory.total", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.draw",
    "power.limit", "temperature.gpu",
)  # fmt: skip


def device(smoke: bool) -> Found:
    """Name, driver, clocks and versions; no names of machines or users."""
    del smoke
    here = environment(ss.use_cpu(wide_vectors=False))
    first = jax.devices()[0]
    facts = {
        "environment": dataclasses.asdict(here),
        "platform": first.platform,
        "platform_version": str(getattr(first.client, "platform_version", "")),
        "memory": (first.memory_stats() or {}).get("bytes_limit"),
        "numpy": np.__version__,
        "flags": os.environ.get("XLA_FLAGS", ""),
        **_driver(),
    }
    lines = [*here.header().splitlines()]
    if first.platform == "cpu":
        lines.insert(
            0, "JAX has no accelerator here, so this is of the CPU: pip install '.[cuda]' or '.[tpu]'"
        )
    lines += [f"{name} {facts[name]}" for name in _ASKED if name in facts]
    return Found(lines, facts)


def _driver() -> dict[str, str]:
    """What NVIDIA's driver says, where there is one."""
    if shutil.which("nvidia-smi") is None:
        return {}
    told = subprocess.run(
        ["nvidia-smi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    first = (told.stdout.splitlines() or [""])[0].split(", ")
    return dict(zip(_ASKED, first, strict=True)) if len(first) == len(_ASKED) else {}
