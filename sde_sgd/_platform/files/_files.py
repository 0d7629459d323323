"""Files and folders that are put in place whole or not at all."""

import contextlib
import ctypes
import hashlib
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PARTIAL, _ASIDE = ".partial", ".aside"
_AT_FDCWD, _EXCHANGE = -100, 2  # of renameat2(2)


class FileError(RuntimeError):
    """A file of results could not be written, is damaged, or was not written by this library."""


@contextlib.contextmanager
def replaced(path: Path, size: int, what: str) -> Iterator[Path]:
    """A name beside `path` to write a file or folder to, which takes the place of `path` at the end.

    What was there stays whole until what is new is on the disk, whatever happens in between: an
    error, a full disk, a kill. What earlier kills have left is removed.

    Args:
        path: what is to be written.
        size: how many bytes it will have, about.
        what: for the message, such as "the sweep".

    Raises:
        FileError: if it cannot be written; what was there is as it was.
    """
    target = Path(os.path.realpath(path))
    token = f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    new = target.with_name(f"{_head(target)}{token}{_PARTIAL}")
    old = target.with_name(f"{_head(target)}{token}{_ASIDE}")
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _tidy(target)
            yield new
            _sync(new)
            _put(new, target, old)
            _sync_folder(target.parent)
        finally:
            _remove(new)
        _remove(old)
    except FileError:
        raise
    except Exception as error:  # whatever the libraries for NetCDF and Zarr make of a full disk
        there = "What was there before is untouched." if os.path.lexists(target) else "Nothing is left there."
        raise FileError(
            f"{what} ({size / 1e6:.3g} MB) could not be written to {str(path)!r} ({free(target.parent)}): "
            f"{first_line(error)}. {there} Make room or name another path."
        ) from error


def present(path: Path) -> Path | None:
    """Where the newest whole version of `path` is: itself, or set aside by a save that was killed."""
    if path.exists():
        return path
    target = Path(os.path.realpath(path))
    aside = _beside(target, _ASIDE)
    return max(aside, key=lambda one: one.stat().st_mtime) if aside else None


def digest(path: Path, end: int | None = None) -> str:
    """SHA-256 of a file, or of its first `end` bytes."""
    found = hashlib.sha256()
    left = path.stat().st_size if end is None else end
    with path.open("rb") as file:
        while left > 0:
            block = file.read(min(left, 2**20))
            if not block:
                break
            found.update(block)
            left -= len(block)
    return found.hexdigest()


def free(folder: Path) -> str:
    """How much room is left where a folder is or would be, in words."""
    for path in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return f"{shutil.disk_usage(path).free / 1e6:.3g} MB free"
    return "free space unknown"


def canonical(content: Any) -> str:
    """JSON that is the same for the same content."""
    return json.dumps(content, sort_keys=True)


def digest_of(content: Any) -> str:
    """SHA-256 of what JSON can hold."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def first_line(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}".rstrip(": ")


def _put(new: Path, target: Path, old: Path) -> None:
    """Rename what is new into place; what was there may remain as `new` or `old`, for removal."""
    if not os.path.lexists(target) or (new.is_file() and target.is_file()):
        if target.is_file():
            with contextlib.suppress(OSError):
                shutil.copymode(target, new)
        new.replace(target)
    elif not _exchanged(new, target):
        # between the two there is nothing at `target`: `present` and `_tidy` find what is set aside
        target.rename(old)
        new.rename(target)


def _exchanged(new: Path, target: Path) -> bool:
    """Whether two names could be exchanged at once, as Linux can on most file systems."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(new), os.fsencode(target)
    return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_EXCHANGE)) == 0)


def _tidy(target: Path) -> None:
    """Finish what a killed save has begun: put back what it had set aside, remove the rest."""
    aside = _abandoned(target, _ASIDE)
    if aside and not os.path.lexists(target):
        newest = max(aside, key=lambda one: one.stat().st_mtime)
        newest.rename(target)
    for path in (*_abandoned(target, _ASIDE), *_abandoned(target, _PARTIAL)):
        _remove(path)


def _beside(target: Path, suffix: str) -> list[Path]:
    """What saves to `target` have put beside it."""
    if not target.parent.is_dir():
        return []
    names = [path.name for path in target.parent.iterdir()]
    head = _head(target)
    return [target.with_name(name) for name in names if name.startswith(head) and name.endswith(suffix)]


def _abandoned(target: Path, suffix: str) -> list[Path]:
    """What is left of saves by processes of this host that are no more."""
    found = []
    for path in _beside(target, suffix):
        host, _, rest = path.name[len(_head(target)) :].partition("-")
        number = rest.partition("-")[0]
        if host == _host() and number.isdigit() and not _is_alive(int(number)):
            found.append(path)
    return found


def _head(target: Path) -> str:
    """How the names beside `target` begin; the name of a file may have 255 bytes."""
    name = target.name
    short = len(os.fsencode(name)) <= 180
    return f".{name if short else hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}."


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True  # there is no asking elsewhere
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _sync(path: Path) -> None:
    """Everything below `path` is on the disk."""
    if path.is_dir():
        for entry in path.iterdir():
            _sync(entry)
        _sync_folder(path)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems know no such thing
        pass
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
