"""How much memory a run will take, before it takes it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sde_sgd._platform._devices import Device, Layout
from sde_sgd._platform._shown import Shown
from sde_sgd.simulation._program import Program

# What XLA, Python and the allocator need beside what can be counted.
_USABLE = 0.9
_GUESSES = 5
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, repr=False)
class MemoryPrediction(Shown):
    """Memory in bytes: of one accelerator, or of the whole host where the devices are its cores.

    Attributes:
        chains: how many chains at once.
        total: what the run takes at its largest.
        per_chain: the part of it that grows with the chains, for one more of them.
        records: host memory for what `record` keeps; the only part that grows with the steps.
        available: what may be used, or None where the platform does not tell.
    """

    chains: int
    total: int
    per_chain: float
    records: int
    available: int | None

    @property
    def fits(self) -> bool:
        """Whether there is enough, as far as is known."""
        return self.available is None or self.total <= self.available

    @property
    def largest(self) -> int | None:
        """The largest number of chains at once that fits (0 if not even one does), if known."""
        if self.available is None:
            return None
        fixed = self.total - self.per_chain * self.chains
        return max(0, int((self.available - fixed) / self.per_chain))

    def __repr__(self) -> str:
        return f"MemoryPrediction({self})"

    def __str__(self) -> str:
        known = "an unknown amount" if self.available is None else _bytes(self.available)
        return (
            f"{self.chains} chains at once take {_bytes(self.total)} ({_bytes(self.per_chain)} for each, "
            f"{_bytes(self.records)} for records); available: {known}"
        )


def predict(layout: Layout, program: Program, record_bytes: int, limit: int | None) -> MemoryPrediction:
    """Memory of a compiled program with `record_bytes` of records on the host."""
    device = layout.mesh.local_devices[0]
    shared = device.platform == "cpu"
    copies = len(layout.mesh.local_devices) if shared else 1
    local = layout.slots // layout.groups
    # what the program is given at first and leaves behind at last is on the host as well
    outside = program.chain_bytes if shared else 0
    # the arguments that grow with the chains are counted by the program as arguments too
    grows = program.chain_bytes + program.working_bytes + outside
    total = copies * (program.arguments_bytes + program.working_bytes + outside)
    total += record_bytes if shared else 0
    per_chain = copies * grows / (local * (layout.groups if shared else 1))
    per_chain += record_bytes / layout.chains if shared else 0
    return MemoryPrediction(
        chains=layout.chains,
        total=total,
        per_chain=max(per_chain, 1.0),
        records=record_bytes,
        available=_available(device) if limit is None else limit,
    )


def check(prediction: MemoryPrediction, predict_for: Callable[[int, int | None], MemoryPrediction]) -> None:
    """Refuse a run that will not fit.

    Args:
        prediction: of the run.
        predict_for: the prediction for so many chains with so much memory. Not everything grows with the
            chains, so a chunk that seems to fit is looked at once more.

    Raises:
        MemoryError: with the numbers, and the largest chunk of chains that fits.
    """
    if prediction.fits:
        return
    largest = prediction.largest
    for _ in range(_GUESSES):
        there = predict_for(largest, prediction.available) if largest else prediction
        if not largest or there.fits:
            break
        largest = min(int(0.99 * largest), there.largest or 0)
    way_out = (
        f"run(..., chunk={largest}) runs as many chains at a time as fit."
        if largest
        else "Not even one chain fits: shrink the problem, give EmpiricalRisk a `block`, record less, "
        "or share the data over more devices."
    )
    raise MemoryError(f"{prediction}. {way_out}")


def _available(device: Device) -> int | None:
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            return None
        return int(_USABLE * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    known = [amount for amount in (_free_memory(), _free_in_group()) if amount is not None]
    return int(_USABLE * min(known)) if known else None


def _free_memory() -> int | None:
    information = Path("/proc/meminfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _free_in_group() -> int | None:
    """What a container may still take."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)


def _bytes(amount: float) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if amount >= size:
            return f"{amount / size:.3g} {unit}"
    return f"{amount:.0f} bytes"
