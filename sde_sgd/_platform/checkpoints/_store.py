"""The folder with the checkpoints of one run or sweep: whose it is, who uses it, what was not written."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from sde_sgd import _checks
from sde_sgd._platform import _devices
from sde_sgd._platform._telling import log, warn
from sde_sgd._platform.checkpoints._checkpoint import FORMAT, Checkpoint, CheckpointError, Part, barrier
from sde_sgd._platform.checkpoints._lock import FolderLock
from sde_sgd._platform.files._files import digest_of
from sde_sgd._platform.reading._fingerprint import check_told, differences
from sde_sgd._platform.reading._origin import versions
from sde_sgd._types import FilePath

_MARKER, _LOCK = "sde_sgd.json", "sde_sgd.lock"
_TEMPORARY = "sde_sgd.tmp"


class Store:
    """One folder with the checkpoints of one run or sweep, part by part.

    A marker file says which run they belong to; every checkpoint says it again by a digest, so that
    none of another run is taken up.

    Args:
        ask: where and how often.
        config: fingerprint of all that sets the results, the key among them. How long the run is does not
            belong to it where a run may be made longer; the checkpoints say that themselves.
        resume: go on from what is there; without it a folder that holds something is refused.
    """

    def __init__(self, ask: Checkpoint, config: Mapping[str, str], *, resume: bool):
        self.ask = ask
        self._config, self._resume = dict(config), resume
        self._folder = _checks.path("directory", ask.directory).absolute()
        self._marker = self._folder / _MARKER
        self._lock = FolderLock(self._folder / _LOCK)
        self._text = ""
        self._failures: dict[str, CheckpointError] = {}
        self._one_at_a_time = threading.Lock()  # jobs side by side save side by side

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """The folder, checked and ours alone for as long as it is open.

        Raises:
            CheckpointError: if the folder holds the checkpoints of another run, or anything else, or is
                used by another process.
        """
        try:
            try:
                self._open()
            except OSError as error:
                raise self._unusable(error) from error
            yield
        finally:
            self._lock.release()

    def part(self, name: str) -> Part:
        """The checkpoints of one part of the run."""
        return Part(
            self._folder / name, self.ask.keep, {"run": digest_of(self._config), "part": name}, self._ready
        )

    def note(self, part: str, failure: CheckpointError | None, *, again: bool) -> None:
        """Remember that the newest state of a part could not be written, or forget it: now it was.

        Args:
            part: of the run.
            failure: if there was one.
            again: whether it will be tried again.
        """
        before = self._failures.pop(part, None)
        if failure is None:
            if before is not None:
                log.warning("checkpoints of %s can be written again", part)
            return
        self._failures[part] = failure
        if before is None or not again:
            log.warning("%s The run goes on%s.", failure, " and tries again" if again else "")

    def outcome(self) -> str:
        """Where things stand, in words for somebody who stops at the end."""
        if self._failures:
            return f"all was computed, and not saved: {next(iter(self._failures.values()))}"
        return "all is computed and saved; the same with resume=True reads it"

    def report(self, result: Any) -> None:
        """Raise if the end of some part could not be written, with all that was computed."""
        if not self._failures:
            return
        failure = next(iter(self._failures.values()))
        more = f" ({len(self._failures)} parts were not written.)" if len(self._failures) > 1 else ""
        raise CheckpointError(
            f"all is computed, and the `result` of this error is the finished {type(result).__name__}: keep "
            f"it, `except CheckpointError as error: result = error.result`. But {failure}{more}",
            result,
        ) from failure

    def _open(self) -> None:
        self._check()  # a look before a file is made in a folder that is not ours
        barrier()
        self._from_first_host(self._take_lock)
        libraries = self._check()
        barrier()  # every host has looked before one writes
        if libraries is None:
            self._from_first_host(self._write_marker)
        else:
            _warn_of_versions(libraries)
        self._lock.sign()

    def _take_lock(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._lock.take():
            raise CheckpointError(
                f"checkpoint folder {str(self._folder)!r} is in use by {self._lock.holder()}; nothing was "
                f"changed. Wait until it has ended, or name another folder."
            )

    def _write_marker(self) -> None:
        content = {"format": FORMAT, "libraries": versions("orbax-checkpoint"), "config": self._config}
        self._text = self._text or json.dumps(content, indent=1, ensure_ascii=False)
        temporary = self._folder / _TEMPORARY
        temporary.write_text(self._text, encoding="utf-8")
        temporary.replace(self._marker)

    def _ready(self) -> None:
        """Nothing is written into a folder whose marker has gone, or is another run's."""
        self._from_first_host(self._see_to_marker)

    def _see_to_marker(self) -> None:
        with self._one_at_a_time:
            self._see_to_marker_alone()

    def _see_to_marker_alone(self) -> None:
        try:
            text = self._marker.read_text(encoding="utf-8")
        except FileNotFoundError:
            self._lock.release()  # of a file that is no more
            self._take_lock()
            self._write_marker()
            self._lock.sign()
            log.warning("checkpoint folder %s had vanished and is made again", self._folder)
            return
        if text != self._text:
            raise CheckpointError(
                f"checkpoint folder {str(self._folder)!r} holds another {_MARKER} than at the start: another "
                f"run's, so nothing is written there. Name another folder."
            )

    def _from_first_host(self, do: Callable[[], None]) -> None:
        """Let the first host do something; if it cannot, all raise."""
        failure: Exception | None = None
        if jax.process_index() == 0:
            try:
                do()
            except (OSError, ValueError) as error:
                failure = self._unusable(error)
            except CheckpointError as error:
                failure = error
        (failed,) = _devices.agree(float(failure is not None))
        if failure is not None:
            raise failure
        if failed:
            raise CheckpointError(f"the first host cannot use checkpoint folder {str(self._folder)!r}.")

    def _unusable(self, error: Exception) -> CheckpointError:
        return CheckpointError(f"checkpoint folder {str(self._folder)!r} cannot be used: {error}")

    def _check(self) -> dict[str, str] | None:
        """The versions that wrote the folder, None if it is new; refuses what does not belong to this run."""
        where = str(self._folder)
        if not self._marker.exists():
            self._check_leftovers()
            return None
        try:
            text = self._marker.read_text(encoding="utf-8")
            content = json.loads(text)
            there, version = dict(content["config"]), content["format"]
            libraries = {str(name): str(entry) for name, entry in content["libraries"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"{str(self._marker)!r} is damaged ({error}), so it cannot be told which run the checkpoints "
                f"belong to; nothing was changed. Restore it, or start anew in another folder."
            ) from error
        if version != FORMAT:
            raise CheckpointError(
                f"checkpoints in {where!r} have format {version}, this version reads {FORMAT} only; nothing "
                f"was changed. Resume with the sde_sgd that wrote them ({libraries.get('sde_sgd')}), or "
                f"start in another folder."
            )
        changed = differences(self._config, there)
        if changed:
            more = f"\n  … and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise CheckpointError(
                f"checkpoints in {where!r} belong to another run; nothing was changed:\n  "
                + "\n  ".join(changed[:5])
                + f"{more}\nRepeat the run as it was to resume it, or name another folder."
            )
        if not self._resume:
            raise CheckpointError(
                f"checkpoint folder {where!r} holds checkpoints of this very run; nothing was changed. Pass "
                f"resume=True to go on from them, or name another folder to start anew."
            )
        self._text = text
        return libraries

    def _check_leftovers(self) -> None:
        there = [] if not self._folder.exists() else [path.name for path in self._folder.iterdir()]
        others = [name for name in there if name not in (_TEMPORARY, _LOCK)]
        if others:
            raise CheckpointError(
                f"checkpoint folder {str(self._folder)!r} holds other files ({min(others)!r}, …) and no "
                f"{_MARKER}; nothing was changed. Name a new or empty folder."
            )


