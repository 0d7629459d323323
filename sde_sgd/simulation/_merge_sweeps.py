"""The parts of a sweep, put together."""

import math
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._telling import warn
from sde_sgd._platform.reading._fingerprint import differences
from sde_sgd._types import FilePath
from sde_sgd.simulation._sweep_outcome import Filled, on_axes, warn_of_lost
from sde_sgd.simulation._sweep_part import TOLD, SweepPart, read_part, told_in
from sde_sgd.simulation._sweep_result import SweepResult, build_dataset
from sde_sgd.simulation._sweep_share import part_name

_ENDINGS = (".nc", ".zarr")
# where each part came from, and the part
Found = dict[str, SweepPart]


def merge_sweeps(parts: FilePath | Iterable[FilePath | SweepPart]) -> SweepResult:
    """Put the parts of a sweep together.

        for i in range(20):  # each in a job of its own
            ss.sweep(..., part=(i, 20), checkpoint="results/parts", resume=True)
        result = ss.merge_sweeps("results/parts")

    It has the bits of the one call where all parts were computed on as many devices of the same kind.

    Args:
        parts: the folder of all parts, `checkpoint` of their sweeps; or a list, in any order, of files that
            `SweepPart.save` has written and of `SweepPart`s.

    Returns:
        `SweepResult`, with θ if the parts kept it (from files, nodes of θ as in `read_run`). Its `seconds`
        are those of all parts together.

    Raises:
        ValueError: if a part is missing or there twice, or belongs to another sweep, with what differs.
        FileError: if a file is damaged in any way, or holds no part.
        ImportError: without netCDF4, or Zarr, for files of theirs.
    """
    found = _found(parts)
    _check_one_sweep(found)
    _check_all_there(found, parts)
    _warn_of_machines(found)
    pieces = [part for part in found.values() if part.dataset.sizes[told_in(part.dataset)["chain"]]]
    return _merged(pieces, sum(part.seconds for part in found.values()))


def _found(parts: Any) -> Found:
    found: Found = {}
    for number, one in enumerate(_listed(parts)):
        if isinstance(one, SweepPart):
            found[f"parts[{number}]"] = one
            continue
        name = repr(os.fspath(one))
        if name in found:
            raise ValueError(f"parts: {name} is listed twice; give each part once.")
        found[name] = read_part(one)
    return found


def _listed(parts: Any) -> list[Any]:
    """The files and parts that are meant."""
    if isinstance(parts, SweepPart) or (_is_path(parts) and Path(parts).suffix in _ENDINGS):
        return [parts]
    if _is_path(parts):
        folder = _checks.path("parts", parts)
        listed = sorted(path for path in folder.glob("part-*-of-*") if path.suffix in _ENDINGS)
        if not listed:
            raise ValueError(
                f"parts must be a folder with files of parts, or a list of them, but {str(parts)!r} holds "
                f"none. sweep(..., part=(i, n), checkpoint=folder) leaves each there when it is through."
            )
        return listed
    listed = list(parts) if isinstance(parts, Iterable) else []
    if not listed or not all(isinstance(one, SweepPart) or _is_path(one) for one in listed):
        raise ValueError(
            f"parts must be a folder, or a list of files or SweepParts, got {_checks.short(parts)}."
        )
    return listed


def _is_path(one: Any) -> bool:
    return isinstance(one, str | os.PathLike)


def _check_one_sweep(found: Found) -> None:
    """Refuse a part of another sweep than the first one's."""
    first, *others = ((name, told_in(part.dataset)["config"]) for name, part in found.items())
    for name, config in others:
        changed = differences(config, first[1], (f"in {name}", f"in {first[0]}"))
        if changed:
            more = f"\n  … and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise ValueError(
                f"parts: {name} belongs to another sweep than {first[0]}:\n  "
                + "\n  ".join(changed[:5])
                + f"{more}\nGive parts of one sweep, or run again those that are not."
            )


def _check_all_there(found: Found, parts: Any) -> None:
    """Refuse a part that is there twice, and the whole if some are missing."""
    names: dict[int, str] = {}
    count = 1
    for name, part in found.items():
        number, count = part.part
        if number in names:
            raise ValueError(
                f"parts: part {number} of {count} is there twice, {names[number]} and {name}; give each once."
            )
        names[number] = name
    missing = sorted(set(range(count)) - set(names))
    if not missing:
        return
    these, are = ("part", "is") if len(missing) == 1 else ("parts", "are")
    told = f"parts: {these} {_in_words(missing)} of {count} {are} missing"
    if _is_path(parts):
        folder = _checks.path("parts", parts)
        begun = [number for number in missing if (folder / part_name(number, count)).is_dir()]
        if begun:
            told += f"; part {_in_words(begun)} has begun and not ended"
    raise ValueError(
        f"{told}. Run sweep(..., part=({missing[0]}, {count})), with resume=True where there are checkpoints."
    )


def _in_words(numbers: Sequence[int]) -> str:
    """Such as 0, 3 to 5 and 7."""
    starts = [numbers[0], *(two for one, two in pairwise(numbers) if two > one + 1)]
    ends = [*(one for one, two in pairwise(numbers) if two > one + 1), numbers[-1]]
    words: list[str] = []
    for start, end in zip(starts, ends, strict=True):
        words += [f"{start} to {end}"] if end > start + 1 else map(str, range(start, end + 1))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _warn_of_machines(found: Found) -> None:
    """Say if the last bits may depend on which part a run was in."""
    first, *others = ((name, told_in(part.dataset)["made_on"]) for name, part in found.items())
    for name, made_on in others:
        changed = differences(made_on, first[1], (f"in {name}", f"in {first[0]}"))
        if changed:
            warn(
                f"the parts were not computed alike: {'; '.join(changed)}. Their runs may differ from those "
                f"of one call in the last bits.",
                stacklevel=3,
            )
            return


def _merged(pieces: Sequence[SweepPart], seconds: float) -> SweepResult:
    """The sweep of parts that together hold each run once."""
    told = told_in(pieces[0].dataset)
    shape, seeds = tuple(told["axes"].values()), int(told["seeds"])
    points = math.prod(shape)
    chain, dimension = told["chain"], told["samples"]
    variables, settings = Filled(points, seeds), Filled(points)
    runs: list[np.ndarray] = []
    for part in pieces:
        dataset = part.dataset
        seed, point = np.divmod(dataset[chain].values, points)
        runs.append(np.stack([point, seed], axis=1))
        for name in told["settings"]:
            settings.put(name, point, dataset[name].values)
        for name in dataset.data_vars:
            if name not in told["settings"]:
                variables.put(str(name), (point, seed), dataset[name].values)
    warn_of_lost(variables.arrays["diverged_at"], "; SweepResult.diverged() lists them", stacklevel=4)
    axes: dict[str, Any] = {}
    for number, name in enumerate(told["axes"]):
        grid = np.moveaxis(settings.arrays[name].reshape(shape), number, 0)
        axes[name] = grid.reshape(shape[number], -1)[:, 0]
    attributes = {name: value for name, value in pieces[0].dataset.attrs.items() if name != TOLD}
    dataset = build_dataset(
        axes,
        seeds,
        (dimension, pieces[0].dataset[dimension].values),
        variables.arrays,
        settings.arrays,
        {**attributes, "seconds": seconds},
    )
    thetas = [part.theta for part in pieces]
    kept = all(theta is not None for theta in thetas)
    theta = on_axes(thetas, np.concatenate(runs), (*shape, seeds)) if kept else None
    return SweepResult(dataset, theta, seconds)
