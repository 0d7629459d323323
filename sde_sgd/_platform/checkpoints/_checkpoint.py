"""Checkpoints of one ensemble: atomic, checked when they are read, tied to the run they belong to."""

import contextlib
import json
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._platform._telling import log
from sde_sgd._platform.files._files import first_line, free
from sde_sgd._types import FilePath

FORMAT = 2


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read, or belongs to another run.

    Attributes:
        result: where all was computed and only the last checkpoint could not be written, the finished
            `Result`, `SweepResult` or `SweepPart`; else None.
    """

    def __init__(self, message: str, result: object | None = None):
        super().__init__(message)
        self.result = result


class _ForeignError(CheckpointError):
    """A checkpoint is whole, but not of this run or not of this part of it."""


@dataclass(frozen=True, repr=False)
class Checkpoint(Shown):
    """Where and how often a run or sweep is saved.

    **Signals.** The first Ctrl-C or SIGTERM is noted, wherever it strikes: while compiling, while
    computing, while writing. After the block of steps at work all is saved, and then the signal does what
    it would have done (your own handler is called; without one the process ends by that signal). If
    it comes during the last checkpoint it acts after that. A second signal acts at once, and one that was
    ignored before stays ignored. In a thread other than the main one a run hears of Ctrl-C when the
    main thread has ended by it: then it saves and ends with KeyboardInterrupt, and the interpreter
    waits for that (Python 3.12 starts no thread once its main one has ended, so nothing can be written
    then: keep the main thread there until the run is over). SIGTERM saves only what runs in the main
    thread.

    **Failures.** A checkpoint that cannot be written (a full disk) stops nothing: it is logged, the run
    goes on and tries again at the next time. Only if the last one cannot be written either is
    `CheckpointError` raised, and its `result` is the finished result. (Over several hosts it is
    raised at once.) A folder that vanishes is made again.

    **One at a time.** The folder is locked while it is used (`flock`), so a second process is refused and
    told who has it. The lock ends with its process, however that ends. A file system without such
    locks has none, and the log says so.

    Args:
        directory: a folder of its own, new or empty. Over several hosts all must see it.
        seconds: between two checkpoints; one more is written at the end and on Ctrl-C or SIGTERM.
        keep: how many of the newest to keep, so that there is another if one is damaged.

    Raises:
        ValueError: for values out of range.
    """

    directory: FilePath
    seconds: float = 300.0
    keep: int = 2

    def __post_init__(self) -> None:
        _checks.path("directory", self.directory)
        _checks.number("seconds", self.seconds, at_least=0)
        _checks.integer("keep", self.keep, at_least=1)


class Part:
    """Checkpoints of one ensemble, numbered by step, as orbax keeps them.

    Every array is stored with a checksum. A checkpoint that cannot be read or fails its checksum is
    moved aside and the one before it is taken.

    Args:
        folder: of this part alone.
        keep: how many to keep.
        tie: what every checkpoint says of the run and part that it belongs to. Others are refused.
        ready: called before anything is written; raises `CheckpointError` if nothing may be.
    """

    def __init__(
        self,
        folder: Path,
        keep: int,
        tie: Mapping[str, str] | None = None,
        ready: Callable[[], None] = lambda: None,
    ):
        import orbax.checkpoint as ocp

        self._ocp, self._folder, self._keep = ocp, folder, keep
        self._tie, self._ready = dict(tie or {}), ready

    @cached_property
    def _manager(self) -> Any:
        keep = self._keep
        options = self._ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=True, cleanup_tmp_directories=True, enable_async_checkpointing=False
        )
        try:
            return self._ocp.CheckpointManager(self._folder, options=options)
        except OSError as error:
            raise CheckpointError(
                f"checkpoint folder {str(self._folder)!r} cannot be used: {error}"
            ) from error

    def close(self) -> None:
        """Let go of the folder."""
        manager = self.__dict__.pop("_manager", None)
        if manager is not None:
            manager.close()

    def save(self, step: int, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write named arrays (of devices or hosts) and JSON facts as the checkpoint of `step`.

        Raises:
            CheckpointError: if it cannot be written; the earlier ones stay, and it may be tried again.
        """
        self._ready()
        if not self._folder.exists():
            self.close()  # what the manager remembers has gone
        described = {
            name: {"shape": list(leaf.shape), "dtype": str(leaf.dtype), "checksum": checksum(leaf)}
            for name, leaf in arrays.items()
        }
        content = {"format": FORMAT, "tie": self._tie, "step": step}
        content |= {"facts": dict(facts), "arrays": described}
        content["checksum"] = _text_checksum(content)
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in arrays.values())
        args = self._ocp.args
        some = {name: leaf for name, leaf in arrays.items() if leaf.size}  # orbax writes no empty arrays
        try:
            if step in self._manager.all_steps():
                return
            self._manager.save(
                step,
                args=args.Composite(arrays=args.PyTreeSave(some), facts=args.JsonSave(content)),
            )
            self._manager.wait_until_finished()
        except Exception as error:
            kept = self._start_over()
            rest = "There is no earlier one." if kept is None else f"The one of step {kept} is untouched."
            raise CheckpointError(
                f"the checkpoint of step {step} ({size / 1e6:.3g} MB) could not be written to "
                f"{str(self._folder)!r} ({free(self._folder)}): {first_line(error)}. {rest} Make room "
                f"and run the same again with resume=True."
            ) from error

    def _start_over(self) -> int | None:
        """Remove what a failed save has left, which takes room; the newest checkpoint that there is."""
        with contextlib.suppress(Exception):
            self.close()
        self.__dict__.pop("_manager", None)
        try:
            newest: int | None = self._manager.latest_step()
        except Exception:  # noqa: BLE001 - it is tried again with the next save
            return None
        return newest

    def restore(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest checkpoint that is whole, or None if none was ever written.

        Raises:
            CheckpointError: if there are some and all are damaged, or belong to another run or part.
        """
        if not self._folder.exists():
            return None
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._read(step)
            except _ForeignError as error:
                raise CheckpointError(str(error)) from None
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the files, there may be others
                damaged.append(f"step {step}: {first_line(error)}")
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
        self._check_tie(step, facts["tie"])
        if facts["step"] != step:
            raise CheckpointError(f"it is the one of step {facts['step']}")
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

    def _check_tie(self, step: int, tie: Mapping[str, str]) -> None:
        if tie == self._tie:
            return
        where = str(self._folder / str(step))
        if tie.get("run") == self._tie.get("run"):
            whose = f"part {tie.get('part')!r} of this run, not {self._tie.get('part')!r}"
        else:
            whose = "another run"
        raise _ForeignError(
            f"the checkpoint {where!r} belongs to {whose}, so folders have been exchanged; nothing was "
            f"changed. Put back what was there, or start anew in another folder."
        )

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
