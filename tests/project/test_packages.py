"""Computing needs few packages; what needs more says so, by name, when it is asked for."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers import finished, launch, refused
from without_packages import ABSENT

from sde_sgd._platform._packages import need

ROOT = Path(__file__).parents[2]
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
OTHERS = {"netcdf4", "zarr", "matplotlib", "scikit-learn"}


def said_as_it_should(out):
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


@pytest.mark.script
def test_computing_works_where_the_others_are_not_installed():
    said_as_it_should(finished(launch("--hide", script="without_packages.py", PYTHONPATH=str(ROOT)))[0])


@pytest.mark.script
def test_computing_works_in_an_environment_of_few_packages(tmp_path):
    """Installed for real, at the versions that are tested; needs the package index."""
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", *FEW], check=True)
    # from a copy, for building writes into the source
    copy = tmp_path / "source"
    tracked = ("sde_sgd", "pyproject.toml", "README.md", "LICENSE")
    copy.mkdir()
    subprocess.run(["cp", "-r", *tracked, copy], check=True, cwd=ROOT)
    subprocess.run([*pip, "--no-deps", copy], check=True)
    away = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-W", "ignore", ROOT / "tests" / "without_packages.py", "--checkpoint", tmp_path / "kept"],
        cwd=tmp_path,
        env=away,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said_as_it_should(done.stdout)
    assert (tmp_path / "kept" / "sde_sgd.json").exists()


def test_the_package_asks_for_these_and_the_others():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[><=!]", requirement)[0] for requirement in project["dependencies"]}
    assert asked == {*FEW, *OTHERS}
    assert {name.lower() for name in ABSENT} - {"beartype", "sklearn"} < OTHERS


def test_a_package_that_is_there_is_no_matter():
    need("numpy", "x")


def test_a_package_that_is_not_there_is_refused_with_the_way_out():
    with refused(r"^x=3 needs no-such-thing, .*: pip install no-such-thing, or take x=2\.$", ImportError):
        need("no-such-thing", "x=3", module="no_such_thing", instead="take x=2")
