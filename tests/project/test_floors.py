"""Imports go down only, importing changes no configuration, files stay small, tests lie where one looks."""

import ast
import graphlib
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sde_sgd"

# From the ground up. A folder is one room, its inner folders with it.
FLOORS = (
    ("_checks", "_samplings", "_tree", "_types"),
    ("_platform",),
    ("hyperparameters", "random", "schedules"),
    ("data",),
    ("problems",),
    ("curvature",),
    ("processes",),
    ("simulation", "theory"),
    ("statistics",),
    ("bayes", "escape", "validity"),
    ("plot", "_citation"),
    ("explorer",),
    ("_command_line",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# in `_platform`
INNER = {"": 0, "reading": 1, "files": 1, "checkpoints": 2}


def imported(path: Path) -> set[str]:
    """Rooms that a file imports from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "sde_sgd":
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def upward(path: Path, room: str) -> set[str]:
    """Rooms that are not below this one."""
    return {other for other in imported(path) - {room} if FLOOR[other] >= FLOOR[room]}


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    assert not upward(path, room_of(path))


def test_the_check_sees_an_upward_import(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from sde_sgd.simulation._run import run\nfrom sde_sgd import plot, theory, random\n")
    assert upward(wrong, "theory") == {"simulation", "plot"}
    assert upward(wrong, "simulation") == {"plot", "theory"}
    assert upward(wrong, "plot") == set()


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_inside_the_platform_imports_go_down_too():
    for path in (PACKAGE / "_platform").rglob("*.py"):
        *_, inner = ("", *path.relative_to(PACKAGE / "_platform").parts[:-1])
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sde_sgd._platform"):
                parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                other = parts[2] if parts[2] in INNER else ""
                assert other == inner or INNER[other] < INNER[inner], path


def test_no_files_import_each_other():
    files = {module_of(path): path for path in FILES}
    needs: dict[str, set[str]] = {}
    for name, path in files.items():
        if path.name == "__init__.py":
            continue
        # what is imported for its type alone is not imported when the program runs
        whole = ast.parse(path.read_text()).body
        body = [node for node in whole if "TYPE_CHECKING" not in ast.dump(node)[:60]]
        froms = [node for part in body for node in ast.walk(part) if isinstance(node, ast.ImportFrom)]
        found = {node.module or "" for node in froms}
        found |= {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
        needs[name] = {other for other in found if other in files and files[other].name != "__init__.py"}
    graphlib.TopologicalSorter(needs).prepare()


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
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_files_stay_small():
    lengths = {path: len(path.read_text().splitlines()) for path in FILES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
    assert statistics.median(lengths.values()) < 150


def test_tests_stay_small_and_lie_as_the_package_does():
    """Also: no two files of tests have one name, so that each can be told by it."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    lengths = {path: len(path.read_text().splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > 500} == {}
    names = [path.name for path in files if path.name.startswith("test_")]
    assert sorted(set(names)) == sorted(names)
    rooms = {path.parent.name.removeprefix("_") for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}


def test_unknown_attribute():
    import sde_sgd

    with pytest.raises(AttributeError, match="no attribute 'plots'"):
        sde_sgd.plots  # noqa: B018


def test_the_table_of_floors_is_this_one():
    table = (ROOT / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| (\d+) \| [^|]* \| ([^|]*) \|$", table, re.MULTILINE)
    told = {int(number): set(re.findall(r"`(\w+)`", rooms)) for number, rooms in rows}
    assert told == {number: set(rooms) for number, rooms in enumerate(FLOORS)}
