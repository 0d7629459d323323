"""What came of it, as lines and as a page."""

import importlib.metadata
import os
import platform
import time
from collections.abc import Mapping

from torture._row import Row

_LIBRARIES = ("sde_sgd", "jax", "jaxlib", "orbax-checkpoint", "numpy", "xarray", "netcdf4", "zarr")


def line(row: Row) -> str:
    """One row for a terminal."""
    failures = "".join(f"\n  {failure}" for failure in row.failures[:5])
    return f"{row.what}: {row.held} of {row.tried}; {_outcomes(row)}{failures}\n"


def page(found: Mapping[str, tuple[list[Row], float]], amount: float, seed: int) -> str:
    """All rows as Markdown."""
    rows = [row for some, _ in found.values() for row in some]
    tried = sum(row.tried for row in rows)
    table = [
        "# What was killed, cut short and damaged on purpose",
        "",
        "Every trial must end as documented: with the same bits, or with the error that the documentation",
        "names. Made by `make torture`; a part is repeated by",
        "`PYTHONPATH=tests python -m torture --only NAME --seed S`.",
        "",
        f"Of {tried:,} trials {sum(row.held for row in rows):,} ended as documented.",
        "",
        "| | what | trials | as documented | how they ended |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for name, (some, _) in found.items():
        table += [
            f"| `{name}` | {row.what} | {row.tried:,} | {row.held:,} | {_outcomes(row)} |" for row in some
        ]
    failures = [
        f"- `{name}`, {row.what}: {text}"
        for name, (some, _) in found.items()
        for row in some
        for text in row.failures
    ]
    if failures:
        table += ["", "## Not as documented", "", *failures[:100]]
    took = ", ".join(f"{name} {seconds:.0f} s" for name, (_, seconds) in found.items())
    table += ["", f"Time: {took}. Amount {amount:g}, seed {seed}.", "", _device(), ""]
    return "\n".join(table)


def _outcomes(row: Row) -> str:
    return ", ".join(
        f"{count} {outcome}" for outcome, count in sorted(row.outcomes.items(), key=lambda pair: -pair[1])
    )


def _device() -> str:
    versions = []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = os.cpu_count()
    return (
        f"On {platform.system()} {platform.machine()}, {cores} cores, {time.strftime('%Y-%m-%d')}, Python "
        f"{platform.python_version()}; {', '.join(versions)}."
    )
