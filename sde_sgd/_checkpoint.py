"""Checkpoints: atomic, checked when they are read, tied to the run they belong to."""

import importlib.metadata
import json
import os
import platform
import shutil
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils

from sde_sgd import _checks
from sde_sgd._fingerprint import differences
from sde_sgd._telling import log, warn

FORMAT = 1
_MARKER = "sde_sgd.json"
_LIBRARIES = ("sde_sgd", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy", "orbax-checkpoint")


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read, or belongs to another run."""


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a run or sweep is saved.

    Args:
        directory: a folder of its own, new or empty. Over several hosts all must see it.
        seconds: between two checkpoints; one more is written at the end and on Ctrl-C or SIGTERM.
        keep: how many of the newest to keep, so that there is another if one is damaged.

    Raises:
        ValueError: for values out of range.
    """

    directory: str | os.PathLike[str]
    seconds: float = 300.0
    keep: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.directory, str | os.PathLike) or not str(self.directory):
            raise ValueError(f"directory must be the path of a folder, got {self.directory!r}.")
        _checks.number("seconds", self.seconds, at_least=0)
        _checks.integer("keep", self.keep, at_least=1)


class Store:
    """One folder with the checkpoints of one run or sweep, part by part.

    Args:
        ask: where and how often.
        config: fingerprint of all that sets the results, the key among them.
        resume: go on from what is there; without it a folder that holds something is refused.

    Raises:
        CheckpointError: if the folder holds the checkpoints of another run, or anything else.
    """

    def __init__(self, ask: Checkpoint, config: Mapping[str, str], *, resume: bool):
        self.ask = ask
        self._folder = Path(ask.directory).absolute()
        marker = self._folder / _MARKER
        try:
            new = self._check_folder(marker, config, resume=resume)
            barrier()  # every host has looked before one writes
            if new and jax.process_index() == 0:
                self._folder.mkdir(parents=True, exist_ok=True)
                content = {"format": FORMAT, "libraries": _versions(), "config": dict(config)}
                temporary = marker.with_suffix(".tmp")
                temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
                temporary.replace(marker)
            barrier()
        except OSError as error:
            raise CheckpointError(
                f"checkpoint folder {str(self._folder)!r} cannot be used: {error}"
            ) from error

    def part(self, name: str) -> "Part":
        """The checkpoints of one part of the run."""
        return Part(self._folder / name, self.ask.keep)

    def _check_folder(self, marker: Path, config: Mapping[str, str], *, resume: bool) -> bool:
        """Whether the folder is new; refuses what does not belong to this run."""
        where = str(self._folder)
        if not marker.exists():
            leftovers = [] if not self._folder.exists() else [path.name for path in self._folder.iterdir()]
            if [name for name in leftovers if name != marker.with_suffix(".tmp").name]:
                raise CheckpointError(
                    f"checkpoint folder {where!r} holds other files ({min(leftovers)!r}, …) and no "
                    f"{_MARKER}; nothing was changed. Name a new or empty folder."
                )
            return True
        try:
            content = json.loads(marker.read_text(encoding="utf-8"))
            there, version, libraries = content["config"], content["format"], content["libraries"]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{str(marker)!r} is damaged ({error}), so it cannot be told which run the checkpoints "
                f"belong to; nothing was changed. Restore it, or start anew in another folder."
            ) from error
        if version != FORMAT:
            raise CheckpointError(
                f"checkpoints in {where!r} have format {version}, this version reads {FORMAT}; nothing was "
                f"changed. Resume with sde_sgd {libraries.get('sde_sgd')}, or start in another folder."
            )
        changed = differences(config, there)
        if changed:
            more = f"\n  … and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise CheckpointError(
                f"checkpoints in {where!r} belong to another run; nothing was changed:\n  "
                + "\n  ".join(changed[:5])
                + f"{more}\nRepeat the run as it was to resume it, or name another folder."
            )
        if not resume:
            raise CheckpointError(
                f"checkpoint folder {where!r} holds checkpoints of this very run; nothing was changed. Pass "
                f"resume=True to go on from them, or name another folder to start anew."
            )
        other = [
            f"{name} {old} then, {_versions().get(name)} now"
            for name, old in libraries.items()
            if _versions().get(name) != old
        ]
        if other:
            warn(
                f"the checkpoint was written with other versions ({'; '.join(other)}): the results may "
                f"differ from an uninterrupted run in the last bits.",
                stacklevel=5,
            )
        return False


