"""Packages that only a part of the library needs, imported when that part is asked for."""

import importlib


def need(package: str, what: str, *, module: str | None = None, instead: str = "") -> None:
    """Refuse what cannot be done without a package that is not there.

        need("netCDF4", "path='run.nc'", instead="name a path that ends in .zarr")

    Args:
        package: as pip calls it.
        what: needs it, with its value.
        module: as Python calls it, where that is another name.
        instead: another way out, if there is one.

    Raises:
        ImportError: if it cannot be imported.
    """
    name = module or package
    try:
        importlib.import_module(name)
    except ImportError as error:
        way_out = f"pip install {package}, or {instead}" if instead else f"pip install {package}"
        raise ImportError(
            f"{what} needs {package}, which cannot be imported ({error}): {way_out}.", name=name
        ) from error
