"""Which runs of a sweep belong to one of its parts, and where such a part lies."""

import dataclasses
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform import _devices, _settings
from sde_sgd._platform._telling import is_first_host, warn
from sde_sgd._platform.checkpoints._checkpoint import Checkpoint, CheckpointError
from sde_sgd._platform.checkpoints._store import config_of
from sde_sgd._platform.files._dataset_file import need_format
from sde_sgd._platform.files._files import FileError
from sde_sgd._platform.reading._fingerprint import check_told, differences
from sde_sgd._platform.reading._origin import versions
from sde_sgd._types import FilePath
from sde_sgd.simulation._packing import pack
from sde_sgd.simulation._sweep_part import SweepPart
from sde_sgd.simulation._sweep_plan import Job, SweepPlan

_MOST_PARTS = 2**20
# a setting that makes no other numbers of the same program
_HARMLESS = ("jax_numpy_dtype_promotion",)


@dataclass(frozen=True)
class Share:
    """The jobs of one part: whole ones, as the bits of networks may depend on which runs share a program.

    Attributes:
        part: (i, n).
        jobs: of the i-th of n parts.
        config: fingerprint of the whole sweep.
        division: how it is cut into parts, and what else must be equal in all of them: a part may be made
            longer by its checkpoints, but parts of several lengths are no sweep.
        made_on: what it is computed on and with, which the last bits may depend on.
    """

    part: tuple[int, int]
    jobs: list[Job]
    config: dict[str, str]
    division: dict[str, str]
    made_on: dict[str, str]

    @property
    def name(self) -> str:
        """Of its folder and its file."""
        return part_name(*self.part)

    def place(self, checkpoint: Checkpoint | FilePath | None) -> Checkpoint | None:
        """A folder of its own in the one that all parts share.

        Raises:
            CheckpointError: if that holds parts of another sweep.
            ImportError: without netCDF4, in which the part will be kept.
        """
        if checkpoint is None:
            return None
        ask = checkpoint
        if not isinstance(ask, Checkpoint):
            ask = Checkpoint(_checks.path("checkpoint", ask))
        folder = _checks.path("directory", ask.directory)
        need_format(file_of(folder / self.name))  # now, and not when all is computed
        self._check_neighbour(folder)
        return dataclasses.replace(ask, directory=folder / self.name)

    def _check_neighbour(self, folder: Path) -> None:
        """Look at one other part, so that no job runs for what cannot be merged."""
        others = (path for path in folder.glob("part-*-of-*") if path.is_dir() and path.name != self.name)
        other = next(others, None)
        there = None if other is None else config_of(other)
        if other is None or there is None:
            return
        count = other.name.rpartition("-of-")[2].lstrip("0")
        here = {**self.own_config, "parts": str(self.part[1])}
        changed = differences(
            here, {**there, "part": here["part"], "parts": count}, ("here", f"in {other.name}")
        )
        if changed:
            raise CheckpointError(
                f"checkpoint folder {str(folder)!r} holds parts of another sweep; nothing was changed:\n  "
                + "\n  ".join(changed[:5])
                + "\nRepeat the sweep as it was, or name another folder."
            )

    @property
    def own_config(self) -> dict[str, str]:
        """Fingerprint for its checkpoints, so that those of two parts cannot be exchanged."""
        return {**self.config, "part": str(self.part)}

    @property
    def told(self) -> dict[str, str]:
        """What two parts of one sweep have in common."""
        return {**self.config, **self.division}


def part_name(number: int, count: int) -> str:
    """What the folder of a part is called, and its file but for the ending."""
    return f"part-{number:04d}-of-{count:04d}"


def file_of(folder: FilePath) -> Path:
    """Where a part is kept: beside the folder of its checkpoints."""
    return Path(f"{folder}.nc")


def checked_part(part: Any) -> tuple[int, int]:
    """(i, n) with 0 ≤ i < n, or refuse it."""
    pair = list(part) if isinstance(part, tuple | list) else []
    if len(pair) != 2 or not all(_is_integer(entry) for entry in pair):
        raise ValueError(
            f"part must be two integers (i, n), for the i-th of n parts, got {_checks.short(part)}. "
            f"Of five parts the first is (0, 5), the last is (4, 5)."
        )
    number, count = map(int, pair)
    if not 1 <= count <= _MOST_PARTS:
        raise ValueError(
            f"part must be (i, n) with 1 <= n <= {_MOST_PARTS}, got {(number, count)}. "
            f"One part, (0, 1), is the whole."
        )
    if not 0 <= number < count:
        raise ValueError(
            f"part must be (i, n) with 0 <= i < n, got {(number, count)}. Parts are counted from 0: give "
            f"(0, {count}) to {(count - 1, count)}."
        )
    return number, count


def share_of(
    part: Any,
    plan: SweepPlan,
    key: Any,
    chunk: int | None,
    *,
    theta: bool,
    devices: _devices.Devices | None,
    data_devices: int,
) -> Share:
    """The share of part (i, n): jobs dealt out by cost, the same on every machine.

    Raises:
        ValueError: for anything but (i, n) with 0 ≤ i < n, and for what cannot be told apart in a file.
    """
    number, count = checked_part(part)
    jobs = plan.jobs(chunk)
    shares = pack([job.cost for job in jobs], min(count, len(jobs)))
    config = plan.config(key, chunk)
    check_told(config, "part")
    dealt = repr([sorted(share) for share in shares])
    division = {
        "parts": str(count),
        "runs of each part": f"{zlib.crc32(dealt.encode()):08x}",
        "length": f"{plan.clock.length!r} {plan.clock.unit}",
        "every": f"{plan.clock.every!r} {plan.clock.unit}",
        "keep_theta": str(theta),
        **{name: str(value) for name, value in _settings.compiled_in().items() if name not in _HARMLESS},
    }
    mine = shares[number] if number < len(shares) else []
    if not mine:
        warn(_nothing_to_do(number, count, jobs), stacklevel=3)
    everyone = _devices.available(devices)
    made_on = {
        "devices": f"{len(everyone)} x {_devices.device_name(everyone[0])}",
        "data_devices": str(data_devices),
        **versions(),
    }
    return Share((number, count), [jobs[one] for one in mine], config, division, made_on)


def keep(part: SweepPart, folder: FilePath) -> None:
    """Write a part beside the folder of its checkpoints, for `merge_sweeps`.

    Raises:
        CheckpointError: if it cannot be written, with the part.
    """
    if not is_first_host():
        return
    try:
        part.save(file_of(folder), overwrite=True)
    except FileError as error:
        raise CheckpointError(
            f"all is computed, and the `result` of this error is the SweepPart: save it elsewhere, or run "
            f"the same again with resume=True. But {error}",
            part,
        ) from error


def _nothing_to_do(number: int, count: int, jobs: Sequence[Job]) -> str:
    runs = sum(len(job.runs) for job in jobs)
    told = f"part {number} of {count} has nothing to do: "
    if runs < count:
        return (
            f"{told}the sweep has {runs} runs, in {len(jobs)} groups that share a program. At most {runs} "
            f"parts can have work, with chunk=1 in all of them."
        )
    return (
        f"{told}parts are made of groups of runs that share a program, of which this sweep has {len(jobs)}. "
        f"chunk={runs // count}, in all parts, makes enough of them."
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
