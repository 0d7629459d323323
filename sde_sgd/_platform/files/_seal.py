"""Seals: what tells that a file or folder is, byte for byte, what was written.

The libraries that read HDF5 may crash or take any time and memory over a damaged file, so bytes are
looked at before any of them is.
"""

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sde_sgd._platform.files._files import FileError, canonical, digest, digest_of

MARK = "sde_sgd_file"  # the attribute with what a reader of ours needs to know
MANIFEST, SEAL = "sde_sgd_manifest", "sde_sgd_seal"
# behind the end of an HDF5 file: readers of HDF5 do not look there. Its length is no power of two, so
# that one flipped bit does not turn the length of a sealed file into that of another.
_TRAILER = b"\nsha256 of what is above, written by sde_sgd: %s\n"
_LENGTH = len(_TRAILER % (b"0" * 64))
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BEFORE = b"sde_sgd "  # `created_by` of files without a seal
WRITTEN_BY = "was not written by SweepResult.save, SweepPart.save or Result.save"


def seal_file(path: Path) -> None:
    """Put the digest of an HDF5 file behind it."""
    found = digest(path)
    with path.open("ab") as file:
        file.write(_TRAILER % found.encode())


def check_file(path: Path) -> bool:
    """Whether an HDF5 file has a seal; False for one of a version that made none.

    Raises:
        FileError: if the file is damaged, or somebody else's.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        file.seek(max(size - _LENGTH, 0))
        tail = file.read(_LENGTH)
    if tail[:-65] == _TRAILER[:-3]:
        if tail != _TRAILER % digest(path, size - _LENGTH).encode():
            raise _damaged(path, "its bytes do not have the checksum that was written with them")
        return True
    end = _end_of_hdf5(head) if head.startswith(_HDF5) else 2**20
    if _mentions(path, MARK.encode(), end):
        raise _damaged(path, "the checksum at its end is missing or damaged")
    if not head.startswith(_HDF5) or not _mentions(path, _BEFORE, end):
        raise FileError(f"{str(path)!r} {WRITTEN_BY}. xarray.open_dataset opens other files.")
    if size == end + _LENGTH:
        raise _damaged(path, "the checksum at its end is damaged")
    if size != end:
        raise _damaged(path, f"it has {size} bytes and should have {end}")
    return False


def _end_of_hdf5(head: bytes) -> int:
    """The length of an HDF5 file as its first block has it."""
    place = {0: 40, 1: 44, 2: 28, 3: 28}.get(head[8] if len(head) > 8 else -1, 28)
    return int.from_bytes(head[place : place + 8], "little")


def _mentions(path: Path, text: bytes, end: int) -> bool:
    """Whether a text is among the first `end` bytes."""
    size = path.stat().st_size
    if not size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text, 0, min(end, size)) >= 0


def seal_folder(path: Path) -> None:
    """Put the digests of all files of a Zarr group into its attributes, and one of these beside them."""
    attributes = json.loads((path / ".zattrs").read_text("utf-8"))
    gathered = json.loads((path / ".zmetadata").read_text("utf-8"))
    attributes[MANIFEST] = {
        name: [(path / name).stat().st_size, digest(path / name)] for name in _listed(path)
    }
    attributes[SEAL] = digest_of(attributes)
    gathered["metadata"][".zattrs"] = attributes
    for name, content in ((".zattrs", attributes), (".zmetadata", gathered)):
        (path / name).write_text(json.dumps(content, indent=1), "utf-8")


def check_folder(path: Path) -> bool:
    """Whether a Zarr group has a seal; False for one of a version that made none.

    Raises:
        FileError: if it is damaged, or somebody else's.
    """
    texts = {name: _text(path / name) for name in (".zattrs", ".zmetadata")}
    both = " ".join(texts.values())
    if not any(name in both for name in (MARK, MANIFEST, SEAL)):
        if _BEFORE.decode() in both:
            return False
        missing = "" if both.strip() else ", or its metadata are lost"
        raise FileError(f"{str(path)!r} {WRITTEN_BY}{missing}. xarray.open_zarr opens other folders.")
    attributes, gathered = (_object(path / name, text) for name, text in texts.items())
    if attributes.pop(SEAL, None) != digest_of(attributes):
        raise _damaged(path, "'.zattrs' does not have the checksum that was written with it")
    manifest, there = attributes[MANIFEST], set(_listed(path))
    for name, (size, found) in manifest.items():
        if name not in there:
            raise _damaged(path, f"{name!r} is missing")
        if (path / name).stat().st_size != size or digest(path / name) != found:
            raise _damaged(path, f"{name!r} does not have the checksum that was written with it")
    if there - set(manifest):
        raise _damaged(path, f"{min(there - set(manifest))!r} does not belong to it")
    described = {
        name: _object(path / name, _text(path / name))
        for name in (".zattrs", *there)
        if name.rpartition("/")[2].startswith(".z")
    }
    if canonical(gathered) != canonical({"metadata": described, "zarr_consolidated_format": 1}):
        raise _damaged(path, "'.zmetadata' is not what the other files say")
    return True


def _listed(path: Path) -> Iterator[str]:
    """Files of a Zarr group but those that hold the manifest, and what file systems put beside them."""
    for entry in sorted(path.rglob("*")):
        name = entry.relative_to(path).as_posix()
        of_the_system = entry.name.startswith(".") and not entry.name.startswith(".z")
        if entry.is_file() and not of_the_system and name not in (".zattrs", ".zmetadata"):
            yield name


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _object(path: Path, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path.parent, f"{path.name!r} is no JSON") from error
    if not isinstance(found, dict):
        raise _damaged(path.parent, f"{path.name!r} is no JSON object")
    return found


def _damaged(path: Path, why: str) -> FileError:
    return FileError(f"{str(path)!r} is damaged: {why}. Restore it from a copy, or run again.")
