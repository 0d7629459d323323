"""An `xarray.Dataset` as a NetCDF file or Zarr folder, and back to the last bit.

xarray opens what is written as it opens any other.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sde_sgd import _checks
from sde_sgd._platform._packages import need
from sde_sgd._platform._telling import warn
from sde_sgd._platform.files import _seal
from sde_sgd._platform.files._dataset_code import OtherKindError, decoded, encoded
from sde_sgd._platform.files._files import FileError, first_line, present, replaced
from sde_sgd._types import FilePath

if TYPE_CHECKING:
    import xarray as xr

_PACKAGES = {".nc": "netCDF4", ".zarr": "zarr"}
# one of these lies in every Zarr folder
_ZARR = {".zgroup", ".zmetadata", ".zarray", ".zattrs", "zarr.json"}


def write_dataset(dataset: "xr.Dataset", path: FilePath, kind: str, *, overwrite: bool) -> Path:
    """Write a data set as NetCDF (`.nc`) or Zarr (`.zarr`), whole or not at all.

    Args:
        dataset: of numbers, truth values and text.
        path: of the file or folder; folders above it are made.
        kind: "sweep", "run" or "part of a sweep".
        overwrite: whether something that is there already may be replaced.

    Raises:
        ValueError: for another ending, if there is something already and not `overwrite`, or if that is
            something else than such a file (`.nc`), or a Zarr folder or an empty one (`.zarr`).
        FileError: if it cannot be written; what was there is as it was.
        ImportError: without netCDF4 or zarr, whichever it takes.
    """
    target = _path(path, "path must end in .nc (NetCDF) or .zarr, got {}.")
    there = _found(target)
    if there is not None:
        if not overwrite:
            raise ValueError(f"{str(path)!r} exists; pass overwrite=True or another path.")
        _check_replaceable(there, path)
    need_format(target)
    stored = encoded(dataset, kind)
    plain = {name: {"_FillValue": None} for name in stored.variables}
    with replaced(target, dataset.nbytes, f"the {kind}") as new:
        if target.suffix == ".nc":
            stored.to_netcdf(new, engine="netcdf4", format="NETCDF4", encoding=plain)
            _seal.seal_file(new)
        else:
            stored.to_zarr(new, mode="w", zarr_format=2, consolidated=True, write_empty_chunks=True)
            _seal.seal_folder(new)
    return target


def need_format(target: Path) -> None:
    """Refuse a format whose package is not installed."""
    need(_PACKAGES[target.suffix], f"path={str(target)!r}")


def _check_replaceable(there: Path, path: Any) -> None:
    """Only what was made to hold such data gives way to it, and no folder of somebody's own."""
    if Path(path).suffix == ".nc":
        fits, what = there.is_file(), "a file"
    else:
        names = {entry.name for entry in there.iterdir()} if there.is_dir() else {""}
        fits, what = not names or bool(names & _ZARR), "a Zarr folder"
    if not fits:
        found = "a folder" if there.is_dir() else "a file"
        raise ValueError(
            f"path {str(path)!r} is {found} that is not {what}, so it is not replaced; name another path, or "
            f"remove it yourself."
        )


def read_dataset(path: FilePath, kind: str) -> "xr.Dataset":
    """Read what `write_dataset` has written, or a version without checksums.

    Raises:
        ValueError: if there is no such file, or it ends in neither .nc nor .zarr.
        FileError: if it is damaged in any way, holds another kind, or is somebody else's.
        ImportError: without netCDF4 or zarr, whichever it takes.
    """
    message = "path must be an existing .nc file or .zarr folder, got {}."
    target = _path(path, message)
    source = _found(target)
    if source is None:
        raise ValueError(message.format(repr(str(path))))
    need_format(target)
    try:
        checked = _seal.check_file(source) if target.suffix == ".nc" else _seal.check_folder(source)
        return decoded(_opened(source, target.suffix), kind) if checked else _unchecked(source, target, kind)
    except Exception as error:
        if isinstance(error, FileError) and str(source) in str(error):
            raise
        if isinstance(error, OtherKindError):
            raise FileError(f"{str(path)!r} is not a {kind}: {error}") from error
        raise _unreadable(path, error) from error


def _found(target: Path) -> Path | None:
    try:
        return present(target)
    except OSError as error:
        raise FileError(f"{str(target)!r} cannot be used: {first_line(error)}.") from error


def _unreadable(path: Any, error: Exception) -> FileError:
    return FileError(
        f"{str(path)!r} cannot be read: {first_line(error)}. Restore it from a copy, or run again."
    )


def _path(path: Any, message: str) -> Path:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or Path(text).suffix not in _PACKAGES or "\0" in text:
        raise ValueError(message.format(repr(path if text is None else text)))
    return _checks.path("path", text)


def _opened(source: Path, suffix: str) -> "xr.Dataset":
    """What is in the file, as it is there."""
    import xarray as xr

    if suffix == ".nc":
        with xr.open_dataset(source, engine="netcdf4", decode_cf=False) as opened:
            return opened.load()
    with xr.open_zarr(source, chunks=None, decode_cf=False, consolidated=True) as opened:
        result: xr.Dataset = opened.load()
        return result


def _unchecked(source: Path, target: Path, kind: str) -> "xr.Dataset":
    """A sweep as versions without checksums wrote it."""
    import xarray as xr

    if target.suffix == ".nc":
        dataset = xr.load_dataset(source, engine="netcdf4")
    else:
        with xr.open_zarr(source, chunks=None) as opened:
            dataset = opened.load()
    if not str(dataset.attrs.get("created_by", "")).startswith("sde_sgd ") or kind != "sweep":
        raise FileError(f"{str(target)!r} {_seal.WRITTEN_BY}.")
    warn(
        f"{str(target)!r} was written by a version of sde_sgd that stored no checksums: damage to it cannot "
        f"be seen. Save it again to have them.",
        stacklevel=4,
    )
    return dataset
