"""The wheel and the sdist: what they hold, and that the README's ten lines run from an empty directory."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from without_packages import FEW, said_as_it_should

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="what belongs to the project, git knows")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def tracked():
    """Files of the project, without what is made in it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with both: the wheel is built from the sdist, so that this is seen to be whole."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--outdir", folder / "dist", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(built):
    (found,) = built.glob("*.whl")
    return found


@pytest.mark.script
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in held if name.startswith("sde_sgd/")}
    described = {name for name in held if name.startswith(f"sde_sgd-{VERSION}.dist-info/")}
    assert held == package | described
    assert package == {name for name in tracked() if name.startswith("sde_sgd/")}
    assert f"sde_sgd-{VERSION}.dist-info/licenses/LICENSE" in described


@pytest.mark.script
def test_the_sdist_holds_all_that_the_tests_read(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    folders = ("benchmarks/", "docs/", "examples/", "paper_checks/", "sde_sgd/", "tests/")
    wanted = {name for name in tracked() if name.startswith(folders) or "/" not in name} - {".gitignore"}
    assert wanted <= held
    assert not {name for name in held if "__pycache__" in name or name.startswith(".")}


def ten_lines():
    """The block of the README that runs both laws on a well."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if "ss.theory.gibbs(" in block and "ss.run(ss.SGD" in block]
    return found


def run_away(command, folder):
    """In a folder of its own and without the source on the path."""
    away = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"MPLBACKEND": "Agg"}
    done = subprocess.run(command, cwd=folder, env=away, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.script
def test_installed_with_few_packages_it_computes_and_with_all_it_runs_the_ten_lines(wheel, tmp_path):
    """Installed for real, at the versions that are tested; needs the package index."""
    python, empty = tmp_path / "venv" / "bin" / "python", tmp_path / "empty"
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    empty.mkdir()

    subprocess.run([*install, *FEW], check=True)
    subprocess.run([*install, "--no-deps", wheel], check=True)
    script = ROOT / "tests" / "without_packages.py"
    said_as_it_should(run_away([python, "-W", "ignore", script, "--checkpoint", tmp_path / "kept"], empty))
    assert (tmp_path / "kept" / "sde_sgd.json").exists()

    subprocess.run([*install, wheel], check=True)
    assert "KS" in run_away([python, "-c", ten_lines()], empty)
    assert [path.name for path in (empty / "figures").iterdir()] == ["wells.png"]
