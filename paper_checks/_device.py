"""What the cards run on."""

import platform
import re
from pathlib import Path

import jax


def device() -> str:
    """In a few words: "2 x AMD EPYC (cpu)"."""
    first = jax.devices()[0]
    kind = _processor() if first.platform == "cpu" else first.device_kind
    return f"{jax.device_count()} x {kind} ({first.platform})"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.machine() or "processor"
