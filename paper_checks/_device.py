"""What the cards run on."""

import os
import platform
import re
from pathlib import Path

import jax


def use_all_cores() -> None:
    """One virtual device for each core, before the first array: chains are spread over devices."""
    jax.config.update("jax_num_cpu_devices", _cores())


def device() -> str:
    """In a few words: "2 x AMD EPYC (cpu)"."""
    first = jax.devices()[0]
    kind = _processor() if first.platform == "cpu" else first.device_kind
    return f"{jax.device_count()} x {kind} ({first.platform})"


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.machine() or "processor"