def config_of(folder: Path) -> dict[str, str] | None:
    """The fingerprint of the run whose checkpoints a folder holds, None where it cannot be told."""
    try:
        return dict(json.loads((folder / _MARKER).read_text(encoding="utf-8"))["config"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def open_store(checkpoint: Checkpoint | FilePath | None, resume: bool, config: Any) -> Store | None:
    """The checkpoint folder, if one is asked for; `config` is called for its fingerprint."""
    if checkpoint is None:
        if resume:
            raise ValueError("resume=True needs checkpoint=..., the folder to resume from.")
        return None
    ask = (
        checkpoint
        if isinstance(checkpoint, Checkpoint)
        else Checkpoint(_checks.path("checkpoint", checkpoint))
    )
    told = config()
    check_told(told)
    return Store(ask, told, resume=resume)


def _warn_of_versions(libraries: Mapping[str, str]) -> None:
    now = versions("orbax-checkpoint")
    other = [
        f"{name} {old} then, {now.get(name)} now" for name, old in libraries.items() if now.get(name) != old
    ]
    if other:
        warn(
            f"the checkpoint was written with other versions ({'; '.join(other)}): the results may "
            f"differ from an uninterrupted run in the last bits.",
            stacklevel=8,  # where `run` or `sweep` was called, which open the folder by two context managers
        )