class Part:
    """Checkpoints of one ensemble, numbered by step, as orbax keeps them.

    Every array is stored with a checksum. A checkpoint that cannot be read or fails its checksum is
    moved aside and the one before it is taken.
    """

    def __init__(self, folder: Path, keep: int):
        import orbax.checkpoint as ocp

        self._ocp, self._folder = ocp, folder
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=True, cleanup_tmp_directories=True, enable_async_checkpointing=False
        )
        try:
            self._manager = ocp.CheckpointManager(folder, options=options)
        except OSError as error:
            raise CheckpointError(f"checkpoint folder {str(folder)!r} cannot be used: {error}") from error

    def close(self) -> None:
        """Let go of the folder."""
        self._manager.close()

    def save(self, step: int, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write named arrays (of devices or hosts) and JSON facts as the checkpoint of `step`.

        Raises:
            CheckpointError: if it cannot be written; the earlier ones stay.
        """
        if step in self._manager.all_steps():
            return
        described = {
            name: {"shape": list(leaf.shape), "dtype": str(leaf.dtype), "checksum": checksum(leaf)}
            for name, leaf in arrays.items()
        }
        content = {"format": FORMAT, "facts": dict(facts), "arrays": described}
        content["checksum"] = _text_checksum(content)
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in arrays.values())
        args = self._ocp.args
        some = {name: leaf for name, leaf in arrays.items() if leaf.size}  # orbax writes no empty arrays
        try:
            self._manager.save(
                step,
                args=args.Composite(arrays=args.PyTreeSave(some), facts=args.JsonSave(content)),
            )
            self._manager.wait_until_finished()
        except Exception as error:
            free = shutil.disk_usage(self._folder).free
            kept = self._manager.latest_step()
            rest = "There is no earlier one." if kept is None else f"The one of step {kept} is untouched."
            raise CheckpointError(
                f"the checkpoint of step {step} ({size / 1e6:.3g} MB) could not be written to "
                f"{str(self._folder)!r} ({free / 1e6:.3g} MB free): {_first_line(error)}. {rest} Make room "
                f"and run the same again with resume=True."
            ) from error

    def restore(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest checkpoint that is whole, or None if none was ever written.

        Raises:
            CheckpointError: if there are some and all are damaged.
        """
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._read(step)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the files, there may be others
                damaged.append(f"step {step}: {_first_line(error)}")
                continue
            for line in damaged:
                log.warning(
                    "checkpoint in %s is damaged, %s; going back to step %d", self._folder, line, step
                )
            self._set_aside(newer_than=step)
            return found
        if damaged:
            raise CheckpointError(
                f"all checkpoints in {str(self._folder)!r} are damaged; nothing was changed:\n  "
                + "\n  ".join(damaged)
                + "\nRestore the files, or start anew in another folder."
            )
        return None

    def _read(self, step: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        args = self._ocp.args
        facts = self._manager.restore(step, args=args.Composite(facts=args.JsonRestore())).facts
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise CheckpointError("it was not written by this version of sde_sgd")
        if facts.pop("checksum", None) != _text_checksum(facts):
            raise CheckpointError("its facts fail their checksum")
        like = {name: np.zeros(told["shape"], told["dtype"]) for name, told in facts["arrays"].items()}
        some = {name: leaf for name, leaf in like.items() if leaf.size}
        plain = {name: self._ocp.RestoreArgs(restore_type=np.ndarray) for name in some}
        found = self._manager.restore(
            step, args=args.Composite(arrays=args.PyTreeRestore(item=some, restore_args=plain))
        ).arrays
        arrays = {name: np.asarray(leaf) for name, leaf in {**like, **found}.items()}
        for name, told in facts["arrays"].items():
            leaf = arrays[name]
            if list(leaf.shape) != told["shape"] or str(leaf.dtype) != told["dtype"]:
                raise CheckpointError(f"{name} has shape {leaf.shape} and dtype {leaf.dtype}")
            if checksum(leaf) != told["checksum"]:
                raise CheckpointError(f"{name} fails its checksum")
        return arrays, facts["facts"]

    def _set_aside(self, newer_than: int) -> None:
        steps = [step for step in self._manager.all_steps() if step > newer_than]
        barrier()
        if steps and jax.process_index() == 0:
            aside = self._folder.with_name(self._folder.name + ".damaged")
            aside.mkdir(exist_ok=True)
            for step in steps:
                target = aside / f"{step}-{len(list(aside.iterdir()))}"
                shutil.move(self._folder / str(step), target)
        barrier()
        if steps:
            self._manager.reload()


def checksum(leaf: Any) -> int:
    """Σ (2i + 1) w_i mod 2³² over the 32-bit words w of an array.

    Odd factors have inverses, so a change of any one word changes the sum. It is the same however
    the array is divided among devices.
    """
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return int(_checksum_on_devices(leaf))
    array = np.ascontiguousarray(np.asarray(leaf))
    width = min(array.dtype.itemsize, 4)
    words = array.reshape(-1).view(f"u{width}").astype(np.uint32)
    odd = np.arange(words.size, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return int((words * odd).sum(dtype=np.uint32))


def _text_checksum(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


@jax.jit
def _checksum_on_devices(leaf: Any) -> Any:
    width = min(leaf.dtype.itemsize, 4)
    kind = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[width]
    words = lax.bitcast_convert_type(leaf, kind).astype(jnp.uint32).reshape(-1)
    odd = lax.iota(jnp.uint32, words.size) * jnp.uint32(2) + jnp.uint32(1)
    return jnp.sum(words * odd, dtype=jnp.uint32)


def due(last: float, now: float, ask: Checkpoint) -> bool:
    """Whether it is time for the next checkpoint."""
    return now - last >= ask.seconds


def barrier() -> None:
    """Wait for all hosts."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("sde_sgd checkpoint")


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **dict(_installed())}


def _installed() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}".rstrip(": ")
