"""What works where only the packages are that computing needs, and what is refused there, and how.

    python without_packages.py [--hide] [--checkpoint FOLDER]

`--hide` makes this process one where the others are not installed.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

ABSENT = ("netCDF4", "zarr", "beartype", "matplotlib", "sklearn")
# all that computing, checkpoints and results in memory take; the rest is for files, pictures and data sets
FEW = (
    "jax",
    "jaxlib",
    "equinox",
    "diffrax",
    "optax",
    "jaxtyping",
    "numpy",
    "scipy",
    "tqdm",
    "typing_extensions",
    "orbax-checkpoint",
    "xarray",
)
# imported when they are first used
LATE = ("xarray", "orbax", "scipy.stats", "scipy.optimize", "scipy.interpolate", "scipy.signal")


class _Hidden(PathFinder):
    """Finds what `PathFinder` does, but for these packages."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in ABSENT:
            return None
        return super().find_spec(fullname, path, target)


def hide() -> None:
    """Let this process find none of them."""
    sys.meta_path[:] = [_Hidden if finder is PathFinder else finder for finder in sys.meta_path]


def said_as_it_should(out: str) -> None:
    """Each refusal in its own line, in the order of the script."""
    *_, nc, folder, sweep, digits, figure, histograms, curves, heat_map = out.splitlines()
    assert nc.startswith("path='run.nc' needs netCDF4, which cannot be imported (No module named 'netCDF4')")
    assert nc.endswith(": pip install netCDF4.")
    assert "path='run.zarr' needs zarr" in folder and folder.endswith("pip install zarr.")
    assert "path='sweep.nc' needs netCDF4" in sweep
    assert "the data set 'digits' needs scikit-learn" in digits and "No module named 'sklearn'" in digits
    assert "pip install scikit-learn, or read a file of your own" in digits
    assert figure.startswith("sde_sgd.plot needs matplotlib") and "pip install matplotlib" in figure
    assert histograms == curves == heat_map == figure


def is_absent(name: str) -> bool:
    """Whether there is no such package."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        return error.name == name
    return False


def refusal(call: Callable[[], Any]) -> str:
    """How it is refused."""
    try:
        call()
    except ImportError as error:
        return str(error)
    raise AssertionError("it was not refused")


def main() -> None:
    """Compute; then ask for what needs more, and print how that is refused."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hide", action="store_true")
    parser.add_argument("--checkpoint")
    options = parser.parse_args()
    if options.hide:
        hide()
    assert all(map(is_absent, ABSENT))

    import sde_sgd as ss

    early = [name for name in LATE if name in sys.modules]
    assert not early, early

    import jax
    import numpy as np

    key = jax.random.key(0)
    well, hyper = ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 1)
    result = ss.run(ss.SGD(well, hyper), chains=40, steps=20, every=10, record=["loss"], key=key)
    found = ss.sweep(ss.SGD, well, learning_rate=[0.02, 0.05], batch_size=1, steps=5, seeds=2, key=key)
    assert found["loss"].shape == (2, 2, 2)
    print(ss.statistics.compare(result, ss.theory.gibbs(well, hyper)))  # noqa: T201
    curvature = ss.curvature.trace(ss.problems.Quadratic(np.diag([1.0, 2.0])), np.zeros(2), key=key)
    np.testing.assert_allclose(curvature.value, 3.0, rtol=1e-6)
    if options.checkpoint:
        again = {"chains": 40, "steps": 20, "checkpoint": options.checkpoint, "key": key}
        first = ss.run(ss.SGD(well, hyper), **again)
        np.testing.assert_array_equal(first.theta, ss.run(ss.SGD(well, hyper), **again, resume=True).theta)

    for name in ("run.nc", "run.zarr"):
        print(refusal(lambda name=name: result.save(name)))  # noqa: T201
    print(refusal(lambda: found.save("sweep.nc")))  # noqa: T201
    print(refusal(ss.data.digits))  # noqa: T201
    print(refusal(ss.plot.figure))  # noqa: T201
    print(refusal(lambda: ss.plot.histograms(SGD=result)))  # noqa: T201
    print(refusal(lambda: ss.plot.curves("loss", SGD=result)))  # noqa: T201
    print(refusal(lambda: ss.plot.heat_map(np.ones((2, 2)), learning_rate=[1, 2], batch_size=[1, 2])))  # noqa: T201


if __name__ == "__main__":
    main()
