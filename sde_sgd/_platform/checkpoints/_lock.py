"""One process at a time in a folder."""

import contextlib
import errno
import json
import os
import socket
import time
import weakref
from pathlib import Path
from typing import IO, Any

from sde_sgd._platform._telling import log

try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None  # type: ignore[assignment]

# of a folder that can only be read: nobody can spoil it
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_open: "weakref.WeakSet[FolderLock]" = weakref.WeakSet()


class FolderLock:
    """An advisory lock on a file of the folder (`flock`), which says who holds it.

    The operating system lets go of it when the process ends, by SIGKILL too, so no lock is left
    behind. Where it is not known (Windows, some network file systems) nothing is locked, and the log says so.
    """

    def __init__(self, path: Path):
        self._path = path
        self._file: IO[str] | None = None
        self._signed = False

    def take(self) -> bool:
        """Try to get it; whether nobody else has it.

        Raises:
            OSError: if the file cannot be made.
        """
        try:
            file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8")
        except OSError as error:
            if error.errno in _READ_ONLY and self._path.parent.exists():
                return True
            raise
        if fcntl is None:
            file.close()
            return self._none("this system has no flock")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError as error:
            file.close()
            return self._none(str(error))
        self._file = file
        _open.add(self)
        return True

    def sign(self) -> None:
        """Write down who has it."""
        if self._file is None:
            return
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with contextlib.suppress(OSError):  # a full disk: it is held all the same
            self._signed = True
            self._write(json.dumps(who))

    def holder(self) -> str:
        """In words, who has it."""
        for _ in range(10):  # it may have been taken and not signed yet
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                who: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
                mine = who["pid"] == os.getpid() and who["host"] == socket.gethostname()
                whose = "this process itself, " if mine else ""
                return f"{whose}process {who['pid']} on host {who['host']!r} since {who['since']}"
            time.sleep(0.05)
        return "another process"

    def release(self) -> None:
        """Let go of it; the file stays, empty."""
        if self._file is None or fcntl is None:
            return
        if self._signed:
            with contextlib.suppress(OSError):
                self._write("")
        self._signed = False
        with contextlib.suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._forget()

    def _write(self, text: str) -> None:
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()

    def _forget(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _none(self, why: str) -> bool:
        log.warning(
            "checkpoint folder %s cannot be locked (%s): see to it yourself that no other process uses it",
            self._path.parent,
            why,
        )
        return True


def _forget_all() -> None:
    for lock in list(_open):
        lock._forget()


if hasattr(os, "register_at_fork"):
    # a child would keep the lock of a parent that was killed
    os.register_at_fork(after_in_child=_forget_all)
