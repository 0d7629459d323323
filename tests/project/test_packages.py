"""Computing needs few packages; what needs more says so, by name, when it is asked for."""

import re
import tomllib
from pathlib import Path

import pytest
from helpers import finished, launch, refused
from without_packages import ABSENT, FEW, said_as_it_should

from sde_sgd._platform._packages import need

ROOT = Path(__file__).parents[2]
OTHERS = {"netcdf4", "zarr", "matplotlib", "scikit-learn"}


@pytest.mark.script
def test_computing_works_where_the_others_are_not_installed():
    said_as_it_should(finished(launch("--hide", script="without_packages.py", PYTHONPATH=str(ROOT)))[0])


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
