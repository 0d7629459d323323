"""Imports go down only, and importing changes no configuration."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sde_sgd"

# What is not named belongs to the folder or module of its first word.
FLOORS = {
    "_checks": 0,
    "_names": 0,
    "_samplings": 0,
    "_shown": 0,
    "_compensated": 0,
    "_tree": 0,
    "_jaxpr": 0,
    "_devices": 0,
    "_progress": 0,
    "_fingerprint": 0,
    "_reading": 0,
    "_reads": 0,
    "_origin": 0,
    "_array_text": 0,
    "_traces": 0,
    "_settings": 0,
    "_telling": 0,
    "_interrupt": 0,
    "_checkpoint": 0,
    "_files": 0,
    "_seal": 0,
    "_dataset_file": 0,
    "_dataset_code": 0,
    "_lock": 0,
    "_store": 0,
    "_saving": 0,
    "_session": 0,
    "random": 0,
    "hyperparameters": 0,
    "data": 1,
    "problems": 1,
    "processes": 2,
    "theory": 2,
    "curvature": 2,
    "statistics": 2,
    "_recording": 3,
    "_asked": 3,
    "_length": 3,
    "_plan": 3,
    "_reports": 3,
    "_schedule_use": 3,
    "_key_use": 3,
    "_program": 3,
    "_memory": 3,
    "_engine": 3,
    "_start": 3,
    "_result": 3,
    "_result_file": 3,
    "_saved_process": 3,
    "_structure": 0,
    "_written": 3,
    "_provenance": 3,
    "_run": 3,
    "_packing": 3,
    "_cache": 0,
    "_points": 3,
    "_making": 3,
    "_sweep": 3,
    "_sweep_result": 3,
    "_sweep_config": 3,
    "schedules": 0,
    "validity": 3,
    "bayes": 3,
    "plot": 4,
}


def imported(path: Path) -> set[str]:
    """First names below sde_sgd that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "sde_sgd":
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


def floor_of(path: Path) -> int:
    return FLOORS[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_imports_go_down(path):
    higher = {name for name in imported(path) if FLOORS[name] > floor_of(path)}
    assert not higher


def test_the_check_sees_an_upward_import(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from sde_sgd._run import run\nfrom sde_sgd import plot\n")
    assert {FLOORS[name] for name in imported(wrong)} == {3, 4}


@pytest.mark.parametrize("folder", ["examples", "benchmarks", "paper_checks"])
def test_only_the_public_names_are_used_above(folder):
    for path in (ROOT / folder).rglob("*.py"):
        private = {name for name in imported(path) if name.startswith("_")}
        assert not private, path


def test_import_changes_no_configuration_and_loads_no_matplotlib():
    program = (
        "import jax, sys; before = dict(jax.config.values); import sde_sgd; "
        "assert all(jax.config.values[name] == old for name, old in before.items()); "
        "assert 'plot' in dir(sde_sgd); assert 'matplotlib' not in sys.modules; "
        "assert 'sklearn' not in sys.modules; sde_sgd.plot.figure; "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_files_stay_small():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 500, path


def test_unknown_attribute():
    import sde_sgd

    with pytest.raises(AttributeError, match="no attribute 'plots'"):
        sde_sgd.plots  # noqa: B018


def test_the_table_of_floors_names_all_of_them():
    table = (ROOT / "docs" / "design.md").read_text()
    assert [name for name in FLOORS if f"`{name}`" not in table] == []
