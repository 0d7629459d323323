"""What a file of NetCDF or Zarr can hold of an `xarray.Dataset`, and what it cannot, beside it.

The attribute `sde_sgd_file` says, as JSON, what such a file does not hold by itself: names that files do
not allow, dtypes they do not know, attributes they do not take, and a checksum for each variable and
coordinate and for the attributes.
"""

import hashlib
import json
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from sde_sgd._platform.files import _seal
from sde_sgd._platform.files._files import FileError, digest_of

if TYPE_CHECKING:
    import xarray as xr

FORMAT = 1
_READERS = {"sweep": "read_sweep", "run": "read_run", "part of a sweep": "merge_sweeps"}
# what both kinds of file hold as it is; everything else is put into one of these
_NATIVE = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {"float32", "float64"}
# attributes that xarray reads a meaning into
_CF = {
    "dtype",
    "coordinates",
    "dimensions",
    "units",
    "calendar",
    "scale_factor",
    "add_offset",
    "missing_value",
}


def encoded(dataset: "xr.Dataset", kind: str) -> "xr.Dataset":
    """The data set as files can hold it, with what is needed to get it back."""
    import xarray as xr

    names = _file_names([*map(str, dataset.variables), *map(str, dataset.sizes)])
    variables: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for name, variable in dataset.variables.items():
        values = _in_order(variable.values)
        held = _held(str(name), values)
        told[str(name)] = {
            "file": names[str(name)],
            "dims": [str(entry) for entry in variable.dims],
            "shape": list(values.shape),
            "dtype": _dtype_name(values.dtype),
            "coordinate": name in dataset.coords,
            "attributes": _plain(variable.attrs),
            "checksum": _checksum(values),
        }
        if held.size:  # an empty dimension is one without limits to NetCDF
            dims = [names[str(entry)] for entry in variable.dims]
            variables[names[str(name)]] = (dims, held, _native(variable.attrs))
    attributes = _plain(dataset.attrs)
    content = {"format": FORMAT, "kind": kind, "variables": told, "attributes": attributes}
    content["checksum"] = digest_of([told, attributes])
    coordinates = [names[str(name)] for name in dataset.coords if names[str(name)] in variables]
    mark = {_seal.MARK: json.dumps(content)}
    return xr.Dataset(variables, attrs={**_native(dataset.attrs), **mark}).set_coords(coordinates)


class OtherKindError(FileError):
    """A file is whole, and holds something else than was asked for."""


def decoded(stored: "xr.Dataset", kind: str) -> "xr.Dataset":
    """The data set as it was."""
    import xarray as xr

    content = json.loads(stored.attrs[_seal.MARK])
    if content["format"] != FORMAT:
        raise FileError(f"it has format {content['format']}, and this version of sde_sgd reads {FORMAT}")
    if content["kind"] != kind:
        other = content["kind"]
        raise OtherKindError(f"it holds a {other}; read it with {_READERS.get(other, other)}")
    if content["checksum"] != digest_of([content["variables"], content["attributes"]]):
        raise FileError("its attributes do not have their checksum")
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, told in content["variables"].items():
        dtype = np.dtype(told["dtype"])
        if told["file"] in stored.variables:
            values = _restored(_in_order(stored.variables[told["file"]].values), dtype)
        else:
            values = np.zeros(told["shape"], dtype)
        if list(values.shape) != told["shape"] or _checksum(values) != told["checksum"]:
            raise FileError(f"variable {name!r} does not have its checksum")
        (coords if told["coordinate"] else data)[name] = (told["dims"], values, told["attributes"])
    return xr.Dataset(data, coords, content["attributes"])


def _in_order(values: np.ndarray) -> np.ndarray:
    """In the byte order of this machine."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _held(name: str, values: np.ndarray) -> np.ndarray:
    """The values in a dtype that files know."""
    dtype = values.dtype
    if dtype.name in _NATIVE or dtype.kind in "bU":
        return values
    if dtype.kind == "O" and all(isinstance(entry, str) for entry in values.flat):
        return values.astype(str)
    if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize <= 4:
        with np.errstate(all="ignore"):
            wide = values.astype(np.float32)
            if _bits(wide.astype(dtype)) == _bits(values):
                return wide
        return np.ascontiguousarray(values).view(f"uint{8 * dtype.itemsize}")
    raise FileError(
        f"variable {name!r} has dtype {dtype}, which is not written: numbers, truth values and text are."
    )


def _restored(held: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if held.dtype == dtype:
        return held
    if dtype.kind in "bUO":
        return held.astype(dtype)
    if held.dtype.kind == "u":
        return np.ascontiguousarray(held).view(dtype)
    with np.errstate(all="ignore"):
        return held.astype(dtype)


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.kind in "UO" else dtype.name


def _bits(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values).tobytes()


def _checksum(values: np.ndarray) -> str:
    """SHA-256 of shape, dtype and bytes; of text for text."""
    found = hashlib.sha256(f"{list(values.shape)} {_dtype_name(values.dtype)} ".encode())
    if values.dtype.kind in "UO":
        found.update(json.dumps(values.tolist()).encode())
    else:
        found.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _file_names(names: list[str]) -> dict[str, str]:
    """For each name one that NetCDF, Zarr and file systems take, and no other has."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        short = "".join(_character(letter, place) for place, letter in enumerate(name)).rstrip()
        if not 0 < len(short.encode()) <= 200:
            short = f"variable_{len(found)}"
        while short.casefold() in taken:
            short += "_"
        taken.add(short.casefold())
        found[name] = short
    return found


def _character(letter: str, place: int) -> str:
    allowed = letter.isascii() and (letter.isalnum() or (letter in "_-.+@()[]{}=,:; '" and place > 0))
    greek = not letter.isascii() and letter.isalnum() and ord(letter) < 0x400
    return letter if allowed or letter == "_" or greek else f"x{ord(letter):02x}"


def _plain(attributes: Any) -> dict[str, Any]:
    """Attributes as JSON has them, but what a file had from here."""
    return {str(name): _value(value) for name, value in attributes.items() if not _is_ours(name)}


def _is_ours(name: Any) -> bool:
    return name in (_seal.MARK, _seal.MANIFEST, _seal.SEAL)


def _value(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return _value(value.tolist())
    if isinstance(value, dict):
        return _plain(value)
    if isinstance(value, list | tuple):
        return [_value(entry) for entry in value]
    return value if isinstance(value, str | bool | int | float | None) else repr(value)


def _native(attributes: Any) -> dict[str, Any]:
    """Attributes as files take them; what they do not take as JSON text."""
    found: dict[str, Any] = {}
    for name, value in _plain(attributes).items():
        listed: list[Any] = value if isinstance(value, list) and value else [value]
        numbers = all(type(entry) in (int, float) and abs(entry) < 2**62 for entry in listed)
        text = isinstance(value, str) and value.isprintable()
        usual = name.isascii() and name.isidentifier() and not name.startswith("_") and name not in _CF
        key = name if usual else f"attribute_{len(found)}"
        found[key] = value if numbers or text else json.dumps(value)
    return found
