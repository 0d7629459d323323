"""What plants faults tells the caught from the missed, and says where a fault is none any more."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from planted import _report
from planted.__main__ import listed
from planted._draw import statements
from planted._fault import Fault, OutOfDateError
from planted._runner import Verdict

TESTS = Path(__file__).parents[1]

FORMULAE = '''
def temperature(rate, batch, variance):
    """T."""
    return rate * variance / batch


def ratio(rate, batch):
    """η/B."""
    return rate / batch
'''
FORMULA_TESTS = """
import time

from sde_sgd.formulae import ratio, temperature


def test_temperature():
    assert temperature(0.1, 2, 3.0) == 0.1 * 3.0 / 2


def test_nothing():
    temperature(0.1, 2, 3.0)


def test_wrong():
    assert ratio(1, 2) == 2
"""
OLD = "return rate * variance / batch"
PLANTED = """
import json, sys
from pathlib import Path
from planted._fault import Fault
from planted._runner import Runner

root, folder, old = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
kinds = {
    "caught": ("return rate * variance", "test_formulae.py::test_temperature"),
    "survived": ("return rate * variance", "test_formulae.py::test_nothing"),
    "equivalent": ("return variance * rate / batch", "test_formulae.py::test_temperature"),
    "unfounded": ("return rate", "test_formulae.py::test_wrong"),
    "broken": ("return rate /", "test_formulae.py::test_temperature"),
    "timed out": ("while True: pass", "test_formulae.py::test_temperature"),
}
faults = [
    Fault(name, "sde_sgd/formulae.py", old, new, tests, "a product" if name == "equivalent" else "")
    for name, (new, tests) in kinds.items()
]
faults.append(Fault("out of date", "sde_sgd/formulae.py", "return 1", "return 2", "test_formulae.py"))
known = {}
lines = []
runner = Runner(root, folder, jobs=2, limit=12.0, known=known, say=lines.append)
verdicts = runner.verdicts(faults, runner.baseline(faults))
again = Runner(root, folder / "again", known=known, say=lines.append).verdicts(faults[:3], None)
found = {name: [verdict.status, verdict.by] for name, verdict in verdicts.items()}
print(json.dumps([found, [verdict.status for verdict in again.values()], len(runner._copies), lines]))
"""


@pytest.mark.script
def test_every_fate_of_a_fault_is_told(tmp_path):
    root = tmp_path / "root"
    for name, text in (
        ("sde_sgd/__init__.py", ""),
        ("sde_sgd/formulae.py", FORMULAE),
        ("tests/test_formulae.py", FORMULA_TESTS),
        ("pyproject.toml", "[tool.pytest.ini_options]\n"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", PLANTED, str(root), str(tmp_path), OLD]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found, again, copies, lines = json.loads(ended.stdout)
    assert {name: status for name, (status, _) in found.items()} == {name: name for name in found}
    assert len(found) == 7
    assert found["caught"][1] == "test_formulae.py::test_temperature"
    # what is known is not run again, in no copy
    assert sorted(again) == ["caught", "equivalent", "survived"]
    assert copies == 2
    assert any("out of date" in line and "is 0 times in" in line for line in lines)
    # the project itself is left as it was
    assert (root / "sde_sgd/formulae.py").read_text() == FORMULAE


def a_fault(name="wrong", equivalent="", file="sde_sgd/theory/_x.py"):
    return Fault(name, file, "a + b", "a − b", "test_x.py::test_y test_z.py", equivalent)


def test_a_fault_replaces_what_is_there_once():
    fault = a_fault()
    assert fault.planted_in("x = a + b\n") == "x = a − b\n"
    assert fault.nodes == ("tests/test_x.py::test_y", "tests/test_z.py")
    assert (fault.folder, a_fault(file="sde_sgd/_run.py").folder) == (
        "theory",
        "(the engine and conventions)",
    )
    for text in ("x = b + a", "a + b + a + b"):
        with pytest.raises(OutOfDateError, match="times in"):
            fault.planted_in(text)


@pytest.mark.parametrize(
    ("status", "equivalent", "sound"),
    [
        ("caught", "", True),
        ("equivalent", "the same", True),
        ("caught", "the same", False),
        ("survived", "", False),
        ("out of date", "", False),
        ("unfounded", "", False),
        ("broken", "", False),
        ("timed out", "", False),
    ],
)
def test_what_is_asked_of_all_of_them(status, equivalent, sound):
    faults = [a_fault(), a_fault("other", equivalent)]
    verdicts = {"wrong": Verdict("caught", "test_x.py::test_y"), "other": Verdict(status)}
    assert _report.sound(faults, verdicts) == sound
    assert len(_report.complaints(faults, verdicts)) == (not sound)
    able = 1 if status == "equivalent" else 2
    assert _report.share(faults, verdicts) == (1 if status in ("caught", "equivalent") else 1 / able)
    shown = _report.markdown(faults, verdicts)
    assert "`test_x.py::test_y`" in shown
    assert "theory" in _report.text(faults, verdicts)


def test_two_in_a_hundred_may_survive():
    faults = [a_fault(str(number)) for number in range(100)]
    verdicts = {fault.name: Verdict("caught") for fault in faults}
    for number, sound in ((0, True), (1, True), (2, False)):
        verdicts[str(number)] = Verdict("survived")
        assert _report.sound(faults, verdicts) == sound


def test_the_lists_hold_what_they_should():
    faults = listed()
    assert len(faults) >= 120
    root = TESTS.parent
    for fault in faults:
        assert (root / fault.file).is_file(), fault
        assert fault.nodes, fault
    # drawn over all rooms of the package
    rooms = {path.parent.name for path in (root / "sde_sgd").glob("*/__init__.py")}
    assert rooms <= {fault.folder for fault in faults}


def test_statements_are_drawn_from_functions():
    drawn = statements(TESTS.parent / "sde_sgd", 20, seed=1)
    assert drawn == statements(TESTS.parent / "sde_sgd", 20, seed=1)
    assert len(set(drawn)) == 20
    assert drawn != statements(TESTS.parent / "sde_sgd", 20, seed=2)
